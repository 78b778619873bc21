//! The reads that the API needs again and again, as functions with types.
//!
//! They are built as plans, never as SQL text, over the tables as they are stored: a row comes back
//! with its settled status, and the caller asks it for the status at a moment.

use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::{bool_and, count, max, min, sum};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, col, lit, when};
use futures::TryStreamExt;
use model::{NanoUsd, Time, TraceFilter, TraceId, TraceStatus};
use store::lake::{self, Columns, DecodeError, Table, TraceEntry};

use crate::cursor::Cursor;
use crate::files::FileError;
use crate::filter::filter_expr;
use crate::session::{Engine, Session};
use crate::tables::{newest_first, status_at, time_lit};
use crate::view::{View, ViewError};

/// Why a read failed. Filters, orders and cursors are typed, so it is never the caller's mistake.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The query engine failed, or a file could not be read.
    #[error("failed to {task}")]
    Query {
        /// What was attempted.
        task: &'static str,
        /// What went wrong.
        #[source]
        source: DataFusionError,
    },
    /// A row is none of its table.
    #[error("failed to {task}")]
    Decode {
        /// What was attempted.
        task: &'static str,
        /// What is wrong with the row.
        #[source]
        source: DecodeError,
    },
    /// The rows in memory could not be had.
    #[error("failed to {task}")]
    View {
        /// What was attempted.
        task: &'static str,
        /// What went wrong.
        #[source]
        source: ViewError,
    },
}

impl ReadError {
    /// Returns whether the view is older than the store keeps its files for: take another one.
    pub fn is_expired(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if matches!(error.downcast_ref(), Some(FileError::Gone { .. })) {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// The order of a list of traces. Traces without a start come last, and traces that start together
/// stand in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// By start, newest first.
    #[default]
    Descending,
    /// By start, oldest first.
    Ascending,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T, C = Cursor> {
    /// The entries.
    pub items: Vec<T>,
    /// Where the next page begins; `None` at the end of the list.
    pub next: Option<C>,
}

/// What is asked of a list of traces.
#[derive(Debug, Clone)]
pub struct TraceList {
    /// Which traces.
    pub filter: TraceFilter,
    /// In which order.
    pub order: Order,
    /// How many at most.
    pub limit: usize,
    /// After which one.
    pub after: Option<Cursor>,
    /// Which columns are filled in: [`Columns::narrow`] leaves out metadata and the like. Ids, start
    /// and first sequence number are always there.
    pub columns: Columns,
}

/// What traces are gathered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatherBy {
    /// By `group_id`; traces without one are left out.
    Group,
    /// By `workflow_name`; traces without one are left out.
    Workflow,
}

impl GatherBy {
    fn column(self) -> &'static str {
        match self {
            Self::Group => "group_id",
            Self::Workflow => "workflow_name",
        }
    }
}

/// The traces of one group or workflow, summed up.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The group's id or the workflow's name.
    pub name: String,
    /// How many traces.
    pub traces: i64,
    /// How many of them have the status `error` or `timeout`.
    pub errors: i64,
    /// How many of them have the status `running`.
    pub running: i64,
    /// Tokens read, as far as they are known.
    pub input_tokens: Option<i64>,
    /// Tokens written, as far as they are known.
    pub output_tokens: Option<i64>,
    /// The known sum of costs; `None` where nothing is known.
    pub cost: Option<NanoUsd>,
    /// Whether every trace's cost is known and complete.
    pub cost_complete: bool,
    /// The earliest start.
    pub first_started_at: Option<Time>,
    /// The latest start.
    pub last_started_at: Option<Time>,
    /// When the newest row was received: summaries are listed by it, newest first.
    pub last_received_at: Time,
}

/// A place in a list of summaries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryCursor {
    /// The last summary's newest row.
    pub last_received_at: Time,
    /// The last summary's name.
    pub name: String,
}

impl Engine {
    /// Returns a page of traces.
    pub async fn list_traces(
        &self,
        view: Arc<dyn View>,
        list: TraceList,
    ) -> Result<Page<TraceEntry>, ReadError> {
        let mut read = self.reader(view, "list traces")?;
        if list.filter.is_empty() {
            read.session.expect_rows(list.limit);
        }
        self.spawn(async move { read.list_traces(list).await })
            .join()
            .await
    }

