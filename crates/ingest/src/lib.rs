//! Foreign bytes to `model`: one module a dialect, all of them pure.
//!
//! A decoder takes the bytes of one request and answers with a [`model::Batch`]. It reads no clock,
//! opens no file and keeps nothing between two calls, so a request decodes the same way wherever and
//! however often it arrives. What a sender got wrong is refused item by item; only an envelope that
//! cannot be read at all is an error.

pub mod agents_sdk;
pub mod contents;
mod dialects;
pub mod imports;
mod json;
pub mod messages;
pub mod openai_api;
pub mod otlp;
pub mod outgoing;
pub mod process;
pub mod protobuf;
