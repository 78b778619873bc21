//! A published judge against people, and made-up ones.

use model::{Grade, JudgeUse, UnscoredReason, Verdict};
use stats::interval::{Purpose, rate};
use stats::rng::Chance;

use super::*;
use crate::results::made::{builder, collected, facts, grade, in_group, passed};
use crate::scale::GraderScale;

fn goal() -> GraderFacts {
    facts("goal", GraderScale::PassFail)
}

fn options(chosen: Chosen) -> CalibrateOptions {
    CalibrateOptions {
        chosen,
        level: Level::P95,
        seed: 1,
    }
}

fn label(item: &str, author: &str, passed: bool) -> HumanLabel {
    HumanLabel {
        item_id: item.to_owned(),
        author: author.to_owned(),
        passed,
        asked: None,
    }
}

/// (system, task, human, judge) of a published judge.
fn judgements() -> Vec<(String, String, bool, bool)> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../testdata/stats/agent-as-a-judge.tsv"
    );
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().skip(1);
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            (
                fields[0].to_owned(),
                fields[1].to_owned(),
                fields[2] == "1",
                fields[3] == "1",
            )
        })
        .collect()
}

/// The judge's verdicts on one system, and what people say of the requirements of these numbers.
fn published(system: &str, asked: impl Fn(usize) -> bool) -> (Collected, Vec<HumanLabel>) {
    let all: Vec<_> = judgements()
        .into_iter()
        .filter(|it| it.0 == system)
        .collect();
    let grades = all.iter().enumerate().map(|(at, (_, task, _, judge))| {
        in_group(task, grade("goal", &format!("r{at}"), passed(*judge)))
    });
    let labels = all.iter().enumerate().filter(|(at, _)| asked(*at));
    let labels = labels
        .map(|(at, it)| label(&format!("r{at}"), "people", it.2))
        .collect();
    (collected(&[goal()], grades), labels)
}

#[track_caller]
fn near(figure: Option<&FigureObject>, said: f64) {
    let found = figure.unwrap().estimate;
    assert!((found - said).abs() < 5e-4, "{found} is not {said}");
}

#[test]
fn a_published_judge_against_people() {
    for (system, agreement, kappa, q1, q0) in [
        ("GPT-Pilot", 0.866, 0.730, 0.871, 0.862),
        ("MetaGPT", 0.921, 0.775, 0.852, 0.940),
    ] {
        let (run, labels) = published(system, |_| true);
        let found = calibrate(&run, "goal", &labels, &options(Chosen::AtRandom)).unwrap();
        near(found.agreement.as_ref(), agreement);
        near(found.kappa.as_ref(), kappa);
        near(found.sensitivity.as_ref(), q1);
        near(found.specificity.as_ref(), q0);
        assert!(found.calibrated, "{}", found.sentence);
        let sum = found.confusion;
        let sum = sum.both_pass + sum.both_fail + sum.only_judge_passes + sum.only_people_pass;
        assert_eq!((sum as usize, found.labelled), (labels.len(), labels.len()));
        // all are labelled: the corrected rate is theirs
        let people = labels.iter().filter(|it| it.passed).count() as f64 / labels.len() as f64;
        near(found.corrected_rate.as_ref(), people);
    }
}

