//! A `RecordBatch` back to rows: columns are found by name, and one that is not there leaves its
//! field empty. That serves older files and narrow reads alike.

use std::error::Error;

use arrow::array::{
    Array, ArrayRef, BooleanArray, FixedSizeBinaryArray, Float64Array, Int64Array, ListArray,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::DataType;
use model::{IdError, MessageHash, ProjectId, SpanId, Time, TraceId};

use super::columns::{Access, Kind, LakeRow};
use super::schema::Table;

/// Why a batch cannot become rows.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A column without which a row has no identity or no place is not in the batch.
    #[error("a batch of {table} has no column {column}")]
    Missing {
        /// The table.
        table: Table,
        /// The column.
        column: &'static str,
    },
    /// The column holds another type than the schema says.
    #[error("column {column} of {table} has the type {found}, not {expected}")]
    WrongType {
        /// The table.
        table: Table,
        /// The column.
        column: &'static str,
        /// The type that was found.
        found: DataType,
        /// The type of the schema.
        expected: DataType,
    },
    /// A value is not one that the column can hold.
    #[error("column {column} of {table} holds a value in row {row} that is none of its own")]
    BadValue {
        /// The table.
        table: Table,
        /// The column.
        column: &'static str,
        /// The row of the batch.
        row: usize,
        /// What is wrong with it.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// So many rows are decoded column by column: all columns visit them while they are in the cache.
const DECODE_ROWS: usize = 128;

/// Returns the rows of `batch`.
pub fn decode<R: LakeRow>(batch: &RecordBatch) -> Result<Vec<R>, DecodeError> {
    let mut rows = Vec::with_capacity(batch.num_rows());
    for from in (0..batch.num_rows()).step_by(DECODE_ROWS) {
        let part = batch.slice(from, DECODE_ROWS.min(batch.num_rows() - from));
        decode_part(&part, &mut rows).map_err(|error| error.moved(from))?;
    }
    Ok(rows)
}

fn decode_part<R: LakeRow>(batch: &RecordBatch, rows: &mut Vec<R>) -> Result<(), DecodeError> {
    let mut drafts = drafts::<R>(batch)?;
    for column in R::columns() {
        let Some(array) = batch.column_by_name(column.spec.name) else {
            continue;
        };
        check_type(R::TABLE, column.spec.name, column.spec.kind, array)?;
        fill(&column.access, array, &mut drafts).map_err(|(row, source)| {
            DecodeError::BadValue {
                table: R::TABLE,
                column: column.spec.name,
                row,
                source,
            }
        })?;
    }
    rows.extend(drafts.into_iter().map(R::finish));
    Ok(())
}

impl DecodeError {
    /// Returns the error of a part as that of the whole, in which it begins at row `from`.
    fn moved(mut self, from: usize) -> Self {
        if let Self::BadValue { row, .. } = &mut self {
            *row += from;
        }
        self
    }
}

/// Returns a draft for each row. Rows of one trace follow one another and share their ids.
fn drafts<R: LakeRow>(batch: &RecordBatch) -> Result<Vec<R::Draft>, DecodeError> {
    let table = R::TABLE;
    let bad = |column, row| {
        move |e: IdError| DecodeError::BadValue {
            table,
            column,
            row,
            source: e.into(),
        }
    };
    let projects = text_column(table, batch, "project_id")?;
    let traces = text_column(table, batch, "trace_id")?;
    let parts = match table.part_column() {
        Some(name) => Some((name, text_column(table, batch, name)?)),
        None => None,
    };
    let mut last: Option<(ProjectId, TraceId)> = None;
    let mut drafts = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let (project, trace) = (projects.value(row), traces.value(row));
        let (project, trace) = match last.take() {
            Some((p, t)) if p.as_str() == project && t.as_str() == trace => (p, t),
            _ => (
                ProjectId::new(project).map_err(bad("project_id", row))?,
                TraceId::new(trace).map_err(bad("trace_id", row))?,
            ),
        };
        let part = parts.map(|(name, ids)| SpanId::new(ids.value(row)).map_err(bad(name, row)));
        drafts.push(R::draft(project.clone(), trace.clone(), part.transpose()?));
        last = Some((project, trace));
    }
    Ok(drafts)
}

/// The row of a bad value, and what is wrong with it.
type BadAt = (usize, Box<dyn Error + Send + Sync>);

/// Gives the values of one column to the drafts. The array's type has been checked.
fn fill<R: LakeRow>(
    access: &Access<R>,
    array: &ArrayRef,
    drafts: &mut [R::Draft],
) -> Result<(), BadAt> {
    let proved = "the type of the column was checked";
    let any = array.as_any();
    let mut present = drafts
        .iter_mut()
        .enumerate()
        .filter(|(row, _)| array.is_valid(*row));
    match *access {
        Access::Text(_, set) | Access::Written(_, set) => {
            let values: &StringArray = any.downcast_ref().expect(proved);
            present
                .try_for_each(|(row, draft)| set(draft, values.value(row)).map_err(|e| (row, e)))?;
        }
        Access::Int(_, set) => {
            let values: &Int64Array = any.downcast_ref().expect(proved);
            present
                .try_for_each(|(row, draft)| set(draft, values.value(row)).map_err(|e| (row, e)))?;
        }
        Access::Float(_, set) => {
            let values: &Float64Array = any.downcast_ref().expect(proved);
            present.for_each(|(row, draft)| set(draft, values.value(row)));
        }
        Access::Bool(_, set) => {
            let values: &BooleanArray = any.downcast_ref().expect(proved);
            present.for_each(|(row, draft)| set(draft, values.value(row)));
        }
        Access::Time(_, set) => {
            let values: &TimestampMicrosecondArray = any.downcast_ref().expect(proved);
            present.for_each(|(row, draft)| set(draft, Time::from_micros(values.value(row))));
        }
        Access::Date(_) => {}
        Access::Hash(_, set) => {
            let values: &FixedSizeBinaryArray = any.downcast_ref().expect(proved);
            present.for_each(|(row, draft)| set(draft, hash(values.value(row))));
        }
        Access::Hashes(_, set) => {
            let lists: &ListArray = any.downcast_ref().expect(proved);
            for (row, draft) in present {
                let list = lists.value(row);
                let values: &FixedSizeBinaryArray = list.as_any().downcast_ref().expect(proved);
                set(
                    draft,
                    (0..values.len()).map(|i| hash(values.value(i))).collect(),
                );
            }
        }
        Access::Texts(_, set) => {
            let lists: &ListArray = any.downcast_ref().expect(proved);
            for (row, draft) in present {
                let list = lists.value(row);
                let values: &StringArray = list.as_any().downcast_ref().expect(proved);
                set(
                    draft,
                    (0..values.len())
                        .map(|i| values.value(i).to_owned())
                        .collect(),
                );
            }
        }
        Access::Ids(_, set) => {
            let lists: &ListArray = any.downcast_ref().expect(proved);
            for (row, draft) in present {
                let list = lists.value(row);
                let values: &StringArray = list.as_any().downcast_ref().expect(proved);
                let ids = (0..values.len()).map(|i| SpanId::new(values.value(i)));
                set(
                    draft,
                    ids.collect::<Result<_, _>>().map_err(|e| (row, e.into()))?,
                );
            }
        }
    }
    Ok(())
}

/// Returns the hash in a value of a 16-byte column.
pub(super) fn hash(bytes: &[u8]) -> MessageHash {
    MessageHash(bytes.try_into().expect("the column's values have 16 bytes"))
}

/// Returns the column of this name after a check of its type.
pub(super) fn column<'a>(
    table: Table,
    batch: &'a RecordBatch,
    name: &'static str,
    kind: Kind,
) -> Result<&'a ArrayRef, DecodeError> {
    let array = batch.column_by_name(name).ok_or(DecodeError::Missing {
        table,
        column: name,
    })?;
    check_type(table, name, kind, array)?;
    Ok(array)
}

