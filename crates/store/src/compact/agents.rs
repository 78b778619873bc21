//! Which agent was at work in a span that was written before its agent was known?
//!
//! Exporters send a span when it ends, so a tool call may be in Parquet before the agent around it has
//! come, and its column `agent` is null. A merge has the files of an hour or a day in hand and fills
//! such gaps: beside the rows it reads the few columns that tell the agent, in the same order and a
//! trace ahead. What it takes in memory is one trace without its payload.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::error::ArrowError;
use model::{Kin, SpanType, Time, own_agent, resolve_agents, shared_names};

use crate::lake::{Columns, DecodeError, MergeError, RowKeys, Table, typed_column};

const TABLE: Table = Table::Spans;

/// Returns the columns that tell the agents of a trace.
pub(super) fn telling_columns() -> Columns {
    let names = [
        "span_id",
        "parent_id",
        "type",
        "name",
        "agent",
        "started_at",
        "ended_at",
    ];
    let columns = Columns::named(TABLE, &names).expect("these are columns of spans");
    columns.with_order()
}

/// The rows of a merge with their agents filled in.
pub(super) struct WithAgents<R, T> {
    rows: R,
    agents: Agents<T>,
}

impl<R, T> WithAgents<R, T> {
    /// Returns `rows` with what `telling` knows, a merge of the same inputs with
    /// [`telling_columns`].
    pub(super) fn new(rows: R, telling: T) -> Self {
        let agents = Agents {
            telling,
            trace: Vec::new(),
            trace_key: None,
            ready: VecDeque::new(),
        };
        Self { rows, agents }
    }
}

impl<R, T> Iterator for WithAgents<R, T>
where
    R: Iterator<Item = Result<RecordBatch, MergeError>>,
    T: Iterator<Item = Result<RecordBatch, MergeError>>,
{
    type Item = Result<RecordBatch, MergeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.rows.next()?;
        Some(batch.and_then(|batch| {
            let agents = self.agents.of_next(batch.num_rows())?;
            fill(&batch, &agents)
        }))
    }
}

/// Returns the batch with `agents` where it has none.
fn fill(batch: &RecordBatch, agents: &[Option<Arc<str>>]) -> Result<RecordBatch, MergeError> {
    let told: &StringArray = typed_column(TABLE, batch, "agent").map_err(bad_keys)?;
    let is_gap = |row: usize| told.is_null(row) && agents[row].is_some();
    if !(0..batch.num_rows()).any(is_gap) {
        return Ok(batch.clone());
    }
    let value = |(row, agent): (usize, &Option<Arc<str>>)| match told.is_valid(row) {
        true => Some(told.value(row).to_owned()),
        false => agent.as_deref().map(str::to_owned),
    };
    let filled: StringArray = agents.iter().enumerate().map(value).collect();
    let mut columns = batch.columns().to_vec();
    let at = batch.schema_ref().index_of("agent").map_err(no_batch)?;
    columns[at] = Arc::new(filled) as ArrayRef;
    RecordBatch::try_new(batch.schema(), columns).map_err(no_batch)
}

/// The agents of all rows, in their order.
struct Agents<T> {
    telling: T,
    /// The spans of the trace that is being read.
    trace: Vec<Relative>,
    trace_key: Option<(String, String)>,
    /// Agents that are known and not yet asked for.
    ready: VecDeque<Option<Arc<str>>>,
}

impl<T> Agents<T>
where
    T: Iterator<Item = Result<RecordBatch, MergeError>>,
{
    fn of_next(&mut self, rows: usize) -> Result<Vec<Option<Arc<str>>>, MergeError> {
        while self.ready.len() < rows {
            match self.telling.next() {
                Some(batch) => self.take(&batch?)?,
                None => {
                    self.resolve();
                    break;
                }
            }
        }
        // Both merges read the same files through the same hides.
        assert!(
            self.ready.len() >= rows,
            "every row of a merge has its agent"
        );
        Ok(self.ready.drain(..rows).collect())
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<(), MergeError> {
        let keys = RowKeys::of(TABLE, batch).map_err(bad_keys)?;
        let cells = Cells::of(batch).map_err(bad_keys)?;
        for row in 0..batch.num_rows() {
            let key = keys.key(row);
            let is_same = |(project, trace): &(String, String)| {
                project == key.project && trace == key.trace_id
            };
            if !self.trace_key.as_ref().is_some_and(is_same) {
                self.resolve();
                self.trace_key = Some((key.project.to_owned(), key.trace_id.to_owned()));
            }
            self.trace
                .push(cells.relative(row, key.span_id.unwrap_or_default()));
        }
        Ok(())
    }

    /// Ends the trace that was being read.
    fn resolve(&mut self) {
        let spans: Vec<&Relative> = self.trace.iter().collect();
        self.ready.extend(shared_names(&resolve_agents(&spans)));
        self.trace.clear();
    }
}

/// What a span tells of its agent.
#[derive(Debug)]
struct Relative {
    span_id: Box<str>,
    parent_id: Option<Box<str>>,
    started_at: Option<Time>,
    ended_at: Option<Time>,
    agent: Option<Box<str>>,
}

impl Kin for Relative {
    fn span_id(&self) -> &str {
        &self.span_id
    }

    fn parent_id(&self) -> Option<&str> {
        self.parent_id.as_deref()
    }

    fn started_at(&self) -> Option<Time> {
        self.started_at
    }

    fn ended_at(&self) -> Option<Time> {
        self.ended_at
    }

    fn own_agent(&self) -> Option<&str> {
        self.agent.as_deref()
    }
}

/// The columns of one batch.
struct Cells<'a> {
    parents: &'a StringArray,
    types: &'a StringArray,
    names: &'a StringArray,
    agents: &'a StringArray,
    starts: &'a TimestampMicrosecondArray,
    ends: &'a TimestampMicrosecondArray,
}

