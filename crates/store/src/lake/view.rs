//! A `RecordBatch` as the writer and the merge look at it: who a row is, where it stands in the
//! table's order, and how many bytes it has.

use std::cmp::Ordering;
use std::ops::Range;

use arrow::array::{
    Array, ArrayRef, FixedSizeBinaryArray, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::DataType;
use model::{MessageHash, Time};

use super::columns::Kind;
use super::decode::{DecodeError, column, hash, text_column};
use super::schema::{SortKey, Table, sort_keys};

/// Who a row is: what hides name it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowKey<'a> {
    /// The project.
    pub project: &'a str,
    /// The trace.
    pub trace_id: &'a str,
    /// What tells the row from others of its trace, where they are replaced one by one: see
    /// [`Table::part_column`].
    pub part_id: Option<&'a str>,
    /// The sequence number.
    pub seq: i64,
}

/// Who the rows of one batch are. Holds the batch's buffers, not copies.
#[derive(Debug, Clone)]
pub struct RowKeys {
    projects: StringArray,
    traces: StringArray,
    parts: Option<StringArray>,
    seqs: Int64Array,
}

impl RowKeys {
    /// Returns the keys of a batch that has [`super::Columns::keys`].
    pub fn of(table: Table, batch: &RecordBatch) -> Result<Self, DecodeError> {
        Ok(Self {
            projects: text_column(table, batch, "project_id")?.clone(),
            traces: text_column(table, batch, "trace_id")?.clone(),
            parts: match table.part_column() {
                Some(name) => Some(text_column(table, batch, name)?.clone()),
                None => None,
            },
            seqs: typed(column(table, batch, "seq", Kind::Int)?),
        })
    }

    /// Returns the key of a row.
    pub fn key(&self, row: usize) -> RowKey<'_> {
        RowKey {
            project: self.projects.value(row),
            trace_id: self.traces.value(row),
            part_id: self.parts.as_ref().map(|ids| ids.value(row)),
            seq: self.seqs.value(row),
        }
    }

    /// Returns all keys in the order of the rows.
    pub fn iter(&self) -> impl Iterator<Item = RowKey<'_>> {
        (0..self.seqs.len()).map(|row| self.key(row))
    }
}

/// The identity, order, time and size of the rows of one batch. Holds the batch's buffers, not copies.
#[derive(Debug, Clone)]
pub(super) struct View {
    keys: RowKeys,
    hashes: Option<FixedSizeBinaryArray>,
    homes: TimestampMicrosecondArray,
    times: TimestampMicrosecondArray,
    order: Vec<OrderColumn>,
}

#[derive(Debug, Clone)]
struct OrderColumn {
    values: OrderValues,
    descending: bool,
}

#[derive(Debug, Clone)]
enum OrderValues {
    Text(StringArray),
    Int(Int64Array),
    Time(TimestampMicrosecondArray),
}

impl View {
    /// Returns the view of a batch with all columns of `table`.
    pub(super) fn of(table: Table, batch: &RecordBatch) -> Result<Self, DecodeError> {
        Ok(Self {
            keys: RowKeys::of(table, batch)?,
            hashes: match table {
                Table::Messages => Some(typed(column(table, batch, "hash", Kind::Hash)?)),
                Table::Spans | Table::Traces | Table::Grades => None,
            },
            homes: typed(column(table, batch, table.home_column(), Kind::Time)?),
            times: typed(column(table, batch, table.time_column(), Kind::Time)?),
            order: order_columns(table, batch)?,
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.keys.seqs.len()
    }

    pub(super) fn key(&self, row: usize) -> RowKey<'_> {
        self.keys.key(row)
    }

    /// Returns the message's hash, in the table of messages.
    pub(super) fn hash(&self, row: usize) -> Option<MessageHash> {
        self.hashes.as_ref().map(|hashes| hash(hashes.value(row)))
    }

    /// Returns the frozen start of the row's trace.
    pub(super) fn home(&self, row: usize) -> Time {
        Time::from_micros(self.homes.value(row))
    }

    /// Returns the time that a file's range is taken from.
    pub(super) fn time(&self, row: usize) -> Option<Time> {
        self.times
            .is_valid(row)
            .then(|| Time::from_micros(self.times.value(row)))
    }

    /// Returns the first row after `row` that belongs to another project, else the number of rows.
    pub(super) fn project_end(&self, row: usize) -> usize {
        let project = self.keys.projects.value(row);
        let last = self.rows() - 1;
        // Rows are sorted by project, and most batches hold only one.
        if self.keys.projects.value(last) == project {
            return self.rows();
        }
        (row + 1..last)
            .find(|&next| self.keys.projects.value(next) != project)
            .unwrap_or(last)
    }

    /// Returns the order of a row and a row of another view, in the order of the table's files.
    pub(super) fn compare(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        self.order
            .iter()
            .zip(&other.order)
            .fold(Ordering::Equal, |order, (mine, theirs)| {
                order.then_with(|| mine.compare(row, theirs, other_row))
            })
    }
}

fn order_columns(table: Table, batch: &RecordBatch) -> Result<Vec<OrderColumn>, DecodeError> {
    let of = |key: &SortKey| {
        let specs = table.specs();
        let kind = specs
            .filter(|spec| spec.name == key.column)
            .map(|spec| spec.kind)
            .next();
        let values = match kind {
            Some(Kind::Time) => {
                OrderValues::Time(typed(column(table, batch, key.column, Kind::Time)?))
            }
            Some(Kind::Int) => {
                OrderValues::Int(typed(column(table, batch, key.column, Kind::Int)?))
            }
            _ => OrderValues::Text(text_column(table, batch, key.column)?.clone()),
        };
        Ok(OrderColumn {
            values,
            descending: key.descending,
        })
    };
    sort_keys(table).iter().map(of).collect()
}

fn typed<A: Array + Clone + 'static>(array: &ArrayRef) -> A {
    array
        .as_any()
        .downcast_ref::<A>()
        .expect("the type of the column was checked")
        .clone()
}

