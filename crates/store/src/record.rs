//! What is in a frame of the write-ahead log: a batch of rows, a deletion, or grades.
//!
//! A record is a version, a kind and a run of sections, each made of fields (`record/wire.rs`). The
//! thread of a request encodes its batch once. Which messages are new is known later, to the log's
//! writer alone; so each message is a section of its own, and the record is the fixed part followed by
//! the messages that were chosen. Trace ids stand in a table and are referred to by index, since one
//! id is on every row of its trace.
//!
//! A field or a section that is not known is skipped; a change that old readers must not overlook
//! takes a new [`RECORD_VERSION`], and a record of a newer version is refused.

use bytes::Bytes;
use hashbrown::HashMap;
use model::{
    BadRanks, Batch, Grade, IdError, Message, ProjectId, Source, Span, Time, TraceId, TraceItem,
    UnknownWord,
};

use self::wire::{FIELD_OVERHEAD_BYTES, Reader, Value, Writer};

mod grades;
mod rows;
#[cfg(test)]
mod tests;
mod wire;

/// The version of the records that we write, and the newest that we read. Version 2 brought grades.
pub const RECORD_VERSION: u8 = 2;

const KIND_BATCH: u8 = 1;
const KIND_DELETE: u8 = 2;
const KIND_GRADES: u8 = 3;

/// Sections of a record. Numbers are never used again.
mod section {
    pub(super) const PROJECT: u8 = 1;
    pub(super) const SOURCE: u8 = 2;
    pub(super) const AT: u8 = 3;
    pub(super) const TRACE_IDS: u8 = 4;
    pub(super) const TRACE_ITEM: u8 = 5;
    pub(super) const SPAN: u8 = 6;
    pub(super) const MESSAGE: u8 = 7;
    pub(super) const GRADE: u8 = 8;
}

/// The content of one frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// Rows that came in.
    Batch(BatchRecord),
    /// Something is to be gone.
    Delete(DeleteRecord),
    /// What graders said.
    Grades(GradesRecord),
}

/// The rows of one request, with those of its messages that the log did not have yet.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchRecord {
    /// Whose rows these are.
    pub project: ProjectId,
    /// The way the request came in.
    pub source: Source,
    /// When it came in.
    pub received_at: Time,
    /// Trace items, in the order they came.
    pub traces: Vec<TraceItem>,
    /// Spans, in the order they came.
    pub spans: Vec<Span>,
    /// Messages that were new. Their content shares the frame's memory.
    pub messages: Vec<Message>,
}

/// A deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteRecord {
    /// Whose rows these are.
    pub project: ProjectId,
    /// Which are to be gone, with everything that hangs on them.
    pub traces: Vec<TraceId>,
    /// When this was decided.
    pub at: Time,
}

/// Grades that came in together.
#[derive(Debug, Clone, PartialEq)]
pub struct GradesRecord {
    /// Whose they are.
    pub project: ProjectId,
    /// When they came in.
    pub received_at: Time,
    /// The grades, each key once.
    pub grades: Vec<Grade>,
}

