//! How are sizes, durations and addresses written?

use std::net::SocketAddr;

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// Returns the word used in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}

/// What would have done in the place of a value that does not.
pub(super) type Wanted = &'static str;

const SIZES: [(&str, u64); 6] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
];
const SPANS_MS: [(&str, i64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Reads `64MiB`, or bytes without a unit.
pub(crate) fn size(text: &str) -> Result<u64, Wanted> {
    const WANTED: Wanted = "a size such as 64MiB, 1GiB or a number of bytes";
    let unit = SIZES.iter().find(|(unit, _)| text.ends_with(unit));
    let (digits, factor) = match unit {
        Some((unit, factor)) => (text.strip_suffix(unit).unwrap_or(text), *factor),
        None => (text, 1),
    };
    let count: u64 = digits.trim().parse().map_err(|_| WANTED)?;
    count.checked_mul(factor).filter(|n| *n > 0).ok_or(WANTED)
}

/// As [`size`], for what is held in memory.
pub(super) fn memory_size(text: &str) -> Result<usize, Wanted> {
    usize::try_from(size(text)?).map_err(|_| "a size that this machine can address")
}

/// Writes a size as [`size`] reads it.
pub(super) fn size_text(bytes: u64) -> toml::Value {
    let unit = SIZES[..3]
        .iter()
        .find(|(_, factor)| bytes.is_multiple_of(*factor));
    toml::Value::String(match unit {
        Some((unit, factor)) if bytes > 0 => format!("{}{unit}", bytes / factor),
        _ => bytes.to_string(),
    })
}

/// Reads `10m` as milliseconds.
pub(super) fn millis(text: &str) -> Result<i64, Wanted> {
    const WANTED: Wanted = "a duration such as 500ms, 30s, 10m, 24h";
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or(WANTED)?;
    let (digits, unit) = text.split_at(unit_at);
    let unit = unit.trim();
    let factor = SPANS_MS.iter().find(|(known, _)| *known == unit);
    let count: i64 = digits.parse().map_err(|_| WANTED)?;
    let millis = factor.and_then(|(_, factor)| count.checked_mul(*factor));
    millis.filter(|n| *n > 0).ok_or(WANTED)
}

/// Writes milliseconds as [`millis`] reads them.
pub(super) fn millis_text(millis: i64) -> toml::Value {
    let fits = |(_, factor): &&(&str, i64)| millis % factor == 0;
    let (unit, factor) = SPANS_MS.iter().rev().find(fits).unwrap_or(&SPANS_MS[0]);
    toml::Value::String(format!("{}{unit}", millis / factor))
}

/// Reads a whole number that is not 0.
pub(super) fn count(text: &str) -> Result<usize, Wanted> {
    let wanted = "a whole number from 1 on";
    text.parse().ok().filter(|n| *n > 0).ok_or(wanted)
}

/// Writes a number.
pub(super) fn count_text(count: usize) -> toml::Value {
    toml::Value::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}

/// Reads `true` or `false`.
pub(super) fn switch(text: &str) -> Result<bool, Wanted> {
    text.parse().map_err(|_| "true or false")
}

/// Reads an address with its port; `localhost` is 127.0.0.1.
pub(super) fn address(text: &str) -> Result<SocketAddr, Wanted> {
    let wanted = "an address and a port such as 127.0.0.1:4318";
    let text = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    text.parse().map_err(|_| wanted)
}

/// As [`address`], or `off`.
pub(super) fn address_or_off(text: &str) -> Result<Option<SocketAddr>, Wanted> {
    match text {
        "off" => Ok(None),
        _ => match address(text) {
            Ok(address) => Ok(Some(address)),
            Err(_) => Err("an address and a port such as 127.0.0.1:4317, or off"),
        },
    }
}

/// Reads origins separated by commas.
pub(super) fn origins(text: &str) -> Result<Vec<String>, Wanted> {
    let wanted = "a list of origins such as https://app.example, or *";
    let origins = text
        .split(',')
        .map(str::trim)
        .filter(|origin| !origin.is_empty());
    let is_origin = |origin: &str| {
        let host = origin
            .strip_prefix("https://")
            .or_else(|| origin.strip_prefix("http://"));
        origin == "*" || host.is_some_and(|host| !host.is_empty() && !host.contains('/'))
    };
    origins
        .map(|origin| {
            is_origin(origin)
                .then(|| origin.to_ascii_lowercase())
                .ok_or(wanted)
        })
        .collect()
}

/// Reads the name of a log format.
pub(super) fn log_format(text: &str) -> Result<LogFormat, Wanted> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("text or json"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_read_as_they_are_written() {
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("1 GiB", 1 << 30),
            ("3KB", 3_000),
            ("17", 17),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
            let written = size_text(bytes);
            assert_eq!(size(written.as_str().unwrap()), Ok(bytes), "{written}");
        }
        for (text, want) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("10m", 600_000),
            ("24h", 86_400_000),
        ] {
            assert_eq!(millis(text), Ok(want), "{text}");
            let written = millis_text(want);
            assert_eq!(millis(written.as_str().unwrap()), Ok(want), "{written}");
        }
        for bad in ["", "MiB", "-1", "1.5GiB", "0", "99999999999GiB", "1TiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        for bad in ["", "s", "10", "-1s", "0s", "9223372036854775807d", "1y"] {
            assert!(millis(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_origin_has_a_scheme_and_no_path() {
        assert_eq!(
            origins(" https://A.example , *,"),
            Ok(vec!["https://a.example".into(), "*".into()])
        );
        assert_eq!(origins(""), Ok(vec![]));
        for bad in ["a.example", "https://", "https://a.example/", "null"] {
            assert!(origins(bad).is_err(), "{bad}");
        }
    }
}
