//! The `spans` table: a span's current version, and below it the payload that only one trace at a
//! time is read with.

use std::cmp::Ordering;
use std::sync::Arc;

use model::{
    JsonText, NanoUsd, ProjectId, Source, Span, SpanError, SpanId, SpanType, Time, TraceId,
};

use super::columns::{
    Column, LakeRow, Layout, count, flag, given, maybe_count, maybe_flag, maybe_id, maybe_json,
    maybe_moment, maybe_money, maybe_text, missing_last, moment, required, word,
};
use super::schema::Table;

/// One version of a span.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanRow {
    /// The project.
    pub project: ProjectId,
    /// The span.
    pub span: Arc<Span>,
    /// The frozen start of its trace, which decides its home day.
    pub trace_started_at: Time,
    /// When it was received.
    pub received_at: Time,
    /// The sequence number it was logged under.
    pub seq: i64,
}

/// A [`SpanRow`] whose span is still being filled in.
#[derive(Debug)]
pub struct SpanDraft {
    project: ProjectId,
    span: Span,
    trace_started_at: Time,
    received_at: Time,
    seq: i64,
}

impl SpanDraft {
    fn error(&mut self) -> &mut SpanError {
        let empty = || SpanError {
            kind: String::new(),
            message: String::new(),
            data: None,
        };
        self.span.error.get_or_insert_with(empty)
    }
}

impl LakeRow for SpanRow {
    const TABLE: Table = Table::Spans;
    type Draft = SpanDraft;

    fn columns() -> &'static [Column<Self>] {
        COLUMNS
    }

    fn draft(project: ProjectId, trace_id: TraceId, span_id: Option<SpanId>) -> SpanDraft {
        let span_id = span_id.expect("the decoder gives every span of this table its id");
        // Type and source are columns of their own and required; these two only hold the place.
        let span = Span::new(trace_id, span_id, SpanType::Custom, Source::Import);
        let epoch = Time::default();
        SpanDraft {
            project,
            span,
            trace_started_at: epoch,
            received_at: epoch,
            seq: 0,
        }
    }

    fn finish(draft: SpanDraft) -> Self {
        let SpanDraft {
            project,
            span,
            trace_started_at,
            received_at,
            seq,
        } = draft;
        Self {
            project,
            span: Arc::new(span),
            trace_started_at,
            received_at,
            seq,
        }
    }

    fn payload_bytes(&self) -> usize {
        let p = &self.span.payload;
        let texts = [
            &p.data,
            &p.attributes,
            &p.resource,
            &p.scope,
            &p.events,
            &p.links,
            &p.extra,
        ];
        let bytes: usize = texts
            .into_iter()
            .flatten()
            .map(|text| text.as_str().len())
            .sum();
        bytes + (p.input_refs.len() + p.output_refs.len()) * 16
    }

    fn file_order(&self, other: &Self) -> Ordering {
        self.project
            .cmp(&other.project)
            .then_with(|| other.trace_started_at.cmp(&self.trace_started_at))
            .then_with(|| self.span.trace_id.cmp(&other.span.trace_id))
            .then_with(|| missing_last(self.span.started_at, other.span.started_at, Time::cmp))
            .then_with(|| self.seq.cmp(&other.seq))
    }
}

/// Returns how long a span took; clocks that stepped back in between make no negative time.
fn duration_ms(row: &SpanRow) -> Option<f64> {
    let taken = row.span.ended_at?.millis_since(row.span.started_at?);
    Some(taken.max(0.0))
}

fn error(row: &SpanRow) -> Option<&SpanError> {
    row.span.error.as_ref()
}

/// A count of what the sender dropped.
macro_rules! dropped {
    ($name:literal, $field:ident) => {
        required(Column::int(
            $name,
            Layout::Measure,
            |r| Some(r.span.payload.dropped.$field.into()),
            |d, v| {
                d.span.payload.dropped.$field = v.try_into()?;
                Ok(())
            },
        ))
    };
}

