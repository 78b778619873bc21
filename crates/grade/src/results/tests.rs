//! Runs that are made up, and what must be said of them.

use model::{JudgeUse, NanoUsd, Outcome, SpanId, UnscoredReason, Verdict};
use proptest::prelude::*;

use super::made::{
    builder, collected, facts, grade, in_group, one_to_five, passed, rated, verdict,
};
use super::*;
use crate::scale::GraderScale;

fn pass_fail(name: &str) -> GraderFacts {
    facts(name, GraderScale::PassFail)
}

#[track_caller]
fn near(found: Option<f64>, said: f64, within: f64) {
    let found = found.unwrap();
    assert!(
        (found - said).abs() <= within,
        "{found} is not {said} ± {within}"
    );
}

/// The outcomes of a file of `testdata/stats`: task, and a digit for each run.
pub(crate) fn table(name: &str, column: &str) -> Vec<(String, Vec<bool>)> {
    let path = format!(
        "{}/../../testdata/stats/{name}.tsv",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>());
    let head = lines.next().unwrap();
    let place = head.iter().position(|it| *it == column).unwrap();
    let digits = |text: &str| {
        text.chars()
            .filter(|it| *it != '-')
            .map(|it| it == '1')
            .collect()
    };
    lines
        .map(|line| (line[0].to_owned(), digits(line[place])))
        .collect()
}

/// The same as a run: a trace for each digit, its task the group.
pub(crate) fn run_of(name: &str, column: &str) -> Collected {
    let tasks = table(name, column);
    let grades = tasks.iter().flat_map(|(task, runs)| {
        runs.iter().enumerate().map(move |(at, passes)| {
            let grade = grade("solved", &format!("{column} {task} {at}"), passed(*passes));
            in_group(&format!("task {task}"), grade)
        })
    });
    collected(&[pass_fail("solved")], grades)
}

#[test]
fn runs_of_one_task_are_not_tasks() {
    let results = run_of("tau-bench-airline", "passed").results();
    let figure = results.pass_rate_figure.as_ref().unwrap();
    assert_eq!(
        (figure.n, figure.groups, results.pass_rate),
        (100, 25, Some(0.31))
    );
    assert!((figure.design_effect - 2.46).abs() < 0.005, "{figure:?}");
    assert_eq!(figure.method, "Wilson over groups");
    // naive intervals have a standard error of 0.0462; this one is as wide as 0.0726 makes it
    let width = figure.interval[1].unwrap() - figure.interval[0].unwrap();
    assert!((width / 2.0 / 2.064 - 0.0726).abs() < 0.004, "{width}");
    let grader = &results.by_grader["solved"];
    assert_eq!(grader.pass_rate_figure, results.pass_rate_figure);
    let outlook = grader.outlook.as_ref().unwrap();
    assert_eq!((outlook.traces, outlook.groups), (100, 25));
    // 2.8016 · √2 · 0.0726, the cluster error of 24 degrees being 0.0725
    assert!((outlook.detectable - 0.2877).abs() < 0.003, "{outlook:?}");
    let plan = Plan {
        traces: 200,
        groups: Some(50),
    };
    let next = outlook.of_plan(plan, stats::Level::P95).unwrap();
    assert!((next.detectable * 2.0_f64.sqrt() - outlook.detectable).abs() < 1e-9);
}

#[test]
fn a_sample_rich_in_errors_is_weighted() {
    // 400 of the 98 % that succeeded, 95 % of which pass; 100 of the 2 % that failed, of which 10 % pass
    let mut builder = builder(
        &[pass_fail("goal")],
        &[("success", 98_000), ("error", 2_000)],
    );
    let part = |name: &str, n: usize, passing: usize| -> Vec<model::Grade> {
        let graded = (0..n).map(|at| {
            let mut grade = grade("goal", &format!("{name} {at}"), passed(at < passing));
            grade.stratum = Some(name.to_owned());
            grade
        });
        graded.collect()
    };
    for grade in part("success", 400, 380)
        .iter()
        .chain(&part("error", 100, 10))
    {
        builder.add(grade);
    }
    let results = builder.finish();
    near(results.pass_rate, 0.933, 1e-12);
    let figure = results.pass_rate_figure.unwrap();
    assert_eq!(
        (figure.method.as_str(), figure.n),
        ("Wilson over strata", 500)
    );
    assert!(results.weighting.is_weighted);
    let parts: Vec<Option<f64>> = results.strata.iter().map(|it| it.pass_rate).collect();
    assert_eq!(parts, [Some(0.95), Some(0.1)]);
    let shares: Vec<_> = results.by_grader["goal"]
        .strata
        .iter()
        .map(|it| (it.population, it.graded))
        .collect();
    assert_eq!(shares, [(98_000, 400), (2_000, 100)]);
}

