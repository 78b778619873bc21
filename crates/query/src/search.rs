//! Which traces hold a text? Messages, names, error messages and what spans keep of their input and
//! output are searched, the newest few traces first and then a home day at a time; each trace is told
//! once.
//!
//! Hits stand in the order (start of the trace descending, id), which depends on nothing but the rows,
//! so that compaction changes no answer. The time bound is looked at between slices: one that was
//! begun is finished, so that every call gets on.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::cast::AsArray;
use arrow::array::{Array, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, col, lit,
};
use futures::TryStreamExt;
use model::{Time, TraceFilter, TraceId};
use store::lake::{self, Table};

use crate::filter::filter_expr;
use crate::needle::Needle;
use crate::reads::ReadError;
use crate::session::{Engine, Session};
use crate::tables::{newest_first, time_lit};
use crate::view::View;

const TASK: &str = "search traces";
const DAY_MICROS: i64 = 24 * 3_600_000_000;
/// So many of the newest traces are searched, then so many more, before the rest of their day. Messages
/// are sorted by trace, so that each trace costs a page of them: a few cost little of a day, an hour's
/// cost all of it.
const FIRST_TRACES: [usize; 4] = [64, 256, 1_024, 4_096];

/// What is looked for.
#[derive(Debug, Clone)]
pub struct Search {
    /// The text; case does not matter.
    pub text: String,
    /// Which traces are meant at all.
    pub filter: TraceFilter,
    /// How many at most.
    pub limit: usize,
    /// Where the search before ended.
    pub after: Option<SearchCursor>,
    /// After this time no further slice is begun.
    pub time: Duration,
}

/// A place in the order of hits: after a trace, or after all that start at or after a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchCursor {
    /// Traces that start later were told.
    pub started_at: Time,
    /// Of those that start then, these ids and the lesser ones were told; `None`: all of them.
    pub trace_id: Option<TraceId>,
}

/// Where a text was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a message.
    Message,
    /// In a span's name.
    Name,
    /// In an error message.
    Error,
    /// In what a span keeps of its input and output.
    Data,
}

/// A trace that holds the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The trace.
    pub trace_id: TraceId,
    /// The start that the trace is filed under.
    pub started_at: Time,
    /// Where the text was found first.
    pub place: Place,
    /// The text with a little of what is around it.
    pub snippet: String,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The hits, newest first.
    pub hits: Vec<Hit>,
    /// Where to go on; `None`: everything was searched.
    pub next: Option<SearchCursor>,
    /// Whether the search stopped because of its time, not because the page is full.
    pub partial: bool,
}

impl Engine {
    /// Returns traces that hold a text. A text of nothing but space is found nowhere.
    pub async fn search(&self, view: Arc<dyn View>, search: Search) -> Result<Found, ReadError> {
        let Some(needle) = Needle::new(&search.text) else {
            return Ok(Found {
                hits: Vec::new(),
                next: None,
                partial: false,
            });
        };
        let session = self
            .session(&view, self.memory_bytes_each())
            .map_err(|source| ReadError::Query { task: TASK, source })?;
        let searcher = Searcher {
            session,
            view,
            needle,
            search,
        };
        self.spawn(async move { searcher.run().await }).join().await
    }
}

/// Hits of one slice of time, in their order: newest first, then by id.
type SliceHits = BTreeMap<(std::cmp::Reverse<Time>, TraceId), (Place, String)>;

struct Searcher {
    session: Session,
    view: Arc<dyn View>,
    needle: Needle,
    search: Search,
}

impl Searcher {
    async fn run(&self) -> Result<Found, ReadError> {
        let began = Instant::now();
        let live = self.live_starts()?;
        let mut hits: Vec<Hit> = Vec::new();
        // Of the traces that start before this moment nothing was looked at.
        let mut before = self.search.after.as_ref().map_or(i64::MAX, |cursor| {
            cursor
                .started_at
                .as_micros()
                .saturating_add(i64::from(cursor.trace_id.is_some()))
        });
        let mut slices = 0;
        // A text that is common fills its page from the first traces.
        let after = self.search.after.as_ref();
        let begins = after.is_none_or(|cursor| cursor.trace_id.is_some());
        while let Some(newest) = self.newest_before(before, &live) {
            if slices > 0 && began.elapsed() >= self.search.time {
                let next = SearchCursor {
                    started_at: Time::from_micros(before),
                    trace_id: None,
                };
                return Ok(Found {
                    hits,
                    next: Some(next),
                    partial: true,
                });
            }
            let day = newest.div_euclid(DAY_MICROS).saturating_mul(DAY_MICROS);
            let from = match FIRST_TRACES.get(slices).filter(|_| begins) {
                Some(&traces) => day.max(self.start_of_first(traces, before).await?.min(newest)),
                None => day,
            };
            for ((started_at, trace_id), (place, snippet)) in self.slice(from, before).await? {
                if hits.len() == self.search.limit {
                    let next = hits.last().map(|hit| SearchCursor {
                        started_at: hit.started_at,
                        trace_id: Some(hit.trace_id.clone()),
                    });
                    return Ok(Found {
                        hits,
                        next: next.or(self.search.after.clone()),
                        partial: false,
                    });
                }
                hits.push(Hit {
                    trace_id,
                    started_at: started_at.0,
                    place,
                    snippet,
                });
            }
            before = from;
            slices += 1;
        }
        Ok(Found {
            hits,
            next: None,
            partial: false,
        })
    }