/// A record that cannot be read, though its bytes are as they were written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A newer tracegrade wrote it.
    #[error("the record has version {found}, and the newest that can be read is {RECORD_VERSION}")]
    NewerVersion {
        /// Its version.
        found: u8,
    },
    /// Its kind is none that its version has.
    #[error("the record has the unknown kind {0}")]
    UnknownKind(u8),
    /// A length points beyond the end.
    #[error("the record is cut short")]
    CutShort,
    /// A text is not UTF-8.
    #[error("a text in the record is not UTF-8")]
    NotUtf8(#[source] std::str::Utf8Error),
    /// A value has a size or content that its field cannot have.
    #[error("the record's {what} is damaged")]
    BadValue {
        /// The field.
        what: &'static str,
    },
    /// A field that every such row has is not there.
    #[error("the record has no {what}")]
    Missing {
        /// The field.
        what: &'static str,
    },
    /// A row names a trace that is not in the table.
    #[error("the record has no trace number {index}")]
    NoSuchTrace {
        /// The index.
        index: u64,
    },
    /// An id is empty or too long.
    #[error("an id in the record is not one")]
    BadId(#[from] IdError),
    /// The ranks of an item are none.
    #[error("an item in the record does not say how far out it was told")]
    BadRanks(#[from] BadRanks),
    /// A word is none of its set.
    #[error("a word in the record is not known")]
    BadWord(#[from] UnknownWord),
}

/// A record in bytes: a fixed part, and each message apart.
#[derive(Debug, Clone)]
pub struct EncodedRecord {
    fixed: Bytes,
    messages: Vec<Bytes>,
}

impl EncodedRecord {
    /// Returns the record of a batch. Message `n` of it is message `n` of the batch.
    pub fn batch(project: &ProjectId, source: Source, received_at: Time, batch: &Batch) -> Self {
        let table = TraceTable::of(batch);
        let mut fixed = Vec::with_capacity(fixed_bytes_about(batch, &table));
        fixed.extend_from_slice(&[RECORD_VERSION, KIND_BATCH]);
        let mut writer = Writer(&mut fixed);
        write_head(&mut writer, project, received_at);
        writer.section(section::SOURCE, |w| {
            w.0.extend_from_slice(source.as_str().as_bytes())
        });
        write_trace_ids(&mut writer, table.ids.iter().copied());
        for item in &batch.traces {
            let trace = table.index(&item.trace_id);
            writer.section(section::TRACE_ITEM, |w| rows::write_item(w, item, trace));
        }
        for span in &batch.spans {
            let trace = table.index(&span.trace_id);
            writer.section(section::SPAN, |w| rows::write_span(w, span, trace));
        }
        let messages = encode_messages(&batch.messages, &table);
        Self {
            fixed: fixed.into(),
            messages,
        }
    }

    /// Returns the record of a deletion.
    pub fn delete(project: &ProjectId, traces: &[TraceId], at: Time) -> Self {
        let mut fixed = vec![RECORD_VERSION, KIND_DELETE];
        let mut writer = Writer(&mut fixed);
        write_head(&mut writer, project, at);
        write_trace_ids(&mut writer, traces.iter());
        Self {
            fixed: fixed.into(),
            messages: Vec::new(),
        }
    }

    /// Returns the record of grades.
    pub fn grades<'a>(
        project: &ProjectId,
        received_at: Time,
        grades: impl Iterator<Item = &'a Grade>,
    ) -> Self {
        let mut fixed = vec![RECORD_VERSION, KIND_GRADES];
        let mut writer = Writer(&mut fixed);
        write_head(&mut writer, project, received_at);
        for grade in grades {
            writer.section(section::GRADE, |w| grades::write_grade(w, grade));
        }
        Self {
            fixed: fixed.into(),
            messages: Vec::new(),
        }
    }

    /// Returns what every frame of the record starts with.
    pub fn fixed(&self) -> &[u8] {
        &self.fixed
    }

    /// Returns the bytes of message `index`, to be put after the fixed part or other messages.
    pub fn message(&self, index: usize) -> &[u8] {
        &self.messages[index]
    }

    /// Returns how large a frame with all messages would be.
    pub fn bytes(&self) -> usize {
        self.fixed.len() + self.messages.iter().map(Bytes::len).sum::<usize>()
    }
}

/// Every trace id of a batch, once.
struct TraceTable<'a> {
    ids: Vec<&'a TraceId>,
    indexes: HashMap<&'a TraceId, u64>,
}

impl<'a> TraceTable<'a> {
    fn of(batch: &'a Batch) -> Self {
        let mut table = Self {
            ids: Vec::new(),
            indexes: HashMap::new(),
        };
        let items = batch.traces.iter().map(|item| &item.trace_id);
        let spans = batch.spans.iter().map(|span| &span.trace_id);
        let messages = batch.messages.iter().map(|message| &message.trace_id);
        for id in items.chain(spans).chain(messages) {
            // Rows of one trace come in a row: most ids are the one before.
            if table.ids.last() != Some(&id) && !table.indexes.contains_key(id) {
                table.indexes.insert(id, table.ids.len() as u64);
                table.ids.push(id);
            }
        }
        table
    }

    fn index(&self, id: &TraceId) -> u64 {
        self.indexes[id]
    }
}

fn write_head(writer: &mut Writer<'_>, project: &ProjectId, at: Time) {
    let at = at.as_micros().to_le_bytes();
    writer.section(section::PROJECT, |w| {
        w.0.extend_from_slice(project.as_str().as_bytes())
    });
    writer.section(section::AT, |w| w.0.extend_from_slice(&at));
}

fn write_trace_ids<'a>(writer: &mut Writer<'_>, ids: impl Iterator<Item = &'a TraceId>) {
    writer.section(section::TRACE_IDS, |w| {
        ids.for_each(|id| w.text(0, Some(id.as_str())))
    });
}

/// Returns a section for each message. They share one buffer.
fn encode_messages(messages: &[Message], table: &TraceTable<'_>) -> Vec<Bytes> {
    const OVERHEAD_BYTES: usize = 128;
    let about = messages
        .iter()
        .map(|message| message.content.len() + OVERHEAD_BYTES)
        .sum();
    let mut buffer = Vec::with_capacity(about);
    let mut ends = Vec::with_capacity(messages.len());
    for message in messages {
        let trace = table.index(&message.trace_id);
        let mut writer = Writer(&mut buffer);
        writer.section(section::MESSAGE, |w| rows::write_message(w, message, trace));
        ends.push(buffer.len());
    }
    let buffer = Bytes::from(buffer);
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts
        .zip(&ends)
        .map(|(start, &end)| buffer.slice(start..end))
        .collect()
}

