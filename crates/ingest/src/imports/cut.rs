//! Where the documents of a file begin and end, whatever it is written in.
//!
//! The first bytes tell JSON from protobuf. A dump in protobuf is either one request, whose groups are
//! cut apart, or, as the Collector's file exporter writes it, many requests with four bytes of length
//! in front of each.

use bytes::{Buf, Bytes, BytesMut};

use crate::agents_sdk::{DocumentError, Documents};
use crate::otlp::{Encoding, SPANS_MAX};

use super::counted::REFUSED_MAX;

/// Before so many bytes are there, or the end, nobody can say what a file is.
const HEAD_BYTES: usize = 64;

/// A part of a file that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CutError {
    /// It is no JSON document.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// It is no request in protobuf. Nothing behind it is read.
    #[error("the request in protobuf that begins at byte {at} of the file is damaged or cut off")]
    NotProtobuf {
        /// Where it begins.
        at: u64,
    },
    /// A request in protobuf is longer than the caller allows. Nothing behind it is read.
    #[error(
        "the request in protobuf that begins at byte {at} of the file is longer than {bytes_max} bytes"
    )]
    TooLong {
        /// Where it begins.
        at: u64,
        /// What the caller allows.
        bytes_max: usize,
    },
    /// One request has more in it than is taken at once.
    #[error("the request holds more than {SPANS_MAX} records: send fewer at a time")]
    TooManyItems,
    /// Nearly nothing in one request can be read.
    #[error(
        "more than {REFUSED_MAX} parts of the request cannot be read: this is no file of traces"
    )]
    TooManyRefused,
    /// It is a zip archive.
    #[error(
        "this is a zip archive, which is taken apart by `tracegrade import FILE` if it is a log of Inspect AI; what is sent here must be unpacked"
    )]
    Zip,
    /// It is Parquet.
    #[error("this is a Parquet file: export the same as JSON lines and import that")]
    Parquet,
}

impl CutError {
    /// Returns the stable word for the ledger.
    pub fn code(&self) -> &'static str {
        match self {
            CutError::Document(DocumentError::NotADocument { .. }) => "not_a_document",
            CutError::Document(DocumentError::Unfinished { .. }) => "unfinished",
            CutError::Document(DocumentError::TooLong { .. }) | CutError::TooLong { .. } => {
                "too_large"
            }
            CutError::TooManyItems => "too_many_items",
            CutError::TooManyRefused => "too_many_refused",
            CutError::NotProtobuf { .. } => "bad_protobuf",
            CutError::Zip | CutError::Parquet => "unknown_format",
        }
    }
}

/// One document of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// What it consists of.
    pub bytes: Bytes,
    /// How it is written.
    pub encoding: Encoding,
    /// Where it begins in the file.
    pub at: u64,
    /// Where it ends in the file: what lies before was read.
    pub end: u64,
}

/// Cuts a stream of bytes into documents. Iterate until `None`, feed more, iterate again; after
/// [`Cutter::finish`] `None` is the end.
#[derive(Debug)]
pub struct Cutter {
    bytes_max: usize,
    written: Written,
    /// Where the first byte that is fed lies in the file.
    origin: u64,
    is_finished: bool,
}

#[derive(Debug)]
enum Written {
    Unknown(BytesMut),
    Json(Documents),
    Protobuf(Frames),
    Broken,
}

