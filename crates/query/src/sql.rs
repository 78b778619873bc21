//! One query of somebody's own: read-only, limited, cancelled when nobody waits for it.
//!
//! A query runs as a task of the engine and sends its batches through a short channel. The limits on
//! rows, bytes and time are kept on the receiving side, which cannot be held up: a query that does not
//! yield is answered in time all the same, and ends at its next breath. Dropping the stream ends it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::Tokenizer;
use futures::StreamExt;
use futures::future::{Either, select};
use model::TraceId;
use store::lake::Table;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Sleep;

use crate::error::{Limit, SqlError};
use crate::session::{Engine, Session, Task};
use crate::view::View;

/// What a query may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From the start to the last row.
    pub time: Duration,
    /// Rows of the result; more are cut.
    pub rows_max: usize,
    /// Bytes of the result in memory; more are cut.
    pub result_bytes_max: usize,
    /// Memory to work in; the engine's even share at most.
    pub memory_bytes_max: usize,
    /// Bytes of the query's text.
    pub sql_bytes_max: usize,
    /// Words and signs of the query's text.
    pub tokens_max: usize,
    /// Steps of the plan: `UNION`s and subqueries multiply them.
    pub plan_nodes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(30),
            rows_max: 100_000,
            result_bytes_max: 64 << 20,
            memory_bytes_max: usize::MAX,
            sql_bytes_max: 128 << 10,
            tokens_max: 20_000,
            plan_nodes_max: 1_000,
        }
    }
}

impl Engine {
    /// Starts a query and returns its result once the first rows are there.
    pub async fn sql(
        &self,
        view: Arc<dyn View>,
        sql: &str,
        limits: Limits,
    ) -> Result<SqlStream, SqlError> {
        check_size(sql, &limits)?;
        let slot = Arc::new(
            self.slots()
                .try_acquire_owned()
                .map_err(|_| SqlError::Busy)?,
        );
        let failed = |error| SqlError::new(sql, self.memory_bytes_each(), error);
        let statement = readable(parse(sql).map_err(failed)?)?;
        let query = Query {
            asked: Asked::Statement(Box::new(statement)),
            sql,
            limits,
        };
        self.start(&view, query, slot).await
    }

    /// Starts to read what a table shows of these traces. Where [`Engine::sql`] refuses because too
    /// many queries run, this waits: whoever takes a table out in parts cannot begin again.
    pub(crate) async fn rows(
        &self,
        view: Arc<dyn View>,
        table: Table,
        ids: Vec<TraceId>,
        limits: Limits,
    ) -> Result<SqlStream, SqlError> {
        let slot = self.slots().acquire_owned().await;
        let query = Query {
            asked: Asked::Rows(table, ids),
            sql: "",
            limits,
        };
        let slot = Arc::new(slot.expect("the slots are never closed"));
        self.start(&view, query, slot).await
    }

    async fn start(
        &self,
        view: &Arc<dyn View>,
        query: Query<'_>,
        slot: Arc<OwnedSemaphorePermit>,
    ) -> Result<SqlStream, SqlError> {
        let Query { asked, sql, limits } = query;
        let memory_bytes = limits.memory_bytes_max.min(self.memory_bytes_each());
        let session = self
            .session(view, memory_bytes)
            .map_err(|error| SqlError::new(sql, memory_bytes, error))?;
        let (sender, receiver) = mpsc::channel(2);
        let deadline = self.sleep(limits.time);
        let task_slot = Arc::clone(&slot);
        let task = self.spawn(async move {
            let _slot = task_slot;
            produce(&session, asked, limits, sender).await;
        });
        let mut stream = SqlStream {
            schema: Arc::new(arrow::datatypes::Schema::empty()),
            first: None,
            receiver,
            deadline,
            limits,
            memory_bytes,
            sql: sql.to_owned(),
            rows: 0,
            bytes: 0,
            cut: None,
            has_ended: false,
            _slot: slot,
            _task: task,
        };
        stream.start().await?;
        Ok(stream)
    }
}

/// What is asked, and what may be used for it.
struct Query<'a> {
    asked: Asked,
    /// The text, for messages that show a part of it.
    sql: &'a str,
    limits: Limits,
}

/// Where a plan comes from.
enum Asked {
    /// Somebody's own words.
    Statement(Box<Statement>),
    /// The rows that a table shows of these traces.
    Rows(Table, Vec<TraceId>),
}

