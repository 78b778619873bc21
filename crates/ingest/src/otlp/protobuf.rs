//! `ExportTraceServiceRequest` and `ExportLogsServiceRequest` in protobuf.
//!
//! The two requests have the same outer shape: groups by resource, in them groups by scope, in them
//! items. A group that cannot be read is an error of the request, for then nobody knows what was
//! lost; an item that cannot be read is refused by itself.

use std::borrow::Cow;

use super::Carried;
use super::any::{Any, Attributes, VALUE_DEPTH_MAX};
use super::form::{
    RawEvent, RawItem, RawLink, RawLog, RawResource, RawScope, RawSpan, Signal, Sink,
};
use super::refusal::Refusal;
use super::wire::{Field, Fields, Wire, WireFault};

/// Items with more attributes and values than this are refused: a value of two bytes on the wire takes
/// sixty in memory.
pub(super) const ITEM_VALUES_MAX: usize = 500_000;

/// Reads a request; stops early where the sink is full.
pub(super) fn read<'b>(
    body: &'b [u8],
    signal: Signal,
    sink: &mut dyn Sink<'b>,
) -> Result<(), WireFault> {
    for field in Fields::new(body) {
        let field = field?;
        if field.number == 1 {
            resource_group(field.bytes()?, signal, sink)?;
        }
    }
    Ok(())
}

/// See [`super::carried`]. Spans begin with an id of 16 bytes and one of 8, log records with a time;
/// what begins with a text is a metric.
pub(super) fn carried(body: &[u8]) -> Option<Carried> {
    let parts = |message, number| {
        let fields = Fields::new(message).map_while(Result::ok);
        fields.filter(move |field| field.number == number)
    };
    let mut groups = parts(body, 1).filter_map(|field| field.bytes().ok());
    let item = groups.find_map(|group| {
        let mut scopes = parts(group, 2).filter_map(|field| field.bytes().ok());
        scopes.find_map(|scope| parts(scope, 2).find_map(|field| field.bytes().ok()))
    })?;
    let is_id = |number, length| {
        let mut found = parts(item, number);
        found.any(|field| matches!(field.value, Wire::Bytes(id) if id.len() == length))
    };
    let first = Fields::new(item).next()?.ok()?;
    match first.value {
        _ if is_id(1, 16) && is_id(2, 8) => Some(Carried::Spans),
        Wire::Bytes(_) if first.number == 1 => Some(Carried::Metrics),
        _ => Some(Carried::Logs),
    }
}

/// The resource and the schema may stand behind the spans, so a group is walked twice.
fn resource_group<'b>(
    message: &'b [u8],
    signal: Signal,
    sink: &mut dyn Sink<'b>,
) -> Result<(), WireFault> {
    let (mut resource, mut schema_url) = (RawResource::default(), "");
    for field in Fields::new(message) {
        let field = field?;
        match field.number {
            1 => resource = read_resource(field.bytes()?)?,
            3 => schema_url = lossless(field.bytes()?),
            _ => {}
        }
    }
    sink.resource(resource, schema_url);
    for field in Fields::new(message).flatten().filter(|f| f.number == 2) {
        scope_group(field.bytes()?, signal, sink)?;
    }
    Ok(())
}

fn scope_group<'b>(
    message: &'b [u8],
    signal: Signal,
    sink: &mut dyn Sink<'b>,
) -> Result<(), WireFault> {
    let (mut scope, mut schema_url) = (RawScope::default(), "");
    for field in Fields::new(message) {
        let field = field?;
        match field.number {
            1 => scope = read_scope(field.bytes()?)?,
            3 => schema_url = lossless(field.bytes()?),
            _ => {}
        }
    }
    sink.scope(scope, schema_url);
    for field in Fields::new(message).flatten().filter(|f| f.number == 2) {
        if sink.is_full() {
            return Ok(());
        }
        let message = field.bytes()?;
        let item = match signal {
            Signal::Traces => span(message).map(|span| RawItem::Span(Box::new(span))),
            Signal::Logs => log(message).map(|log| RawItem::Log(Box::new(log))),
        };
        sink.item(item);
    }
    Ok(())
}

