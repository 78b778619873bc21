//! How is one body written in an archive?
//!
//! In front of it stand a mark, a version and two lengths, then a head in JSON that says what the body is
//! and has its hash. A head may get more fields; whatever changes what a record means raises the version,
//! and a reader refuses what it does not know.

use std::io::{self, Read, Write};

use bytes::Bytes;
use ingest::otlp;
use model::{MessageHash, ProjectId, Source, Time};
use serde::{Deserialize, Serialize};

use crate::body::Encoding;
use crate::intake::Wire;

/// What every record begins with.
const MARK: [u8; 4] = *b"TGAR";

/// The version of the records that are written.
pub(super) const VERSION: u8 = 1;

/// The mark, the version, and the lengths of head and body.
const PREFIX_BYTES: usize = 4 + 1 + 4 + 4;

/// The longest head: a project's id is the only thing in it whose length others choose.
const HEAD_BYTES_MAX: u32 = 64 << 10;

/// What a body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Where it went.
    pub project: ProjectId,
    /// How its items are written.
    pub wire: Wire,
    /// The way in.
    pub source: Source,
    /// How it is compressed.
    pub(crate) encoding: Encoding,
    /// When it came.
    pub received_at: Time,
}

/// A body and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is.
    pub head: Head,
    /// The bytes as received.
    pub body: Bytes,
}

/// Why no record was read.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadRecord {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("a record does not begin as one")]
    Mark,
    #[error("a record has the version {0}, which this program does not know")]
    Version(u8),
    #[error("a record's head cannot be read: {0}")]
    Head(String),
    #[error("a record's body is not the one that was written")]
    Hash,
}

/// A head as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct HeadText {
    project: String,
    wire: String,
    source: String,
    compression: String,
    received_at: String,
    blake3_128: String,
}

/// Every wire there is.
const WIRES: [Wire; 7] = [
    Wire::AgentsSdk,
    Wire::Import,
    Wire::Langfuse,
    Wire::Spans(otlp::Encoding::Protobuf),
    Wire::Spans(otlp::Encoding::Json),
    Wire::Logs(otlp::Encoding::Protobuf),
    Wire::Logs(otlp::Encoding::Json),
];

/// Returns the name of a wire in an archive.
fn wire_name(wire: Wire) -> &'static str {
    match wire {
        Wire::AgentsSdk => "agents_sdk",
        Wire::Import => "import",
        Wire::Langfuse => "langfuse_batch",
        Wire::Spans(otlp::Encoding::Protobuf) => "otlp_traces_protobuf",
        Wire::Spans(otlp::Encoding::Json) => "otlp_traces_json",
        Wire::Logs(otlp::Encoding::Protobuf) => "otlp_logs_protobuf",
        Wire::Logs(otlp::Encoding::Json) => "otlp_logs_json",
    }
}

impl HeadText {
    fn new(head: &Head, body: &[u8]) -> Self {
        Self {
            project: head.project.to_string(),
            wire: wire_name(head.wire).to_owned(),
            source: head.source.as_str().to_owned(),
            compression: head.encoding.as_str().to_owned(),
            received_at: head.received_at.to_string(),
            blake3_128: MessageHash::of(body).to_string(),
        }
    }

    fn read(&self) -> Option<Head> {
        let wire = WIRES.iter().find(|wire| wire_name(**wire) == self.wire);
        Some(Head {
            project: ProjectId::new(&self.project).ok()?,
            wire: *wire?,
            source: self.source.parse().ok()?,
            encoding: Encoding::parse(&self.compression)?,
            received_at: Time::parse_rfc3339(&self.received_at).ok()?,
        })
    }
}

/// Writes one record.
pub(super) fn write(head: &Head, body: &[u8], to: &mut impl Write) -> io::Result<()> {
    let text = serde_json::to_vec(&HeadText::new(head, body))?;
    let length = |bytes: usize| u32::try_from(bytes).map_err(io::Error::other);
    let mut prefix = Vec::with_capacity(PREFIX_BYTES + text.len());
    prefix.extend_from_slice(&MARK);
    prefix.push(VERSION);
    prefix.extend_from_slice(&length(text.len())?.to_le_bytes());
    prefix.extend_from_slice(&length(body.len())?.to_le_bytes());
    prefix.extend_from_slice(&text);
    to.write_all(&prefix)?;
    to.write_all(body)
}

