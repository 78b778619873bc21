//! DataFusion over one view of one project: SQL with limits, and the reads that the API needs.
//!
//! Invariant T1 lives here: a session cannot read, count, infer from statistics or provoke an error
//! message from another project's rows, because they are cut out of the files before DataFusion sees
//! them. What is absent: writing, settings, file access, and any knowledge of the log.

mod condition;
mod content;
mod cursor;
mod encode;
mod error;
mod export;
mod files;
mod filter;
mod hiding;
mod needle;
mod provider;
mod prune;
mod reads;
mod search;
mod session;
mod sql;
mod tables;
mod view;

pub use content::MissingMessage;
pub use cursor::{BadCursor, Cursor};
pub use encode::Format;
pub use error::{Limit, Place, SqlError};
pub use export::encode_parts;
pub use files::{FileError, ReadCounts};
pub use filter::filter_expr;
pub use needle::Needle;
pub use reads::{GatherBy, Order, Page, ReadError, Summary, SummaryCursor, TraceList};
pub use search::{Found, Hit, Place as HitPlace, Search, SearchCursor};
pub use session::{Engine, EngineConfig, EngineError};
pub use sql::{Limits, SqlStream};
pub use view::{Hidden, View, ViewError};
