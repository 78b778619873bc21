//! What does a row not know that its whole trace tells?
//!
//! Spans come one by one and in any order: a tool call may be in Parquet before the agent around it has
//! come, the inner of two spans that tell of one call before the outer one, and what a call said may come
//! as log records. So the columns `agent`, `merged_into`, `input_preview` and `output_preview` have gaps.
//! A merge has the files of an hour or a day in hand and fills them: beside the rows it reads the few
//! columns that tell, in the same order and a trace ahead. What it takes in memory is one trace without its
//! payload.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::error::ArrowError;
use model::{Kin, Source, SpanType, Time, Twin, own_agent, resolve_agents, shared_names, twins};

use crate::lake::{Columns, DecodeError, MergeError, RowKeys, Table, typed_column};

const TABLE: Table = Table::Spans;

/// Returns the columns that tell of a trace what is filled in.
pub(super) fn telling_columns() -> Columns {
    let names = [
        "span_id",
        "parent_id",
        "type",
        "source_type",
        "name",
        "agent",
        "started_at",
        "ended_at",
        "input_preview",
        "output_preview",
        "merged_into",
        "source",
    ];
    let columns = Columns::named(TABLE, &names).expect("these are columns of spans");
    columns.with_order()
}

/// The rows of a merge with their gaps filled.
pub(super) struct Filled<R, T> {
    rows: R,
    known: Known<T>,
}

impl<R, T> Filled<R, T> {
    /// Returns `rows` with what `telling` knows, a merge of the same inputs with
    /// [`telling_columns`].
    pub(super) fn new(rows: R, telling: T) -> Self {
        let known = Known {
            telling,
            trace: Vec::new(),
            trace_key: None,
            ready: VecDeque::new(),
        };
        Self { rows, known }
    }
}

impl<R, T> Iterator for Filled<R, T>
where
    R: Iterator<Item = Result<RecordBatch, MergeError>>,
    T: Iterator<Item = Result<RecordBatch, MergeError>>,
{
    type Item = Result<RecordBatch, MergeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.rows.next()?;
        Some(batch.and_then(|batch| {
            let facts = self.known.of_next(batch.num_rows())?;
            fill(&batch, &facts)
        }))
    }
}

/// What a whole trace tells of one of its rows.
#[derive(Debug, Default)]
struct Facts {
    agent: Option<Arc<str>>,
    merged_into: Option<Box<str>>,
    input_preview: Option<Box<str>>,
    output_preview: Option<Box<str>>,
}

/// Returns the batch with its gaps filled.
fn fill(batch: &RecordBatch, facts: &[Facts]) -> Result<RecordBatch, MergeError> {
    let mut columns = batch.columns().to_vec();
    let mut fill = |name: &'static str, told: fn(&Facts) -> Option<&str>| {
        let column: &StringArray = typed_column(TABLE, batch, name).map_err(bad_keys)?;
        let is_gap = |row: usize| column.is_null(row) && told(&facts[row]).is_some();
        if (0..column.len()).any(is_gap) {
            let values = column.iter().zip(facts);
            let filled = values.map(|(value, facts)| value.or_else(|| told(facts)));
            let at = batch.schema_ref().index_of(name).map_err(no_batch)?;
            columns[at] = Arc::new(filled.collect::<StringArray>()) as ArrayRef;
        }
        Ok::<_, MergeError>(())
    };
    fill("agent", |facts| facts.agent.as_deref())?;
    fill("merged_into", |facts| facts.merged_into.as_deref())?;
    fill("input_preview", |facts| facts.input_preview.as_deref())?;
    fill("output_preview", |facts| facts.output_preview.as_deref())?;
    RecordBatch::try_new(batch.schema(), columns).map_err(no_batch)
}

/// What is known of all rows, in their order.
struct Known<T> {
    telling: T,
    /// The spans of the trace that is being read.
    trace: Vec<Relative>,
    trace_key: Option<(String, String)>,
    /// What is known and not yet asked for.
    ready: VecDeque<Facts>,
}

