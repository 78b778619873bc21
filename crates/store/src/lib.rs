//! Keeps rows: a log that makes an acknowledgement true, a live buffer that makes it readable, Parquet
//! files that keep it, and a catalog that says which files count.
//!
//! The life of a batch: `append` → `writer` (log) → `live` → `flush` (Parquet and one commit) →
//! `compact`. A reader takes a [`Snapshot`]. The invariants D1 to D7 stand in ARCHITECTURE.md, at
//! their asserts here, and in the names of the tests.

mod append;
mod backup;
mod bulk;
pub mod catalog;
mod compact;
mod comparisons;
mod config;
mod delete;
pub mod disk;
mod doctor;
mod engine;
mod files;
mod flush;
mod gate;
mod grades;
pub mod lake;
mod lanes;
mod ledger;
mod live;
mod lock;
pub mod meta;
mod meta_copies;
mod outputs;
mod rebuild;
pub mod record;
mod set_aside;
mod snapshot;
mod sqlite;
mod store;
#[cfg(test)]
mod tests;
mod tidy;
mod uploads;
pub mod wal;
mod writer;

pub use append::{Ack, AppendError, Prepared};
pub use backup::{BackupError, MANIFEST, Manifest, ManifestFile, Restored, read_manifest, restore};
pub use bulk::{TraceBounds, TraceSpans};
pub use config::StoreConfig;
pub use delete::{DeleteError, Deleted};
pub use doctor::{Check, Checkup};
pub use engine::StoreError;
pub use gate::{Limit, Refusal};
pub use grades::GradeFilter;
pub use lake::{Columns, SpanRow, Table, TraceEntry};
pub use ledger::{Ledger, Reservation, Share, ShareFull};
pub use live::TraceKey;
pub use lock::LockError;
pub use rebuild::{Rebuilt, rebuild_catalog};
pub use snapshot::{Hides, ReadError, ScanFile, Snapshot};
pub use sqlite::DbError;
pub use store::{Store, StoreStats};
