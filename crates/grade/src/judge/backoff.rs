//! When to ask again after a failure that may pass.

use std::time::Duration;

/// How often and how patiently a question is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The first included.
    pub tries_max: u32,
    /// The longest wait after the first failure; it doubles with each.
    pub base: Duration,
    /// No wait of our own choice is longer.
    pub wait_max: Duration,
    /// A provider that asks for more than this has failed.
    pub asked_wait_max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            tries_max: 8,
            base: Duration::from_secs(1),
            wait_max: Duration::from_mins(1),
            asked_wait_max: Duration::from_mins(10),
        }
    }
}

impl Retry {
    /// Returns how long to wait after so many failures, one at least; none if it is enough.
    ///
    /// Full jitter: anything between nothing and the whole wait, where `chance` is between 0 and 1, so
    /// that those who failed together do not come back together. A wait that the provider asked for is
    /// kept whole, with the jitter of a first failure on top.
    pub(super) fn wait(
        &self,
        failures: u32,
        asked: Option<Duration>,
        chance: f64,
    ) -> Option<Duration> {
        if failures >= self.tries_max {
            return None;
        }
        match asked {
            Some(asked) if asked > self.asked_wait_max => None,
            Some(asked) => Some(asked + self.base.min(self.wait_max).mul_f64(chance)),
            None => {
                let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
                let longest = self.base.saturating_mul(doubled).min(self.wait_max);
                Some(longest.mul_f64(chance))
            }
        }
    }
}

/// Returns a number between 0 and 1, drawn evenly.
pub(super) fn chance() -> f64 {
    // Without random numbers everybody waits as long as may be, which is safe.
    let bits = getrandom::u32().unwrap_or(u32::MAX);
    f64::from(bits) / f64::from(u32::MAX)
}

/// Reads a duration as rate-limit headers have it: `6m0s`, `1.5s`, `20ms`, `1h2m`, or plain seconds.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let seconds = match &rest[..letters] {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        rest = &rest[letters..];
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Duration, Retry, chance, duration};

    #[test]
    fn waits_double_up_to_a_minute_and_end_after_eight_tries() {
        let retry = Retry::default();
        let longest = |failures| retry.wait(failures, None, 1.0).map(|it| it.as_secs());
        let waits: Vec<_> = (1..=8).map(longest).collect();
        let expected = [1, 2, 4, 8, 16, 32, 60].map(Some);
        assert_eq!(waits[..7], expected);
        assert_eq!(waits[7], None);
        assert_eq!(retry.wait(3, None, 0.0), Some(Duration::ZERO));
    }

    #[test]
    fn what_is_asked_for_is_waited_if_it_is_not_too_long() {
        let retry = Retry::default();
        let asked = |seconds| retry.wait(1, Some(Duration::from_secs(seconds)), 0.5);
        assert_eq!(asked(90), Some(Duration::from_millis(90_500)));
        assert_eq!(asked(3_600), None);
    }

    #[test]
    fn durations_of_headers_are_read() {
        for (text, millis) in [
            ("20ms", 20),
            ("1s", 1_000),
            ("1.5s", 1_500),
            ("6m0s", 360_000),
            ("1h2m3.5s", 3_723_500),
            ("7", 7_000),
            ("0.25", 250),
        ] {
            assert_eq!(
                duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in ["", "soon", "-1", "5 parsecs", "s", "1e400", "NaN", "1x"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn chances_differ() {
        let drawn: Vec<f64> = (0..8).map(|_| chance()).collect();
        assert!(drawn.iter().all(|it| (0.0..=1.0).contains(it)));
        assert!(
            drawn.iter().any(|it| (it - drawn[0]).abs() > 0.0),
            "{drawn:?}"
        );
    }

    proptest! {
        #[test]
        fn a_wait_is_never_longer_than_the_longest(failures in 1_u32..100, chance in 0.0..=1.0) {
            let retry = Retry { tries_max: 200, ..Retry::default() };
            let wait = retry.wait(failures, None, chance).unwrap();
            prop_assert!(wait <= retry.wait_max);
        }

        #[test]
        fn any_text_is_read_or_not(text in "[0-9.msh µdn-]{0,12}|.*") {
            let _read = duration(&text);
        }
    }
}
