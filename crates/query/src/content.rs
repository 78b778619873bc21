//! `content(refs)`: the text behind a span's references, for SQL.
//!
//! Spans hold hashes, messages hold texts, and a join by hand would have to keep order and repeats.
//! The function looks the messages up in the same view, one lookup for a batch of rows, and joins the
//! texts with newlines. A reference that resolves to nothing is an error that names it (D7): an empty
//! text would be a lie.
//!
//! Messages are stored by trace, so a lookup that knows the trace reads a few pages and one that does
//! not reads all messages. Where the row has a `trace_id` beside the references it is passed along.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef, FixedSizeBinaryArray, ListArray, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field};
use async_trait::async_trait;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, exec_datafusion_err, exec_err};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
    col, lit,
};
use datafusion::physical_plan::execute_stream;
use futures::TryStreamExt;
use model::MessageHash;
use store::lake::Table;

use crate::tables::Tables;

const NAME: &str = "content";

/// Rows that are looked up together: enough to share the lookup, few enough to hold their texts.
const ROWS_AT_ONCE: usize = 1_024;

/// A reference resolves to nothing (D7).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("message {hash} is referred to but not stored")]
pub struct MissingMessage {
    /// The hash of the message.
    pub hash: MessageHash,
}

/// Finds messages of one view.
#[derive(Debug)]
pub(crate) struct Lookup {
    state: SessionState,
    tables: Arc<Tables>,
}

impl Lookup {
    pub(crate) fn new(state: SessionState, tables: Arc<Tables>) -> Self {
        Self { state, tables }
    }

    /// Returns the texts of the wanted messages: of these traces, or of all.
    async fn texts(
        &self,
        wanted: &HashSet<MessageHash>,
        traces: Option<BTreeSet<&str>>,
        memory: &MemoryReservation,
    ) -> Result<HashMap<MessageHash, String>, DataFusionError> {
        let mut plan = self.tables.stored(Table::Messages)?;
        if let Some(traces) = traces {
            plan =
                plan.filter(col("trace_id").in_list(traces.into_iter().map(lit).collect(), false))?;
        }
        let plan = plan.project([col("hash"), col("content")])?.build()?;
        let plan = self.state.create_physical_plan(&plan).await?;
        let mut batches = execute_stream(plan, self.state.task_ctx())?;
        let mut texts = HashMap::new();
        while let Some(batch) = batches.try_next().await? {
            let hashes = batch.column(0).as_fixed_size_binary();
            let contents = batch.column(1).as_string::<i32>();
            for row in 0..batch.num_rows() {
                let hash = hash_at(hashes, row)?;
                if wanted.contains(&hash) && !texts.contains_key(&hash) {
                    memory.try_grow(contents.value(row).len())?;
                    texts.insert(hash, contents.value(row).to_owned());
                }
            }
        }
        Ok(texts)
    }
}

/// Makes the function known to a session.
pub(crate) fn register(state: &mut SessionState, lookup: Lookup) -> Result<(), DataFusionError> {
    let refs = DataType::List(Arc::new(Field::new(
        "item",
        DataType::FixedSizeBinary(16),
        true,
    )));
    let shapes = vec![
        TypeSignature::Exact(vec![refs.clone()]),
        TypeSignature::Exact(vec![DataType::Utf8, refs]),
    ];
    let signature = Signature::one_of(shapes, Volatility::Immutable);
    let function = AsyncScalarUDF::new(Arc::new(ContentOf { lookup, signature }));
    state.register_udf(Arc::new(function.into_scalar_udf()))?;
    state.register_function_rewrite(Arc::new(PassTraceId))
}

/// Turns `content(refs)` into `content(trace_id, refs)` where the row of `refs` has a trace id.
#[derive(Debug)]
struct PassTraceId;

impl FunctionRewrite for PassTraceId {
    fn name(&self) -> &'static str {
        "pass_trace_id_to_content"
    }

    fn rewrite(
        &self,
        expr: Expr,
        schema: &DFSchema,
        _config: &ConfigOptions,
    ) -> Result<Transformed<Expr>, DataFusionError> {
        let Expr::ScalarFunction(call) = &expr else {
            return Ok(Transformed::no(expr));
        };
        let (NAME, [Expr::Column(refs)]) = (call.func.name(), call.args.as_slice()) else {
            return Ok(Transformed::no(expr));
        };
        let trace_id = Column::new(refs.relation.clone(), "trace_id");
        if !schema.has_column(&trace_id) {
            return Ok(Transformed::no(expr));
        }
        let args = vec![Expr::Column(trace_id), Expr::Column(refs.clone())];
        let scoped = ScalarFunction {
            func: Arc::clone(&call.func),
            args,
        };
        Ok(Transformed::yes(Expr::ScalarFunction(scoped)))
    }
}

