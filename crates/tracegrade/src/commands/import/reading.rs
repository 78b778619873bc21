//! A file on its way into requests: inflated, cut into documents, packed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;

use anyhow::{Context, bail};
use bytes::Bytes;
use indicatif::ProgressBar;
use server::local::{Cut, CutError, Cutter, Encoding, split};
use tokio::sync::mpsc;

use crate::output;

use super::archive::{Documents, MAGIC};

/// One document of a file; an exported trace is one, and may be large.
pub(super) const DOCUMENT_BYTES_MAX: usize = 512 << 20;

/// A request is closed once it is this large.
const BODY_BYTES_SOFT: usize = 2 << 20;

/// A document that is larger is taken apart, if that can be done.
const SPLIT_BYTES_MIN: usize = 8 << 20;

/// Requests in protobuf up to this size go several in a body: the first byte of their length is 0.
const FRAME_BYTES_MAX: usize = (16 << 20) - 1;

/// Parts of a file that are no document are told up to this number, and counted beyond it.
const FAULTS_MAX: usize = 100_000;

/// Where in its file a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DocumentPlace {
    /// Its number, from 1: in a file of lines that of its line.
    pub(super) number: u64,
    /// Where it begins, in bytes of the inflated file.
    pub(super) at: u64,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) bytes: Bytes,
    /// The documents in it, in their order.
    pub(super) places: Vec<DocumentPlace>,
    /// What the file has up to here was read once this is taken, and how many documents that is.
    pub(super) end: u64,
    pub(super) documents: u64,
    /// What lies between the documents and is none.
    pub(super) faults: Vec<Fault>,
}

/// A part of a file that is no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) number: u64,
    pub(super) error: CutError,
}

/// A file that is open.
pub(super) struct Reading {
    file: Box<dyn Read + Send>,
    bar: ProgressBar,
    from: u64,
    documents: u64,
}

impl Reading {
    /// Opens a file; `from` is where to begin, behind so many `documents`.
    pub(super) fn open(path: &Path, from: u64, documents: u64) -> anyhow::Result<Self> {
        if let Some(file) = as_archive(path)? {
            return Ok(Self {
                file: Box::new(Documents::open(file)?),
                bar: output::counter("bytes read"),
                from,
                documents,
            });
        }
        let (raw, bar): (Box<dyn Read + Send>, _) = match path.as_os_str() == "-" {
            true => (Box::new(io::stdin()), output::counter("bytes read")),
            false => {
                let bytes = path.metadata()?.len();
                (Box::new(File::open(path)?), output::bar(bytes, "importing"))
            }
        };
        let bar_of_file = bar.clone();
        let counted = Counted {
            raw,
            bar: bar_of_file,
        };
        Ok(Self {
            file: inflated(counted)?,
            bar,
            from,
            documents,
        })
    }

    /// Returns the bar that the reading moves.
    pub(super) fn bar(&self) -> ProgressBar {
        self.bar.clone()
    }

    /// Reads to the end and hands on what there is. Blocks.
    pub(super) fn run(mut self, send: mpsc::Sender<Body>) -> anyhow::Result<()> {
        let passed = io::copy(&mut self.file.by_ref().take(self.from), &mut io::sink())?;
        if passed < self.from {
            bail!(
                "the file ends before the place where the import was ended; import it without --resume"
            );
        }
        let mut packer = Packer::new(send, self.from, self.documents);
        let mut cutter = Cutter::resumed(DOCUMENT_BYTES_MAX, self.from);
        let mut piece = vec![0; 1 << 20];
        loop {
            let count = self.file.read(&mut piece)?;
            match count {
                0 => cutter.finish(),
                count => cutter.feed(&piece[..count]),
            }
            for document in cutter.by_ref() {
                packer.take(document)?;
            }
            if count == 0 {
                return packer.finish();
            }
        }
    }
}