impl<'a> Cells<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, DecodeError> {
        Ok(Self {
            parents: typed_column(TABLE, batch, "parent_id")?,
            types: typed_column(TABLE, batch, "type")?,
            names: typed_column(TABLE, batch, "name")?,
            agents: typed_column(TABLE, batch, "agent")?,
            starts: typed_column(TABLE, batch, "started_at")?,
            ends: typed_column(TABLE, batch, "ended_at")?,
        })
    }

    fn relative(&self, row: usize, span_id: &str) -> Relative {
        let time = |times: &TimestampMicrosecondArray| {
            times
                .is_valid(row)
                .then(|| Time::from_micros(times.value(row)))
        };
        // A type that a later version wrote is no agent to us.
        let span_type = self.types.value(row).parse().unwrap_or(SpanType::Custom);
        let agent = own_agent(span_type, self.names.value(row), text(self.agents, row));
        Relative {
            span_id: span_id.into(),
            parent_id: text(self.parents, row).map(Into::into),
            started_at: time(self.starts),
            ended_at: time(self.ends),
            agent: agent.map(Into::into),
        }
    }
}

fn text(texts: &StringArray, row: usize) -> Option<&str> {
    texts.is_valid(row).then(|| texts.value(row))
}

fn bad_keys(source: DecodeError) -> MergeError {
    MergeError::Agents { source }
}

fn no_batch(source: ArrowError) -> MergeError {
    MergeError::Arrow {
        table: TABLE,
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{Span, SpanType, Time};
    use proptest::prelude::*;

    use super::*;
    use crate::lake::samples;
    use crate::lake::{LakeRow, Merge, MergeLimits, ReadError, SpanRow, encode};

    /// Returns rows of a few traces: who the parent is, whether the span is an agent, which file.
    fn rows() -> impl Strategy<Value = Vec<(SpanRow, usize)>> {
        let row = (
            0..4usize,
            0..9usize,
            any::<bool>(),
            any::<bool>(),
            0..3usize,
            0..50i64,
        );
        proptest::collection::btree_map((0..4usize, 0..9usize), row, 0..40).prop_map(|rows| {
            let made =
                rows.into_iter()
                    .map(|((trace, n), (_, parent, is_agent, is_told, file, at))| {
                        let mut row = samples::span_row("p", trace, n, 10);
                        let span = Arc::make_mut(&mut row.span);
                        span.parent_id = (parent != n).then(|| {
                            samples::span_row("p", trace, parent, 0)
                                .span
                                .span_id
                                .clone()
                        });
                        span.span_type = if is_agent {
                            SpanType::Agent
                        } else {
                            SpanType::Function
                        };
                        span.name = format!("n{n}");
                        span.agent = (is_told && n % 3 == 0).then(|| format!("told {n}"));
                        span.started_at = Some(Time::from_micros(at));
                        (row, file)
                    });
            made.collect()
        })
    }

    fn merged(
        rows: &[(SpanRow, usize)],
        columns: &Columns,
    ) -> impl Iterator<Item = Result<RecordBatch, MergeError>> {
        let inputs = (0..3).map(|file| {
            let mut of_file: Vec<SpanRow> = rows
                .iter()
                .filter(|(_, f)| *f == file)
                .map(|(row, _)| row.clone())
                .collect();
            of_file.sort_by(SpanRow::file_order);
            let encode = |rows: &[SpanRow]| {
                Ok::<_, ReadError>(encode::<SpanRow, SpanRow>(rows, columns).unwrap())
            };
            of_file
                .chunks(4)
                .map(encode)
                .collect::<Vec<_>>()
                .into_iter()
        });
        let limits = MergeLimits {
            batch_rows_max: 5,
            batch_bytes_max: 1 << 20,
        };
        Merge::new(columns, limits, inputs.collect(), |_| true).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn a_merge_knows_the_agents_that_the_whole_trace_tells(rows in rows()) {
            let (all, telling) = (Columns::all(TABLE), telling_columns());
            let filled = WithAgents::new(merged(&rows, &all), merged(&rows, &telling));
            let mut count = 0;
            for row in filled.flat_map(|batch| crate::lake::decode::<SpanRow>(&batch.unwrap()).unwrap()) {
                let of_trace: Vec<&Span> = rows.iter().map(|(row, _)| &*row.span).filter(|span| span.trace_id == row.span.trace_id).collect();
                let at = of_trace.iter().position(|span| span.span_id == row.span.span_id).unwrap();
                let want = of_trace[at].agent.as_deref().or(resolve_agents(&of_trace)[at]);
                prop_assert_eq!(row.span.agent.as_deref(), want);
                count += 1;
            }
            prop_assert_eq!(count, rows.len());
        }
    }

    #[test]
    fn the_telling_columns_hold_no_payload() {
        let telling = telling_columns();
        assert!(telling.schema().index_of("data").is_err());
        assert!(telling.indices().len() < 16, "{:?}", telling.indices());
    }
}
