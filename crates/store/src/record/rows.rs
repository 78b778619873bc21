//! The fields of trace items, spans and messages in a record.
//!
//! Writing and reading of one row stand side by side, so that a field that is in one and not in the
//! other is seen; the round trip over random rows in `tests.rs` sees it too.

use bytes::Bytes;
use model::{
    DroppedCounts, GroupId, Message, MessageHash, NanoUsd, Payload, Role, Source, Span, SpanError,
    SpanId, SpanStatus, SpanType, Time, TraceId, TraceItem, Usage,
};

use super::RecordError;
use super::wire::{FIELD_OVERHEAD_BYTES, Reader, Value, Writer};

/// Fields of a trace item. Numbers are never used again.
mod item {
    pub(super) const TRACE: u8 = 1;
    pub(super) const SOURCE: u8 = 2;
    pub(super) const WORKFLOW_NAME: u8 = 3;
    pub(super) const GROUP_ID: u8 = 4;
    pub(super) const USER_ID: u8 = 5;
    pub(super) const AGENT_ID: u8 = 6;
    pub(super) const VERSION: u8 = 7;
    pub(super) const ENVIRONMENT: u8 = 8;
    pub(super) const TAGS: u8 = 9;
    pub(super) const METADATA: u8 = 10;
    pub(super) const EXTRA: u8 = 11;
    pub(super) const ENDED: u8 = 12;
    pub(super) const RANKS: u8 = 13;
}

/// Fields of a span. Numbers are never used again.
mod span {
    pub(super) const TRACE: u8 = 1;
    pub(super) const SPAN_ID: u8 = 2;
    pub(super) const TYPE: u8 = 3;
    pub(super) const SOURCE: u8 = 4;
    pub(super) const STATUS: u8 = 5;
    pub(super) const PARENT_ID: u8 = 6;
    pub(super) const SOURCE_TYPE: u8 = 7;
    pub(super) const NAME: u8 = 8;
    pub(super) const AGENT: u8 = 9;
    pub(super) const STARTED_AT: u8 = 10;
    pub(super) const ENDED_AT: u8 = 11;
    pub(super) const ERROR_KIND: u8 = 12;
    pub(super) const ERROR_MESSAGE: u8 = 13;
    pub(super) const ERROR_DATA: u8 = 14;
    pub(super) const MODEL: u8 = 15;
    pub(super) const PROVIDER: u8 = 16;
    pub(super) const INPUT_TOKENS: u8 = 17;
    pub(super) const CACHED_TOKENS: u8 = 18;
    pub(super) const OUTPUT_TOKENS: u8 = 19;
    pub(super) const REASONING_TOKENS: u8 = 20;
    pub(super) const COST: u8 = 21;
    pub(super) const COST_ASSUMED: u8 = 22;
    pub(super) const FINISH_REASON: u8 = 23;
    pub(super) const TTFT_MS: u8 = 24;
    pub(super) const TOOL_CALL_ID: u8 = 25;
    pub(super) const HANDOFF_FROM: u8 = 26;
    pub(super) const HANDOFF_TO: u8 = 27;
    pub(super) const TRIGGERED: u8 = 28;
    pub(super) const GUARDRAIL_TYPE: u8 = 29;
    pub(super) const INPUT_PREVIEW: u8 = 30;
    pub(super) const OUTPUT_PREVIEW: u8 = 31;
    pub(super) const NOISE: u8 = 32;
    pub(super) const DERIVED: u8 = 33;
    pub(super) const MERGED_INTO: u8 = 34;
    pub(super) const INPUT_REFS: u8 = 35;
    pub(super) const OUTPUT_REFS: u8 = 36;
    pub(super) const DATA: u8 = 37;
    pub(super) const ATTRIBUTES: u8 = 38;
    pub(super) const RESOURCE: u8 = 39;
    pub(super) const SCOPE: u8 = 40;
    pub(super) const EVENTS: u8 = 41;
    pub(super) const LINKS: u8 = 42;
    pub(super) const EXTRA: u8 = 43;
    pub(super) const DROPPED: u8 = 44;
}

