//! What goes out comes back: every capture through every format.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod support;

mod formats;
mod hostile;
mod roundtrip;