#[test]
fn a_hundred_labels_and_a_judge_are_narrower_than_the_labels_and_as_right() {
    let all = judgements();
    let truth = all.iter().filter(|it| it.2).count() as f64 / all.len() as f64;
    let run = {
        let grades = all.iter().enumerate();
        collected(
            &[goal()],
            grades.map(|(at, it)| grade("goal", &format!("r{at}"), passed(it.3))),
        )
    };
    let (mut held, mut narrower, runs) = (0, 0.0, 100);
    for seed in 0..runs {
        let mut chance = Chance::new(seed);
        let mut order: Vec<usize> = (0..all.len()).collect();
        for at in 0..100 {
            let other = at + chance.below(order.len() - at);
            order.swap(at, other);
        }
        let chosen = &order[..100];
        let labels: Vec<HumanLabel> = chosen
            .iter()
            .map(|at| label(&format!("r{at}"), "a", all[*at].2))
            .collect();
        let found = calibrate(&run, "goal", &labels, &options(Chosen::AtRandom)).unwrap();
        let [low, high] = found.corrected_rate.unwrap().interval.map(Option::unwrap);
        held += usize::from(low <= truth && truth <= high);
        let yes = labels.iter().filter(|it| it.passed).count() as u64;
        let alone = rate(yes, 100, Level::P95, Purpose::Report).unwrap();
        narrower += (high - low) / alone.interval.width() / runs as f64;
    }
    assert!(held >= 93, "{held}");
    assert!((0.5..0.78).contains(&narrower), "{narrower}");
}

#[test]
fn a_lenient_judge_is_corrected() {
    // q1 .95, q0 .60, truth .55: the judge passes 70 %
    let width = |figure: &FigureObject| figure.interval[1].unwrap() - figure.interval[0].unwrap();
    let (mut widths, mut held, runs) = ([0.0; 2], [0; 2], 40);
    for seed in 0..runs {
        let mut chance = Chance::new(seed);
        let all: Vec<(bool, bool)> = (0..2_000)
            .map(|_| {
                let truth = chance.coin(0.55);
                (truth, chance.coin(if truth { 0.95 } else { 0.40 }))
            })
            .collect();
        let grades = all.iter().enumerate();
        let grades = grades.map(|(at, it)| grade("goal", &format!("t{at}"), passed(it.1)));
        let run = collected(&[goal()], grades);
        let labels: Vec<HumanLabel> = (0..200)
            .map(|at| label(&format!("t{at}"), "a", all[at].0))
            .collect();
        for (at, chosen) in [Chosen::AtRandom, Chosen::Otherwise]
            .into_iter()
            .enumerate()
        {
            let found = calibrate(&run, "goal", &labels, &options(chosen)).unwrap();
            assert!(found.raw_rate.as_ref().unwrap().interval[0].unwrap() > 0.6);
            let is_low = found
                .sentence
                .starts_with("uncalibrated: specificity is 0.");
            assert!(is_low && !found.calibrated, "{}", found.sentence);
            let figure = found.corrected_rate.unwrap();
            let [low, high] = figure.interval.map(Option::unwrap);
            held[at] += usize::from(low < 0.55 && 0.55 < high);
            widths[at] += width(&figure) / runs as f64;
        }
    }
    // the specified widths, and coverage of 95 % less three errors of 40 runs
    assert!((widths[0] - 0.113).abs() < 0.006, "{widths:?}");
    assert!((widths[1] - 0.209).abs() < 0.012, "{widths:?}");
    assert!(held[0] >= 34 && held[1] >= 34, "{held:?}");
}

#[test]
fn a_judge_like_a_coin_is_not_corrected_by_its_errors() {
    let run = collected(
        &[goal()],
        (0..100).map(|at| grade("goal", &format!("t{at}"), passed(at % 2 == 0))),
    );
    let labels: Vec<HumanLabel> = (0..60)
        .map(|at| label(&format!("t{at}"), "a", at % 3 == 0))
        .collect();
    let found = calibrate(&run, "goal", &labels, &options(Chosen::Otherwise)).unwrap();
    assert_eq!(found.corrected_rate, None);
    assert!(
        found.correction.contains("cannot be corrected"),
        "{}",
        found.correction
    );
}