/// Fields of a message. Numbers are never used again.
mod message {
    pub(super) const TRACE: u8 = 1;
    pub(super) const HASH: u8 = 2;
    pub(super) const ROLE: u8 = 3;
    pub(super) const CONTENT: u8 = 4;
}

fn trace_of(value: Value<'_>, ids: &[TraceId]) -> Result<TraceId, RecordError> {
    let index = u64::from_le_bytes(value.array("trace number")?);
    let id = usize::try_from(index).ok().and_then(|index| ids.get(index));
    id.cloned().ok_or(RecordError::NoSuchTrace { index })
}

fn write_trace(w: &mut Writer<'_>, tag: u8, index: u64) {
    w.bytes(tag, &index.to_le_bytes());
}

pub(super) fn write_item(w: &mut Writer<'_>, row: &TraceItem, trace: u64) {
    write_trace(w, item::TRACE, trace);
    w.text(item::SOURCE, Some(row.source.as_str()));
    w.text(item::WORKFLOW_NAME, row.workflow_name.as_deref());
    w.text(item::GROUP_ID, row.group_id.as_ref().map(GroupId::as_str));
    w.text(item::USER_ID, row.user_id.as_deref());
    w.text(item::AGENT_ID, row.agent_id.as_deref());
    w.text(item::VERSION, row.version.as_deref());
    w.text(item::ENVIRONMENT, row.environment.as_deref());
    if let Some(tags) = &row.tags {
        w.list(item::TAGS, tags.iter().map(String::as_str));
    }
    w.json(item::METADATA, row.metadata.as_ref());
    w.json(item::EXTRA, row.extra.as_ref());
    w.flag(item::ENDED, row.ended);
    w.text(item::RANKS, row.ranks.to_text().as_deref());
}

pub(super) fn read_item(mut reader: Reader<'_>, ids: &[TraceId]) -> Result<TraceItem, RecordError> {
    let (mut trace_id, mut source) = (None, None);
    // The two fields that every item has are put in at the end.
    let mut row = TraceItem::new(placeholder(ids)?, Source::Import);
    while let Some((tag, value)) = reader.field()? {
        match tag {
            item::TRACE => trace_id = Some(trace_of(value, ids)?),
            item::SOURCE => source = Some(value.word()?),
            item::WORKFLOW_NAME => row.workflow_name = Some(value.string()?),
            item::GROUP_ID => row.group_id = Some(GroupId::new(value.text()?)?),
            item::USER_ID => row.user_id = Some(value.string()?),
            item::AGENT_ID => row.agent_id = Some(value.string()?),
            item::VERSION => row.version = Some(value.string()?),
            item::ENVIRONMENT => row.environment = Some(value.string()?),
            item::TAGS => row.tags = Some(value.list()?.into_iter().map(str::to_owned).collect()),
            item::METADATA => row.metadata = Some(value.json()?),
            item::EXTRA => row.extra = Some(value.json()?),
            item::ENDED => row.ended = Some(value.flag("ended")?),
            item::RANKS => row.ranks = value.text()?.parse()?,
            _ => {}
        }
    }
    row.trace_id = trace_id.ok_or(RecordError::Missing {
        what: "trace of an item",
    })?;
    row.source = source.ok_or(RecordError::Missing {
        what: "source of an item",
    })?;
    Ok(row)
}

/// Returns some trace id, to start a row with. A record with rows has at least one.
fn placeholder(ids: &[TraceId]) -> Result<TraceId, RecordError> {
    ids.first()
        .cloned()
        .ok_or(RecordError::NoSuchTrace { index: 0 })
}

pub(super) fn span_bytes_about(row: &Span) -> usize {
    const FIELDS: usize = 44;
    const SMALL_TEXTS_BYTES: usize = 256;
    let payload = &row.payload;
    let texts = [
        &payload.data,
        &payload.attributes,
        &payload.resource,
        &payload.scope,
        &payload.events,
        &payload.links,
        &payload.extra,
    ];
    let json = texts
        .into_iter()
        .flatten()
        .map(|text| text.as_str().len())
        .sum::<usize>();
    let previews = [&row.input_preview, &row.output_preview];
    let previews = previews
        .into_iter()
        .flatten()
        .map(String::len)
        .sum::<usize>();
    let refs = (payload.input_refs.len() + payload.output_refs.len()) * 16;
    FIELDS * FIELD_OVERHEAD_BYTES + SMALL_TEXTS_BYTES + json + previews + refs
}

