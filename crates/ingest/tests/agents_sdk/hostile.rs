//! Bytes from the network: refused alone where possible, as a whole where not, never a panic.

use bytes::Bytes;
use ingest::agents_sdk::{Documents, EnvelopeError, decode, decode_document};
use proptest::prelude::*;

use crate::support::{captures, context, try_decode};

const GOOD: &str = r#"{"object":"trace","id":"t","workflow_name":"w"}"#;

/// Puts `item` between two good ones and checks that it alone is refused.
fn check_refused(item: &[u8], code: &str, reason: &str) {
    let body = [
        b"{\"data\":[",
        GOOD.as_bytes(),
        b",",
        item,
        b" , ",
        GOOD.as_bytes(),
        b"]}",
    ]
    .concat();
    let batch = try_decode(&body).unwrap();
    assert_eq!(batch.accepted, 2);
    let [refused] = &batch.rejected[..] else {
        panic!("{:?}", batch.rejected)
    };
    assert_eq!(
        (refused.index, refused.code),
        (1, code),
        "{}",
        refused.reason
    );
    assert!(
        refused.reason.contains(reason),
        "{} does not say {reason}",
        refused.reason
    );
}

fn span(more: &str) -> Vec<u8> {
    format!(r#"{{"object":"trace.span","id":"s","trace_id":"t","span_data":{{"type":"custom"}},{more}}}"#).into_bytes()
}

#[test]
fn an_item_that_is_not_json_is_refused_alone() {
    check_refused(
        &span(r#""error":NaN"#),
        "bad_json",
        "expected a value at byte",
    );
    check_refused(
        &span(r#""error":[-Infinity]"#),
        "bad_json",
        "expected a digit at byte",
    );
    check_refused(
        &span("\"error\":\"\u{1}\""),
        "bad_json",
        "control character",
    );
    check_refused(&span(r#""error":"\x41""#), "bad_json", "expected an escape");
    check_refused(
        &[&br#"{"object":"trace","id":""#[..], b"\xff\xfe", b"\"}"].concat(),
        "bad_utf8",
        "not UTF-8 at byte 81",
    );
}

#[test]
fn a_field_that_cannot_be_used_refuses_its_item_alone() {
    let long = "x".repeat(257);
    check_refused(
        &span(r#""started_at":"yesterday""#),
        "bad_time",
        r#""started_at": "yesterday""#,
    );
    check_refused(
        &span(r#""ended_at":1767323045"#),
        "bad_time",
        r#""ended_at" must be an RFC 3339 time"#,
    );
    check_refused(
        br#"{"object":"trace"}"#,
        "bad_id",
        r#""id" must be a string"#,
    );
    check_refused(
        br#"{"object":"trace","id":7}"#,
        "bad_id",
        r#""id" must be a string"#,
    );
    check_refused(
        br#"{"object":"trace","id":""}"#,
        "bad_id",
        "must not be empty",
    );
    check_refused(
        br#"{"object":"trace.span","id":"s"}"#,
        "bad_id",
        r#""trace_id" must be a string"#,
    );
    check_refused(
        &span(&format!(r#""id":"{long}""#)),
        "bad_id",
        "this one has 257",
    );
    check_refused(
        &span(&format!(r#""parent_id":"{long}""#)),
        "bad_id",
        r#""parent_id""#,
    );
    check_refused(
        br#"{"object":"trace","id":"t","group_id":{}}"#,
        "bad_id",
        r#""group_id""#,
    );
    check_refused(
        br#"{"object":"thread","id":"t"}"#,
        "unknown_object",
        r#""object" is "thread""#,
    );
    check_refused(br#"{"object":5}"#, "unknown_object", "is 5");
    check_refused(b"{}", "unknown_object", "no \"object\"");
    for (item, found) in [
        ("[]", "a list"),
        ("null", "null"),
        ("1.5", "a number"),
        ("\"x\"", "a string"),
        ("true", "a boolean"),
    ] {
        check_refused(item.as_bytes(), "not_an_object", found);
    }
    check_refused(b"NaN", "bad_json", "expected a value at byte");
    let deep = format!("{}1{}", "[".repeat(256), "]".repeat(256));
    check_refused(
        &span(&format!(r#""error":{deep}"#)),
        "too_deep",
        "256 levels",
    );
}

fn check_envelope(body: &str, want: &str) {
    let error = try_decode(body.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), want, "{body}");
}

#[test]
fn an_envelope_that_cannot_be_read_says_where_and_why() {
    let expected = r#"an object with a "data" list"#;
    check_envelope(
        "",
        &format!("the body is not JSON: expected {expected} at byte 0"),
    );
    check_envelope(
        "hello",
        &format!("the body is not JSON: expected {expected} at byte 0"),
    );
    check_envelope(
        " [1]",
        &format!("the body has no items: expected {expected} at byte 1"),
    );
    check_envelope(
        "{}",
        r#"the body has no items: expected a "data" list before the end at byte 2"#,
    );
    check_envelope(
        r#"{"data":{}}"#,
        "the body has no items: expected a list at byte 8",
    );
    check_envelope(
        r#"{"data":[{}"#,
        "the body is not JSON: expected ',' or ']' at byte 11",
    );
    check_envelope(
        r#"{"data":[{"a":"b"#,
        "the body is not JSON: expected the end of a string at byte 16",
    );
    check_envelope(
        r#"{"data":[,]}"#,
        "the body is not JSON: expected a value at byte 9",
    );
    check_envelope(
        r#"{"data":[]}x"#,
        "the body is not JSON: expected the end of the body at byte 11",
    );
    check_envelope(
        r#"{"data":[] "a":1}"#,
        "the body is not JSON: expected ',' or '}' at byte 11",
    );
    for fine in [
        r#"{"data":[]}"#,
        " {\n} ".replace('\n', r#""x":NaN,"data" : [ ] "#).as_str(),
        "{\"more\":[{}],\"data\":[]}",
    ] {
        assert_eq!(try_decode(fine.as_bytes()).unwrap().accepted, 0, "{fine}");
    }
}

#[test]
fn every_cut_of_a_body_is_an_error() {
    let capture = captures()
        .into_iter()
        .find(|capture| capture.name == "python/unicode.full")
        .unwrap();
    let body = capture.bodies[0].clone();
    for length in 0..body.trim_ascii_end().len() {
        assert!(
            decode(body.slice(..length), &context()).is_err(),
            "the first {length} bytes are taken"
        );
    }
}

#[test]
fn ten_million_brackets_are_one_refused_item() {
    let bomb = [b"[".repeat(10_000_000), b"]".repeat(10_000_000)].concat();
    check_refused(&bomb, "too_deep", "256 levels");
    let open = [&b"{\"data\":["[..], &b"{\"a\":[".repeat(5_000_000)].concat();
    assert!(matches!(
        try_decode(&open),
        Err(EnvelopeError::NotJson { .. })
    ));
}

#[test]
fn an_item_of_too_many_values_is_refused_alone() {
    let many = [&b"[0"[..], &b",0".repeat(8_000_000), b"]"].concat();
    check_refused(&many, "too_large", "more than 8000000 values");
}

#[test]
fn a_body_of_64_mib_is_taken_whole() {
    let answer = "words ".repeat(64 * 1024 * 1024 / 6 - 200);
    let item = format!(
        r#"{{"object":"trace.span","id":"s","trace_id":"t","ended_at":"2026-01-02T03:04:06Z",
            "span_data":{{"type":"function","name":"dump","input":"{{}}","output":"{answer}"}}}}"#
    );
    let body = Bytes::from(format!("{{\"data\":[{item}]}}"));
    assert!(body.len() > 64 * 1024 * 1024 - 2_000);
    let batch = decode(body, &context()).unwrap();
    assert_eq!((batch.accepted, batch.messages.len()), (1, 1));
    assert_eq!(batch.messages[0].content.len(), answer.len() + 2);
    assert_eq!(
        batch.spans[0].output_preview.as_deref(),
        Some(&answer[..256])
    );
    assert!(batch.spans[0].payload.data.as_ref().unwrap().as_str().len() < 100);
}

fn never_panics(body: Vec<u8>) {
    let body = Bytes::from(body);
    drop(decode(body.clone(), &context()));
    let mut documents = Documents::new(1 << 20);
    documents.feed(&body);
    documents.finish();
    for document in documents.take(1_000).flatten() {
        drop(decode_document(document, &context()));
    }
}

#[test]
fn mutated_captures_never_panic() {
    // xorshift64: the same bytes are hit in every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    const ODD: [&[u8]; 10] = [
        b"\"", b"\\", b"{", b"]", b",", b"null", b"\xff", b"1e999", b"\\ud800", b"\0",
    ];
    for capture in captures()
        .iter()
        .filter(|capture| capture.bodies[0].len() < 40_000)
    {
        for _ in 0..40 {
            let mut body = capture.bodies[0].to_vec();
            for _ in 0..1 + random(4) {
                let at = random(body.len());
                let end = at + random(3).min(body.len() - at);
                body.splice(at..end, ODD[random(ODD.len())].iter().copied());
            }
            never_panics(body);
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        never_panics(bytes);
    }

    #[test]
    fn anything_like_json_never_panics(text in "(\\{\"data\":\\[)?([\\[\\]{},:\"\\\\0-9a\n]|\"object\":\"trace\"|\"id\":\"t\"){0,40}(\\]\\})?") {
        never_panics(text.into_bytes());
    }
}
