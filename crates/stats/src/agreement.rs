//! Does the judge see what people see?

mod alpha;
mod kappa;

pub use alpha::{Scale, Unit, krippendorff};
pub use kappa::{Labels, kappa, weighted_kappa};

use crate::interval::Purpose;
use crate::{Figure, Level, Refusal, Row, Rows, cluster};

/// An item that both a judge and a person decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// The judge's verdict.
    pub judge: bool,
    /// The person's, which is taken for the truth.
    pub human: bool,
    /// Items of one key are alike.
    pub group: Option<u64>,
}

/// How often which verdict met which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Confusion {
    /// Both said yes.
    pub true_positive: u64,
    /// Only the judge said yes.
    pub false_positive: u64,
    /// Only the person said yes.
    pub false_negative: u64,
    /// Both said no.
    pub true_negative: u64,
}

/// A judge's sensitivity and specificity should reach this.
pub const RATE_TARGET: f64 = 0.8;
/// Its kappa should reach this.
pub const KAPPA_TARGET: f64 = 0.6;

/// A judge against people.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Agreement {
    /// All counts; their sum is n.
    pub confusion: Confusion,
    /// How often they agree.
    pub agreement: Figure,
    /// q1: of what people passed, the share that the judge passed. Refused if people passed nothing.
    pub sensitivity: Result<Figure, Refusal>,
    /// q0: of what people failed, the share that the judge failed. Refused if people failed nothing.
    pub specificity: Result<Figure, Refusal>,
    /// Agreement beyond luck. Refused if either said the same of everything.
    pub kappa: Result<Figure, Refusal>,
}

impl Agreement {
    /// Returns whether all three figures are known and reach their targets; else the judge is
    /// "uncalibrated".
    pub fn is_calibrated(&self) -> bool {
        let reaches = |figure: &Result<Figure, Refusal>, target| {
            figure
                .as_ref()
                .is_ok_and(|figure| figure.estimate >= target)
        };
        reaches(&self.sensitivity, RATE_TARGET)
            && reaches(&self.specificity, RATE_TARGET)
            && reaches(&self.kappa, KAPPA_TARGET)
    }
}

/// Counts the verdicts.
pub fn confusion(items: &[Judged]) -> Confusion {
    let mut counts = Confusion::default();
    for item in items {
        *match (item.judge, item.human) {
            (true, true) => &mut counts.true_positive,
            (true, false) => &mut counts.false_positive,
            (false, true) => &mut counts.false_negative,
            (false, false) => &mut counts.true_negative,
        } += 1;
    }
    counts
}

/// Returns how a judge does against people; rates with the intervals of [`cluster::rate`].
pub fn against_humans(items: &[Judged], level: Level, seed: u64) -> Result<Agreement, Refusal> {
    let rate = |rows: &[(Row, f64)]| {
        let rows = Rows::new(rows.iter().map(|(row, _)| *row))?;
        cluster::rate(&rows, level, Purpose::Report)
    };
    against(items, &vec![1.0; items.len()], (level, seed), rate)
}

/// Returns the same of items that people were asked about with known chances: each stands for 1/π of all
/// judged ones, so that what holds of doubtful items is not taken for what holds of all.
///
/// Rates by [`cluster::weighted_rate`]; the counts of the table are those of the labels. A chance of 0 or
/// above 1 is refused.
pub fn against_humans_by_chance(
    items: &[Judged],
    chances: &[f64],
    level: Level,
    seed: u64,
) -> Result<Agreement, Refusal> {
    if items.len() != chances.len() {
        return Err(Refusal::Lengths(items.len(), chances.len()));
    }
    let is_chance = |chance: &f64| *chance > 0.0 && *chance <= 1.0;
    if let Some(&value) = chances.iter().find(|chance| !is_chance(chance)) {
        let (low, high) = (0.0, 1.0);
        return Err(Refusal::OutOfRange { value, low, high });
    }
    let weights: Vec<f64> = chances.iter().map(|chance| 1.0 / chance).collect();
    let rate = |rows: &[(Row, f64)]| cluster::weighted_rate(rows, level);
    against(items, &weights, (level, seed), rate)
}