/// Returns a text of the envelope; one that is no text is as good as none.
fn lossless(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn read_resource(message: &[u8]) -> Result<RawResource<'_>, WireFault> {
    let mut resource = RawResource::default();
    let mut values = Values::default();
    for field in Fields::new(message) {
        let field = field?;
        match field.number {
            // An attribute that cannot be read does not cost the spans.
            1 => resource.attributes.extend(values.key_value(&field).ok()),
            2 => resource.dropped_attributes = field.uint32()?,
            _ => {}
        }
    }
    Ok(resource)
}

fn read_scope(message: &[u8]) -> Result<RawScope<'_>, WireFault> {
    let mut scope = RawScope::default();
    let mut values = Values::default();
    for field in Fields::new(message) {
        let field = field?;
        match field.number {
            1 => scope.name = lossless(field.bytes()?).into(),
            2 => scope.version = lossless(field.bytes()?).into(),
            3 => scope.attributes.extend(values.key_value(&field).ok()),
            4 => scope.dropped_attributes = field.uint32()?,
            _ => {}
        }
    }
    Ok(scope)
}

fn text<'b>(field: &Field<'b>) -> Result<Cow<'b, str>, Refusal> {
    let text = std::str::from_utf8(field.bytes()?).map_err(|_| Refusal::NotUtf8)?;
    Ok(Cow::Borrowed(text))
}

fn span(message: &[u8]) -> Result<RawSpan<'_>, Refusal> {
    let mut span = RawSpan::default();
    let mut values = Values::default();
    let mut attributes = Vec::with_capacity(32);
    for field in Fields::new(message) {
        let field = field?;
        match field.number {
            1 => span.trace_id = field.bytes()?.into(),
            2 => span.span_id = field.bytes()?.into(),
            3 => span.trace_state = text(&field)?,
            4 => span.parent_id = field.bytes()?.into(),
            5 => span.name = text(&field)?,
            6 => span.kind = field.uint32()? as i32,
            7 => span.start_nanos = field.fixed64()?,
            8 => span.end_nanos = field.fixed64()?,
            9 => attributes.push(values.key_value(&field)?),
            10 => span.dropped_attributes = field.uint32()?,
            11 => span.events.push(event(&field, &mut values)?),
            12 => span.dropped_events = field.uint32()?,
            13 => span.links.push(link(&field, &mut values)?),
            14 => span.dropped_links = field.uint32()?,
            15 => status(&field, &mut span)?,
            16 => span.flags = field.uint32()?,
            _ => {}
        }
    }
    span.attributes = Attributes::new(attributes);
    Ok(span)
}

fn status<'b>(field: &Field<'b>, span: &mut RawSpan<'b>) -> Result<(), Refusal> {
    for field in Fields::new(field.bytes()?) {
        let field = field?;
        match field.number {
            2 => span.status_message = text(&field)?,
            3 => span.status_code = field.uint32()? as i32,
            _ => {}
        }
    }
    Ok(())
}

fn event<'b>(field: &Field<'b>, values: &mut Values) -> Result<RawEvent<'b>, Refusal> {
    values.take()?;
    let (mut nanos, mut name, mut dropped_attributes) = (0, Cow::Borrowed(""), 0);
    let mut attributes = Vec::new();
    for field in Fields::new(field.bytes()?) {
        let field = field?;
        match field.number {
            1 => nanos = field.fixed64()?,
            2 => name = text(&field)?,
            3 => attributes.push(values.key_value(&field)?),
            4 => dropped_attributes = field.uint32()?,
            _ => {}
        }
    }
    let attributes = Attributes::new(attributes);
    Ok(RawEvent {
        nanos,
        name,
        attributes,
        dropped_attributes,
        body: Any::Empty,
    })
}

fn link<'b>(field: &Field<'b>, values: &mut Values) -> Result<RawLink<'b>, Refusal> {
    values.take()?;
    let mut link = RawLink::default();
    let mut attributes = Vec::new();
    for field in Fields::new(field.bytes()?) {
        let field = field?;
        match field.number {
            1 => link.trace_id = field.bytes()?.into(),
            2 => link.span_id = field.bytes()?.into(),
            3 => link.trace_state = text(&field)?,
            4 => attributes.push(values.key_value(&field)?),
            5 => link.dropped_attributes = field.uint32()?,
            6 => link.flags = field.uint32()?,
            _ => {}
        }
    }
    link.attributes = Attributes::new(attributes);
    Ok(link)
}

