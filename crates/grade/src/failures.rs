//! Why do traces fail? The groups of `insight::failures` with intervals and advice, as they are shown.

use insight::Detector;
use insight::drain::Templates;
use insight::failures::{
    self, About, Confidence, Direction, FailureCase, FailureGroup, Feature, Knowledge, Tally,
};
use model::NanoUsd;
use serde::Serialize;
use serde_json::json;
use stats::interval::{self, Purpose};
use stats::{Figure, Level, Refusal, Row, Rows, cluster};
use utoipa::ToSchema;

use crate::results::FigureObject;

/// Failures with something in common.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct FailureItem {
    /// What they have in common.
    pub issue: String,
    /// How many failing traces are affected.
    pub affected_traces: u64,
    /// These among all traces.
    pub share: Option<FigureObject>,
    /// For which part of the failing traces it holds.
    pub of_failing: Option<FigureObject>,
    /// For which part of the passing traces it holds.
    pub of_passing: Option<FigureObject>,
    /// What to do.
    pub suggestion: String,
    /// Up to three affected traces, with the span to look at.
    pub example_traces: Vec<FailureExample>,
    /// A rule that holds for traces of this group.
    pub rule: String,
    /// Whether the rule says just that; else it may hold for more traces.
    pub rule_is_exact: bool,
    /// A rule grader that fails for traces of this group: save it and it is a regression test.
    #[schema(value_type = Object)]
    pub grader: serde_json::Value,
    /// Graders whose verdicts the rule asks for: a run that has the grader needs them too.
    pub needs: Vec<String>,
    /// How far to rely on it: `low`, `medium` or `high`.
    pub confidence: &'static str,
    /// The start of the oldest affected trace.
    pub first_seen: Option<String>,
    /// Whether it comes more often: `rising`, `steady` or `falling`; null of few traces.
    pub trend: Option<&'static str>,
    /// What the affected traces cost, as far as known.
    pub cost_usd: Option<f64>,
}

/// A trace that shows a group.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FailureExample {
    /// The trace.
    pub trace_id: String,
    /// The span to look at.
    pub span_id: Option<String>,
}

/// Why a set of traces fails.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct FailureReport {
    /// The groups, the most important first.
    pub data: Vec<FailureItem>,
    /// How many traces were looked at.
    pub traces: u64,
    /// How many of them failed.
    pub failing: u64,
    /// How many failing ones no group explains.
    pub unexplained: u64,
    /// How many traces were too many and not looked at.
    pub left_out: u64,
}

/// Returns why traces fail; `pass_from` tells from which number on a grader passes.
pub fn analyze(
    cases: Vec<FailureCase>,
    templates: &Templates,
    pass_from: &dyn Fn(&str) -> f64,
) -> FailureReport {
    let knowledge = Knowledge {
        templates,
        detector: &about,
        pass_from,
        interval: &|tally| {
            let figure = rate(tally).ok()?;
            Some((figure.interval.low, figure.interval.high))
        },
    };
    let found = failures::analyze(cases, &knowledge);
    FailureReport {
        data: found.groups.iter().map(FailureItem::of).collect(),
        traces: found.traces,
        failing: found.failing,
        unexplained: found.unexplained,
        left_out: found.left_out,
    }
}

/// The grader whose verdict a feature is.
fn asked_for(feature: &Feature) -> Option<String> {
    match feature {
        Feature::Criterion(grader) => Some(grader.clone()),
        _ => None,
    }
}

/// What the table of detectors says.
fn about(id: &str) -> Option<About> {
    let detector: Detector = id.parse().ok()?;
    Some(About {
        title: detector.title(),
        suggestion: detector.suggestion(),
    })
}

/// The rate of a tally, by groups where traces have any.
fn rate(tally: &Tally) -> Result<Figure, Refusal> {
    if tally.groups.is_empty() {
        return interval::rate(tally.hits, tally.n, Level::P95, Purpose::Report);
    }
    let rows = (0_u64..)
        .zip(&tally.groups)
        .flat_map(|(group, &(hits, n))| {
            (0..n).map(move |at| Row {
                value: f64::from(u8::from(at < hits)),
                group: Some(group),
            })
        });
    cluster::rate(&Rows::new(rows)?, Level::P95, Purpose::Report)
}

impl FailureItem {
    fn of(group: &FailureGroup) -> Self {
        let figure = |tally: &Tally| rate(tally).ok().map(FigureObject::from);
        let tallies = &group.tallies;
        let example = |it: &failures::Example| FailureExample {
            trace_id: it.trace_id.to_string(),
            span_id: it.span_id.as_ref().map(ToString::to_string),
        };
        Self {
            issue: group.issue.clone(),
            affected_traces: group.affected_traces,
            share: figure(&tallies.of_all),
            of_failing: figure(&tallies.of_failing),
            of_passing: figure(&tallies.of_passing),
            suggestion: group.suggestion.clone(),
            example_traces: group.example_traces.iter().map(example).collect(),
            rule: group.rule.clone(),
            rule_is_exact: group.rule_is_exact,
            needs: group.features.iter().filter_map(asked_for).collect(),
            grader: json!({ "type": "rule", "check": group.grader_check() }),
            confidence: match group.confidence {
                Confidence::Low => "low",
                Confidence::Medium => "medium",
                Confidence::High => "high",
            },
            first_seen: group.first_seen.map(|time| time.to_string()),
            trend: group.trend.as_ref().map(|trend| match trend.direction {
                Direction::Rising => "rising",
                Direction::Steady => "steady",
                Direction::Falling => "falling",
            }),
            cost_usd: group.cost.map(NanoUsd::to_usd),
        }
    }
}

