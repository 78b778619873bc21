//! What a trace means, computed from what was recorded and nothing else: no disk, no socket, no clock.

mod effects;
pub mod rule;
mod view;

pub use effects::Effects;
pub use view::{DeclaredTool, SpanView, ToldSpan, ToldTrace, TraceView};
