//! The two requests in JSON, read as tolerantly as senders write it.
//!
//! The mapping of proto3 with OTLP's changes: ids in hexadecimal, enums as numbers, unknown keys
//! ignored. Senders also write 64-bit integers as numbers, 32-bit ones as texts, null for anything,
//! names of enums, and half surrogates. None of that costs a span, and a span that is no JSON costs
//! no other.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::json::{Fault, Kind, Reader, Tape, Value};

use super::SPANS_MAX;
use super::any::{Any, Attributes, VALUE_DEPTH_MAX};
use super::form::{
    RawEvent, RawItem, RawLink, RawLog, RawResource, RawScope, RawSpan, Signal, Sink,
};
use super::refusal::Refusal;

/// Brackets around one level of an attribute: four at most, and some around the attribute.
const BRACKETS_MAX: usize = 4 * VALUE_DEPTH_MAX + 16;

const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG);

/// What the keys of a request are called.
struct Keys {
    resources: &'static [u8],
    scopes: &'static [u8],
    items: &'static [u8],
}

impl Signal {
    fn keys(self) -> Keys {
        match self {
            Signal::Traces => Keys {
                resources: b"resourceSpans",
                scopes: b"scopeSpans",
                items: b"spans",
            },
            Signal::Logs => Keys {
                resources: b"resourceLogs",
                scopes: b"scopeLogs",
                items: b"logRecords",
            },
        }
    }
}

/// Reads a request; stops early where the sink is full.
pub(super) fn read<'b>(
    body: &'b [u8],
    signal: Signal,
    sink: &mut dyn Sink<'b>,
) -> Result<(), Fault> {
    let mut envelope = Envelope {
        body,
        signal,
        keys: signal.keys(),
        tape: Tape::with_depth(BRACKETS_MAX),
        noted: 0,
        sink,
    };
    let mut reader = Reader::new(body);
    reader.skip_whitespace();
    envelope.request(&mut reader)?;
    reader.skip_whitespace();
    match reader.peek() {
        None => Ok(()),
        Some(_) => Err(reader.expected("the end of the body")),
    }
}

struct Envelope<'b, 's> {
    body: &'b [u8],
    signal: Signal,
    keys: Keys,
    tape: Tape,
    /// How many items were found.
    noted: usize,
    sink: &'s mut dyn Sink<'b>,
}

/// Where the parts of a group are: what it says of itself may stand behind its items.
struct Outline<'b, T> {
    head: Option<Reader<'b>>,
    schema: Option<Reader<'b>>,
    parts: Vec<T>,
}

/// Finds the parts of the group that starts here; `part` must pass over one of those in `list`. What
/// is no object has none.
fn outline<'b, T>(
    reader: &mut Reader<'b>,
    name: &[u8],
    list: &[u8],
    mut part: impl FnMut(&mut Reader<'b>) -> Result<Option<T>, Fault>,
) -> Result<Option<Outline<'b, T>>, Fault> {
    if reader.peek() != Some(b'{') {
        reader.skip()?;
        return Ok(None);
    }
    let (mut head, mut schema, mut parts) = (None, None, Vec::new());
    each_member(reader, |key, reader| {
        let begin = *reader;
        if key == list {
            return each_element(reader, |reader| {
                parts.extend(part(reader)?);
                Ok(())
            });
        }
        if key == name {
            head = Some(begin);
        } else if key == b"schemaUrl" {
            schema = Some(begin);
        }
        reader.skip()
    })?;
    Ok(Some(Outline {
        head,
        schema,
        parts,
    }))
}

/// Walks over the members of the object that starts here; `member` must pass over the value.
fn each_member<'b>(
    reader: &mut Reader<'b>,
    mut member: impl FnMut(&'b [u8], &mut Reader<'b>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    reader.take(b'{', "an object")?;
    let mut more = reader.peek() != Some(b'}') || reader.take_comma_or(b'}', "'}'")?;
    while more {
        let key = reader.take_key()?;
        member(key, reader)?;
        more = reader.take_comma_or(b'}', "',' or '}'")?;
    }
    Ok(())
}

/// Walks over the elements of the list that starts here; null, and whatever else is no list, has none.
fn each_element<'b>(
    reader: &mut Reader<'b>,
    mut element: impl FnMut(&mut Reader<'b>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if reader.peek() != Some(b'[') {
        return reader.skip();
    }
    reader.take(b'[', "a list")?;
    let mut more = reader.peek() != Some(b']') || reader.take_comma_or(b']', "']'")?;
    while more {
        element(reader)?;
        more = reader.take_comma_or(b']', "',' or ']'")?;
    }
    Ok(())
}

