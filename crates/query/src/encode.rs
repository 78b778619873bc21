//! The rows of a query as bytes for the wire: JSON, CSV, Arrow IPC or Parquet, batch by batch.
//!
//! JSON says at its end whether the result was cut. The other formats have no place for that: there a
//! cut result ends in an error, so that a client sees a broken transfer and never a short table that
//! looks whole.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow_ipc::writer::StreamWriter;
use arrow_json::writer::{JsonFormat, Writer as JsonWriter, WriterBuilder as JsonWriterBuilder};
use bytes::Bytes;
use futures::{Stream, stream};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::error::{Limit, SqlError};
use crate::sql::SqlStream;

/// A row group is written once it takes this much memory: it is held whole until then.
const ROW_GROUP_BYTES: usize = 32 << 20;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One object: `columns`, `data` (an array of objects), `row_count`, `truncated`.
    Json,
    /// RFC 4180 with a header.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
    /// One Parquet file.
    Parquet,
}

impl Format {
    /// Returns the media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

impl SqlStream {
    /// Returns the result as the bytes of `format`. Two columns of one name are refused: an object
    /// cannot hold both.
    pub fn encode(
        self,
        format: Format,
    ) -> Result<impl Stream<Item = Result<Bytes, SqlError>> + Send, SqlError> {
        check_names(self.schema())?;
        let schema = Arc::clone(self.schema());
        encode(self, format, schema)
    }
}

/// Rows that can be written: where they come from, and whether they are all.
pub(crate) trait Rows: Send {
    /// Returns the next rows, or `None` at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<RecordBatch>, SqlError>> + Send;

    /// Returns how many rows were given out.
    fn count(&self) -> usize;

    /// Returns the limit at which they were cut.
    fn cut(&self) -> Option<Limit>;
}

impl Rows for SqlStream {
    async fn next(&mut self) -> Result<Option<RecordBatch>, SqlError> {
        Self::next(self).await
    }

    fn count(&self) -> usize {
        self.rows()
    }

