//! What a trace means, computed from what was recorded and nothing else: no disk, no socket, no clock.

mod canonical;
mod detect;
pub mod drain;
mod effects;
mod events;
pub mod failures;
pub mod fence;
pub mod judging;
pub mod render;
pub mod rule;
mod shared;
pub mod template;
pub mod trajectory;
mod view;

pub use detect::{
    Answer, Baseline, Context, ContextWindows, Detector, Detectors, ErrorClass, Finding, Hit,
    Severity, WorkflowRules, schema_fault,
};
pub use effects::Effects;
pub use events::{ArgumentClass, Event, EventKind, events};
pub use model::DeclaredTool;
pub use shared::SharedMessages;
pub use view::{SpanView, ToldSpan, ToldTrace, TraceView};
