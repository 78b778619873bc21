//! What is done with a batch before it is stored: what is not kept goes, and what is kept says what is
//! missing.
//!
//! The steps have a fixed order, so that what an earlier one takes away is no work for a later one:
//! spans of scopes that nobody wants, traces outside the sample, attributes by their names, content
//! and audio that the project does not keep, and at last what is secret in the texts that are left.
//! All of them are decided on the decoded batch, so both wires and imports are treated alike; nothing
//! that is taken out reaches the log. A row of which something was taken says so in its `extra`, under
//! `tracegrade.redacted`.

mod attributes;
mod audio;
mod edit;
mod messages;
mod place;
mod redact;
mod rules;
mod sample;
mod walk;

use std::collections::{BTreeMap, HashSet};

use model::{Batch, JsonText, MessageHash, Span, TraceId};

use crate::messages::Doc;

use edit::Editor;

pub use redact::Recogniser;
pub use rules::{
    Action, ProcessRules, ProcessSettings, RuleError, RuleErrorKind, RuleSettings, Switches,
};
pub use sample::{Sampling, TailRules};

/// The reason under which spans outside the sample are counted.
pub const SAMPLED_OUT: &str = "sampled_out";

/// The reason under which spans of unwanted scopes are counted.
pub const SCOPE_DROPPED: &str = "scope_dropped";

/// What was done with a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How many spans are not kept, by reason.
    pub ignored: Vec<(&'static str, usize)>,
    /// How often something was taken out, by what it was: each message of the batch counts once.
    pub redacted: BTreeMap<String, u64>,
}

/// Does with a batch what the rules ask for.
pub fn process(rules: &ProcessRules, switches: &Switches, batch: &mut Batch) -> Report {
    let mut report = Report::default();
    let dropped = drop_scopes(rules, batch);
    let sampled = sample(rules, switches, batch);
    for (reason, count) in [(SCOPE_DROPPED, dropped), (SAMPLED_OUT, sampled)] {
        if let Some(count) = count {
            report.ignored.push((reason, count));
        }
    }
    let edits = rules.edits(switches);
    if edits {
        report.redacted = Editor::new(rules, *switches, batch).edit(batch);
    }
    if edits || !report.ignored.is_empty() {
        keep_referenced(batch);
    }
    report
}

/// Lets go of the spans of unwanted scopes, and counts them.
fn drop_scopes(rules: &ProcessRules, batch: &mut Batch) -> Option<usize> {
    if rules.scopes.is_empty() {
        return None;
    }
    let is_unwanted = |scope: &JsonText| {
        let doc = Doc::parse_container(scope.as_str())?;
        let name = doc.root().get("name")?.text()?;
        Some(rules.scopes.has(&name))
    };
    // Spans of one scope stand together.
    let mut known: Option<(JsonText, bool)> = None;
    let mut is_dropped = |span: &mut Span| {
        let Some(scope) = &span.payload.scope else {
            return false;
        };
        match &known {
            Some((before, dropped)) if before == scope => *dropped,
            _ => {
                let dropped = is_unwanted(scope) == Some(true);
                known = Some((scope.clone(), dropped));
                dropped
            }
        }
    };
    let dropped: Vec<Span> = batch
        .spans
        .extract_if(.., |span| is_dropped(span))
        .collect();
    // Of a trace of which nothing else came, nothing is said.
    let left: HashSet<&TraceId> = batch.spans.iter().map(|span| &span.trace_id).collect();
    let emptied = dropped
        .iter()
        .map(|span| &span.trace_id)
        .filter(|id| !left.contains(id));
    let emptied: HashSet<&TraceId> = emptied.collect();
    batch
        .traces
        .retain(|item| !emptied.contains(&item.trace_id));
    Some(dropped.len()).filter(|count| *count > 0)
}

/// Lets go of traces outside the sample, if the sample decides alone, and counts their spans.
fn sample(rules: &ProcessRules, switches: &Switches, batch: &mut Batch) -> Option<usize> {
    let sampling = &rules.sampling;
    if switches.sample_rate >= 1.0 || !sampling.tail().is_empty() {
        return None;
    }
    let holds = |id: &TraceId| sampling.holds(id, switches.sample_rate);
    batch.traces.retain(|item| holds(&item.trace_id));
    let out = batch.spans.extract_if(.., |span| !holds(&span.trace_id));
    // What we derived ourselves was no item of the request.
    let count = out.filter(|span| !span.derived).count();
    (count > 0).then_some(count)
}

/// Lets go of messages that no span refers to any more.
fn keep_referenced(batch: &mut Batch) {
    let refs = batch.spans.iter().flat_map(|span| {
        let refs = span
            .payload
            .input_refs
            .iter()
            .chain(&span.payload.output_refs);
        refs.map(|hash| (&span.trace_id, *hash))
    });
    let named: HashSet<(&TraceId, MessageHash)> = refs.collect();
    batch
        .messages
        .retain(|message| named.contains(&(&message.trace_id, message.hash)));
}

#[cfg(test)]
mod tests;
