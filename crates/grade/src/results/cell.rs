//! What is kept of a grade: six bytes, and eight more of graders that give numbers.

use std::cmp::Ordering;

use model::{Grade, Outcome, UnscoredReason};

/// No label.
pub(crate) const NO_LABEL: u16 = u16::MAX;

/// One grader's word on one item.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    mark: Mark,
    /// NaN where there is none.
    score: f64,
}

/// A grade without its number.
#[derive(Debug, Clone, Copy)]
struct Mark {
    attempt: u16,
    label: u16,
    said: Said,
    /// How unsure its judges were, from 0 to 255.
    doubt: u8,
}

/// Outcome, reason and whether it is vacuous, in one byte: three bits, four and one. A run may have ten
/// million of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said(u8);

const _: () = assert!(size_of::<Mark>() == 6);
const _: () = assert!(Outcome::ALL.len() < 1 << 3 && UnscoredReason::ALL.len() < 1 << 4);

impl Said {
    const NOTHING: Self = Self(0);

    fn new(outcome: Outcome, reason: Option<UnscoredReason>, vacuous: bool) -> Self {
        let reason = reason.map_or(0, |reason| reason as u8 + 1);
        Self((outcome as u8 + 1) | reason << 3 | u8::from(vacuous) << 7)
    }

    fn outcome(self) -> Option<Outcome> {
        let place = usize::from(self.0 & 0b111).checked_sub(1)?;
        Outcome::ALL.get(place).copied()
    }

    fn reason(self) -> Option<UnscoredReason> {
        let place = usize::from(self.0 >> 3 & 0b1111).checked_sub(1)?;
        UnscoredReason::ALL.get(place).copied()
    }

    fn vacuous(self) -> bool {
        self.0 >> 7 == 1
    }
}

/// The grades of one grader, by item.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    marks: Vec<Mark>,
    /// Empty while no grade has a number.
    scores: Vec<f64>,
}

impl Cells {
    /// What a grade takes.
    pub(crate) const fn bytes_of_one(with_number: bool) -> usize {
        size_of::<Mark>() + if with_number { size_of::<f64>() } else { 0 }
    }

    pub(crate) fn with_capacity(items: usize) -> Self {
        Self {
            marks: Vec::with_capacity(items),
            scores: Vec::new(),
        }
    }

    /// Returns the grade of an item, which is empty if there is none.
    pub(crate) fn get(&self, item: u32) -> Cell {
        let place = item as usize;
        let Some(&mark) = self.marks.get(place) else {
            return Cell::EMPTY;
        };
        let score = self.scores.get(place).copied().unwrap_or(f64::NAN);
        Cell { mark, score }
    }

    pub(crate) fn set(&mut self, item: u32, cell: Cell) {
        let place = item as usize;
        if self.marks.len() <= place {
            self.marks.resize(place + 1, Cell::EMPTY.mark);
        }
        self.marks[place] = cell.mark;
        if self.scores.len() <= place {
            if cell.score.is_nan() {
                return;
            }
            // as much as marks have, which know how many are to come
            self.scores
                .reserve_exact(self.marks.capacity() - self.scores.len());
            self.scores.resize(place + 1, f64::NAN);
        }
        self.scores[place] = cell.score;
    }

    /// Returns every item that was looked at, and its grade.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, Cell)> {
        let items = 0..self.marks.len() as u32;
        let cells = items.map(|item| (item, self.get(item)));
        cells.filter(|(_, cell)| cell.outcome().is_some())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.marks.capacity() * size_of::<Mark>() + self.scores.capacity() * size_of::<f64>()
    }
}

impl Cell {
    /// What an item has of a grader that has not looked at it.
    pub(crate) const EMPTY: Self = Self {
        mark: Mark {
            attempt: 0,
            label: NO_LABEL,
            said: Said::NOTHING,
            doubt: 0,
        },
        score: f64::NAN,
    };

