//! Why a number is not given: an honest refusal is a result too.

/// A question that these data, or these settings, cannot answer.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Nothing was given to count.
    #[error("there are no values")]
    Empty,
    /// A value is NaN or infinite.
    #[error("a value is not a finite number")]
    NotFinite,
    /// A rate was asked of values that are not all 0 or 1.
    #[error("{0} is neither 0 nor 1")]
    NotBinary(f64),
    /// A setting or a value lies outside of what the method is defined for.
    #[error("{value} is outside of {low} to {high}")]
    OutOfRange {
        /// What was given.
        value: f64,
        /// The least that is accepted.
        low: f64,
        /// The most that is accepted.
        high: f64,
    },
    /// A baseline of so few values would be wrong by more than its tests allow for.
    #[error("{have} values are too few, {needed} are needed")]
    TooFew {
        /// How many there are.
        have: usize,
        /// How many it takes.
        needed: usize,
    },
    /// The spread between groups cannot be seen in one group.
    #[error("one group says nothing of the spread between groups")]
    OneGroup,
    /// All values are equal where the method divides by their spread.
    #[error("the values do not differ")]
    NoSpread,
    /// Two versions were to be paired and share fewer than two keys.
    #[error("the versions share {0} keys, two are needed")]
    TooFewPairs(usize),
    /// A stratum of the population has no observation, so its share of the whole is unknown.
    #[error("stratum {0} has no observation")]
    EmptyStratum(usize),
    /// A stratum has a single observation or group, so its spread is unknown.
    #[error("stratum {0} has a single group, its spread is unknown")]
    ThinStratum(usize),
    /// Two lists that belong together differ in length.
    #[error("the lists differ in length: {0} and {1}")]
    Lengths(usize, usize),
    /// A relative change was asked of a baseline that may be zero.
    #[error("the baseline's interval touches zero, no ratio to it means anything")]
    BaselineTouchesZero,
    /// A relative change is on a logarithmic scale, where zero has no place.
    #[error("the new version's mean is not above zero, its ratio has no logarithm")]
    CandidateNotPositive,
    /// A judge is too close to a coin for its errors to be taken out of its rate.
    #[error("sensitivity + specificity - 1 is {0:.2}, below 0.2: this judge cannot be corrected")]
    UselessJudge(f64),
    /// There are no human labels of one of the two kinds.
    #[error("no item is labelled {}", if *.0 { "true" } else { "false" })]
    OneLabelOnly(bool),
}