#[test]
fn until_thirty_labels_it_is_uncalibrated() {
    let run = collected(
        &[goal()],
        (0..100).map(|at| grade("goal", &format!("t{at:02}"), passed(at % 2 == 0))),
    );
    let labels = |n: usize| -> Vec<HumanLabel> {
        (0..n)
            .map(|at| label(&format!("t{at:02}"), "a", at % 2 == 0))
            .collect()
    };
    let found = |n| calibrate(&run, "goal", &labels(n), &options(Chosen::AtRandom)).unwrap();
    assert_eq!(
        found(29).sentence,
        "uncalibrated: 29 labelled traces of the 30 it takes"
    );
    assert_eq!(found(30).sentence, "calibrated on 30 labelled traces");
    let none = found(0);
    assert_eq!(
        (none.calibrated, none.labelled, none.agreement.is_none()),
        (false, 0, true)
    );
    assert_eq!(none.correction, "not corrected: there are no values");
    assert!(none.raw_rate.is_some());
}

#[test]
fn people_who_disagree_are_counted_and_not_taken_for_the_truth() {
    let unscored = |at: usize| match at {
        0..4 => Verdict::unscored(UnscoredReason::Parse, "…"),
        _ => passed(at.is_multiple_of(2)),
    };
    let run = collected(
        &[goal()],
        (0..40).map(|at| grade("goal", &format!("t{at}"), unscored(at))),
    );
    let mut labels: Vec<HumanLabel> = (0..40)
        .map(|at| label(&format!("t{at}"), "ann", at % 2 == 0))
        .collect();
    labels.extend((0..20).map(|at| label(&format!("t{at}"), "bob", at % 2 == 0 || at == 19)));
    labels.push(label("elsewhere", "ann", true));
    // ann thinks again: the last counts
    labels.push(label("t39", "ann", true));
    labels.push(label("t39", "ann", false));
    let found = calibrate(&run, "grader_goal", &labels, &options(Chosen::AtRandom)).unwrap();
    assert_eq!(
        (found.labelled, found.disputed, found.without_verdict),
        (35, 1, 5)
    );
    assert_eq!(found.double_labelled, 20);
    near(found.human_kappa.as_ref(), 0.9);
    near(found.agreement.as_ref(), 1.0);
}

#[test]
fn verdicts_of_several_judges_are_not_one_judges() {
    let judged = |model: &str, at: usize| {
        let judge = JudgeUse {
            model: model.to_owned(),
            ..JudgeUse::default()
        };
        grade(
            "goal",
            &format!("t{at}"),
            Verdict {
                judge: Some(judge),
                ..passed(at.is_multiple_of(2))
            },
        )
    };
    let run =
        |models: [&str; 2]| collected(&[goal()], (0..40).map(|at| judged(models[at % 2], at)));
    let labels: Vec<HumanLabel> = (0..40)
        .map(|at| label(&format!("t{at}"), "a", at % 2 == 0))
        .collect();
    let of = |run: &Collected| calibrate(run, "goal", &labels, &options(Chosen::AtRandom));
    let mixed = of(&run(["gpt-5", "gpt-5-mini"])).unwrap_err();
    assert!(
        mixed.to_string().contains("gpt-5 and gpt-5-mini judged"),
        "{mixed}"
    );
    let found = of(&run(["gpt-5", "gpt-5"])).unwrap();
    assert_eq!(found.invalid_for(&run(["gpt-5", "gpt-5"])), None);
    assert!(
        found
            .invalid_for(&run(["o9", "o9"]))
            .unwrap()
            .contains("another model")
    );
    let mut second = goal();
    (second.version, second.hash) = (2, "other".to_owned());
    let next = collected(
        &[second],
        [Grade {
            grader_hash: "other".to_owned(),
            ..judged("gpt-5", 1)
        }],
    );
    assert!(
        found
            .invalid_for(&next)
            .unwrap()
            .contains("version 2 graded")
    );
    assert_eq!(
        calibrate(&next, "none", &labels, &options(Chosen::AtRandom)),
        Err(CalibrateError::NoGrader("none".to_owned()))
    );
}

