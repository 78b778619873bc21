//! One table of one view, as DataFusion scans it: the rows in memory and the rows in files, each
//! branch sorted as the table is, hidden rows taken out.
//!
//! Every filter is applied here, on each branch by itself. For files that is what lets DataFusion
//! carry it into the decoding. Statistics are estimates throughout, so nothing is
//! ever answered from them: hidden rows would be counted.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, DFSchema, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::{DataSourceExec, MemorySourceConfig};
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::{TableProvider, TableType};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExecBuilder;
use datafusion::physical_plan::union::UnionExec;
use store::ScanFile;
use store::lake::{self, Table};

use crate::files::{Files, Part, Readers};
use crate::hiding::{is_visible, key_columns};
use crate::prune::{Chain, Layout, heaps, lay_out, prune};
use crate::session::STORE_URL;
use crate::view::View;

/// A table of a view.
#[derive(Debug)]
pub(crate) struct LakeTable {
    table: Table,
    view: Arc<dyn View>,
    files: Arc<Files>,
    schema: SchemaRef,
}

impl LakeTable {
    pub(crate) fn new(table: Table, view: Arc<dyn View>, files: Arc<Files>) -> Self {
        Self {
            table,
            view,
            files,
            schema: lake::schema(table),
        }
    }

    /// Returns the places of the named columns, and of `places`, in schema order.
    fn places<'a>(
        &self,
        places: &[usize],
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<usize>, DataFusionError> {
        let mut all: BTreeSet<usize> = places.iter().copied().collect();
        for name in names {
            all.insert(self.schema.index_of(name)?);
        }
        Ok(all.into_iter().collect())
    }

    /// Returns the table's order as far as `columns` tell it. The project is the same in all rows.
    fn ordering(&self, columns: &SchemaRef) -> Option<LexOrdering> {
        let keys = lake::sort_keys(self.table)
            .iter()
            .filter(|key| key.column != "project_id");
        let known = keys.map_while(|key| {
            let column = Column::new_with_schema(key.column, columns).ok()?;
            let options = SortOptions {
                descending: key.descending,
                nulls_first: false,
            };
            Some(PhysicalSortExpr::new(Arc::new(column), options))
        });
        LexOrdering::new(known)
    }

    fn memory_scan(
        &self,
        read: &[usize],
        batch_rows: usize,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let batch = self
            .view
            .memory(self.table, read)
            .map_err(DataFusionError::External)?;
        let schema = batch.schema();
        let slices = vec![sliced(&batch, batch_rows)];
        let source = MemorySourceConfig::try_new(&slices, Arc::clone(&schema), None)?;
        let source = match self.ordering(&schema) {
            Some(ordering) => source.try_with_sort_information(vec![ordering])?,
            None => source,
        };
        Ok(DataSourceExec::from_data_source(
            source.with_show_sizes(false),
        ))
    }

    fn lay_out(&self, files: Vec<ScanFile>, partitions: usize) -> Result<Layout, DataFusionError> {
        let readers = self.readers();
        let time = self.table.time_column();
        let is_timed = self
            .schema
            .field_with_name(time)
            .is_ok_and(|field| !field.is_nullable());
        match self.table {
            // These are not sorted by time.
            Table::Messages | Table::Grades => Ok(heaps(files, partitions)),
            Table::Spans | Table::Traces => lay_out(files, partitions, |file| {
                let known = is_timed || readers.lacks_no(&part(file), time)?;
                Ok::<_, DataFusionError>(known)
            }),
        }
    }

    fn readers(&self) -> Readers {
        Readers {
            files: Arc::clone(&self.files),
            project: self.view.project().clone(),
        }
    }

    fn file_scan(
        &self,
        layout: Layout,
        read: &[usize],
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let source = ParquetSource::new(Arc::clone(&self.schema))
            .with_parquet_file_reader_factory(Arc::new(self.readers()))
            .with_pushdown_filters(true)
            .with_bloom_filter_on_read(true)
            .with_enable_page_index(true);
        let mut number = 0;
        let mut group = |chain: Chain| {
            let files = chain.files.into_iter().map(|file| {
                number += 1;
                self.partitioned_file(number, &file)
            });
            FileGroup::new(files.collect())
        };
        let is_sorted = layout.is_sorted;
        let groups = layout.chains.into_iter().map(&mut group).collect();
        let ordering = self.ordering(&self.schema).filter(|_| is_sorted);
        let config =
            FileScanConfigBuilder::new(ObjectStoreUrl::parse(STORE_URL)?, Arc::new(source))
                .with_file_groups(groups)
                .with_output_ordering(ordering.into_iter().collect())
                .with_projection_indices(Some(read.to_vec()))?
                .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn partitioned_file(&self, number: usize, file: &ScanFile) -> PartitionedFile {
        PartitionedFile::new(number.to_string(), file.bytes)
            .with_extension(part(file))
            .with_statistics(Arc::new(self.estimates(file)))
    }

    /// Returns what is known of a file, as estimates. Chains are checked against the bounds of all
    /// sort columns; those of the later ones are as wide as the type.
    fn estimates(&self, file: &ScanFile) -> Statistics {
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Inexact(usize::try_from(file.rows).unwrap_or(0));
        let time = |micros| ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()));
        for key in lake::sort_keys(self.table) {
            let Ok(at) = self.schema.index_of(key.column) else {
                continue;
            };
            let bounds = match key.column {
                name if name == self.table.time_column() => file
                    .min_time
                    .zip(file.max_time)
                    .map(|(min, max)| (time(min.as_micros()), time(max.as_micros()))),
                "started_at" => Some((time(i64::MIN), time(i64::MAX))),
                "seq" => Some((
                    ScalarValue::Int64(Some(i64::MIN)),
                    ScalarValue::Int64(Some(i64::MAX)),
                )),
                "trace_id" => Some((ScalarValue::from(""), beyond_ids())),
                _ => None,
            };
            if let Some((min, max)) = bounds {
                statistics.column_statistics[at] = ColumnStatistics {
                    min_value: Precision::Inexact(min),
                    max_value: Precision::Inexact(max),
                    ..ColumnStatistics::new_unknown()
                };
            }
        }
        statistics
    }
}

