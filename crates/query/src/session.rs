//! Where do queries run, with what, and with how much?
//!
//! An [`Engine`] has threads of its own, so that a heavy query cannot hold up the rest of the server
//! and may wait for a disk. Each query gets a fresh session that knows one view and nothing else: no
//! files, no settings, no table functions, and its own share of memory, so one query cannot take
//! another's. Nothing is spilled to disk: a deleted trace would live on there.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::temporal_conversions::timestamp_us_to_datetime;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemoryCatalogProviderList};
use datafusion::common::config::Dialect;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{FunctionRegistry, SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream};
use datafusion::prelude::SessionConfig;
use object_store::memory::InMemory;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Sleep;

use crate::content;
use crate::files::{Files, ReadCounts};
use crate::tables::Tables;
use crate::view::View;

/// The only store that a plan can name. It is empty: bytes come from the session's own readers.
pub(crate) const STORE_URL: &str = "lake://files";

/// Functions whose result can be far larger than what they are given, or that tell of the machine.
/// Memory that a function takes is not accounted for, so these could take all there is.
const REMOVED_FUNCTIONS: &[&str] = &[
    "repeat",
    "lpad",
    "rpad",
    "range",
    "generate_series",
    "array_repeat",
    "array_resize",
    "version",
];

/// What an engine may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineConfig {
    /// Threads that run queries; each query is cut into as many parts.
    pub threads: usize,
    /// Queries that run at the same time; more are refused.
    pub queries_max: usize,
    /// The memory of all running queries together, in bytes; each may use its even share.
    pub memory_bytes_max: usize,
    /// The memory for footers of files, in bytes.
    pub footer_bytes_max: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            threads,
            queries_max: 8,
            memory_bytes_max: 512 << 20,
            footer_bytes_max: 64 << 20,
        }
    }
}

