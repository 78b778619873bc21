//! From traces to cases: what is to be seen in each, before it is known what the others have in common.
//!
//! A trace is looked at once and let go; what is kept of it is light. Templates of errors and suspicious
//! events are found when all of them are there.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};
use model::SpanId;

use super::{FailureCase, Feature, Sign};
use crate::drain::Templates;
use crate::events::{ArgumentClass, EventKind, events};
use crate::{Finding, TraceView};

/// Of a trace so many errors are kept, the first ones.
const ERRORS_MAX: usize = 16;

/// So far out it is looked whether an error is told again.
const CLIMBED_MAX: usize = 64;

/// So many events are suspected, those that tell failing traces from others best.
const SUSPECTS_MAX: usize = 32;

/// An event of fewer failing traces is an accident.
const SUSPECT_TRACES_MIN: u32 = 2;

/// What is to be seen in one trace.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The case, with the signs that are known from the trace alone.
    case: FailureCase,
    errors: Vec<(SpanId, String)>,
    steps: Vec<(String, SpanId)>,
}

impl Observed {
    /// Looks at a trace. `failed` is whoever's verdict; `criteria` are the names of graders that failed
    /// it, with the spans at which they pointed.
    pub fn of(
        view: &TraceView,
        findings: &[Finding],
        failed: bool,
        criteria: Vec<(String, Option<SpanId>)>,
    ) -> Self {
        let criteria = criteria.into_iter().map(|(grader, span_id)| Sign {
            feature: Feature::Criterion(grader),
            span_id,
        });
        let detectors = findings.iter().filter_map(|finding| {
            let hit = finding.hits().first()?;
            Some(Sign {
                feature: Feature::Detector(finding.detector.as_str().to_owned()),
                span_id: hit.spans.first().cloned(),
            })
        });
        let events = events(view, ArgumentClass::Left);
        let span_id = |at: u32| view.spans[at as usize].id().clone();
        let last = events.last_chunk::<2>().map(|[first, second]| Sign {
            feature: Feature::LastEvents(first.word(), second.word()),
            span_id: Some(span_id(second.last)),
        });
        let is_step = |kind: EventKind| !matches!(kind, EventKind::Agent | EventKind::Answer);
        let steps = events.iter().filter(|event| is_step(event.kind));
        let row = &view.row;
        Self {
            steps: steps
                .map(|event| (event.label.to_string(), span_id(event.first)))
                .collect(),
            errors: errors(view),
            case: FailureCase {
                trace_id: row.item.trace_id.clone(),
                group: row.item.group_id.clone(),
                failed,
                signs: detectors.chain(criteria).chain(last).collect(),
                cost: row.cost,
                started_at: row.started_at,
                error_span: row.error_span_id.clone(),
            },
        }
    }
}

/// Returns the first errors of a trace, each where it began: a runner tells the error of a call again in
/// everything around it.
fn errors(view: &TraceView) -> Vec<(SpanId, String)> {
    let spans = (0_u32..).zip(&view.spans);
    let causes: BTreeMap<u32, Cow<'_, str>> = spans
        .filter(|(_, span)| span.has_failed())
        .filter_map(|(at, span)| Some((at, span.span().error.as_ref()?.cause())))
        .collect();
    let mut told_again = HashSet::new();
    let telling = causes.iter().filter(|(_, cause)| !cause.trim().is_empty());
    for (at, cause) in telling {
        let above = |at: &u32| view.spans[*at as usize].parent;
        let mut around = std::iter::successors(above(at), above).take(CLIMBED_MAX);
        let outer = around.find_map(|at| Some((at, causes.get(&at)?)));
        if let Some((outer, _)) = outer.filter(|(_, told)| told.contains(cause.trim())) {
            told_again.insert(outer);
        }
    }
    let first_told = causes
        .into_iter()
        .filter(|(at, _)| !told_again.contains(at));
    first_told
        .take(ERRORS_MAX)
        .map(|(at, cause)| (view.spans[at as usize].id().clone(), cause.into_owned()))
        .collect()
}