impl<T> Known<T>
where
    T: Iterator<Item = Result<RecordBatch, MergeError>>,
{
    fn of_next(&mut self, rows: usize) -> Result<Vec<Facts>, MergeError> {
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
            "what is known of every row of a merge is known in time"
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
                .push(cells.relative(row, key.part_id.unwrap_or_default()));
        }
        Ok(())
    }

    /// Ends the trace that was being read.
    fn resolve(&mut self) {
        let mut trace = std::mem::take(&mut self.trace);
        let spans: Vec<&Relative> = trace.iter().collect();
        let agents = shared_names(&resolve_agents(&spans));
        for (from, into) in twins(&spans) {
            let (inner, outer) = pair(&mut trace, from, into);
            take_over(&mut outer.input_preview, &inner.input_preview);
            take_over(&mut outer.output_preview, &inner.output_preview);
            inner.merged_into = Some(outer.span_id.clone());
        }
        let facts = trace.into_iter().zip(agents).map(|(span, agent)| Facts {
            agent,
            merged_into: span.merged_into,
            input_preview: span.input_preview,
            output_preview: span.output_preview,
        });
        self.ready.extend(facts);
    }
}

/// Returns two different spans of a trace.
fn pair(trace: &mut [Relative], from: usize, into: usize) -> (&mut Relative, &mut Relative) {
    let both = trace.get_disjoint_mut([from, into]);
    let [from, into] = both.expect("a span is no double of itself");
    (from, into)
}

fn take_over(mine: &mut Option<Box<str>>, theirs: &Option<Box<str>>) {
    if mine.is_none() {
        mine.clone_from(theirs);
    }
}

/// What a span tells of itself.
#[derive(Debug)]
struct Relative {
    span_id: Box<str>,
    parent_id: Option<Box<str>>,
    span_type: SpanType,
    source_type: Box<str>,
    name: Box<str>,
    started_at: Option<Time>,
    ended_at: Option<Time>,
    agent: Option<Box<str>>,
    source: Source,
    merged_into: Option<Box<str>>,
    input_preview: Option<Box<str>>,
    output_preview: Option<Box<str>>,
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

impl Twin for Relative {
    /// All that stand side by side are of one trace.
    fn trace_id(&self) -> &str {
        ""
    }

    fn span_type(&self) -> SpanType {
        self.span_type
    }