#[test]
fn labels_of_a_weighted_sample_are_weighted() {
    let mut builder = builder(&[goal()], &[("easy", 9_000), ("hard", 1_000)]);
    let (mut labels, mut chance) = (Vec::new(), Chance::new(2));
    for at in 0..400 {
        let is_hard = at % 2 == 0;
        // people pass 90 % of the easy and 20 % of the hard; the judge passes what they do and each fifth
        let truth = if is_hard { at % 10 == 0 } else { at % 20 > 1 };
        let id = format!("t{at}");
        let stratum = Some(if is_hard { "hard" } else { "easy" }.to_owned());
        builder.add(&Grade {
            stratum,
            ..grade("goal", &id, passed(truth || at % 5 == 4))
        });
        if chance.coin(0.5) {
            labels.push(label(&id, "a", truth));
        }
    }
    let found = calibrate(
        &builder.collect(),
        "goal",
        &labels,
        &options(Chosen::AtRandom),
    )
    .unwrap();
    let figure = found.corrected_rate.unwrap();
    let [low, high] = figure.interval.map(Option::unwrap);
    assert!(low < 0.83 && 0.83 < high && high - low < 0.15, "{figure:?}");
}

#[test]
fn a_judge_that_errs_in_a_rare_stratum_is_right_of_most() {
    // of 200 successes the judge is right of all but ten, of 200 errors, 2 % of what ran, of half
    let mut builder = builder(&[goal()], &[("success", 98_000), ("error", 2_000)]);
    let mut labels = Vec::new();
    for at in 0..400 {
        let is_error = at >= 200;
        let truth = at % 2 == 0;
        let errs = at % if is_error { 2 } else { 20 } == 1;
        builder.add(&model::Grade {
            stratum: Some(if is_error { "error" } else { "success" }.to_owned()),
            ..grade("goal", &format!("t{at}"), passed(truth != errs))
        });
        labels.push(label(&format!("t{at}"), "ann", truth));
    }
    let run = builder.collect();
    let found = calibrate(&run, "goal", &labels, &options(Chosen::AtRandom)).unwrap();
    near(found.agreement.as_ref(), 0.98 * 0.95 + 0.02 * 0.5);
    // of the fails of people it passes one of ten successes, and all errors
    near(found.specificity.as_ref(), 0.98 * 0.9);
    let other = calibrate(&run, "goal", &labels, &options(Chosen::Otherwise)).unwrap();
    near(other.agreement.as_ref(), 0.725);
}

fn queue_id(by: DrawnBy) -> QueueId {
    QueueId {
        run_id: "grun_1".to_owned(),
        by,
        seed: 0,
    }
}

/// A run of 2,000 traces, 55 % of them good. A tenth of the verdicts are doubtful, and there the judge
/// passes everything; elsewhere it is right in 19 of 20.
fn doubtful_run(chance: &mut Chance) -> (Collected, Vec<bool>) {
    let mut truths = Vec::new();
    let mut builder = builder(&[goal()], &[]);
    for at in 0..2_000 {
        let truth = chance.coin(0.55);
        let is_doubtful = chance.coin(0.1);
        let says = is_doubtful || truth == chance.coin(0.95);
        builder.add(&grade(
            "goal",
            &format!("t{at}"),
            Verdict {
                confidence: Some(if is_doubtful { 0.5 } else { 0.95 }),
                ..passed(says)
            },
        ));
        truths.push(truth);
    }
    (builder.collect(), truths)
}

fn answers(run: &Collected, truths: &[bool], id: &QueueId, sizes: &[usize]) -> Vec<HumanLabel> {
    let mut labels: Vec<HumanLabel> = Vec::new();
    for &size in sizes {
        for drawn in queue::label_queue(run, "goal", id, size).unwrap().drawn {
            if labels.iter().any(|it| it.item_id == drawn.item_id) {
                continue;
            }
            let at: usize = drawn.item_id[1..].parse().unwrap();
            labels.push(HumanLabel {
                asked: Some(AskedFor {
                    queue: id.clone(),
                    chance: drawn.chance,
                }),
                ..label(&drawn.item_id, "ann", truths[at])
            });
        }
    }
    labels
}

