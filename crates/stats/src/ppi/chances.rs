//! Labels of items that were asked for with known chances: the doubtful ones more often.
//!
//! A label of an item that had one chance in ten speaks for ten items. So people may be asked where the
//! judge is unsure, and the answer is still that of all items.

use super::{Corrected, Judgement, Moments, finish, in_strata, variance_of_unseen};
use crate::{Level, Refusal, Row, Rows};

/// A judged item that had a known chance to be labelled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Queued {
    /// The item.
    pub item: Judgement,
    /// π: the chance with which people were asked about it, above 0, whether they were or not.
    pub chance: f64,
}

/// Returns the mean that people would give when doubtful items were labelled more often.
///
/// θ̂ = λJ̄ + Σ(y − λJ)·ξ/π / Σ ξ/π, where ξ says whether there is a label: each label stands for 1/π
/// items, scaled to the number of all (Horvitz and Thompson 1952, Hájek 1971; λJ from Zrnic and Candès
/// 2024, arXiv 2403.03208). By the scaling only the proportions of the chances matter: of a queue that was
/// answered in part the rest may be left, if what was left has nothing to do with the answers. λ minimises
/// the variance and is cut to 0..1; V is that of the linearised mean over groups. Assumes that items were
/// drawn one by one with their own chances. A chance of 0 or above 1 is refused.
pub fn by_known_chances(queue: &[Queued], level: Level) -> Result<Corrected, Refusal> {
    let moments = moments(queue)?;
    let groups = moments.labelled.groups();
    finish(&moments, groups as f64 - 1.0, level)
}

/// Returns the same of strata: in each by itself, put together with the frozen weights W_h = N_h/N, as
/// [`super::stratified`] does.
pub fn by_known_chances_in_strata(
    strata: &[(u64, Vec<Queued>)],
    level: Level,
) -> Result<Corrected, Refusal> {
    in_strata(strata, level, moments)
}