fn log(message: &[u8]) -> Result<RawLog<'_>, Refusal> {
    let mut log = RawLog::default();
    let mut values = Values::default();
    let mut attributes = Vec::new();
    for field in Fields::new(message) {
        let field = field?;
        match field.number {
            1 => log.nanos = field.fixed64()?,
            2 => log.severity_number = field.uint32()? as i32,
            3 => log.severity_text = text(&field)?,
            5 => log.body = values.any(field.bytes()?, 0)?,
            6 => attributes.push(values.key_value(&field)?),
            7 => log.dropped_attributes = field.uint32()?,
            8 => log.flags = field.uint32()?,
            9 => log.trace_id = field.bytes()?.into(),
            10 => log.span_id = field.bytes()?.into(),
            11 => log.observed_nanos = field.fixed64()?,
            12 => log.event_name = text(&field)?,
            _ => {}
        }
    }
    log.attributes = Attributes::new(attributes);
    Ok(log)
}

/// Counts the values of one item.
#[derive(Debug, Default)]
struct Values {
    taken: usize,
}

impl Values {
    fn take(&mut self) -> Result<(), Refusal> {
        self.taken += 1;
        if self.taken > ITEM_VALUES_MAX {
            return Err(Refusal::TooManyValues);
        }
        Ok(())
    }

    fn key_value<'b>(&mut self, field: &Field<'b>) -> Result<(Cow<'b, str>, Any<'b>), Refusal> {
        self.member(field.bytes()?, 0)
    }

    fn member<'b>(
        &mut self,
        message: &'b [u8],
        depth: usize,
    ) -> Result<(Cow<'b, str>, Any<'b>), Refusal> {
        self.take()?;
        let (mut key, mut value) = (Cow::Borrowed(""), Any::Empty);
        for field in Fields::new(message) {
            let field = field?;
            match field.number {
                1 => key = text(&field)?,
                2 => value = self.any(field.bytes()?, depth)?,
                _ => {}
            }
        }
        Ok((key, value))
    }

    /// Reads an `AnyValue`; a kind that we do not know counts as no value.
    fn any<'b>(&mut self, message: &'b [u8], depth: usize) -> Result<Any<'b>, Refusal> {
        if depth > VALUE_DEPTH_MAX {
            return Err(Refusal::TooDeep);
        }
        let mut value = Any::Empty;
        for field in Fields::new(message) {
            let field = field?;
            value = match (field.number, field.value) {
                (1, Wire::Bytes(_)) => Any::Text(text(&field)?),
                (2, Wire::Varint(word)) => Any::Bool(word != 0),
                (3, Wire::Varint(word)) => Any::Int(word as i64),
                (4, Wire::Fixed64(word)) => Any::Double(f64::from_bits(word)),
                (5, Wire::Bytes(list)) => self.list(list, depth)?,
                (6, Wire::Bytes(map)) => self.map(map, depth)?,
                (7, Wire::Bytes(bytes)) => Any::Bytes(bytes.into()),
                (1..=7, _) => {
                    return Err(WireFault::WrongType {
                        field: field.number,
                    }
                    .into());
                }
                _ => value,
            };
        }
        Ok(value)
    }

    fn list<'b>(&mut self, message: &'b [u8], depth: usize) -> Result<Any<'b>, Refusal> {
        let mut items = Vec::new();
        for field in Fields::new(message) {
            let field = field?;
            if field.number == 1 {
                self.take()?;
                items.push(self.any(field.bytes()?, depth + 1)?);
            }
        }
        Ok(Any::List(items))
    }

    fn map<'b>(&mut self, message: &'b [u8], depth: usize) -> Result<Any<'b>, Refusal> {
        let mut members = Vec::new();
        for field in Fields::new(message) {
            let field = field?;
            if field.number == 1 {
                members.push(self.member(field.bytes()?, depth + 1)?);
            }
        }
        Ok(Any::Map(members))
    }
}
