//! On which scale does a criterion ask for a number?
//!
//! People write the scale into the text: "Score: 1-5", "on a scale of 0 to 1", "out of 10". A range is taken
//! for a scale if it looks like one (it starts at 0 or 1, or reaches as far below zero as above), nothing is
//! counted in it ("1-2 sentences"), and the text around it speaks of rating, or it stands in brackets or at
//! the end. What is read is echoed when the grader is saved, so that its author sees it.

use std::sync::LazyLock;

use regex::Regex;

/// What a judge answers with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// Pass or fail.
    PassFail,
    /// Whole numbers.
    Whole {
        /// The lowest.
        low: i64,
        /// The highest.
        high: i64,
    },
    /// Any number.
    Real {
        /// The lowest.
        low: f64,
        /// The highest.
        high: f64,
    },
}

/// Scales reach no further than this.
const HIGH_MAX: f64 = 1_000.0;

static RANGE: LazyLock<Regex> = LazyLock::new(|| {
    let number = r"-?\d{1,4}(?:\.\d+)?";
    let pattern = format!(
        r"(?x)
        (?P<low>{number}) \s* (?:-|–|—|\.\.|to|through) \s* (?P<high>{number})
        | out\s+of \s+ (?P<of>\d{{1,4}})
        | /\s?(?P<slash>5|10|100)\b
        | (?P<points>\d{{1,2}}) [\s-] (?:point|star)s? \b
        "
    );
    Regex::new(&pattern).expect("the pattern is fixed")
});

static RATING: LazyLock<Regex> = LazyLock::new(|| {
    let words = r"(?i)\b(?:scor|rat(?:e|ing)|scale|grad(?:e|ing)|points?\b|stars?\b|evaluate|mark)";
    Regex::new(words).expect("the pattern is fixed")
});

/// Words that may follow a scale. Any other word is what is counted.
const FOLLOWING: &[&str] = &[
    "scale",
    "where",
    "with",
    "being",
    "inclusive",
    "points",
    "point",
    "stars",
    "star",
    "based",
    "depending",
    "for",
    "on",
    "if",
    "according",
    "and",
    "as",
    "rating",
    "how",
    "by",
    "whether",
    "using",
    "in",
    "score",
    "the",
    "each",
    "considering",
    "of",
    "to",
    "overall",
    "given",
    "when",
    "or",
    "that",
];

impl Scale {
    /// Returns the scale that the text of a criterion asks for; pass or fail if it asks for none.
    pub fn from_criteria(text: &str) -> Self {
        text.lines()
            .flat_map(|line| RANGE.captures_iter(line).map(move |found| (line, found)))
            .find_map(|(line, found)| {
                let whole = found.get(0)?;
                let (before, after) = (&line[..whole.start()], &line[whole.end()..]);
                let is_bounded = is_edge(before, after, found.name("slash").is_some());
                let is_rated = RATING.is_match(line)
                    || is_set_apart(before, after)
                    || (ends_sentence(after) && RATING.is_match(text));
                (is_bounded && is_rated && !counts_something(after))
                    .then(|| scale_of(&found, line))
                    .flatten()
            })
            .unwrap_or(Self::PassFail)
    }

    /// Returns the scale of these ends: whole numbers unless they are 0 and 1 or have fractions.
    pub fn of_range(low: f64, high: f64) -> Option<Self> {
        let is_order = low.is_finite() && high.is_finite() && low < high;
        let is_whole =
            low.fract() == 0.0 && high.fract() == 0.0 && high.abs().max(low.abs()) <= 1e9;
        match (is_order, is_whole && (low, high) != (0.0, 1.0)) {
            (false, _) => None,
            (true, true) => Some(Self::Whole {
                low: low as i64,
                high: high as i64,
            }),
            (true, false) => Some(Self::Real { low, high }),
        }
    }

    /// Returns the lowest and the highest number.
    pub fn range(self) -> Option<(f64, f64)> {
        match self {
            Self::PassFail => None,
            Self::Whole { low, high } => Some((low as f64, high as f64)),
            Self::Real { low, high } => Some((low, high)),
        }
    }

    /// Returns from which number on it is a pass, where the grader does not say: 4 on 1–5, one step above
    /// the middle of other whole scales, the middle of others.
    pub fn default_pass_threshold(self) -> Option<f64> {
        let (low, high) = self.range()?;
        let middle = low + (high - low) / 2.0;
        Some(match self {
            Self::Whole { .. } => (middle + 1.0).min(high),
            _ => middle,
        })
    }

    /// Returns whether a number is on the scale.
    pub fn contains(self, score: f64) -> bool {
        let is_step = !matches!(self, Self::Whole { .. }) || score.fract() == 0.0;
        let is_inside = self
            .range()
            .is_some_and(|(low, high)| (low..=high).contains(&score));
        is_step && is_inside
    }
}

/// Numbers that go on before or after are dates, versions or calculations.
fn is_edge(before: &str, after: &str, is_slash: bool) -> bool {
    // Before a slash may stand the letter for the number: X/10.
    let joins = |c: char| match is_slash {
        true => c.is_numeric() || c == '/',
        false => c.is_alphanumeric() || "-./$€£:".contains(c),
    };
    let starts = before.chars().next_back().is_none_or(|c| !joins(c));
    let mut next = after.chars();
    let ends = match next.next() {
        None => true,
        Some('.' | ':' | '-' | '/') => next.next().is_none_or(|c| !c.is_alphanumeric()),
        Some(c) => !c.is_alphanumeric() && c != '%',
    };
    starts && ends
}