pub(super) fn write_span(w: &mut Writer<'_>, row: &Span, trace: u64) {
    write_trace(w, span::TRACE, trace);
    w.text(span::SPAN_ID, Some(row.span_id.as_str()));
    w.text(span::TYPE, Some(row.span_type.as_str()));
    w.text(span::SOURCE, Some(row.source.as_str()));
    w.text(span::STATUS, Some(row.status.as_str()));
    w.text(span::PARENT_ID, row.parent_id.as_ref().map(SpanId::as_str));
    w.text(span::SOURCE_TYPE, Some(&row.source_type));
    w.text(span::NAME, Some(&row.name));
    w.text(span::AGENT, row.agent.as_deref());
    w.int(span::STARTED_AT, row.started_at.map(Time::as_micros));
    w.int(span::ENDED_AT, row.ended_at.map(Time::as_micros));
    if let Some(error) = &row.error {
        w.text(span::ERROR_KIND, Some(&error.kind));
        w.text(span::ERROR_MESSAGE, Some(&error.message));
        w.json(span::ERROR_DATA, error.data.as_ref());
    }
    w.text(span::MODEL, row.model.as_deref());
    w.text(span::PROVIDER, row.provider.as_deref());
    write_usage(w, &row.usage);
    w.int(span::COST, row.cost.map(|cost| cost.0));
    w.flag(span::COST_ASSUMED, row.cost_assumed.then_some(true));
    w.text(span::FINISH_REASON, row.finish_reason.as_deref());
    w.float(span::TTFT_MS, row.ttft_ms);
    w.text(span::TOOL_CALL_ID, row.tool_call_id.as_deref());
    w.text(span::HANDOFF_FROM, row.handoff_from.as_deref());
    w.text(span::HANDOFF_TO, row.handoff_to.as_deref());
    w.flag(span::TRIGGERED, row.triggered);
    w.text(span::GUARDRAIL_TYPE, row.guardrail_type.as_deref());
    w.text(span::INPUT_PREVIEW, row.input_preview.as_deref());
    w.text(span::OUTPUT_PREVIEW, row.output_preview.as_deref());
    w.flag(span::NOISE, row.noise.then_some(true));
    w.flag(span::DERIVED, row.derived.then_some(true));
    w.text(
        span::MERGED_INTO,
        row.merged_into.as_ref().map(SpanId::as_str),
    );
    write_payload(w, &row.payload);
}

fn write_usage(w: &mut Writer<'_>, usage: &Usage) {
    w.int(span::INPUT_TOKENS, usage.input_tokens);
    w.int(span::CACHED_TOKENS, usage.cached_tokens);
    w.int(span::OUTPUT_TOKENS, usage.output_tokens);
    w.int(span::REASONING_TOKENS, usage.reasoning_tokens);
}

fn write_payload(w: &mut Writer<'_>, payload: &Payload) {
    write_refs(w, span::INPUT_REFS, &payload.input_refs);
    write_refs(w, span::OUTPUT_REFS, &payload.output_refs);
    w.json(span::DATA, payload.data.as_ref());
    w.json(span::ATTRIBUTES, payload.attributes.as_ref());
    w.json(span::RESOURCE, payload.resource.as_ref());
    w.json(span::SCOPE, payload.scope.as_ref());
    w.json(span::EVENTS, payload.events.as_ref());
    w.json(span::LINKS, payload.links.as_ref());
    w.json(span::EXTRA, payload.extra.as_ref());
    let DroppedCounts {
        attributes,
        events,
        links,
    } = payload.dropped;
    if payload.dropped != DroppedCounts::default() {
        let counts = [attributes, events, links].map(u32::to_le_bytes);
        w.bytes(span::DROPPED, counts.as_flattened());
    }
}

