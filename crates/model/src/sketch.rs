//! Traces drawn as text, for tests: one span a line, `id type parent start..end !error_type`.
//!
//! Times are in milliseconds, `-` is no parent, a missing end is an open span, `noise` at the end
//! marks plumbing, `proxy` what came through the proxy.

use crate::{Source, Span, SpanError, SpanId, SpanStatus, Time, TraceId};

/// Returns the spans of a sketch; each has its id as name.
pub(crate) fn spans(sketch: &str) -> Vec<Span> {
    sketch
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(span)
        .collect()
}

fn span(line: &str) -> Span {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [id, span_type, parent, times, rest @ ..] = &words[..] else {
        panic!("{line}")
    };
    let millis = |text: &str| {
        text.parse()
            .ok()
            .map(|ms: i64| Time::from_micros(ms * 1_000))
    };
    let (start, end) = times.split_once("..").unwrap();
    let mut span = Span::new(
        TraceId::new("trace").unwrap(),
        SpanId::new(id).unwrap(),
        span_type.parse().unwrap(),
        Source::Openai,
    );
    span.name = (*id).to_owned();
    span.parent_id = (*parent != "-").then(|| SpanId::new(parent).unwrap());
    span.started_at = millis(start);
    span.ended_at = millis(end);
    span.status = if span.ended_at.is_some() {
        SpanStatus::Success
    } else {
        SpanStatus::Open
    };
    for word in rest {
        match word.strip_prefix('!') {
            Some(kind) => {
                span.status = SpanStatus::Error;
                let message = format!("{id} failed");
                span.error = Some(SpanError {
                    kind: kind.to_owned(),
                    message,
                    data: None,
                });
            }
            None if *word == "noise" => span.noise = true,
            None if *word == "proxy" => span.source = Source::Proxy,
            None => panic!("{line}"),
        }
    }
    span
}
