//! One sorted stream to the files of its partitions: each trace goes whole to the file of its home
//! hour or day, and a file that has its size makes room for the next.
//!
//! A table sorted by trace visits its partitions in no order, so several files are open at once. What
//! they hold of unwritten row groups is bounded together: above the bound the largest is written out
//! early.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;
use model::Time;

use super::decode::DecodeError;
use super::footer::Partition;
use super::schema::Table;
use super::view::View;
use super::writer::{Finished, LakeWriter, WriteError};

/// The sizes that a split keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplitLimits {
    /// A file that has so many bytes takes no further trace.
    pub file_bytes_max: u64,
    /// A file that has so many takes nothing more, even of a trace that it has begun.
    pub file_bytes_hard_max: u64,
    /// What the row groups being filled hold together.
    pub open_bytes_max: usize,
}

impl Default for SplitLimits {
    fn default() -> Self {
        Self {
            file_bytes_max: 192 << 20,
            file_bytes_hard_max: 1 << 30,
            open_bytes_max: 128 << 20,
        }
    }
}

/// Why a stream cannot be split. None of its files may be used then.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// The key columns of a batch cannot be used.
    #[error("cannot read the keys of a batch of {table}")]
    Keys {
        /// The table.
        table: Table,
        /// Why.
        source: DecodeError,
    },
    /// The rows of a partition cannot be taken out of a batch.
    #[error("cannot take the rows of partition {partition} out of a batch of {table}")]
    Take {
        /// The table.
        table: Table,
        /// The partition.
        partition: Partition,
        /// What Arrow says.
        source: ArrowError,
    },
    /// A file cannot be opened or written.
    #[error("cannot write to partition {partition} of {table}")]
    Write {
        /// The table.
        table: Table,
        /// The partition.
        partition: Partition,
        /// Why.
        source: WriteError,
    },
}

/// Writes a sorted stream to one file, or more, for each partition.
///
/// `partition` says where a trace with this home start belongs; `open` makes the writer of a
/// partition's next file, given the number of files before it.
pub struct Splitter<W: Write + Send, P, O> {
    table: Table,
    limits: SplitLimits,
    partition: P,
    open: O,
    current: BTreeMap<Partition, Part<W>>,
    full: Vec<Part<W>>,
    opened: u32,
}

impl<W: Write + Send, P, O> fmt::Debug for Splitter<W, P, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Splitter")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

struct Part<W: Write + Send> {
    partition: Partition,
    number: u32,
    writer: LakeWriter<W>,
    /// Project and trace of the last row.
    last: (String, String),
}