#[test]
fn a_part_that_nobody_saw_leaves_nothing_of_the_whole() {
    let mut builder = builder(&[pass_fail("goal")], &[("a", 900), ("b", 100)]);
    for at in 0..20 {
        let mut grade = grade("goal", &format!("t{at}"), passed(at % 4 > 0));
        grade.stratum = Some("a".to_owned());
        builder.add(&grade);
    }
    let results = builder.finish();
    assert_eq!(results.pass_rate, None);
    assert_eq!(
        results.withheld["pass_rate"],
        "the 2nd stratum has no observation"
    );
    assert_eq!(
        results.weighting.sentence,
        "No trace of “b” was graded, so nothing can be said of the whole: see each part by itself."
    );
    assert_eq!(
        (results.strata[0].pass_rate, results.strata[1].pass_rate),
        (Some(0.75), None)
    );
}

#[test]
fn weights_of_grades_tell_the_population_where_nobody_else_does() {
    let mut builder = builder(&[pass_fail("goal")], &[]);
    for at in 0..40 {
        let mut grade = grade("goal", &format!("t{at}"), passed(at < 20));
        let is_rare = at % 2 == 0;
        grade.stratum = Some(if is_rare { "rare" } else { "usual" }.to_owned());
        grade.weight = if is_rare { 1.0 } else { 9.0 };
        builder.add(&grade);
    }
    let results = builder.finish();
    let populations: Vec<u64> = results.strata.iter().map(|it| it.population).collect();
    assert_eq!(
        (results.weighting.is_weighted, populations),
        (true, vec![20, 180])
    );
}

#[test]
fn where_a_question_does_not_arise_the_part_weighs_less() {
    // half of a is not about it, so a weighs 500 and b 500
    let mut builder = builder(&[pass_fail("goal")], &[("a", 1_000), ("b", 500)]);
    for at in 0..200 {
        let said = match at % 4 {
            0 => verdict(Outcome::NotApplicable, None),
            2 => passed(true),
            _ => passed(at % 3 == 0),
        };
        let mut grade = grade("goal", &format!("t{at}"), said);
        grade.stratum = Some(if at % 2 == 0 { "a" } else { "b" }.to_owned());
        builder.add(&grade);
    }
    let results = builder.finish();
    let b = results.strata[1].pass_rate.unwrap();
    near(results.pass_rate, f64::midpoint(1.0, b), 1e-12);
}

#[test]
fn no_verdict_is_not_a_fail_and_too_many_are_told() {
    let unscored = |reason| Verdict::unscored(reason, "…");
    let grades = (0..100).map(|at| {
        let said = match at {
            0..4 => unscored(UnscoredReason::Parse),
            4..10 => unscored(UnscoredReason::Provider),
            10..20 => verdict(Outcome::NotApplicable, None),
            _ => passed(true),
        };
        grade("goal", &format!("t{at}"), said)
    });
    let results = collected(&[pass_fail("goal")], grades).results();
    let goal = &results.by_grader["goal"];
    assert_eq!(results.pass_rate, Some(1.0));
    assert_eq!(
        (
            goal.counts.unscored,
            goal.counts.not_applicable,
            goal.counts.pass
        ),
        (10, 10, 80)
    );
    assert_eq!(
        results.degraded_reasons,
        ["goal: 10 of 90 traces have no verdict (provider 6, parse 4)"]
    );
    assert!(results.degraded);
}

#[test]
fn numbers_have_a_mean_a_median_and_bars() {
    let scores = [5.0, 4.0, 4.0, 3.0, 5.0, 1.0, 4.0, 5.0, 2.5, 5.0];
    let grades = scores
        .iter()
        .enumerate()
        .map(|(at, score)| grade("tone", &format!("t{at}"), rated(*score)));
    let results = collected(&[facts("tone", one_to_five())], grades).results();
    let tone = &results.by_grader["tone"];
    near(tone.mean, 3.85, 1e-12);
    near(tone.median, 4.0, 0.0);
    assert_eq!(results.average_score, tone.mean);
    let bars: Vec<(f64, u64)> = tone
        .histogram
        .iter()
        .map(|bar| (bar.from, bar.count))
        .collect();
    assert_eq!(bars, [(1.0, 1), (2.0, 0), (3.0, 2), (4.0, 3), (5.0, 4)]);
    let at_least = tone.at_least.as_ref().unwrap();
    assert_eq!(
        (at_least.threshold, at_least.share, tone.pass_rate),
        (4.0, 0.7, Some(0.7))
    );
}

