//! The regression set: 420 cases, both versions, and what is true of each run.
//!
//! The truth is decided here, before any run is played, by counts that are written down: v1.9.0
//! resolves 7.3 points more of the 412 pairs and pays 25 refunds twice. A grader, a detector or a
//! paired test can so be held against what really happened. Eight runs of v1.9.0 died with their
//! worker, which is how a pair goes missing.

use super::cast::Version;
use super::prng::Prng;

/// What a customer wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Intent {
    /// Money back.
    Refund,
    /// The parcel.
    Delivery,
    /// Something arrived broken.
    Damaged,
    /// An order is to be cancelled.
    Cancel,
    /// Login, password, e-mail address.
    Account,
    /// A question about a product.
    Product,
    /// Invoices, vouchers and the rest.
    Other,
}

impl Intent {
    /// Every intent, in the order of the case numbers.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 7] = [
        Self::Refund,
        Self::Delivery,
        Self::Damaged,
        Self::Cancel,
        Self::Account,
        Self::Product,
        Self::Other,
    ];

    /// Returns the intent in words, as the trace metadata tells it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Refund => "refund",
            Self::Delivery => "delivery",
            Self::Damaged => "damaged item",
            Self::Cancel => "cancel order",
            Self::Account => "account",
            Self::Product => "product question",
            Self::Other => "other",
        }
    }
}

/// What went wrong in a run, if one thing has to be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum FailureKind {
    /// A refund was issued again after a time-out that had gone through.
    DoubleRefund,
    /// The answer says what the handbook does not.
    WrongPolicy,
    /// The answer tells of an action that no tool took.
    ClaimedNotDone,
    /// The same call with the same arguments until the turns ran out.
    ToolLoop,
    /// Two agents handed the customer back and forth.
    PingPong,
    /// The customer ended with an agent who could not help.
    WrongHandoff,
    /// The answer rests on an old scan although a newer one was there.
    StaleTracking,
    /// The agent asked to confirm again and the customer left.
    AskedTwice,
    /// Store credit was given where a cancellation was asked for.
    StoreCredit,
    /// The reset link went to the address the customer had left.
    WrongAddress,
    /// The model called a tool that does not exist.
    ToolNotFound,
    /// The answer was blank or no answer.
    EmptyAnswer,
    /// The answer was cut at the token limit.
    Truncated,
    /// The model's provider failed.
    ModelError,
    /// A tool did not reply, however often it was called.
    ToolTimeout,
    /// An input guardrail stopped the run, rightly.
    InputBlocked,
    /// An output guardrail stopped the answer.
    OutputBlocked,
    /// The worker died in the middle.
    Abandoned,
}

/// What is true of one trace of the story; the trace itself does not tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Truth {
    /// The trace.
    pub(crate) trace_id: String,
    /// The workflow.
    pub(crate) workflow: &'static str,
    /// The case of the regression set, `case-001` to `case-420`; `None` for production traffic.
    pub(crate) case: Option<String>,
    /// The version of the agents.
    pub(crate) version: Version,
    /// What the customer wanted; `None` where there is no customer.
    pub(crate) intent: Option<Intent>,
    /// Whether the customer got what could be had.
    pub(crate) resolved: bool,
    /// What went wrong. A resolved run may have one: a refund paid twice still pays.
    pub(crate) failure: Option<FailureKind>,
}

/// How one version fared with one case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) resolved: bool,
    pub(super) failure: Option<FailureKind>,
}

/// One case: the same customer for both versions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    /// 1 to 420.
    pub(super) number: u16,
    pub(super) intent: Intent,
    /// Whether the payment service stalls on the first call.
    pub(super) payment_stalls: bool,
    pub(super) outcomes: [Outcome; 2],
}

impl Case {
    pub(super) fn id(&self) -> String {
        format!("case-{:03}", self.number)
    }

    pub(super) fn outcome(&self, version: Version) -> Outcome {
        self.outcomes[version as usize]
    }
}

/// The case of the lamp that cracked twice, played to the second by both versions.
pub(super) const LAMP_CASE: u16 = 13;

/// How many pairs of an intent are resolved by whom, and how many refunds v1.9.0 pays twice.
struct Quota {
    intent: Intent,
    both: usize,
    only_v1_9: usize,
    only_v1_8: usize,
    neither: usize,
    abandoned: usize,
    paid_twice: usize,
}

const fn quota(intent: Intent, pairs: [usize; 4], abandoned: usize, paid_twice: usize) -> Quota {
    let [both, only_v1_9, only_v1_8, neither] = pairs;
    Quota {
        intent,
        both,
        only_v1_9,
        only_v1_8,
        neither,
        abandoned,
        paid_twice,
    }
}

const QUOTAS: [Quota; 7] = [
    quota(Intent::Refund, [58, 20, 2, 16], 2, 14),
    quota(Intent::Delivery, [65, 8, 3, 12], 2, 0),
    quota(Intent::Damaged, [42, 9, 1, 9], 1, 11),
    quota(Intent::Cancel, [38, 1, 9, 6], 1, 0),
    quota(Intent::Account, [34, 4, 1, 8], 1, 0),
    quota(Intent::Product, [30, 4, 1, 6], 0, 0),
    quota(Intent::Other, [17, 2, 1, 5], 1, 0),
];

