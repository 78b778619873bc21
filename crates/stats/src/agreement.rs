//! Does the judge see what people see?

mod alpha;
mod kappa;

pub use alpha::{Scale, Unit, krippendorff};
pub use kappa::{Labels, kappa};

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
    let share = |of: Option<bool>| -> Result<Figure, Refusal> {
        let rows = Rows::new(
            items
                .iter()
                .filter(|item| of.is_none_or(|human| item.human == human))
                .map(|item| Row {
                    value: f64::from(u8::from(item.judge == item.human)),
                    group: item.group,
                }),
        );
        cluster::rate(&rows?, level, Purpose::Report)
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
        kappa: kappa(&labels, level, seed),
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
