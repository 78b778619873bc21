//! The wire format of protobuf, read in place.
//!
//! Generated message types copy every string and refuse a whole request for one bad byte or one
//! value nested too deep. OTLP needs few messages, and a span that cannot be read must not cost the
//! others, so the fields are walked by hand: strings and sub-messages are slices of the body, unknown
//! fields are passed over, and nothing is decoded before somebody asks.

/// Why bytes are no protobuf message; `at` is a byte of the message that was being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireFault {
    /// The message ends inside a field.
    #[error("the message ends inside the field at byte {at}")]
    Unfinished {
        /// Where the field starts.
        at: usize,
    },
    /// A tag or number is longer than protobuf allows, or the field number is 0.
    #[error("no field can start at byte {at}")]
    BadTag {
        /// Where the field starts.
        at: usize,
    },
    /// A field that we know has another wire type than it should.
    #[error("field {field} has the wrong wire type")]
    WrongType {
        /// The number of the field.
        field: u32,
    },
}

/// The value of one field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Wire<'b> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'b [u8]),
    Fixed32(u32),
}

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Field<'b> {
    /// Its number.
    pub(super) number: u32,
    /// Its value.
    pub(super) value: Wire<'b>,
}

impl<'b> Field<'b> {
    fn wrong<T>(&self) -> Result<T, WireFault> {
        Err(WireFault::WrongType { field: self.number })
    }

    /// Returns a string, some bytes or a sub-message.
    pub(super) fn bytes(&self) -> Result<&'b [u8], WireFault> {
        match self.value {
            Wire::Bytes(bytes) => Ok(bytes),
            _ => self.wrong(),
        }
    }

    /// Returns a `fixed64`; some hand-written senders use a varint.
    pub(super) fn fixed64(&self) -> Result<u64, WireFault> {
        match self.value {
            Wire::Fixed64(value) | Wire::Varint(value) => Ok(value),
            _ => self.wrong(),
        }
    }

    /// Returns an integer of at most 32 bits, cut as protobuf says.
    pub(super) fn uint32(&self) -> Result<u32, WireFault> {
        match self.value {
            Wire::Varint(value) => Ok(value as u32),
            Wire::Fixed32(value) => Ok(value),
            _ => self.wrong(),
        }
    }
}

/// The fields of a message, front to back; stops behind the first fault.
#[derive(Debug, Clone)]
pub(super) struct Fields<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Fields<'b> {
    /// Returns the fields of `message`.
    pub(super) fn new(message: &'b [u8]) -> Self {
        Self {
            bytes: message,
            at: 0,
        }
    }

    fn raw_varint(&mut self, from: usize) -> Result<u64, WireFault> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = *self
                .bytes
                .get(self.at)
                .ok_or(WireFault::Unfinished { at: from })?;
            self.at += 1;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(WireFault::BadTag { at: from })
    }

    fn take(&mut self, from: usize, length: usize) -> Result<&'b [u8], WireFault> {
        let rest = &self.bytes[self.at..];
        let taken = rest
            .get(..length)
            .ok_or(WireFault::Unfinished { at: from })?;
        self.at += length;
        Ok(taken)
    }

    fn field(&mut self) -> Result<Field<'b>, WireFault> {
        let from = self.at;
        let tag = self.raw_varint(from)?;
        let number = u32::try_from(tag >> 3).map_err(|_| WireFault::BadTag { at: from })?;
        if number == 0 {
            return Err(WireFault::BadTag { at: from });
        }
        let value = match tag & 7 {
            0 => Wire::Varint(self.raw_varint(from)?),
            1 => {
                let mut word = [0; 8];
                word.copy_from_slice(self.take(from, 8)?);
                Wire::Fixed64(u64::from_le_bytes(word))
            }
            2 => {
                let length = self.raw_varint(from)?;
                let length =
                    usize::try_from(length).map_err(|_| WireFault::Unfinished { at: from })?;
                Wire::Bytes(self.take(from, length)?)
            }
            5 => {
                let mut word = [0; 4];
                word.copy_from_slice(self.take(from, 4)?);
                Wire::Fixed32(u32::from_le_bytes(word))
            }
            // Groups were never part of proto3 and OTLP never had one.
            _ => return Err(WireFault::BadTag { at: from }),
        };
        Ok(Field { number, value })
    }
}

impl<'b> Iterator for Fields<'b> {
    type Item = Result<Field<'b>, WireFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.at = self.bytes.len();
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(bytes: &[u8], want: &[Result<(u32, Wire<'_>), WireFault>]) {
        let got: Vec<_> = Fields::new(bytes)
            .map(|field| field.map(|field| (field.number, field.value)))
            .collect();
        assert_eq!(got, want, "{bytes:x?}");
    }

    #[test]
    fn fields_of_every_wire_type_are_read() {
        check(&[], &[]);
        check(&[0x08, 0x96, 0x01], &[Ok((1, Wire::Varint(150)))]);
        check(
            &[0x12, 2, b'h', b'i', 0x18, 0],
            &[Ok((2, Wire::Bytes(b"hi"))), Ok((3, Wire::Varint(0)))],
        );
        check(
            &[0x09, 1, 0, 0, 0, 0, 0, 0, 0, 0x15, 2, 0, 0, 0],
            &[Ok((1, Wire::Fixed64(1))), Ok((2, Wire::Fixed32(2)))],
        );
        check(
            &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
            &[Ok((1, Wire::Varint(u64::MAX)))],
        );
    }

    #[test]
    fn faults_end_the_message() {
        check(
            &[0x0a, 0xff, 0xff, 0xff],
            &[Err(WireFault::Unfinished { at: 0 })],
        );
        check(
            &[0x08, 1, 0x12, 5, b'x'],
            &[
                Ok((1, Wire::Varint(1))),
                Err(WireFault::Unfinished { at: 2 }),
            ],
        );
        check(&[0x00, 0x00], &[Err(WireFault::BadTag { at: 0 })]);
        check(&[0x0b], &[Err(WireFault::BadTag { at: 0 })]);
        check(&[0xff; 12], &[Err(WireFault::BadTag { at: 0 })]);
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(Fields::new(&bytes).count() <= bytes.len());
        }
    }
}
