//! A [`TraceFilter`] as an expression over the stored columns of `traces`.
//!
//! It must say what [`TraceFilter::matches`] says, row for row: what a person sees listed is what gets
//! graded or deleted. A test holds the two against each other.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::array::cast::AsArray;
use arrow::datatypes::DataType;
use datafusion::error::DataFusionError;
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::functions_nested::expr_fn::{array_has_any, make_array};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, col,
    lit, when,
};
use datafusion::scalar::ScalarValue;
use model::{Limits, NanoUsd, Time, TraceFilter, TraceStatus};

use crate::condition::condition_expr;
use crate::tables::{status_at, time_lit};

/// Returns the filter as an expression over the columns of the lake's `traces`, where `status` is the
/// stored one. Traces are seen at `now`, and are idle `idle_micros` after their last row.
pub fn filter_expr(
    filter: &TraceFilter,
    now: Time,
    idle_micros: i64,
) -> Result<Expr, DataFusionError> {
    let mut all: Vec<Expr> = Vec::new();
    all.extend(one_of("trace_id", filter.ids.iter().map(|id| id.as_str())));
    all.extend(one_of(
        "group_id",
        filter.group_id.iter().map(|id| id.as_str()),
    ));
    for (column, wanted) in [
        ("workflow_name", &filter.workflow_name),
        ("user_id", &filter.user_id),
        ("agent_id", &filter.agent_id),
        ("version", &filter.version),
        ("environment", &filter.environment),
        ("error_type", &filter.error_type),
    ] {
        all.extend(one_of(column, wanted.iter().map(String::as_str)));
    }
    for (column, wanted) in [
        ("agents", &filter.agent),
        ("models", &filter.model),
        ("tool_sequence", &filter.tool),
        ("tags", &filter.tag),
    ] {
        all.extend(some_of(column, wanted));
    }
    if !filter.status.is_empty() {
        let words = filter
            .status
            .iter()
            .map(|status| lit(status.as_str()))
            .collect();
        all.push(status_at(now, idle_micros)?.in_list(words, false));
    }
    all.extend(filter.has_errors.map(|wanted| {
        if wanted {
            has_errors()
        } else {
            has_errors().is_false()
        }
    }));
    let limits = filter.cost_usd;
    let cost = Limits {
        min: nanos(limits.min),
        max: nanos(limits.max),
    };
    all.extend(within(&col("duration_ms"), filter.duration_ms));
    all.extend(within(&col("cost_nano_usd"), cost));
    all.extend(within(&tokens()?, filter.tokens));
    all.extend(
        filter
            .started_from
            .map(|from| col("started_at").gt_eq(time_lit(from))),
    );
    all.extend(
        filter
            .started_until
            .map(|until| col("started_at").lt(time_lit(until))),
    );
    if let Some(rule) = &filter.rule {
        all.push(condition_expr(
            &rule.condition,
            &status_at(now, idle_micros)?,
        ));
    }
    all.extend(metadata(filter));
    Ok(conjunction(all).unwrap_or_else(|| lit(true)))
}

fn one_of<'a>(column: &str, wanted: impl Iterator<Item = &'a str>) -> Option<Expr> {
    let wanted: Vec<Expr> = wanted.map(lit).collect();
    (!wanted.is_empty()).then(|| col(column).in_list(wanted, false))
}

fn some_of(column: &str, wanted: &[String]) -> Option<Expr> {
    let wanted: Vec<Expr> = wanted.iter().map(|value| lit(value.as_str())).collect();
    (!wanted.is_empty()).then(|| array_has_any(col(column), make_array(wanted)))
}

fn within<T: Into<ScalarValue>>(value: &Expr, limits: Limits<T>) -> Vec<Expr> {
    let min = limits.min.map(|min| value.clone().gt_eq(lit(min.into())));
    let max = limits.max.map(|max| value.clone().lt_eq(lit(max.into())));
    min.into_iter().chain(max).collect()
}

fn nanos(cost: Option<NanoUsd>) -> Option<i64> {
    cost.map(|cost| cost.0)
}

/// Returns whether the trace failed, whatever happens yet, or a tool failed on the way.
fn has_errors() -> Expr {
    let failed = [TraceStatus::Error, TraceStatus::Timeout].map(|status| lit(status.as_str()));
    col("tool_errors")
        .gt(lit(0_i64))
        .or(col("status").in_list(failed.to_vec(), false))
}

fn tokens() -> Result<Expr, DataFusionError> {
    let (input, output) = (col("input_tokens"), col("output_tokens"));
    let is_known = input.clone().is_not_null().or(output.clone().is_not_null());
    let or_zero = |tokens| coalesce(vec![tokens, lit(0_i64)]);
    when(is_known, or_zero(input) + or_zero(output)).otherwise(lit(ScalarValue::Int64(None)))
}

fn metadata(filter: &TraceFilter) -> Option<Expr> {
    if filter.metadata.is_empty() {
        return None;
    }
    // Only this part of the filter is asked.
    let filter = TraceFilter {
        metadata: filter.metadata.clone(),
        ..TraceFilter::default()
    };
    let signature = Signature::exact(vec![DataType::Utf8], Volatility::Immutable);
    Some(
        ScalarUDF::new_from_impl(MatchesMetadata { filter, signature }).call(vec![col("metadata")]),
    )
}

/// Asks a filter about metadata, so that its rule is written once.
#[derive(Debug, PartialEq)]
struct MatchesMetadata {
    filter: TraceFilter,
    signature: Signature,
}

impl Eq for MatchesMetadata {}

impl Hash for MatchesMetadata {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.filter.metadata.hash(state);
    }
}

impl ScalarUDFImpl for MatchesMetadata {
    fn name(&self) -> &'static str {
        "matches_metadata"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let texts = arrays
            .iter()
            .flat_map(|array| array.as_string::<i32>().iter());
        let answers: BooleanArray = texts
            .map(|text| Some(self.filter.matches_metadata(text)))
            .collect();
        Ok(ColumnarValue::Array(Arc::new(answers)))
    }
}
