//! What several fuzz targets check.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use ingest::agents_sdk::Context;
use ingest::otlp::{Encoding, Sent, attributes, contents, decode_logs, decode_traces};
use insight::{ToldSpan, ToldTrace, TraceView};
use model::{
    Batch, Received, Source, Span, SpanId, SpanType, Time, TraceId, TraceItem, TraceStatus, derive,
};

/// Decodes any bytes as an OTLP request: never a panic, every span restorable.
pub fn check_otlp(bytes: &[u8], encoding: Encoding) {
    let context = Context::new(Source::Otlp, Time::from_micros(0));
    drop(decode_logs(bytes.to_vec().into(), encoding));
    let Ok(batch) = decode_traces(bytes.to_vec().into(), encoding, &context) else { return };
    for span in &batch.spans {
        let payload = &span.payload;
        let content = |hash: &_| {
            let mut messages = batch.messages.iter();
            messages.find(|m| m.hash == *hash && m.trace_id == span.trace_id).map(|m| m.text())
        };
        let data = payload.data.as_ref().map(|data| {
            model::payload::restore(data.as_str(), &payload.input_refs, &payload.output_refs, content)
                .expect("what was cut is there")
        });
        let sent = Sent { span, data: data.as_deref() };
        model::JsonText::parse(&attributes(sent)).expect("attributes are JSON");
        drop(contents(sent));
    }
}

/// Puts the data of every span together again: what was cut out must be there.
pub fn check_restorable(batch: &Batch) {
    for span in &batch.spans {
        let Some(data) = &span.payload.data else { continue };
        let content = |hash: &_| {
            let mut messages = batch.messages.iter();
            messages.find(|m| m.hash == *hash && m.trace_id == span.trace_id).map(|m| m.text())
        };
        model::payload::restore(data.as_str(), &span.payload.input_refs, &span.payload.output_refs, content)
            .expect("what was cut is there");
    }
}

/// What dialects say: names of scopes, and attributes with the values that somebody sent.
#[derive(Debug)]
pub struct Told {
    /// Names of scopes.
    pub scopes: Vec<String>,
    /// Names of attributes and their values.
    pub attributes: Vec<(String, serde_json::Value)>,
}

/// Read from the captures that the tests use.
pub static TOLD: LazyLock<Told> = LazyLock::new(|| {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/otlp");
    let (mut scopes, mut attributes) = (BTreeMap::new(), BTreeMap::new());
    let mut folders = vec![captures];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the captures are there").flatten() {
            let path = entry.path();
            let encoding = match path.extension().and_then(|end| end.to_str()) {
                _ if path.is_dir() => { folders.push(path); continue }
                Some("pb") => Encoding::Protobuf,
                Some("json") => Encoding::Json,
                _ => continue,
            };
            let body = std::fs::read(&path).expect("a capture can be read");
            let context = Context::new(Source::Otlp, Time::from_micros(0));
            let Ok(batch) = decode_traces(body.into(), encoding, &context) else { continue };
            for span in &batch.spans {
                let told = attributes_of(span, &batch);
                attributes.extend(told);
                let scope = span.payload.scope.as_ref().map(|scope| scope.to_value());
                let name = scope.and_then(|scope| scope["name"].as_str().map(str::to_owned));
                scopes.extend(name.map(|name| (name, ())));
            }
        }
    }
    Told { scopes: scopes.into_keys().collect(), attributes: attributes.into_iter().collect() }
});

fn attributes_of(span: &model::Span, batch: &Batch) -> serde_json::Map<String, serde_json::Value> {
    let content = |hash: &_| batch.messages.iter().find(|m| m.hash == *hash).map(|m| m.text());
    let payload = &span.payload;
    let data = payload.data.as_ref().and_then(|data| {
        model::payload::restore(data.as_str(), &payload.input_refs, &payload.output_refs, content).ok()
    });
    serde_json::from_str(&attributes(Sent { span, data: data.as_deref() })).unwrap_or_default()
}

/// Returns a value as OTLP writes it in JSON.
pub fn in_otlp(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::{Value, json};
    match value {
        Value::Null => json!({}),
        Value::Bool(value) => json!({ "boolValue": value }),
        Value::Number(value) if value.is_i64() => json!({ "intValue": value.to_string() }),
        Value::Number(value) => json!({ "doubleValue": value }),
        Value::String(value) => json!({ "stringValue": value }),
        Value::Array(items) => json!({ "arrayValue": { "values": items.iter().map(in_otlp).collect::<Vec<_>>() } }),
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| json!({ "key": key, "value": in_otlp(value) }));
            json!({ "kvlistValue": { "values": members.collect::<Vec<_>>() } })
        }
    }
}

/// Returns a trace with a span of every type, each inside the one before.
pub fn trace() -> TraceView {
    let id = |number: usize| SpanId::new(&format!("s{number}")).expect("it is an id");
    let trace = TraceId::new("t").expect("it is an id");
    let spans = SpanType::ALL.iter().enumerate().map(|(number, span_type)| {
        let mut span = Span::new(trace.clone(), id(number), *span_type, Source::Openai);
        span.parent_id = number.checked_sub(1).map(id);
        span.name = format!("name {}", number % 3);
        span.started_at = Some(Time::from_micros(number as i64 * 1_000));
        ToldSpan::silent(span)
    });
    let spans: Vec<ToldSpan> = spans.collect();
    let at = Time::from_micros(0);
    let received = Received { first_received_at: at, last_received_at: at, first_seq: 1, seq: 1 };
    let rows: Vec<&Span> = spans.iter().map(|told| &told.span).collect();
    let row = derive(&TraceItem::new(trace, Source::Openai), &rows, received);
    let horizon = Time::from_micros(1_000_000);
    TraceView::of(ToldTrace { row, status: TraceStatus::Running, horizon, spans, reference: None })
}