#[test]
fn scales_that_differ_have_no_common_mean() {
    let share = GraderScale::Number {
        low: Some(0.0),
        high: Some(1.0),
        pass_threshold: None,
    };
    let grades = (0..6).flat_map(|at| {
        let trace = format!("t{at}");
        let share = verdict(Outcome::Value, Some(f64::from(at) / 10.0));
        [
            grade("tone", &trace, rated(4.0)),
            grade("share", &trace, share),
        ]
    });
    let results = collected(
        &[facts("tone", one_to_five()), facts("share", share)],
        grades,
    )
    .results();
    assert_eq!(results.average_score, None);
    assert!(results.withheld["average_score"].contains("different scales"));
    let share = &results.by_grader["share"];
    assert_eq!((share.pass_rate, share.histogram.len()), (None, 10));
    assert!(
        !share.withheld.contains_key("pass_rate"),
        "nobody asked for it"
    );
    near(share.mean, 0.25, 1e-12);
}

#[test]
fn labels_have_shares_and_those_that_never_came_too() {
    let scale = GraderScale::Labels {
        labels: ["kind", "flat", "rude"].map(str::to_owned).to_vec(),
        passing: vec!["kind".to_owned()],
    };
    let grades = (0..40).map(|at| {
        let label = if at % 4 == 0 { "flat" } else { "kind" };
        let mut said = passed(label == "kind");
        said.label = Some(label.to_owned());
        grade("tone", &format!("t{at}"), said)
    });
    let results = collected(&[facts("tone", scale)], grades).results();
    let shares: Vec<(&str, u64, Option<f64>)> = results.by_grader["tone"]
        .labels
        .iter()
        .map(|(label, it)| (label.as_str(), it.count, it.share))
        .collect();
    assert_eq!(
        shares,
        [
            ("flat", 10, Some(0.25)),
            ("kind", 30, Some(0.75)),
            ("rude", 0, Some(0.0))
        ]
    );
}

#[test]
fn the_latest_attempt_counts_and_the_worst_span_stands_for_the_trace() {
    let attempt = |attempt: u32, said: Verdict| model::Grade {
        attempt,
        ..grade("goal", "t", said)
    };
    let span = |span: &str, said: Verdict| model::Grade {
        span_id: SpanId::new(span).ok(),
        ..grade("steps", "t", said)
    };
    let all = [
        attempt(2, passed(true)),
        attempt(1, Verdict::unscored(UnscoredReason::Provider, "…")),
        span("a", passed(true)),
        span("b", passed(false)),
        span("c", Verdict::unscored(UnscoredReason::Parse, "…")),
    ];
    let results = collected(&[pass_fail("goal"), pass_fail("steps")], all).results();
    let outcome = |name: &str| {
        let counts = &results.by_grader[name].counts;
        (counts.graded, counts.pass, counts.fail, counts.unscored)
    };
    assert_eq!(outcome("goal"), (1, 1, 0, 0));
    assert_eq!(outcome("steps"), (1, 0, 1, 0));
    assert_eq!((results.pass_rate, results.traces), (Some(0.0), 1));
    // an attempt without a verdict is no change of mind
    assert_eq!(results.by_grader["goal"].flips, None);
}

#[test]
fn a_grader_that_changes_its_mind_is_told() {
    let grades = (0..10).flat_map(|at| {
        let trace = format!("t{at}");
        let again = model::Grade {
            attempt: 2,
            ..grade("goal", &trace, passed(at != 3))
        };
        let both = [again, grade("goal", &trace, passed(true))];
        both.map(|grade| in_group(&format!("g{}", at / 5), grade))
    });
    let results = collected(&[pass_fail("goal")], grades).results();
    let flips = results.by_grader["goal"].flips.as_ref().unwrap();
    assert_eq!((flips.repeated, flips.flipped), (10, 1));
    // traces of one conversation are alike in this too
    let figure = flips.rate_figure.as_ref().unwrap();
    assert_eq!((figure.n, figure.groups), (10, 2));
}

