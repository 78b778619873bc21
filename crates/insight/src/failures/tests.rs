//! Made-up failures with known reasons.

use proptest::prelude::*;

use super::*;

impl Knowledge<'_> {
    /// Knows nothing, and takes every rate for known to a tenth.
    pub(super) fn bare() -> Knowledge<'static> {
        static NONE: std::sync::LazyLock<Templates> = std::sync::LazyLock::new(Templates::default);
        Knowledge {
            templates: &NONE,
            detector: &|_| None,
            pass_from: &|_| 0.5,
            interval: &|tally| {
                let rate = tally.hits as f64 / tally.n as f64;
                Some(((rate - 0.1).max(0.0), (rate + 0.1).min(1.0)))
            },
        }
    }
}

fn detector(id: &str) -> Feature {
    Feature::Detector(id.to_owned())
}

fn case(at: usize, failed: bool, features: &[Feature]) -> FailureCase {
    let signs = features.iter().map(|feature| Sign {
        feature: feature.clone(),
        span_id: Some(SpanId::new("here").unwrap()),
    });
    FailureCase {
        trace_id: TraceId::new(&format!("t{at:06}")).unwrap(),
        group: None,
        failed,
        signs: signs.collect(),
        cost: Some(NanoUsd(1_000)),
        started_at: Some(Time::from_micros(i64::try_from(at).unwrap() * 1_000_000)),
        error_span: None,
    }
}

fn names(analysis: &FailureAnalysis) -> Vec<(String, u64)> {
    let named = |group: &FailureGroup| (group.issue.clone(), group.affected_traces);
    analysis.groups.iter().map(named).collect()
}

#[test]
fn each_reason_is_a_group_and_what_is_common_everywhere_is_none() {
    let everywhere = detector("D25");
    let mut cases = Vec::new();
    for at in 0..40 {
        cases.push(case(at, true, &[detector("D01"), everywhere.clone()]));
    }
    for at in 40..60 {
        cases.push(case(at, true, &[detector("D08"), everywhere.clone()]));
    }
    cases.push(case(60, true, std::slice::from_ref(&everywhere)));
    for at in 61..200 {
        cases.push(case(at, false, std::slice::from_ref(&everywhere)));
    }
    let knowledge = Knowledge {
        detector: &|id| {
            (id == "D01").then_some(About {
                title: "identical calls",
                suggestion: "Stop it.",
            })
        },
        ..Knowledge::bare()
    };
    let analysis = analyze(cases, &knowledge);
    assert_eq!(
        names(&analysis),
        [
            ("Identical calls (D01)".to_owned(), 40),
            ("Detector D08".to_owned(), 20)
        ]
    );
    let first = &analysis.groups[0];
    assert_eq!(first.rule, "detector(\"D01\")");
    assert_eq!(first.grader_check(), "!(detector(\"D01\"))");
    assert_eq!(first.suggestion, "Stop it.");
    assert_eq!((first.share.estimate, first.share.n), (0.2, 200));
    assert_eq!(
        (first.of_failing, first.of_passing),
        (40.0 / 61.0, Some(0.0))
    );
    let tallies = &first.tallies;
    let counted = [&tallies.of_all, &tallies.of_failing, &tallies.of_passing];
    let counted = counted.map(|tally| (tally.hits, tally.n));
    assert_eq!(counted, [(40, 200), (40, 61), (0, 139)]);
    assert_eq!(first.cost, Some(NanoUsd(40_000)));
    assert_eq!(first.confidence, Confidence::High);
    assert_eq!(first.first_seen, Some(Time::from_micros(0)));
    let trend = first.trend.as_ref().unwrap();
    assert_eq!(
        (trend.earlier, trend.later, trend.direction),
        (0.4, 0.0, Direction::Falling)
    );
    let examples: Vec<&str> = first
        .example_traces
        .iter()
        .map(|it| it.trace_id.as_str())
        .collect();
    assert_eq!(examples, ["t000039", "t000038", "t000037"]);
    assert_eq!(
        first.example_traces[0].span_id.as_ref().unwrap().as_str(),
        "here"
    );
    assert_eq!(
        (analysis.traces, analysis.failing, analysis.unexplained),
        (200, 61, 1)
    );
}

#[test]
fn two_features_that_fail_only_together_are_one_group() {
    let (a, b) = (detector("A"), Feature::Criterion("tone".to_owned()));
    let mut cases = Vec::new();
    for at in 0..30 {
        cases.push(case(at, true, &[a.clone(), b.clone()]));
        cases.push(case(100 + at, false, std::slice::from_ref(&a)));
        cases.push(case(200 + at, false, std::slice::from_ref(&b)));
    }
    let analysis = analyze(cases, &Knowledge::bare());
    assert_eq!(
        names(&analysis),
        [("Detector A and fails “tone”".to_owned(), 30)]
    );
    assert_eq!(
        analysis.groups[0].rule,
        "detector(\"A\") && score(\"tone\") < 0.5"
    );
}

