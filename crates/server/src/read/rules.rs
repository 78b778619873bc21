//! Which traces does a rule mean, where traces are listed?
//!
//! A rule over a trace's own fields is a part of the filter, and the storage answers it. Any other rule
//! has to see the spans: a list reads trace after trace for it, within bounds, and says how far it came.
//! What counts, sums up, exports or deletes takes none of those: half an answer would be a wrong one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use insight::rule::Rule;
use model::{FilterRule, Outcome, Time, TraceFilter};
use query::{Cursor, TraceList};
use serde_json::Value;
use store::{Columns, Ledger, Snapshot, Table, TraceEntry};

use crate::error::ApiError;
use crate::objects::Detail;
use crate::state::AppState;

use super::loaded::Loaded;
use super::pieces::blocking;

/// So long a list looks at spans before it says what it found so far.
const SCAN_TIME: Duration = Duration::from_secs(2);

/// So many traces it reads in one request.
const SCANNED_MAX: usize = 1_000;

/// The rule of a request, and whether the storage answers it.
#[derive(Debug)]
pub(super) enum Narrowing {
    /// It is a part of the filter.
    Stored(FilterRule),
    /// Each trace has to be read. What the storage can rule out is in the filter.
    Spans(Option<FilterRule>, Arc<Rule>),
}

impl Narrowing {
    /// Reads a rule; every mistake in it is told with its place.
    pub(super) fn read(source: &str) -> Result<Self, ApiError> {
        let rule = parsed(source)?;
        match rule.to_filter() {
            Ok(stored) => Ok(Self::Stored(stored)),
            Err(problems) if !rule.is_condition() => {
                Err(ApiError::invalid("rule", problems.to_string()))
            }
            Err(_) => {
                check_needs(&rule)?;
                let condition = rule.necessary();
                let stored = condition.map(|condition| FilterRule {
                    source: source.to_owned(),
                    condition,
                });
                Ok(Self::Spans(stored, Arc::new(rule)))
            }
        }
    }
}

/// Returns a rule as a part of a filter, where nothing but the storage is asked.
pub(crate) fn stored(source: &str) -> Result<FilterRule, ApiError> {
    parsed(source)?.to_filter().map_err(|problems| {
        let instead = "a rule about spans or whole texts narrows GET /v1/traces, and POST \
                       /v1/graders/try and grading runs ask it of each trace; here it cannot";
        ApiError::invalid("rule", format!("{problems}\n{instead}"))
    })
}

/// Returns the filter in a body: the fields of a list, `rule` among them.
pub(crate) fn filter_of(filter: Option<&Value>, now: Time) -> Result<TraceFilter, ApiError> {
    let Some(fields) = filter else {
        return Ok(TraceFilter::default());
    };
    let mut fields = fields.clone();
    let rule = fields
        .as_object_mut()
        .and_then(|fields| fields.remove("rule"));
    let rule = match rule {
        None | Some(Value::Null) => None,
        Some(Value::String(source)) => Some(stored(&source)?),
        Some(_) => return Err(ApiError::invalid("rule", "it is a rule as text")),
    };
    let filter = TraceFilter::from_json(&fields, now)?;
    Ok(TraceFilter { rule, ..filter })
}

fn parsed(source: &str) -> Result<Rule, ApiError> {
    Rule::parse(source).map_err(|problems| ApiError::invalid("rule", problems.to_string()))
}

/// Refuses what is known only where graders run: unknown everywhere, it would fit nothing.
fn check_needs(rule: &Rule) -> Result<(), ApiError> {
    let needs = rule.needs();
    let asked = [
        ("detector(…)", &needs.detectors),
        ("score(…)", &needs.scores),
        ("baseline(…)", &needs.baselines),
        ("a schema", &needs.schemas),
    ];
    match asked.iter().find(|(_, names)| !names.is_empty()) {
        None => Ok(()),
        Some((what, names)) => {
            let message = format!(
                "{what} is not known to a list ({}): ask it with POST /v1/graders/try or a grading run",
                names.join(", ")
            );
            Err(ApiError::invalid("rule", message))
        }
    }
}

/// What a list found with a rule that reads spans.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    pub(super) entries: Vec<TraceEntry>,
    /// Where to go on; `None`: every trace was looked at.
    pub(super) next: Option<Cursor>,
    /// Whether it stopped because of its bounds, not because the page is full.
    pub(super) partial: bool,
}

