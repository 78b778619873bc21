//! May it pass? A decision that can be asked for after every item.
//!
//! "Not shown to be worse" is not "shown to be no worse". So a gate has a third answer, and says what it
//! could have seen.

use crate::Refusal;
use crate::eprocess::Betting;

/// What a gate is told before it starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// δ: by how much the candidate may be worse.
    pub margin: f64,
    /// The chance to fail a candidate that is good enough; and to pass one that is not.
    pub alpha: f64,
    /// The share of items without a score above which no verdict is given.
    pub unscored_share_max: f64,
}

/// How things stand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// Items that should have been scored.
    pub items: u64,
    /// Those that were not.
    pub unscored: u64,
    /// Whether there is a baseline to compare with.
    pub has_baseline: bool,
    /// Whether no more items will come.
    pub is_over: bool,
    /// The smallest difference that the items so far would have found; see [`crate::power`].
    pub detectable: f64,
}

/// Why there is no verdict.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum GateError {
    /// There is nothing to compare with.
    #[error("there is no baseline")]
    NoBaseline,
    /// Too many items have no score: what they would have said is unknown.
    #[error("{unscored} of {items} items have no score")]
    Unscored {
        /// Those without.
        unscored: u64,
        /// All of them.
        items: u64,
    },
}

/// What a gate says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// The candidate is shown to be worse by less than the margin.
    Pass,
    /// It is shown to be worse by more.
    Fail,
    /// The budget ended before either was shown.
    Inconclusive {
        /// The smallest difference that would have been found.
        detectable: f64,
    },
    /// The question could not be asked.
    Error(GateError),
}

impl Verdict {
    /// Returns the exit code: 0 pass, 1 fail, 2 inconclusive, 3 error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Inconclusive { .. } => 2,
            Self::Error(_) => 3,
        }
    }
}

/// Returns the verdict of a bet on baseline − candidate, or nothing while it is open.
///
/// Fail as soon as the e-value against E d ≤ δ has reached 1/α; pass as soon as the upper confidence
/// bound of d, valid at any time, is below δ, which is the lower bound of candidate − baseline above −δ.
/// Too many unscored items matter only when all have come: they may yet get a score. Streams that nothing
/// pairs are bet on in the order in which they come, an item of each. A bet with another margin than the
/// rules' is refused.
pub fn decide(
    bet: &Betting,
    rules: &Rules,
    standing: &Standing,
) -> Result<Option<Verdict>, Refusal> {
    let share = rules.unscored_share_max;
    let bounds = [
        (share, 0.0, 1.0, (0.0..=1.0).contains(&share)),
        (
            rules.alpha,
            0.0,
            1.0,
            rules.alpha > 0.0 && rules.alpha < 1.0,
        ),
        (
            rules.margin,
            bet.margin(),
            bet.margin(),
            (rules.margin - bet.margin()).abs() < 1e-12,
        ),
    ];
    if let Some(&(value, low, high, _)) = bounds.iter().find(|(.., holds)| !holds) {
        return Err(Refusal::OutOfRange { value, low, high });
    }
    if !standing.has_baseline {
        return Ok(Some(Verdict::Error(GateError::NoBaseline)));
    }
    let unscored_max = share * standing.items as f64;
    if standing.is_over && standing.unscored as f64 > unscored_max {
        return Ok(Some(Verdict::Error(GateError::Unscored {
            unscored: standing.unscored,
            items: standing.items,
        })));
    }
    if bet.peak() >= 1.0 / rules.alpha {
        return Ok(Some(Verdict::Fail));
    }
    if bet.n() > 0 && bet.upper_bound(rules.alpha) < rules.margin {
        return Ok(Some(Verdict::Pass));
    }
    Ok(standing.is_over.then_some(Verdict::Inconclusive {
        detectable: standing.detectable,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        margin: 0.02,
        alpha: 0.05,
        unscored_share_max: 0.05,
    };

    fn bet(values: impl IntoIterator<Item = f64>) -> Betting {
        let mut bet = Betting::new(RULES.margin).unwrap();
        for value in values {
            bet.push(value).unwrap();
        }
        bet
    }

    fn standing(is_over: bool) -> Standing {
        Standing {
            items: 100,
            unscored: 0,
            has_baseline: true,
            is_over,
            detectable: 0.11,
        }
    }

    fn verdict(bet: &Betting, standing: &Standing) -> Option<Verdict> {
        decide(bet, &RULES, standing).unwrap()
    }

    #[test]
    fn each_answer_has_its_case_and_its_code() {
        let worse = bet((0..60).map(|i| f64::from(u8::from(i % 2 == 0))));
        assert_eq!(verdict(&worse, &standing(false)), Some(Verdict::Fail));
        let same = bet(std::iter::repeat_n(0.0, 2_000));
        assert_eq!(verdict(&same, &standing(false)), Some(Verdict::Pass));
        let few = bet([0.0, 1.0, -1.0]);
        assert_eq!(verdict(&few, &standing(false)), None);
        let open = verdict(&few, &standing(true)).unwrap();
        assert_eq!(open, Verdict::Inconclusive { detectable: 0.11 });
        let none = verdict(
            &few,
            &Standing {
                has_baseline: false,
                ..standing(false)
            },
        )
        .unwrap();
        assert_eq!(none, Verdict::Error(GateError::NoBaseline));
        let holes = Standing {
            unscored: 6,
            ..standing(true)
        };
        let error = GateError::Unscored {
            unscored: 6,
            items: 100,
        };
        assert_eq!(verdict(&same, &holes), Some(Verdict::Error(error)));
        let codes = [Verdict::Pass, Verdict::Fail, open, none].map(|verdict| verdict.exit_code());
        assert_eq!(codes, [0, 1, 2, 3]);
    }

    #[test]
    fn what_failed_once_stays_failed() {
        let recovered = bet((0..60)
            .map(|i| f64::from(u8::from(i % 2 == 0)))
            .chain(std::iter::repeat_n(-1.0, 100)));
        assert!(recovered.e_value() < 1.0);
        assert_eq!(verdict(&recovered, &standing(true)), Some(Verdict::Fail));
    }

    #[test]
    fn a_bet_on_another_margin_is_refused() {
        let other = Betting::new(0.05).unwrap();
        assert!(decide(&other, &RULES, &standing(true)).is_err());
        let never = Rules {
            alpha: f64::NAN,
            ..RULES
        };
        assert!(decide(&bet([]), &never, &standing(true)).is_err());
    }
}
