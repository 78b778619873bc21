//! Several judges brought to one word.
//!
//! Labels by majority, scores by the median; where there is none, it is not known, for a panel that is
//! split has found out that the criterion is. Judges without a verdict are counted and not asked.

use std::collections::BTreeMap;

/// What a panel found.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding<T> {
    /// What they said together; none if they are split or nobody said anything.
    pub outcome: Option<T>,
    /// Judges that gave a verdict.
    pub judges: usize,
    /// Judges that gave none.
    pub silent: usize,
    /// The share of pairs of judges that agree; none if there is no pair.
    pub agreement: Option<f64>,
}

/// Returns the label that more than half of the judges gave.
///
/// `unknown` is a label like others: two who do not know outvote one who does.
pub fn majority<L: Ord + Clone>(verdicts: &[Option<L>]) -> Finding<L> {
    let given: Vec<&L> = verdicts.iter().flatten().collect();
    let mut counts: BTreeMap<&L, usize> = BTreeMap::new();
    for label in &given {
        *counts.entry(label).or_default() += 1;
    }
    let outcome = counts.iter().find(|(_, count)| **count * 2 > given.len());
    Finding {
        outcome: outcome.map(|(label, _)| (*label).clone()),
        judges: given.len(),
        silent: verdicts.len() - given.len(),
        agreement: agreement(
            given.len(),
            counts.values().map(|count| pairs(*count)).sum(),
        ),
    }
}

/// Returns the median of the judges' scores: of an even number the mean of the middle two.
///
/// Two agree if their scores do not differ by more than `tolerance`. A score that is not a number is none.
pub fn median(scores: &[Option<f64>], tolerance: f64) -> Finding<f64> {
    let mut given: Vec<f64> = scores
        .iter()
        .flatten()
        .copied()
        .filter(|it| !it.is_nan())
        .collect();
    given.sort_by(f64::total_cmp);
    let middle = given.len() / 2;
    let outcome = match given.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(given[middle]),
        _ => Some(given[middle - 1].midpoint(given[middle])),
    };
    // Sorted: of each, those after it that are near are a run.
    let near = |at: usize| given[at + 1..].partition_point(|it| it - given[at] <= tolerance);
    let agreeing = (0..given.len()).map(near).sum();
    Finding {
        outcome,
        judges: given.len(),
        silent: scores.len() - given.len(),
        agreement: agreement(given.len(), agreeing),
    }
}

fn agreement(judges: usize, agreeing: usize) -> Option<f64> {
    (judges > 1).then(|| agreeing as f64 / pairs(judges) as f64)
}

fn pairs(count: usize) -> usize {
    count * count.saturating_sub(1) / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Finding, majority, median};

    fn check(words: &str, outcome: Option<&str>, judges: usize, agreement: Option<f64>) {
        let verdicts: Vec<_> = words
            .split(' ')
            .map(|it| (it != "-").then_some(it))
            .collect();
        let expected = Finding {
            outcome,
            judges,
            silent: verdicts.len() - judges,
            agreement,
        };
        assert_eq!(majority(&verdicts), expected, "{words}");
    }

    #[test]
    fn more_than_half_decide() {
        check("pass", Some("pass"), 1, None);
        check("pass pass fail", Some("pass"), 3, Some(1.0 / 3.0));
        check("pass fail", None, 2, Some(0.0));
        check("pass fail unknown", None, 3, Some(0.0));
        check("pass unknown unknown", Some("unknown"), 3, Some(1.0 / 3.0));
        check("pass pass fail unknown", None, 4, Some(1.0 / 6.0));
        check("pass - -", Some("pass"), 1, None);
        check("- -", None, 0, None);
        check("fail fail fail -", Some("fail"), 3, Some(1.0));
    }

    #[test]
    fn scores_have_a_median() {
        let found = median(&[Some(5.0), None, Some(1.0), Some(4.0)], 1.0);
        assert_eq!(
            (found.outcome, found.judges, found.silent),
            (Some(4.0), 3, 1)
        );
        assert_eq!(found.agreement, Some(1.0 / 3.0));
        assert_eq!(median(&[Some(1.0), Some(4.0)], 0.0).outcome, Some(2.5));
        assert_eq!(median(&[Some(f64::NAN), None], 0.0).outcome, None);
        assert_eq!(median(&[Some(2.0); 3], 0.0).agreement, Some(1.0));
    }

    proptest! {
        #[test]
        fn the_order_of_judges_makes_no_difference(
            mut verdicts in proptest::collection::vec(proptest::option::of(0_u8..3), 0..9),
        ) {
            let found = majority(&verdicts);
            let scores = |it: &[Option<u8>]| it.iter().map(|it| it.map(f64::from)).collect::<Vec<_>>();
            let middle = median(&scores(&verdicts), 0.0);
            // Exact scores agree where labels do.
            prop_assert_eq!(found.agreement, middle.agreement);
            verdicts.reverse();
            prop_assert_eq!(majority(&verdicts), found);
            prop_assert_eq!(median(&scores(&verdicts), 0.0), middle);
        }
    }
}
