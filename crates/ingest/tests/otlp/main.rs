//! The decoder of OpenTelemetry against everything instrumentations were seen to send, and against
//! everything else.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod captures;
mod conformance;
mod contents;
mod edge;
mod hostile;
mod records;
mod roundtrip;
mod rules;
mod support;