    /// `doubt`: how unsure its judges were, from 0 to 1.
    pub(crate) fn new(grade: &Grade, label: u16, doubt: f64) -> Self {
        let verdict = &grade.verdict;
        Self {
            mark: Mark {
                attempt: u16::try_from(grade.attempt).unwrap_or(u16::MAX),
                label,
                said: Said::new(verdict.outcome, verdict.unscored_reason, verdict.vacuous),
                doubt: (doubt.clamp(0.0, 1.0) * f64::from(u8::MAX)).round() as u8,
            },
            score: verdict
                .score
                .filter(|it| it.is_finite())
                .unwrap_or(f64::NAN),
        }
    }

    /// Returns how unsure its judges were, from 0 to 1.
    pub(crate) fn doubt(&self) -> f64 {
        f64::from(self.mark.doubt) / f64::from(u8::MAX)
    }

    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.mark.said.outcome()
    }

    pub(crate) fn attempt(&self) -> u16 {
        self.mark.attempt
    }

    pub(crate) fn reason(&self) -> Option<UnscoredReason> {
        self.mark.said.reason()
    }

    pub(crate) fn vacuous(&self) -> bool {
        self.mark.said.vacuous()
    }

    /// Returns the number of a grade that has a verdict.
    pub(crate) fn score(&self) -> Option<f64> {
        (self.is_scored() && !self.score.is_nan()).then_some(self.score)
    }

    /// Returns the label of a grade that has a verdict, by its number.
    pub(crate) fn label(&self) -> Option<u16> {
        (self.is_scored() && self.mark.label != NO_LABEL).then_some(self.mark.label)
    }

    /// Returns 1 for a pass and 0 for a fail.
    pub(crate) fn passed(&self) -> Option<f64> {
        match self.outcome()? {
            Outcome::Pass => Some(1.0),
            Outcome::Fail => Some(0.0),
            Outcome::Value | Outcome::NotApplicable | Outcome::Unscored => None,
        }
    }

    /// Returns whether there is a verdict: a pass, a fail or a value.
    pub(crate) fn is_scored(&self) -> bool {
        matches!(
            self.outcome(),
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
        let rank = |cell: &Self| match cell.outcome() {
            Some(Outcome::Fail) => 0,
            Some(Outcome::Unscored) => 1,
            Some(Outcome::Value) => 2,
            Some(Outcome::Pass) => 3,
            Some(Outcome::NotApplicable) => 4,
            None => 5,
        };
        let reason = |cell: &Self| cell.reason().map(|reason| reason.as_str());
        rank(self)
            .cmp(&rank(other))
            .then(self.score.total_cmp(&other.score))
            .then(self.mark.label.cmp(&other.mark.label))
            .then_with(|| reason(self).cmp(&reason(other)))
            .then(self.vacuous().cmp(&other.vacuous()))
            .then(other.mark.doubt.cmp(&self.mark.doubt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::made::{grade, verdict};

    #[test]
    fn a_byte_holds_whatever_can_be_said() {
        let reasons = UnscoredReason::ALL.iter().copied().map(Some);
        for reason in reasons.chain([None]) {
            for &outcome in Outcome::ALL {
                for vacuous in [false, true] {
                    let said = Said::new(outcome, reason, vacuous);
                    let read = (said.outcome(), said.reason(), said.vacuous());
                    assert_eq!(read, (Some(outcome), reason, vacuous));
                }
            }
        }
        assert_eq!(Said::NOTHING.outcome(), None);
    }

    #[test]
    fn numbers_take_room_once_there_is_one() {
        let cell = |score| Cell::new(&grade("g", "t", verdict(Outcome::Value, score)), 0, 0.0);
        let mut cells = Cells::with_capacity(8);
        cells.set(1, cell(None));
        assert_eq!(cells.bytes(), 8 * Cells::bytes_of_one(false));
        cells.set(3, cell(Some(0.5)));
        assert_eq!(cells.bytes(), 8 * Cells::bytes_of_one(true));
        cells.set(5, cell(None));
        cells.set(3, cell(Some(0.25)));
        let all: Vec<_> = cells.iter().map(|(item, it)| (item, it.score())).collect();
        assert_eq!(all, [(1, None), (3, Some(0.25)), (5, None)]);
        cells.set(3, cell(None));
        assert_eq!(cells.get(3).score(), None);
        assert!(cells.get(4).outcome().is_none() && cells.get(9).outcome().is_none());
    }
}
