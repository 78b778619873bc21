//! A judge who is wrong, with and without people's help.

use stats::agreement::{Confusion, Judged, confusion};
use stats::interval::{self, Purpose};
use stats::ppi::{Judgement, Queued, by_known_chances, ppi, stratified};
use stats::rng::Chance;
use stats::rogan_gladen::rogan_gladen;
use stats::{Figure, Level, Refusal, Rows, cluster};

use super::{Check, Must};

/// What four methods say of one set of judgements.
struct Answers {
    raw: Result<Figure, Refusal>,
    humans: Result<Figure, Refusal>,
    corrected: Result<Figure, Refusal>,
    rogan_gladen: Result<Figure, Refusal>,
}

/// Asks people about the first `labels` of (judge, human).
///
/// Labels alone get ± t·SE as PPI++ does, so that their widths compare. The description has z: with 100
/// labels t is 1.2 % wider, which the checks leave room for.
fn answers(items: &[(bool, bool)], labels: usize) -> Answers {
    let number = |outcome: bool| f64::from(u8::from(outcome));
    let judgements: Vec<Judgement> = items
        .iter()
        .enumerate()
        .map(|(place, &(judge, human))| Judgement {
            judge: number(judge),
            human: (place < labels).then_some(number(human)),
            group: None,
        })
        .collect();
    let labelled: Vec<Judged> = items[..labels]
        .iter()
        .map(|&(judge, human)| Judged {
            judge,
            human,
            group: None,
        })
        .collect();
    let counts: Confusion = confusion(&labelled);
    let passed = items.iter().filter(|(judge, _)| *judge).count() as u64;
    let n = items.len() as u64;
    Answers {
        raw: interval::rate(passed, n, Level::P95, Purpose::Report),
        humans: Rows::independent(items[..labels].iter().map(|&(_, human)| number(human)))
            .and_then(|rows| cluster::mean(&rows, Level::P95)),
        corrected: ppi(&judgements, Level::P95).map(|corrected| corrected.figure),
        rogan_gladen: rogan_gladen(passed, n, &counts, Level::P95),
    }
}

/// Widths and coverage of one method over runs.
#[derive(Default)]
struct Tally {
    widths: Vec<f64>,
    covered: usize,
    errors: Vec<f64>,
}

impl Tally {
    fn add(&mut self, figure: &Result<Figure, Refusal>, truth: f64) {
        if let Ok(figure) = figure {
            self.widths.push(figure.interval.width());
            self.covered += usize::from(figure.interval.contains(truth));
            self.errors.push(figure.estimate - truth);
        }
    }
}

/// Sensitivity 0.95, specificity 0.60, truth 0.55, N = 2,000 of which m = 200 are labelled.
pub(crate) fn lenient(runs: usize) -> Vec<Check> {
    const TRUTH: f64 = 0.55;
    let mut chance = Chance::new(11);
    let [mut raw, mut humans, mut corrected, mut gladen] =
        std::array::from_fn(|_| Tally::default());
    for _ in 0..runs {
        let items: Vec<(bool, bool)> = (0..2_000)
            .map(|_| {
                let human = chance.coin(TRUTH);
                (chance.coin(if human { 0.95 } else { 0.4 }), human)
            })
            .collect();
        let answers = answers(&items, 200);
        raw.add(&answers.raw, TRUTH);
        humans.add(&answers.humans, TRUTH);
        corrected.add(&answers.corrected, TRUTH);
        gladen.add(&answers.rogan_gladen, TRUTH);
    }
    vec![
        Check::mean("lenient judge: raw bias", 0.15, &raw.errors).rounded_to(0.01),
        Check::share("lenient judge: raw covers", 0.0, raw.covered, runs),
        Check::mean(
            "lenient judge: width of Rogan-Gladen",
            0.209,
            &gladen.widths,
        )
        .rounded_to(0.002),
        Check::mean("lenient judge: width of PPI++", 0.113, &corrected.widths).rounded_to(0.002),
        Check::mean(
            "lenient judge: width of labels alone",
            0.138,
            &humans.widths,
        )
        .rounded_to(0.002),
        Check::share(
            "lenient judge: PPI++ covers at least",
            0.94,
            corrected.covered,
            runs,
        )
        .must(Must::Reach),
        Check::share(
            "lenient judge: Rogan-Gladen covers at least",
            0.94,
            gladen.covered,
            runs,
        )
        .must(Must::Reach),
    ]
}

/// Real judgements (judge, human), 732 of them drawn as independent, of which 100 are labelled.
pub(crate) fn real(items: &[(bool, bool)], runs: usize) -> Vec<Check> {
    let mut chance = Chance::new(12);
    let truth = items.iter().filter(|(_, human)| *human).count() as f64 / items.len() as f64;
    let [mut raw, mut humans, mut corrected, mut gladen] =
        std::array::from_fn(|_| Tally::default());
    for _ in 0..runs {
        let drawn: Vec<(bool, bool)> = items
            .iter()
            .map(|_| items[chance.below(items.len())])
            .collect();
        let answers = answers(&drawn, 100);
        raw.add(&answers.raw, truth);
        humans.add(&answers.humans, truth);
        corrected.add(&answers.corrected, truth);
        gladen.add(&answers.rogan_gladen, truth);
    }
    let width = |tally: &Tally| tally.widths.iter().sum::<f64>() / tally.widths.len() as f64;
    vec![
        Check::mean(
            "real judge, m = 100: width of PPI++",
            0.128,
            &corrected.widths,
        )
        .rounded_to(0.005),
        Check::mean("real judge: width of labels alone", 0.184, &humans.widths).rounded_to(0.005),
        Check::mean("real judge: width of Rogan-Gladen", 0.198, &gladen.widths).rounded_to(0.005),
        Check::exact(
            "real judge: PPI++ over labels alone",
            0.70,
            width(&corrected) / width(&humans),
            0.02,
        ),
        Check::share("real judge: raw covers", 0.85, raw.covered, runs).rounded_to(0.01),
        Check::share(
            "real judge: PPI++ covers at least",
            0.93,
            corrected.covered,
            runs,
        )
        .must(Must::Reach),
        Check::share(
            "real judge: Rogan-Gladen covers at least",
            0.93,
            gladen.covered,
            runs,
        )
        .must(Must::Reach),
    ]
}