    /// Returns the place after a trace, for lists that are continued by id. `None`: there is no such
    /// trace.
    pub async fn cursor_after(
        &self,
        view: Arc<dyn View>,
        trace_id: TraceId,
    ) -> Result<Option<Cursor>, ReadError> {
        let read = self.reader(view, "look up where a list goes on")?;
        self.spawn(async move { read.cursor_after(trace_id).await })
            .join()
            .await
    }

    /// Returns how many traces are meant by `filter`.
    pub async fn count_traces(
        &self,
        view: Arc<dyn View>,
        filter: TraceFilter,
    ) -> Result<u64, ReadError> {
        let read = self.reader(view, "count traces")?;
        self.spawn(async move { read.count_traces(&filter).await })
            .join()
            .await
    }

    /// Returns the ids of all traces that are meant by `filter`, newest first.
    pub async fn trace_ids(
        &self,
        view: Arc<dyn View>,
        filter: TraceFilter,
    ) -> Result<Vec<TraceId>, ReadError> {
        let read = self.reader(view, "find traces")?;
        self.spawn(async move { read.trace_ids(&filter).await })
            .join()
            .await
    }

    /// Returns a page of groups or workflows, those with the newest rows first.
    pub async fn list_summaries(
        &self,
        view: Arc<dyn View>,
        by: GatherBy,
        filter: TraceFilter,
        limit: usize,
        after: Option<SummaryCursor>,
    ) -> Result<Page<Summary, SummaryCursor>, ReadError> {
        let read = self.reader(view, "sum up traces")?;
        self.spawn(async move { read.list_summaries(by, &filter, limit, after).await })
            .join()
            .await
    }

    fn reader(&self, view: Arc<dyn View>, task: &'static str) -> Result<Reader, ReadError> {
        let session = self
            .session(&view, self.memory_bytes_each())
            .map_err(|source| ReadError::Query { task, source })?;
        Ok(Reader {
            session,
            view,
            task,
        })
    }
}

/// One read in one session.
struct Reader {
    session: Session,
    view: Arc<dyn View>,
    task: &'static str,
}

impl Reader {
    fn failed(&self, source: DataFusionError) -> ReadError {
        ReadError::Query {
            task: self.task,
            source,
        }
    }

    async fn collect(&self, plan: &LogicalPlan) -> Result<Vec<RecordBatch>, ReadError> {
        let stream = self
            .session
            .execute(plan)
            .await
            .map_err(|e| self.failed(e))?;
        stream.try_collect().await.map_err(|e| self.failed(e))
    }

    /// Returns a plan of the traces that are meant.
    fn traces(&self, filter: &TraceFilter) -> Result<LogicalPlanBuilder, DataFusionError> {
        let meant = filter_expr(filter, self.view.now(), self.view.idle_micros())?;
        self.session.tables.stored(Table::Traces)?.filter(meant)
    }

    async fn list_traces(&self, list: TraceList) -> Result<Page<TraceEntry>, ReadError> {
        let watermark = match &list.after {
            Some(after) => after.watermark,
            None => {
                let task = self.task;
                self.view
                    .watermark()
                    .map_err(|source| ReadError::View { task, source })?
            }
        };
        let wanted = list.limit.saturating_add(1);
        let mut items: Vec<TraceEntry> = Vec::new();
        // Two steps, since only a range of times can rule out files. The second is seldom needed.
        for part in [Timed::Yes, Timed::No] {
            let rest = wanted - items.len();
            let Some(place) = part.after(list.order, list.after.as_ref()) else {
                continue;
            };
            if rest > 0 {
                let plan = self.page(
                    &list,
                    place.and(col("first_seq").lt_eq(lit(watermark))),
                    rest,
                );
                items.extend(self.entries(&plan.map_err(|e| self.failed(e))?).await?);
            }
        }
        let has_more = items.len() == wanted;
        items.truncate(list.limit);
        let last = items.last().filter(|_| has_more);
        let next = last.map(|entry| cursor_at(entry, watermark));
        Ok(Page { items, next })
    }