/// What the task of a query sends.
enum Sent {
    Schema(SchemaRef),
    Batch(RecordBatch),
    TooLarge(&'static str, usize),
    Failed(DataFusionError),
    /// All rows were sent. Without it the end of the channel would pass for the end of the result.
    End,
}

/// The task of a query ended without a word: it panicked.
#[derive(Debug, thiserror::Error)]
#[error("the task of the query ended before its result did")]
struct Lost;

/// The result of a query, batch by batch.
#[derive(Debug)]
pub struct SqlStream {
    schema: SchemaRef,
    first: Option<RecordBatch>,
    receiver: mpsc::Receiver<Sent>,
    deadline: Pin<Box<Sleep>>,
    limits: Limits,
    memory_bytes: usize,
    sql: String,
    rows: usize,
    bytes: usize,
    cut: Option<Limit>,
    has_ended: bool,
    /// Held until the result is given up and the task has ended, whichever is later.
    _slot: Arc<OwnedSemaphorePermit>,
    _task: Task<()>,
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sent")
    }
}

impl SqlStream {
    /// Returns the columns of the result.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns how many rows were given out.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the limit at which the result was cut; known for certain when the stream has ended.
    pub fn cut(&self) -> Option<Limit> {
        self.cut
    }

    /// Returns the next rows, or `None` at the end of the result or of what may be returned.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, SqlError> {
        if self.cut.is_some() {
            return Ok(None);
        }
        let batch = match self.first.take() {
            Some(batch) => Some(batch),
            None => self.receive().await?,
        };
        Ok(batch.and_then(|batch| self.limited(batch)))
    }

    async fn start(&mut self) -> Result<(), SqlError> {
        self.first = self.receive().await?;
        Ok(())
    }

    async fn receive(&mut self) -> Result<Option<RecordBatch>, SqlError> {
        loop {
            let next = std::pin::pin!(self.receiver.recv());
            let sent = match select(next, &mut self.deadline).await {
                Either::Left((sent, _)) => sent,
                Either::Right(_) => {
                    return Err(SqlError::TimedOut {
                        seconds: self.limits.time.as_secs(),
                    });
                }
            };
            match sent {
                None if self.has_ended => return Ok(None),
                None => return Err(SqlError::Internal(Box::new(Lost))),
                Some(Sent::End) => self.has_ended = true,
                Some(Sent::Schema(schema)) => self.schema = schema,
                Some(Sent::Batch(batch)) if batch.num_rows() == 0 => {}
                Some(Sent::Batch(batch)) => return Ok(Some(batch)),
                Some(Sent::TooLarge(what, max)) => return Err(SqlError::TooLarge { what, max }),
                Some(Sent::Failed(error)) => {
                    return Err(SqlError::new(&self.sql, self.memory_bytes, error));
                }
            }
        }
    }

    /// Returns as much of a batch as may still be given out.
    fn limited(&mut self, batch: RecordBatch) -> Option<RecordBatch> {
        let mut rows = batch.num_rows();
        let rows_left = self.limits.rows_max - self.rows;
        if rows > rows_left {
            rows = rows_left;
            self.cut = Some(Limit::Rows(self.limits.rows_max));
        }
        let bytes = bytes_of(&batch);
        let bytes_left = self.limits.result_bytes_max - self.bytes;
        if bytes > bytes_left {
            // Rows are taken as equally large: the limit is about the order of magnitude.
            rows = rows.min((batch.num_rows() as f64 * bytes_left as f64 / bytes as f64) as usize);
            self.cut = Some(Limit::Bytes(self.limits.result_bytes_max));
        }
        self.rows += rows;
        self.bytes += bytes.min(bytes_left);
        (rows > 0).then(|| batch.slice(0, rows))
    }
}

/// Returns the bytes of the batch's own rows, not of the buffers that it shares.
fn bytes_of(batch: &RecordBatch) -> usize {
    let sizes = batch.columns().iter().map(|column| {
        column
            .to_data()
            .get_slice_memory_size()
            .unwrap_or_else(|_| column.get_array_memory_size())
    });
    sizes.sum()
}

fn check_size(sql: &str, limits: &Limits) -> Result<(), SqlError> {
    if sql.len() > limits.sql_bytes_max {
        return Err(SqlError::TooLarge {
            what: "bytes",
            max: limits.sql_bytes_max,
        });
    }
    // A text that is no SQL is the parser's to explain.
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql)
        .tokenize()
        .map_or(0, |tokens| tokens.len());
    match tokens > limits.tokens_max {
        true => Err(SqlError::TooLarge {
            what: "words and signs",
            max: limits.tokens_max,
        }),
        false => Ok(()),
    }
}

fn parse(sql: &str) -> Result<Vec<Statement>, DataFusionError> {
    let mut parser = DFParserBuilder::new(sql)
        .with_dialect(&PostgreSqlDialect {})
        .build()?;
    Ok(parser.parse_statements()?.into())
}