impl Cutter {
    /// Returns a cutter that takes documents of up to `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            written: Written::Unknown(BytesMut::new()),
            origin: 0,
            is_finished: false,
        }
    }

    /// Returns a cutter of bytes that are all there.
    pub fn of(bytes: Bytes, bytes_max: usize) -> Self {
        Self {
            written: Written::Unknown(BytesMut::from(bytes)),
            is_finished: true,
            ..Self::new(bytes_max)
        }
    }

    /// Returns a cutter for the rest of a file that was read up to `origin`, where a document ended.
    /// What is fed begins there.
    pub fn resumed(bytes_max: usize, origin: u64) -> Self {
        Self {
            origin,
            ..Self::new(bytes_max)
        }
    }

    /// Takes the next piece of the file.
    pub fn feed(&mut self, piece: &[u8]) {
        match &mut self.written {
            Written::Unknown(head) => head.extend_from_slice(piece),
            Written::Json(documents) => documents.feed(piece),
            Written::Protobuf(frames) => frames.buffer.extend_from_slice(piece),
            Written::Broken => {}
        }
    }

    /// Says that the file has ended.
    pub fn finish(&mut self) {
        self.is_finished = true;
        if let Written::Json(documents) = &mut self.written {
            documents.finish();
        }
    }

    /// Looks at the first bytes, once there are enough of them.
    fn decide(&mut self) -> Option<CutError> {
        let Written::Unknown(head) = &mut self.written else {
            return None;
        };
        if head.len() < HEAD_BYTES && !self.is_finished {
            return None;
        }
        let head = std::mem::take(head);
        let fault = match &head[..] {
            [b'P', b'K', 3, 4, ..] => Some(CutError::Zip),
            [b'P', b'A', b'R', b'1', ..] => Some(CutError::Parquet),
            _ => None,
        };
        if fault.is_some() {
            self.written = Written::Broken;
            return fault;
        }
        self.written = match framing(&head) {
            Some(framing) => Written::Protobuf(Frames {
                framing,
                buffer: head,
                offset: 0,
            }),
            None => {
                let mut documents = Documents::of(head, self.bytes_max);
                if self.is_finished {
                    documents.finish();
                }
                Written::Json(documents)
            }
        };
        None
    }
}

impl Iterator for Cutter {
    type Item = Result<Cut, CutError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(fault) = self.decide() {
            return Some(Err(fault));
        }
        let origin = self.origin;
        let (bytes, encoding, end) = match &mut self.written {
            Written::Unknown(_) | Written::Broken => return None,
            Written::Json(documents) => match documents.next()? {
                Ok(bytes) => (bytes, Encoding::Json, documents.offset()),
                Err(fault) => return Some(Err(fault.moved(origin).into())),
            },
            Written::Protobuf(frames) => {
                match frames.next(self.is_finished, self.bytes_max, origin)? {
                    Ok(bytes) => (bytes, Encoding::Protobuf, frames.offset),
                    Err(fault) => {
                        self.written = Written::Broken;
                        return Some(Err(fault));
                    }
                }
            }
        };
        let end = origin + end;
        let at = end - bytes.len() as u64;
        Some(Ok(Cut {
            bytes,
            encoding,
            at,
            end,
        }))
    }
}

/// How requests in protobuf stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// One after the other, which is one: their groups are cut apart.
    Bare,
    /// Each with its length in four bytes in front, the high byte first.
    Lengths,
}

/// Tells by the first bytes whether a file is protobuf; `None`: it may be JSON.
fn framing(head: &[u8]) -> Option<Framing> {
    // A group is field 1 of a request: 0x0a, which is a line break in JSON.
    const GROUP: u8 = 0x0a;
    let is_space = |byte: &&u8| byte.is_ascii_whitespace();
    match head {
        [0, _, _, _, GROUP, ..] => Some(Framing::Lengths),
        [GROUP, length, rest @ ..] => {
            let mut words = rest.iter().skip_while(is_space);
            let next = words.next();
            let is_json = match length {
                b'{' => matches!(next, None | Some(b'"' | b'}')),
                b'[' => matches!(next, None | Some(b'{' | b'[' | b'"' | b']')),
                length if length.is_ascii_whitespace() => {
                    matches!(next, None | Some(b'{' | b'['))
                }
                _ => false,
            };
            (!is_json).then_some(Framing::Bare)
        }
        _ => None,
    }
}

#[derive(Debug)]
struct Frames {
    framing: Framing,
    buffer: BytesMut,
    /// How many bytes were given out.
    offset: u64,
}

