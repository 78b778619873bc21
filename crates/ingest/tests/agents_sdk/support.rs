//! Captures as bodies, decoding with a plain context, and what a store would keep of the result.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ingest::agents_sdk::{Context, EnvelopeError, PricedCall, decode};
use model::{Batch, NanoUsd, Source, Span, SpanType, Time};
use serde_json::value::RawValue;

/// One dollar a token, so that a cost shows which tokens were priced.
fn price(call: &PricedCall<'_>) -> Option<NanoUsd> {
    let usage = call.usage;
    Some(NanoUsd::from_usd(
        (usage.input_tokens? + usage.output_tokens?) as f64,
    ))
}

pub(crate) fn context() -> Context<'static> {
    Context {
        price: &price,
        ..Context::new(Source::Openai, Time::from_micros(0))
    }
}

pub(crate) fn try_decode(body: &[u8]) -> Result<Batch, EnvelopeError> {
    decode(Bytes::copy_from_slice(body), &context())
}

pub(crate) fn decode_all(bodies: &[Bytes]) -> Batch {
    let mut all = Batch::default();
    for body in bodies {
        let batch = decode(body.clone(), &context()).unwrap();
        all.accepted += batch.accepted;
        all.traces.extend(batch.traces);
        all.spans.extend(batch.spans);
        all.messages.extend(batch.messages);
        all.rejected.append(batch.rejected, |index| index);
    }
    all
}

/// Decodes one span with the given `span_data` and further keys of the item (`,"key":value`).
pub(crate) fn span_of(span_data: &str, more: &str) -> Batch {
    let body = format!(
        r#"{{"data":[{{"object":"trace.span","id":"s","trace_id":"t","started_at":"2026-01-02T03:04:05Z",
            "ended_at":"2026-01-02T03:04:06Z","span_data":{span_data}{more}}}]}}"#
    );
    let batch = try_decode(body.as_bytes()).unwrap();
    assert!(batch.rejected.is_empty(), "{:?}", batch.rejected);
    batch
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[derive(serde::Deserialize)]
struct CaptureFile<'a> {
    shows: String,
    #[serde(borrow)]
    requests: Vec<CapturedRequest<'a>>,
}

#[derive(serde::Deserialize)]
struct CapturedRequest<'a> {
    body_bytes: usize,
    #[serde(borrow)]
    body: &'a RawValue,
}

#[derive(serde::Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

/// One file of testdata.
pub(crate) struct Capture {
    /// `python/…` or `js/…`.
    pub(crate) name: String,
    pub(crate) shows: String,
    /// The bodies as they were on the wire: the files hold them pretty-printed.
    pub(crate) bodies: Vec<Bytes>,
    /// The bodies as the file holds them.
    pub(crate) printed: Vec<Bytes>,
}

pub(crate) fn captures() -> Vec<Capture> {
    let mut captures = Vec::new();
    for (folder, language) in [("openai-agents", "python"), ("openai-agents-js", "js")] {
        for entry in std::fs::read_dir(repository().join("testdata").join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let file: CaptureFile<'_> = serde_json::from_str(&text).unwrap();
            let (mut bodies, mut printed) = (Vec::new(), Vec::new());
            for request in file.requests {
                let wire = compact(request.body.get());
                assert_eq!(wire.len(), request.body_bytes, "{path:?}");
                bodies.push(Bytes::from(wire));
                printed.push(Bytes::copy_from_slice(request.body.get().as_bytes()));
            }
            let name = format!("{language}/{}", path.file_stem().unwrap().display());
            captures.push(Capture {
                name,
                shows: file.shows,
                bodies,
                printed,
            });
        }
    }
    captures.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(captures.len() > 80, "the captures are missing");
    captures
}

/// The items of a body, as sent.
pub(crate) fn items(body: &[u8]) -> Vec<String> {
    let envelope: Envelope<'_> = serde_json::from_slice(body).unwrap();
    envelope
        .data
        .iter()
        .map(|item| item.get().to_owned())
        .collect()
}

pub(crate) fn envelope(items: &[String]) -> Bytes {
    Bytes::from(format!("{{\"data\":[{}]}}", items.join(",")))
}

/// What a store keeps: of several versions of a span the winner, in start order.
pub(crate) fn settle(spans: Vec<Span>) -> Vec<Span> {
    let mut kept: BTreeMap<_, Span> = BTreeMap::new();
    for span in spans {
        let key = (span.trace_id.clone(), span.span_id.clone());
        if kept
            .get(&key)
            .is_none_or(|earlier| span.supersedes(earlier))
        {
            kept.insert(key, span);
        }
    }
    let mut spans: Vec<_> = kept.into_values().collect();
    spans.sort_by(|a, b| {
        (&a.trace_id, a.started_at, &a.span_id).cmp(&(&b.trace_id, b.started_at, &b.span_id))
    });
    spans
}

/// The spans above `span`, from its parent up; ends at a parent that is not there.
pub(crate) fn ancestors<'a>(span: &'a Span, spans: &'a [Span]) -> Vec<&'a Span> {
    let parent_of = |span: &Span| {
        let parent = span.parent_id.clone()?;
        spans
            .iter()
            .find(|other| other.trace_id == span.trace_id && other.span_id == parent)
    };
    std::iter::successors(parent_of(span), |above| parent_of(above))
        .take(spans.len())
        .collect()
}

pub(crate) fn agent_of(span: &Span, spans: &[Span]) -> Option<String> {
    let above = ancestors(span, spans)
        .into_iter()
        .find(|above| above.span_type == SpanType::Agent)?;
    Some(above.name.clone())
}

/// JSON text without the white space between its tokens.
pub(crate) fn compact(json: &str) -> String {
    let (mut in_string, mut is_escaped) = (false, false);
    let keep = |char: &char| {
        let was_in_string = in_string;
        match *char {
            '"' if !is_escaped => in_string = !in_string,
            _ => {}
        }
        is_escaped = in_string && *char == '\\' && !is_escaped;
        was_in_string || !matches!(char, ' ' | '\n' | '\r' | '\t')
    };
    json.chars().filter(keep).collect()
}
