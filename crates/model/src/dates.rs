//! What do people mean by a date?
//!
//! One reading for query parameters, filters, flags and settings: an instant in RFC 3339, a date, the
//! words `today` and `yesterday`, or a time back from now such as `-7d`. Days begin in the asker's
//! time zone. A lower bound is inclusive, an upper one is not: a word or an instant ends just before
//! itself (`yesterday` to `today` is one day), and only a date that somebody wrote out as the end of
//! a range takes its own day with it.

use std::borrow::Cow;
use std::fmt;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::Time;

/// Which end of a range a date stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The first moment of the range.
    From,
    /// The first moment after the range.
    Until,
}

/// A time zone by its IANA name.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone(TimeZone);

/// Why a text is not a date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDate {
    /// The text has none of the known forms, or names a day that the calendar does not have.
    #[error(
        "{0:?} is not a date: write 2026-01-31, 2026-01-31T12:00:00Z, today, yesterday, \
         or a time back such as -7d, -36h, -30m, -2w"
    )]
    Unknown(String),
    /// The moment lies outside the years that can be reckoned with.
    #[error("{0:?} is too far away")]
    TooFar(String),
    /// No such time zone.
    #[error("{0:?} is not a time zone: write an IANA name such as Europe/Berlin, or UTC")]
    UnknownZone(String),
}

impl Zone {
    /// Returns UTC, the zone of whoever names none.
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// Returns the zone with this IANA name.
    pub fn named(name: &str) -> Result<Self, BadDate> {
        TimeZone::get(name)
            .map(Self)
            .map_err(|_| BadDate::UnknownZone(shortened(name)))
    }

    fn start_of(&self, day: Date, text: &str) -> Result<Time, BadDate> {
        let too_far = |_| BadDate::TooFar(shortened(text));
        // Where midnight is skipped by summer time, the day starts at its first moment.
        let zoned = day
            .to_zoned(self.0.clone())
            .and_then(|at| at.start_of_day());
        Ok(Time::from_micros(
            zoned.map_err(too_far)?.timestamp().as_microsecond(),
        ))
    }

    fn date_of(&self, at: Time, text: &str) -> Result<Date, BadDate> {
        jiff::Timestamp::from_microsecond(at.as_micros())
            .map(|at| at.to_zoned(self.0.clone()).date())
            .map_err(|_| BadDate::TooFar(shortened(text)))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

/// Returns the moment that `text` names at this end of a range, for somebody who asks at `now` and
/// lives in `zone`.
pub fn parse_bound(text: &str, bound: Bound, now: Time, zone: &Zone) -> Result<Time, BadDate> {
    let text = &*with_plus(text.trim());
    let unknown = || BadDate::Unknown(shortened(text));
    let too_far = || BadDate::TooFar(shortened(text));
    match text {
        "today" => return zone.start_of(zone.date_of(now, text)?, text),
        "yesterday" => {
            let today = zone.date_of(now, text)?;
            return zone.start_of(today.yesterday().map_err(|_| too_far())?, text);
        }
        _ => {}
    }
    if let Some(back) = text.strip_prefix('-') {
        let micros = micros_of(back).ok_or_else(unknown)?;
        let at = micros.and_then(|micros| now.as_micros().checked_sub(micros));
        return at.map(Time::from_micros).ok_or_else(too_far);
    }
    if text.len() == "2026-01-31".len() {
        let day: Date = text.parse().map_err(|_| unknown())?;
        let day = match bound {
            Bound::From => day,
            Bound::Until => day.tomorrow().map_err(|_| too_far())?,
        };
        return zone.start_of(day, text);
    }
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(Time::from_micros(at.as_microsecond()));
    }
    // Without an offset it is the asker's own clock.
    let local: DateTime = text.parse().map_err(|_| unknown())?;
    let zoned = local.to_zoned(zone.0.clone()).map_err(|_| too_far())?;
    Ok(Time::from_micros(zoned.timestamp().as_microsecond()))
}

/// Returns the text with the plus of its offset back, which a query string turns into a space unless it
/// is written as `%2B`.
fn with_plus(text: &str) -> Cow<'_, str> {
    let Some((moment, offset)) = text.rsplit_once(' ') else {
        return Cow::Borrowed(text);
    };
    let is_offset = offset.len() >= 4 && offset.bytes().all(|b| b.is_ascii_digit() || b == b':');
    // A space may stand between day and time: `2026-01-31 12:00` has no offset.
    match is_offset && moment.contains(':') {
        true => Cow::Owned(format!("{moment}+{offset}")),
        false => Cow::Borrowed(text),
    }
}

