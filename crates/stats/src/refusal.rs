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
    #[error("the {} stratum has no observation", ordinal(*.0))]
    EmptyStratum(usize),
    /// A stratum has a single observation or group, so its spread is unknown.
    #[error("the {} stratum has a single group, its spread is unknown", ordinal(*.0))]
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

/// The place of a stratum as people count: those who read this have names for them, in the order given.
fn ordinal(place: usize) -> String {
    let number = place + 1;
    let end = match (number % 10, number % 100) {
        (1, rest) if rest != 11 => "st",
        (2, rest) if rest != 12 => "nd",
        (3, rest) if rest != 13 => "rd",
        _ => "th",
    };
    format!("{number}{end}")
}

#[cfg(test)]
mod tests {
    use super::Refusal;

    #[test]
    fn strata_are_counted_as_people_count() {
        let told = [0, 1, 2, 3, 10, 20].map(|it| Refusal::EmptyStratum(it).to_string());
        let begins = [
            "the 1st", "the 2nd", "the 3rd", "the 4th", "the 11th", "the 21st",
        ];
        for (told, begin) in told.iter().zip(begins) {
            assert!(told.starts_with(begin), "{told}");
        }
    }
}