impl<'b> Envelope<'b, '_> {
    fn request(&mut self, reader: &mut Reader<'b>) -> Result<(), Fault> {
        each_member(reader, |key, reader| {
            if key != self.keys.resources {
                return reader.skip();
            }
            each_element(reader, |reader| self.resource_group(reader))
        })
    }

    fn resource_group(&mut self, reader: &mut Reader<'b>) -> Result<(), Fault> {
        let Keys { scopes, items, .. } = self.keys;
        let group = outline(reader, b"resource", scopes, |reader| {
            let group = outline(reader, b"scope", items, |reader| {
                let begin = *reader;
                reader.skip()?;
                self.noted += 1;
                // One item too many is enough to refuse the request.
                Ok((self.noted <= SPANS_MAX + 1).then_some(begin))
            })?;
            // There may be any number of groups without items.
            Ok(group.filter(|group| !group.parts.is_empty()))
        })?;
        let Some(group) = group else { return Ok(()) };
        let resource = group.head.map(|mut at| self.resource(&mut at));
        let schema = self.text_at(group.schema);
        self.sink.resource(resource.unwrap_or_default(), &schema);
        for group in group.parts {
            let scope = group.head.map(|mut at| self.scope(&mut at));
            let schema = self.text_at(group.schema);
            self.sink.scope(scope.unwrap_or_default(), &schema);
            for item in group.parts {
                self.item(item);
            }
        }
        Ok(())
    }

    /// Indexes the value at `reader` and returns its text; `None` if it is none that we can read.
    fn indexed(&mut self, reader: &mut Reader<'b>) -> Option<&'b str> {
        let from = reader.position();
        reader.index(&mut self.tape).ok()?;
        std::str::from_utf8(&self.body[from..reader.position()]).ok()
    }

    fn text_at(&mut self, reader: Option<Reader<'b>>) -> Cow<'b, str> {
        let text = reader.and_then(|mut reader| self.indexed(&mut reader));
        let text = text.and_then(|text| self.tape.root(text).text());
        text.unwrap_or_default()
    }

    fn resource(&mut self, reader: &mut Reader<'b>) -> RawResource<'b> {
        let Some(text) = self.indexed(reader) else {
            return RawResource::default();
        };
        let value = self.tape.root(text);
        RawResource {
            attributes: members(value.get("attributes")).unwrap_or_default(),
            dropped_attributes: uint32(value.get("droppedAttributesCount")),
        }
    }

    fn scope(&mut self, reader: &mut Reader<'b>) -> RawScope<'b> {
        let Some(text) = self.indexed(reader) else {
            return RawScope::default();
        };
        let value = self.tape.root(text);
        RawScope {
            name: text_of(value.get("name")),
            version: text_of(value.get("version")),
            attributes: members(value.get("attributes")).unwrap_or_default(),
            dropped_attributes: uint32(value.get("droppedAttributesCount")),
        }
    }

    /// Decodes the item that starts here, or says why it is refused.
    fn item(&mut self, mut reader: Reader<'b>) {
        let from = reader.position();
        let item = match reader.index(&mut self.tape) {
            Ok(()) => match std::str::from_utf8(&self.body[from..reader.position()]) {
                Ok(text) => read_item(self.tape.root(text), self.signal),
                Err(_) => Err(Refusal::NotUtf8),
            },
            Err(fault) => Err(Refusal::Json(fault)),
        };
        self.sink.item(item);
    }
}

fn read_item<'b>(value: Value<'b, '_>, signal: Signal) -> Result<RawItem<'b>, Refusal> {
    if !value.is_object() {
        return Err(Refusal::NotAnObject {
            found: value.kind().as_str(),
        });
    }
    match signal {
        Signal::Traces => span(value).map(|span| RawItem::Span(Box::new(span))),
        Signal::Logs => log(value).map(|log| RawItem::Log(Box::new(log))),
    }
}

/// Returns the values of `keys` in their order; of equal keys the last, null as `None`.
fn pick<'b, 't, const N: usize>(
    item: Value<'b, 't>,
    keys: [&str; N],
) -> [Option<Value<'b, 't>>; N] {
    let mut found = [None; N];
    for (key, value) in item.members() {
        if let Some(place) = keys.iter().position(|known| key.is_text(known)) {
            found[place] = Some(value).filter(|value| value.kind() != Kind::Null);
        }
    }
    found
}

fn span<'b>(value: Value<'b, '_>) -> Result<RawSpan<'b>, Refusal> {
    let keys = [
        "traceId",
        "spanId",
        "parentSpanId",
        "traceState",
        "flags",
        "name",
        "kind",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "attributes",
        "droppedAttributesCount",
        "events",
        "droppedEventsCount",
        "links",
        "droppedLinksCount",
        "status",
    ];
    let [
        trace_id,
        span_id,
        parent_id,
        trace_state,
        flags,
        name,
        kind,
        start,
        end,
        attributes,
        dropped_attributes,
        events,
        dropped_events,
        links,
        dropped_links,
        status,
    ] = pick(value, keys);
    let events = events.into_iter().flat_map(Value::elements);
    let links = links.into_iter().flat_map(Value::elements);
    let of_status = |key: &str| status.and_then(|status| status.get(key));
    Ok(RawSpan {
        trace_id: id("traceId", 16, trace_id)?,
        span_id: id("spanId", 8, span_id)?,
        parent_id: id("parentSpanId", 8, parent_id).unwrap_or_default(),
        trace_state: text_of(trace_state),
        flags: uint32(flags),
        name: text_of(name),
        kind: word(kind, &SPAN_KINDS),
        start_nanos: nanos(start),
        end_nanos: nanos(end),
        attributes: attributes_of(attributes)?,
        dropped_attributes: uint32(dropped_attributes),
        events: events.map(event).collect::<Result<_, Refusal>>()?,
        dropped_events: uint32(dropped_events),
        links: links.map(link).collect::<Result<_, Refusal>>()?,
        dropped_links: uint32(dropped_links),
        status_code: word(of_status("code"), &STATUS_CODES),
        status_message: text_of(of_status("message")),
    })
}

const SPAN_KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];

const STATUS_CODES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

fn event<'b>(value: Value<'b, '_>) -> Result<RawEvent<'b>, Refusal> {
    Ok(RawEvent {
        nanos: nanos(value.get("timeUnixNano")),
        name: text_of(value.get("name")),
        attributes: attributes_of(value.get("attributes"))?,
        dropped_attributes: uint32(value.get("droppedAttributesCount")),
        body: Any::Empty,
    })
}

fn link<'b>(value: Value<'b, '_>) -> Result<RawLink<'b>, Refusal> {
    Ok(RawLink {
        trace_id: id("traceId", 16, value.get("traceId")).unwrap_or_default(),
        span_id: id("spanId", 8, value.get("spanId")).unwrap_or_default(),
        trace_state: text_of(value.get("traceState")),
        attributes: attributes_of(value.get("attributes"))?,
        dropped_attributes: uint32(value.get("droppedAttributesCount")),
        flags: uint32(value.get("flags")),
    })
}

fn log<'b>(value: Value<'b, '_>) -> Result<RawLog<'b>, Refusal> {
    Ok(RawLog {
        // A record without a span is a record all the same.
        trace_id: id("traceId", 16, value.get("traceId")).unwrap_or_default(),
        span_id: id("spanId", 8, value.get("spanId")).unwrap_or_default(),
        nanos: nanos(value.get("timeUnixNano")),
        observed_nanos: nanos(value.get("observedTimeUnixNano")),
        severity_number: word(value.get("severityNumber"), &[]),
        severity_text: text_of(value.get("severityText")),
        event_name: text_of(value.get("eventName")),
        body: value
            .get("body")
            .map_or(Ok(Any::Empty), |body| any(body, 0))?,
        attributes: attributes_of(value.get("attributes"))?,
        dropped_attributes: uint32(value.get("droppedAttributesCount")),
        flags: uint32(value.get("flags")),
    })
}

fn text_of<'b>(value: Option<Value<'b, '_>>) -> Cow<'b, str> {
    value.and_then(Value::text).unwrap_or_default()
}

/// Returns an id from hexadecimal; nothing sent is an empty one.
fn id<'b>(
    field: &'static str,
    bytes: usize,
    value: Option<Value<'b, '_>>,
) -> Result<Cow<'b, [u8]>, Refusal> {
    let Some(value) = value else {
        return Ok(Cow::Borrowed(&[]));
    };
    let decoded = value.text().and_then(|text| from_hex(&text));
    decoded.map(Cow::Owned).ok_or_else(|| Refusal::BadId {
        field,
        bytes,
        found: format!(
            "{}, which is not hexadecimal",
            value.raw().chars().take(64).collect::<String>()
        ),
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    bytes.collect()
}

/// Returns the text of a number, be it a number or a string.
fn number_text<'b>(value: Value<'b, '_>) -> Option<Cow<'b, str>> {
    match value.kind() {
        Kind::Number => Some(Cow::Borrowed(value.raw())),
        Kind::String => value.words(),
        _ => None,
    }
}

/// Returns a time in nanoseconds; what is no time counts as none.
fn nanos(value: Option<Value<'_, '_>>) -> u64 {
    let Some(text) = value.and_then(number_text) else {
        return 0;
    };
    let written_as_float = || text.parse::<f64>().ok().map(|nanos| nanos as u64);
    text.parse().ok().or_else(written_as_float).unwrap_or(0)
}

fn uint32(value: Option<Value<'_, '_>>) -> u32 {
    let Some(text) = value.and_then(number_text) else {
        return 0;
    };
    let written_as_float = || text.parse::<f64>().ok().map(|count| count as u32);
    text.parse().ok().or_else(written_as_float).unwrap_or(0)
}

/// Returns an enum from its number or its name; what is neither counts as 0.
fn word(value: Option<Value<'_, '_>>, names: &[&str]) -> i32 {
    let Some(text) = value.and_then(number_text) else {
        return 0;
    };
    let named = || {
        names
            .iter()
            .position(|name| *name == text)
            .map(|at| at as i32)
    };
    text.parse().ok().or_else(named).unwrap_or(0)
}

fn attributes_of<'b>(value: Option<Value<'b, '_>>) -> Result<Attributes<'b>, Refusal> {
    members_at(value, 0).map(Attributes::new)
}

/// Returns attributes, those left out that cannot be read.
fn members<'b>(value: Option<Value<'b, '_>>) -> Option<Vec<(Cow<'b, str>, Any<'b>)>> {
    members_at(value, 0).ok()
}

fn members_at<'b>(
    value: Option<Value<'b, '_>>,
    depth: usize,
) -> Result<Vec<(Cow<'b, str>, Any<'b>)>, Refusal> {
    let elements = value.into_iter().flat_map(Value::elements);
    let objects = elements.filter(|element| element.is_object());
    objects
        .map(|element| {
            let [key, value] = pick(element, ["key", "value"]);
            let value = value.map_or(Ok(Any::Empty), |value| any(value, depth))?;
            Ok((text_of(key), value))
        })
        .collect()
}

