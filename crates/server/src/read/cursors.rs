//! Opaque places in lists that are not lists of traces by start: a number and a text, in letters that
//! are safe in a URL.

use model::{Time, TraceId};
use query::{SearchCursor, SummaryCursor};

/// Returns the text for a place.
fn encode(prefix: &str, number: i64, text: Option<&str>) -> String {
    use std::fmt::Write as _;
    let mut out = format!("{prefix}_{number}_");
    for byte in text.unwrap_or_default().bytes() {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// Returns the number and the text of a place.
fn decode(prefix: &str, cursor: &str) -> Option<(i64, String)> {
    let (number, hex) = cursor
        .strip_prefix(prefix)?
        .strip_prefix('_')?
        .split_once('_')?;
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = hex.as_bytes().chunks(2).map(pair).collect();
    Some((number.parse().ok()?, String::from_utf8(bytes?).ok()?))
}

/// Returns the text for a place among the hits of a search.
pub(super) fn of_search(cursor: &SearchCursor) -> String {
    let id = cursor.trace_id.as_ref().map(TraceId::as_str);
    encode("s1", cursor.started_at.as_micros(), id)
}

/// Returns the place among the hits of a search that a text names.
pub(super) fn search(text: &str) -> Option<SearchCursor> {
    let (micros, id) = decode("s1", text)?;
    let trace_id = match id.as_str() {
        "" => None,
        id => Some(TraceId::new(id).ok()?),
    };
    Some(SearchCursor {
        started_at: Time::from_micros(micros),
        trace_id,
    })
}

/// Returns the text for a place among groups or workflows.
pub(super) fn of_summary(cursor: &SummaryCursor) -> String {
    encode(
        "g1",
        cursor.last_received_at.as_micros(),
        Some(&cursor.name),
    )
}

/// Returns the place among groups or workflows that a text names.
pub(super) fn summary(text: &str) -> Option<SummaryCursor> {
    let (micros, name) = decode("g1", text)?;
    Some(SummaryCursor {
        last_received_at: Time::from_micros(micros),
        name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_from_their_texts_and_nothing_else_is_one() {
        for (micros, id) in [(5, Some("a_b/ü")), (i64::MAX, None)] {
            let trace_id = id.map(|id| TraceId::new(id).unwrap());
            let cursor = SearchCursor {
                started_at: Time::from_micros(micros),
                trace_id,
            };
            let text = of_search(&cursor);
            assert!(
                text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'),
                "{text}"
            );
            assert_eq!(search(&text), Some(cursor));
            assert_eq!(summary(&text), None);
        }
        let cursor = SummaryCursor {
            last_received_at: Time::from_micros(-1),
            name: "späße".into(),
        };
        assert_eq!(summary(&of_summary(&cursor)), Some(cursor));
        for bad in [
            "", "s1", "s1__", "s1_x_", "s1_1_6", "s1_1_zz", "s1_1_ff", "trace_1",
        ] {
            assert_eq!(search(bad), None, "{bad}");
        }
    }
}
