//! Runs of published agents and made-up ones, compared.

use model::{Grade, JudgeUse, Outcome, Verdict};
use proptest::prelude::*;

use super::*;
use crate::results::made::{
    builder, collected, facts, grade, in_group, of_pairs, one_to_five, pair, passed, rated,
};
use crate::results::tests::run_of;
use crate::results::{Collected, GraderFacts};
use crate::scale::GraderScale;

fn pass_fail(name: &str) -> GraderFacts {
    facts(name, GraderScale::PassFail)
}

/// A run of the file whose key is the task.
fn keyed(name: &str, column: &str) -> Collected {
    let mut run = run_of(name, column);
    // an item is called "column task run"
    run.set_keys(|item| item.rsplit(' ').nth(1).map(str::to_owned));
    run
}

fn asked(margin: f64) -> CompareOptions {
    CompareOptions {
        margin: Some(margin),
        ..CompareOptions::default()
    }
}

fn width(figure: &FigureObject) -> f64 {
    figure.interval[1].unwrap() - figure.interval[0].unwrap()
}

#[test]
fn the_same_tasks_are_paired_by_their_key() {
    let (three, four) = (
        keyed("intercode-sql", "gpt-3.5"),
        keyed("intercode-sql", "gpt-4"),
    );
    let found = compare(&three, &four, &asked(0.02));
    let tested = found.graders[0].tested.as_ref().unwrap();
    assert_eq!(
        (found.verdict, tested.design, tested.unpaired),
        (Standing::Better, "paired", 0)
    );
    assert!((tested.difference.estimate - 0.264).abs() < 5e-4);
    // t of 1,033 degrees: the paired standard error is 0.0168
    assert!((width(&tested.difference) / 2.0 / 1.962_25 - 0.0168).abs() < 5e-5);
    assert!(tested.mcnemar.unwrap() < 1e-40);
    insta::assert_snapshot!(found.sentence, @"solved: better by 26 points (23 to 30), p < 0.001.");
    insta::assert_snapshot!(found.graders[0].method, @"Both runs have the same 1034 keys, so they are paired, repeats averaged: signs of the differences are flipped (20,000 random arrangements), and the interval is mean ± t·SE over pairs.");
}

#[test]
fn a_better_prompt_is_seen_in_pairs_and_not_without() {
    let column = |prompt| format!("gpt-4o/{prompt}-prompt/orig-topology");
    let (before, after) = (
        keyed("mast-ag2", &column("orig")),
        keyed("mast-ag2", &column("impr")),
    );
    let paired = compare(&before, &after, &CompareOptions::default());
    let tested = paired.graders[0].tested.as_ref().unwrap();
    assert_eq!(
        (paired.verdict, tested.difference.n, tested.unpaired),
        (Standing::Better, 199, 1)
    );
    assert!((tested.p_value - 0.022).abs() < 0.006, "{tested:?}");
    // as if no run knew of another: 3.8 points of 28 could not be seen
    let alone = |name: &str| {
        let tasks = crate::results::tests::table("mast-ag2", name);
        let grades = tasks.into_iter().flat_map(|(task, runs)| {
            let name = name.to_owned();
            runs.into_iter()
                .enumerate()
                .map(move |(at, it)| grade("solved", &format!("{name} {task} {at}"), passed(it)))
        });
        collected(&[pass_fail("solved")], grades)
    };
    let apart = compare(
        &alone(&column("orig")),
        &alone(&column("impr")),
        &CompareOptions::default(),
    );
    let tested = apart.graders[0].tested.as_ref().unwrap();
    assert_eq!(
        (apart.verdict, tested.design),
        (Standing::CannotTell, "groups")
    );
    assert!((0.05..0.1).contains(&tested.p_value), "{tested:?}");
    assert!(tested.detectable > 0.038);
    assert!(apart.sentence.contains("cannot tell"), "{}", apart.sentence);
}

#[test]
fn groups_that_are_in_both_runs_are_pairs() {
    let run = |column| run_of("mast-ag2", column);
    let found = compare(
        &run("gpt-4/impr-prompt/orig-topology"),
        &run("gpt-4/impr-prompt/impr-topology"),
        &asked(0.02),
    );
    let tested = found.graders[0].tested.as_ref().unwrap();
    assert_eq!(
        (found.verdict, tested.not_worse),
        (Standing::Worse, Some(false))
    );
    assert!((tested.difference.estimate + 0.05).abs() < 1e-9);
    assert!(found.graders[0].method.contains("groups are paired"));
}

