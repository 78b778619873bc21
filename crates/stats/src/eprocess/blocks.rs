//! Two streams of passes and fails that nothing pairs.

/// The pseudo-counts of both outcomes before anything was seen.
const PRIOR: f64 = 0.18;

/// A bet that two rates differ, on blocks of one baseline and one candidate item.
///
/// Each block multiplies the money by θ_a^x(1−θ_a)^{1−x}·θ_b^y(1−θ_b)^{1−y} over the same with
/// (θ_a + θ_b)/2 in both places, where θ are the means of Beta(.18, .18) posteriors before the block
/// (Turner, Ly and Grünwald 2024, arXiv 2106.02693). Under equal rates it does not grow on average. It
/// bets on either direction: a rejection says that the rates differ, and the rates say how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blocks {
    n: u64,
    baseline_passed: u64,
    candidate_passed: u64,
    log_money: f64,
    /// The most of it while the candidate passed less often.
    log_peak_worse: f64,
}

impl Default for Blocks {
    fn default() -> Self {
        Self::new()
    }
}

impl Blocks {
    /// Starts a bet against H0: both rates are equal.
    pub fn new() -> Self {
        Self {
            n: 0,
            baseline_passed: 0,
            candidate_passed: 0,
            log_money: 0.0,
            log_peak_worse: 0.0,
        }
    }

    /// Takes the next item of both streams.
    pub fn push(&mut self, baseline: bool, candidate: bool) {
        let mean = |passed: u64| (passed as f64 + PRIOR) / (self.n as f64 + 2.0 * PRIOR);
        let (of_a, of_b) = (mean(self.baseline_passed), mean(self.candidate_passed));
        let equal = f64::midpoint(of_a, of_b);
        let chance = |rate: f64, outcome: bool| if outcome { rate } else { 1.0 - rate };
        let factor = chance(of_a, baseline) * chance(of_b, candidate)
            / (chance(equal, baseline) * chance(equal, candidate));
        self.log_money += factor.ln();
        self.n += 1;
        self.baseline_passed += u64::from(baseline);
        self.candidate_passed += u64::from(candidate);
        if self.is_worse() {
            self.log_peak_worse = self.log_peak_worse.max(self.log_money);
        }
    }

    /// Returns how many blocks were taken.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Returns the money; H0 is rejected at α when it reaches 1/α.
    pub fn e_value(&self) -> f64 {
        self.log_money.exp()
    }

    /// Returns the most that it has been while the candidate had passed less often, and 1 if it never had:
    /// money that was made while the candidate was ahead says nothing of its being worse.
    pub fn peak_worse(&self) -> f64 {
        self.log_peak_worse.exp()
    }

    /// Returns whether the candidate has passed less often so far.
    pub fn is_worse(&self) -> bool {
        self.candidate_passed < self.baseline_passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_block_is_even_and_the_second_knows_it() {
        let mut blocks = Blocks::new();
        blocks.push(true, false);
        assert_eq!(blocks.e_value(), 1.0);
        blocks.push(true, false);
        // θ_a = 1.18/1.36, θ_b = 0.18/1.36, together ½: (1.18/1.36)²/¼
        assert!((blocks.e_value() - 4.0 * (1.18_f64 / 1.36).powi(2)).abs() < 1e-12);
        assert!(blocks.is_worse());
    }

    #[test]
    fn money_of_a_lead_is_none_of_a_loss() {
        let mut blocks = Blocks::new();
        (0..40).for_each(|_| blocks.push(false, true));
        assert!(blocks.e_value() > 20.0 && blocks.peak_worse() <= 1.0);
        // the lead is lost, and the money is not yet made anew
        (0..41).for_each(|_| blocks.push(true, false));
        assert!(blocks.is_worse() && blocks.peak_worse() < 20.0);
        (0..200).for_each(|_| blocks.push(true, false));
        assert!(blocks.peak_worse() > 20.0);
    }

    #[test]
    fn the_factor_is_fair_under_equal_rates() {
        let mut blocks = Blocks::new();
        for (a, b) in [
            (true, false),
            (true, true),
            (false, true),
            (true, true),
            (true, false),
        ] {
            blocks.push(a, b);
        }
        let before = blocks.e_value();
        for rate in [0.1, 0.5, 0.83] {
            let mean: f64 = [(true, true), (true, false), (false, true), (false, false)]
                .iter()
                .map(|&(a, b)| {
                    let mut next = blocks;
                    next.push(a, b);
                    let chance = |outcome| if outcome { rate } else { 1.0 - rate };
                    chance(a) * chance(b) * next.e_value()
                })
                .sum();
            assert!(mean <= before * (1.0 + 1e-12), "{rate}: {mean} {before}");
        }
    }
}
