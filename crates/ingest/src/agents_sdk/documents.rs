//! Files of recorded items: one JSON document after the other, on a line each or pretty-printed.
//!
//! A file may be larger than memory. [`Documents`] is fed pieces as they are read and gives out
//! whole documents; [`decode_document`] reads one. What a document holds is told by its keys: an
//! envelope (`data`), an exported trace (`trace`, `spans`), a list of items, or a single item.

use bytes::{Bytes, BytesMut};
use memchr::memchr2;
use model::Batch;

use crate::json::{Reader, Tape};

use super::envelope::{at_end, each_member, items};
use super::{Context, Decoder, EnvelopeError, Position};

/// A part of a file that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Something else than a bracket stands where a document should begin. The rest of that line is
    /// passed over and the next line is read.
    #[error("expected a JSON object at byte {at} of the file")]
    NotADocument {
        /// Where, in the file.
        at: u64,
    },
    /// The file ends inside a document.
    #[error("the document that begins at byte {at} of the file has no end")]
    Unfinished {
        /// Where it begins.
        at: u64,
    },
    /// A document is longer than the caller allows. Nothing behind it is read.
    #[error("the document that begins at byte {at} of the file is longer than {bytes_max} bytes")]
    TooLong {
        /// Where it begins.
        at: u64,
        /// What the caller allows.
        bytes_max: usize,
    },
}

impl DocumentError {
    /// Returns the same in a file of which `origin` bytes lie before what was looked at.
    pub(crate) fn moved(mut self, origin: u64) -> Self {
        let (Self::NotADocument { at } | Self::Unfinished { at } | Self::TooLong { at, .. }) =
            &mut self;
        *at += origin;
        self
    }
}

/// Cuts a stream of bytes into JSON documents. Iterate until `None`, feed more, iterate again; after
/// [`Documents::finish`] `None` is the end.
#[derive(Debug)]
pub struct Documents {
    bytes_max: usize,
    /// What was fed and not yet given out.
    buffer: BytesMut,
    /// Where `buffer` begins in the file.
    offset: u64,
    /// Up to here `buffer` was looked at.
    scanned: usize,
    state: State,
    is_finished: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between two documents; the buffer begins with what was not looked at.
    Between,
    /// In a line that is no document, up to its end.
    BadLine,
    /// In a document, this many brackets deep.
    Inside { depth: usize },
    /// In a string of a document.
    String { depth: usize },
    /// Behind an error that nothing can be read after.
    Broken,
}

impl Documents {
    /// Returns a cutter that takes documents of up to `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        let (buffer, state) = (BytesMut::new(), State::Between);
        Self {
            bytes_max,
            buffer,
            offset: 0,
            scanned: 0,
            state,
            is_finished: false,
        }
    }

    /// Returns a cutter whose file begins with `bytes`.
    pub(crate) fn of(bytes: BytesMut, bytes_max: usize) -> Self {
        Self {
            buffer: bytes,
            ..Self::new(bytes_max)
        }
    }

    /// Returns where in the file the document ended that was given out last.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes the next piece of the file. Documents that are complete should be taken out first: what
    /// is fed is held in memory.
    pub fn feed(&mut self, piece: &[u8]) {
        if self.state != State::Broken {
            self.buffer.extend_from_slice(piece);
        }
    }

    /// Says that the file has ended.
    pub fn finish(&mut self) {
        self.is_finished = true;
    }

    fn drop_front(&mut self, bytes: usize) {
        bytes::Buf::advance(&mut self.buffer, bytes);
        self.offset += bytes as u64;
        self.scanned = 0;
    }

    /// Passes over what stands between documents: white space, a byte order mark, record separators.
    fn begin(&mut self) -> Option<DocumentError> {
        let skip = self
            .buffer
            .iter()
            .position(|byte| !byte.is_ascii_whitespace() && *byte != 0x1e);
        self.drop_front(skip.unwrap_or(self.buffer.len()));
        if self.offset == 0 && self.buffer.starts_with(b"\xef\xbb\xbf") {
            self.drop_front(3);
        }
        self.state = match self.buffer.first()? {
            b'{' | b'[' => State::Inside { depth: 0 },
            _ if self.offset == 0
                && b"\xef\xbb\xbf".starts_with(&self.buffer)
                && !self.is_finished =>
            {
                return None;
            }
            _ => State::BadLine,
        };
        (self.state == State::BadLine).then_some(DocumentError::NotADocument { at: self.offset })
    }

    /// Looks at what was fed until a document ends; returns its length.
    fn scan(&mut self, mut depth: usize, mut in_string: bool) -> Option<usize> {
        let mut at = self.scanned;
        while at < self.buffer.len() {
            if in_string {
                let Some(found) = memchr2(b'"', b'\\', &self.buffer[at..]) else {
                    at = self.buffer.len();
                    break;
                };
                at += found;
                if self.buffer[at] == b'\\' {
                    // The escaped byte belongs to the step: it may not have come yet.
                    if at + 1 == self.buffer.len() {
                        break;
                    }
                    at += 2;
                } else {
                    in_string = false;
                    at += 1;
                }
                continue;
            }
            match self.buffer[at] {
                b'"' => in_string = true,
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 {
                return Some(at);
            }
        }
        self.scanned = at;
        self.state = if in_string {
            State::String { depth }
        } else {
            State::Inside { depth }
        };
        None
    }

    fn give_up(&mut self, error: DocumentError) -> Option<Result<Bytes, DocumentError>> {
        self.state = State::Broken;
        self.buffer = BytesMut::new();
        Some(Err(error))
    }

    fn document(&mut self, depth: usize, in_string: bool) -> Option<Result<Bytes, DocumentError>> {
        let (at, bytes_max) = (self.offset, self.bytes_max);
        match self.scan(depth, in_string) {
            Some(length) if length <= bytes_max => {
                self.state = State::Between;
                self.offset += length as u64;
                self.scanned = 0;
                Some(Ok(self.buffer.split_to(length).freeze()))
            }
            None if self.buffer.len() <= bytes_max => {
                if self.is_finished {
                    self.give_up(DocumentError::Unfinished { at })
                } else {
                    None
                }
            }
            _ => self.give_up(DocumentError::TooLong { at, bytes_max }),
        }
    }
}