/// Returns about how many bytes the fixed part takes, so that the buffer grows once.
fn fixed_bytes_about(batch: &Batch, table: &TraceTable<'_>) -> usize {
    const RECORD_BYTES: usize = 512;
    const ITEM_BYTES: usize = 512;
    let ids = table
        .ids
        .iter()
        .map(|id| id.as_str().len() + FIELD_OVERHEAD_BYTES)
        .sum::<usize>();
    let spans = batch
        .spans
        .iter()
        .map(rows::span_bytes_about)
        .sum::<usize>();
    RECORD_BYTES + ids + batch.traces.len() * ITEM_BYTES + spans
}

impl Record {
    /// Returns the record that `bytes` hold. The content of messages shares their memory.
    pub fn decode(bytes: &Bytes) -> Result<Self, RecordError> {
        let mut reader = Reader(bytes);
        let version = reader.byte()?;
        if version > RECORD_VERSION {
            return Err(RecordError::NewerVersion { found: version });
        }
        match reader.byte()? {
            KIND_BATCH => Ok(Self::Batch(decode_batch(reader, bytes)?)),
            KIND_DELETE => Ok(Self::Delete(decode_delete(reader)?)),
            KIND_GRADES => Ok(Self::Grades(decode_grades(reader)?)),
            kind => Err(RecordError::UnknownKind(kind)),
        }
    }

    /// Returns whose record it is.
    pub fn project(&self) -> &ProjectId {
        match self {
            Self::Batch(batch) => &batch.project,
            Self::Delete(delete) => &delete.project,
            Self::Grades(grades) => &grades.project,
        }
    }
}

fn decode_batch(mut reader: Reader<'_>, whole: &Bytes) -> Result<BatchRecord, RecordError> {
    let (mut project, mut source, mut received_at) = (None, None, None);
    let (mut traces, mut spans, mut messages) = (Vec::new(), Vec::new(), Vec::new());
    let mut ids = Vec::new();
    while let Some((tag, value)) = reader.section()? {
        match tag {
            section::PROJECT => project = Some(ProjectId::new(value.text()?)?),
            section::SOURCE => source = Some(value.word()?),
            section::AT => received_at = Some(Time::from_micros(value.int("time")?)),
            section::TRACE_IDS => ids = read_trace_ids(value)?,
            section::TRACE_ITEM => traces.push(rows::read_item(value.fields(), &ids)?),
            section::SPAN => spans.push(rows::read_span(value.fields(), &ids)?),
            section::MESSAGE => messages.push(rows::read_message(value.fields(), &ids, whole)?),
            _ => {}
        }
    }
    Ok(BatchRecord {
        project: project.ok_or(RecordError::Missing { what: "project" })?,
        source: source.ok_or(RecordError::Missing { what: "source" })?,
        received_at: received_at.ok_or(RecordError::Missing { what: "time" })?,
        traces,
        spans,
        messages,
    })
}

fn decode_delete(mut reader: Reader<'_>) -> Result<DeleteRecord, RecordError> {
    let (mut project, mut at, mut traces) = (None, None, None);
    while let Some((tag, value)) = reader.section()? {
        match tag {
            section::PROJECT => project = Some(ProjectId::new(value.text()?)?),
            section::AT => at = Some(Time::from_micros(value.int("time")?)),
            section::TRACE_IDS => traces = Some(read_trace_ids(value)?),
            _ => {}
        }
    }
    Ok(DeleteRecord {
        project: project.ok_or(RecordError::Missing { what: "project" })?,
        traces: traces.ok_or(RecordError::Missing { what: "traces" })?,
        at: at.ok_or(RecordError::Missing { what: "time" })?,
    })
}

fn decode_grades(mut reader: Reader<'_>) -> Result<GradesRecord, RecordError> {
    let (mut project, mut received_at, mut grades) = (None, None, Vec::new());
    while let Some((tag, value)) = reader.section()? {
        match tag {
            section::PROJECT => project = Some(ProjectId::new(value.text()?)?),
            section::AT => received_at = Some(Time::from_micros(value.int("time")?)),
            section::GRADE => grades.push(grades::read_grade(value.fields())?),
            _ => {}
        }
    }
    Ok(GradesRecord {
        project: project.ok_or(RecordError::Missing { what: "project" })?,
        received_at: received_at.ok_or(RecordError::Missing { what: "time" })?,
        grades,
    })
}

fn read_trace_ids(value: Value<'_>) -> Result<Vec<TraceId>, RecordError> {
    let mut reader = value.fields();
    let mut ids = Vec::new();
    while let Some((tag, value)) = reader.field()? {
        if tag == 0 {
            ids.push(TraceId::new(value.text()?)?);
        }
    }
    Ok(ids)
}