/// An engine could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The system gives no threads.
    #[error("failed to start the threads of the query engine")]
    Threads(#[source] std::io::Error),
    /// DataFusion does not take our settings: a bug.
    #[error("failed to set up the query engine")]
    Setup(#[source] DataFusionError),
}

/// Runs queries.
#[derive(Debug)]
pub struct Engine {
    /// `None` only while the engine is being dropped.
    runtime: Option<Runtime>,
    files: Arc<Files>,
    base: SessionState,
    slots: Arc<Semaphore>,
    memory_bytes_each: usize,
}

impl Engine {
    /// Starts the threads of an engine.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(config.threads.max(1))
            .thread_name("query")
            .enable_time()
            .build()
            .map_err(EngineError::Threads)?;
        Ok(Self {
            runtime: Some(runtime),
            files: Arc::new(Files::new(config.footer_bytes_max)),
            base: base_state(config.threads.max(1)).map_err(EngineError::Setup)?,
            slots: Arc::new(Semaphore::new(config.queries_max)),
            memory_bytes_each: config.memory_bytes_max / config.queries_max.max(1),
        })
    }

    /// Returns what was read from files since the start.
    pub fn read_counts(&self) -> &ReadCounts {
        self.files.counts()
    }

    /// Returns the slots for queries that run at the same time.
    pub(crate) fn slots(&self) -> Arc<Semaphore> {
        Arc::clone(&self.slots)
    }

    /// Returns the memory that one query may use, in bytes.
    pub(crate) fn memory_bytes_each(&self) -> usize {
        self.memory_bytes_each
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is taken by drop only")
    }

    /// Returns a timer that can be waited for on any thread.
    pub(crate) fn sleep(&self, time: Duration) -> Pin<Box<Sleep>> {
        let _timers = self.runtime().enter();
        Box::pin(tokio::time::sleep(time))
    }

    /// Runs `task` on the engine's threads until it ends or the answer is dropped.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        Task(self.runtime().spawn(task))
    }

    /// Returns a session that sees `view`, with `memory_bytes` to work in.
    pub(crate) fn session(
        &self,
        view: &Arc<dyn View>,
        memory_bytes: usize,
    ) -> Result<Session, DataFusionError> {
        let env = runtime_env(memory_bytes)?;
        let tables = Arc::new(Tables::new(Arc::clone(view), Arc::clone(&self.files)));
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema("public", Arc::clone(&tables) as _)?;
        let catalogs = MemoryCatalogProviderList::new();
        datafusion::catalog::CatalogProviderList::register_catalog(
            &catalogs,
            "tracegrade".to_owned(),
            Arc::new(catalog),
        );
        let mut state = SessionStateBuilder::new_from_existing(self.base.clone())
            .with_runtime_env(env)
            .with_catalog_list(Arc::new(catalogs))
            .build();
        // `now()` is the moment that statuses are told for.
        let now = timestamp_us_to_datetime(view.now().as_micros()).map(|at| at.and_utc());
        state.execution_props_mut().query_execution_start_time = now;
        let lookup = content::Lookup::new(state.clone(), Arc::clone(&tables));
        content::register(&mut state, lookup)?;
        Ok(Session { state, tables })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A runtime may not be dropped on an async thread; a query that computes is not waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A task on the engine's threads; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Task<T>(JoinHandle<T>);

impl<T> Task<T> {
    /// Waits for the end. A panic in the task is passed on.
    pub(crate) async fn join(mut self) -> T {
        match (&mut self.0).await {
            Ok(value) => value,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Only a drop aborts the task, and we hold it; else the engine is going down.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A session that sees one view.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) state: SessionState,
    pub(crate) tables: Arc<Tables>,
}

impl Session {
    /// Lets scans decode no more at a time than a list of so many rows needs.
    pub(crate) fn expect_rows(&mut self, rows: usize) {
        const ROWS_MIN: usize = 128;
        let config = self.state.config_mut();
        let most = config.batch_size();
        let rows = rows.saturating_add(1).checked_next_power_of_two();
        let rows = rows.unwrap_or(most).clamp(ROWS_MIN.min(most), most);
        *config = config.clone().with_batch_size(rows);
    }

    /// Returns the physical plan for a logical one.
    pub(crate) async fn physical(
        &self,
        plan: &LogicalPlan,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        self.state.create_physical_plan(plan).await
    }

    /// Starts a logical plan.
    pub(crate) async fn execute(
        &self,
        plan: &LogicalPlan,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        execute_stream(self.physical(plan).await?, self.state.task_ctx())
    }
}

fn runtime_env(memory_bytes: usize) -> Result<Arc<RuntimeEnv>, DataFusionError> {
    let pool: Arc<dyn MemoryPool> = Arc::new(TrackConsumersPool::new(
        GreedyMemoryPool::new(memory_bytes),
        std::num::NonZeroUsize::MIN,
    ));
    let no_disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let env = RuntimeEnvBuilder::new()
        .with_memory_pool(pool)
        .with_disk_manager_builder(no_disk)
        .build()?;
    env.deregister_object_store(ObjectStoreUrl::local_filesystem().as_ref())?;
    env.register_object_store(
        ObjectStoreUrl::parse(STORE_URL)?.as_ref(),
        Arc::new(InMemory::new()),
    );
    Ok(Arc::new(env))
}

fn base_state(threads: usize) -> Result<SessionState, DataFusionError> {
    let mut config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_default_catalog_and_schema("tracegrade", "public")
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false);
    let options = config.options_mut();
    options.sql_parser.collect_spans = true;
    // Its operators bind as people expect of `data->>'key' = 'value'`.
    options.sql_parser.dialect = Dialect::PostgreSQL;
    // The tables are sorted that way, so newest-first lists need no sort.
    "nulls_last".clone_into(&mut options.sql_parser.default_null_ordering);
    options.execution.enable_recursive_ctes = false;
    options.execution.time_zone = Some("UTC".to_owned());
    // A stolen file would break the order within a chain.
    options.execution.enable_file_stream_work_stealing = false;
    options.execution.parquet.schema_force_view_types = false;
    options.explain.show_sizes = false;
    let mut state = SessionStateBuilder::new_with_default_features()
        .with_config(config)
        .build();
    let table_functions: Vec<String> = state.table_functions().keys().cloned().collect();
    for name in table_functions {
        state.deregister_udtf(&name)?;
    }
    for name in REMOVED_FUNCTIONS {
        state.deregister_udf(name)?;
    }
    datafusion_functions_json::register_all(&mut state)?;
    Ok(state)
}