/// A run of traces in groups of their own.
fn numbers(name: &str, scores: impl IntoIterator<Item = f64>) -> Collected {
    let grades = scores.into_iter().enumerate();
    let grades = grades.map(|(at, score)| grade("tone", &format!("{name}{at}"), rated(score)));
    collected(&[facts("tone", one_to_five())], grades)
}

#[test]
fn numbers_that_nothing_pairs_are_compared_by_ranks() {
    let a = numbers("a", (0..120).map(|at| f64::from(at % 4 + 1)));
    let b = numbers("b", (0..120).map(|at| f64::from(at % 4 + 2)));
    let found = compare(&a, &b, &asked(0.05));
    let tested = found.graders[0].tested.as_ref().unwrap();
    assert_eq!((found.verdict, tested.design), (Standing::Better, "ranks"));
    assert!(tested.probability_greater.as_ref().unwrap().estimate > 0.6);
    let back = compare(&b, &a, &asked(0.05));
    assert_eq!(back.verdict, Standing::Worse);
    insta::assert_snapshot!(back.sentence, @"tone: worse by 1.00 (0.71 to 1.29), p < 0.001.");
    let same = compare(
        &a,
        &numbers("c", (0..120).map(|at| f64::from(at % 4 + 1))),
        &asked(0.05),
    );
    assert_ne!(same.verdict, Standing::Better);
}

/// A run of a sample in two parts: (name, population, passed, sampled).
fn sampled(name: &str, parts: &[(&str, u64, usize, usize)]) -> Collected {
    let strata: Vec<(&str, u64)> = parts.iter().map(|it| (it.0, it.1)).collect();
    let mut builder = builder(&[pass_fail("goal")], &strata);
    for (stratum, _, passing, n) in parts {
        for at in 0..*n {
            let grade = grade(
                "goal",
                &format!("{name} {stratum} {at}"),
                passed(at < *passing),
            );
            builder.add(&Grade {
                stratum: Some((*stratum).to_owned()),
                ..grade
            });
        }
    }
    builder.collect()
}

#[test]
fn weighted_samples_are_compared_by_their_weights() {
    let a = sampled("a", &[("easy", 9_000, 180, 200), ("hard", 1_000, 10, 20)]);
    let b = sampled("b", &[("easy", 9_000, 76, 80), ("hard", 1_000, 90, 150)]);
    let tested = compare(&a, &b, &asked(0.0))
        .graders
        .remove(0)
        .tested
        .unwrap();
    assert_eq!(tested.design, "strata");
    assert!((tested.difference.estimate - 0.055).abs() < 1e-12);
    // the same traces graded again are pairs, weighted
    let again = sampled("a", &[("easy", 9_000, 190, 200), ("hard", 1_000, 15, 20)]);
    let tested = compare(&a, &again, &asked(0.0))
        .graders
        .remove(0)
        .tested
        .unwrap();
    assert_eq!((tested.design, tested.difference.n), ("paired_strata", 220));
    assert!((tested.difference.estimate - (0.9 * 0.05 + 0.1 * 0.25)).abs() < 1e-12);
    assert!((tested.baseline.estimate - (0.9 * 0.9 + 0.1 * 0.5)).abs() < 1e-12);
    let apart = compare(
        &a,
        &again,
        &CompareOptions {
            pair_by: PairBy::Nothing,
            ..asked(0.0)
        },
    );
    let apart = apart.graders[0].tested.as_ref().unwrap();
    assert!(
        width(&apart.difference) > width(&tested.difference),
        "pairing gains"
    );
}

