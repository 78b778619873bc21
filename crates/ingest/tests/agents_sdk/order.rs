//! Requests are retried, cut and reordered; what is known in the end is the same.

use std::collections::BTreeSet;

use bytes::Bytes;
use model::Batch;

use crate::support::{captures, decode_all, envelope, items, settle};

/// Everything a store would know, in an order of its own.
fn known(batch: Batch) -> (Vec<String>, BTreeSet<String>, BTreeSet<String>) {
    let spans = settle(batch.spans)
        .iter()
        .map(|span| format!("{span:?}"))
        .collect();
    let traces = batch
        .traces
        .iter()
        .map(|item| format!("{item:?}"))
        .collect();
    let messages = batch
        .messages
        .iter()
        .map(|message| format!("{message:?}"))
        .collect();
    (spans, traces, messages)
}

#[test]
fn twice_reversed_or_one_by_one_is_the_same_as_once() {
    for capture in captures() {
        let once = known(decode_all(&capture.bodies));
        let twice: Vec<Bytes> = capture
            .bodies
            .iter()
            .chain(&capture.bodies)
            .cloned()
            .collect();
        assert_eq!(known(decode_all(&twice)), once, "{} twice", capture.name);

        let all: Vec<String> = capture.bodies.iter().flat_map(|body| items(body)).collect();
        let reversed: Vec<String> = all.iter().rev().cloned().collect();
        assert_eq!(
            known(decode_all(&[envelope(&reversed)])),
            once,
            "{} reversed",
            capture.name
        );

        let singles: Vec<Bytes> = all
            .iter()
            .map(|item| envelope(std::slice::from_ref(item)))
            .collect();
        assert_eq!(
            known(decode_all(&singles)),
            once,
            "{} one by one",
            capture.name
        );
    }
}
