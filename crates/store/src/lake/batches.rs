//! The rows of a scan, a batch at a time, all of one schema whatever the file has.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::reader::ReadError;

/// The batches of a scan, all of the schema that was asked for.
pub struct Batches {
    pub(super) file: Arc<str>,
    pub(super) reader: ParquetRecordBatchReader,
    pub(super) schema: SchemaRef,
}

impl fmt::Debug for Batches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self
            .reader
            .next()?
            .and_then(|batch| conform(&batch, &self.schema));
        Some(batch.map_err(|source| ReadError::Arrow {
            file: Arc::clone(&self.file),
            source,
        }))
    }
}

/// Returns the batch with exactly the columns of `schema`: an older file lacks some.
fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(array) => Arc::clone(array),
            None => new_null_array(field.data_type(), batch.num_rows()),
        })
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}