#[test]
fn a_queue_asks_where_the_judge_is_unsure_and_its_answer_is_that_of_all() {
    let mut chance = Chance::new(5);
    let (run, truths) = doubtful_run(&mut chance);
    let truth = truths.iter().filter(|it| **it).count() as f64 / 2_000.0;
    let (mut held, mut estimates, runs) = (0, 0.0, 30);
    for seed in 0..runs {
        let id = QueueId {
            seed,
            ..queue_id(DrawnBy::Doubt)
        };
        // made longer once: the first answers keep their place
        let labels = answers(&run, &truths, &id, &[80, 200]);
        let found = calibrate(&run, "goal", &labels, &options(Chosen::AsRecorded)).unwrap();
        assert_eq!((found.chosen, found.used), ("queue", labels.len()));
        let rate = found.corrected_rate.unwrap();
        let [low, high] = rate.interval.map(Option::unwrap);
        held += usize::from(low <= truth && truth <= high);
        estimates += rate.estimate / runs as f64;
        // a tenth of all, and more than a quarter of what is asked, give or take
        let drawn = queue::label_queue(&run, "goal", &id, 200).unwrap().drawn;
        let doubtful = drawn.iter().filter(|it| it.doubt > 0.9).count();
        assert!(doubtful * 6 > drawn.len(), "{doubtful} of {}", drawn.len());
    }
    assert!((estimates - truth).abs() < 0.02, "{estimates} {truth}");
    assert!(held >= 26, "{held} of {runs}");
}

#[test]
fn a_queue_is_as_long_as_asked_drawn_again_alike_and_the_longer_holds_the_shorter() {
    let (run, _) = doubtful_run(&mut Chance::new(7));
    let draw = |size| queue::label_queue(&run, "goal", &queue_id(DrawnBy::Doubt), size).unwrap();
    let (short, long) = (draw(100), draw(400));
    assert_eq!(short, draw(100));
    assert!(
        (70..=130).contains(&short.drawn.len()),
        "{}",
        short.drawn.len()
    );
    assert_eq!(short.judged, 2_000);
    let ids: Vec<&str> = long.drawn.iter().map(|it| &*it.item_id).collect();
    for drawn in &short.drawn {
        assert!(ids.contains(&&*drawn.item_id), "{drawn:?}");
    }
    // the chances are those of the formula: they sum to the size over all traces, and differ five-fold
    let chances: Vec<f64> = long.drawn.iter().map(|it| it.chance).collect();
    let (least, most) = chances
        .iter()
        .fold((1.0_f64, 0.0_f64), |(a, b), it| (a.min(*it), b.max(*it)));
    assert!(
        most / least > 3.0 && most / least <= 5.0 + 1e-9,
        "{least} {most}"
    );
    let all: f64 = chances.iter().map(|it| 1.0 / it).sum();
    assert!((all / 2_000.0 - 1.0).abs() < 0.15, "{all}");
    // the order has nothing to do with doubt
    let mean_doubt =
        |part: &[queue::Drawn]| part.iter().map(|it| it.doubt).sum::<f64>() / part.len() as f64;
    let (first, rest) = long.drawn.split_at(long.drawn.len() / 2);
    assert!((mean_doubt(first) - mean_doubt(rest)).abs() < 0.15);
    assert_eq!(draw(5_000).drawn.len(), 2_000);
    assert!(draw(5_000).drawn.iter().all(|it| it.chance >= 1.0));
    let other = queue::label_queue(
        &run,
        "goal",
        &QueueId {
            seed: 1,
            ..queue_id(DrawnBy::Doubt)
        },
        100,
    );
    assert_ne!(other.unwrap(), short);
}

