//! What is a judge asked, and what did it answer?
//!
//! Everything here is pure: a prompt is made of a criterion and a rendering, an answer is read against what
//! was offered and against the trace. Whoever runs judges sends the one and acts on the other.

mod answer;
mod criterion;
mod evidence;
#[cfg(test)]
mod injection;
mod offered;
mod prompt;
mod scale;

pub use answer::{Answer, Choice, Citation, Judged, Reply, Which, read_answer};
pub use criterion::{Criterion, Example};
pub use evidence::{Evidence, Place};
pub use offered::Offered;
pub use prompt::{Assembly, Exhibit, Inputs, Order, Prompt, Section, SectionKind};
pub use scale::Scale;