/// Returns the one statement, if it only reads. `SHOW` is turned into what the session can answer.
fn readable(mut statements: Vec<Statement>) -> Result<Statement, SqlError> {
    let refused = |what: &str| {
        Err(SqlError::Refused {
            what: what.to_owned(),
        })
    };
    let (Some(statement), None) = (statements.pop(), statements.pop()) else {
        let message = "give one statement".to_owned();
        return Err(SqlError::Invalid {
            message,
            place: None,
            hint: None,
        });
    };
    match statement {
        Statement::Statement(inner) => match *inner {
            ast::Statement::Query(_) | ast::Statement::ExplainTable { .. } => {
                Ok(Statement::Statement(inner))
            }
            ast::Statement::ShowTables { .. } => canned(SHOW_TABLES),
            ast::Statement::ShowColumns { show_options, .. } => {
                let table = show_options.show_in.and_then(|shown| shown.parent_name);
                canned(&format!(
                    "DESCRIBE {}",
                    table.map_or_else(String::new, |name| name.to_string())
                ))
            }
            other => {
                let text = other.to_string();
                refused(text.split_whitespace().next().unwrap_or("this statement"))
            }
        },
        Statement::Explain(mut explain) => {
            *explain.statement = readable(vec![*explain.statement])?;
            Ok(Statement::Explain(explain))
        }
        Statement::CopyTo(_) => refused("COPY"),
        Statement::CreateExternalTable(_) => refused("CREATE"),
        Statement::Reset(_) => refused("RESET"),
    }
}

const SHOW_TABLES: &str =
    "SELECT * FROM (VALUES ('grades'), ('messages'), ('spans'), ('traces')) AS tables(table_name)";

fn canned(sql: &str) -> Result<Statement, SqlError> {
    let statements = parse(sql).map_err(|error| SqlError::new(sql, 0, error))?;
    readable(statements)
}

/// Runs a statement to its end, or until nobody listens.
async fn produce(session: &Session, asked: Asked, limits: Limits, sender: mpsc::Sender<Sent>) {
    let (Ok(last) | Err(last)) = send_all(session, asked, limits, &sender).await;
    // Nobody may be there to hear it.
    let _gone = sender.send(last).await;
}

/// Sends the rows and returns the last word on them.
async fn send_all(
    session: &Session,
    asked: Asked,
    limits: Limits,
    sender: &mpsc::Sender<Sent>,
) -> Result<Sent, Sent> {
    let plan = match asked {
        Asked::Statement(statement) => plan_of(session, *statement, limits).await?,
        Asked::Rows(table, ids) => session
            .tables
            .of_traces(table, &ids)
            .map_err(Sent::Failed)?,
    };
    let mut batches = session.execute(&plan).await.map_err(Sent::Failed)?;
    let _gone = sender.send(Sent::Schema(batches.schema())).await;
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(Sent::Failed)?;
        if sender.send(Sent::Batch(batch)).await.is_err() {
            break;
        }
    }
    Ok(Sent::End)
}

/// Returns the plan of a statement that reads and is not too large.
async fn plan_of(
    session: &Session,
    statement: Statement,
    limits: Limits,
) -> Result<LogicalPlan, Sent> {
    let plan = session
        .state
        .statement_to_plan(statement)
        .await
        .map_err(Sent::Failed)?;
    let options = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    options.verify_plan(&plan).map_err(Sent::Failed)?;
    if node_count(&plan).map_err(Sent::Failed)? > limits.plan_nodes_max {
        return Err(Sent::TooLarge("steps in its plan", limits.plan_nodes_max));
    }
    printable(plan).map_err(Sent::Failed)
}

fn node_count(plan: &LogicalPlan) -> Result<usize, DataFusionError> {
    let mut nodes = 0;
    plan.apply_with_subqueries(|_| {
        nodes += 1;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(nodes)
}

/// Returns the plan with JSON values as text: the union that the JSON functions pass around has no
/// form in JSON, CSV or Parquet.
fn printable(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let is_union = |kind: &DataType| matches!(kind, DataType::Union(_, _));
    if !plan
        .schema()
        .fields()
        .iter()
        .any(|field| is_union(field.data_type()))
    {
        return Ok(plan);
    }
    let to_text = datafusion_functions_json::udfs::json_union_to_text_udf();
    let shown: Vec<Expr> = plan
        .schema()
        .iter()
        .map(|(table, field)| {
            let column = Expr::Column((table, field).into());
            match is_union(field.data_type()) {
                true => to_text.call(vec![column]).alias(field.name()),
                false => column,
            }
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(shown)?.build()
}
