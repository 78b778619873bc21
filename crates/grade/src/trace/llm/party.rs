//! A trace as it stands before a judge: what is shown of it, and by what name its fence goes.

use std::collections::HashSet;

use insight::fence::Fence;
use insight::render::Renderer;
use insight::{Context, Detector, Detectors, Finding, TraceView};
use model::SpanId;

/// A trace before a judge.
pub(super) struct Party<'a> {
    pub(super) view: &'a TraceView,
    context: &'a Context,
    pub(super) renderer: Renderer<'a>,
    pub(super) fence: Fence,
    /// By what it is known: equal traces are judged once.
    pub(super) hash: &'a str,
    cited: &'a [SpanId],
}

impl<'a> Party<'a> {
    /// Returns a trace with the fence that it has in a run, and the spans at which others pointed.
    pub(super) fn new(
        view: &'a TraceView,
        context: &'a Context,
        (hash, run_seed): (&'a str, &str),
        cited: &'a [SpanId],
    ) -> Self {
        Self {
            view,
            context,
            renderer: Renderer::new(view, &context.effects),
            fence: super::fence(run_seed, hash),
            hash,
            cited,
        }
    }

    /// Returns the spans whose texts speak to a judge.
    pub(super) fn directed(&self) -> Vec<u32> {
        let findings = Detectors::only([Detector::D27]).run(self.view, self.context);
        self.places_of(&findings)
    }

    /// Returns the spans at which all detectors point.
    pub(super) fn hits(&self) -> Vec<u32> {
        let findings = Detectors::all().run(self.view, self.context);
        self.places_of(&findings)
    }

    /// Returns the spans at which graders pointed that ran before.
    pub(super) fn cited(&self) -> Vec<u32> {
        self.places_named(self.cited.iter())
    }

    /// Returns the id of the span at a place.
    pub(super) fn span_id(&self, at: u32) -> &'a SpanId {
        self.view.spans[at as usize].id()
    }

    fn places_of(&self, findings: &[Finding]) -> Vec<u32> {
        let hits = findings.iter().flat_map(Finding::hits);
        self.places_named(hits.flat_map(|hit| &hit.spans))
    }

    fn places_named<'i>(&self, ids: impl Iterator<Item = &'i SpanId>) -> Vec<u32> {
        let ids: HashSet<&SpanId> = ids.collect();
        let all = (0u32..).zip(&self.view.spans);
        let named = all.filter(|(_, span)| ids.contains(span.id()));
        named.map(|(at, _)| at).collect()
    }
}
