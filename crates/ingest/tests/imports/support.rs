//! Samples, decoded with a plain context, and what they hold in words.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ingest::agents_sdk::{self, Context};
use ingest::imports::{Imported, decode};
use ingest::otlp::{Sent, contents};
use model::{Batch, Message, Source, Span, Time, TraceItem, payload};

pub(crate) fn context() -> Context<'static> {
    Context::new(Source::Import, Time::from_micros(0))
}

pub(crate) fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/imports")
}

pub(crate) fn sample(name: &str) -> Bytes {
    let path = samples().join(name);
    let bytes = std::fs::read(&path);
    bytes
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .into()
}

pub(crate) fn import(body: impl Into<Bytes>) -> Imported {
    let imported = decode(body.into(), &context()).unwrap();
    let accepted: usize = imported.formats.iter().map(|count| count.accepted).sum();
    assert_eq!(accepted, imported.batch.accepted);
    assert_eq!(imported.batch.rejected.len(), imported.documents.len());
    imported
}

/// The data of a span with its messages put in.
pub(crate) fn restored(span: &Span, messages: &[Message]) -> Option<String> {
    let stored = &span.payload;
    let content = |hash: &model::MessageHash| {
        let mut found = messages.iter();
        let found = found.find(|m| m.hash == *hash && m.trace_id == span.trace_id);
        found.map(Message::text)
    };
    let data = stored.data.as_ref()?;
    let (input, output) = (&stored.input_refs, &stored.output_refs);
    Some(payload::restore(data.as_str(), input, output, content).unwrap())
}

/// The counts of each format: documents, items taken, items refused.
pub(crate) fn counts(imported: &Imported) -> String {
    let count = imported.formats.iter().map(|count| {
        let (documents, taken, refused) = (count.documents, count.accepted, count.rejected);
        format!("{} {documents} {taken} {refused}", count.format)
    });
    let ignored = imported
        .ignored
        .iter()
        .map(|(reason, n)| format!("ignored {reason} {n}"));
    count.chain(ignored).collect::<Vec<_>>().join(", ")
}

/// Everything that people see of a batch, a line a trace and a span.
pub(crate) fn story(batch: &Batch) -> String {
    let mut out = String::new();
    let mut items: HashMap<_, TraceItem> = HashMap::new();
    let mut order = Vec::new();
    for item in &batch.traces {
        match items.get_mut(&item.trace_id) {
            Some(known) => known.merge(item),
            None => {
                order.push(&item.trace_id);
                items.insert(&item.trace_id, item.clone());
            }
        }
    }
    for span in &batch.spans {
        if !order.contains(&&span.trace_id) {
            order.push(&span.trace_id);
        }
    }
    for id in order {
        match items.get(id) {
            Some(item) => trace(&mut out, item),
            None => out.push_str(&format!("trace {id}\n")),
        }
        let mut spans: Vec<_> = batch
            .spans
            .iter()
            .filter(|span| span.trace_id == *id)
            .collect();
        spans.sort_by_key(|span| (span.started_at, span.parent_id.is_some()));
        spans
            .iter()
            .for_each(|one| span(&mut out, one, &batch.messages));
    }
    out
}

fn trace(out: &mut String, item: &TraceItem) {
    let _ = write!(out, "trace {}", item.trace_id);
    let mut tell = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            let _ = write!(out, " {name}={value:?}");
        }
    };
    tell("workflow", item.workflow_name.as_deref());
    tell("group", item.group_id.as_ref().map(|group| group.as_str()));
    tell("user", item.user_id.as_deref());
    tell("version", item.version.as_deref());
    tell("environment", item.environment.as_deref());
    tell("metadata", item.metadata.as_ref().map(|json| json.as_str()));
    let tags = item.tags.as_ref().map(|tags| tags.join(","));
    tell("tags", tags.as_deref());
    tell(
        "ended",
        item.ended.map(|ended| if ended { "yes" } else { "no" }),
    );
    let keys = item.extra.as_ref().map(|extra| match extra.to_value() {
        serde_json::Value::Object(map) => map.keys().cloned().collect::<Vec<_>>().join(","),
        _ => "?".to_owned(),
    });
    tell("extra", keys.as_deref());
    out.push('\n');
}

fn span(out: &mut String, span: &Span, messages: &[Message]) {
    let data = restored(span, messages);
    let _ = write!(
        out,
        "  {} {:?} [{}] {}",
        span.span_type, span.name, span.source_type, span.status
    );
    let _ = write!(
        out,
        " id={} parent={}",
        span.span_id,
        span.parent_id.as_ref().map_or("-", |id| id.as_str())
    );
    let micros = |time: Option<Time>| time.map_or(-1, Time::as_micros);
    let took = match (span.started_at, span.ended_at) {
        (Some(_), Some(_)) => (micros(span.ended_at) - micros(span.started_at)).to_string(),
        _ => "?".to_owned(),
    };
    let _ = write!(out, " took={took}us");
    let mut tell = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = write!(out, " {name}={value}");
        }
    };
    tell("model", span.model.clone());
    tell("provider", span.provider.clone());
    tell("in", span.usage.input_tokens.map(|n| n.to_string()));
    tell("cached", span.usage.cached_tokens.map(|n| n.to_string()));
    tell("out", span.usage.output_tokens.map(|n| n.to_string()));
    tell("cost", span.cost.map(|cost| cost.0.to_string()));
    tell("finish", span.finish_reason.clone());
    tell("call", span.tool_call_id.clone());
    tell(
        "error",
        span.error
            .as_ref()
            .map(|error| format!("{}:{:?}", error.kind, error.message)),
    );
    tell(
        "asked",
        span.input_preview.as_ref().map(|text| format!("{text:?}")),
    );
    tell(
        "answered",
        span.output_preview.as_ref().map(|text| format!("{text:?}")),
    );
    out.push('\n');
    let is_telemetry = span.payload.scope.is_some();
    let said: Vec<_> = match is_telemetry {
        true => {
            let told = contents(Sent {
                span,
                data: data.as_deref(),
            });
            told.input.into_iter().chain(told.output).collect()
        }
        false => {
            let told = agents_sdk::contents(data.as_deref().unwrap_or("{}"));
            told.input.into_iter().chain(told.output).collect()
        }
    };
    for message in said {
        let words: Vec<_> = message
            .parts
            .iter()
            .map(|part| {
                let json = serde_json::to_string(part).unwrap();
                json.chars().take(160).collect::<String>()
            })
            .collect();
        let _ = writeln!(out, "    {}: {}", message.role, words.join(" "));
    }
}
