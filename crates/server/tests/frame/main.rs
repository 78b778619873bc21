//! The real server in this process, on a free port, over a folder of its own.

#![expect(
    clippy::unwrap_used,
    reason = "what supports a test is a test: it fails by panicking"
)]

mod capture;
mod doors;
mod exports;
mod forward;
mod operate;
mod otlp;
mod reads;
mod run;
mod slow;
mod support;
