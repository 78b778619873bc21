//! Tables taken out in parts: what is meant and nothing else, as one file.

use std::sync::{Arc, LazyLock};

use crate::fixture::*;
use arrow::array::RecordBatch;
use futures::executor::block_on;
use futures::{StreamExt, TryStreamExt, stream};
use model::TraceId;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use query::{Engine, Format, SqlError, View, encode_parts};
use store::lake::{self, Table};

static ENGINE: LazyLock<Engine> = LazyLock::new(engine);

/// Returns a table of these traces, so many of them a part.
fn file(
    view: &Arc<dyn View>,
    table: Table,
    format: Format,
    ids: &[&str],
    at_once: usize,
) -> Result<Vec<u8>, SqlError> {
    let ids: Vec<TraceId> = ids.iter().map(|id| TraceId::new(id).unwrap()).collect();
    let parts: Vec<Vec<TraceId>> = ids.chunks(at_once).map(<[_]>::to_vec).collect();
    let view = Arc::clone(view);
    let parts = stream::iter(parts).then(move |ids| ENGINE.rows_of(Arc::clone(&view), table, ids));
    block_on(async {
        let chunks: Vec<bytes::Bytes> = encode_parts(table, format, parts)?.try_collect().await?;
        Ok(chunks.concat())
    })
}

fn batches(parquet: impl Into<bytes::Bytes>) -> Vec<RecordBatch> {
    ParquetRecordBatchReader::try_new(Into::<bytes::Bytes>::into(parquet), 1_000)
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

#[test]
fn parts_are_one_file_of_what_is_meant() {
    let (_lake, view) = demo();
    // A trace of another project, and one that is not there, are nothing.
    let ids = ["live", "t07", "t03", "secret3", "t01", "nowhere"];
    for at_once in [1, 2, 6] {
        let csv = file(&view, Table::Traces, Format::Csv, &ids, at_once).unwrap();
        let csv = String::from_utf8(csv).unwrap();
        let told: Vec<&str> = csv
            .lines()
            .skip(1)
            .map(|line| line.split(',').nth(1).unwrap())
            .collect();
        assert_eq!(told, ["live", "t07", "t03", "t01"], "{at_once}");
        assert!(csv.starts_with("project_id,trace_id,") && !csv.contains("secret"));
        for (table, rows) in [
            (Table::Traces, 4),
            (Table::Spans, 3),
            (Table::Messages, 3),
            (Table::Grades, 3),
        ] {
            let parquet = file(&view, table, Format::Parquet, &ids, at_once).unwrap();
            let batches = batches(parquet);
            assert_eq!(
                batches.iter().map(RecordBatch::num_rows).sum::<usize>(),
                rows
            );
            let names = |schema: &arrow::datatypes::SchemaRef| -> Vec<String> {
                schema
                    .fields()
                    .iter()
                    .map(|field| field.name().clone())
                    .collect()
            };
            assert_eq!(names(&batches[0].schema()), names(&lake::schema(table)));
        }
    }
}

#[test]
fn a_table_of_nothing_has_its_columns() {
    let (_lake, view) = demo();
    let csv = file(&view, Table::Messages, Format::Csv, &[], 1).unwrap();
    assert!(csv.starts_with(b"project_id,trace_id,hash"), "{csv:?}");
    let parquet = file(&view, Table::Spans, Format::Parquet, &[], 1).unwrap();
    assert!(batches(parquet).is_empty());
}

#[test]
fn a_part_that_fails_ends_the_file() {
    let (lake, view) = demo();
    drop(lake);
    let result = file(&view, Table::Spans, Format::Csv, &["t01"], 1);
    assert!(matches!(result, Err(SqlError::Expired)), "{result:?}");
}