/// Returns the microseconds of `7d`: `None` if it is no such text, `Some(None)` if they are too many.
fn micros_of(text: &str) -> Option<Option<i64>> {
    let unit = text.chars().next_back()?;
    let seconds: i64 = match unit {
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    let count = &text[..text.len() - unit.len_utf8()];
    if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(
        count
            .parse::<i64>()
            .ok()
            .and_then(|n| n.checked_mul(seconds * 1_000_000)),
    )
}

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Saturday evening in UTC; in Berlin it is Sunday already.
    const NOW: &str = "2026-08-15T22:30:00Z";

    fn parse(text: &str, bound: Bound, zone: &str) -> Result<String, BadDate> {
        let now = Time::parse_rfc3339(NOW).unwrap();
        let at = parse_bound(text, bound, now, &Zone::named(zone)?)?;
        Ok(at.to_string().replace(".000000", ""))
    }

    fn check(text: &str, zone: &str, from: &str, until: &str) {
        assert_eq!(
            parse(text, Bound::From, zone).unwrap(),
            from,
            "{text} from, {zone}"
        );
        assert_eq!(
            parse(text, Bound::Until, zone).unwrap(),
            until,
            "{text} until, {zone}"
        );
    }

    #[test]
    fn only_a_bare_date_takes_its_day_with_it() {
        check(
            "2026-01-31",
            "UTC",
            "2026-01-31T00:00:00Z",
            "2026-02-01T00:00:00Z",
        );
        check(
            "today",
            "UTC",
            "2026-08-15T00:00:00Z",
            "2026-08-15T00:00:00Z",
        );
        check(
            "yesterday",
            "UTC",
            "2026-08-14T00:00:00Z",
            "2026-08-14T00:00:00Z",
        );
        check(
            "2026-01-31T00:00:00Z",
            "UTC",
            "2026-01-31T00:00:00Z",
            "2026-01-31T00:00:00Z",
        );
        let moved = "2026-01-30T22:00:00Z";
        check("2026-01-31T00:00:00 02:00", "UTC", moved, moved);
        check(
            "2026-01-31 00:00",
            "Europe/Berlin",
            "2026-01-30T23:00:00Z",
            "2026-01-30T23:00:00Z",
        );
        check(
            " 2024-02-29 ",
            "UTC",
            "2024-02-29T00:00:00Z",
            "2024-03-01T00:00:00Z",
        );
    }

    #[test]
    fn times_back_are_counted_from_now() {
        check("-7d", "UTC", "2026-08-08T22:30:00Z", "2026-08-08T22:30:00Z");
        check(
            "-36h",
            "Europe/Berlin",
            "2026-08-14T10:30:00Z",
            "2026-08-14T10:30:00Z",
        );
        check(
            "-30m",
            "UTC",
            "2026-08-15T22:00:00Z",
            "2026-08-15T22:00:00Z",
        );
        check("-2w", "UTC", "2026-08-01T22:30:00Z", "2026-08-01T22:30:00Z");
        check("-0d", "UTC", "2026-08-15T22:30:00Z", "2026-08-15T22:30:00Z");
    }

    #[test]
    fn days_begin_where_the_asker_lives() {
        check(
            "today",
            "Europe/Berlin",
            "2026-08-15T22:00:00Z",
            "2026-08-15T22:00:00Z",
        );
        check(
            "2026-01-31",
            "America/New_York",
            "2026-01-31T05:00:00Z",
            "2026-02-01T05:00:00Z",
        );
        // The clocks go forward: a day of 23 hours, and one that starts at 01:00.
        check(
            "2026-03-29",
            "Europe/Berlin",
            "2026-03-28T23:00:00Z",
            "2026-03-29T22:00:00Z",
        );
        check(
            "2025-09-07",
            "America/Santiago",
            "2025-09-07T04:00:00Z",
            "2025-09-08T03:00:00Z",
        );
        check(
            "2026-01-31T12:00",
            "Asia/Tokyo",
            "2026-01-31T03:00:00Z",
            "2026-01-31T03:00:00Z",
        );
        check(
            "2026-01-31T12:00:00+01:00",
            "Asia/Tokyo",
            "2026-01-31T11:00:00Z",
            "2026-01-31T11:00:00Z",
        );
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for bad in [
            "",
            "tomorrow",
            "7d",
            "-7",
            "-d",
            "-7y",
            "--7d",
            "-+7d",
            "-7 d",
            "-é",
            "é",
            "2026-02-30",
            "2026-1-31",
            "01/31/2026",
            "1769850000",
            "2026-W05-1",
        ] {
            assert_eq!(
                parse(bad, Bound::From, "UTC"),
                Err(BadDate::Unknown(bad.into())),
                "{bad:?}"
            );
        }
        for far in ["-9999999999999999999999d", "-999999999999999d"] {
            assert_eq!(
                parse(far, Bound::From, "UTC"),
                Err(BadDate::TooFar(far.into()))
            );
        }
        assert_eq!(
            parse("9999-12-31", Bound::Until, "UTC"),
            Err(BadDate::TooFar("9999-12-31".into()))
        );
        assert_eq!(
            parse("today", Bound::From, "Mars/Olympus"),
            Err(BadDate::UnknownZone("Mars/Olympus".into()))
        );
    }
}