#[test]
fn a_judge_of_the_family_that_it_judges_is_told_of_once() {
    let asked = |at: usize| {
        let warning = match at {
            0..3 => r#","warning":"the judge gpt-5 is of the family of gpt-4.1""#,
            _ => "",
        };
        let params = format!(r#"{{"judgement":{{"tier":0{warning}}}}}"#);
        let mut said = passed(true);
        said.judge = Some(JudgeUse {
            model: "gpt-5".to_owned(),
            params: model::JsonText::parse(&params).ok(),
            cached: at == 0,
            ..JudgeUse::default()
        });
        grade("goal", &format!("t{at}"), said)
    };
    let of = |places: std::ops::Range<usize>| {
        let results = collected(&[pass_fail("goal")], places.map(asked)).results();
        let judge = results.judge.unwrap();
        (judge.own_family, judge.own_family_warning)
    };
    let (kindred, warning) = of(0..10);
    assert_eq!(kindred, 3);
    let warning = warning.unwrap();
    assert!(warning.starts_with("in 3 of 10 grades"), "{warning}");
    assert_eq!(of(3..10), (0, None));
}

#[test]
fn traces_are_counted_by_what_somebody_says_instead_of_by_their_groups() {
    let grades = (0..40).map(|at| {
        let grade = grade("goal", &format!("t{at}"), passed(at % 4 == 0));
        in_group(&format!("g{at}"), grade)
    });
    let mut run = collected(&[pass_fail("goal")], grades);
    let user = |item: &str| {
        let number: usize = item[1..].parse().unwrap();
        (number >= 4).then(|| format!("u{}", number % 4))
    };
    let before = run.results().pass_rate_figure.unwrap();
    assert_eq!(run.set_groups(user), 4);
    let after = run.results().pass_rate_figure.unwrap();
    assert_eq!((before.groups, after.groups), (40, 8));
    assert!(after.design_effect > 3.0 && before.design_effect < 1.5);
}

#[test]
fn what_judges_took_is_added_up_earlier_attempts_too() {
    let asked = |cached: bool, cost: Option<i64>, attempt: u32| {
        let mut said = passed(true);
        said.judge = Some(JudgeUse {
            model: "gpt-5-mini".to_owned(),
            input_tokens: Some(1_000),
            cached_tokens: Some(600),
            output_tokens: Some(50),
            cost: cost.map(NanoUsd),
            cached,
            ..JudgeUse::default()
        });
        model::Grade {
            attempt,
            ..grade("goal", "t", said)
        }
    };
    let grades = [
        asked(false, Some(2_000_000), 1),
        asked(false, None, 2),
        asked(true, Some(9), 3),
    ];
    let judge = collected(&[pass_fail("goal")], grades)
        .results()
        .judge
        .unwrap();
    assert_eq!((judge.grades, judge.reused, judge.unpriced), (3, 1, 1));
    assert_eq!(
        (judge.cost_usd, judge.input_tokens, judge.cached_share),
        (0.002, 2_000, Some(0.6))
    );
}

#[test]
fn what_a_panel_and_a_repeated_judge_said_is_told() {
    let asked = |at: usize| {
        let third = if at.is_multiple_of(5) { "fail" } else { "pass" };
        let samples = if at.is_multiple_of(10) {
            r#"["pass","fail",null]"#
        } else {
            r#"["pass","pass"]"#
        };
        let params = format!(
            r#"{{"temperature":0,"judgement":{{"votes":["pass","pass","{third}",null],"agreement":1,"samples":{samples}}}}}"#
        );
        let judge = JudgeUse {
            model: if at == 3 { "a, b" } else { "a, b, c" }.to_owned(),
            params: model::JsonText::parse(&params).ok(),
            ..JudgeUse::default()
        };
        grade(
            "goal",
            &format!("t{at}"),
            Verdict {
                judge: Some(judge),
                ..passed(true)
            },
        )
    };
    let run = collected(&[pass_fail("goal")], (0..100).map(asked));
    assert!(
        run.graded()[0].judge.is_one(),
        "a silent judge is of the panel"
    );
    let goal = &run.results().by_grader["goal"];
    let noise = goal.noise.as_ref().unwrap();
    assert_eq!((noise.repeated, noise.flipped), (100, 10));
    let panel = goal.panel.as_ref().unwrap();
    assert_eq!(panel.traces, 100);
    // 80 traces agree in all pairs, 20 in one of three
    near(panel.agreement, (80.0 + 20.0 / 3.0) / 100.0, 1e-12);
    // D_o = 2/15; 280 of 300 votes are passes: D_e = 2·280·20/(300·299)
    near(
        panel.alpha,
        1.0 - (2.0 / 15.0) / (2.0 * 280.0 * 20.0 / (300.0 * 299.0)),
        1e-9,
    );
}

#[test]
fn traces_are_found_by_their_numbers() {
    let grades = (0..30).flat_map(|at| {
        let trace = format!("t{at:02}");
        [
            grade("tone", &trace, rated(f64::from(at % 5 + 1))),
            grade("goal", &trace, passed(at % 2 == 0)),
        ]
    });
    let run = collected(&[facts("tone", one_to_five()), pass_fail("goal")], grades);
    let low = ItemFilter {
        score_below: Some(3.0),
        ..ItemFilter::default()
    };
    let ids =
        |page: Vec<ItemResult>| -> Vec<String> { page.into_iter().map(|it| it.item_id).collect() };
    assert_eq!(ids(run.page(&low, None, 3)), ["t00", "t01", "t05"]);
    assert_eq!(ids(run.page(&low, Some("t05"), 3)), ["t06", "t10", "t11"]);
    assert_eq!(run.count(&low), 12);
    let failed = ItemFilter {
        grader: Some("grader_goal".to_owned()),
        outcome: Some(Outcome::Fail),
        score_below: None,
    };
    assert_eq!(run.count(&failed), 15);
    assert_eq!(
        run.page(&ItemFilter::default(), Some("t28"), 9)[0]
            .grades
            .len(),
        2
    );
}

#[test]
fn many_grades_take_little_memory() {
    let names = ["a", "b", "c", "d", "e"];
    let graders: Vec<GraderFacts> = names.iter().map(|name| pass_fail(name)).collect();
    let mut builder = builder(&graders, &[]);
    for at in 0..20_000_u32 {
        let trace = format!("trace_{:032x}", u128::from(at) << 64);
        for name in names {
            builder.add(&grade(name, &trace, passed(at % 2 == 0)));
        }
    }
    // 16 a grade and 65 an item, of 38 letters; what grows by doubling has up to twice as much
    let each = builder.bytes() as f64 / 100_000.0;
    assert!((25.0..60.0).contains(&each), "{each}");
}

#[test]
fn two_graders_of_one_name_are_told_apart() {
    let mut other = pass_fail("goal");
    other.id = "grader_other".to_owned();
    let results = collected(
        &[pass_fail("goal"), other],
        [grade("goal", "t", passed(true))],
    )
    .results();
    let names: Vec<&String> = results.by_grader.keys().collect();
    assert_eq!(names, ["goal (grader_goal v1)", "goal (grader_other v1)"]);
}

#[test]
fn results_are_printed_so() {
    let grades = (0..60).flat_map(|at| {
        let (trace, group) = (format!("t{at:02}"), format!("g{}", at / 3));
        let grades = [
            grade("tone", &trace, rated(f64::from(at % 7 % 5 + 1))),
            grade("goal", &trace, passed(at / 3 % 4 > 0)),
        ];
        grades.map(|grade| in_group(&group, grade))
    });
    let results = collected(&[facts("tone", one_to_five()), pass_fail("goal")], grades).results();
    insta::assert_json_snapshot!(results);
}

/// What a grade says, by a number.
fn said(word: u8) -> Verdict {
    match word {
        0 => passed(true),
        1 => passed(false),
        2 => verdict(Outcome::NotApplicable, None),
        3 => Verdict::unscored(UnscoredReason::Parse, "…"),
        score => rated(f64::from(score - 3)),
    }
}

prop_compose! {
    fn any_grade()(trace in 0_u8..12, grader in 0_u8..3, attempt in 1_u32..3, span in 0_u8..3, word in 0_u8..9, group in 0_u8..4) -> model::Grade {
        let _ = group;
        let mut grade = grade(["a", "b", "c"][grader as usize], &format!("t{trace}"), said(word));
        grade.attempt = attempt;
        grade.span_id = (span > 0).then(|| SpanId::new(&format!("s{span}")).unwrap());
        // an item has one group, whatever is said of it
        in_group(&format!("g{}", trace / 3), grade)
    }
}

proptest! {
    #[test]
    fn the_order_of_grades_changes_nothing(grades in prop::collection::vec(any_grade(), 1..80), by in any::<prop::sample::Index>()) {
        let graders = [facts("a", one_to_five()), pass_fail("b")];
        let one = collected(&graders, grades.clone());
        let mut turned = grades;
        let by = by.index(turned.len());
        turned.rotate_left(by);
        turned.reverse();
        let other = collected(&graders, turned);
        let filter = ItemFilter::default();
        prop_assert_eq!(one.page(&filter, None, 100), other.page(&filter, None, 100));
        let (mut one, mut other) = (one.results(), other.results());
        // sums in another order differ in their last bits
        let round = |results: &mut RunResults| {
            let text = serde_json::to_value(&*results).unwrap();
            rounded(text)
        };
        prop_assert_eq!(round(&mut one), round(&mut other));
    }

    #[test]
    fn one_stratum_is_none(words in prop::collection::vec((0_u8..9, 0_u8..5), 1..60)) {
        let graders = [facts("tone", one_to_five())];
        let grades = || words.iter().enumerate().map(|(at, (word, group))| {
            in_group(&format!("g{group}"), grade("tone", &format!("t{at}"), said(*word)))
        });
        let plain = collected(&graders, grades()).results();
        let mut builder = builder(&graders, &[("all", 1_000)]);
        for mut grade in grades() {
            grade.stratum = Some("all".to_owned());
            builder.add(&grade);
        }
        let one = builder.finish();
        prop_assert_eq!(plain.pass_rate_figure, one.pass_rate_figure);
        prop_assert_eq!(plain.average_score_figure, one.average_score_figure);
        prop_assert_eq!(&plain.by_grader["tone"].median_figure, &one.by_grader["tone"].median_figure);
        prop_assert!(!one.weighting.is_weighted);
    }

    #[test]
    fn counts_add_up_and_figures_hold_their_estimates(grades in prop::collection::vec(any_grade(), 1..80)) {
        let results = collected(&[facts("a", one_to_five()), pass_fail("b")], grades).results();
        for grader in results.by_grader.values() {
            let it = &grader.counts;
            prop_assert_eq!(it.graded, it.pass + it.fail + it.value + it.not_applicable + it.unscored);
            prop_assert_eq!(it.unscored, it.unscored_by_reason.values().sum::<u64>());
            let figures = [&grader.pass_rate_figure, &grader.mean_figure, &grader.median_figure];
            for figure in figures.into_iter().flatten() {
                let [low, high] = figure.interval;
                prop_assert!(low.is_none_or(|low| low <= figure.estimate) && high.is_none_or(|high| figure.estimate <= high), "{:?}", figure);
            }
        }
    }
}

/// A JSON value with its numbers rounded to ten places.
fn rounded(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Number(number) => number
            .as_f64()
            .map_or(Value::Null, |it| Value::String(figure::decimal(it, 9))),
        Value::Array(values) => values.into_iter().map(rounded).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, rounded(value)))
            .collect(),
        other => other,
    }
}

