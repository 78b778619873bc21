//! The real server in this process, on a free port, over a folder of its own.

#![expect(
    clippy::unwrap_used,
    reason = "what supports a test is a test: it fails by panicking"
)]

mod archive;
mod capture;
mod doors;
mod exports;
mod forward;
mod grpc;
mod imports;
mod operate;
mod otlp;
mod processing;
mod proxy;
mod reads;
mod rules;
mod run;
mod slow;
mod support;
mod trial;