fn write_refs(w: &mut Writer<'_>, tag: u8, refs: &[MessageHash]) {
    if refs.is_empty() {
        return;
    }
    w.0.push(tag);
    w.varint(refs.len() as u64 * 16);
    refs.iter().for_each(|hash| w.0.extend_from_slice(&hash.0));
}

pub(super) fn read_span(mut reader: Reader<'_>, ids: &[TraceId]) -> Result<Span, RecordError> {
    let (mut trace_id, mut span_id) = (None, None);
    let (mut span_type, mut source, mut status) = (None, None, None);
    let mut row = Span::new(
        placeholder(ids)?,
        SpanId::new("placeholder").expect("it is short and not empty"),
        SpanType::Custom,
        Source::Import,
    );
    while let Some((tag, value)) = reader.field()? {
        match tag {
            span::TRACE => trace_id = Some(trace_of(value, ids)?),
            span::SPAN_ID => span_id = Some(SpanId::new(value.text()?)?),
            span::TYPE => span_type = Some(value.word::<SpanType>()?),
            span::SOURCE => source = Some(value.word::<Source>()?),
            span::STATUS => status = Some(value.word::<SpanStatus>()?),
            span::INPUT_TOKENS..=span::REASONING_TOKENS => read_usage(&mut row.usage, tag, value)?,
            span::INPUT_REFS.. => read_payload(&mut row.payload, tag, value)?,
            span::ERROR_KIND..=span::ERROR_DATA => read_error(&mut row.error, tag, value)?,
            _ => read_column(&mut row, tag, value)?,
        }
    }
    row.trace_id = trace_id.ok_or(RecordError::Missing {
        what: "trace of a span",
    })?;
    row.span_id = span_id.ok_or(RecordError::Missing {
        what: "id of a span",
    })?;
    row.span_type = span_type.ok_or(RecordError::Missing {
        what: "type of a span",
    })?;
    row.source = source.ok_or(RecordError::Missing {
        what: "source of a span",
    })?;
    row.status = status.ok_or(RecordError::Missing {
        what: "status of a span",
    })?;
    Ok(row)
}

fn read_column(row: &mut Span, tag: u8, value: Value<'_>) -> Result<(), RecordError> {
    match tag {
        span::PARENT_ID => row.parent_id = Some(SpanId::new(value.text()?)?),
        span::SOURCE_TYPE => row.source_type = value.string()?,
        span::NAME => row.name = value.string()?,
        span::AGENT => row.agent = Some(value.string()?),
        span::STARTED_AT => row.started_at = Some(Time::from_micros(value.int("start")?)),
        span::ENDED_AT => row.ended_at = Some(Time::from_micros(value.int("end")?)),
        span::MODEL => row.model = Some(value.string()?),
        span::PROVIDER => row.provider = Some(value.string()?),
        span::COST => row.cost = Some(NanoUsd(value.int("cost")?)),
        span::COST_ASSUMED => row.cost_assumed = value.flag("cost_assumed")?,
        span::FINISH_REASON => row.finish_reason = Some(value.string()?),
        span::TTFT_MS => row.ttft_ms = Some(value.float("ttft_ms")?),
        span::TOOL_CALL_ID => row.tool_call_id = Some(value.string()?),
        span::HANDOFF_FROM => row.handoff_from = Some(value.string()?),
        span::HANDOFF_TO => row.handoff_to = Some(value.string()?),
        span::TRIGGERED => row.triggered = Some(value.flag("triggered")?),
        span::GUARDRAIL_TYPE => row.guardrail_type = Some(value.string()?),
        span::INPUT_PREVIEW => row.input_preview = Some(value.string()?),
        span::OUTPUT_PREVIEW => row.output_preview = Some(value.string()?),
        span::NOISE => row.noise = value.flag("noise")?,
        span::DERIVED => row.derived = value.flag("derived")?,
        span::MERGED_INTO => row.merged_into = Some(SpanId::new(value.text()?)?),
        _ => {}
    }
    Ok(())
}