#[test]
fn p_values_are_adjusted_for_the_number_of_graders() {
    let graders: Vec<GraderFacts> = (0..5).map(|at| pass_fail(&format!("g{at}"))).collect();
    let run = |name: &str, passes: usize| {
        let grades = (0..5).flat_map(|grader| {
            let name = name.to_owned();
            (0..100).map(move |at| {
                // only the first grader sees a difference
                let least = if grader == 0 { passes } else { 80 };
                grade(
                    &format!("g{grader}"),
                    &format!("{name}{at}"),
                    passed(at < least),
                )
            })
        });
        collected(&graders, grades)
    };
    let found = compare(&run("a", 80), &run("b", 93), &CompareOptions::default());
    let first = found.graders[0].tested.as_ref().unwrap();
    assert!(first.p_value < 0.05 && (first.p_adjusted - (5.0 * first.p_value)).abs() < 1e-12);
    let few = CompareOptions {
        graders: vec!["g0".to_owned()],
        ..CompareOptions::default()
    };
    let alone = compare(&run("a", 80), &run("b", 93), &few);
    assert_eq!((alone.graders.len(), alone.verdict), (1, Standing::Better));
    let worse = compare(&run("a", 80), &run("b", 40), &CompareOptions::default());
    insta::assert_snapshot!(worse.sentence, @"The candidate is worse by 1 of 5 graders (g0).");
}

#[test]
fn a_changed_grader_is_not_compared_unless_that_is_the_question() {
    let judged = |model: &str, trace: &str, passes: bool| {
        let judge = JudgeUse {
            model: model.to_owned(),
            ..JudgeUse::default()
        };
        grade(
            "goal",
            trace,
            Verdict {
                judge: Some(judge),
                ..passed(passes)
            },
        )
    };
    let run = |model: &str, version: u32| {
        let mut goal = pass_fail("goal");
        goal.version = version;
        goal.hash = format!("hash {version}");
        collected(
            &[goal],
            (0..40).map(|at| judged(model, &format!("t{at}"), at % 3 > 0)),
        )
    };
    let why = |a: &Collected, b: &Collected| {
        compare(a, b, &CompareOptions::default()).graders[0]
            .refused
            .clone()
    };
    let (one, two, other) = (run("gpt-5", 1), run("gpt-5", 2), run("gpt-5-mini", 1));
    assert!(
        why(&one, &two)
            .unwrap()
            .starts_with("it is version 1 and version 2")
    );
    assert!(
        why(&one, &other)
            .unwrap()
            .starts_with("its judge is gpt-5 and gpt-5-mini")
    );
    assert_eq!(why(&one, &run("gpt-5", 1)), None);
    let meant = CompareOptions {
        allow_changed_graders: true,
        ..CompareOptions::default()
    };
    assert!(compare(&one, &two, &meant).graders[0].tested.is_some());
}

#[test]
fn labels_that_are_neither_good_nor_bad_only_change() {
    let scale = GraderScale::Labels {
        labels: vec!["de".to_owned(), "en".to_owned()],
        passing: Vec::new(),
    };
    let run = |name: &str, german: usize| {
        let grades = (0..100).map(|at| {
            let label = if at < german { "de" } else { "en" };
            let said = Verdict {
                label: Some(label.to_owned()),
                ..Verdict::new(Outcome::Value)
            };
            grade("language", &format!("{name}{at}"), said)
        });
        collected(&[facts("language", scale.clone())], grades)
    };
    let found = compare(&run("a", 20), &run("b", 60), &CompareOptions::default());
    assert_eq!((found.verdict, found.graders.len()), (Standing::Changed, 2));
    insta::assert_snapshot!(found.graders[0].sentence, @"language, share of “de”: more often, by 40 points (27 to 51), p < 0.001.");
}

#[test]
fn what_is_not_there_is_said() {
    let (a, b) = (numbers("a", [3.0]), numbers("b", [4.0]));
    let found = compare(&a, &b, &CompareOptions::default());
    assert_eq!(found.verdict, Standing::CannotTell);
    insta::assert_snapshot!(found.sentence, @"tone: nothing can be said: one group says nothing of the spread between groups.");
    let asked = CompareOptions {
        graders: vec!["none".to_owned()],
        ..CompareOptions::default()
    };
    let found = compare(&a, &b, &asked);
    assert_eq!(
        found.graders[0].refused.as_deref(),
        Some("neither run was graded by it")
    );
    let empty = collected(&[], []);
    insta::assert_snapshot!(compare(&empty, &empty, &CompareOptions::default()).sentence, @"The runs have no grader in common.");
}

