//! Files of other products, as they were written by them, and what becomes of them.

#![expect(
    clippy::unwrap_used,
    reason = "what supports a test is a test: it fails by panicking"
)]

mod hostile;
mod langfuse_batch;
mod samples;
mod support;