/// Returns the text column of this name.
pub(super) fn text_column<'a>(
    table: Table,
    batch: &'a RecordBatch,
    name: &'static str,
) -> Result<&'a StringArray, DecodeError> {
    let array = column(table, batch, name, Kind::Text)?;
    Ok(array
        .as_any()
        .downcast_ref()
        .expect("the type of the column was checked"))
}

/// Returns the column of this name as an array of this type; a column of another type is an error.
pub(crate) fn typed_column<'a, A: Array + 'static>(
    table: Table,
    batch: &'a RecordBatch,
    name: &'static str,
) -> Result<&'a A, DecodeError> {
    let spec = table.specs().find(|spec| spec.name == name);
    let spec = spec.ok_or(DecodeError::Missing {
        table,
        column: name,
    })?;
    let array = column(table, batch, name, spec.kind)?.as_any();
    Ok(array
        .downcast_ref()
        .expect("the type of the column was checked"))
}

fn check_type(
    table: Table,
    column: &'static str,
    kind: Kind,
    array: &ArrayRef,
) -> Result<(), DecodeError> {
    let expected = kind.data_type();
    match *array.data_type() == expected {
        true => Ok(()),
        false => {
            let found = array.data_type().clone();
            Err(DecodeError::WrongType {
                table,
                column,
                found,
                expected,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{JsonText, Payload, Span, SpanError};
    use proptest::prelude::*;

    use super::super::samples::{
        any_grade_row, any_message_row, any_span_row, any_trace_entry, rows_of, span_row,
    };
    use super::super::{Columns, MessageRow, SpanRow, TraceEntry, encode};
    use super::*;

    /// Rows survive the way to a batch and back, whole and column by column.
    fn check<R: LakeRow + PartialEq>(rows: &[R]) {
        let batch = encode::<R, R>(rows, &Columns::all(R::TABLE)).unwrap();
        assert_eq!(decode::<R>(&batch).unwrap(), rows);
        for index in 0..R::columns().len() {
            let one = Columns::at(R::TABLE, &[index]).unwrap();
            let narrow = encode::<R, R>(rows, &one).unwrap();
            assert_eq!(
                narrow.column(0),
                batch.column(index),
                "{}",
                R::columns()[index].spec.name
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn spans_survive(rows in proptest::collection::vec(any_span_row(), 0..4)) {
            check(&rows);
        }

        #[test]
        fn messages_survive(rows in proptest::collection::vec(any_message_row(), 0..4)) {
            check(&rows);
        }

        #[test]
        fn grades_survive(rows in proptest::collection::vec(any_grade_row(), 0..4)) {
            check(&rows);
        }

        #[test]
        fn traces_survive(rows in proptest::collection::vec(any_trace_entry(), 0..4)) {
            check(&rows);
        }
    }

    #[test]
    fn a_narrow_batch_leaves_the_rest_empty() {
        let mut row = span_row("p", 1, 1, 50);
        let data = Some(JsonText::from_trusted("{}"));
        let error = SpanError {
            kind: "tool_error".to_owned(),
            message: "no".to_owned(),
            data,
        };
        Arc::make_mut(&mut row.span).error = Some(error);
        let columns = Columns::narrow(Table::Spans);
        let batch = encode::<SpanRow, _>(&[&row], &columns).unwrap();
        let back: Vec<SpanRow> = rows_of([batch]);
        let mut want = Span {
            payload: Payload::default(),
            ..(*row.span).clone()
        };
        want.error.as_mut().unwrap().data = None;
        assert_eq!(*back[0].span, want);
    }

    #[test]
    fn no_column_at_all_still_counts_the_rows() {
        let none = Columns::at(Table::Spans, &[]).unwrap();
        let rows = [span_row("p", 1, 1, 0), span_row("p", 1, 2, 0)];
        assert_eq!(encode::<SpanRow, _>(&rows, &none).unwrap().num_rows(), 2);
    }

    #[test]
    fn what_is_no_row_is_refused_by_name() {
        let message = |rows: &RecordBatch| decode::<SpanRow>(rows).unwrap_err().to_string();
        let names = ["project_id", "trace_id", "type"];
        let columns = Columns::named(Table::Spans, &names).unwrap();
        let batch = encode::<SpanRow, _>(&[span_row("p", 1, 1, 0)], &columns).unwrap();
        assert_eq!(message(&batch), "a batch of spans has no column span_id");

        let of = |values: [&str; 4]| {
            let names = ["project_id", "trace_id", "span_id", "type"];
            let arrays = values.map(|value| Arc::new(StringArray::from(vec![value])) as ArrayRef);
            RecordBatch::try_from_iter(names.into_iter().zip(arrays)).unwrap()
        };
        assert!(decode::<SpanRow>(&of(["p", "t", "s", "function"])).is_ok());
        let bad = "column type of spans holds a value in row 0 that is none of its own";
        assert_eq!(message(&of(["p", "t", "s", "dance"])), bad);
        assert!(message(&of(["p", "", "s", "function"])).starts_with("column trace_id of spans"));

        let numbers = Arc::new(Int64Array::from(vec![1])) as ArrayRef;
        let text = || Arc::new(StringArray::from(vec!["x"])) as ArrayRef;
        let columns = [
            ("project_id", text()),
            ("trace_id", text()),
            ("role", numbers),
        ];
        let error =
            decode::<MessageRow>(&RecordBatch::try_from_iter(columns).unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "column role of messages has the type Int64, not Utf8"
        );
        let other = encode::<TraceEntry, TraceEntry>(&[], &Columns::all(Table::Spans)).unwrap_err();
        assert_eq!(
            other.to_string(),
            "columns of table spans cannot be made from rows of table traces"
        );
    }
}
