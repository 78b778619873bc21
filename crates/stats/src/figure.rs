//! What may be printed: a number together with how sure it is.
//!
//! Only this crate can make a [`Figure`], and its estimators return nothing barer. So a rate that
//! reaches a report has an interval, its n, its groups and its design effect, because there is no
//! other way to get one.

use std::fmt;

use crate::Refusal;

/// How often an interval is to hold what it is about, as a share below 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Level(f64);

impl Level {
    /// The usual 95 %.
    pub const P95: Self = Self(0.95);

    /// Returns the level, which lies between 0.5 and 1, both excluded.
    pub fn new(level: f64) -> Result<Self, Refusal> {
        if level > 0.5 && level < 1.0 {
            return Ok(Self(level));
        }
        Err(Refusal::OutOfRange {
            value: level,
            low: 0.5,
            high: 1.0,
        })
    }

    /// Returns the share, as 0.95.
    pub fn get(self) -> f64 {
        self.0
    }

    /// Returns what is left outside, as 0.05.
    pub fn alpha(self) -> f64 {
        1.0 - self.0
    }

    /// Returns the quantile at which a two-sided interval ends, as 0.975.
    pub(crate) fn upper(self) -> f64 {
        1.0 - self.alpha() / 2.0
    }

    /// Returns the level whose two-sided interval ends where a one-sided one of this level does.
    pub(crate) fn one_sided(self) -> Self {
        Self(1.0 - 2.0 * self.alpha())
    }
}

/// How an interval was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Wilson's score interval of independent trials.
    Wilson,
    /// Clopper and Pearson's exact interval.
    ClopperPearson,
    /// Wilson's with the effective n of groups and Student's t.
    WilsonGroups,
    /// Mean ± t · standard error, over values, groups or pairs.
    StudentT,
    /// Two observations that enclose a quantile.
    OrderStatistics,
    /// Two observations, at the ends of the interval of the share below (Woodruff).
    Woodruff,
    /// Bootstrap-t over groups.
    BootstrapT,
    /// Percentiles of a bootstrap over groups.
    BootstrapPercentile,
    /// Newcombe's difference of two rates.
    Newcombe,
    /// Pairs that differ by a step at least if they do.
    PairSteps,
    /// Wilson's with the effective n of a stratified sample.
    WilsonStrata,
    /// Weighted means ± z · standard error.
    Strata,
    /// Order statistics of all differences between two versions (Hodges and Lehmann).
    HodgesLehmann,
    /// Brunner and Munzel's for P(B > A).
    BrunnerMunzel,
    /// Ratio by the delta method on its logarithm.
    LogRatio,
    /// Judge's verdicts corrected by a random sample of labels (PPI++).
    PredictionPowered,
    /// Judge's rate corrected by its measured errors (Rogan and Gladen).
    RoganGladen,
    /// Holds at all times at once, however often one looks.
    ConfidenceSequence,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wilson => "Wilson",
            Self::ClopperPearson => "Clopper-Pearson",
            Self::WilsonGroups => "Wilson over groups",
            Self::StudentT => "Student t",
            Self::OrderStatistics => "order statistics",
            Self::Woodruff => "Woodruff",
            Self::BootstrapT => "bootstrap-t over groups",
            Self::BootstrapPercentile => "bootstrap over groups",
            Self::Newcombe => "Newcombe",
            Self::PairSteps => "Wilson over pairs",
            Self::WilsonStrata => "Wilson over strata",
            Self::Strata => "weighted strata",
            Self::HodgesLehmann => "Hodges-Lehmann",
            Self::BrunnerMunzel => "Brunner-Munzel",
            Self::LogRatio => "log ratio",
            Self::PredictionPowered => "PPI++",
            Self::RoganGladen => "Rogan-Gladen",
            Self::ConfidenceSequence => "confidence sequence",
        })
    }
}

/// From where to where, how sure, and how it was found.
///
/// A bound that no observation gives is infinite: of 20 values none is above the 95th percentile
/// with any confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// How often such intervals hold the truth.
    pub level: Level,
    /// How it was made.
    pub method: Method,
}

impl Interval {
    pub(crate) fn new((low, high): (f64, f64), level: Level, method: Method) -> Self {
        Self {
            low,
            high,
            level,
            method,
        }
    }

    /// Returns whether the value is inside, ends included.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// Returns the distance between the ends.
    pub fn width(&self) -> f64 {
        self.high - self.low
    }
}

/// Below so many groups the spread between them is hardly known.
pub const GROUPS_MIN: usize = 10;

/// An estimate and all that must stand beside it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Figure {
    /// The number.
    pub estimate: f64,
    /// Where the truth may be.
    pub interval: Interval,
    /// Values that went in.
    pub n: usize,
    /// Groups that went in; the same as `n` where values are independent.
    pub groups: usize,
    /// By how much the variance exceeds that of `n` independent values; 1 where they are.
    pub design_effect: f64,
}

impl Figure {
    pub(crate) fn independent(estimate: f64, interval: Interval, n: usize) -> Self {
        Self {
            estimate,
            interval,
            n,
            groups: n,
            design_effect: 1.0,
        }
    }

    /// The same with an interval that is cut to these ends.
    pub(crate) fn within(self, (low, high): (f64, f64)) -> Self {
        let interval = Interval {
            low: self.interval.low.max(low),
            high: self.interval.high.min(high),
            ..self.interval
        };
        Self { interval, ..self }
    }

    /// A share of the way from one end to the other as a value between them.
    pub(crate) fn on_scale(self, (low, high): (f64, f64)) -> Self {
        let value = |share: f64| (low + share * (high - low)).clamp(low, high);
        Self {
            estimate: value(self.estimate),
            interval: Interval {
                low: value(self.interval.low),
                high: value(self.interval.high),
                ..self.interval
            },
            ..self
        }
    }

    /// Returns how many independent values would tell as much: n / max(1, design effect).
    pub fn effective_n(&self) -> f64 {
        self.n as f64 / self.design_effect.max(1.0)
    }

    /// Returns whether "too few groups" must be printed beside the number.
    pub fn has_too_few_groups(&self) -> bool {
        (self.groups < self.n || self.groups == 1) && self.groups < GROUPS_MIN
    }
}