/// Reads an `AnyValue`; a kind that we do not know counts as no value.
fn any<'b>(value: Value<'b, '_>, depth: usize) -> Result<Any<'b>, Refusal> {
    if depth > VALUE_DEPTH_MAX {
        return Err(Refusal::TooDeep);
    }
    let mut read = Any::Empty;
    for (kind, value) in value.members() {
        if value.kind() == Kind::Null {
            continue;
        }
        read = match () {
            () if kind.is_text("stringValue") => Any::Text(text_of(Some(value))),
            () if kind.is_text("intValue") => integer(value),
            () if kind.is_text("boolValue") => boolean(value),
            () if kind.is_text("doubleValue") => double(value),
            () if kind.is_text("arrayValue") => {
                let items = value.get("values");
                let items = items.into_iter().flat_map(Value::elements);
                Any::List(
                    items
                        .map(|item| any(item, depth + 1))
                        .collect::<Result<_, Refusal>>()?,
                )
            }
            () if kind.is_text("kvlistValue") => {
                Any::Map(members_at(value.get("values"), depth + 1)?)
            }
            () if kind.is_text("bytesValue") => bytes(value),
            () => continue,
        };
    }
    Ok(read)
}

fn boolean<'b>(value: Value<'b, '_>) -> Any<'b> {
    match value.bool() {
        Some(value) => Any::Bool(value),
        None => Any::Bool(value.is_text("true")),
    }
}