fn read_error(error: &mut Option<SpanError>, tag: u8, value: Value<'_>) -> Result<(), RecordError> {
    let nothing = || SpanError {
        kind: String::new(),
        message: String::new(),
        data: None,
    };
    let error = error.get_or_insert_with(nothing);
    match tag {
        span::ERROR_KIND => error.kind = value.string()?,
        span::ERROR_MESSAGE => error.message = value.string()?,
        _ => error.data = Some(value.json()?),
    }
    Ok(())
}

fn read_usage(usage: &mut Usage, tag: u8, value: Value<'_>) -> Result<(), RecordError> {
    let count = Some(value.int("tokens")?);
    match tag {
        span::INPUT_TOKENS => usage.input_tokens = count,
        span::CACHED_TOKENS => usage.cached_tokens = count,
        span::OUTPUT_TOKENS => usage.output_tokens = count,
        _ => usage.reasoning_tokens = count,
    }
    Ok(())
}

fn read_payload(payload: &mut Payload, tag: u8, value: Value<'_>) -> Result<(), RecordError> {
    match tag {
        span::INPUT_REFS => payload.input_refs = read_refs(value)?,
        span::OUTPUT_REFS => payload.output_refs = read_refs(value)?,
        span::DATA => payload.data = Some(value.json()?),
        span::ATTRIBUTES => payload.attributes = Some(value.json()?),
        span::RESOURCE => payload.resource = Some(value.json()?),
        span::SCOPE => payload.scope = Some(value.json()?),
        span::EVENTS => payload.events = Some(value.json()?),
        span::LINKS => payload.links = Some(value.json()?),
        span::EXTRA => payload.extra = Some(value.json()?),
        span::DROPPED => payload.dropped = read_dropped(value)?,
        _ => {}
    }
    Ok(())
}

fn read_refs(value: Value<'_>) -> Result<Vec<MessageHash>, RecordError> {
    match value.0.as_chunks::<16>() {
        (hashes, []) => Ok(hashes.iter().copied().map(MessageHash).collect()),
        _ => Err(RecordError::BadValue {
            what: "list of references",
        }),
    }
}

fn read_dropped(value: Value<'_>) -> Result<DroppedCounts, RecordError> {
    match value.0.as_chunks::<4>() {
        (&[attributes, events, links], []) => Ok(DroppedCounts {
            attributes: u32::from_le_bytes(attributes),
            events: u32::from_le_bytes(events),
            links: u32::from_le_bytes(links),
        }),
        _ => Err(RecordError::BadValue {
            what: "dropped counts",
        }),
    }
}

pub(super) fn write_message(w: &mut Writer<'_>, row: &Message, trace: u64) {
    write_trace(w, message::TRACE, trace);
    w.bytes(message::HASH, &row.hash.0);
    w.text(message::ROLE, Some(&row.role));
    w.bytes(message::CONTENT, &row.content);
}

pub(super) fn read_message(
    mut reader: Reader<'_>,
    ids: &[TraceId],
    whole: &Bytes,
) -> Result<Message, RecordError> {
    let (mut trace_id, mut hash) = (None, None);
    let (mut role, mut content) = (None, None);
    while let Some((tag, value)) = reader.field()? {
        match tag {
            message::TRACE => trace_id = Some(trace_of(value, ids)?),
            message::HASH => hash = Some(MessageHash(value.array("hash of a message")?)),
            message::ROLE => role = Some(Role::Owned(value.string()?)),
            message::CONTENT => {
                value.text()?;
                content = Some(value.shared(whole));
            }
            _ => {}
        }
    }
    Ok(Message {
        trace_id: trace_id.ok_or(RecordError::Missing {
            what: "trace of a message",
        })?,
        hash: hash.ok_or(RecordError::Missing {
            what: "hash of a message",
        })?,
        role: role.ok_or(RecordError::Missing {
            what: "role of a message",
        })?,
        content: content.ok_or(RecordError::Missing {
            what: "content of a message",
        })?,
    })
}
