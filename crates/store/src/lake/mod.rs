//! What lies in Parquet: how rows become files, how files are merged, and how they are read back.
//!
//! Nothing here knows a disk, a catalog or a clock. Files are written to any `Write` and read through
//! [`ReadAt`]; which files there are, and which of their rows are hidden, is told by the caller. A row
//! goes `encode` → `writer` → file → `reader` → `decode`, or file → `merge` → `split` → files.

mod batches;
mod columns;
mod decode;
mod encode;
mod end;
#[cfg(test)]
mod files_test;
mod filter;
mod footer;
mod grades;
mod merge;
mod messages;
mod pages;
mod reader;
#[cfg(test)]
pub(crate) mod samples;
mod schema;
mod seal;
mod source;
mod spans;
mod split;
mod traces;
mod view;
mod writer;

pub use batches::Batches;
pub use columns::LakeRow;
pub(crate) use decode::typed_column;
pub use decode::{DecodeError, decode};
pub use encode::{EncodeError, encode};
pub use end::LakeMeta;
pub use filter::{TraceHash, TraceSet, TraceSetError};
pub use footer::{
    BadInfo, BadName, FileName, FileSummary, Footer, Level, Partition, ProjectSummary,
};
pub use grades::GradeRow;
pub use merge::{Merge, MergeError, MergeLimits};
pub use messages::MessageRow;
pub use reader::{LakeFile, ReadError, Wanted};
pub use schema::{Columns, SCHEMA_VERSION, SortKey, Table, UnknownColumn, schema, sort_keys};
pub use source::ReadAt;
pub use spans::SpanRow;
pub use split::{SplitError, SplitLimits, Splitter};
pub use traces::TraceEntry;
pub use view::{RowKey, RowKeys};
pub(crate) use writer::ENCODE_BYTES_MAX;
pub use writer::{Finished, LakeWriter, WriteError, WriterLimits};