    fn source_type(&self) -> &str {
        &self.source_type
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn source(&self) -> Source {
        self.source
    }

    fn merged_into(&self) -> Option<&str> {
        self.merged_into.as_deref()
    }
}

/// The columns of one batch.
struct Cells<'a> {
    parents: &'a StringArray,
    types: &'a StringArray,
    source_types: &'a StringArray,
    names: &'a StringArray,
    agents: &'a StringArray,
    sources: &'a StringArray,
    merged: &'a StringArray,
    inputs: &'a StringArray,
    outputs: &'a StringArray,
    starts: &'a TimestampMicrosecondArray,
    ends: &'a TimestampMicrosecondArray,
}

impl<'a> Cells<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, DecodeError> {
        Ok(Self {
            parents: typed_column(TABLE, batch, "parent_id")?,
            types: typed_column(TABLE, batch, "type")?,
            source_types: typed_column(TABLE, batch, "source_type")?,
            names: typed_column(TABLE, batch, "name")?,
            agents: typed_column(TABLE, batch, "agent")?,
            sources: typed_column(TABLE, batch, "source")?,
            merged: typed_column(TABLE, batch, "merged_into")?,
            inputs: typed_column(TABLE, batch, "input_preview")?,
            outputs: typed_column(TABLE, batch, "output_preview")?,
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
        let maybe = |texts| text(texts, row).map(Into::into);
        // A type that a later version wrote is no agent to us, nor a call.
        let span_type = self.types.value(row).parse().unwrap_or(SpanType::Custom);
        let agent = own_agent(span_type, self.names.value(row), text(self.agents, row));
        Relative {
            span_id: span_id.into(),
            parent_id: maybe(self.parents),
            span_type,
            source_type: self.source_types.value(row).into(),
            name: self.names.value(row).into(),
            source: self.sources.value(row).parse().unwrap_or(Source::Otlp),
            merged_into: maybe(self.merged),
            input_preview: maybe(self.inputs),
            output_preview: maybe(self.outputs),
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
    MergeError::Whole { source }
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

    use model::{Source, Span, SpanType, Time, doubles};
    use proptest::prelude::*;

    use super::*;
    use crate::lake::samples;
    use crate::lake::{LakeRow, Merge, MergeLimits, ReadError, SpanRow, encode};

    /// Returns rows of a few traces: what the span is, who the parent is, whether it tells its agent and
    /// its preview, whether it is marked as a double of its parent, which file.
    fn rows() -> impl Strategy<Value = Vec<(SpanRow, usize)>> {
        let row = (
            0..6usize,
            0..9usize,
            any::<bool>(),
            any::<bool>(),
            0..3usize,
            0..50i64,
        );
        proptest::collection::btree_map((0..4usize, 0..9usize), row, 0..40).prop_map(|rows| {
            let made = rows.into_iter().map(
                |((trace, n), (kind, parent, is_marked, is_told, file, at))| {
                    let mut row = samples::span_row("p", trace, n, 10);
                    let span = Arc::make_mut(&mut row.span);
                    span.parent_id = (parent != n).then(|| {
                        samples::span_row("p", trace, parent, 0)
                            .span
                            .span_id
                            .clone()
                    });
                    span.span_type = match kind {
                        0 => SpanType::Agent,
                        1 => SpanType::Function,
                        2 => SpanType::Custom,
                        _ => SpanType::Generation,
                    };
                    span.source = Source::Otlp;
                    if kind == 2 && is_marked {
                        span.source_type = model::SOURCE_TYPE_LOG_RECORD.to_owned();
                    }
                    span.merged_into = span.parent_id.clone().filter(|_| is_marked);
                    span.input_preview = is_told.then(|| format!("in {n}"));
                    span.output_preview = (n % 2 == 0).then(|| format!("out {n}"));
                    span.name = format!("n{n}");
                    span.agent = (is_told && n % 3 == 0).then(|| format!("told {n}"));
                    span.started_at = Some(Time::from_micros(at));
                    (row, file)
                },
            );
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
        fn a_merge_knows_what_the_whole_trace_tells(rows in rows()) {
            let (all, telling) = (Columns::all(TABLE), telling_columns());
            let filled = Filled::new(merged(&rows, &all), merged(&rows, &telling));
            let mut count = 0;
            for row in filled.flat_map(|batch| crate::lake::decode::<SpanRow>(&batch.unwrap()).unwrap()) {
                let (of_trace, at) = whole(&rows, &row);
                let spans: Vec<&Span> = of_trace.iter().collect();
                let agent = spans[at].agent.as_deref().or(resolve_agents(&spans)[at]);
                prop_assert_eq!(row.span.agent.as_deref(), agent);
                let want = &put_together(of_trace)[at];
                prop_assert_eq!(&row.span.merged_into, &want.merged_into);
                prop_assert_eq!(&row.span.input_preview, &want.input_preview);
                prop_assert_eq!(&row.span.output_preview, &want.output_preview);
                count += 1;
            }
            prop_assert_eq!(count, rows.len());
        }

        #[test]
        fn a_merge_of_what_was_merged_changes_nothing(mut rows in rows()) {
            // In a circle of doubles, which nobody can mean, each merge would hand a preview on by one.
            for (row, _) in &mut rows {
                let span = Arc::make_mut(&mut row.span);
                let is_above = |id: &model::SpanId| *id < span.span_id;
                let is_rooted = span.parent_id.as_ref().is_some_and(is_above);
                if !is_rooted {
                    (span.parent_id, span.merged_into) = (None, None);
                }
            }
            let (all, telling) = (Columns::all(TABLE), telling_columns());
            let merge = |rows: &[(SpanRow, usize)]| {
                let filled = Filled::new(merged(rows, &all), merged(rows, &telling));
                let rows = filled.flat_map(|batch| crate::lake::decode::<SpanRow>(&batch.unwrap()).unwrap());
                rows.collect::<Vec<_>>()
            };
            let once = merge(&rows);
            let again: Vec<_> = once.iter().cloned().map(|row| (row, 0)).collect();
            prop_assert_eq!(merge(&again), once);
        }
    }

    /// The spans of a row's trace, and its place among them.
    fn whole(rows: &[(SpanRow, usize)], row: &SpanRow) -> (Vec<Span>, usize) {
        let spans = rows.iter().map(|(row, _)| Span::clone(&row.span));
        let of_trace: Vec<Span> = spans
            .filter(|span| span.trace_id == row.span.trace_id)
            .collect();
        let is_it = |span: &Span| span.span_id == row.span.span_id;
        let at = of_trace.iter().position(is_it).unwrap();
        (of_trace, at)
    }

    /// What a reader makes of a trace.
    fn put_together(mut spans: Vec<Span>) -> Vec<Span> {
        for (from, into) in doubles(&spans) {
            let inner = spans[from].clone();
            spans[into].fill_from(&inner);
            spans[from].merged_into = Some(spans[into].span_id.clone());
        }
        spans
    }

    #[test]
    fn the_telling_columns_hold_no_payload() {
        let telling = telling_columns();
        assert!(telling.schema().index_of("data").is_err());
        assert!(telling.indices().len() < 20, "{:?}", telling.indices());
    }
}
