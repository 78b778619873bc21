//! Messages of protobuf, as they are written: field by field, without generated code.
//!
//! What is written here is a few fields deep, and has its numbers from a specification that does not
//! change; code made from a schema would be larger than what it writes.

/// A message that is being written. Fields with the value that protobuf takes for granted are left
/// out.
#[derive(Debug, Default)]
pub struct Message(Vec<u8>);

/// What stands behind a tag.
#[derive(Debug, Clone, Copy)]
enum WireType {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
    Fixed32 = 5,
}

impl Message {
    fn raw_varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn tag(&mut self, field: u32, wire_type: WireType) {
        self.raw_varint(u64::from(field << 3 | wire_type as u32));
    }

    /// Writes a number.
    pub fn varint(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.present_varint(field, value);
        }
    }

    /// Writes a number that says something even where it is 0.
    pub fn present_varint(&mut self, field: u32, value: u64) {
        self.tag(field, WireType::Varint);
        self.raw_varint(value);
    }

    /// Writes a number in eight bytes.
    pub fn fixed64(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.present_fixed64(field, value);
        }
    }

    /// Writes a number in eight bytes that says something even where it is 0.
    pub fn present_fixed64(&mut self, field: u32, value: u64) {
        self.tag(field, WireType::Fixed64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes a number in four bytes.
    pub fn fixed32(&mut self, field: u32, value: u32) {
        if value != 0 {
            self.tag(field, WireType::Fixed32);
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// Writes bytes or a text.
    pub fn bytes(&mut self, field: u32, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.present(field, bytes);
        }
    }

    /// Writes bytes that say something even where there are none.
    pub fn present(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, WireType::Bytes);
        self.raw_varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Writes a message within this one.
    pub fn message(&mut self, field: u32, write: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        write(&mut inner);
        self.present(field, &inner.0);
    }

    /// Returns what was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_the_specification_writes_them() {
        let mut message = Message::default();
        message.varint(1, 150);
        message.bytes(2, b"testing");
        message.message(3, |inner| inner.varint(1, 150));
        let want = b"\x08\x96\x01\x12\x07testing\x1a\x03\x08\x96\x01";
        assert_eq!(message.into_bytes(), want);
        let mut silent = Message::default();
        silent.varint(1, 0);
        silent.fixed64(2, 0);
        silent.fixed32(3, 0);
        silent.bytes(4, b"");
        assert_eq!(silent.into_bytes(), b"");
        let mut said = Message::default();
        said.present_varint(1, 0);
        said.present_fixed64(2, 1);
        said.fixed32(3, 1);
        said.present(4, b"");
        let want = b"\x08\0\x11\x01\0\0\0\0\0\0\0\x1d\x01\0\0\0\x22\0";
        assert_eq!(said.into_bytes(), want);
    }
}
