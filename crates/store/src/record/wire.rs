//! Tag, length, value: how the fields of a record are laid out.
//!
//! A reader that does not know a tag skips its value, so fields can be added without a new version.
//! An absent field is `None`, an empty value is the empty text. Nothing is allocated by a count or a
//! length that was read: every slice is cut out of bytes that are there.

use bytes::Bytes;
use model::JsonText;

use super::RecordError;

/// Appends fields to a buffer.
#[derive(Debug)]
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

/// The most bytes that a tag and a length take together.
pub(super) const FIELD_OVERHEAD_BYTES: usize = 11;

impl Writer<'_> {
    pub(super) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(super) fn bytes(&mut self, tag: u8, value: &[u8]) {
        self.0.push(tag);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    pub(super) fn text(&mut self, tag: u8, value: Option<&str>) {
        if let Some(value) = value {
            self.bytes(tag, value.as_bytes());
        }
    }

    pub(super) fn json(&mut self, tag: u8, value: Option<&JsonText>) {
        self.text(tag, value.map(JsonText::as_str));
    }

    pub(super) fn int(&mut self, tag: u8, value: Option<i64>) {
        if let Some(value) = value {
            self.bytes(tag, &value.to_le_bytes());
        }
    }

    pub(super) fn float(&mut self, tag: u8, value: Option<f64>) {
        self.int(tag, value.map(|value| value.to_bits() as i64));
    }

    pub(super) fn flag(&mut self, tag: u8, value: Option<bool>) {
        if let Some(value) = value {
            self.bytes(tag, &[u8::from(value)]);
        }
    }

    /// Writes a value made of elements, each with its own length.
    pub(super) fn list<'t>(&mut self, tag: u8, values: impl Iterator<Item = &'t str> + Clone) {
        let bytes = values
            .clone()
            .map(|v| varint_bytes(v.len() as u64) + v.len())
            .sum::<usize>();
        self.0.push(tag);
        self.varint(bytes as u64);
        for value in values {
            self.varint(value.len() as u64);
            self.0.extend_from_slice(value.as_bytes());
        }
    }

    /// Writes a value that is made of fields itself. Its length has a fixed width, since it is known
    /// afterwards only.
    pub(super) fn section(&mut self, tag: u8, fields: impl FnOnce(&mut Writer<'_>)) {
        self.0.push(tag);
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 8]);
        fields(self);
        let len = (self.0.len() - start - 8) as u64;
        self.0[start..start + 8].copy_from_slice(&len.to_le_bytes());
    }
}

fn varint_bytes(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Takes fields off the front of a slice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: u64) -> Result<&'a [u8], RecordError> {
        let len = usize::try_from(len).map_err(|_| RecordError::CutShort)?;
        let (value, rest) = self.0.split_at_checked(len).ok_or(RecordError::CutShort)?;
        self.0 = rest;
        Ok(value)
    }

    pub(super) fn byte(&mut self) -> Result<u8, RecordError> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn varint(&mut self) -> Result<u64, RecordError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(RecordError::CutShort)
    }

    /// Returns the next field.
    pub(super) fn field(&mut self) -> Result<Option<(u8, Value<'a>)>, RecordError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.byte()?;
        let len = self.varint()?;
        Ok(Some((tag, Value(self.take(len)?))))
    }

    /// Returns the next section.
    pub(super) fn section(&mut self) -> Result<Option<(u8, Value<'a>)>, RecordError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.byte()?;
        let len = self.take(8)?.try_into().expect("eight bytes were taken");
        Ok(Some((tag, Value(self.take(u64::from_le_bytes(len))?))))
    }
}

/// The bytes of one field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a>(pub(super) &'a [u8]);

impl<'a> Value<'a> {
    pub(super) fn fields(self) -> Reader<'a> {
        Reader(self.0)
    }

    pub(super) fn text(self) -> Result<&'a str, RecordError> {
        std::str::from_utf8(self.0).map_err(RecordError::NotUtf8)
    }

    pub(super) fn string(self) -> Result<String, RecordError> {
        Ok(self.text()?.to_owned())
    }

    /// Returns the value as JSON, which it was when it was written; the frame's checksum held.
    pub(super) fn json(self) -> Result<JsonText, RecordError> {
        Ok(JsonText::from_trusted(self.text()?))
    }

    pub(super) fn word<T>(self) -> Result<T, RecordError>
    where
        T: std::str::FromStr,
        RecordError: From<T::Err>,
    {
        Ok(self.text()?.parse()?)
    }

    pub(super) fn array<const N: usize>(self, what: &'static str) -> Result<[u8; N], RecordError> {
        self.0
            .try_into()
            .map_err(|_| RecordError::BadValue { what })
    }

    pub(super) fn int(self, what: &'static str) -> Result<i64, RecordError> {
        Ok(i64::from_le_bytes(self.array(what)?))
    }

    pub(super) fn float(self, what: &'static str) -> Result<f64, RecordError> {
        Ok(f64::from_bits(self.int(what)? as u64))
    }

    pub(super) fn flag(self, what: &'static str) -> Result<bool, RecordError> {
        match self.0 {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(RecordError::BadValue { what }),
        }
    }

    pub(super) fn list(self) -> Result<Vec<&'a str>, RecordError> {
        let mut reader = Reader(self.0);
        let mut out = Vec::new();
        while !reader.0.is_empty() {
            let len = reader.varint()?;
            out.push(Value(reader.take(len)?).text()?);
        }
        Ok(out)
    }

    /// Returns the part of `whole` that this value is, without a copy. It must be cut out of `whole`.
    pub(super) fn shared(self, whole: &Bytes) -> Bytes {
        whole.slice_ref(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_width_come_back() {
        for value in (0..64)
            .flat_map(|bit| [1_u64 << bit, (1 << bit) - 1])
            .chain([u64::MAX])
        {
            let mut buffer = Vec::new();
            Writer(&mut buffer).varint(value);
            assert_eq!(buffer.len(), varint_bytes(value));
            assert_eq!(Reader(&buffer).varint().unwrap(), value);
        }
        assert!(
            Reader(&[0xff; 11]).varint().is_err(),
            "no number has so many digits"
        );
    }

    #[test]
    fn a_length_beyond_the_buffer_is_an_error_and_allocates_nothing() {
        let mut buffer = vec![1];
        Writer(&mut buffer).varint(u64::MAX);
        assert!(matches!(
            Reader(&buffer).field(),
            Err(RecordError::CutShort)
        ));
        let mut buffer = vec![1];
        buffer.extend_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(
            Reader(&buffer).section(),
            Err(RecordError::CutShort)
        ));
    }
}