/// Reads the traces that `list` means one after the other, and returns those that the rule holds for.
pub(super) async fn scan(
    state: &AppState,
    snapshot: &Arc<Snapshot>,
    list: TraceList,
    rule: &Arc<Rule>,
) -> Result<Scanned, ApiError> {
    let wanted = list.limit;
    let watermark = match &list.after {
        Some(after) => after.watermark,
        None => snapshot.watermark(),
    };
    let list = TraceList {
        limit: SCANNED_MAX,
        columns: Columns::narrow(Table::Traces),
        ..list
    };
    let page = state
        .engine
        .list_traces(Arc::clone(snapshot) as _, list)
        .await?;
    let (snapshot, rule) = (Arc::clone(snapshot), Arc::clone(rule));
    let ledger = Arc::clone(state.store.ledger());
    blocking(move || {
        let began = Instant::now();
        let mut found = Scanned {
            partial: page.next.is_some(),
            next: page.next,
            ..Scanned::default()
        };
        let last = page.items.len().saturating_sub(1);
        for (at, entry) in page.items.into_iter().enumerate() {
            let item = &entry.row.item;
            let place = Cursor {
                started_at: entry.row.started_at,
                trace_id: item.trace_id.clone(),
                watermark,
            };
            found
                .entries
                .extend(fitting(&snapshot, &ledger, &entry, &rule)?);
            let is_full = found.entries.len() == wanted;
            if is_full || began.elapsed() >= SCAN_TIME {
                let has_more = at < last || found.next.is_some();
                found.next = has_more.then_some(place);
                found.partial = has_more && !is_full;
                break;
            }
        }
        Ok::<_, ApiError>(found)
    })
    .await?
}

/// Returns the whole row of a trace, if it is still there and the rule holds for it.
fn fitting(
    snapshot: &Snapshot,
    ledger: &Arc<Ledger>,
    entry: &TraceEntry,
    rule: &Rule,
) -> Result<Option<TraceEntry>, ApiError> {
    let id = &entry.row.item.trace_id;
    let Some(loaded) = Loaded::read(snapshot, ledger, id, Some(Detail::Full))? else {
        return Ok(None);
    };
    let outcome = rule.grade(&loaded.view(), &()).outcome;
    Ok((outcome == Outcome::Pass).then_some(loaded.entry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(result: Result<TraceFilter, ApiError>, param: &str, parts: &[&str]) {
        let error = format!("{:?}", result.unwrap_err());
        assert!(error.contains(&format!("Some({param:?})")), "{error}");
        for part in parts {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_body_has_the_fields_of_a_list() {
        let now = Time::from_micros(0);
        let of = |json: &Value| filter_of(Some(json), now);
        assert!(filter_of(None, now).unwrap().is_empty());
        let filter = of(&json!({"tool": "a", "rule": "tool_errors > 0"})).unwrap();
        assert_eq!(filter.tool, ["a"]);
        assert_eq!(filter.rule.unwrap().source, "tool_errors > 0");
        assert!(of(&json!({"rule": null})).unwrap().is_empty());
        check(of(&json!({"rule": 5})), "rule", &["as text"]);
        check(of(&json!({"rules": "true"})), "rules", &[]);
        check(of(&json!([])), "filter", &[]);
        let near = &["tool_errors", "^"];
        check(of(&json!({"rule": "tool_eror > 0"})), "rule", near);
        let spans = of(&json!({"rule": "status == \"error\" && calls(\"pay\").any()"}));
        check(spans, "rule", &["^", "/v1/graders/try"]);
    }

    #[test]
    fn what_the_storage_can_rule_out_it_does() {
        let read = |source: &str| Narrowing::read(source);
        assert!(matches!(read("duration_ms > 5"), Ok(Narrowing::Stored(_))));
        let Ok(Narrowing::Spans(Some(first), _)) =
            read("duration_ms > 5 && spans.size() > 1 && status == \"error\"")
        else {
            panic!("it reads spans")
        };
        assert_eq!(
            first.condition.to_string(),
            "(duration_ms > 5) AND (status = 'error')"
        );
        let all = read("duration_ms > 5 || spans.size() > 1");
        assert!(matches!(all, Ok(Narrowing::Spans(None, _))), "{all:?}");
        assert!(read("detector(\"D05\")").is_err());
        assert!(read("duration_ms").is_err());
    }
}
