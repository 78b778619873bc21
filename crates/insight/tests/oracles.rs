//! What repeated and failed calls say of a run, on 3,102 real ones: figures that were measured before by
//! other means (§7 of the grading method).
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use insight::{Context, Detector, Detectors, Effects, Finding, ToldSpan, ToldTrace, TraceView};
use model::{
    JsonText, Received, Source, Span, SpanError, SpanId, SpanStatus, SpanType, Time, TraceId,
    TraceItem, TraceStatus, derive,
};
use support::{lines, repository};

/// Runs with the same calls.
struct Runs {
    count: f64,
    failed: bool,
    view: TraceView,
}

fn call(number: usize, word: &str) -> ToldSpan {
    let (arguments, output) = word.trim_end_matches('!').split_once('.').unwrap();
    let id = SpanId::new(&format!("s{number:03}")).unwrap();
    let trace = TraceId::new("t").unwrap();
    let mut span = Span::new(trace, id, SpanType::Function, Source::Import);
    "execute_sql".clone_into(&mut span.name);
    let at = |second: usize| Some(Time::from_micros(second as i64 * 1_000_000));
    (span.started_at, span.ended_at) = (at(number), at(number + 1));
    span.status = SpanStatus::Success;
    if word.ends_with('!') {
        span.status = SpanStatus::Error;
        span.error = Some(SpanError {
            kind: "tool_error".to_owned(),
            message: format!("error {output}"),
            data: None,
        });
    }
    let json = |text: String| Some(JsonText::parse(&text).unwrap());
    ToldSpan {
        arguments: json(format!("{{\"command\":\"{arguments}\"}}")),
        result: json(format!("\"{output}\"")),
        ..ToldSpan::silent(span)
    }
}

fn runs() -> Vec<Runs> {
    let lines = lines(&repository().join("testdata/detectors/intercode-sql.tsv.zst"));
    let runs = lines.iter().map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let words = fields[2].split_whitespace().enumerate();
        let spans: Vec<ToldSpan> = words.map(|(number, word)| call(number, word)).collect();
        let at = Time::from_micros(0);
        let received = Received {
            first_received_at: at,
            last_received_at: at,
            first_seq: 1,
            seq: 1,
        };
        let rows: Vec<&Span> = spans.iter().map(|told| &told.span).collect();
        let item = TraceItem::new(TraceId::new("t").unwrap(), Source::Import);
        let row = derive(&item, &rows, received);
        Runs {
            count: fields[0].parse().unwrap(),
            failed: fields[1] == "failed",
            view: TraceView::of(ToldTrace {
                row,
                status: TraceStatus::Success,
                horizon: at,
                spans,
                reference: None,
            }),
        }
    });
    runs.collect()
}

/// Returns the share of runs with a hit, and how many of those and of the others failed.
fn measured(runs: &[Runs], is_hit: impl Fn(&TraceView) -> bool) -> [f64; 3] {
    let (mut hits, mut clear) = ([0.0; 2], [0.0; 2]);
    for run in runs {
        let side = if is_hit(&run.view) {
            &mut hits
        } else {
            &mut clear
        };
        side[usize::from(run.failed)] += run.count;
    }
    let (hit, all): (f64, f64) = (hits.iter().sum(), hits.iter().chain(&clear).sum());
    [hit / all, hits[1] / hit, clear[1] / (all - hit)]
}

fn found(detector: Detector, view: &TraceView) -> Finding {
    let context = Context {
        // A query changes nothing.
        effects: Effects::declared([]),
        ..Context::default()
    };
    Detectors::only([detector]).run(view, &context).remove(0)
}

/// The figures were printed with three digits.
fn assert_as_before(got: [f64; 3], want: [f64; 3]) {
    let is_near = got
        .iter()
        .zip(want)
        .all(|(got, want)| (got - want).abs() < 0.0006);
    assert!(is_near, "{got:?} {want:?}");
}

#[test]
fn three_identical_calls_tell_of_failure_as_they_did() {
    let runs = runs();
    assert_eq!(runs.iter().map(|run| run.count).sum::<f64>(), 3_102.0);
    let has_three = |view: &TraceView| {
        let finding = found(Detector::D01, view);
        finding.hits().iter().any(|hit| hit.spans.len() >= 3)
    };
    assert_as_before(measured(&runs, has_three), [0.145, 0.973, 0.304]);
}

#[test]
fn two_identical_calls_in_a_row_tell_of_failure_as_they_did() {
    let runs = runs();
    let has_pair = |view: &TraceView| {
        let finding = found(Detector::D01, view);
        let place = |id: &SpanId| view.spans.iter().position(|span| span.id() == id).unwrap();
        let follow = |pair: &[SpanId]| place(&pair[1]) == place(&pair[0]) + 1;
        finding
            .hits()
            .iter()
            .any(|hit| hit.spans.windows(2).any(follow))
    };
    assert_as_before(measured(&runs, has_pair), [0.114, 0.924, 0.333]);
}

#[test]
fn three_errors_tell_of_failure_as_they_did() {
    let runs = runs();
    let has_errors = |view: &TraceView| {
        let failed = view.at(&view.functions).filter(|call| call.has_failed());
        failed.count() >= 3
    };
    assert_as_before(measured(&runs, has_errors), [0.248, 0.787, 0.274]);
}

#[test]
fn a_storm_of_errors_says_more_than_three_of_them() {
    let runs = runs();
    let [share, failed, others] =
        measured(&runs, |view| !found(Detector::D04, view).hits().is_empty());
    assert!(
        share > 0.15 && failed > 0.85 && others < 0.3,
        "{share} {failed} {others}"
    );
}