/// Returns the cases with all their signs, and the templates that these name.
pub fn cases(observed: Vec<Observed>) -> (Vec<FailureCase>, Templates) {
    let messages = observed.iter().flat_map(|one| &one.errors);
    let templates = Templates::of(messages.map(|(_, message)| message.as_str()));
    let suspects = suspects(&observed);
    let cases = observed.into_iter().map(|one| {
        let mut case = one.case;
        let errors = one.errors.into_iter().filter_map(|(span, message)| {
            let template = templates.find(&message)?;
            Some((Feature::ErrorTemplate(template.id.clone()), span))
        });
        let events = one.steps.into_iter();
        let events = events.filter(|(event, _)| suspects.contains(event));
        let events = events.map(|(event, span)| (Feature::SuspiciousEvent(event), span));
        let mut known = HashSet::new();
        for (feature, span) in errors.chain(events) {
            if known.insert(feature.clone()) {
                case.signs.push(Sign {
                    feature,
                    span_id: Some(span),
                });
            }
        }
        case
    });
    (cases.collect(), templates)
}

/// Returns the events that tell failing traces from others, by Ochiai's measure: f / √(F·(f + s)), where f
/// of F failing traces have the event and s of the others. Where nothing went well nobody can tell.
fn suspects(observed: &[Observed]) -> HashSet<String> {
    let mut counts: HashMap<&str, (u32, u32)> = HashMap::new();
    let (mut failing, mut passing) = (0_u32, 0_u32);
    for one in observed {
        let failed = one.case.failed;
        *(if failed { &mut failing } else { &mut passing }) += 1;
        let labels: HashSet<&str> = one.steps.iter().map(|(label, _)| label.as_str()).collect();
        for label in labels {
            let count = counts.entry(label).or_default();
            *(if failed { &mut count.0 } else { &mut count.1 }) += 1;
        }
    }
    let tells = |(f, s): (u32, u32)| {
        // it is likelier where things go wrong, in whole numbers
        passing > 0
            && f >= SUSPECT_TRACES_MIN
            && u64::from(f) * u64::from(passing) > u64::from(s) * u64::from(failing)
    };
    let mut suspects: Vec<(&str, f64)> = counts
        .into_iter()
        .filter(|(_, count)| tells(*count))
        .map(|(label, (f, s))| {
            let (f, s) = (f64::from(f), f64::from(s));
            (label, f / (f64::from(failing) * (f + s)).sqrt())
        })
        .collect();
    suspects.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    suspects.truncate(SUSPECTS_MAX);
    suspects
        .into_iter()
        .map(|(label, _)| label.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use model::{
        Received, Source, Span, SpanError, SpanStatus, SpanType, Time, TraceId, TraceItem,
        TraceStatus, derive,
    };

    use super::*;
    use crate::{ToldSpan, ToldTrace};

    /// A trace that calls these tools, each of which fails with a message or does not.
    fn view(number: usize, calls: &[(&str, Option<&str>)]) -> TraceView {
        let id = TraceId::new(&format!("t{number}")).unwrap();
        let at = |micros: usize| Time::from_micros(micros as i64 * 1_000);
        let spans: Vec<ToldSpan> = calls
            .iter()
            .enumerate()
            .map(|(place, (tool, error))| {
                let span_id = SpanId::new(&format!("s{number}-{place}")).unwrap();
                let mut span = Span::new(id.clone(), span_id, SpanType::Function, Source::Openai);
                span.name = (*tool).to_owned();
                (span.started_at, span.ended_at) = (Some(at(place)), Some(at(place + 1)));
                span.status = SpanStatus::Success;
                if let Some(message) = error {
                    span.status = SpanStatus::Error;
                    span.error = Some(SpanError {
                        kind: "tool_error".to_owned(),
                        message: (*message).to_owned(),
                        data: None,
                    });
                }
                ToldSpan::silent(span)
            })
            .collect();
        let received = Received {
            first_received_at: at(0),
            last_received_at: at(0),
            first_seq: 1,
            seq: 1,
        };
        let rows: Vec<&Span> = spans.iter().map(|told| &told.span).collect();
        let item = TraceItem::new(id, Source::Openai);
        TraceView::of(ToldTrace {
            row: derive(&item, &rows, received),
            status: TraceStatus::Success,
            horizon: at(0),
            spans,
            reference: None,
        })
    }

    #[test]
    fn errors_become_templates_and_telling_events_suspects() {
        let failing = [
            view(0, &[("find", None), ("pay", Some("order 17 is unknown"))]),
            view(1, &[("find", None), ("pay", Some("order 99 is unknown"))]),
        ];
        let passing = [view(2, &[("find", None)]), view(3, &[("find", None)])];
        let criterion = vec![("polite".to_owned(), None)];
        let observed = failing
            .iter()
            .map(|view| Observed::of(view, &[], true, criterion.clone()))
            .chain(
                passing
                    .iter()
                    .map(|view| Observed::of(view, &[], false, Vec::new())),
            );
        let (cases, templates) = cases(observed.collect());
        assert_eq!(templates.iter().len(), 1);
        let template = templates.iter().next().unwrap();
        let of = |case: &FailureCase| {
            let mut features: Vec<Feature> =
                case.signs.iter().map(|sign| sign.feature.clone()).collect();
            features.retain(|feature| !matches!(feature, Feature::LastEvents(..)));
            features
        };
        let [criterion, error, event] = &of(&cases[0])[..] else {
            panic!("{:?}", cases[0].signs)
        };
        assert_eq!(*criterion, Feature::Criterion("polite".to_owned()));
        assert_eq!(*error, Feature::ErrorTemplate(template.id.clone()));
        let Feature::SuspiciousEvent(event) = event else {
            panic!("{event:?}")
        };
        assert!(event.starts_with("tool:pay"), "{event}");
        assert_eq!(of(&cases[1]), of(&cases[0]));
        assert_eq!((of(&cases[2]), cases[2].failed), (Vec::new(), false));
        let error_span = cases[1].signs.iter().find(|sign| sign.feature == *error);
        assert_eq!(
            error_span.unwrap().span_id.as_ref().unwrap().as_str(),
            "s1-1"
        );
    }

    #[test]
    fn an_error_counts_where_it_began_and_by_its_cause() {
        let failed = |view: &mut TraceView, at: usize, message: &str, data: Option<&str>| {
            let span = &mut view.spans[at].told.span;
            span.status = SpanStatus::Error;
            span.error = Some(SpanError {
                kind: "tool_error".to_owned(),
                message: message.to_owned(),
                data: data.map(model::JsonText::from_trusted),
            });
        };
        let told = |view: &TraceView| -> Vec<(String, String)> {
            let errors = errors(view).into_iter();
            errors
                .map(|(span, cause)| (span.to_string(), cause))
                .collect()
        };
        let mut view = view(0, &[("run", None), ("turn", None), ("pay", None)]);
        (view.spans[1].parent, view.spans[2].parent) = (Some(0), Some(1));
        let of_run = r#"{"error":"Error running tool pay: no funds"}"#;
        failed(&mut view, 0, "Error in agent run", Some(of_run));
        failed(
            &mut view,
            2,
            "Error running tool",
            Some(r#"{"error":"no funds"}"#),
        );
        let began = |cause: &str| vec![("s0-2".to_owned(), cause.to_owned())];
        assert_eq!(told(&view), began("no funds"));
        // Nobody else told what encloses it said.
        failed(&mut view, 2, "", None);
        let all = told(&view);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].1, "Error running tool pay: no funds");
    }

    #[test]
    fn nobody_is_suspected_where_nothing_went_well() {
        let views = [view(0, &[("pay", None)]), view(1, &[("pay", None)])];
        let observed = views
            .iter()
            .map(|view| Observed::of(view, &[], true, Vec::new()));
        let (cases, _) = cases(observed.collect());
        let is_suspect = |sign: &Sign| matches!(sign.feature, Feature::SuspiciousEvent(_));
        assert!(!cases.iter().flat_map(|case| &case.signs).any(is_suspect));
    }
}
