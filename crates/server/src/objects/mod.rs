//! What do a trace and a span look like in JSON? Pure functions from rows to what is sent.
//!
//! The read model's table of names decides here, the guide's and the SDKs' own words included. A
//! sender's JSON is never turned into a tree: its text is checked and passed on as it is, so that
//! numbers, key order and messages come out as they came in.

mod export;
mod payload;
#[cfg(test)]
pub(crate) mod samples;
mod span;
#[cfg(test)]
mod tests;
mod trace;
mod turns;

pub(crate) use export::{Exported, TraceFormat};
pub(crate) use payload::{Detail, Fault, Messages, Shown, expanded_bytes, own_bytes};
pub(crate) use span::{Place, SpanObject, moved_micros};
pub(crate) use trace::{TraceMatch, TraceObject, horizon};
pub(crate) use turns::Turns;
