//! Many sorted files to one sorted stream: hidden rows and second copies of messages stay behind.
//!
//! The merge holds one batch of each input and the rows of one output batch, whatever the size of the
//! files. Rows are compared in place by their key columns and copied once, into the output.

use std::cmp::{Ordering, Reverse};
use std::collections::HashSet;
use std::collections::binary_heap::{BinaryHeap, PeekMut};
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use model::MessageHash;

use super::decode::DecodeError;
use super::reader::ReadError;
use super::schema::{Columns, Table};
use super::view::{RowBytes, RowKey, View};

/// The size of the batches that a merge gives out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergeLimits {
    /// At most so many rows.
    pub batch_rows_max: usize,
    /// Closed once it has so many bytes; a larger row is a batch of its own.
    pub batch_bytes_max: u64,
}

impl Default for MergeLimits {
    fn default() -> Self {
        Self {
            batch_rows_max: 1_024,
            batch_bytes_max: 4 << 20,
        }
    }
}

/// Why a merge stops. Nothing of its output may be used then.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// An input cannot be read.
    #[error("cannot read input {input} of a merge of {table}")]
    Read {
        /// The table.
        table: Table,
        /// The place of the input in the list.
        input: usize,
        /// Why.
        source: ReadError,
    },
    /// The key columns of an input cannot be used.
    #[error("cannot read the keys of input {input} of a merge of {table}")]
    Keys {
        /// The table.
        table: Table,
        /// The place of the input in the list.
        input: usize,
        /// Why.
        source: DecodeError,
    },
    /// An input is not sorted, which its file promised.
    #[error("input {input} of a merge of {table} is out of order")]
    Unsorted {
        /// The table.
        table: Table,
        /// The place of the input in the list.
        input: usize,
    },
    /// What a whole trace tells of its spans cannot be used.
    #[error("cannot read what whole traces tell of their spans in a merge")]
    Whole {
        /// Why.
        source: DecodeError,
    },
    /// The rows of several inputs do not form one batch.
    #[error("cannot form a batch in a merge of {table}")]
    Arrow {
        /// The table.
        table: Table,
        /// What Arrow says.
        source: ArrowError,
    },
}

/// The sorted, filtered union of sorted inputs.
pub struct Merge<I, K> {
    table: Table,
    schema: SchemaRef,
    limits: MergeLimits,
    keep: K,
    inputs: Vec<I>,
    /// The next row of each input that has one, the first in order on top.
    heap: BinaryHeap<Reverse<Cursor>>,
    pending: Pending,
    copies: Copies,
    /// An error is the last thing that a merge says.
    failed: bool,
}

impl<I, K> fmt::Debug for Merge<I, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merge")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

