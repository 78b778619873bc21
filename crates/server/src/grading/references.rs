//! What should have been done: what the traces of a run are held against.
//!
//! It comes with the request, each reference for one trace or for all that have a key in their metadata, and
//! is kept with the traces that are graded, so that a run holds on to it whatever happens. Whoever names a
//! trace wins over whoever names a key, and the first over a later one; what is for no trace, or came too
//! late for one, is counted and told: it is most likely a mistake.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use insight::TraceView;
use insight::trajectory::Reference;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::pairs::PairBy;
use super::plan::Plan;
use crate::error::ApiError;

/// A request with references may have so many bytes.
pub(in crate::grading) const REQUEST_BYTES_MAX: usize = 8 << 20;

/// A reference has no more bytes than this.
const REFERENCE_BYTES_MAX: usize = 64 << 10;

/// Those of all traces of a run have no more bytes than this.
const RUN_BYTES_MAX: usize = 64 << 20;

/// Mistakes, and references that are for no trace: so many are told.
const TOLD_MAX: usize = 10;

/// What should have been done, for one trace or for those with a key.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReferenceSent {
    /// The trace that it is for.
    trace_id: Option<String>,
    /// Instead of it: for all traces that have this value under the key that `references_by` names.
    #[schema(value_type = Option<String>)]
    key: Option<Value>,
    /// What should have been done. Trajectories read `calls`, `handoffs` and `plan` of it; rules have it as
    /// `ref`, prompts as `{{item.reference}}`.
    #[schema(value_type = Object)]
    reference: Value,
}

/// The references of a request, found by trace.
#[derive(Debug)]
pub(crate) struct References {
    given: Vec<Given>,
    of_trace: HashMap<String, usize>,
    of_key: HashMap<String, usize>,
    by: Option<PairBy>,
}

/// A reference, and for what it was given.
#[derive(Debug)]
struct Given {
    name: String,
    text: Arc<str>,
}

/// What became of each reference.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(Vec<Fate>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// No trace that is meant was found for it.
    Unmatched,
    /// There was a trace for it, which had another one.
    Doubled,
    /// A trace is held against it.
    Used,
}

/// What became of the references, as it is kept and told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = GradingReferences)]
pub(crate) struct ReferencesTold {
    /// How many were given.
    given: usize,
    /// How many were for a trace that is meant, drawn or not.
    used: usize,
    /// How many are for no trace that is meant.
    unmatched: usize,
    /// The first of those: what they name.
    unmatched_first: Vec<String>,
    /// How many are passed over, because another one is for the same traces.
    doubled: usize,
    /// The first of those: what they name.
    doubled_first: Vec<String>,
    /// How many traces that are graded are held against one.
    traces: usize,
}

impl References {
    /// Reads references, or tells what is wrong with the first few; none if there are none. `by` is
    /// `metadata.KEY`; where `are_steps`, a grader reads them as calls, handoffs and a plan.
    pub(crate) fn read(
        sent: Option<Vec<ReferenceSent>>,
        by: Option<&str>,
        are_steps: bool,
    ) -> Result<Option<Self>, ApiError> {
        let by = by.map(key_of).transpose()?;
        let sent = sent.unwrap_or_default();
        if sent.is_empty() {
            return match by {
                None => Ok(None),
                Some(_) => Err(ApiError::invalid("references_by", "it needs `references`")),
            };
        }
        let mut read = Self {
            given: Vec::with_capacity(sent.len()),
            of_trace: HashMap::new(),
            of_key: HashMap::new(),
            by,
        };
        let mut problems = Vec::new();
        for (at, one) in sent.into_iter().enumerate() {
            if let Err(problem) = read.add(one, are_steps) {
                problems.push(format!("references[{at}]: {problem}"));
            }
        }
        if problems.is_empty() {
            return Ok(Some(read));
        }
        let more = problems.len().saturating_sub(TOLD_MAX);
        problems.truncate(TOLD_MAX);
        if more > 0 {
            problems.push(format!("and {more} more of them"));
        }
        Err(ApiError::invalid("references", problems.join("\n")))
    }