#[cfg(test)]
mod tests {
    use insight::failures::Sign;
    use model::{GroupId, SpanId, Time, TraceId};

    use super::*;
    use crate::trace::TraceGrader;

    fn case(at: i64, failed: bool, group: Option<i64>, features: &[Feature]) -> FailureCase {
        let signs = features.iter().map(|feature| Sign {
            feature: feature.clone(),
            span_id: SpanId::new("s1").ok(),
        });
        FailureCase {
            trace_id: TraceId::new(&format!("t{at:03}")).unwrap(),
            group: group.map(|it| GroupId::new(&format!("g{it}")).unwrap()),
            failed,
            signs: signs.collect(),
            cost: Some(NanoUsd(1_500_000)),
            started_at: Some(Time::from_micros(1_764_000_000_000_000 + at * 60_000_000)),
            error_span: None,
        }
    }

    /// Failures of every kind of feature, some of them by hostile names.
    fn failing(templates: &Templates) -> Vec<FailureCase> {
        let template = templates.iter().next().unwrap().id.clone();
        let kinds = [
            Feature::Detector("D01".to_owned()),
            Feature::ErrorTemplate(template),
            Feature::ErrorTemplate("gone".to_owned()),
            Feature::Criterion("is \"kind\"\n\\".to_owned()),
            Feature::SuspiciousEvent("tool:bo\"ok:err[E17]".to_owned()),
            Feature::SuspiciousEvent("handoff:Triage→Billing".to_owned()),
            Feature::SuspiciousEvent("gen:length".to_owned()),
            Feature::LastEvents("tool:a:ok".to_owned(), "gen:answer".to_owned()),
        ];
        let failing = (0..80).map(|at| {
            let kind = &kinds[at as usize % kinds.len()];
            case(at, true, None, std::slice::from_ref(kind))
        });
        failing
            .chain((80..200).map(|at| case(at, false, None, &[])))
            .collect()
    }

    #[test]
    fn every_group_is_a_rule_grader() {
        let templates = Templates::of(["Table 'a' doesn't exist", "Table 'b' doesn't exist"]);
        let report = analyze(failing(&templates), &templates, &|_| 4.0);
        assert_eq!(
            (report.traces, report.failing, report.data.len()),
            (200, 80, 8)
        );
        for item in &report.data {
            let grader = TraceGrader::parse(&item.grader);
            assert!(grader.is_ok(), "{}: {grader:?}", item.rule);
            let share = item.share.as_ref().unwrap();
            assert_eq!(
                (share.n, item.affected_traces, share.estimate),
                (200, 10, 0.05)
            );
            assert!(!item.suggestion.is_empty());
        }
        let detector = report
            .data
            .iter()
            .find(|it| it.rule == "detector(\"D01\")")
            .unwrap();
        assert_eq!(detector.issue, "Identical calls (D01)");
        assert_eq!(detector.suggestion, Detector::D01.suggestion());
        assert!(detector.needs.is_empty());
        let asks = report
            .data
            .iter()
            .find(|it| it.rule.contains("score("))
            .unwrap();
        assert_eq!(asks.needs, ["is \"kind\"\n\\"]);
    }

    #[test]
    fn traces_of_a_group_are_not_as_many_as_they_look() {
        let feature = [Feature::Detector("D05".to_owned())];
        let cases = |grouped: bool| -> Vec<FailureCase> {
            (0..100)
                .map(|at| {
                    let failed = at / 5 % 4 == 0;
                    let signs = if failed { &feature[..] } else { &[] };
                    case(at, failed, grouped.then_some(at / 5), signs)
                })
                .collect()
        };
        let share = |grouped| {
            let mut report = analyze(cases(grouped), &Templates::default(), &|_| 0.5);
            report.data.remove(0).share.unwrap()
        };
        let (alone, together) = (share(false), share(true));
        assert_eq!((together.groups, together.n, alone.groups), (20, 100, 100));
        assert!(together.design_effect > 4.5 && together.interval[1] > alone.interval[1]);
    }

    #[test]
    fn a_report_is_printed_so() {
        let templates = Templates::of(["Table 'a' doesn't exist"]);
        let mut report = analyze(failing(&templates), &templates, &|_| 4.0);
        report.data.truncate(2);
        insta::assert_json_snapshot!(report);
    }

    #[test]
    fn nothing_fails() {
        let report = analyze(Vec::new(), &Templates::default(), &|_| 0.5);
        assert_eq!(
            (report.data.len(), report.traces, report.failing),
            (0, 0, 0)
        );
    }
}