/// The other forms of PPI++, about which the description prints no figure.
pub(crate) fn forms(runs: usize) -> Vec<Check> {
    let mut chance = Chance::new(13);
    let [
        mut grouped,
        mut active,
        mut by_strata,
        mut rare,
        mut rare_active,
    ] = [0; 5];
    for _ in 0..runs {
        grouped +=
            usize::from(grouped_run(&mut chance).is_ok_and(|figure| figure.interval.contains(0.5)));
        active +=
            usize::from(active_run(&mut chance).is_ok_and(|figure| figure.interval.contains(0.55)));
        by_strata +=
            usize::from(strata_run(&mut chance).is_ok_and(|figure| figure.interval.contains(0.72)));
        let [plain, queued] = rare_errors(&mut chance);
        rare += usize::from(plain.is_ok_and(|figure| figure.interval.contains(0.9)));
        rare_active += usize::from(queued.is_ok_and(|figure| figure.interval.contains(0.9)));
    }
    [
        ("PPI++ over groups covers at least", grouped),
        ("PPI++ of labels asked by doubt covers at least", active),
        ("PPI++ of strata covers at least", by_strata),
        (
            "PPI++ of 60 labels of a judge who rarely errs covers at least",
            rare,
        ),
        ("the same of labels asked by doubt", rare_active),
    ]
    .into_iter()
    .map(|(name, hits)| Check::share(name, 0.93, hits, runs).must(Must::Reach))
    .collect()
}

fn judged(chance: &mut Chance, human: bool) -> bool {
    chance.coin(if human { 0.9 } else { 0.3 })
}

/// A judge who errs in 5 of 100 cases, and 60 labels: at random, and mostly where he is in doubt and passes
/// everything.
fn rare_errors(chance: &mut Chance) -> [Result<Figure, Refusal>; 2] {
    let (mut plain, mut queue) = (Vec::new(), Vec::new());
    for i in 0..2_000 {
        let human = chance.coin(0.9);
        let (errs, is_doubtful) = (chance.coin(0.05), chance.coin(0.1));
        let number = |it: bool| f64::from(u8::from(it));
        let item = |judge: bool, label: bool| Judgement {
            judge: number(judge),
            human: label.then_some(number(human)),
            group: None,
        };
        plain.push(item(human != errs, i < 60));
        let share = 60.0 / 2_000.0 / 0.352 * if is_doubtful { 1.0 } else { 0.28 };
        let judge = is_doubtful || human != errs;
        queue.push(Queued {
            item: item(judge, chance.coin(share)),
            chance: share,
        });
    }
    [
        ppi(&plain, Level::P95).map(|corrected| corrected.figure),
        by_known_chances(&queue, Level::P95).map(|corrected| corrected.figure),
    ]
}

/// 60 tasks of 10 whose pass rates differ widely; two of each are labelled.
fn grouped_run(chance: &mut Chance) -> Result<Figure, Refusal> {
    let mut items = Vec::new();
    for task in 0..60 {
        let rate = chance.unit();
        for i in 0..10 {
            let human = chance.coin(rate);
            items.push(Judgement {
                judge: f64::from(u8::from(judged(chance, human))),
                human: (i < 2).then_some(f64::from(u8::from(human))),
                group: Some(task),
            });
        }
    }
    ppi(&items, Level::P95).map(|corrected| corrected.figure)
}

/// What the judge failed is asked about four times as often.
fn active_run(chance: &mut Chance) -> Result<Figure, Refusal> {
    let queue: Vec<Queued> = (0..1_500)
        .map(|_| {
            let human = chance.coin(0.55);
            let judge = judged(chance, human);
            let share = if judge { 0.05 } else { 0.2 };
            Queued {
                item: Judgement {
                    judge: f64::from(u8::from(judge)),
                    human: chance.coin(share).then_some(f64::from(u8::from(human))),
                    group: None,
                },
                chance: share,
            }
        })
        .collect();
    by_known_chances(&queue, Level::P95).map(|corrected| corrected.figure)
}

/// Four fifths of rate 0.8 and a fifth of 0.4, as many labels in both.
fn strata_run(chance: &mut Chance) -> Result<Figure, Refusal> {
    let mut stratum = |rate: f64| -> Vec<Judgement> {
        (0..500)
            .map(|i| {
                let human = chance.coin(rate);
                Judgement {
                    judge: f64::from(u8::from(judged(chance, human))),
                    human: (i < 80).then_some(f64::from(u8::from(human))),
                    group: None,
                }
            })
            .collect()
    };
    let strata = [(8_000, stratum(0.8)), (2_000, stratum(0.4))];
    stratified(&strata, Level::P95).map(|corrected| corrected.figure)
}