impl<W, P, O> Splitter<W, P, O>
where
    W: Write + Send,
    P: FnMut(Time) -> Partition,
    O: FnMut(Partition, u32) -> Result<LakeWriter<W>, WriteError>,
{
    /// Returns a splitter that has no file yet.
    pub fn new(table: Table, limits: SplitLimits, partition: P, open: O) -> Self {
        let (current, full) = (BTreeMap::new(), Vec::new());
        Self {
            table,
            limits,
            partition,
            open,
            current,
            full,
            opened: 0,
        }
    }

    /// Writes the rows of a batch to their partitions' files.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), SplitError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let table = self.table;
        let view = View::of(table, batch).map_err(|source| SplitError::Keys { table, source })?;
        let mut rows: BTreeMap<Partition, Vec<u32>> = BTreeMap::new();
        for row in 0..view.rows() {
            rows.entry((self.partition)(view.home(row)))
                .or_default()
                .push(row as u32);
        }
        for (partition, rows) in rows {
            match rows.len() == view.rows() {
                true => self.write_partition(partition, batch, &view)?,
                false => {
                    let part =
                        take_record_batch(batch, &UInt32Array::from(rows)).map_err(|source| {
                            SplitError::Take {
                                table,
                                partition,
                                source,
                            }
                        })?;
                    let view = View::of(table, &part)
                        .map_err(|source| SplitError::Keys { table, source })?;
                    self.write_partition(partition, &part, &view)?;
                }
            }
        }
        self.bound_memory()
    }

    /// Writes rows of one partition, the first of them to the present file if they go on with its
    /// last trace, the rest to the next file if the present one is full.
    fn write_partition(
        &mut self,
        partition: Partition,
        batch: &RecordBatch,
        view: &View,
    ) -> Result<(), SplitError> {
        let (rows, mut from) = (view.rows(), 0);
        if let Some(part) = self.current.get_mut(&partition)
            && part.writer.file_bytes() >= self.limits.file_bytes_max
        {
            if part.writer.file_bytes() < self.limits.file_bytes_hard_max {
                from = (0..rows)
                    .find(|&row| !part.ends_with(view, row))
                    .unwrap_or(rows);
            }
            if from > 0 {
                part.write(&batch.slice(0, from), view, from - 1)
                    .map_err(self.failed(partition))?;
            }
            if from < rows {
                self.full.extend(self.current.remove(&partition));
            }
        }
        if from == rows {
            return Ok(());
        }
        let failed = self.failed(partition);
        let part = self.part(partition)?;
        part.write(&batch.slice(from, rows - from), view, rows - 1)
            .map_err(failed)
    }

    /// Returns the file that the partition's next trace goes to.
    fn part(&mut self, partition: Partition) -> Result<&mut Part<W>, SplitError> {
        use std::collections::btree_map::Entry;
        let failed = self.failed(partition);
        match self.current.entry(partition) {
            Entry::Occupied(present) => Ok(present.into_mut()),
            Entry::Vacant(place) => {
                let number = self.opened;
                let writer = (self.open)(partition, number).map_err(failed)?;
                self.opened += 1;
                Ok(place.insert(Part {
                    partition,
                    number,
                    writer,
                    last: Default::default(),
                }))
            }
        }
    }

    /// Writes out the largest row groups until the rest is within the bound.
    fn bound_memory(&mut self) -> Result<(), SplitError> {
        let mut held: usize = self
            .current
            .values()
            .map(|part| part.writer.memory_bytes())
            .sum();
        while held > self.limits.open_bytes_max {
            let largest = self
                .current
                .values_mut()
                .max_by_key(|part| part.writer.memory_bytes());
            let Some(part) = largest.filter(|part| part.writer.memory_bytes() > 0) else {
                break;
            };
            held -= part.writer.memory_bytes();
            let partition = part.partition;
            part.writer.close_group().map_err(self.failed(partition))?;
        }
        // A full file waits only for the number of its siblings.
        for part in &mut self.full {
            let (table, partition) = (self.table, part.partition);
            let failed = |source| SplitError::Write {
                table,
                partition,
                source,
            };
            part.writer.close_group().map_err(failed)?;
        }
        Ok(())
    }

    /// Finishes every file and returns them in the order in which they were opened.
    pub fn finish(self) -> Result<Vec<Finished<W>>, SplitError> {
        let table = self.table;
        let mut parts: Vec<_> = self
            .full
            .into_iter()
            .chain(self.current.into_values())
            .collect();
        parts.sort_by_key(|part| part.number);
        let count = parts.len() as u32;
        let finish = |part: Part<W>| {
            let partition = part.partition;
            let finished = part.writer.finish(count);
            finished.map_err(|source| SplitError::Write {
                table,
                partition,
                source,
            })
        };
        parts.into_iter().map(finish).collect()
    }

    fn failed(&self, partition: Partition) -> impl Fn(WriteError) -> SplitError + use<W, P, O> {
        let table = self.table;
        move |source| SplitError::Write {
            table,
            partition,
            source,
        }
    }
}

impl<W: Write + Send> Part<W> {
    fn ends_with(&self, view: &View, row: usize) -> bool {
        let key = view.key(row);
        (self.last.0.as_str(), self.last.1.as_str()) == (key.project, key.trace_id)
    }

    /// Writes rows of which `last` is the last one.
    fn write(&mut self, batch: &RecordBatch, view: &View, last: usize) -> Result<(), WriteError> {
        self.writer.write(batch)?;
        let key = view.key(last);
        key.project.clone_into(&mut self.last.0);
        key.trace_id.clone_into(&mut self.last.1);
        Ok(())
    }
}