    fn add(&mut self, sent: ReferenceSent, are_steps: bool) -> Result<(), String> {
        let ReferenceSent {
            trace_id,
            key,
            reference,
        } = sent;
        if reference.is_null() {
            return Err("the `reference` is null: leave it out".to_owned());
        }
        if are_steps {
            Reference::parse(&reference).map_err(|error| error.to_string())?;
        }
        let text = reference.to_string();
        if text.len() > REFERENCE_BYTES_MAX {
            let bytes = text.len();
            return Err(format!(
                "it has {bytes} bytes, more than {REFERENCE_BYTES_MAX}"
            ));
        }
        let (name, of) = match (trace_id, key) {
            (Some(id), None) => (id, &mut self.of_trace),
            (None, Some(_)) if self.by.is_none() => {
                return Err(
                    "it names a key: say of which one with `references_by`, such as \"metadata.case\""
                        .to_owned(),
                );
            }
            (None, Some(Value::String(key))) => (key, &mut self.of_key),
            (None, Some(key @ (Value::Number(_) | Value::Bool(_)))) => {
                (key.to_string(), &mut self.of_key)
            }
            (None, Some(_)) => return Err("its `key` is not a text".to_owned()),
            _ => return Err("name either a `trace_id` or a `key`".to_owned()),
        };
        // Of two for the same the first counts; the other one has no entry, and is told as doubled.
        if let Entry::Vacant(vacant) = of.entry(name.clone()) {
            vacant.insert(self.given.len());
        }
        let text = text.into();
        self.given.push(Given { name, text });
        Ok(())
    }

    /// Returns whether the metadata of traces is needed to find theirs.
    pub(crate) fn reads_metadata(&self) -> bool {
        self.by.is_some()
    }

    /// Returns what a trace is held against, and counts it.
    pub(crate) fn of(
        &self,
        trace_id: &str,
        metadata: Option<&str>,
        tally: &mut Tally,
    ) -> Option<&Arc<str>> {
        let named = self.of_trace.get(trace_id).copied();
        let key = self.by.as_ref().and_then(|by| by.key(None, metadata));
        let by_key = key.and_then(|key| self.of_key.get(&key)).copied();
        if let (Some(_), Some(other)) = (named, by_key) {
            tally.raise(other, Fate::Doubled);
        }
        let at = named.or(by_key)?;
        tally.raise(at, Fate::Used);
        Some(&self.given[at].text)
    }

    /// Holds a trace against what is for it, and counts it.
    pub(crate) fn lay_beside(&self, view: &mut TraceView, tally: &mut Tally) {
        let item = &view.row.item;
        let metadata = item.metadata.as_ref().map(|text| text.as_str());
        let text = self.of(item.trace_id.as_str(), metadata, tally).cloned();
        lay_beside(view, text.as_deref());
    }

    /// Returns what became of them; `traces`: so many are held against one.
    pub(crate) fn told(&self, tally: &Tally, traces: usize) -> ReferencesTold {
        let of = |fate: Fate| {
            let all = self.given.iter().zip(&tally.0);
            all.filter(move |(_, is)| **is == fate)
                .map(|(one, _)| &one.name)
        };
        let first = |fate: Fate| of(fate).take(TOLD_MAX).cloned().collect();
        ReferencesTold {
            given: self.given.len(),
            used: of(Fate::Used).count(),
            unmatched: of(Fate::Unmatched).count(),
            unmatched_first: first(Fate::Unmatched),
            doubled: of(Fate::Doubled).count(),
            doubled_first: first(Fate::Doubled),
            traces,
        }
    }
}

impl ReferencesTold {
    /// Returns whether a trace is held against one.
    pub(crate) fn is_used(&self) -> bool {
        self.traces > 0
    }
}

impl Tally {
    /// Begins to count.
    pub(crate) fn of(references: Option<&References>) -> Self {
        let Some(references) = references else {
            return Self::default();
        };
        let mut fates = vec![Fate::Doubled; references.given.len()];
        let first = references
            .of_trace
            .values()
            .chain(references.of_key.values());
        for at in first {
            fates[*at] = Fate::Unmatched;
        }
        Self(fates)
    }

    fn raise(&mut self, at: usize, fate: Fate) {
        self.0[at] = self.0[at].max(fate);
    }
}

fn key_of(by: &str) -> Result<PairBy, ApiError> {
    match by.strip_prefix("metadata.") {
        Some(key) if !key.is_empty() => Ok(PairBy::Metadata(key.to_owned())),
        _ => {
            let message = format!("{by:?} is not metadata.KEY");
            Err(ApiError::invalid("references_by", message))
        }
    }
}

/// Holds a trace against what was kept for it; nothing, where nothing was.
pub(crate) fn lay_beside(view: &mut TraceView, reference: Option<&str>) {
    // What was kept was JSON when it came.
    view.reference = reference.and_then(|text| serde_json::from_str(text).ok());
}

