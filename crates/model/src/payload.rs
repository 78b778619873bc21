//! How `data` keeps a span's payload: the sender's JSON text with references for the messages.
//!
//! Every run of list elements, or single value, that is stored as messages is replaced in the text by
//! one token: `"$ref:i0-48"` stands for input references 0 to 48, comma-separated, and `"$ref:o2"`
//! for output reference 2. A token is a JSON string, so `data` stays valid JSON for SQL. A sender's
//! own text could hold the same bytes: each `"$ref:` of theirs is written as `"$ref:=`, and
//! [`restore`] turns it back. Both ways work on bytes, so the round trip is exact by construction.

use memchr::memmem;

use crate::{JsonText, MessageHash};

const MARK: &str = "\"$ref:";
const ESCAPED: &str = "\"$ref:=";

/// Which list of a span a reference belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// `input_refs`.
    Input,
    /// `output_refs`.
    Output,
}

/// Builds a `data` text from pieces of the sender's text and references, left to right.
#[derive(Debug, Default)]
pub struct Writer {
    text: String,
}

impl Writer {
    /// Returns an empty writer with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
        }
    }

    /// Appends the sender's own text. A cut may not fall inside a JSON string.
    pub fn push_text(&mut self, text: &str) {
        let mut rest = text;
        while let Some(at) = memmem::find(rest.as_bytes(), MARK.as_bytes()) {
            self.text.push_str(&rest[..at]);
            self.text.push_str(ESCAPED);
            rest = &rest[at + MARK.len()..];
        }
        self.text.push_str(rest);
    }

    /// Appends one token for references `first..=last` of `side`.
    pub fn push_refs(&mut self, side: Side, first: usize, last: usize) {
        debug_assert!(first <= last);
        let letter = match side {
            Side::Input => 'i',
            Side::Output => 'o',
        };
        self.text.push_str(MARK);
        self.text.push(letter);
        self.push_number(first);
        if first != last {
            self.text.push('-');
            self.push_number(last);
        }
        self.text.push('"');
    }

    /// Appends a number; a long history has many, and a formatter takes its time.
    fn push_number(&mut self, number: usize) {
        if number > 9 {
            self.push_number(number / 10);
        }
        self.text.push(char::from(b'0' + (number % 10) as u8));
    }

    /// Returns the finished text, which is JSON if the pieces were.
    pub fn finish(self) -> JsonText {
        JsonText::from_trusted(self.text)
    }
}

/// A payload cannot be put together again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A token is not one that we write, or it points beyond the span's references.
    #[error("the reference at byte {at} of the stored data is damaged")]
    Damaged {
        /// Where the token starts.
        at: usize,
    },
    /// The message behind a reference is not in the store (D7).
    #[error("message {hash} is referred to but not stored")]
    Missing {
        /// The hash that resolves to nothing.
        hash: MessageHash,
    },
}

/// Returns the sender's text again, with `content` giving the bytes behind each reference.
pub fn restore<'a>(
    data: &str,
    input_refs: &[MessageHash],
    output_refs: &[MessageHash],
    mut content: impl FnMut(&MessageHash) -> Option<&'a str>,
) -> Result<String, RestoreError> {
    let mut out = String::with_capacity(data.len() * 2);
    let mut from = 0;
    for at in memmem::find_iter(data.as_bytes(), MARK.as_bytes()) {
        out.push_str(&data[from..at]);
        let body = at + MARK.len();
        if data.as_bytes().get(body) == Some(&b'=') {
            out.push_str(MARK);
            from = body + 1;
            continue;
        }
        let damaged = || RestoreError::Damaged { at };
        let end = body + data[body..].find('"').ok_or_else(damaged)?;
        let (side, first, last) = parse_token(&data[body..end]).ok_or_else(damaged)?;
        let refs = if side == Side::Input {
            input_refs
        } else {
            output_refs
        };
        let run = refs.get(first..=last).ok_or_else(damaged)?;
        for (n, hash) in run.iter().enumerate() {
            if n > 0 {
                out.push(',');
            }
            out.push_str(content(hash).ok_or(RestoreError::Missing { hash: *hash })?);
        }
        from = end + 1;
    }
    out.push_str(&data[from..]);
    Ok(out)
}

/// Returns what stands between `"$ref:` and the closing quote: a list, and the first and last of its
/// references.
pub fn parse_token(token: &str) -> Option<(Side, usize, usize)> {
    let side = match token.as_bytes().first()? {
        b'i' => Side::Input,
        b'o' => Side::Output,
        _ => return None,
    };
    let (first, last) = token[1..]
        .split_once('-')
        .unwrap_or((&token[1..], &token[1..]));
    let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((side, first, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn runs_and_single_values_come_back_in_place() {
        let texts = [
            r#"{"role":"user"}"#,
            r#"{"role": "tool", "n": 1.0}"#,
            "\"be brief\"",
        ];
        let hashes: Vec<_> = texts
            .iter()
            .map(|t| MessageHash::of(t.as_bytes()))
            .collect();
        let mut w = Writer::default();
        w.push_text(r#"{"input":["#);
        w.push_refs(Side::Input, 0, 1);
        w.push_text(r#"],"note":"say \"$ref:i0\" twice","output":"#);
        w.push_refs(Side::Output, 0, 0);
        w.push_text("}");
        let data = w.finish();
        assert!(JsonText::parse(data.as_str()).is_ok());
        let lookup = |h: &MessageHash| {
            texts
                .iter()
                .copied()
                .find(|t| MessageHash::of(t.as_bytes()) == *h)
        };
        let back = restore(data.as_str(), &hashes[..2], &hashes[2..], lookup).unwrap();
        assert_eq!(
            back,
            r#"{"input":[{"role":"user"},{"role": "tool", "n": 1.0}],"note":"say \"$ref:i0\" twice","output":"be brief"}"#
        );
    }

    #[test]
    fn d7_a_missing_message_is_an_error_never_empty_text() {
        let mut w = Writer::default();
        w.push_refs(Side::Input, 0, 0);
        let hash = MessageHash::of(b"gone");
        let got = restore(w.finish().as_str(), &[hash], &[], |_| None);
        assert_eq!(got, Err(RestoreError::Missing { hash }));
        assert!(matches!(
            restore("\"$ref:x\"", &[], &[], |_| None),
            Err(RestoreError::Damaged { at: 0 })
        ));
        assert!(matches!(
            restore("\"$ref:i3\"", &[hash], &[], |_| None),
            Err(RestoreError::Damaged { .. })
        ));
    }

    proptest! {
        #[test]
        fn any_sender_text_survives(parts in proptest::collection::vec("(\"\\$ref:|[=i0-9\"\\\\{}: é]|.){0,12}", 0..6)) {
            let mut w = Writer::default();
            parts.iter().for_each(|part| w.push_text(part));
            // A mark that is split over two pieces would be a cut inside a string, which is excluded.
            prop_assume!(parts.iter().map(|p| p.matches(MARK).count()).sum::<usize>() == parts.concat().matches(MARK).count());
            let data = w.finish();
            prop_assert_eq!(restore(data.as_str(), &[], &[], |_| None).unwrap(), parts.concat());
        }
    }
}
