//! Which tables can SQL name, and what do they show?
//!
//! `spans`, `messages` and `grades` are shown as they are stored. `traces` is a view: its `status` depends on
//! the clock, so the column is a `CASE` over the stored one. Being part of the plan, it is what
//! filters, groups and sorts work with; nothing else has to know.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::SchemaProvider;
use datafusion::datasource::{TableProvider, ViewTable, provider_as_source};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, SortExpr, col, lit, when};
use datafusion::scalar::ScalarValue;
use model::{Time, TraceId, TraceStatus};
use store::lake::{self, Table};

use crate::files::Files;
use crate::provider::LakeTable;
use crate::view::View;

/// Returns a moment as a literal.
pub(crate) fn time_lit(at: Time) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(
        Some(at.as_micros()),
        Some("UTC".into()),
    ))
}

/// Returns the status of a stored trace row at `now`: what `TraceRow::status_at` says, as an
/// expression.
pub(crate) fn status_at(now: Time, idle_micros: i64) -> Result<Expr, DataFusionError> {
    let is_idle =
        col("last_received_at").lt_eq(time_lit(now.plus_micros(idle_micros.saturating_neg())));
    let is_open = col("open_spans")
        .gt(lit(0_i64))
        .or(col("span_count").eq(lit(0_i64)));
    when(
        is_open.clone().and(is_idle.clone()),
        lit(TraceStatus::Abandoned.as_str()),
    )
    .when(
        is_open.or(col("rooted").or(is_idle).is_false()),
        lit(TraceStatus::Running.as_str()),
    )
    .otherwise(col("status"))
}

/// Returns the order of lists of traces.
pub(crate) fn newest_first() -> Vec<SortExpr> {
    vec![
        col("started_at").sort(false, false),
        col("trace_id").sort(true, false),
    ]
}

/// The tables of one view.
#[derive(Debug)]
pub(crate) struct Tables {
    view: Arc<dyn View>,
    files: Arc<Files>,
}

impl Tables {
    pub(crate) fn new(view: Arc<dyn View>, files: Arc<Files>) -> Self {
        Self { view, files }
    }

    /// Returns a plan that reads a table as it is stored.
    pub(crate) fn stored(&self, table: Table) -> Result<LogicalPlanBuilder, DataFusionError> {
        let provider = LakeTable::new(table, Arc::clone(&self.view), Arc::clone(&self.files));
        LogicalPlanBuilder::scan(table.as_str(), provider_as_source(Arc::new(provider)), None)
    }

    /// Returns a plan of the rows that a table shows of these traces; traces come newest first.
    pub(crate) fn of_traces(
        &self,
        table: Table,
        ids: &[TraceId],
    ) -> Result<LogicalPlan, DataFusionError> {
        let ids = ids.iter().map(|id| lit(id.as_str())).collect();
        let rows = self
            .stored(table)?
            .filter(col("trace_id").in_list(ids, false))?;
        match table {
            Table::Traces => LogicalPlanBuilder::from(self.shown(rows)?)
                .sort(newest_first())?
                .build(),
            Table::Spans | Table::Messages | Table::Grades => rows.build(),
        }
    }

    /// Returns the plan behind `traces`.
    fn traces(&self) -> Result<LogicalPlan, DataFusionError> {
        self.shown(self.stored(Table::Traces)?)
    }

    /// Returns stored rows of `traces` with the status that they have now.
    fn shown(&self, rows: LogicalPlanBuilder) -> Result<LogicalPlan, DataFusionError> {
        let status = status_at(self.view.now(), self.view.idle_micros())?;
        let schema = lake::schema(Table::Traces);
        let shown = schema
            .fields()
            .iter()
            .map(|field| match field.name().as_str() {
                "status" => status.clone().alias("status"),
                name => col(name),
            });
        rows.project(shown)?.build()
    }
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        Table::ALL
            .iter()
            .map(|table| table.as_str().to_owned())
            .collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let Ok(table) = name.parse::<Table>() else {
            return Ok(None);
        };
        Ok(Some(match table {
            Table::Traces => Arc::new(ViewTable::new(self.traces()?, None)),
            Table::Spans | Table::Messages | Table::Grades => Arc::new(LakeTable::new(
                table,
                Arc::clone(&self.view),
                Arc::clone(&self.files),
            )),
        }))
    }

    fn table_exist(&self, name: &str) -> bool {
        name.parse::<Table>().is_ok()
    }
}
