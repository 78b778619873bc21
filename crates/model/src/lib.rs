//! The words of tracegrade: what a trace, a span and a message are, and what can be said of them
//! without touching a disk or a socket.
//!
//! Everything here is a value or a pure function. Time comes in as an argument, bytes come in as
//! slices, and nothing is async. Names are those of SQL, JSON and the CLI.

mod batch;
mod chat;
mod clock;
mod condition;
mod dates;
mod derive;
mod doubles;
mod failure;
mod filter;
mod forest;
mod grade;
mod id;
mod json;
mod message;
mod money;
mod outcome;
pub mod payload;
mod prices;
mod rank;
mod secrets;
#[cfg(test)]
mod sketch;
mod span;
mod time;
mod trace;

pub use batch::{Batch, Rejection, Rejections};
pub use chat::{ChatMessage, DeclaredTool, Part, answered, asked};
pub use clock::{Clock, FixedClock, SystemClock};
pub use condition::{COLUMNS, Column, ColumnKind, Comparison, Condition, Operand, Operation};
pub use dates::{BadDate, Bound, Zone, parse_bound};
pub use derive::{Received, derive};
pub use doubles::{SOURCE_TYPE_LOG_RECORD, Twin, doubles, structural_doubles, twins};
pub use failure::SpanError;
pub use filter::{FilterError, FilterRule, Limits, TraceFilter};
pub use forest::{Kin, Places, own_agent, places, resolve_agents, shared_names};
pub use grade::{
    GRADE_ITEM_BYTES, GRADE_RUN_BYTES, Grade, JudgeUse, Outcome, UnscoredReason, Verdict,
};
pub use id::{GroupId, ID_BYTES_MAX, IdError, ProjectId, SpanId, TraceId};
pub use json::{JsonText, NotJson};
pub use message::{Message, MessageHash, Role};
pub use money::NanoUsd;
pub use prices::{BadRate, Price, PriceError, PriceErrorKind, PriceTable, Rate};
pub use rank::{BadRanks, Rank, Ranks};
pub use secrets::{Recogniser, Recognisers, Secret};
pub use span::{DroppedCounts, Payload, Source, Span, SpanStatus, SpanType, UnknownWord, Usage};
pub use time::{BadTime, Time};
pub use trace::{Content, TraceItem, TraceRow, TraceStatus};

/// Previews on span and trace rows hold at most this many characters.
pub const PREVIEW_CHARS_MAX: usize = 256;

/// Lists on a trace row (models, agents, sequences) hold at most this many entries.
pub const TRACE_LIST_MAX: usize = 1_000;

/// Returns the first [`PREVIEW_CHARS_MAX`] characters of `text`, cut on a character boundary.
pub fn preview(text: &str) -> &str {
    let Some(begin) = text.as_bytes().get(..PREVIEW_CHARS_MAX) else {
        return text;
    };
    if begin.is_ascii() {
        return &text[..PREVIEW_CHARS_MAX];
    }
    match text.char_indices().nth(PREVIEW_CHARS_MAX) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}
