//! Moments to the microsecond, in UTC.

use std::fmt;

/// A moment: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(i64);

/// The text is not a moment in RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an RFC 3339 time such as 2026-01-02T03:04:05.678901Z")]
pub struct BadTime(pub String);

const MICROS_PER_DAY: i64 = 86_400_000_000;

impl Time {
    /// Returns the moment `micros` after the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Returns the microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Returns the moment an RFC 3339 text names, cut to the microsecond. A text without an offset
    /// is taken as UTC: several hand-written exporters leave it out.
    pub fn parse_rfc3339(text: &str) -> Result<Self, BadTime> {
        let bad = || BadTime(text.chars().take(64).collect());
        if let Ok(at) = text.parse::<jiff::Timestamp>() {
            return Ok(Self(at.as_microsecond()));
        }
        let naive: jiff::civil::DateTime = text.parse().map_err(|_| bad())?;
        let zoned = naive.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| bad())?;
        Ok(Self(zoned.timestamp().as_microsecond()))
    }

    /// Returns the days since 1970-01-01, the number that names a day partition.
    pub const fn day(self) -> i32 {
        self.0.div_euclid(MICROS_PER_DAY) as i32
    }

    /// Returns the hours since 1970-01-01T00, the number that names an hour partition.
    pub const fn hour(self) -> i32 {
        self.0.div_euclid(3_600_000_000) as i32
    }

    /// Returns the moment `micros` later (earlier if negative), held at the ends of time.
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Returns the milliseconds from `earlier` to `self`, negative if the order is the other way.
    pub fn millis_since(self, earlier: Time) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / 1e3
    }
}

impl fmt::Display for Time {
    /// Writes RFC 3339 in UTC with six digits of fraction.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(at) => write!(f, "{at:.6}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl serde::Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sdks_and_odd_writers_are_understood() {
        let cases = [
            ("2026-01-02T03:04:05+00:00", "2026-01-02T03:04:05.000000Z"),
            (
                "2026-01-02T03:04:05.483255+00:00",
                "2026-01-02T03:04:05.483255Z",
            ),
            ("2026-01-02T03:04:05.483Z", "2026-01-02T03:04:05.483000Z"),
            (
                "2026-01-02T05:04:05.123456789+02:00",
                "2026-01-02T03:04:05.123456Z",
            ),
            ("2026-01-02T03:04:05", "2026-01-02T03:04:05.000000Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"),
            ("2100-12-31T23:59:59.999999Z", "2100-12-31T23:59:59.999999Z"),
        ];
        for (text, want) in cases {
            assert_eq!(
                Time::parse_rfc3339(text).unwrap().to_string(),
                want,
                "{text}"
            );
        }
        for bad in ["", "yesterday", "2026-13-01T00:00:00Z", "17"] {
            assert!(Time::parse_rfc3339(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn days_before_the_epoch_round_down() {
        assert_eq!(Time::from_micros(-1).day(), -1);
        assert_eq!(Time::from_micros(0).day(), 0);
    }
}