/// Returns whether what is found stands in brackets.
fn is_set_apart(before: &str, after: &str) -> bool {
    let is_open = before.trim_end().ends_with(['(', '[']);
    let is_closed = after.trim_start().starts_with([')', ']', ',', ';']);
    is_open && is_closed
}

fn ends_sentence(after: &str) -> bool {
    after.trim().is_empty() || after.starts_with(". ") || after.trim() == "."
}

/// Returns whether a word follows that names what is counted.
fn counts_something(after: &str) -> bool {
    let rest = after.strip_prefix(' ').unwrap_or_default();
    let word: String = rest.chars().take_while(|c| c.is_alphabetic()).collect();
    !word.is_empty() && !FOLLOWING.contains(&word.to_lowercase().as_str())
}

fn scale_of(found: &regex::Captures<'_>, line: &str) -> Option<Scale> {
    let number = |name: &str| found.name(name)?.as_str().parse::<f64>().ok();
    let has_point = |name: &str| {
        found
            .name(name)
            .is_some_and(|text| text.as_str().contains('.'))
    };
    if let (Some(low), Some(high)) = (number("low"), number("high")) {
        let is_plausible = low == 0.0 || low == 1.0 || low == -high;
        if !is_plausible || high <= low || high > HIGH_MAX {
            return None;
        }
        return match has_point("low") || has_point("high") {
            true => Some(Scale::Real { low, high }),
            false => Scale::of_range(low, high),
        };
    }
    if let Some(high) = number("of").or_else(|| number("slash")) {
        return (2.0..=HIGH_MAX)
            .contains(&high)
            .then(|| Scale::of_range(0.0, high))
            .flatten();
    }
    let high = number("points").filter(|_| RATING.is_match(line))?;
    (3.0..=10.0)
        .contains(&high)
        .then(|| Scale::of_range(1.0, high))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Scale) {
        assert_eq!(Scale::from_criteria(text), expected, "{text:?}");
    }

    fn whole(low: i64, high: i64) -> Scale {
        Scale::Whole { low, high }
    }

    #[test]
    fn scales_are_read() {
        let guide = "Evaluate the entire agent workflow:\n\n1. Did the agent accomplish the user's goal?\n2. Were the right tools called in the right order?\n\nScore: 1-5 (5 = perfect execution)\n";
        check(guide, whole(1, 5));
        check("Rate the appropriateness of tool usage (1-5)", whole(1, 5));
        check("Overall quality (1-5)", whole(1, 5));
        check("Overall quality (1–5)", whole(1, 5));
        check(
            "Evaluate the summary on a scale of 0 to 1.",
            Scale::Real {
                low: 0.0,
                high: 1.0,
            },
        );
        check(
            "Give a score, 0.0 - 1.0, for tone",
            Scale::Real {
                low: 0.0,
                high: 1.0,
            },
        );
        check("Rate from 1 to 10 how polite it was", whole(1, 10));
        check("Give a mark out of 10.", whole(0, 10));
        check("Score it X/10", whole(0, 10));
        check("Score chapter 3/10", Scale::PassFail);
        check("Score it: ?/10", whole(0, 10));
        check("Use a 7-point scale", whole(1, 7));
        check("Score from -2 to 2", whole(-2, 2));
        check("Score 0-100, where 100 is best", whole(0, 100));
        check("Rate the tone.\nUse 1 to 5.", whole(1, 5));
        check("Use 1-2 sentences. Score: 1-5", whole(1, 5));
    }

    #[test]
    fn what_only_looks_like_a_scale_is_none() {
        for text in [
            "Did the agent book the flight? Return a pass if it did, and fail otherwise.",
            "The answer has 1-2 sentences",
            "Rate whether the answer takes 1-2 minutes to read",
            "The score is pass if the date is 2025-10-01",
            "Fail if it costs $1-5",
            "At least 3 out of 4 tool calls must succeed",
            "Score by version 1.0-2.0.1",
            "Answer in 1-5",
            "Pages 10-20 of the rating",
            "",
        ] {
            check(text, Scale::PassFail);
        }
    }

    #[test]
    fn a_scale_knows_what_passes() {
        let default = |scale: Scale| scale.default_pass_threshold();
        assert_eq!(default(whole(1, 5)), Some(4.0));
        assert_eq!(default(whole(0, 10)), Some(6.0));
        assert_eq!(default(whole(1, 10)), Some(6.5));
        assert_eq!(default(whole(1, 2)), Some(2.0));
        assert_eq!(
            default(Scale::Real {
                low: 0.0,
                high: 1.0
            }),
            Some(0.5)
        );
        assert_eq!(default(Scale::PassFail), None);
        assert!(
            whole(1, 5).contains(5.0) && !whole(1, 5).contains(4.5) && !whole(1, 5).contains(0.0)
        );
        assert!(!whole(1, 5).contains(f64::NAN));
        assert_eq!(Scale::of_range(1.0, 1.0), None);
        assert_eq!(Scale::of_range(0.0, 5.0), Some(whole(0, 5)));
    }
}