    /// Returns the starts of the traces with rows in memory.
    fn live_starts(&self) -> Result<Vec<i64>, ReadError> {
        let mut starts = Vec::new();
        for table in [Table::Messages, Table::Spans] {
            let failed = |source| ReadError::View { task: TASK, source };
            let at = lake::schema(table)
                .index_of(table.home_column())
                .map_err(|e| failed(e.into()))?;
            let batch = self.view.memory(table, &[at]).map_err(failed)?;
            starts.extend(
                batch
                    .column(0)
                    .as_primitive::<TimestampMicrosecondType>()
                    .values(),
            );
        }
        Ok(starts)
    }

    /// Returns the latest moment before `before` that a row may be filed under.
    fn newest_before(&self, before: i64, live: &[i64]) -> Option<i64> {
        let tables = [Table::Messages, Table::Spans].into_iter();
        let ranges = tables
            .flat_map(|table| self.view.files(table))
            .filter_map(|file| {
                let (min, max) = (file.min_time?.as_micros(), file.max_time?.as_micros());
                (min < before).then(|| max.min(before - 1))
            });
        ranges
            .chain(live.iter().copied().filter(|start| *start < before))
            .max()
    }

    /// Returns a moment since which the newest `traces` before `before` started. They are listed by another
    /// start than the one they are filed under: it is a guess that costs no more than a longer slice.
    async fn start_of_first(&self, traces: usize, before: i64) -> Result<i64, ReadError> {
        let failed = |source| ReadError::Query { task: TASK, source };
        let mut session = self.session.clone();
        session.expect_rows(traces);
        let plan = || {
            let stored = session.tables.stored(Table::Traces)?;
            stored
                .filter(col("started_at").lt(time_lit(Time::from_micros(before))))?
                .project([col("started_at"), col("trace_id")])?
                .sort(newest_first())?
                .limit(0, Some(traces))?
                .build()
        };
        let batches = session.execute(&plan().map_err(failed)?).await;
        let batches: Vec<RecordBatch> = batches
            .map_err(failed)?
            .try_collect()
            .await
            .map_err(failed)?;
        let starts = batches.iter().flat_map(|batch| {
            let starts = batch.column(0).as_primitive::<TimestampMicrosecondType>();
            starts.values().iter().copied()
        });
        Ok(starts.min().unwrap_or(i64::MIN))
    }

    /// Returns the hits among the traces that start from `from` to before `before`, without those
    /// that the cursor is past.
    async fn slice(&self, from: i64, before: i64) -> Result<SliceHits, ReadError> {
        let failed = |source| ReadError::Query { task: TASK, source };
        let mut hits = SliceHits::new();
        for table in [Table::Messages, Table::Spans] {
            let plan = self.plan(table, from, before).map_err(failed)?;
            let mut batches = self.session.execute(&plan).await.map_err(failed)?;
            while let Some(batch) = batches.try_next().await.map_err(failed)? {
                self.gather(table, &batch, &mut hits).map_err(failed)?;
            }
        }
        if let Some(SearchCursor {
            started_at,
            trace_id: Some(past),
        }) = &self.search.after
        {
            hits.retain(|(start, id), _| start.0 < *started_at || id > past);
        }
        if !self.search.filter.is_empty() && !hits.is_empty() {
            let meant = self.meant(&hits).await?;
            hits.retain(|(_, id), _| meant.contains(id));
        }
        Ok(hits)
    }

    fn plan(&self, table: Table, from: i64, before: i64) -> Result<LogicalPlan, DataFusionError> {
        let start = || col(table.home_column());
        let time = |micros| time_lit(Time::from_micros(micros));
        let holds = |kind| Holds::new(self.needle.clone(), kind);
        let (found, shown) = match table {
            Table::Messages => (holds(Kind::Json).call("content"), vec!["content"]),
            Table::Spans | Table::Traces | Table::Grades => (
                holds(Kind::Plain)
                    .call("name")
                    .or(holds(Kind::Plain).call("error_message"))
                    .or(holds(Kind::Json).call("error_data"))
                    .or(holds(Kind::Json).call("data")),
                vec!["name", "error_message", "error_data", "data"],
            ),
        };
        let columns = [table.home_column(), "trace_id"]
            .into_iter()
            .chain(shown)
            .map(col);
        self.session
            .tables
            .stored(table)?
            .filter(
                start()
                    .gt_eq(time(from))
                    .and(start().lt(time(before)))
                    .and(found),
            )?
            .project(columns)?
            .build()
    }

