//! The `messages` table: each message of a trace once, found by its hash.

use std::cmp::Ordering;

use bytes::Bytes;
use model::{Message, MessageHash, ProjectId, SpanId, Time, TraceId};

use super::columns::{Column, LakeRow, Layout, count, derived, given, moment, required};
use super::schema::Table;

/// One message of one trace.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageRow {
    /// The project.
    pub project: ProjectId,
    /// The message.
    pub message: Message,
    /// Its place in its trace, in the order of arrival.
    pub ordinal: i64,
    /// The frozen start of its trace, which decides its home day.
    pub trace_started_at: Time,
    /// The sequence number it was logged under.
    pub seq: i64,
}

impl LakeRow for MessageRow {
    const TABLE: Table = Table::Messages;
    type Draft = Self;

    fn columns() -> &'static [Column<Self>] {
        COLUMNS
    }

    fn draft(project: ProjectId, trace_id: TraceId, _: Option<SpanId>) -> Self {
        let content = Bytes::new();
        let message = Message {
            trace_id,
            hash: MessageHash([0; 16]),
            role: "".into(),
            content,
        };
        Self {
            project,
            message,
            ordinal: 0,
            trace_started_at: Time::default(),
            seq: 0,
        }
    }

    fn finish(draft: Self) -> Self {
        draft
    }

    fn payload_bytes(&self) -> usize {
        self.message.content.len()
    }

    fn file_order(&self, other: &Self) -> Ordering {
        fn key(row: &MessageRow) -> (&ProjectId, &TraceId, i64) {
            (&row.project, &row.message.trace_id, row.ordinal)
        }
        key(self).cmp(&key(other))
    }
}

static COLUMNS: &[Column<MessageRow>] = &[
    given!("project_id", Key, project),
    given!("trace_id", Key, message.trace_id),
    required(Column::hash(
        "hash",
        |r| r.message.hash,
        |r, v| r.message.hash = v,
    )),
    required(Column::text(
        "role",
        Layout::Word,
        |r| Some(&r.message.role),
        |r, v| {
            r.message.role = v.to_owned().into();
            Ok(())
        },
    )),
    required(Column::text(
        "content",
        Layout::Payload,
        |r| Some(r.message.text()),
        |r, v| {
            r.message.content = Bytes::copy_from_slice(v.as_bytes());
            Ok(())
        },
    )),
    required(Column::int(
        "bytes",
        Layout::Measure,
        |r| Some(r.message.content.len() as i64),
        derived,
    )),
    count!("ordinal", Order, ordinal),
    moment!("trace_started_at", trace_started_at),
    count!("seq", Order, seq),
];