/// Returns an integer; JavaScript writes large ones as `1e+21`.
fn integer<'b>(value: Value<'b, '_>) -> Any<'b> {
    let Some(text) = number_text(value) else {
        return Any::Empty;
    };
    if let Ok(exact) = text.parse() {
        return Any::Int(exact);
    }
    match text.parse::<f64>() {
        Ok(number) if number.fract() == 0.0 && number.abs() < 9e15 => Any::Int(number as i64),
        Ok(_) if value.kind() == Kind::Number || is_number(&text) => Any::Number(text),
        _ => Any::Text(text),
    }
}

fn double<'b>(value: Value<'b, '_>) -> Any<'b> {
    let Some(text) = number_text(value) else {
        return Any::Empty;
    };
    match &*text {
        "NaN" => return Any::Double(f64::NAN),
        "Infinity" => return Any::Double(f64::INFINITY),
        "-Infinity" => return Any::Double(f64::NEG_INFINITY),
        _ => {}
    }
    match text.parse::<f64>() {
        Ok(number) if is_number(&text) && number.is_infinite() => Any::Number(text),
        Ok(number) if is_number(&text) => Any::Double(number),
        _ => Any::Text(text),
    }
}

/// Returns whether `text` is a JSON number.
fn is_number(text: &str) -> bool {
    let mut tape = Tape::default();
    let mut reader = Reader::new(text.as_bytes());
    reader.index(&mut tape).is_ok()
        && reader.peek().is_none()
        && tape.root(text).kind() == Kind::Number
}

fn bytes<'b>(value: Value<'b, '_>) -> Any<'b> {
    let Some(text) = value.text() else {
        return Any::Empty;
    };
    let decoded = STANDARD.decode(&*text).or_else(|_| URL_SAFE.decode(&*text));
    // What is no base64 is kept as it was sent.
    decoded.map_or(Any::Text(text), |bytes| Any::Bytes(bytes.into()))
}