impl OrderColumn {
    fn compare(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        use OrderValues::{Int, Text, Time};
        let order = match (&self.values, &other.values) {
            (Text(a), Text(b)) => a.value(row).cmp(b.value(other_row)),
            (Int(a), Int(b)) => a.value(row).cmp(&b.value(other_row)),
            (Time(a), Time(b)) => match (a.is_valid(row), b.is_valid(other_row)) {
                (true, true) => a.value(row).cmp(&b.value(other_row)),
                // Missing times come last, whatever the direction.
                (a_told, b_told) => return b_told.cmp(&a_told),
            },
            _ => unreachable!("two views of one table have the same order columns"),
        };
        if self.descending {
            order.reverse()
        } else {
            order
        }
    }
}

/// The bytes of each row of a batch, as offsets from its start.
#[derive(Debug, Clone)]
pub(super) struct RowBytes(Vec<u64>);

impl RowBytes {
    pub(super) fn of(batch: &RecordBatch) -> Self {
        let mut sums = vec![0; batch.num_rows() + 1];
        let fixed: u64 = batch.columns().iter().map(fixed_bytes).sum();
        for array in batch.columns() {
            add_bytes(array, &mut sums[1..]);
        }
        let mut total = 0;
        for sum in &mut sums[1..] {
            total += *sum + fixed;
            *sum = total;
        }
        Self(sums)
    }

    /// Returns the bytes of these rows together.
    pub(super) fn range(&self, rows: Range<usize>) -> u64 {
        self.0[rows.end] - self.0[rows.start]
    }

    /// Returns the end of the longest run of rows from `rows.start` within `bytes`.
    pub(super) fn fit(&self, rows: Range<usize>, bytes: u64) -> usize {
        let limit = self.0[rows.start].saturating_add(bytes);
        let within = self.0[rows.start + 1..=rows.end].partition_point(|&sum| sum <= limit);
        rows.start + within
    }
}

fn fixed_bytes(array: &ArrayRef) -> u64 {
    match array.data_type() {
        DataType::Boolean => 1,
        DataType::Utf8 | DataType::List(_) => 4,
        other => other.primitive_width().unwrap_or(16) as u64,
    }
}

/// Adds the bytes of variable length of each row.
fn add_bytes(array: &ArrayRef, sums: &mut [u64]) {
    if let Some(texts) = array.as_any().downcast_ref::<StringArray>() {
        for (sum, ends) in sums.iter_mut().zip(texts.value_offsets().windows(2)) {
            *sum += (ends[1] - ends[0]) as u64;
        }
    } else if let Some(lists) = array.as_any().downcast_ref::<ListArray>() {
        let texts = lists.values().as_any().downcast_ref::<StringArray>();
        for (sum, ends) in sums.iter_mut().zip(lists.value_offsets().windows(2)) {
            *sum += match texts {
                Some(texts) => {
                    let offsets = texts.value_offsets();
                    (offsets[ends[1] as usize] - offsets[ends[0] as usize]) as u64
                }
                None => (ends[1] - ends[0]) as u64 * 16,
            };
        }
    }
}