#[test]
fn a_ratio_to_what_may_be_nothing_is_withheld() {
    let run = |name: &str, passing: usize| {
        let grades = (0..50).map(|at| grade("goal", &format!("{name}{at}"), passed(at < passing)));
        collected(&[pass_fail("goal")], grades)
    };
    let tested = compare(&run("a", 0), &run("b", 30), &asked(0.0))
        .graders
        .remove(0)
        .tested
        .unwrap();
    assert_eq!(tested.relative, None);
    assert!(tested.withheld["relative"].contains("touches zero"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_run_is_never_better_than_itself(
        words in prop::collection::vec((1_u8..6, 0_u8..6), 2..40),
        grouped: bool, again: bool, pair_by in prop::sample::select(vec![PairBy::Anything, PairBy::Nothing, PairBy::Group, PairBy::Item]),
    ) {
        let run = |name: &str| {
            let grades = words.iter().enumerate().map(|(at, (score, group))| {
                let grade = grade("tone", &format!("{name}{at}"), rated(f64::from(*score)));
                if grouped { in_group(&format!("g{group}"), grade) } else { grade }
            });
            collected(&[facts("tone", one_to_five())], grades)
        };
        let options = CompareOptions { pair_by, ..asked(0.02) };
        let found = compare(&run("a"), &run(if again { "a" } else { "b" }), &options);
        prop_assert!(!matches!(found.verdict, Standing::Better | Standing::Worse), "{found:?}");
    }

    #[test]
    fn the_order_of_traces_changes_nothing(words in prop::collection::vec((1_u8..6, 0_u8..6, any::<bool>()), 4..40), by in any::<prop::sample::Index>()) {
        let run = |is_a: bool, turn: usize| {
            let mut grades: Vec<Grade> = words.iter().enumerate().filter(|(_, it)| it.2 == is_a).map(|(at, (score, group, _))| {
                in_group(&format!("g{group}"), grade("tone", &format!("t{at}"), rated(f64::from(*score))))
            }).collect();
            if !grades.is_empty() { let turn = turn % grades.len(); grades.rotate_left(turn); }
            collected(&[facts("tone", one_to_five())], grades)
        };
        let turn = by.index(words.len());
        let (one, other) = (compare(&run(true, 0), &run(false, 0), &asked(0.1)), compare(&run(true, turn), &run(false, turn), &asked(0.1)));
        prop_assert_eq!(one.graders.len(), other.graders.len());
        for (one, other) in one.graders.iter().zip(&other.graders) {
            prop_assert_eq!(&one.refused, &other.refused);
            if let (Some(one), Some(other)) = (&one.tested, &other.tested) {
                prop_assert!((one.difference.estimate - other.difference.estimate).abs() < 1e-9);
                // random arrangements deal groups in another order
                prop_assert!((one.p_value - other.p_value).abs() < 0.03);
            }
        }
    }
}

#[test]
fn what_compares_two_traces_itself_is_read_where_it_says_so() {
    let of = |orders: [&str; 2]| {
        let pairs = (0..60).map(|n| pair("which", n, orders));
        let passes = (0..60).map(|n| grade("goal", &format!("trace_{n}"), passed(n % 3 > 0)));
        let graders = [of_pairs("which"), pass_fail("goal")];
        collected(&graders, pairs.chain(passes))
    };
    // Each wins against others: that tells nothing about the two.
    let (one, other) = (of(["worse"; 2]), of(["better"; 2]));
    let found = compare(&one, &other, &CompareOptions::default());
    let which = found
        .graders
        .iter()
        .find(|it| it.grader == "which")
        .unwrap();
    assert_eq!(which.verdict, Standing::CannotTell);
    let why = which.refused.as_ref().unwrap();
    assert!(why.contains("pairwise.win_rate"), "{why}");
    let goal = found.graders.iter().find(|it| it.grader == "goal").unwrap();
    assert!(goal.tested.is_some());
    // It is one run that has it: to have it in the other is not what is lacking.
    let plain = collected(&[pass_fail("goal")], [grade("goal", "t", passed(true))]);
    let asked = CompareOptions {
        graders: vec!["which".to_owned()],
        ..CompareOptions::default()
    };
    let found = compare(&plain, &other, &asked);
    assert!(
        found.sentence.contains("pairwise.win_rate"),
        "{}",
        found.sentence
    );
}
