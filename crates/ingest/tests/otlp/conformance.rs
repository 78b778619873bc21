//! Which facts each capture's dialect tells, as `docs/conformance.md` says it.
//!
//! The page is made by this test and compared with the one that is checked in:
//! `UPDATE_CONFORMANCE=1 cargo test -p ingest --test otlp conformance` writes it anew.

use std::fmt::Write as _;

use model::{Span, SpanType};

use crate::support::{Run, captures, repository};

const HEAD: &str = "\
# What each dialect tells

Made by a test run over the captures in `testdata/otlp`; never edit it by hand. Every capture meets its
`expected.json` as sent, in reverse, twice, as canonical JSON, and a span a request. A number is how many spans tell the fact, of how
many that could; `-` means that the capture has none of the kind.

| capture | dialects | agents | model calls | model | tokens | cached | reasoning | input | output | finish | tools | arguments | results | handoffs | session | user | failed |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
";

fn share(spans: &[&Span], is_told: impl Fn(&Span) -> bool) -> String {
    match spans.len() {
        0 => "-".to_owned(),
        all => format!(
            "{}/{all}",
            spans.iter().filter(|span| is_told(span)).count()
        ),
    }
}

fn row(name: &str, run: &Run) -> String {
    let of_type = |span_type: SpanType| -> Vec<&Span> {
        let spans = run.spans.iter();
        spans
            .filter(|span| span.span_type == span_type && span.is_counted())
            .collect()
    };
    let (calls, tools) = (of_type(SpanType::Generation), of_type(SpanType::Function));
    let mut dialects: Vec<_> = run
        .spans
        .iter()
        .map(|span| run.sent(span, ingest::otlp::dialect))
        .filter(|dialect| *dialect != "none")
        .collect();
    dialects.sort_unstable();
    dialects.dedup();
    let contents = |span: &Span| run.contents(span);
    let yes = |is_told: bool| if is_told { "yes" } else { "-" }.to_owned();
    let items = || run.traces.values();
    let cells = [
        name.to_owned(),
        dialects.join(", "),
        of_type(SpanType::Agent).len().to_string(),
        calls.len().to_string(),
        share(&calls, |span| span.model.is_some()),
        share(&calls, |span| span.usage.input_tokens.is_some()),
        share(&calls, |span| span.usage.cached_tokens.is_some()),
        share(&calls, |span| span.usage.reasoning_tokens.is_some()),
        share(&calls, |span| !contents(span).input.is_empty()),
        share(&calls, |span| !contents(span).output.is_empty()),
        share(&calls, |span| span.finish_reason.is_some()),
        tools.len().to_string(),
        share(&tools, |span| contents(span).arguments.is_some()),
        share(&tools, |span| contents(span).result.is_some()),
        of_type(SpanType::Handoff).len().to_string(),
        yes(items().any(|item| item.group_id.is_some())),
        yes(items().any(|item| item.user_id.is_some())),
        run.spans
            .iter()
            .filter(|span| span.is_counted() && span.error.is_some())
            .count()
            .to_string(),
    ];
    format!("| {} |\n", cells.join(" | "))
}

#[test]
fn the_page_says_what_the_captures_tell() {
    let mut page = HEAD.to_owned();
    let folder = repository().join("testdata/otlp");
    for capture in captures() {
        if folder.join(&capture.name).is_dir() {
            let _ = write!(page, "{}", row(&capture.name, &Run::of(&capture.requests)));
        }
    }
    let path = repository().join("docs/conformance.md");
    if std::env::var_os("UPDATE_CONFORMANCE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == checked_in,
        "docs/conformance.md is not what the captures tell; write it anew with \
         UPDATE_CONFORMANCE=1 cargo test -p ingest --test otlp conformance"
    );
}
