//! The steps together: what is planted in captured requests is gone, and everything else holds.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use model::{Source, Time, payload};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::agents_sdk::{Context, decode};
use crate::otlp::{Encoding, decode_logs, decode_traces, record_rows};

mod attributes;
mod content;
mod places;
mod whole;

/// Stands for a secret in every text of a capture.
const PLANTED: &str = "planted.secret@example.com";

fn context(source: Source) -> Context<'static> {
    Context::new(source, Time::from_micros(0))
}

fn agents(body: &Value) -> Batch {
    let body = Bytes::from(body.to_string());
    decode(body, &context(Source::Openai)).unwrap()
}

fn traces(body: &Value) -> Batch {
    let body = Bytes::from(body.to_string());
    decode_traces(body, Encoding::Json, &context(Source::Otlp)).unwrap()
}

fn logs(body: &Value) -> Batch {
    let logs = decode_logs(Bytes::from(body.to_string()), Encoding::Json).unwrap();
    record_rows(logs, Source::Otlp).batch
}

/// How one request of a capture is decoded, and its body.
type Request = (fn(&Value) -> Batch, Value);

fn files(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../testdata")
        .join(folder);
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(
                std::fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            ),
            false => found.push(path),
        }
    }
    found.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    found.sort();
    found
}

/// Every request of every capture.
fn captured() -> Vec<(String, Request)> {
    let read =
        |path: &Path| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let mut all: Vec<(String, Request)> = Vec::new();
    for path in ["openai-agents", "openai-agents-js"]
        .into_iter()
        .flat_map(files)
    {
        for request in read(&path)["requests"].as_array().unwrap() {
            all.push((
                path.display().to_string(),
                (agents as fn(&Value) -> Batch, request["body"].clone()),
            ));
        }
    }
    for path in files("otlp") {
        let name = path.display().to_string();
        if name.ends_with(".traces.json") {
            all.push((name, (traces, read(&path))));
        } else if name.ends_with(".logs.json") {
            all.push((name, (logs, read(&path))));
        }
    }
    assert!(all.len() > 110, "{} requests are too few", all.len());
    all
}

/// Puts the secret into every text that is not an id, a time or a word of the protocol.
fn plant(value: &mut Value, secret: &str) {
    const KEPT: [&str; 22] = [
        "object",
        "id",
        "trace_id",
        "parent_id",
        "started_at",
        "ended_at",
        "type",
        "role",
        "traceId",
        "spanId",
        "parentSpanId",
        "key",
        "intValue",
        "doubleValue",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "timeUnixNano",
        "observedTimeUnixNano",
        "schemaUrl",
        "eventName",
        "first_content_at",
        "data",
    ];
    match value {
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(mut inner) if inner.is_object() || inner.is_array() => {
                plant(&mut inner, secret);
                *text = inner.to_string();
            }
            _ => text.push_str(&format!(" {secret}")),
        },
        Value::Array(items) => items.iter_mut().for_each(|item| plant(item, secret)),
        Value::Object(members) => {
            for (key, member) in members {
                if !(member.is_string() && KEPT.contains(&key.as_str())) {
                    plant(member, secret);
                }
            }
        }
        _ => {}
    }
}

fn rules(settings: &ProcessSettings) -> ProcessRules {
    ProcessRules::compile(settings).unwrap()
}

fn redacting() -> ProcessRules {
    rules(&ProcessSettings {
        redact: Recogniser::ALL.to_vec(),
        ..ProcessSettings::default()
    })
}

/// All that is stored of a batch, as one text.
fn stored(batch: &Batch) -> String {
    let messages: Vec<_> = batch
        .messages
        .iter()
        .map(|message| message.text())
        .collect();
    format!(
        "{:?} {:?} {}",
        batch.spans,
        batch.traces,
        messages.join("\n")
    )
}

/// The data of a span with its messages.
fn restored(batch: &Batch, span: &Span) -> Option<String> {
    let content = |hash: &MessageHash| {
        let mut found = batch.messages.iter();
        let found =
            found.find(|message| message.hash == *hash && message.trace_id == span.trace_id);
        found.map(model::Message::text)
    };
    let stored = &span.payload;
    let data = stored.data.as_ref()?.as_str();
    Some(payload::restore(data, &stored.input_refs, &stored.output_refs, content).unwrap())
}

/// Checks what holds of every batch that can be stored.
fn check_whole(name: &str, batch: &Batch) {
    let is_json =
        |text: &JsonText| assert!(JsonText::parse(text.as_str()).is_ok(), "{name}: {text:?}");
    for span in &batch.spans {
        // D7: every reference resolves.
        if let Some(data) = restored(batch, span) {
            is_json(&JsonText::from_trusted(data));
        }
        let stored = &span.payload;
        let texts = [
            &stored.data,
            &stored.attributes,
            &stored.resource,
            &stored.scope,
            &stored.events,
            &stored.links,
            &stored.extra,
        ];
        texts.into_iter().flatten().for_each(is_json);
        span.error
            .iter()
            .filter_map(|error| error.data.as_ref())
            .for_each(is_json);
    }
    for item in &batch.traces {
        [&item.metadata, &item.extra]
            .into_iter()
            .flatten()
            .for_each(is_json);
    }
    let mut seen = HashSet::new();
    for message in &batch.messages {
        assert_eq!(message.hash, MessageHash::of(&message.content), "{name}");
        assert!(
            seen.insert((&message.trace_id, message.hash)),
            "{name}: a message is there twice"
        );
        assert!(
            JsonText::parse(message.text()).is_ok(),
            "{name}: {}",
            message.text()
        );
    }
}

fn otlp(attributes: Value, scope: &str) -> Value {
    let attributes: Vec<Value> = attributes
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| match value {
            Value::String(text) => json!({"key": key, "value": {"stringValue": text}}),
            other => json!({"key": key, "value": {"intValue": other}}),
        })
        .collect();
    json!({"resourceSpans": [{"scopeSpans": [{"scope": {"name": scope}, "spans": [{
        "traceId": "00000000000000000000000000000001", "spanId": "0000000000000001", "name": "chat",
        "startTimeUnixNano": "1000000", "endTimeUnixNano": "2000000", "attributes": attributes,
    }]}]}]})
}