impl Iterator for Documents {
    type Item = Result<Bytes, DocumentError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.state {
                State::Between => {
                    if let Some(error) = self.begin() {
                        return Some(Err(error));
                    }
                    if self.state == State::Between {
                        return None;
                    }
                }
                State::BadLine => match memchr::memchr(b'\n', &self.buffer) {
                    Some(end) => {
                        self.drop_front(end + 1);
                        self.state = State::Between;
                    }
                    None => {
                        self.drop_front(self.buffer.len());
                        return None;
                    }
                },
                State::Inside { depth } => return self.document(depth, false),
                State::String { depth } => return self.document(depth, true),
                State::Broken => return None,
            }
        }
    }
}

/// Returns the content of one document of a file, as [`super::decode`] does for a request.
pub fn decode_document(document: Bytes, context: &Context<'_>) -> Result<Batch, EnvelopeError> {
    let mut decoder = Decoder::new(&document, context);
    let mut reader = Reader::new(&document);
    reader.skip_whitespace();
    if reader.peek() == Some(b'[') {
        items(&mut decoder, &mut reader, Position::Mixed)?;
        at_end(&mut reader)?;
        return Ok(decoder.finish());
    }
    match shape(&document)? {
        Shape::Envelope => super::envelope::read(&mut decoder)?,
        Shape::Item => decoder.item(&mut reader, &mut Tape::default(), Position::Mixed)?,
        Shape::Export => each_member(&mut reader, EXPECTED, |key, reader| match key {
            b"trace" => decoder.item(reader, &mut Tape::default(), Position::Trace),
            b"spans" => items(&mut decoder, reader, Position::Span),
            _ => Ok(reader.skip()?),
        })?,
    }
    Ok(decoder.finish())
}

const EXPECTED: &str = "a trace item, a span item, {\"data\":[…]} or {\"trace\":{…},\"spans\":[…]}";

enum Shape {
    Item,
    Envelope,
    Export,
}

/// Tells what a document is by its outer keys.
fn shape(document: &[u8]) -> Result<Shape, EnvelopeError> {
    let (mut is_item, mut is_envelope, mut is_export) = (false, false, false);
    let mut reader = Reader::new(document);
    each_member(&mut reader, EXPECTED, |key, reader| {
        match (key, reader.peek()) {
            (b"id" | b"span_data", _) => is_item = true,
            (b"data", Some(b'[')) => is_envelope = true,
            (b"trace", Some(b'{')) | (b"spans", Some(b'[')) => is_export = true,
            _ => {}
        }
        Ok(reader.skip()?)
    })?;
    match (is_item, is_export, is_envelope) {
        (false, true, _) => Ok(Shape::Export),
        (false, false, true) => Ok(Shape::Envelope),
        (true, _, _) => Ok(Shape::Item),
        (false, false, false) => Err(EnvelopeError::NoItems {
            expected: EXPECTED,
            at: 0,
        }),
    }
}