/// Returns the 420 cases in the order of their numbers.
pub(super) fn cases(seed: u64) -> Vec<Case> {
    let mut prng = Prng::new(seed, 420);
    let mut cases = Vec::with_capacity(420);
    for quota in &QUOTAS {
        let first = cases.len();
        fill(quota, &mut cases);
        prng.shuffle(&mut cases[first..]);
    }
    // The lamp is case 13: the first refund paid twice takes that place.
    let lamp = cases
        .iter()
        .position(|case| case.outcomes[1].failure == Some(FailureKind::DoubleRefund));
    cases.swap(
        lamp.expect("the quota of refunds paid twice is not zero"),
        usize::from(LAMP_CASE) - 1,
    );
    for (i, case) in cases.iter_mut().enumerate() {
        case.number = i as u16 + 1;
    }
    cases
}

fn fill(quota: &Quota, cases: &mut Vec<Case>) {
    let good = Outcome {
        resolved: true,
        failure: None,
    };
    let twice = Outcome {
        resolved: true,
        failure: Some(FailureKind::DoubleRefund),
    };
    let dead = Outcome {
        resolved: false,
        failure: Some(FailureKind::Abandoned),
    };
    let intent = quota.intent;
    let mut push = |payment_stalls, old, new| {
        cases.push(Case {
            number: 0,
            intent,
            payment_stalls,
            outcomes: [old, new],
        });
    };
    for i in 0..quota.both {
        match i {
            i if i < quota.paid_twice => push(true, good, twice),
            // v1.8.2 made the mistake once, against its prompt.
            i if i == quota.paid_twice && intent == Intent::Refund => push(true, twice, good),
            _ => push(false, good, good),
        }
    }
    // The ways to fail take turns, so that each of them is there whatever the seed.
    let (old, new) = (Version::V1_8, Version::V1_9);
    (0..quota.only_v1_9).for_each(|i| push(false, bad(i, intent, old), good));
    (0..quota.only_v1_8).for_each(|i| push(false, good, bad(i, intent, new)));
    let (i_old, i_new) = (quota.only_v1_9, quota.only_v1_8);
    (0..quota.neither).for_each(|i| {
        push(
            false,
            bad(i + i_old, intent, old),
            bad(i + i_new, intent, new),
        )
    });
    (0..quota.abandoned).for_each(|_| push(false, good, dead));
}

/// Returns the way numbered `way`, round and round, for `version` to leave a customer unhelped.
pub(super) fn bad(way: usize, intent: Intent, version: Version) -> Outcome {
    use FailureKind::*;
    let ways: &[FailureKind] = match (intent, version) {
        (Intent::Refund, Version::V1_8) => &[
            WrongPolicy,
            ClaimedNotDone,
            PingPong,
            ToolLoop,
            EmptyAnswer,
            Truncated,
        ],
        (Intent::Refund, Version::V1_9) => &[
            WrongPolicy,
            ClaimedNotDone,
            WrongPolicy,
            ToolNotFound,
            ToolTimeout,
        ],
        (Intent::Delivery, _) => &[
            StaleTracking,
            StaleTracking,
            WrongHandoff,
            ToolLoop,
            ToolTimeout,
            Truncated,
        ],
        (Intent::Damaged, _) => &[WrongPolicy, PingPong, WrongHandoff, ClaimedNotDone],
        (Intent::Cancel, Version::V1_8) => &[WrongHandoff, ClaimedNotDone, ToolLoop],
        (Intent::Cancel, Version::V1_9) => &[AskedTwice, StoreCredit, AskedTwice],
        (Intent::Account, _) => &[WrongAddress, WrongAddress, ToolNotFound, WrongHandoff],
        (Intent::Product, _) => &[WrongPolicy, EmptyAnswer],
        (Intent::Other, _) => &[PingPong, OutputBlocked, WrongHandoff, ModelError],
    };
    Outcome {
        resolved: false,
        failure: Some(ways[way % ways.len()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pairs_have_the_counts_that_are_written_down() {
        for seed in [1, 2, 2026] {
            let cases = cases(seed);
            assert_eq!(cases.len(), 420);
            assert!(
                cases
                    .iter()
                    .enumerate()
                    .all(|(i, case)| usize::from(case.number) == i + 1)
            );
            let died = |c: &&Case| c.outcomes[1].failure == Some(FailureKind::Abandoned);
            assert_eq!(cases.iter().filter(died).count(), 8);
            let pairs: Vec<_> = cases.iter().filter(|c| !died(c)).collect();
            let resolved = |v: usize| pairs.iter().filter(|c| c.outcomes[v].resolved).count();
            assert_eq!((pairs.len(), resolved(0), resolved(1)), (412, 302, 332));
            let twice = |v: usize| {
                pairs
                    .iter()
                    .filter(|c| c.outcomes[v].failure == Some(FailureKind::DoubleRefund))
                    .count()
            };
            assert_eq!((twice(0), twice(1)), (1, 25));
            let lamp = cases[usize::from(LAMP_CASE) - 1];
            assert_eq!((lamp.intent, lamp.payment_stalls), (Intent::Refund, true));
            assert_eq!(
                lamp.outcomes[0],
                Outcome {
                    resolved: true,
                    failure: None
                }
            );
        }
    }
}