impl<I, K> Merge<I, K>
where
    I: Iterator<Item = Result<RecordBatch, ReadError>>,
    K: FnMut(&RowKey<'_>) -> bool,
{
    /// Returns the merge of `inputs`, each in the order of its table and with these columns, those that
    /// [`Columns::with_order`] adds among them. Rows for which `keep` says no are dropped; of several
    /// copies of one message the first in order stays.
    pub fn new(
        columns: &Columns,
        limits: MergeLimits,
        inputs: Vec<I>,
        keep: K,
    ) -> Result<Self, MergeError> {
        let heap = BinaryHeap::with_capacity(inputs.len());
        let (pending, copies) = (Pending::default(), Copies::default());
        let table = columns.table();
        let mut merge = Self {
            table,
            schema: Arc::clone(columns.schema()),
            limits,
            keep,
            inputs,
            heap,
            pending,
            copies,
            failed: false,
        };
        for input in 0..merge.inputs.len() {
            if let Some(cursor) = next_batch(table, &mut merge.inputs[input], input)? {
                merge.heap.push(Reverse(cursor));
            }
        }
        Ok(merge)
    }

    /// Takes rows in order until a batch is full or the inputs are empty.
    fn fill(&mut self) -> Result<Option<RecordBatch>, MergeError> {
        while let Some(mut top) = self.heap.peek_mut() {
            let cursor = &mut top.0;
            let key = cursor.view.key(cursor.row);
            if (self.keep)(&key) && self.copies.is_first(&key, cursor.view.hash(cursor.row)) {
                self.pending.push(cursor);
            }
            cursor.row += 1;
            if cursor.row == cursor.view.rows() {
                let input = cursor.input;
                match next_batch(self.table, &mut self.inputs[input], input)? {
                    Some(next) => {
                        let end = cursor.row - 1;
                        if cursor.view.compare(end, &next.view, 0).is_gt() {
                            return Err(MergeError::Unsorted {
                                table: self.table,
                                input,
                            });
                        }
                        *cursor = next;
                    }
                    None => drop(PeekMut::pop(top)),
                }
            }
            if self.pending.is_full(self.limits) {
                break;
            }
        }
        let batch = self.pending.take(&self.schema);
        batch.map_err(|source| MergeError::Arrow {
            table: self.table,
            source,
        })
    }
}

impl<I, K> Iterator for Merge<I, K>
where
    I: Iterator<Item = Result<RecordBatch, ReadError>>,
    K: FnMut(&RowKey<'_>) -> bool,
{
    type Item = Result<RecordBatch, MergeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.fill().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

fn next_batch(
    table: Table,
    batches: &mut impl Iterator<Item = Result<RecordBatch, ReadError>>,
    input: usize,
) -> Result<Option<Cursor>, MergeError> {
    for batch in batches {
        let batch = batch.map_err(|source| MergeError::Read {
            table,
            input,
            source,
        })?;
        if batch.num_rows() > 0 {
            let view = View::of(table, &batch).map_err(|source| MergeError::Keys {
                table,
                input,
                source,
            })?;
            let bytes = RowBytes::of(&batch);
            return Ok(Some(Cursor {
                input,
                row: 0,
                place: None,
                view,
                bytes,
                batch,
            }));
        }
    }
    Ok(None)
}

/// The next row of one input.
struct Cursor {
    input: usize,
    row: usize,
    /// Where the batch stands in the pending output, once a row of it is there.
    place: Option<(u64, usize)>,
    view: View,
    bytes: RowBytes,
    batch: RecordBatch,
}

impl Ord for Cursor {
    fn cmp(&self, other: &Self) -> Ordering {
        // Equal rows keep the order of their inputs, so that a merge has one result.
        let order = self.view.compare(self.row, &other.view, other.row);
        order.then_with(|| self.input.cmp(&other.input))
    }
}

impl PartialOrd for Cursor {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Cursor {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Cursor {}

/// The rows of the batch to come, by place; they are copied when it is complete.
#[derive(Default)]
struct Pending {
    batches: Vec<RecordBatch>,
    rows: Vec<(usize, usize)>,
    bytes: u64,
    /// Tells the places of this output batch from those of the one before.
    round: u64,
}

impl Pending {
    /// Batches of which few rows are kept would pile up: with so many held, the output is closed.
    const BATCHES_MAX: usize = 128;

    fn push(&mut self, cursor: &mut Cursor) {
        let at = match cursor.place {
            Some((round, at)) if round == self.round => at,
            _ => {
                self.batches.push(cursor.batch.clone());
                self.batches.len() - 1
            }
        };
        cursor.place = Some((self.round, at));
        self.rows.push((at, cursor.row));
        self.bytes += cursor.bytes.range(cursor.row..cursor.row + 1);
    }

    fn is_full(&self, limits: MergeLimits) -> bool {
        self.rows.len() >= limits.batch_rows_max
            || self.bytes >= limits.batch_bytes_max
            || self.batches.len() >= Self::BATCHES_MAX
    }

    /// Returns the rows as a batch and begins the next one.
    fn take(&mut self, schema: &SchemaRef) -> Result<Option<RecordBatch>, ArrowError> {
        let batches = std::mem::take(&mut self.batches);
        let rows = std::mem::take(&mut self.rows);
        (self.bytes, self.round) = (0, self.round + 1);
        let Some(&(_, first)) = rows.first() else {
            return Ok(None);
        };
        let is_run =
            batches.len() == 1 && rows.iter().enumerate().all(|(n, row)| row.1 == first + n);
        let batch = match is_run {
            true => batches[0].slice(first, rows.len()),
            false => interleave_record_batch(&batches.iter().collect::<Vec<_>>(), &rows)?,
        };
        // The inputs may differ in what their schemas say beside the columns.
        RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec()).map(Some)
    }
}

/// The messages of the present trace, to tell second copies.
#[derive(Default)]
struct Copies {
    project: String,
    trace_id: String,
    seen: HashSet<MessageHash>,
}

impl Copies {
    /// Returns whether the row is the first of its trace with this hash. Rows without one all are.
    fn is_first(&mut self, key: &RowKey<'_>, hash: Option<MessageHash>) -> bool {
        let Some(hash) = hash else { return true };
        if self.trace_id != key.trace_id || self.project != key.project {
            key.project.clone_into(&mut self.project);
            key.trace_id.clone_into(&mut self.trace_id);
            self.seen.clear();
        }
        self.seen.insert(hash)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use model::Time;
    use proptest::prelude::*;

    use super::super::samples::{footer, message_row, open, rows_of, span_row, write_file};
    use super::super::{
        Columns, Finished, LakeRow, LakeWriter, Level, MessageRow, Partition, SpanRow, SplitLimits,
        Splitter, WriterLimits, encode,
    };
    use super::*;

    fn limits() -> MergeLimits {
        MergeLimits {
            batch_rows_max: 7,
            batch_bytes_max: 3_000,
        }
    }

    /// Returns the rows as sorted batches of a few rows each, as a file would give them.
    fn batches<R: LakeRow>(rows: &[R]) -> std::vec::IntoIter<Result<RecordBatch, ReadError>> {
        let mut rows = rows.to_vec();
        rows.sort_by(R::file_order);
        let encode = |rows: &[R]| Ok(encode::<R, R>(rows, &Columns::all(R::TABLE)).unwrap());
        rows.chunks(5).map(encode).collect::<Vec<_>>().into_iter()
    }

    fn merged<R: LakeRow>(
        inputs: &[Vec<R>],
        keep: impl FnMut(&RowKey<'_>) -> bool,
    ) -> Vec<RecordBatch> {
        let inputs = inputs.iter().map(|rows| batches(rows)).collect();
        Merge::new(&Columns::all(R::TABLE), limits(), inputs, keep)
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    fn spans() -> impl Strategy<Value = Vec<Vec<SpanRow>>> {
        let row = (0..3usize, 0..6usize, 0..4usize, 0..1_000i64, any::<bool>()).prop_map(
            |(project, trace, n, seq, is_started)| {
                let mut row = span_row(["a", "b", "c"][project], trace, n, 40 * n);
                row.seq = seq;
                // A home before 1970, to see the order of negative times.
                let day = 86_400_000_000;
                row.trace_started_at = Time::from_micros((trace as i64 - 3) * day / 2);
                if !is_started {
                    std::sync::Arc::make_mut(&mut row.span).started_at = None;
                }
                row
            },
        );
        proptest::collection::vec(proptest::collection::vec(row, 0..30), 0..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn a_merge_is_a_sort_and_a_filter(inputs in spans(), upto in 0..1_000i64) {
            let keep = |key: &RowKey<'_>| key.project != "b" || key.seq > upto;
            let batches = merged(&inputs, keep);
            prop_assert!(batches.iter().all(|batch| batch.num_rows() <= 7));
            let mut want: Vec<_> = inputs.concat();
            want.retain(|row| row.project.as_str() != "b" || row.seq > upto);
            want.sort_by(SpanRow::file_order);
            prop_assert_eq!(rows_of::<SpanRow>(batches), want);
        }

        #[test]
        fn of_several_copies_of_a_message_the_first_stays(
            rows in proptest::collection::vec((0..5usize, 0..3usize, 0..4usize, 0..9usize), 0..80)
        ) {
            let mut inputs = vec![Vec::new(); 5];
            for (input, trace, text, ordinal) in rows {
                inputs[input].push(message_row("p", trace, ordinal, &format!("text {text}")));
            }
            let mut want = inputs.concat();
            want.sort_by(MessageRow::file_order);
            let mut seen = BTreeSet::new();
            want.retain(|row| seen.insert((row.message.trace_id.clone(), row.message.hash)));
            prop_assert_eq!(rows_of::<MessageRow>(merged(&inputs, |_| true)), want);
        }

        #[test]
        fn a_split_loses_nothing_and_keeps_traces_whole(inputs in spans()) {
            let split = SplitLimits { file_bytes_max: 6_000, file_bytes_hard_max: 1 << 30, open_bytes_max: 5_000 };
            let files = split_merge(&inputs, split);
            let count = files.len() as u32;
            let mut all = Vec::new();
            let mut homes = BTreeSet::new();
            for (n, Finished { sink, summary }) in files.into_iter().enumerate() {
                prop_assert_eq!((summary.footer.part, summary.footer.parts), (n as u32, count));
                let file = open(sink.into());
                let rows: Vec<SpanRow> = rows_of(file.scan(&Columns::all(Table::Spans), None).unwrap().map(Result::unwrap));
                prop_assert!(rows.iter().all(|row| Level::Day.partition(row.trace_started_at) == summary.footer.partition));
                let traces: BTreeSet<_> = rows.iter().map(|row| (row.project.clone(), row.span.trace_id.clone())).collect();
                traces.into_iter().for_each(|trace| assert!(homes.insert(trace), "a trace in two files"));
                all.extend(rows);
            }
            let mut want = inputs.concat();
            all.sort_by(SpanRow::file_order);
            want.sort_by(SpanRow::file_order);
            prop_assert_eq!(all, want);
        }
    }

    fn split_merge(inputs: &[Vec<SpanRow>], limits: SplitLimits) -> Vec<Finished<Vec<u8>>> {
        let open = |partition, part| {
            let footer = super::super::Footer {
                partition,
                part,
                ..footer(Table::Spans, Level::Day)
            };
            LakeWriter::new(Vec::new(), footer, WriterLimits::default(), |_, _| Ok(()))
        };
        let mut splitter = Splitter::new(
            Table::Spans,
            limits,
            |home| Level::Day.partition(home),
            open,
        );
        merged(inputs, |_| true)
            .iter()
            .for_each(|batch| splitter.write(batch).unwrap());
        splitter.finish().unwrap()
    }

    #[test]
    fn only_a_huge_trace_is_cut_in_two() {
        let rows = |traces: std::ops::Range<usize>, spans| {
            traces
                .flat_map(move |trace| (0..spans).map(move |n| span_row("p", trace, n, 2_000)))
                .collect::<Vec<_>>()
        };
        let parts = |rows: Vec<SpanRow>, hard| {
            let limits = SplitLimits {
                file_bytes_max: 20_000,
                file_bytes_hard_max: hard,
                open_bytes_max: 1 << 20,
            };
            split_merge(&[rows], limits).len()
        };
        assert_eq!(parts(rows(0..1, 100), 1 << 30), 1);
        assert!(parts(rows(0..1, 100), 50_000) > 1);
        assert!(parts(rows(0..50, 2), 1 << 30) > 3);
    }

    #[test]
    fn files_merge_as_their_rows_do() {
        let files: Vec<Vec<SpanRow>> = (0..3)
            .map(|file| {
                (0..200)
                    .map(|n| span_row(["a", "b"][n % 2], n / 4, n * 3 + file, 300))
                    .collect()
            })
            .collect();
        let scan = |rows: &Vec<SpanRow>| {
            open(write_file(rows, WriterLimits::default()).0)
                .scan(&Columns::all(Table::Spans), None)
                .unwrap()
        };
        let inputs = files.iter().map(scan).collect();
        let all = Columns::all(Table::Spans);
        let merge = Merge::new(&all, MergeLimits::default(), inputs, |_| true).unwrap();
        let mut want = files.concat();
        want.sort_by(SpanRow::file_order);
        assert_eq!(rows_of::<SpanRow>(merge.map(Result::unwrap)), want);
    }

    #[test]
    fn an_input_out_of_order_ends_the_merge() {
        let [early, late] = [1, 2].map(|n| span_row("p", n, 0, 0));
        let one = |row: &SpanRow| batches(std::slice::from_ref(row)).next().unwrap();
        let inputs = vec![vec![one(&early), one(&late)].into_iter()];
        let all = Columns::all(Table::Spans);
        let mut merge = Merge::new(&all, limits(), inputs, |_| true).unwrap();
        let error = merge.next().unwrap().unwrap_err();
        assert_eq!(
            error.to_string(),
            "input 0 of a merge of spans is out of order"
        );
        assert!(merge.next().is_none());
        assert_eq!(
            Level::L0.partition(early.trace_started_at),
            Partition::Mixed
        );
    }
}