impl Record {
    /// Reads the next record; none at the end.
    pub(super) fn read(from: &mut impl Read) -> Result<Option<Self>, BadRecord> {
        let mut first = [0];
        if from.read(&mut first)? == 0 {
            return Ok(None);
        }
        let mut prefix = [first[0]; PREFIX_BYTES];
        from.read_exact(&mut prefix[1..5])?;
        if prefix[..4] != MARK {
            return Err(BadRecord::Mark);
        }
        // What stands behind it only a reader of that version knows.
        if prefix[4] != VERSION {
            return Err(BadRecord::Version(prefix[4]));
        }
        from.read_exact(&mut prefix[5..])?;
        let number = |at: usize| {
            let bytes = prefix[at..at + 4].try_into();
            u32::from_le_bytes(bytes.expect("four bytes"))
        };
        let (head_bytes, body_bytes) = (number(5), number(9));
        if head_bytes > HEAD_BYTES_MAX {
            let why = format!("it has {head_bytes} bytes");
            return Err(BadRecord::Head(why));
        }
        let head = take(from, head_bytes)?;
        let body = Bytes::from(take(from, body_bytes)?);
        let text: HeadText =
            serde_json::from_slice(&head).map_err(|error| BadRecord::Head(error.to_string()))?;
        if MessageHash::of(&body).to_string() != text.blake3_128 {
            return Err(BadRecord::Hash);
        }
        let head = text.read();
        let head =
            head.ok_or_else(|| BadRecord::Head(format!("{text:?} says what is not known")))?;
        Ok(Some(Self { head, body }))
    }
}

/// Returns the next `count` bytes. Memory is taken as they come, whatever a length claims.
fn take(from: &mut impl Read, count: u32) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let got = from
        .by_ref()
        .take(u64::from(count))
        .read_to_end(&mut bytes)?;
    match got == count as usize {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::archive) fn record(n: u8, encoding: Encoding) -> Record {
        Record {
            head: Head {
                project: ProjectId::new("shop").unwrap(),
                wire: WIRES[usize::from(n) % WIRES.len()],
                source: Source::Otlp,
                encoding,
                received_at: Time::from_micros(1_790_000_000_000_000 + i64::from(n)),
            },
            body: Bytes::from(vec![n; usize::from(n)]),
        }
    }

    fn written(record: &Record) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&record.head, &record.body, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn records_come_back() {
        let all = [
            Encoding::Identity,
            Encoding::Gzip,
            Encoding::Deflate,
            Encoding::Zstd,
        ];
        let records: Vec<_> = (0..20)
            .map(|n| record(n, all[usize::from(n) % 4]))
            .collect();
        let bytes: Vec<u8> = records.iter().flat_map(written).collect();
        let mut from = &bytes[..];
        let back = std::iter::from_fn(|| Record::read(&mut from).unwrap());
        assert_eq!(back.collect::<Vec<_>>(), records);
    }

    #[test]
    fn what_is_cut_or_changed_is_no_record_and_nothing_panics() {
        let good = written(&record(9, Encoding::Gzip));
        for end in 1..good.len() {
            let error = Record::read(&mut &good[..end]).unwrap_err();
            let is_short =
                matches!(&error, BadRecord::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof);
            assert!(is_short, "{end}: {error}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            if let Ok(Some(read)) = Record::read(&mut &bad[..]) {
                // A letter of the project or a digit of the time: what the hash is not for.
                assert_eq!(read.body, record(9, Encoding::Gzip).body, "{at}");
            }
        }
        let mut later = good;
        later[4] = 2;
        assert!(matches!(
            Record::read(&mut &later[..]),
            Err(BadRecord::Version(2))
        ));
    }
}
