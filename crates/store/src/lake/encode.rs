//! Rows to a `RecordBatch`: only the columns that are asked for are built, so that a live read costs
//! what it reads.

use std::borrow::Borrow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, FixedSizeBinaryArray, Float64Array, Int64Array, ListArray,
    RecordBatch, RecordBatchOptions, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use model::{MessageHash, Time};

use super::columns::{Access, LakeRow, item_field};
use super::schema::{Columns, Table};

/// What Arrow's offsets can address. Less in tests, which look at what follows.
const COLUMN_BYTES_MAX: usize = if cfg!(test) {
    24 << 20
} else {
    i32::MAX as usize
};

/// Why rows cannot become a batch.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// One column's texts exceed what a batch can address; encode fewer rows at a time.
    #[error(
        "the texts of column {column} of {table} have {bytes} bytes together, more than one batch holds"
    )]
    TooLarge {
        /// The table.
        table: Table,
        /// The column.
        column: &'static str,
        /// The bytes of its values.
        bytes: usize,
    },
    /// The columns are those of another table: a bug of the caller.
    #[error("columns of table {asked} cannot be made from rows of table {rows}")]
    OtherTable {
        /// The table of the columns.
        asked: Table,
        /// The table of the rows.
        rows: Table,
    },
    /// Arrow refuses the arrays: a bug in the list of columns.
    #[error("columns of table {table} do not form a batch")]
    Arrow {
        /// The table.
        table: Table,
        /// What Arrow says.
        source: ArrowError,
    },
}

/// Returns `rows` as a batch of `columns`.
pub fn encode<R: LakeRow, B: Borrow<R>>(
    rows: &[B],
    columns: &Columns,
) -> Result<RecordBatch, EncodeError> {
    let table = R::TABLE;
    if columns.table() != table {
        return Err(EncodeError::OtherTable {
            asked: columns.table(),
            rows: table,
        });
    }
    let arrays = columns.indices().iter().map(|&index| {
        let column = &R::columns()[index];
        build(rows, &column.access).map_err(|bytes| EncodeError::TooLarge {
            table,
            column: column.spec.name,
            bytes,
        })
    });
    let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
    // A count(*) asks for no column at all: the number of rows must not get lost.
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::clone(columns.schema()), arrays, &options)
        .map_err(|source| EncodeError::Arrow { table, source })
}

/// Returns one column of `rows`, or the bytes of its texts if they are too many.
fn build<R: LakeRow, B: Borrow<R>>(rows: &[B], access: &Access<R>) -> Result<ArrayRef, usize> {
    let rows = || rows.iter().map(Borrow::borrow);
    Ok(match *access {
        Access::Text(get, _) => Arc::new(texts(rows().map(get))?),
        Access::Written(get, _) => Arc::new(rows().map(get).collect::<StringArray>()),
        Access::Int(get, _) => Arc::new(rows().map(get).collect::<Int64Array>()),
        Access::Float(get, _) => Arc::new(rows().map(get).collect::<Float64Array>()),
        Access::Bool(get, _) => Arc::new(rows().map(get).collect::<BooleanArray>()),
        Access::Time(get, _) => {
            let micros = rows().map(|row| get(row).map(Time::as_micros));
            Arc::new(
                micros
                    .collect::<TimestampMicrosecondArray>()
                    .with_timezone("UTC"),
            )
        }
        Access::Date(get) => Arc::new(rows().map(get).collect::<Date32Array>()),
        Access::Hash(get, _) => Arc::new(hashes(rows().map(get))?),
        Access::Hashes(get, _) => Arc::new(ListArray::new(
            item_field(DataType::FixedSizeBinary(16)),
            OffsetBuffer::from_lengths(rows().map(|row| get(row).len())),
            Arc::new(hashes(rows().flat_map(get).copied())?),
            None,
        )),
        Access::Texts(get, _) => {
            let lists = || rows().map(get);
            Arc::new(ListArray::new(
                item_field(DataType::Utf8),
                OffsetBuffer::from_lengths(lists().map(|list| list.map_or(0, <[_]>::len))),
                Arc::new(texts(
                    lists().flatten().flatten().map(|text| Some(text.as_str())),
                )?),
                lists()
                    .any(|list| list.is_none())
                    .then(|| NullBuffer::from_iter(lists().map(|l| l.is_some()))),
            ))
        }
        Access::Ids(get, _) => Arc::new(ListArray::new(
            item_field(DataType::Utf8),
            OffsetBuffer::from_lengths(rows().map(|row| get(row).len())),
            Arc::new(texts(rows().flat_map(get).map(|id| Some(id.as_str())))?),
            None,
        )),
    })
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>> + Clone) -> Result<StringArray, usize> {
    let (count, bytes) = values.clone().fold((0, 0), |(count, bytes), value| {
        (count + 1, bytes + value.map_or(0, str::len))
    });
    if bytes > COLUMN_BYTES_MAX {
        return Err(bytes);
    }
    let mut builder = StringBuilder::with_capacity(count, bytes);
    values.for_each(|value| builder.append_option(value));
    Ok(builder.finish())
}

fn hashes(values: impl Iterator<Item = MessageHash>) -> Result<FixedSizeBinaryArray, usize> {
    let bytes: Vec<u8> = values.flat_map(|hash| hash.0).collect();
    match i32::try_from(bytes.len() / 16) {
        Ok(_) => Ok(FixedSizeBinaryArray::new(16, Buffer::from(bytes), None)),
        Err(_) => Err(bytes.len()),
    }
}
