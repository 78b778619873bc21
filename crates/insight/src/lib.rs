//! What a trace means, computed from what was recorded and nothing else: no disk, no socket, no clock.

mod canonical;
pub mod drain;
mod effects;
pub mod failures;
pub mod fence;
pub mod judging;
pub mod render;
pub mod template;
pub mod trajectory;
mod view;

pub use effects::Effects;
pub use view::{DeclaredTool, SpanView, ToldSpan, ToldTrace, TraceView};
