//! Files: documents one after the other, however they are laid out and however they are read.

use bytes::Bytes;
use ingest::agents_sdk::{DocumentError, Documents, EnvelopeError, decode_document};

use crate::support::{captures, context, decode_all, items, settle};

/// Cuts `file`, fed in pieces of `step` bytes.
fn cut(file: &[u8], step: usize, bytes_max: usize) -> Vec<Result<String, DocumentError>> {
    let text = |document: Bytes| String::from_utf8(document.to_vec()).unwrap();
    let mut documents = Documents::new(bytes_max);
    let mut out = Vec::new();
    for piece in file.chunks(step) {
        documents.feed(piece);
        out.extend(documents.by_ref().map(|document| document.map(text)));
    }
    documents.finish();
    out.extend(documents.map(|document| document.map(text)));
    out
}

fn check(file: &str, want: &[Result<&str, DocumentError>]) {
    let want: Vec<_> = want
        .iter()
        .map(|document| document.clone().map(str::to_owned))
        .collect();
    for step in [1, 2, 3, 7, 1000] {
        assert_eq!(
            cut(file.as_bytes(), step, 40),
            want,
            "{file} in pieces of {step}"
        );
    }
}

#[test]
fn documents_are_found_in_any_layout() {
    check("", &[]);
    check(" \n ", &[]);
    check(
        "{\"a\":1}\n{\"b\":\"}\\\"{\"}\r\n[2]",
        &[Ok("{\"a\":1}"), Ok("{\"b\":\"}\\\"{\"}"), Ok("[2]")],
    );
    check("{}{}", &[Ok("{}"), Ok("{}")]);
    check(
        "\u{feff}{\n  \"a\": [\n 1\n]\n}\n\u{1e}{}",
        &[Ok("{\n  \"a\": [\n 1\n]\n}"), Ok("{}")],
    );
    check("{\"a\":\"\\\\\"} {}", &[Ok("{\"a\":\"\\\\\"}"), Ok("{}")]);
}

#[test]
fn what_is_no_document_is_said_and_passed_over() {
    check(
        "x {}\n{}\nnull\n{}",
        &[
            Err(DocumentError::NotADocument { at: 0 }),
            Ok("{}"),
            Err(DocumentError::NotADocument { at: 8 }),
            Ok("{}"),
        ],
    );
    check(
        "{}\n {\"a\":",
        &[Ok("{}"), Err(DocumentError::Unfinished { at: 4 })],
    );
    check("{\"a", &[Err(DocumentError::Unfinished { at: 0 })]);
    let long = format!("{{}}[\"{}\"]{{}}", "x".repeat(50));
    check(
        &long,
        &[
            Ok("{}"),
            Err(DocumentError::TooLong {
                at: 2,
                bytes_max: 40,
            }),
        ],
    );
}

#[test]
fn a_capture_reads_the_same_as_items_as_an_envelope_and_as_an_export() {
    for capture in captures()
        .iter()
        .filter(|capture| capture.bodies.len() == 1)
    {
        let body = &capture.bodies[0];
        let once = decode_all(&capture.bodies);
        let spans = |batch: model::Batch| format!("{:?}", settle(batch.spans));

        let lines = items(body)
            .iter()
            .map(|item| item.replace('\n', ""))
            .collect::<Vec<_>>()
            .join("\n");
        let mut traces = Vec::new();
        let mut jsonl = Vec::new();
        for line in cut(lines.as_bytes(), 4096, usize::MAX) {
            let batch = decode_document(Bytes::from(line.unwrap()), &context()).unwrap();
            assert!(batch.rejected.is_empty());
            jsonl.extend(batch.spans);
            traces.extend(batch.traces);
        }
        assert_eq!(jsonl.len(), once.spans.len(), "{}", capture.name);
        assert!(traces.len() >= once.traces.len(), "{}", capture.name);

        let envelope = decode_document(body.clone(), &context()).unwrap();
        assert_eq!(envelope, once, "{}", capture.name);
        let list = Bytes::from(format!(" [{}] ", items(body).join(",")));
        assert_eq!(
            spans(decode_document(list, &context()).unwrap()),
            spans(once)
        );
    }
}

#[test]
fn an_export_takes_items_by_their_place() {
    let file = r#"{"spans":[{"id":"s","trace_id":"t","span_data":null},{"id":1}],"trace":{"id":"t"},"version":1}"#;
    let batch = decode_document(Bytes::from(file), &context()).unwrap();
    assert_eq!((batch.spans.len(), batch.traces.len()), (1, 1));
    assert_eq!(
        (batch.rejected[0].index, batch.rejected[0].code),
        (1, "bad_id")
    );
    let none = decode_document(Bytes::from(r#"{"hello":1}"#), &context());
    assert!(matches!(none, Err(EnvelopeError::NoItems { .. })));
}
