//! A trace as graders see it.

use insight::{SharedMessages, ToldSpan, ToldTrace, TraceView};
use model::{JsonText, Span};

use ingest::contents::told;

use super::loaded::Loaded;

impl Loaded {
    /// Returns the view of the trace, which was read with all its payload. Content that cannot be
    /// restored is left out: its span says that it was damaged where it is shown.
    pub(super) fn view(&self) -> TraceView {
        let mut shared = SharedMessages::default();
        let spans = (0..self.rows.len()).map(|at| {
            let row = &*self.rows[at].span;
            let content = told(row, &self.doubles_of(at), &self.messages).unwrap_or_default();
            let found = joined(&content.contents.documents);
            ToldSpan {
                input: shared.share(content.contents.input),
                output: shared.share(content.contents.output),
                arguments: content.contents.arguments,
                result: content.contents.result.or(found),
                tools: content.tools.into(),
                ..ToldSpan::silent(Span::clone(row))
            }
        });
        TraceView::of(ToldTrace {
            spans: spans.collect(),
            row: model::TraceRow::clone(&self.entry.row),
            status: self.status(),
            horizon: self.horizon(),
            reference: None,
        })
    }
}

/// Returns the documents that a search found as one list.
fn joined(documents: &[JsonText]) -> Option<JsonText> {
    let all: Vec<&str> = documents.iter().map(JsonText::as_str).collect();
    (!all.is_empty()).then(|| JsonText::from_trusted(format!("[{}]", all.join(","))))
}