#[test]
fn examples_are_of_different_groups_and_tallies_count_them() {
    let mut cases: Vec<FailureCase> = (0..12)
        .map(|at| case(at, at < 6, &[detector("A")][..usize::from(at < 6)]))
        .collect();
    for (at, case) in cases.iter_mut().enumerate() {
        // the newest four failing ones are of one group
        let group = if at < 2 {
            format!("g{at}")
        } else {
            "g".to_owned()
        };
        case.group = Some(GroupId::new(&group).unwrap());
    }
    let tallies = std::cell::RefCell::new(Vec::new());
    let knowledge = Knowledge {
        interval: &|tally| {
            tallies.borrow_mut().push(tally.clone());
            None
        },
        ..Knowledge::bare()
    };
    let analysis = analyze(cases, &knowledge);
    let group = &analysis.groups[0];
    let examples: Vec<&str> = group
        .example_traces
        .iter()
        .map(|it| it.trace_id.as_str())
        .collect();
    assert_eq!(examples, ["t000005", "t000001", "t000000"]);
    assert_eq!(group.share.groups, Some(3));
    assert_eq!(group.trend, None);
    // without an interval nothing is sure
    assert_eq!(group.confidence, Confidence::Medium);
    assert_eq!(
        tallies.borrow()[0],
        Tally {
            hits: 6,
            n: 12,
            groups: vec![(1, 1), (1, 1), (4, 10)],
        }
    );
}

#[test]
fn where_nothing_fails_or_nothing_is_there_nothing_is_found() {
    let passing = (0..9).map(|at| case(at, false, &[detector("A")])).collect();
    assert!(analyze(passing, &Knowledge::bare()).groups.is_empty());
    assert_eq!(
        analyze(Vec::new(), &Knowledge::bare()),
        FailureAnalysis::default()
    );
    let failing = (0..9).map(|at| case(at, true, &[detector("A")])).collect();
    let analysis = analyze(failing, &Knowledge::bare());
    assert_eq!(analysis.groups[0].of_passing, None);
    assert_eq!(analysis.groups[0].confidence, Confidence::Low);
}

#[test]
fn an_error_is_named_by_its_template_and_advised_about() {
    let templates = Templates::of(["Table 'a' doesn't exist", "Table 'b' doesn't exist"]);
    let id = templates.iter().next().unwrap().id.clone();
    let cases = (0..5).map(|at| case(at, true, &[Feature::ErrorTemplate(id.clone())]));
    let knowledge = Knowledge {
        templates: &templates,
        ..Knowledge::bare()
    };
    let analysis = analyze(cases.collect(), &knowledge);
    let group = &analysis.groups[0];
    assert_eq!(group.issue, "Error “Table … doesn't exist”");
    assert!(
        group
            .suggestion
            .starts_with("The model names what is not there")
    );
    assert!(group.rule_is_exact);
}

/// Cases with so many features each, of a few hundred, by a fixed sequence.
fn many(count: usize, failing: usize, each: usize) -> Vec<FailureCase> {
    let mut state = 1u64;
    let mut next = |bound: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    (0..count)
        .map(|at| {
            // the lower numbers are the more frequent ones
            let features: Vec<Feature> = (0..each)
                .map(|_| detector(&format!("F{}", next(20) * next(20))))
                .collect();
            case(at, at < failing, &features)
        })
        .collect()
}

#[test]
fn a_hundred_thousand_traces_are_grouped_in_bounded_work() {
    let started = std::time::Instant::now();
    let analysis = analyze(many(10_000, 10_000, 20), &Knowledge::bare());
    eprintln!("10,000 failing of 10,000: {:?}", started.elapsed());
    assert_eq!(analysis.failing, 10_000);
    let cases = many(100_000, 10_000, 20);
    let started = std::time::Instant::now();
    let analysis = analyze(cases, &Knowledge::bare());
    eprintln!("10,000 failing of 100,000: {:?}", started.elapsed());
    assert!(analysis.groups.len() <= GROUPS_MAX);
}

proptest! {
    #[test]
    fn the_order_of_cases_does_not_matter_and_counts_add_up(
        rows in prop::collection::vec((any::<bool>(), prop::collection::vec(0u8..6, 0..4)), 0..40),
        seed in any::<prop::sample::Index>(),
    ) {
        let cases: Vec<FailureCase> = rows.iter().enumerate().map(|(at, (failed, features))| {
            let features: Vec<Feature> = features.iter().map(|it| detector(&format!("F{it}"))).collect();
            case(at, *failed, &features)
        }).collect();
        let analysis = analyze(cases.clone(), &Knowledge::bare());
        let mut turned = cases.clone();
        if !turned.is_empty() {
            let by = seed.index(turned.len());
            turned.rotate_left(by);
        }
        prop_assert_eq!(&analyze(turned, &Knowledge::bare()), &analysis);
        let mut explained = HashSet::new();
        for group in &analysis.groups {
            let holds = |case: &FailureCase| group.features.iter().all(|it| case.features().any(|of| of == it));
            let affected: Vec<_> = cases.iter().filter(|case| case.failed && holds(case)).collect();
            prop_assert_eq!(affected.len() as u64, group.affected_traces);
            prop_assert!(group.of_passing.is_none_or(|passing| passing <= group.of_failing + 1e-9));
            explained.extend(affected.iter().map(|case| case.trace_id.as_str()));
        }
        prop_assert_eq!(analysis.failing - explained.len() as u64, analysis.unexplained);
    }
}