    fn page(
        &self,
        list: &TraceList,
        place: Expr,
        rows: usize,
    ) -> Result<LogicalPlan, DataFusionError> {
        let by_start = col("started_at").sort(list.order == Order::Ascending, false);
        let names = list
            .columns
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().as_str());
        let keys = ["project_id", "trace_id", "started_at", "first_seq"];
        let mut shown: Vec<&str> = names.collect();
        shown.extend(
            keys.into_iter()
                .filter(|key| list.columns.schema().index_of(key).is_err()),
        );
        self.traces(&list.filter)?
            .filter(place)?
            .project(shown.into_iter().map(col))?
            .sort(vec![by_start, col("trace_id").sort(true, false)])?
            .limit(0, Some(rows))?
            .build()
    }

    async fn entries(&self, plan: &LogicalPlan) -> Result<Vec<TraceEntry>, ReadError> {
        let mut entries = Vec::new();
        for batch in self.collect(plan).await? {
            let rows = lake::decode::<TraceEntry>(&batch);
            entries.extend(rows.map_err(|source| ReadError::Decode {
                task: self.task,
                source,
            })?);
        }
        Ok(entries)
    }

    async fn cursor_after(&self, trace_id: TraceId) -> Result<Option<Cursor>, ReadError> {
        let list = TraceList {
            filter: TraceFilter {
                ids: vec![trace_id],
                ..TraceFilter::default()
            },
            order: Order::Descending,
            limit: 1,
            after: None,
            columns: Columns::narrow(Table::Traces),
        };
        let task = self.task;
        let watermark = self
            .view
            .watermark()
            .map_err(|source| ReadError::View { task, source })?;
        let page = self.list_traces(list).await?;
        Ok(page.items.first().map(|entry| cursor_at(entry, watermark)))
    }

    async fn count_traces(&self, filter: &TraceFilter) -> Result<u64, ReadError> {
        let plan = || {
            let none: Vec<Expr> = Vec::new();
            self.traces(filter)?
                .aggregate(none, [count(lit(1_i64))])?
                .build()
        };
        let batches = self.collect(&plan().map_err(|e| self.failed(e))?).await?;
        let counts = batches
            .iter()
            .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().iter());
        Ok(counts
            .flatten()
            .map(|n| u64::try_from(n).unwrap_or(0))
            .sum())
    }

    async fn trace_ids(&self, filter: &TraceFilter) -> Result<Vec<TraceId>, ReadError> {
        let plan = || {
            self.traces(filter)?
                .project([col("started_at"), col("trace_id"), col("project_id")])?
                .sort(newest_first())?
                .build()
        };
        let entries = self.entries(&plan().map_err(|e| self.failed(e))?).await?;
        Ok(entries
            .into_iter()
            .map(|entry| entry.row.item.trace_id.clone())
            .collect())
    }

    async fn list_summaries(
        &self,
        by: GatherBy,
        filter: &TraceFilter,
        limit: usize,
        after: Option<SummaryCursor>,
    ) -> Result<Page<Summary, SummaryCursor>, ReadError> {
        let wanted = limit.saturating_add(1);
        let plan = self
            .summaries(by, filter, wanted, after)
            .map_err(|e| self.failed(e))?;
        let mut items: Vec<Summary> = self
            .collect(&plan)
            .await?
            .iter()
            .flat_map(summaries_of)
            .collect();
        let has_more = items.len() == wanted;
        items.truncate(limit);
        let last = items.last().filter(|_| has_more);
        let next = last.map(|summary| SummaryCursor {
            last_received_at: summary.last_received_at,
            name: summary.name.clone(),
        });
        Ok(Page { items, next })
    }

    fn summaries(
        &self,
        by: GatherBy,
        filter: &TraceFilter,
        rows: usize,
        after: Option<SummaryCursor>,
    ) -> Result<LogicalPlan, DataFusionError> {
        let status = status_at(self.view.now(), self.view.idle_micros())?;
        let counted = |statuses: &[TraceStatus]| {
            let words = statuses.iter().map(|status| lit(status.as_str())).collect();
            let is_one = status.clone().in_list(words, false);
            Ok::<_, DataFusionError>(sum(when(is_one, lit(1_i64)).otherwise(lit(0_i64))?))
        };
        let figures = [
            count(lit(1_i64)).alias("traces"),
            counted(&[TraceStatus::Error, TraceStatus::Timeout])?.alias("errors"),
            counted(&[TraceStatus::Running])?.alias("running"),
            sum(col("input_tokens")).alias("input_tokens"),
            sum(col("output_tokens")).alias("output_tokens"),
            sum(col("cost_nano_usd")).alias("cost_nano_usd"),
            bool_and(col("cost_complete").and(col("cost_nano_usd").is_not_null()))
                .alias("cost_complete"),
            min(col("started_at")).alias("first_started_at"),
            max(col("started_at")).alias("last_started_at"),
            max(col("last_received_at")).alias("last_received_at"),
        ];
        let name = || col(by.column());
        let mut plan = self
            .traces(filter)?
            .filter(name().is_not_null())?
            .aggregate([name().alias("name")], figures)?;
        if let Some(after) = after {
            let seen = time_lit(after.last_received_at);
            let ties = col("last_received_at")
                .eq(seen.clone())
                .and(col("name").gt(lit(after.name)));
            plan = plan.filter(col("last_received_at").lt(seen).or(ties))?;
        }
        plan.sort(vec![
            col("last_received_at").sort(false, false),
            col("name").sort(true, false),
        ])?
        .limit(0, Some(rows))?
        .build()
    }
}

