//! Single fields of messages of protobuf, as they are read; [`ingest::protobuf`] writes them.
//!
//! Answers of OTLP and questions of gRPC's health service are two fields deep; generated code for them
//! would be larger than what it reads.

/// A field of the wire type that has a length in front.
const LENGTH_DELIMITED: u64 = 2;

/// Returns the last bytes that a message has in `field`, which are empty if it has none; none where the
/// bytes are no message.
pub(crate) fn bytes_field(message: &[u8], field: u32) -> Option<&[u8]> {
    let mut found: &[u8] = &[];
    let wanted = u64::from(field) << 3 | LENGTH_DELIMITED;
    walk(message, |tag, value, _| {
        if tag == wanted {
            found = value;
        }
    })?;
    Some(found)
}

/// Returns the last number that a message has in `field`, 0 if it has none; none where the bytes are no
/// message.
pub(crate) fn varint_field(message: &[u8], field: u32) -> Option<u64> {
    let mut found = 0;
    walk(message, |tag, _, number| {
        if tag == u64::from(field << 3) {
            found = number;
        }
    })?;
    Some(found)
}

/// Hands over each field of a message: its tag, its bytes, or its number.
fn walk<'a>(mut message: &'a [u8], mut each: impl FnMut(u64, &'a [u8], u64)) -> Option<()> {
    while !message.is_empty() {
        let tag = take_varint(&mut message)?;
        let (length, number) = match tag & 7 {
            0 => (0, take_varint(&mut message)?),
            1 => (8, 0),
            LENGTH_DELIMITED => (usize::try_from(take_varint(&mut message)?).ok()?, 0),
            5 => (4, 0),
            _ => return None,
        };
        let (value, rest) = message.split_at_checked(length)?;
        each(tag, value, number);
        message = rest;
    }
    Some(())
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    const BYTES_MAX: usize = 10;
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().take(BYTES_MAX).enumerate() {
        number |= u64::from(byte & 0x7f).checked_shl(7 * at as u32)?;
        if byte & 0x80 == 0 {
            *bytes = &bytes[at + 1..];
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use ingest::protobuf::Message;

    #[test]
    fn what_is_written_is_read() {
        let long = "x".repeat(300);
        for text in ["", "a", long.as_str()] {
            let mut written = Message::default();
            written.varint(7, u64::MAX);
            written.bytes(1, text.as_bytes());
            written.bytes(2, b"other");
            let message = written.into_bytes();
            assert_eq!(bytes_field(&message, 1), Some(text.as_bytes()));
            assert_eq!(varint_field(&message, 7), Some(u64::MAX));
            assert_eq!(varint_field(&message, 1), Some(0));
            // Cut anywhere it is a shorter message or none; it never panics.
            for end in 0..message.len() {
                let found = bytes_field(&message[..end], 1);
                assert!(found.is_none_or(|found| found.is_empty() || found == text.as_bytes()));
            }
        }
        for bad in [&[0x0a, 5, 1][..], &[0xff; 11], &[0x0b], &[0x80]] {
            assert_eq!(bytes_field(bad, 1), None, "{bad:?}");
        }
    }
}