/// Refuses more than a run may keep.
pub(super) fn require_room(references: impl Iterator<Item = usize>) -> Result<(), ApiError> {
    let bytes: usize = references.sum();
    if bytes <= RUN_BYTES_MAX {
        return Ok(());
    }
    let message = format!(
        "those of all traces together have {bytes} bytes, more than {RUN_BYTES_MAX}, which a run keeps: grade \
         fewer traces at a time, or shorten them"
    );
    Err(ApiError::invalid("references", message))
}

/// Returns what is to be said of graders that need a reference where no trace of theirs has one.
pub(in crate::grading) fn warning(graders: &[&str]) -> Option<String> {
    let names = match graders {
        [] => return None,
        [one] => format!("`{one}` asks"),
        several => format!("`{}` ask", several.join("`, `")),
    };
    Some(format!(
        "{names} what should have been done, and of no trace that is meant is that told: give `references`, or \
         there is nothing to compare with"
    ))
}

/// Returns the names of graders that say nothing without a reference.
pub(super) fn asking(plan: &Plan) -> Vec<&str> {
    let graders = plan.graders().iter();
    let asking = graders.filter(|one| one.grader.needs().reference);
    asking.map(|one| &*one.frozen.name).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sent(references: Value) -> Option<Vec<ReferenceSent>> {
        Some(serde_json::from_value(references).unwrap())
    }

    #[test]
    fn each_trace_finds_its_own_and_what_is_left_is_told() {
        let references = sent(json!([
            {"trace_id": "trace_1", "reference": {"calls": []}},
            {"key": "7", "reference": "by key"},
            {"key": 7, "reference": "too late"},
            {"trace_id": "gone", "reference": 1},
            {"key": "other", "reference": 2},
        ]));
        let read = References::read(references, Some("metadata.case"), false);
        let read = read.unwrap().unwrap();
        let mut tally = Tally::of(Some(&read));
        let mut of = |id: &str, metadata: &str| {
            let text = read.of(id, Some(metadata), &mut tally);
            text.map(|text| text.to_string())
        };
        assert_eq!(of("trace_1", "{}").as_deref(), Some(r#"{"calls":[]}"#));
        // The one that names the trace is the nearer one.
        assert_eq!(
            of("trace_1", r#"{"case":"other"}"#).as_deref(),
            Some(r#"{"calls":[]}"#)
        );
        assert_eq!(
            of("trace_2", r#"{"case":7}"#).as_deref(),
            Some("\"by key\"")
        );
        assert_eq!(of("trace_3", r#"{"case":"8"}"#), None);
        let told = read.told(&tally, 2);
        assert_eq!(
            serde_json::to_value(told).unwrap(),
            json!({
                "given": 5, "used": 2, "unmatched": 1, "unmatched_first": ["gone"],
                "doubled": 2, "doubled_first": ["7", "other"], "traces": 2,
            })
        );
    }

    #[test]
    fn mistakes_are_told_with_their_places() {
        let check = |references: Value, by: Option<&str>, words: &str| {
            let error = References::read(sent(references), by, true).unwrap_err();
            let told = error.told();
            assert!(told.contains(words), "{told}");
        };
        let one = json!({"trace_id": "a", "reference": {}});
        check(json!([one, {"reference": {}}]), None, "references[1]: name");
        check(
            json!([{"trace_id": "a", "key": "b", "reference": {}}]),
            None,
            "name either",
        );
        check(
            json!([{"key": "b", "reference": {}}]),
            None,
            "references_by",
        );
        check(json!([one]), Some("group"), "not metadata.KEY");
        check(json!([]), Some("metadata.case"), "needs `references`");
        check(json!([{"trace_id": "a", "reference": null}]), None, "null");
        check(
            json!([{"trace_id": "a", "reference": {"calls": {}}}]),
            None,
            "not a list",
        );
        let long = "x".repeat(REFERENCE_BYTES_MAX);
        check(
            json!([{"trace_id": "a", "reference": {"note": long}}]),
            None,
            "more than 65536",
        );
        assert!(References::read(None, None, true).unwrap().is_none());
        // Who compares no steps may write what he likes.
        let free = sent(json!([{"trace_id": "a", "reference": {"calls": {}}}]));
        assert!(References::read(free, None, false).unwrap().is_some());
        assert!(require_room([RUN_BYTES_MAX, 1].into_iter()).is_err());
    }
}