fn cursor_at(entry: &TraceEntry, watermark: i64) -> Cursor {
    let trace_id = entry.row.item.trace_id.clone();
    Cursor {
        started_at: entry.row.started_at,
        trace_id,
        watermark,
    }
}

/// The two parts of a list: traces with a start, then those without.
#[derive(Debug, Clone, Copy)]
enum Timed {
    Yes,
    No,
}

impl Timed {
    /// Returns what holds for this part's traces after a cursor; `None`: there are none.
    fn after(self, order: Order, after: Option<&Cursor>) -> Option<Expr> {
        let start = || col("started_at");
        let later_id = |cursor: &Cursor| col("trace_id").gt(lit(cursor.trace_id.as_str()));
        match (self, after) {
            (Self::No, Some(cursor)) if cursor.started_at.is_none() => {
                Some(start().is_null().and(later_id(cursor)))
            }
            (Self::No, _) => Some(start().is_null()),
            (Self::Yes, None) => Some(start().is_not_null()),
            (Self::Yes, Some(cursor)) => {
                let at = time_lit(cursor.started_at?);
                let (from, beyond) = match order {
                    Order::Descending => (start().lt_eq(at.clone()), start().lt(at)),
                    Order::Ascending => (start().gt_eq(at.clone()), start().gt(at)),
                };
                Some(from.and(beyond.or(later_id(cursor))))
            }
        }
    }
}

/// Returns the rows of the plan that [`Reader::summaries`] makes.
fn summaries_of(batch: &RecordBatch) -> Vec<Summary> {
    let column = |name: &str| {
        batch
            .column_by_name(name)
            .expect("the plan has this column")
    };
    let int = |name: &str, row: usize| {
        valid(column(name), row).then(|| column(name).as_primitive::<Int64Type>().value(row))
    };
    let time = |name: &str, row: usize| {
        let values = column(name);
        let micros = || values.as_primitive::<TimestampMicrosecondType>().value(row);
        valid(values, row).then(|| Time::from_micros(micros()))
    };
    let summary = |row| Summary {
        name: column("name").as_string::<i32>().value(row).to_owned(),
        traces: int("traces", row).unwrap_or(0),
        errors: int("errors", row).unwrap_or(0),
        running: int("running", row).unwrap_or(0),
        input_tokens: int("input_tokens", row),
        output_tokens: int("output_tokens", row),
        cost: int("cost_nano_usd", row).map(NanoUsd),
        cost_complete: column("cost_complete").as_boolean().value(row),
        first_started_at: time("first_started_at", row),
        last_started_at: time("last_started_at", row),
        last_received_at: time("last_received_at", row).unwrap_or_default(),
    };
    (0..batch.num_rows()).map(summary).collect()
}

fn valid(array: &ArrayRef, row: usize) -> bool {
    array.is_valid(row)
}
