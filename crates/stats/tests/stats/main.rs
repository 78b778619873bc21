//! The crate as its users see it: on real labels, and by simulation.

mod datasets;
#[path = "../../benches/simulated/mod.rs"]
mod simulated;
mod simulations;
