//! What a trace means, computed from what was recorded and nothing else: no disk, no socket, no clock.

mod effects;
mod shared;
mod view;

pub use effects::Effects;
pub use model::DeclaredTool;
pub use shared::SharedMessages;
pub use view::{SpanView, ToldSpan, ToldTrace, TraceView};
