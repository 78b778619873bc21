//! The crate as its users see it: on real labels, and by simulation.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod datasets;
#[path = "../../benches/simulated/mod.rs"]
mod simulated;
mod simulations;