    /// Adds the hits of a batch; of several in one trace the first place in the order of [`Place`],
    /// and there the least snippet, so that the answer does not depend on the order of rows.
    fn gather(
        &self,
        table: Table,
        batch: &RecordBatch,
        hits: &mut SliceHits,
    ) -> Result<(), DataFusionError> {
        let starts = batch.column(0).as_primitive::<TimestampMicrosecondType>();
        let ids = batch.column(1).as_string::<i32>();
        let text = |at: usize, row: usize| {
            let texts: &StringArray = batch.column(at).as_string();
            texts.is_valid(row).then(|| texts.value(row))
        };
        for row in 0..batch.num_rows() {
            let found = match table {
                Table::Messages => text(2, row)
                    .and_then(|t| self.needle.snippet_of_json(t))
                    .map(|s| (Place::Message, s)),
                Table::Spans | Table::Traces | Table::Grades => {
                    let name = text(2, row)
                        .and_then(|t| self.needle.snippet(t))
                        .map(|s| (Place::Name, s));
                    let error = || {
                        // The SDK's message is a constant; what happened stands in the data beside it.
                        let reason = || text(4, row).and_then(|t| self.needle.snippet_of_json(t));
                        text(3, row)
                            .and_then(|t| self.needle.snippet(t))
                            .or_else(reason)
                            .map(|s| (Place::Error, s))
                    };
                    let data = || {
                        text(5, row)
                            .and_then(|t| self.needle.snippet_of_json(t))
                            .map(|s| (Place::Data, s))
                    };
                    name.or_else(error).or_else(data)
                }
            };
            let Some(found) = found else { continue };
            let id =
                TraceId::new(ids.value(row)).map_err(|e| DataFusionError::External(Box::new(e)))?;
            let key = (std::cmp::Reverse(Time::from_micros(starts.value(row))), id);
            let best = hits.entry(key).or_insert_with(|| found.clone());
            if found < *best {
                *best = found;
            }
        }
        Ok(())
    }

    /// Returns which of the hits the filter means.
    async fn meant(&self, hits: &SliceHits) -> Result<Vec<TraceId>, ReadError> {
        let failed = |source| ReadError::Query { task: TASK, source };
        let filter = filter_expr(
            &self.search.filter,
            self.view.now(),
            self.view.idle_micros(),
        );
        let ids: Vec<Expr> = hits.keys().map(|(_, id)| lit(id.as_str())).collect();
        let plan = |filter: Expr| {
            let traces = self.session.tables.stored(Table::Traces)?;
            traces
                .filter(filter.and(col("trace_id").in_list(ids, false)))?
                .project([col("trace_id")])?
                .build()
        };
        let plan = filter.and_then(plan).map_err(failed)?;
        let batches = self.session.execute(&plan).await.map_err(failed)?;
        let batches: Vec<RecordBatch> = batches.try_collect().await.map_err(failed)?;
        let texts = batches
            .iter()
            .flat_map(|batch| batch.column(0).as_string::<i32>().iter().flatten());
        let mut meant: Vec<TraceId> = texts.filter_map(|text| TraceId::new(text).ok()).collect();
        meant.sort();
        Ok(meant)
    }
}

/// How a column's text is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Plain,
    Json,
}

/// The needle as a predicate, so that texts are tested while they are decoded.
#[derive(Debug, PartialEq, Eq)]
struct Holds {
    needle: Needle,
    kind: Kind,
    signature: Signature,
}

impl Holds {
    fn new(needle: Needle, kind: Kind) -> Self {
        let signature = Signature::exact(vec![DataType::Utf8], Volatility::Immutable);
        Self {
            needle,
            kind,
            signature,
        }
    }

    fn call(self, column: &str) -> Expr {
        ScalarUDF::new_from_impl(self).call(vec![col(column)])
    }
}

impl Hash for Holds {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.needle, self.kind).hash(state);
    }
}

impl ScalarUDFImpl for Holds {
    fn name(&self) -> &'static str {
        "holds_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let holds = |text: &str| match self.kind {
            Kind::Plain => self.needle.is_in(text),
            Kind::Json => self.needle.is_in_json(text),
        };
        let texts = arrays
            .iter()
            .flat_map(|array| array.as_string::<i32>().iter());
        let answers: BooleanArray = texts.map(|text| Some(text.is_some_and(holds))).collect();
        Ok(ColumnarValue::Array(Arc::new(answers)))
    }
}
