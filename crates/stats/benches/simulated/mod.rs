//! Figures of the grading method that were found by simulation, found again.
//!
//! Each simulation returns checks: what the method's description says, what comes out here, and the Monte
//! Carlo error of both. The description does not say how many runs its figures are of. Shares are taken to
//! be of 2,000 runs and medians of 300, which its own last digits suggest.

pub(crate) mod alerts;
pub(crate) mod coverage;
pub(crate) mod judges;
pub(crate) mod sequential;

/// Runs behind a share that the description prints.
const SPEC_SHARE_RUNS: f64 = 2_000.0;
/// Runs behind a median that it prints.
const SPEC_MEDIAN_RUNS: f64 = 300.0;

/// How a figure must stand to what is said of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Must {
    /// The same within three Monte Carlo errors.
    Equal,
    /// No more, within three errors.
    NotExceed,
    /// No less, within three errors.
    Reach,
}

/// A figure and what is said of it.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    /// What is measured.
    pub(crate) name: String,
    /// What is said.
    pub(crate) said: f64,
    /// What came out.
    pub(crate) found: f64,
    /// One Monte Carlo error of the difference of both.
    pub(crate) error: f64,
    /// By how much the printed figure may be off because it is rounded.
    pub(crate) rounding: f64,
    /// What is asked.
    pub(crate) must: Must,
}

impl Check {
    /// A share of runs.
    pub(crate) fn share(name: &str, said: f64, hits: usize, runs: usize) -> Self {
        let (found, runs) = (hits as f64 / runs as f64, runs as f64);
        let variance = |p: f64, n: f64| p * (1.0 - p) / n;
        // a share of nothing has no error of its own: that of one hit stands for it
        let ours = variance(found.clamp(1.0 / runs, 1.0 - 1.0 / runs), runs);
        Self {
            name: name.to_owned(),
            said,
            found,
            error: (ours + variance(said, SPEC_SHARE_RUNS)).sqrt(),
            rounding: 0.0005,
            must: Must::Equal,
        }
    }

    /// The median of times, those that never ended being infinite.
    pub(crate) fn median(name: &str, said: f64, mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let runs = times.len() as f64;
        let at = |share: f64| times[((share * runs) as usize).min(times.len() - 1)];
        // the order statistics one standard error of the share below away on either side
        let error = |n: f64| (at(0.5 + 0.5 / n.sqrt()) - at(0.5 - 0.5 / n.sqrt())) / 2.0;
        Self {
            name: name.to_owned(),
            said,
            found: at(0.5),
            error: error(runs).hypot(error(SPEC_MEDIAN_RUNS)),
            rounding: 0.5,
            must: Must::Equal,
        }
    }

    /// A number with its error over runs.
    pub(crate) fn mean(name: &str, said: f64, values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values
            .iter()
            .map(|value| (value - mean).powi(2))
            .sum::<f64>()
            / (n - 1.0);
        Self {
            name: name.to_owned(),
            said,
            found: mean,
            error: (variance / n)
                .sqrt()
                .hypot((variance / SPEC_SHARE_RUNS).sqrt()),
            rounding: 0.0005,
            must: Must::Equal,
        }
    }

    /// A number that no chance is in.
    pub(crate) fn exact(name: &str, said: f64, found: f64, rounding: f64) -> Self {
        Self {
            name: name.to_owned(),
            said,
            found,
            error: 0.0,
            rounding,
            must: Must::Equal,
        }
    }

    /// The same check, only one-sided.
    pub(crate) fn must(self, must: Must) -> Self {
        Self { must, ..self }
    }

    /// The same check of a figure printed with fewer digits.
    pub(crate) fn rounded_to(self, digit: f64) -> Self {
        Self {
            rounding: digit / 2.0,
            ..self
        }
    }

    /// Returns whether what came out is what is said.
    pub(crate) fn holds(&self) -> bool {
        let room = 3.0 * self.error + self.rounding + 1e-12;
        match self.must {
            Must::Equal => (self.found - self.said).abs() <= room,
            Must::NotExceed => self.found <= self.said + room,
            Must::Reach => self.found >= self.said - room,
        }
    }
}