static COLUMNS: &[Column<SpanRow>] = &[
    given!("project_id", Key, project),
    given!("trace_id", Key, span.trace_id),
    given!("span_id", Phrase, span.span_id),
    maybe_id!("parent_id", Phrase, span.parent_id),
    word!("type", span.span_type),
    required(Column::text(
        "source_type",
        Layout::Word,
        |r| Some(&r.span.source_type),
        |d, v| {
            v.clone_into(&mut d.span.source_type);
            Ok(())
        },
    )),
    required(Column::text(
        "name",
        Layout::Word,
        |r| Some(&r.span.name),
        |d, v| {
            v.clone_into(&mut d.span.name);
            Ok(())
        },
    )),
    maybe_text!("agent", Word, span.agent),
    maybe_moment!("started_at", span.started_at),
    maybe_moment!("ended_at", span.ended_at),
    Column::float("duration_ms", duration_ms, |_, _| ()),
    word!("status", span.status),
    Column::text(
        "error_type",
        Layout::Word,
        |r| Some(&error(r)?.kind),
        |d, v| {
            v.clone_into(&mut d.error().kind);
            Ok(())
        },
    ),
    Column::text(
        "error_message",
        Layout::Phrase,
        |r| Some(&error(r)?.message),
        |d, v| {
            v.clone_into(&mut d.error().message);
            Ok(())
        },
    ),
    maybe_text!("model", Word, span.model),
    maybe_text!("provider", Word, span.provider),
    maybe_count!("input_tokens", span.usage.input_tokens),
    maybe_count!("cached_tokens", span.usage.cached_tokens),
    maybe_count!("output_tokens", span.usage.output_tokens),
    maybe_count!("reasoning_tokens", span.usage.reasoning_tokens),
    maybe_money!("cost_nano_usd", span.cost),
    flag!("cost_assumed", span.cost_assumed),
    maybe_text!("finish_reason", Word, span.finish_reason),
    Column::float(
        "ttft_ms",
        |r| r.span.ttft_ms,
        |d, v| d.span.ttft_ms = Some(v),
    ),
    maybe_text!("tool_call_id", Phrase, span.tool_call_id),
    maybe_text!("handoff_from", Word, span.handoff_from),
    maybe_text!("handoff_to", Word, span.handoff_to),
    maybe_flag!("triggered", span.triggered),
    maybe_text!("guardrail_type", Word, span.guardrail_type),
    maybe_text!("input_preview", Phrase, span.input_preview),
    maybe_text!("output_preview", Phrase, span.output_preview),
    flag!("noise", span.noise),
    flag!("derived", span.derived),
    maybe_id!("merged_into", Phrase, span.merged_into),
    required(Column::hashes(
        "input_refs",
        |r| &r.span.payload.input_refs,
        |d, v| d.span.payload.input_refs = v,
    )),
    required(Column::hashes(
        "output_refs",
        |r| &r.span.payload.output_refs,
        |d, v| d.span.payload.output_refs = v,
    )),
    maybe_json!("data", span.payload.data),
    maybe_json!("attributes", span.payload.attributes),
    maybe_json!("resource", span.payload.resource),
    maybe_json!("scope", span.payload.scope),
    maybe_json!("events", span.payload.events),
    maybe_json!("links", span.payload.links),
    Column::text(
        "error_data",
        Layout::Payload,
        |r| error(r)?.data.as_ref().map(JsonText::as_str),
        |d, v| {
            d.error().data = Some(JsonText::from_trusted(v));
            Ok(())
        },
    ),
    maybe_json!("extra", span.payload.extra),
    dropped!("dropped_attributes", attributes),
    dropped!("dropped_events", events),
    dropped!("dropped_links", links),
    word!("source", span.source),
    moment!("trace_started_at", trace_started_at),
    moment!("received_at", received_at),
    count!("seq", Order, seq),
];
