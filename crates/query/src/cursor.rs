//! Where does the next page begin? After a key, not at an offset: rows that come and go between two
//! pages move nothing. A cursor also holds the highest sequence number of the first page, so that
//! traces which arrive while somebody pages are left for the next time. A settled trace, whose key
//! cannot change, comes exactly once.

use std::fmt;
use std::str::FromStr;

use model::{Time, TraceId};

/// A place in a list of traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The start of the last trace of the page before.
    pub started_at: Option<Time>,
    /// The last trace of the page before.
    pub trace_id: TraceId,
    /// Traces whose first row has a higher number are not listed.
    pub watermark: i64,
}

/// The text is not a cursor of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("after: not a cursor that a list returned")]
pub struct BadCursor;

const PREFIX: &str = "c1";

impl fmt::Display for Cursor {
    /// Writes the cursor as an opaque text that is safe in a URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.started_at {
            Some(at) => write!(f, "{PREFIX}_{}_{}_", at.as_micros(), self.watermark)?,
            None => write!(f, "{PREFIX}__{}_", self.watermark)?,
        }
        self.trace_id
            .as_str()
            .bytes()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let parts: Vec<&str> = text.split('_').collect();
        let [PREFIX, started_at, watermark, id] = parts.as_slice() else {
            return Err(BadCursor);
        };
        let number = |text: &str| text.parse::<i64>().map_err(|_| BadCursor);
        let started_at = match *started_at {
            "" => None,
            micros => Some(Time::from_micros(number(micros)?)),
        };
        let id = String::from_utf8(unhex(id)?).map_err(|_| BadCursor)?;
        let trace_id = TraceId::new(&id).map_err(|_| BadCursor)?;
        Ok(Self {
            started_at,
            trace_id,
            watermark: number(watermark)?,
        })
    }
}

fn unhex(text: &str) -> Result<Vec<u8>, BadCursor> {
    let digit = |byte: u8| (byte as char).to_digit(16).ok_or(BadCursor);
    let pair = |pair: &[u8]| match pair {
        [high, low] => Ok((digit(*high)? * 16 + digit(*low)?) as u8),
        _ => Err(BadCursor),
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_from_its_text_and_nothing_else_is_one() {
        for (started_at, id) in [(Some(-5), "a_b/ü"), (None, "t"), (Some(i64::MAX), "é")] {
            let started_at = started_at.map(Time::from_micros);
            let cursor = Cursor {
                started_at,
                trace_id: TraceId::new(id).unwrap(),
                watermark: 7,
            };
            let text = cursor.to_string();
            assert!(
                text.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'),
                "{text}"
            );
            assert_eq!(text.parse(), Ok(cursor));
        }
        for bad in [
            "",
            "trace_1",
            "c1_x_1_61",
            "c1_1_1_",
            "c1_1_1_6",
            "c1_1_1_zz",
            "c1_1_1_ff",
            "c2_1_1_61",
        ] {
            assert_eq!(bad.parse::<Cursor>(), Err(BadCursor), "{bad}");
        }
    }
}
