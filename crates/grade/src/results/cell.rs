//! What is kept of a grade: sixteen bytes.

use std::cmp::Ordering;

use model::{Grade, Outcome, UnscoredReason};

/// No label.
pub(crate) const NO_LABEL: u16 = u16::MAX;

/// One grader's word on one item.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    /// NaN where there is none.
    score: f64,
    attempt: u16,
    label: u16,
    outcome: Option<Outcome>,
    reason: Option<UnscoredReason>,
    pub(crate) vacuous: bool,
    /// How unsure its judges were, from 0 to 255.
    doubt: u8,
}

const _: () = assert!(size_of::<Cell>() == 16);

impl Cell {
    /// What an item has of a grader that has not looked at it.
    pub(crate) const EMPTY: Self = Self {
        score: f64::NAN,
        attempt: 0,
        label: NO_LABEL,
        outcome: None,
        reason: None,
        vacuous: false,
        doubt: 0,
    };

    /// `doubt`: how unsure its judges were, from 0 to 1.
    pub(crate) fn new(grade: &Grade, label: u16, doubt: f64) -> Self {
        let verdict = &grade.verdict;
        Self {
            score: verdict
                .score
                .filter(|it| it.is_finite())
                .unwrap_or(f64::NAN),
            attempt: u16::try_from(grade.attempt).unwrap_or(u16::MAX),
            label,
            outcome: Some(verdict.outcome),
            reason: verdict.unscored_reason,
            vacuous: verdict.vacuous,
            doubt: (doubt.clamp(0.0, 1.0) * f64::from(u8::MAX)).round() as u8,
        }
    }

    /// Returns how unsure its judges were, from 0 to 1.
    pub(crate) fn doubt(&self) -> f64 {
        f64::from(self.doubt) / f64::from(u8::MAX)
    }

    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    pub(crate) fn attempt(&self) -> u16 {
        self.attempt
    }

    pub(crate) fn reason(&self) -> Option<UnscoredReason> {
        self.reason
    }

    /// Returns the number of a grade that has a verdict.
    pub(crate) fn score(&self) -> Option<f64> {
        (self.is_scored() && !self.score.is_nan()).then_some(self.score)
    }

    /// Returns the label of a grade that has a verdict, by its number.
    pub(crate) fn label(&self) -> Option<u16> {
        (self.is_scored() && self.label != NO_LABEL).then_some(self.label)
    }

    /// Returns 1 for a pass and 0 for a fail.
    pub(crate) fn passed(&self) -> Option<f64> {
        match self.outcome? {
            Outcome::Pass => Some(1.0),
            Outcome::Fail => Some(0.0),
            Outcome::Value | Outcome::NotApplicable | Outcome::Unscored => None,
        }
    }

    /// Returns whether there is a verdict: a pass, a fail or a value.
    pub(crate) fn is_scored(&self) -> bool {
        matches!(
            self.outcome,
            Some(Outcome::Pass | Outcome::Fail | Outcome::Value)
        )
    }

    /// Takes the worse of two grades of one attempt: those of two spans.
    pub(crate) fn worst(self, other: Self) -> Self {
        if self.order(&other).is_le() {
            self
        } else {
            other
        }
    }

    /// A fail before what is not known before what is fine before what does not apply; then the lower
    /// number. The rest only makes the choice the same in any order.
    fn order(&self, other: &Self) -> Ordering {
        let rank = |cell: &Self| match cell.outcome {
            Some(Outcome::Fail) => 0,
            Some(Outcome::Unscored) => 1,
            Some(Outcome::Value) => 2,
            Some(Outcome::Pass) => 3,
            Some(Outcome::NotApplicable) => 4,
            None => 5,
        };
        let reason = |cell: &Self| cell.reason.map(|reason| reason.as_str());
        rank(self)
            .cmp(&rank(other))
            .then(self.score.total_cmp(&other.score))
            .then(self.label.cmp(&other.label))
            .then_with(|| reason(self).cmp(&reason(other)))
            .then(self.vacuous.cmp(&other.vacuous))
            .then(other.doubt.cmp(&self.doubt))
    }
}
