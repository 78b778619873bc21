//! The envelope: where the items of a request begin, and what is wrong if that cannot be said.

use crate::json::{Fault, Reader, Tape};

use super::{Decoder, Position};

/// The request cannot be read at all, so nothing of it was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The body is not JSON around the items, or it ends too early.
    #[error("the body is not JSON: {reason}")]
    NotJson {
        /// What was expected at which byte.
        reason: String,
    },
    /// The body is JSON without a list of items.
    #[error("the body has no items: expected {expected} at byte {at}")]
    NoItems {
        /// What should have been there.
        expected: &'static str,
        /// Where.
        at: usize,
    },
}

impl From<Fault> for EnvelopeError {
    fn from(fault: Fault) -> Self {
        EnvelopeError::NotJson {
            reason: fault.to_string(),
        }
    }
}

/// Reads `{"data":[…]}`. Other keys of the envelope are passed over.
pub(super) fn read(decoder: &mut Decoder<'_, '_>) -> Result<(), EnvelopeError> {
    let mut reader = Reader::new(decoder.body);
    let mut has_data = false;
    each_member(
        &mut reader,
        "an object with a \"data\" list",
        |key, reader| {
            if key != b"data" {
                return Ok(reader.skip()?);
            }
            has_data = true;
            items(decoder, reader, Position::Mixed)
        },
    )?;
    let at = reader.position();
    if has_data {
        Ok(())
    } else {
        Err(EnvelopeError::NoItems {
            expected: "a \"data\" list before the end",
            at,
        })
    }
}

/// Walks over the members of an object that is the whole body; `member` must pass over the value.
pub(super) fn each_member<'b>(
    reader: &mut Reader<'b>,
    expected: &'static str,
    mut member: impl FnMut(&'b [u8], &mut Reader<'b>) -> Result<(), EnvelopeError>,
) -> Result<(), EnvelopeError> {
    reader.skip_whitespace();
    if let Some(b'[' | b'"' | b'0'..=b'9' | b'-' | b't' | b'f' | b'n') = reader.peek() {
        return Err(EnvelopeError::NoItems {
            expected,
            at: reader.position(),
        });
    }
    reader.take(b'{', expected)?;
    let mut more = reader.peek() != Some(b'}') || reader.take_comma_or(b'}', "'}'")?;
    while more {
        let key = reader.take_key()?;
        member(key, reader)?;
        more = reader.take_comma_or(b'}', "',' or '}'")?;
    }
    at_end(reader)
}

/// Decodes each item of the list that starts here.
pub(super) fn items<'b>(
    decoder: &mut Decoder<'b, '_>,
    reader: &mut Reader<'b>,
    position: Position,
) -> Result<(), EnvelopeError> {
    if reader.peek() != Some(b'[') {
        return Err(EnvelopeError::NoItems {
            expected: "a list",
            at: reader.position(),
        });
    }
    let mut tape = Tape::default();
    reader.take(b'[', "a list")?;
    let mut more = reader.peek() != Some(b']') || reader.take_comma_or(b']', "']'")?;
    while more {
        decoder.item(reader, &mut tape, position)?;
        more = reader.take_comma_or(b']', "',' or ']'")?;
    }
    Ok(())
}

/// Checks that nothing but white space follows.
pub(super) fn at_end(reader: &mut Reader<'_>) -> Result<(), EnvelopeError> {
    reader.skip_whitespace();
    match reader.peek() {
        None => Ok(()),
        Some(_) => Err(reader.expected("the end of the body").into()),
    }
}
