//! Ids of 16 and 8 bytes for traces and spans whose senders chose others.
//!
//! The same id becomes the same bytes wherever and whenever it is sent, so that the parts of a trace
//! find each other at the other end. What the sender called them goes along in an attribute.

use model::{MessageHash, SpanId, TraceId};

use crate::otlp::rebuilt::bytes_of_hex;

/// Returns the id of a trace: `trace_` and 32 digits as these digits, all else as a hash.
pub(super) fn trace_id(id: &TraceId) -> [u8; 16] {
    let text = id.as_str();
    let digits = text.strip_prefix("trace_").unwrap_or(text);
    bytes_of_hex(digits).unwrap_or_else(|| hash(text))
}

/// Returns the id of a span: 16 digits as they are, all else as a hash. The 24 digits of the Agents
/// SDK are not cut, for ids that are counted up would fall together.
pub(super) fn span_id(id: &SpanId) -> [u8; 8] {
    bytes_of_hex(id.as_str()).unwrap_or_else(|| {
        let mut short = [0; 8];
        short.copy_from_slice(&hash(id.as_str())[..8]);
        short
    })
}

/// Returns a hash none of whose halves is zero, which OpenTelemetry takes for no id.
fn hash(text: &str) -> [u8; 16] {
    let mut hash = MessageHash::of(text.as_bytes()).0;
    hash[0] |= 1;
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::hex;

    #[test]
    fn ids_keep_their_digits_where_they_can_and_never_are_zero() {
        let trace = |id: &str| hex(&trace_id(&TraceId::new(id).unwrap()));
        let digits = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(trace(digits), digits);
        assert_eq!(trace(&format!("trace_{digits}")), digits);
        let others = [
            "trace_1",
            "trace_4BF92F3577B34DA6A3CE929D0E0E4736",
            "trace_00000000000000000000000000000000",
            "späße",
        ];
        let mut seen = std::collections::HashSet::new();
        assert!(others.iter().all(|id| seen.insert(trace(id))));
        let span = |id: &str| hex(&span_id(&SpanId::new(id).unwrap()));
        assert_eq!(span("00f067aa0ba902b7"), "00f067aa0ba902b7");
        assert_ne!(
            span("span_000000000000000000000001"),
            span("span_000000000000000000000002")
        );
        assert_ne!(span("0000000000000000"), "0000000000000000");
    }
}