fn against(
    items: &[Judged],
    weights: &[f64],
    (level, seed): (Level, u64),
    rate: impl Fn(&[(Row, f64)]) -> Result<Figure, Refusal>,
) -> Result<Agreement, Refusal> {
    let share = |of: Option<bool>| -> Result<Figure, Refusal> {
        let meant = items.iter().zip(weights);
        let meant = meant.filter(|(item, _)| of.is_none_or(|human| item.human == human));
        let row = |(item, weight): (&Judged, &f64)| {
            let value = f64::from(u8::from(item.judge == item.human));
            let group = item.group;
            (Row { value, group }, *weight)
        };
        rate(&meant.map(row).collect::<Vec<_>>())
    };
    let of_label = |label| {
        share(Some(label)).map_err(|refusal| match refusal {
            Refusal::Empty => Refusal::OneLabelOnly(label),
            other => other,
        })
    };
    let labels: Vec<Labels> = items
        .iter()
        .map(|item| Labels {
            first: u32::from(item.judge),
            second: u32::from(item.human),
            group: item.group,
        })
        .collect();
    Ok(Agreement {
        confusion: confusion(items),
        agreement: share(None)?,
        sensitivity: of_label(true),
        specificity: of_label(false),
        kappa: weighted_kappa(&labels, weights, level, seed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(tp: usize, fp: usize, fnn: usize, tn: usize) -> Vec<Judged> {
        let kinds = [
            (true, true, tp),
            (true, false, fp),
            (false, true, fnn),
            (false, false, tn),
        ];
        kinds
            .into_iter()
            .flat_map(|(judge, human, n)| {
                std::iter::repeat_n(
                    Judged {
                        judge,
                        human,
                        group: None,
                    },
                    n,
                )
            })
            .collect()
    }

    #[test]
    fn a_judge_is_calibrated_only_if_all_three_figures_are_good() {
        let good = against_humans(&items(45, 5, 5, 45), Level::P95, 1).unwrap();
        assert!(good.is_calibrated());
        assert_eq!(good.sensitivity.unwrap().estimate, 0.9);
        assert!((good.kappa.unwrap().estimate - 0.8).abs() < 1e-12);
        // it passes all: sensitive, and useless
        let lenient = against_humans(&items(50, 30, 0, 20), Level::P95, 1).unwrap();
        assert_eq!(lenient.specificity.as_ref().unwrap().estimate, 0.4);
        assert!(!lenient.is_calibrated());
    }

    #[test]
    fn doubtful_items_do_not_speak_for_all() {
        // asked about every doubtful item, where the judge is a coin, and about a tenth of the others,
        // where he is right
        let judged = |judge, human| Judged {
            judge,
            human,
            group: None,
        };
        let doubtful = (0..100).map(|i| (judged(i % 2 == 0, i % 4 < 2), 1.0));
        let sure = (0..90).map(|i| (judged(i % 3 > 0, i % 3 > 0), 0.1));
        let (items, chances): (Vec<Judged>, Vec<f64>) = doubtful.chain(sure).unzip();
        let plain = against_humans(&items, Level::P95, 1).unwrap();
        let all = against_humans_by_chance(&items, &chances, Level::P95, 1).unwrap();
        assert!((all.agreement.estimate - 0.95).abs() < 1e-12, "{all:?}");
        assert!((plain.agreement.estimate - 140.0 / 190.0).abs() < 1e-12);
        assert!(all.is_calibrated() && !plain.is_calibrated());
        assert_eq!(all.confusion, plain.confusion);
        let equal = against_humans_by_chance(&items, &vec![0.3; 190], Level::P95, 1).unwrap();
        let kappa = |it: &Agreement| it.kappa.unwrap();
        assert!((kappa(&equal).interval.low - kappa(&plain).interval.low).abs() < 1e-12);
        assert!((equal.agreement.estimate - plain.agreement.estimate).abs() < 1e-12);
        assert!(against_humans_by_chance(&items, &[0.5], Level::P95, 1).is_err());
        assert!(against_humans_by_chance(&items, &vec![0.0; 190], Level::P95, 1).is_err());
    }

    #[test]
    fn people_who_only_pass_leave_half_unknown() {
        let agreement = against_humans(&items(9, 0, 1, 0), Level::P95, 1).unwrap();
        assert_eq!(agreement.specificity, Err(Refusal::OneLabelOnly(false)));
        assert!(agreement.sensitivity.is_ok() && !agreement.is_calibrated());
        assert_eq!(
            against_humans(&[], Level::P95, 1).unwrap_err(),
            Refusal::Empty
        );
    }
}