/// Prints what results of a million grades take: time, and bytes a grade.
#[test]
#[ignore = "prints figures and checks nothing; run it by name with --nocapture"]
fn results_of_a_million_grades() {
    let graders = ["a", "b", "c", "d", "e"].map(pass_fail);
    let traces = 200_000;
    let started = std::time::Instant::now();
    let mut builder = builder(&graders, &[]);
    for at in 0..traces {
        let trace = format!("trace_{at:032x}");
        for grader in &graders {
            let said = passed((at * 7 + grader.name.len()) % 10 > 2);
            builder.add(&in_group(
                &format!("group_{}", at / 4),
                grade(&grader.name, &trace, said),
            ));
        }
    }
    let collected = builder.collect();
    let gathered = started.elapsed();
    let bytes = collected.bytes();
    let started = std::time::Instant::now();
    let results = collected.results();
    let reckoned = started.elapsed();
    let grades = traces * graders.len();
    println!(
        "{grades} grades of {} traces: made and collected in {gathered:?}, reckoned in {reckoned:?}, {} bytes a grade, {} a trace",
        results.traces,
        bytes / grades,
        bytes / traces
    );
}

#[test]
fn grades_take_the_room_that_was_expected() {
    let graders = [
        facts("rule", GraderScale::PassFail),
        facts("stars", one_to_five()),
    ];
    for items in [1, 900, 5_000] {
        let expected = ResultsBuilder::bytes_expected(items, &graders);
        let mut builder = builder(&graders, &[]).expecting(items);
        for nth in 0..items {
            let trace = format!("trace_{nth:032x}");
            builder.add(&grade("rule", &trace, passed(nth % 3 > 0)));
            builder.add(&grade("stars", &trace, rated((nth % 5) as f64)));
        }
        // the table of ids has some bytes more
        let taken = builder.bytes();
        assert!(
            expected <= taken && taken <= expected + 64,
            "{items} items take {taken} bytes, not {expected}"
        );
    }
}
