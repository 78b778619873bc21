//! Money in nano-dollars: integers, so that sums are exact whatever their order.

/// An amount in 10⁻⁹ US dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NanoUsd(pub i64);

impl NanoUsd {
    /// Returns the amount in dollars, for display and JSON.
    pub fn to_usd(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Returns the amount nearest to `usd` dollars.
    pub fn from_usd(usd: f64) -> Self {
        Self((usd * 1e9).round() as i64)
    }

    /// Returns the sum, held at the largest amount instead of wrapping.
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}