impl Frames {
    fn next(
        &mut self,
        is_finished: bool,
        bytes_max: usize,
        origin: u64,
    ) -> Option<Result<Bytes, CutError>> {
        let at = origin + self.offset;
        if self.buffer.is_empty() {
            return None;
        }
        let measured = match self.framing {
            Framing::Bare => bare(&self.buffer),
            Framing::Lengths => length(&self.buffer),
        };
        let Some((skip, whole)) = measured else {
            return Some(Err(CutError::NotProtobuf { at }));
        };
        if whole > bytes_max {
            return Some(Err(CutError::TooLong { at, bytes_max }));
        }
        if whole == 0 || self.buffer.len() < whole {
            let cut_off = CutError::NotProtobuf { at };
            return is_finished.then_some(Err(cut_off));
        }
        let mut frame = self.buffer.split_to(whole);
        frame.advance(skip);
        self.offset += whole as u64;
        Some(Ok(frame.freeze()))
    }
}

/// Returns what to pass over, and the length of the group that begins here; a length of 0 is not yet
/// known.
fn bare(bytes: &[u8]) -> Option<(usize, usize)> {
    if bytes[0] != 0x0a {
        return None;
    }
    let (mut length, mut shift) = (0_usize, 0_u32);
    for (at, byte) in bytes.iter().enumerate().skip(1).take(5) {
        length |= usize::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if *byte < 0x80 {
            return Some((0, at + 1 + length));
        }
    }
    (bytes.len() < 6).then_some((0, 0))
}

/// Returns what to pass over, and the length of the frame that begins here.
fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    match bytes.first_chunk() {
        Some(head) => Some((4, 4 + u32::from_be_bytes(*head) as usize)),
        None => Some((4, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &[u8], want: &[(&[u8], u64, u64)], fault: Option<CutError>) {
        for step in [1, 3, file.len().max(1)] {
            let mut cutter = Cutter::new(1 << 10);
            let mut got = Vec::new();
            for piece in file.chunks(step) {
                cutter.feed(piece);
                got.extend(cutter.by_ref());
            }
            cutter.finish();
            got.extend(cutter.by_ref());
            let found = got.iter().filter_map(|cut| cut.as_ref().ok());
            let found: Vec<_> = found.map(|cut| (&cut.bytes[..], cut.at, cut.end)).collect();
            assert_eq!(found, want, "{file:?}");
            let faults: Vec<_> = got.into_iter().filter_map(Result::err).collect();
            assert_eq!(faults, fault.clone().into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn documents_are_cut_whatever_they_are_written_in() {
        check(
            b" {\"a\":1}\n[2]",
            &[(b"{\"a\":1}", 1, 8), (b"[2]", 9, 12)],
            None,
        );
        check(b"\n\n{\n \"a\":1}", &[(b"{\n \"a\":1}", 2, 11)], None);
        check(b"\n[{}]", &[(b"[{}]", 1, 5)], None);
        check(
            b"\x0a\x03abc\x0a\x00",
            &[(b"\x0a\x03abc", 0, 5), (b"\x0a\x00", 5, 7)],
            None,
        );
        // 123 bytes long, which is the brace.
        let group = [&b"\x0a{\x0a\x79"[..], &[b'x'; 121]].concat();
        check(&group, &[(&group, 0, 125)], None);
        check(
            b"\0\0\0\x03\x0a\x01a\0\0\0\x02\x0a\0",
            &[(b"\x0a\x01a", 4, 7), (b"\x0a\0", 11, 13)],
            None,
        );
        check(b"", &[], None);
    }

    #[test]
    fn what_cannot_be_cut_is_told() {
        check(b"\x0a\x05ab", &[], Some(CutError::NotProtobuf { at: 0 }));
        check(
            b"\x0a\x01a\x12\x01b",
            &[(b"\x0a\x01a", 0, 3)],
            Some(CutError::NotProtobuf { at: 3 }),
        );
        check(
            b"\x0a\xff\xff\x7f..",
            &[],
            Some(CutError::TooLong {
                at: 0,
                bytes_max: 1 << 10,
            }),
        );
        check(b"PK\x03\x04....", &[], Some(CutError::Zip));
        check(b"PAR1....", &[], Some(CutError::Parquet));
        let fault = DocumentError::NotADocument { at: 0 };
        check(b"words\n{}", &[(b"{}", 6, 8)], Some(fault.into()));
    }
}
