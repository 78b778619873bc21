//! Spans of attributes that some dialect knows, with values of any other: three bytes choose each.
#![no_main]

use fuzz::{TOLD, in_otlp};
use ingest::otlp::Encoding;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// Attributes of one span.
const ATTRIBUTES_MAX: usize = 16;

fuzz_target!(|bytes: &[u8]| {
    let spans = bytes.chunks(3 * ATTRIBUTES_MAX + 2).take(8).enumerate().map(|(number, bytes)| {
        let (head, bytes) = bytes.split_at(bytes.len().min(2));
        let attributes = bytes.chunks_exact(3).map(attribute).collect::<Vec<_>>();
        let parent = head.get(1).map_or(0, |parent| usize::from(*parent) % (number + 1));
        json!({
            "traceId": "0af7651916cd43dd8448eb211c80319c",
            "spanId": format!("{:016x}", number + 1),
            "parentSpanId": if parent == 0 { String::new() } else { format!("{parent:016x}") },
            "name": TOLD.scopes[usize::from(*head.first().unwrap_or(&0)) % TOLD.scopes.len()],
            "startTimeUnixNano": "1",
            "endTimeUnixNano": "2",
            "attributes": attributes,
        })
    });
    let scope = &TOLD.scopes[usize::from(*bytes.first().unwrap_or(&0)) % TOLD.scopes.len()];
    let request = json!({ "resourceSpans": [{ "scopeSpans": [{
        "scope": { "name": scope },
        "spans": spans.collect::<Vec<_>>(),
    }]}]});
    fuzz::check_otlp(request.to_string().as_bytes(), Encoding::Json);
});

/// Returns the attribute that two bytes name; the third says whose value it has, or how it is written.
fn attribute(bytes: &[u8]) -> Value {
    let known = &TOLD.attributes;
    let at = usize::from(bytes[0]) << 8 | usize::from(bytes[1]);
    let (key, own) = &known[at % known.len()];
    let value = match bytes[2] {
        0..128 => own.clone(),
        128..160 => Value::from(own.to_string()),
        160..176 => Value::from(i64::from(bytes[2]) - 168),
        other => known[at.wrapping_mul(usize::from(other)) % known.len()].1.clone(),
    };
    json!({ "key": key, "value": in_otlp(&value) })
}
