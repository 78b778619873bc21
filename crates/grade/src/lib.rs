//! Graders and those who run them: what a definition means, how a judge is asked, how code is kept in
//! its box, and how a run of thousands survives a crash.

pub mod calibrate;
pub mod compare;
pub mod failures;
pub mod gate;
pub mod judge;
pub mod library;
pub mod openai;
pub mod results;
pub mod sandbox;
mod scale;
pub mod stopping;
pub mod trace;

pub use scale::GraderScale;