#[test]
fn how_labels_were_chosen_decides_how_the_rate_is_corrected() {
    let mut chance = Chance::new(3);
    let (run, truths) = doubtful_run(&mut chance);
    let recorded = |labels: &[HumanLabel]| {
        let found = calibrate(&run, "goal", labels, &options(Chosen::AsRecorded)).unwrap();
        (found.chosen, found.used, found.correction)
    };
    let by_doubt = answers(&run, &truths, &queue_id(DrawnBy::Doubt), &[120]);
    let by_chance = answers(&run, &truths, &queue_id(DrawnBy::Chance), &[120]);
    let (how, used, told) = recorded(&by_doubt);
    assert_eq!((how, used), ("queue", by_doubt.len()));
    assert!(told.starts_with("Known chances"), "{told}");
    let (how, _, told) = recorded(&by_chance);
    assert!(how == "random" && told.starts_with("PPI++"), "{how} {told}");
    let elsewhere: Vec<HumanLabel> = (0..100)
        .map(|at| label(&format!("t{at}"), "bob", truths[at]))
        .collect();
    let (how, used, told) = recorded(&elsewhere);
    assert_eq!((how, used), ("other", 100));
    assert!(told.starts_with("Rogan"), "{told}");
    // where all are labelled there is nothing to be estimated from the judge
    let all: Vec<HumanLabel> = (0..2_000)
        .map(|at| label(&format!("t{at}"), "bob", truths[at]))
        .collect();
    let found = calibrate(&run, "goal", &all, &options(Chosen::AsRecorded)).unwrap();
    let good = truths.iter().filter(|good| **good).count() as u64;
    let people = stats::interval::rate(good, 2_000, Level::P95, Purpose::Report).unwrap();
    assert_eq!((found.chosen, found.used), ("all", 2_000));
    assert_eq!(found.corrected_rate, Some(FigureObject::from(people)));
    // a queue that was begun does not yet outweigh a hundred labels
    let begun = [&elsewhere[..], &by_doubt[..4]].concat();
    assert_eq!(recorded(&begun).0, "other");
    let mixed = [&elsewhere[..], &by_doubt[..]].concat();
    let (how, used, told) = recorded(&mixed);
    assert_eq!((how, used), ("queue", by_doubt.len()));
    assert!(
        told.contains("not asked for by the queue are left out"),
        "{told}"
    );
}

#[test]
fn a_judge_that_errs_only_in_doubt_is_not_worse_for_being_asked_there() {
    let mut chance = Chance::new(9);
    let (run, truths) = doubtful_run(&mut chance);
    let labels = answers(&run, &truths, &queue_id(DrawnBy::Doubt), &[400]);
    let agreement = |chosen| {
        let found = calibrate(&run, "goal", &labels, &options(chosen)).unwrap();
        found.agreement.unwrap().estimate
    };
    let says = |at: usize| {
        run.graded()[0]
            .cell(run.item(&format!("t{at}")).unwrap())
            .passed()
    };
    let truth = (0..2_000)
        .filter(|at| says(*at) == Some(f64::from(u8::from(truths[*at]))))
        .count() as f64
        / 2_000.0;
    assert!((agreement(Chosen::AsRecorded) - truth).abs() < 0.04);
    assert!(
        agreement(Chosen::Otherwise) < truth - 0.04,
        "unweighted it looks worse"
    );
}

#[test]
fn a_queue_has_one_name() {
    let id = queue_id(DrawnBy::Doubt);
    assert_eq!(id.to_string(), "grun_1.doubt.0");
    assert_eq!(id.to_string().parse(), Ok(id));
    for wrong in [
        "",
        "grun_1",
        "grun_1.luck.0",
        "grun_1.doubt.00",
        ".doubt.0",
        "grun_1.doubt.-1",
    ] {
        assert!(wrong.parse::<QueueId>().is_err(), "{wrong}");
    }
}

#[test]
fn a_calibration_is_printed_so() {
    let (run, labels) = published("MetaGPT", |at| at % 3 == 0);
    let found = calibrate(&run, "goal", &labels, &options(Chosen::AtRandom)).unwrap();
    insta::assert_json_snapshot!(found);
}
