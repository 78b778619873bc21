//! What stored spans say, asked in the one place that knows how.

use std::collections::{BTreeMap, HashMap};

use ingest::contents::{Messages, told};
use model::Span;

use crate::support::{Capture, Run, captures};

fn messages_of(run: &Run, span: &Span) -> Messages {
    let of_trace = run.messages.iter();
    let of_trace = of_trace.filter(|message| message.trace_id == span.trace_id);
    of_trace
        .map(|message| (message.hash, message.clone()))
        .collect()
}

#[test]
fn told_of_any_span_is_what_its_dialect_reads() {
    for capture in captures() {
        let run = Run::of(&capture.requests);
        for span in run.spans.iter().filter(|span| span.is_counted()) {
            let doubles: Vec<&Span> = run
                .spans
                .iter()
                .filter(|double| double.merged_into.as_ref() == Some(&span.span_id))
                .collect();
            let got = told(span, &doubles, &messages_of(&run, span)).unwrap();
            assert_eq!(got.contents, run.contents(span), "{}", capture.name);
        }
    }
}

/// The tools that the counted spans of a capture list, and of how many of them a schema is told.
fn tools(capture: &Capture) -> String {
    let run = Run::of(&capture.requests);
    let mut told_of: BTreeMap<String, HashMap<bool, usize>> = BTreeMap::new();
    for span in run.spans.iter().filter(|span| span.is_counted()) {
        let doubles: Vec<&Span> = run
            .spans
            .iter()
            .filter(|double| double.merged_into.as_ref() == Some(&span.span_id))
            .collect();
        for tool in told(span, &doubles, &messages_of(&run, span))
            .unwrap()
            .tools
        {
            if let Some(schema) = &tool.parameters {
                assert!(schema.to_value().is_object(), "{schema:?}");
            }
            let count = told_of.entry(tool.name).or_default();
            *count.entry(tool.parameters.is_some()).or_default() += 1;
        }
    }
    let count = |of: &HashMap<bool, usize>, which: bool| of.get(&which).copied().unwrap_or(0);
    let words: Vec<String> = told_of
        .iter()
        .map(|(name, of)| format!("{name} {}+{}", count(of, true), count(of, false)))
        .collect();
    words.join(", ")
}

#[test]
fn declared_tools_of_every_capture() {
    let told: Vec<String> = captures()
        .iter()
        .map(|capture| format!("{}: {}", capture.name, tools(capture)))
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}