/// Returns a text above every id: ids have 256 bytes at most.
fn beyond_ids() -> ScalarValue {
    ScalarValue::from("\u{10FFFF}".repeat(model::ID_BYTES_MAX / 4 + 1))
}

fn part(file: &ScanFile) -> Part {
    Part {
        path: file.path.clone(),
        row_groups: file.row_groups.clone(),
    }
}

/// Returns the batch in pieces of `rows`, so that a limit above stops early.
fn sliced(batch: &RecordBatch, rows: usize) -> Vec<RecordBatch> {
    let starts = (0..batch.num_rows()).step_by(rows.max(1));
    starts
        .map(|from| batch.slice(from, rows.min(batch.num_rows() - from)))
        .collect()
}

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        let answer = |filter: &&Expr| match is_async(filter) {
            // Only the planner knows how to evaluate these.
            true => TableProviderFilterPushDown::Unsupported,
            false => TableProviderFilterPushDown::Exact,
        };
        Ok(filters.iter().map(answer).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        let scan = Scan {
            table: self,
            state,
            wanted,
            filters,
        };
        let mut branches = vec![scan.memory()?];
        branches.extend(scan.files()?);
        UnionExec::try_new(branches)
    }
}

/// One call of [`TableProvider::scan`].
struct Scan<'a> {
    table: &'a LakeTable,
    state: &'a dyn Session,
    wanted: &'a [usize],
    filters: &'a [Expr],
}

impl Scan<'_> {
    fn memory(&self) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let batch_rows = self.state.config().batch_size();
        self.branch(self.filters.to_vec(), &[], |read| {
            self.table.memory_scan(read, batch_rows)
        })
    }

    fn files(&self) -> Result<Option<Arc<dyn ExecutionPlan>>, DataFusionError> {
        let LakeTable {
            table,
            view,
            schema,
            ..
        } = self.table;
        let mut files = view.files(*table);
        if let Some(predicate) = conjunction(self.filters.to_vec()) {
            let predicate = self.physical(&predicate, schema)?;
            files = prune(*table, view.project(), files, &predicate, schema)?;
        }
        if files.is_empty() {
            return Ok(None);
        }
        let layout = self
            .table
            .lay_out(files, self.state.config().target_partitions())?;
        let mut filters = self.filters.to_vec();
        let keys: &[&str] = match view.hidden(*table) {
            Some(hidden) => {
                filters.push(is_visible(*table, hidden));
                key_columns(*table)
            }
            None => &[],
        };
        self.branch(filters, keys, |read| self.table.file_scan(layout, read))
            .map(Some)
    }

    /// Returns the scan that `source` makes of the columns it has to read, filtered and cut down to
    /// the columns that are wanted.
    fn branch(
        &self,
        filters: Vec<Expr>,
        keys: &[&str],
        source: impl FnOnce(&[usize]) -> Result<Arc<dyn ExecutionPlan>, DataFusionError>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let Some(predicate) = conjunction(filters) else {
            return source(self.wanted);
        };
        let named = predicate.column_refs();
        let names = named
            .iter()
            .map(|column| column.name.as_str())
            .chain(keys.iter().copied());
        let read = self.table.places(self.wanted, names)?;
        let input = source(&read)?;
        let predicate = self.physical(&predicate, &input.schema())?;
        let kept = self
            .wanted
            .iter()
            .filter_map(|place| read.iter().position(|at| at == place));
        let filter = FilterExecBuilder::new(predicate, input)
            .apply_projection(Some(kept.collect()))?
            .with_batch_size(self.state.config().batch_size())
            .build()?;
        Ok(Arc::new(filter))
    }

    fn physical(
        &self,
        expr: &Expr,
        schema: &SchemaRef,
    ) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
        let schema = DFSchema::try_from(Arc::clone(schema))?;
        self.state.create_physical_expr(expr.clone(), &schema)
    }
}

/// Returns whether an expression calls a function that has to wait for something.
fn is_async(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    let calls = |expr: &Expr| {
        Ok(matches!(expr, Expr::ScalarFunction(call) if call.func.as_async().is_some()))
    };
    expr.exists(calls).unwrap_or(true)
}