    fn cut(&self) -> Option<Limit> {
        Self::cut(self)
    }
}

/// Returns rows of `schema` as the bytes of `format`.
pub(crate) fn encode(
    rows: impl Rows,
    format: Format,
    schema: SchemaRef,
) -> Result<impl Stream<Item = Result<Bytes, SqlError>> + Send, SqlError> {
    let out = Out::default();
    let encoder = Encoder::new(format, &schema, &out)?;
    let state = Some(Encoding { rows, encoder, out });
    Ok(stream::try_unfold(state, |state| async move {
        let Some(mut encoding) = state else {
            return Ok(None);
        };
        loop {
            let is_done = encoding.step().await?;
            let bytes = encoding.out.take();
            match (is_done, bytes.is_empty()) {
                (true, true) => return Ok(None),
                (true, false) => return Ok(Some((bytes, None))),
                (false, false) => return Ok(Some((bytes, Some(encoding)))),
                // Parquet writes a row group at a time.
                (false, true) => {}
            }
        }
    }))
}

fn check_names(schema: &SchemaRef) -> Result<(), SqlError> {
    let names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
    let twice = names
        .iter()
        .enumerate()
        .find(|(at, name)| names[..*at].contains(name));
    match twice {
        None => Ok(()),
        Some((_, name)) => Err(SqlError::Invalid {
            message: format!("two columns of the result are named \"{name}\""),
            place: None,
            hint: Some("name one of them with AS".to_owned()),
        }),
    }
}

/// A result on its way to bytes.
struct Encoding<R> {
    rows: R,
    encoder: Encoder,
    out: Out,
}

impl<R: Rows> Encoding<R> {
    /// Encodes the next batch, or the end; returns whether that was the end.
    async fn step(&mut self) -> Result<bool, SqlError> {
        let internal = |error: EncodeError| SqlError::Internal(error.into());
        match self.rows.next().await? {
            Some(batch) => {
                self.encoder.write(&batch).map_err(internal)?;
                Ok(false)
            }
            None => {
                if let (Some(limit), false) = (self.rows.cut(), self.encoder.says_cut()) {
                    return Err(SqlError::Cut(limit));
                }
                let (count, cut) = (self.rows.count(), self.rows.cut());
                self.encoder
                    .finish(count, cut, &mut self.out)
                    .map_err(internal)?;
                Ok(true)
            }
        }
    }
}

/// Rows could not be written in the format: a bug, since every type of a result has a form in each.
#[derive(Debug, thiserror::Error)]
enum EncodeError {
    #[error("failed to encode rows")]
    Arrow(#[from] ArrowError),
    #[error("failed to encode rows as Parquet")]
    Parquet(#[from] ParquetError),
    #[error("failed to encode the frame of the rows")]
    Json(#[from] serde_json::Error),
    #[error("failed to collect encoded rows")]
    Io(#[from] io::Error),
}

/// Collects what a writer writes until it is taken. The writers own one end, the stream the other.
#[derive(Debug, Clone, Default)]
struct Out(Arc<Mutex<Vec<u8>>>);

impl Out {
    fn take(&self) -> Bytes {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Rows as the elements of a JSON array, without its brackets.
#[derive(Debug, Default)]
struct Elements;

impl JsonFormat for Elements {
    fn start_row<W: Write>(&self, writer: &mut W, is_first_row: bool) -> Result<(), ArrowError> {
        if !is_first_row {
            writer.write_all(b",\n")?;
        }
        Ok(())
    }
}

enum Encoder {
    Json(Box<JsonWriter<Out, Elements>>),
    Csv(Box<arrow_csv::Writer<Out>>, SchemaRef),
    Arrow(Box<StreamWriter<Out>>),
    Parquet(Option<Box<ArrowWriter<Out>>>),
}

impl Encoder {
    fn new(format: Format, schema: &SchemaRef, out: &Out) -> Result<Self, SqlError> {
        Self::start(format, schema, out).map_err(|error| SqlError::Internal(error.into()))
    }

    fn start(format: Format, schema: &SchemaRef, out: &Out) -> Result<Self, EncodeError> {
        Ok(match format {
            Format::Json => {
                write!(
                    out.clone(),
                    "{{\"columns\":{},\"data\":[",
                    columns_json(schema)?
                )?;
                let builder = JsonWriterBuilder::new().with_explicit_nulls(true);
                Self::Json(Box::new(builder.build(out.clone())))
            }
            Format::Csv => {
                let flat = Arc::new(flat_schema(schema));
                let mut writer = arrow_csv::WriterBuilder::new()
                    .with_header(true)
                    .build(out.clone());
                // The header is there even if no row is.
                writer.write(&RecordBatch::new_empty(Arc::clone(&flat)))?;
                Self::Csv(Box::new(writer), flat)
            }
            Format::Arrow => Self::Arrow(Box::new(StreamWriter::try_new(out.clone(), schema)?)),
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
                    .build();
                let writer =
                    ArrowWriter::try_new(out.clone(), Arc::clone(schema), Some(properties))?;
                Self::Parquet(Some(Box::new(writer)))
            }
        })
    }

    /// Returns whether the format can say that the result was cut.
    fn says_cut(&self) -> bool {
        matches!(self, Self::Json(_))
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        match self {
            Self::Json(writer) => writer.write(batch)?,
            Self::Csv(writer, flat) => writer.write(&flattened(batch, flat)?)?,
            Self::Arrow(writer) => writer.write(batch)?,
            Self::Parquet(writer) => {
                if let Some(writer) = writer {
                    writer.write(batch)?;
                    if writer.memory_size() > ROW_GROUP_BYTES {
                        writer.flush()?;
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(
        &mut self,
        count: usize,
        cut: Option<Limit>,
        out: &mut Out,
    ) -> Result<(), EncodeError> {
        match self {
            Self::Json(_) => {
                let is_cut = cut.is_some();
                write!(out, "],\"row_count\":{count},\"truncated\":{is_cut}")?;
                if let Some(limit) = cut {
                    write!(out, ",\"truncated_by\":\"{}\"", limit.as_str())?;
                }
                out.write_all(b"}")?;
            }
            Self::Csv(..) => {}
            Self::Arrow(writer) => writer.finish()?,
            Self::Parquet(writer) => {
                if let Some(writer) = writer.take() {
                    writer.close()?;
                }
            }
        }
        Ok(())
    }
}

fn columns_json(schema: &SchemaRef) -> Result<String, serde_json::Error> {
    #[derive(serde::Serialize)]
    struct Shown<'a> {
        name: &'a str,
        #[serde(rename = "type")]
        kind: &'static str,
    }
    let columns = schema.fields().iter().map(|field| Shown {
        name: field.name(),
        kind: kind_of(field.data_type()),
    });
    serde_json::to_string(&columns.collect::<Vec<_>>())
}

/// Returns the type of a column in words that do not change with Arrow's.
fn kind_of(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "boolean",
        t if t.is_integer() => "integer",
        t if t.is_numeric() => "number",
        DataType::Timestamp(..) => "timestamp",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Duration(_) | DataType::Interval(_) => "interval",
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => "binary",
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => "list",
        DataType::Struct(_) | DataType::Map(..) => "object",
        DataType::Null => "null",
        _ => "text",
    }
}

/// Returns whether CSV has no form for a type of its own.
fn is_nested(data_type: &DataType) -> bool {
    data_type.is_nested()
}

/// Returns the schema with lists and structs as text.
fn flat_schema(schema: &SchemaRef) -> Schema {
    let flat = schema
        .fields()
        .iter()
        .map(|field| match is_nested(field.data_type()) {
            true => Arc::new(Field::new(field.name(), DataType::Utf8, true)),
            false => Arc::clone(field),
        });
    Schema::new(flat.collect::<Vec<_>>())
}

fn flattened(batch: &RecordBatch, flat: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch
        .columns()
        .iter()
        .map(|column| match is_nested(column.data_type()) {
            true => as_text(column),
            false => Ok(Arc::clone(column)),
        });
    RecordBatch::try_new(Arc::clone(flat), columns.collect::<Result<_, _>>()?)
}

fn as_text(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column, &options)?;
    let text = |row| {
        (!column.is_null(row))
            .then(|| formatter.value(row).try_to_string())
            .transpose()
    };
    let texts = (0..column.len())
        .map(text)
        .collect::<Result<StringArray, _>>()?;
    Ok(Arc::new(texts))
}
