//! A whole table of many traces, for other programs.
//!
//! A view holds its files for minutes, and an export may take hours. So the traces are read in parts,
//! each from a view of its own, and the parts are written one after another as one file. What is in
//! memory is a few batches, and for Parquet one row group.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use model::TraceId;
use store::lake::{self, Table};

use crate::encode::{Format, Rows, encode};
use crate::error::{Limit, SqlError};
use crate::session::Engine;
use crate::sql::{Limits, SqlStream};
use crate::view::View;

/// As long as a view holds its files: a part that takes longer could not go on anyway.
const PART_TIME: Duration = Duration::from_secs(300);

impl Engine {
    /// Starts to read the rows that `table` shows of these traces: one part of an export. It waits
    /// while too many queries run.
    pub async fn rows_of(
        &self,
        view: Arc<dyn View>,
        table: Table,
        ids: Vec<TraceId>,
    ) -> Result<SqlStream, SqlError> {
        let limits = Limits {
            time: PART_TIME,
            rows_max: usize::MAX,
            result_bytes_max: usize::MAX,
            ..Limits::default()
        };
        self.rows(view, table, ids, limits).await
    }
}

/// Returns the parts of a table as the bytes of one file. A part is begun when the one before it is
/// written; the first that fails ends the file in the middle.
pub fn encode_parts(
    table: Table,
    format: Format,
    parts: impl Stream<Item = Result<SqlStream, SqlError>> + Send + 'static,
) -> Result<impl Stream<Item = Result<Bytes, SqlError>> + Send, SqlError> {
    let schema = lake::schema(table);
    let rows = Parts {
        schema: Arc::clone(&schema),
        parts: Box::pin(parts),
        part: None,
        count: 0,
    };
    encode(rows, format, schema)
}

/// The rows of an export.
struct Parts {
    schema: SchemaRef,
    parts: Pin<Box<dyn Stream<Item = Result<SqlStream, SqlError>> + Send>>,
    part: Option<SqlStream>,
    count: usize,
}

impl Rows for Parts {
    async fn next(&mut self) -> Result<Option<RecordBatch>, SqlError> {
        loop {
            if let Some(part) = &mut self.part {
                if let Some(batch) = part.next().await? {
                    self.count += batch.num_rows();
                    // A plan may know of columns that they are never null; the file says what the
                    // table says.
                    let schema = Arc::clone(&self.schema);
                    let batch = RecordBatch::try_new(schema, batch.columns().to_vec());
                    return batch
                        .map(Some)
                        .map_err(|error| SqlError::Internal(Box::new(error)));
                }
                if let Some(limit) = part.cut() {
                    return Err(SqlError::Cut(limit));
                }
            }
            self.part = match self.parts.next().await {
                Some(part) => Some(part?),
                None => return Ok(None),
            };
        }
    }

    fn count(&self) -> usize {
        self.count
    }

    fn cut(&self) -> Option<Limit> {
        None
    }
}