/// Returns the file if it is an archive, whose end is read first.
fn as_archive(path: &Path) -> io::Result<Option<File>> {
    if path.as_os_str() == "-" || !path.metadata()?.is_file() {
        return Ok(None);
    }
    let mut file = File::open(path)?;
    let mut first = Vec::new();
    Read::by_ref(&mut file)
        .take(MAGIC.len() as u64)
        .read_to_end(&mut first)?;
    file.rewind()?;
    Ok((first == MAGIC).then_some(file))
}

/// A file that moves a bar as it is read.
struct Counted {
    raw: Box<dyn Read + Send>,
    bar: ProgressBar,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.raw.read(buffer)?;
        self.bar.inc(count as u64);
        Ok(count)
    }
}

/// Returns what a file holds, inflated if its first bytes are those of gzip or zstd.
pub(super) fn inflated(file: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut file = BufReader::with_capacity(1 << 20, file);
    let first = file.fill_buf()?;
    if first.starts_with(&[0x1f, 0x8b]) {
        Ok(Box::new(flate2::bufread::MultiGzDecoder::new(file)))
    } else if first.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Ok(Box::new(zstd::Decoder::with_buffer(file)?))
    } else {
        Ok(Box::new(file))
    }
}

/// Puts documents together to requests.
struct Packer {
    send: mpsc::Sender<Body>,
    body: Vec<u8>,
    encoding: Encoding,
    places: Vec<DocumentPlace>,
    /// How many documents were read, and where the last one ended.
    documents: u64,
    end: u64,
    /// Since the last request.
    faults: Vec<Fault>,
    faults_found: usize,
}

impl Packer {
    fn new(send: mpsc::Sender<Body>, end: u64, documents: u64) -> Self {
        Self {
            send,
            body: Vec::new(),
            encoding: Encoding::Json,
            places: Vec::new(),
            documents,
            end,
            faults: Vec::new(),
            faults_found: 0,
        }
    }

    fn take(&mut self, document: Result<Cut, CutError>) -> anyhow::Result<()> {
        let number = self.documents + 1;
        let cut = match document {
            Ok(cut) => cut,
            Err(error) => {
                self.faults_found += 1;
                if self.faults_found > FAULTS_MAX {
                    bail!(
                        "more than {FAULTS_MAX} parts of it are no documents, the last is this: {error}"
                    );
                }
                self.documents = number;
                self.faults.push(Fault { number, error });
                return Ok(());
            }
        };
        let place = DocumentPlace { number, at: cut.at };
        let is_large = cut.bytes.len() > SPLIT_BYTES_MIN && cut.encoding == Encoding::Json;
        match is_large
            .then(|| split(&cut.bytes, BODY_BYTES_SOFT))
            .flatten()
        {
            Some(pieces) => {
                // Only with its last piece is the document through.
                for piece in pieces {
                    self.add(&piece, place)?;
                }
            }
            None => {
                if cut.encoding != self.encoding {
                    self.flush()?;
                    self.encoding = cut.encoding;
                }
                self.add(&cut.bytes, place)?;
            }
        }
        self.documents = number;
        self.end = cut.end;
        match self.body.len() < BODY_BYTES_SOFT {
            true => Ok(()),
            false => self.flush(),
        }
    }