fn moments(queue: &[Queued]) -> Result<Moments, Refusal> {
    let is_chance = |queued: &Queued| queued.chance > 0.0 && queued.chance <= 1.0;
    if let Some(bad) = queue.iter().find(|queued| !is_chance(queued)) {
        return Err(Refusal::OutOfRange {
            value: bad.chance,
            low: 0.0,
            high: 1.0,
        });
    }
    let row = |queued: &Queued, value| Row {
        value,
        group: queued.item.group,
    };
    let labels = queue
        .iter()
        .filter_map(|queued| Some(row(queued, queued.item.human?)));
    let labelled = Rows::new(labels)?;
    if labelled.groups() < 2 {
        return Err(Refusal::OneGroup);
    }
    let n = queue.len() as f64;
    let stands_for = |queued: &Queued| queued.item.human.map_or(0.0, |_| 1.0 / queued.chance);
    let all: f64 = queue.iter().map(stands_for).sum();
    let mean_of = |value: &dyn Fn(&Queued) -> f64| -> f64 {
        queue
            .iter()
            .map(|it| stands_for(it) * value(it))
            .sum::<f64>()
            / all
    };
    let human = |queued: &Queued| queued.item.human.unwrap_or(0.0);
    let (mean_human, mean_judge) = (mean_of(&human), mean_of(&|it| it.item.judge));
    // ψ = h + λ·j, with ξ/π scaled so that it sums to n
    let part = |queued: &Queued| {
        let share = stands_for(queued) * n / all;
        (
            mean_human + (human(queued) - mean_human) * share,
            (queued.item.judge - mean_judge) * (1.0 - share),
        )
    };
    let humans = Rows::new(queue.iter().map(|queued| row(queued, part(queued).0)))?;
    let judges = Rows::new(queue.iter().map(|queued| row(queued, part(queued).1)))?;
    let covariance = {
        let (mean_h, mean_j) = (humans.mean(), judges.mean());
        let product = |queued: &Queued| {
            let (h, j) = part(queued);
            (h - mean_h) * (j - mean_j)
        };
        queue.iter().map(product).sum::<f64>() / (n - 1.0)
    };
    let weight = -covariance / judges.variance().unwrap_or(0.0);
    let weight = if weight.is_finite() {
        weight.clamp(0.0, 1.0)
    } else {
        0.0
    };
    let both = Rows::new(queue.iter().map(|queued| {
        let (h, j) = part(queued);
        row(queued, h + weight * j)
    }))?;
    let of_unseen = match labelled.n() < queue.len() {
        true => {
            let labels = queue
                .iter()
                .filter_map(|it| Some((it.item.judge, it.item.human?)));
            let squares: f64 = queue.iter().map(|it| stands_for(it).powi(2)).sum();
            // as many labels of equal chances as these are worth (Kish)
            let worth = (all * all / squares).min(labelled.groups() as f64);
            variance_of_unseen(labels, worth)
        }
        false => 0.0,
    };
    Ok(Moments {
        of_unseen,
        estimate: both.mean(),
        variance: both.variance_of_mean().ok_or(Refusal::OneGroup)?,
        alone: labelled.variance().unwrap_or(0.0) / labelled.n() as f64,
        weight_of_judge: weight,
        judged: queue.len(),
        labelled,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Chance;

    fn queued(judge: f64, human: Option<f64>, chance: f64) -> Queued {
        Queued {
            item: Judgement {
                judge,
                human,
                group: None,
            },
            chance,
        }
    }

    /// A judge who is right where he is sure and passes everything where he is not, and people who are
    /// asked mostly there; they answer only `answered` of what they are asked.
    fn asked(chance: &mut Chance, answered: f64) -> Vec<Queued> {
        let of = |place: u32| {
            let doubtful = place.is_multiple_of(5);
            let truth = if doubtful {
                place % 10 < 5
            } else {
                !place.is_multiple_of(3)
            };
            let judge = doubtful || truth;
            let share = if doubtful { 0.5 } else { 0.1 };
            let label = chance.coin(share) && chance.coin(answered);
            let number = |it: bool| f64::from(u8::from(it));
            queued(number(judge), label.then_some(number(truth)), share)
        };
        (0..1_200).map(of).collect()
    }

    #[test]
    fn the_answer_is_that_of_all_items_whoever_was_asked_and_whatever_was_left() {
        let truth = {
            let passes = |place: &u32| match place.is_multiple_of(5) {
                true => place % 10 < 5,
                false => !place.is_multiple_of(3),
            };
            (0..1_200_u32).filter(passes).count() as f64 / 1_200.0
        };
        for answered in [1.0, 0.4] {
            let mut chance = Chance::new(11);
            let (mut sum, mut covered, mut plain) = (0.0, 0_u32, 0.0);
            const RUNS: u32 = 400;
            for _ in 0..RUNS {
                let queue = asked(&mut chance, answered);
                let figure = by_known_chances(&queue, Level::P95).unwrap().figure;
                sum += figure.estimate / f64::from(RUNS);
                covered += u32::from(figure.interval.contains(truth));
                let labels: Vec<f64> = queue.iter().filter_map(|it| it.item.human).collect();
                plain += labels.iter().sum::<f64>() / labels.len() as f64 / f64::from(RUNS);
            }
            assert!((sum - truth).abs() < 0.006, "{answered}: {sum} {truth}");
            // the items are the population here, so the interval covers more often than it says
            assert!(f64::from(covered) >= 0.93 * f64::from(RUNS), "{covered}");
            assert!(
                (plain - truth).abs() > 0.02,
                "unweighted it is wrong: {plain}"
            );
        }
    }

    #[test]
    fn of_equal_chances_only_the_labels_matter() {
        let of = |chance: f64| -> Vec<Queued> {
            (0..60)
                .map(|i| {
                    queued(
                        f64::from(i % 3) / 2.0,
                        (i < 20).then_some(f64::from(i % 2)),
                        chance,
                    )
                })
                .collect()
        };
        let (one, other) = (
            by_known_chances(&of(1.0 / 3.0), Level::P95).unwrap(),
            by_known_chances(&of(0.02), Level::P95).unwrap(),
        );
        assert!((one.figure.estimate - other.figure.estimate).abs() < 1e-12);
        assert!((one.figure.interval.width() - other.figure.interval.width()).abs() < 1e-12);
    }

    #[test]
    fn one_stratum_is_the_plain_estimate_and_one_without_labels_is_refused() {
        let queue = asked(&mut Chance::new(3), 1.0);
        let plain = by_known_chances(&queue, Level::P95).unwrap();
        let one = by_known_chances_in_strata(&[(9_000, queue.clone())], Level::P95).unwrap();
        assert!((plain.figure.interval.low - one.figure.interval.low).abs() < 1e-12);
        let silent: Vec<Queued> = (0..9).map(|_| queued(1.0, None, 0.5)).collect();
        assert_eq!(
            by_known_chances_in_strata(&[(10, queue), (10, silent)], Level::P95),
            Err(Refusal::EmptyStratum(1))
        );
    }

    #[test]
    fn a_chance_of_nothing_is_refused() {
        assert!(matches!(
            by_known_chances(&[queued(1.0, Some(1.0), 0.0)], Level::P95),
            Err(Refusal::OutOfRange { .. })
        ));
    }
}
