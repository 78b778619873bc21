//! Which traces are kept?
//!
//! A trace is in the sample if the hash of its id lies below the rate. So all its spans are decided
//! alike wherever and whenever they come, and a larger sample holds the smaller one. Errors, slow and
//! expensive traces may be kept all the same; that is known only when a trace has settled, so where
//! such a rule is set every trace is stored first.

use model::{MessageHash, TraceId, TraceRow, TraceStatus};

/// What keeps a trace that is not in the sample.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TailRules {
    /// That it did not end well.
    pub errors: bool,
    /// That it took at least so long.
    pub slower_than_ms: Option<f64>,
    /// That it cost at least so much, in US dollars.
    pub costlier_than_usd: Option<f64>,
}

impl TailRules {
    /// Returns whether there is no rule: then the sample decides alone, and at once.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether a rule keeps a trace that has settled. Errors are those of the trace, or any
    /// tool that failed on the way, or an end that never came.
    pub fn keep(&self, row: &TraceRow) -> bool {
        let failed =
            row.settled_status != TraceStatus::Success || row.tool_errors > 0 || row.open_spans > 0;
        let at_least = |told: Option<f64>, limit: Option<f64>| {
            limit.is_some_and(|limit| told.is_some_and(|told| told >= limit))
        };
        (self.errors && failed)
            || at_least(row.duration_ms, self.slower_than_ms)
            || at_least(row.cost.map(|cost| cost.to_usd()), self.costlier_than_usd)
    }
}

/// Decides which traces are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    secret: String,
    tail: TailRules,
}

impl Sampling {
    pub(super) fn new(secret: &str, tail: TailRules) -> Self {
        Self {
            secret: secret.to_owned(),
            tail,
        }
    }

    /// Returns what keeps a trace that is not in the sample.
    pub fn tail(&self) -> &TailRules {
        &self.tail
    }

    /// Returns whether a trace is in the sample of `rate`.
    pub fn holds(&self, trace_id: &TraceId, rate: f64) -> bool {
        if rate >= 1.0 {
            return true;
        }
        let keyed = format!("sample:{}:{}{trace_id}", self.secret.len(), self.secret);
        let MessageHash(hash) = MessageHash::of(keyed.as_bytes());
        let mut number = [0; 8];
        number.copy_from_slice(&hash[..8]);
        // 53 bits are what a float holds exactly.
        let share = (u64::from_be_bytes(number) >> 11) as f64 / (1_u64 << 53) as f64;
        share < rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> impl Iterator<Item = TraceId> {
        (0..10_000).map(|n| TraceId::new(&format!("trace_{n}")).unwrap())
    }

    #[test]
    fn a_larger_sample_holds_the_smaller_one_and_is_as_large_as_asked() {
        let sampling = Sampling::new("s", TailRules::default());
        let mut before = 0;
        for rate in [0.0, 0.01, 0.1, 0.5, 0.9, 1.0] {
            let held: Vec<_> = ids().filter(|id| sampling.holds(id, rate)).collect();
            assert!(
                (held.len() as f64 / 10_000.0 - rate).abs() < 0.02,
                "{rate}: {}",
                held.len()
            );
            assert!(
                held.iter()
                    .all(|id| sampling.holds(id, (rate + 0.01).min(1.0)))
            );
            assert!(held.len() >= before);
            before = held.len();
        }
    }

    #[test]
    fn the_secret_decides_and_nothing_else_does() {
        let of = |secret: &str| {
            let sampling = Sampling::new(
                secret,
                TailRules {
                    errors: true,
                    ..TailRules::default()
                },
            );
            ids().map(|id| sampling.holds(&id, 0.5)).collect::<Vec<_>>()
        };
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a"), of("b"));
    }
}