#[derive(Debug)]
struct ContentOf {
    lookup: Lookup,
    signature: Signature,
}

// A session has one.
impl PartialEq for ContentOf {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for ContentOf {}

impl Hash for ContentOf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        NAME.hash(state);
    }
}

impl ScalarUDFImpl for ContentOf {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(
        &self,
        _args: ScalarFunctionArgs,
    ) -> Result<ColumnarValue, DataFusionError> {
        exec_err!("content() can be used in SELECT and WHERE only")
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for ContentOf {
    fn ideal_batch_size(&self) -> Option<usize> {
        Some(ROWS_AT_ONCE)
    }

    async fn invoke_async_with_args(
        &self,
        args: ScalarFunctionArgs,
    ) -> Result<ColumnarValue, DataFusionError> {
        let arrays = args
            .args
            .iter()
            .map(|arg| arg.to_array(args.number_rows))
            .collect::<Result<Vec<ArrayRef>, _>>()?;
        let (traces, refs): (Option<&StringArray>, &ListArray) = match arrays.as_slice() {
            [refs] => (None, refs.as_list()),
            [traces, refs] => (Some(traces.as_string()), refs.as_list()),
            _ => return exec_err!("content() takes one or two arguments"),
        };
        let lists = (0..refs.len())
            .map(|row| hashes_at(refs, row))
            .collect::<Result<Vec<_>, _>>()?;
        let wanted: HashSet<MessageHash> = lists.iter().flatten().flatten().copied().collect();
        let of_traces = traces.map(|traces| traces.iter().flatten().collect::<BTreeSet<_>>());
        let pool = &self.lookup.state.runtime_env().memory_pool;
        let memory = MemoryConsumer::new(NAME).register(pool);
        let texts = match wanted.is_empty() {
            true => HashMap::new(),
            false => self.lookup.texts(&wanted, of_traces, &memory).await?,
        };
        joined(&lists, &texts, &memory)
    }
}

/// Returns the texts of each row's hashes, joined with newlines.
fn joined(
    lists: &[Option<Vec<MessageHash>>],
    texts: &HashMap<MessageHash, String>,
    memory: &MemoryReservation,
) -> Result<ColumnarValue, DataFusionError> {
    let mut out = StringBuilder::with_capacity(lists.len(), 0);
    let mut bytes = 0_usize;
    for list in lists {
        let Some(list) = list else {
            out.append_null();
            continue;
        };
        let mut text = String::new();
        for (n, hash) in list.iter().enumerate() {
            let missing = || DataFusionError::External(Box::new(MissingMessage { hash: *hash }));
            let found = texts.get(hash).ok_or_else(missing)?;
            memory.try_grow(found.len() + 1)?;
            if n > 0 {
                text.push('\n');
            }
            text.push_str(found);
        }
        bytes += text.len();
        if i32::try_from(bytes).is_err() {
            return exec_err!("the texts of content() are more than 2 GiB: ask for fewer rows");
        }
        out.append_value(&text);
    }
    Ok(ColumnarValue::Array(Arc::new(out.finish())))
}

fn hashes_at(refs: &ListArray, row: usize) -> Result<Option<Vec<MessageHash>>, DataFusionError> {
    if refs.is_null(row) {
        return Ok(None);
    }
    let list = refs.value(row);
    let hashes = list.as_fixed_size_binary();
    (0..hashes.len())
        .map(|at| hash_at(hashes, at))
        .collect::<Result<_, _>>()
        .map(Some)
}

fn hash_at(hashes: &FixedSizeBinaryArray, at: usize) -> Result<MessageHash, DataFusionError> {
    let bytes = hashes.value(at).try_into();
    bytes
        .map(MessageHash)
        .map_err(|_| exec_datafusion_err!("a reference has 16 bytes"))
}