    fn add(&mut self, document: &[u8], place: DocumentPlace) -> anyhow::Result<()> {
        let is_alone = document.len() > FRAME_BYTES_MAX;
        if is_alone || self.body.len() >= BODY_BYTES_SOFT {
            self.flush()?;
        }
        match self.encoding {
            Encoding::Json => {
                self.body.extend_from_slice(document);
                self.body.push(b'\n');
            }
            Encoding::Protobuf if is_alone => self.body.extend_from_slice(document),
            Encoding::Protobuf => {
                let length = document.len() as u32;
                self.body.extend_from_slice(&length.to_be_bytes());
                self.body.extend_from_slice(document);
            }
        }
        self.places.push(place);
        match is_alone {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// Hands on what there is. A document that is larger than a request goes alone, and with it the
    /// place behind it is not reached yet.
    fn flush(&mut self) -> anyhow::Result<()> {
        match self.places.is_empty() {
            true => Ok(()),
            false => self.hand_on(),
        }
    }

    /// Hands on the rest, what is no document with it.
    fn finish(mut self) -> anyhow::Result<()> {
        match self.places.is_empty() && self.faults.is_empty() {
            true => Ok(()),
            false => self.hand_on(),
        }
    }

    fn hand_on(&mut self) -> anyhow::Result<()> {
        let body = Body {
            bytes: std::mem::take(&mut self.body).into(),
            places: std::mem::take(&mut self.places),
            end: self.end,
            documents: self.documents,
            faults: std::mem::take(&mut self.faults),
        };
        // Nobody takes it once a request failed; that failure is what is told.
        self.send
            .blocking_send(body)
            .ok()
            .context("the import was given up")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &[u8], from: u64) -> Vec<Body> {
        let (send, mut receive) = mpsc::channel(1_000);
        let reading = Reading {
            file: inflated(io::Cursor::new(file.to_vec())).unwrap(),
            bar: ProgressBar::hidden(),
            from,
            documents: 0,
        };
        reading.run(send).unwrap();
        let mut bodies = Vec::new();
        while let Some(body) = receive.blocking_recv() {
            bodies.push(body);
        }
        bodies
    }

    fn check(file: &[u8], want: &[&[u8]], faults: usize) {
        let bodies = read(file, 0);
        let got = bodies.iter().filter(|body| !body.places.is_empty());
        let got: Vec<_> = got.map(|body| &body.bytes[..]).collect();
        assert_eq!(got, want);
        let told: Vec<_> = bodies.iter().flat_map(|body| &body.faults).collect();
        assert_eq!(told.len(), faults, "{told:?}");
    }

    #[test]
    fn documents_are_packed_whatever_they_are() {
        let both = b"{\"a\":1}\n[2]\n";
        check(b" {\"a\":1} [2]", &[both], 0);
        check(b"{\"a\":1}\nwords\n[2]{\"b\":", &[both], 2);
        check(b"", &[], 0);
        check(&zstd::encode_all(&both[..], 1).unwrap(), &[both], 0);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut gzip, both).unwrap();
        check(&gzip.finish().unwrap(), &[both], 0);
        // Groups of OTLP become frames, each of them a document.
        check(
            b"\x0a\x01a\x0a\x01b",
            &[b"\0\0\0\x03\x0a\x01a\0\0\0\x03\x0a\x01b"],
            0,
        );
    }

    #[test]
    fn a_body_says_up_to_where_the_file_was_read() {
        let line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(1 << 20));
        let file = line.repeat(5);
        let bodies = read(file.as_bytes(), 0);
        let ends: Vec<_> = bodies
            .iter()
            .map(|body| (body.end, body.documents))
            .collect();
        let end = |n: u64| (n * line.len() as u64 - 1, n);
        assert_eq!(ends, [end(2), end(4), end(5)]);
        let rest = read(file.as_bytes(), ends[0].0);
        assert_eq!(
            rest.iter().map(|body| body.end).collect::<Vec<_>>(),
            [end(4).0, end(5).0]
        );
        assert_eq!(rest[0].places[0].at, line.len() as u64 * 2);
    }

    #[test]
    fn a_document_in_pieces_is_through_with_its_last_one() {
        let span = format!("{{\"id\":\"{}\"}}", "x".repeat(1 << 20));
        let spans = vec![span; 9].join(",");
        let file = format!("{{\"b\":1}}\n{{\"trace\":{{}},\"spans\":[{spans}]}}\n");
        let bodies = read(file.as_bytes(), 0);
        let documents: Vec<_> = bodies.iter().map(|body| body.documents).collect();
        assert_eq!(documents, [1, 1, 1, 1, 2]);
        assert_eq!(bodies[0].end, 7);
        assert_eq!(bodies.last().unwrap().end, file.len() as u64 - 1);
        assert!(bodies.iter().skip(1).all(|body| body.places[0].number == 2));
    }
}
