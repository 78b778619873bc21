//! What did the user say, and what came back, in full? A trace's row has the beginnings alone; the
//! texts are read from the spans that these are of.

use ingest::agents_sdk::words;
use ingest::contents::{Messages, restored, told};
use ingest::messages::{answered, asked};
use ingest::otlp::is_telemetry;
use model::{PREVIEW_CHARS_MAX, Span, SpanType, TraceRow};
use store::SpanRow;

/// The first message and the last answer of a trace, in full.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Turns {
    pub(crate) original_message: Option<String>,
    pub(crate) final_response: Option<String>,
}

/// One of the two ends of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Asked,
    Answered,
}

impl Turns {
    /// Returns the texts whose beginnings `trace` has; `rows` are its spans in start order.
    pub(crate) fn of(trace: &TraceRow, rows: &[SpanRow], messages: &Messages) -> Self {
        let whole = |begun: &Option<String>, end: End| {
            let begun = begun.as_deref()?;
            let is_all = begun.chars().count() < PREVIEW_CHARS_MAX;
            let text = if is_all {
                None
            } else {
                whole(begun, end, rows, messages)
            };
            // What cannot be restored is told by its span; here the beginning is better than nothing.
            Some(text.unwrap_or_else(|| begun.to_owned()))
        };
        Self {
            original_message: whole(&trace.input_preview, End::Asked),
            final_response: whole(&trace.output_preview, End::Answered),
        }
    }
}

/// Returns the text that begins like this: of the first span that was asked it, of the last that
/// answered it. A model call knows best where a text ends.
fn whole(begun: &str, end: End, rows: &[SpanRow], messages: &Messages) -> Option<String> {
    let has_it = |span: &&Span| match end {
        End::Asked => span.input_preview.as_deref() == Some(begun),
        End::Answered => span.output_preview.as_deref() == Some(begun),
    };
    let mut spans: Vec<&Span> = rows.iter().map(|row| &*row.span).filter(has_it).collect();
    if end == End::Answered {
        spans.reverse();
    }
    spans.sort_by_key(|span| span.span_type != SpanType::Generation);
    let text = |span: &&Span| {
        let text = match is_telemetry(span) {
            true => end.of_telemetry(span, messages)?,
            false => end.of_data(span, messages)?,
        };
        text.starts_with(begun).then_some(text)
    };
    spans.iter().find_map(text)
}

impl End {
    fn of_data(self, span: &Span, messages: &Messages) -> Option<String> {
        let sent = restored(span, messages).ok()??;
        let words = words(span.span_type, &sent);
        match self {
            Self::Asked => words.asked,
            Self::Answered => words.answered,
        }
    }

    fn of_telemetry(self, span: &Span, messages: &Messages) -> Option<String> {
        let told = told(span, &[], messages).ok()?.contents;
        match self {
            Self::Asked => asked(&told.input),
            Self::Answered => answered(&told.output),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::samples;

    #[test]
    fn texts_are_whole_and_of_the_right_spans() {
        let long = |first: &str| format!("{first} {}", "é".repeat(1_000));
        let span = |id: &str, asked: &str, answered: &str| {
            let mut span = samples::span(id, SpanType::Generation);
            span.input_preview = Some(model::preview(asked).to_owned());
            span.output_preview = Some(model::preview(answered).to_owned());
            let data = serde_json::json!({"input": asked, "output": answered});
            span.payload.data = Some(model::JsonText::from_trusted(data.to_string()));
            samples::row(span, 1)
        };
        let rows = [
            span("a", &long("hello"), &long("first")),
            span("b", "short", &long("last")),
        ];
        let item = model::TraceItem::new(model::TraceId::new("t").unwrap(), model::Source::Openai);
        let check = |asked: &str, answered: Option<&str>| {
            let sample = samples::trace(&item, Vec::new());
            let mut trace = TraceRow::clone(&sample.entry.row);
            trace.input_preview = Some(model::preview(asked).to_owned());
            trace.output_preview = answered.map(|text| model::preview(text).to_owned());
            let got = Turns::of(&trace, &rows, &Messages::new());
            assert_eq!(got.original_message.as_deref(), Some(asked));
            assert_eq!(got.final_response.as_deref(), answered);
        };
        check(&long("hello"), Some(&long("last")));
        check("short", Some(&long("first")));
        check("short", None);
    }
}
