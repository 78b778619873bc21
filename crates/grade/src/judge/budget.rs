//! Money that is set aside before it is spent.
//!
//! Many calls are under way at one time and none tells its price before its end. So each sets aside
//! what it is thought to cost, before it is made, and settles when the price is known: what is spent and
//! what is set aside together never pass the cap by more than estimates were too low.

use std::sync::Arc;

use model::NanoUsd;
use parking_lot::Mutex;

/// What a run may cost.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Mutex<Ledger>>);

#[derive(Debug)]
struct Ledger {
    cap: NanoUsd,
    spent: NanoUsd,
    set_aside: NanoUsd,
}

/// The cap is reached: the run ends here, with what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.told())]
pub struct Exhausted {
    /// What the run may cost.
    pub cap: NanoUsd,
    /// What it cost so far.
    pub spent: NanoUsd,
    /// What calls that are under way are thought to cost.
    pub set_aside: NanoUsd,
    /// What one more was thought to cost.
    pub needed: NanoUsd,
}

impl Exhausted {
    fn told(&self) -> String {
        let [cap, spent, set_aside, needed] =
            [self.cap, self.spent, self.set_aside, self.needed].map(NanoUsd::to_usd);
        if self.needed > self.cap {
            return format!(
                "one question may cost {needed:.4} USD, more than the whole budget of {cap:.4} USD"
            );
        }
        format!(
            "the budget of {cap:.4} USD is used up: {spent:.4} spent, {set_aside:.4} set aside, {needed:.4} needed"
        )
    }
}

/// Money that is set aside for one call.
///
/// Dropped without a settlement it counts as spent: the call may have been made.
#[derive(Debug)]
#[must_use = "a reservation that is dropped counts as spent"]
pub struct Reservation {
    ledger: Arc<Mutex<Ledger>>,
    estimate: NanoUsd,
    cost: NanoUsd,
}

impl Budget {
    /// Opens a budget, with what an earlier part of the run has spent.
    pub fn new(cap: NanoUsd, spent: NanoUsd) -> Self {
        Self(Arc::new(Mutex::new(Ledger {
            cap,
            spent,
            set_aside: NanoUsd::default(),
        })))
    }

    /// Opens a budget that is never used up: it only counts.
    pub fn without_cap(spent: NanoUsd) -> Self {
        Self::new(NanoUsd(i64::MAX), spent)
    }

    /// Returns whether there is an end to it.
    pub fn has_cap(&self) -> bool {
        self.0.lock().cap < NanoUsd(i64::MAX)
    }

    /// Sets money aside for a call, if there is enough.
    pub fn reserve(&self, estimate: NanoUsd) -> Result<Reservation, Exhausted> {
        let estimate = estimate.max(NanoUsd::default());
        let mut ledger = self.0.lock();
        let used = ledger.spent.saturating_add(ledger.set_aside);
        if used.saturating_add(estimate) > ledger.cap {
            return Err(Exhausted {
                cap: ledger.cap,
                spent: ledger.spent,
                set_aside: ledger.set_aside,
                needed: estimate,
            });
        }
        ledger.set_aside = ledger.set_aside.saturating_add(estimate);
        Ok(Reservation {
            ledger: self.0.clone(),
            estimate,
            cost: estimate,
        })
    }

    /// Returns what was spent, without what is set aside.
    pub fn spent(&self) -> NanoUsd {
        self.0.lock().spent
    }
}

impl Reservation {
    /// The call was made and cost so much. One that claims to have cost nothing, or of which nobody
    /// knows, is taken at its estimate.
    pub fn settle(mut self, cost: Option<NanoUsd>) {
        let cost = cost.filter(|cost| *cost > NanoUsd::default());
        self.cost = cost.unwrap_or(self.estimate);
    }

    /// The call was not made, or failed in a way that is not paid for.
    pub fn release(mut self) {
        self.cost = NanoUsd::default();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut ledger = self.ledger.lock();
        ledger.set_aside = NanoUsd(ledger.set_aside.0.saturating_sub(self.estimate.0));
        ledger.spent = ledger.spent.saturating_add(self.cost);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Budget, NanoUsd};

    #[test]
    fn money_is_set_aside_and_settled() {
        let budget = Budget::new(NanoUsd(100), NanoUsd(10));
        let first = budget.reserve(NanoUsd(60)).unwrap();
        let refused = budget.reserve(NanoUsd(40)).unwrap_err();
        assert_eq!(
            (refused.spent, refused.set_aside),
            (NanoUsd(10), NanoUsd(60))
        );
        first.settle(Some(NanoUsd(20)));
        assert_eq!(budget.spent(), NanoUsd(30));
        let second = budget.reserve(NanoUsd(70)).unwrap();
        second.release();
        assert_eq!(budget.spent(), NanoUsd(30));
        assert!(budget.reserve(NanoUsd(71)).is_err());
    }

    #[test]
    fn what_is_not_known_is_taken_at_its_estimate() {
        let budget = Budget::new(NanoUsd(100), NanoUsd(0));
        budget.reserve(NanoUsd(10)).unwrap().settle(None);
        budget
            .reserve(NanoUsd(10))
            .unwrap()
            .settle(Some(NanoUsd(0)));
        budget
            .reserve(NanoUsd(10))
            .unwrap()
            .settle(Some(NanoUsd(-5)));
        drop(budget.reserve(NanoUsd(10)).unwrap());
        assert_eq!(budget.spent(), NanoUsd(40));
    }

    #[test]
    fn a_call_that_costs_more_than_thought_ends_the_run_sooner() {
        let budget = Budget::new(NanoUsd(100), NanoUsd(0));
        budget
            .reserve(NanoUsd(50))
            .unwrap()
            .settle(Some(NanoUsd(99)));
        let error = budget.reserve(NanoUsd(2)).unwrap_err().to_string();
        assert!(error.contains("used up"), "{error}");
    }

    proptest! {
        /// With estimates that are not too low the cap holds, however calls overlap.
        #[test]
        fn the_cap_holds(calls in proptest::collection::vec((0_i64..50, 0.0..=1.0, 0_usize..4), 0..100)) {
            let budget = Budget::new(NanoUsd(500), NanoUsd(0));
            let mut open = Vec::new();
            for (estimate, share, close) in calls {
                if let Ok(reservation) = budget.reserve(NanoUsd(estimate)) {
                    open.push((reservation, NanoUsd((estimate as f64 * share) as i64)));
                }
                for (reservation, cost) in open.drain(..close.min(open.len())) {
                    reservation.settle(Some(cost));
                }
                prop_assert!(budget.spent() <= NanoUsd(500));
            }
            drop(open);
            prop_assert!(budget.spent() <= NanoUsd(500));
        }
    }
}
