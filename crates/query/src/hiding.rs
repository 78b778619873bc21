//! Which rows of a file does a query not see? Those that a later row replaced, or a deletion took.
//!
//! The question is asked as a predicate right above the file, so it comes before every filter, limit
//! and aggregate, and DataFusion may carry it into the decoding, where hidden rows cost no payload.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::{Array, BooleanArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, col,
};
use store::lake::Table;

use crate::view::Hidden;

/// The columns that tell whether a row of `table` is hidden.
pub(crate) fn key_columns(table: Table) -> &'static [&'static str] {
    match table {
        Table::Spans => &["trace_id", "span_id", "seq"],
        Table::Grades => &["trace_id", "id", "seq"],
        Table::Messages | Table::Traces => &["trace_id", "seq"],
    }
}

/// Returns the expression that is true for rows that may be seen.
pub(crate) fn is_visible(table: Table, hidden: Arc<dyn Hidden>) -> Expr {
    let kinds = key_columns(table).iter().map(|name| match *name {
        "seq" => DataType::Int64,
        _ => DataType::Utf8,
    });
    let signature = Signature::exact(kinds.collect(), Volatility::Immutable);
    let columns = key_columns(table).iter().map(|name| col(*name)).collect();
    ScalarUDF::new_from_impl(IsVisible { hidden, signature }).call(columns)
}

#[derive(Debug)]
struct IsVisible {
    hidden: Arc<dyn Hidden>,
    signature: Signature,
}

impl IsVisible {
    fn address(&self) -> *const () {
        Arc::as_ptr(&self.hidden).cast()
    }
}

impl PartialEq for IsVisible {
    fn eq(&self, other: &Self) -> bool {
        self.address() == other.address() && self.signature == other.signature
    }
}

impl Eq for IsVisible {}

impl Hash for IsVisible {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address().hash(state);
    }
}

impl ScalarUDFImpl for IsVisible {
    fn name(&self) -> &'static str {
        "is_visible"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let (traces, parts, seqs) = match arrays.as_slice() {
            [traces, seqs] => (traces.as_string::<i32>(), None, seqs),
            [traces, parts, seqs] => (
                traces.as_string::<i32>(),
                Some(parts.as_string::<i32>()),
                seqs,
            ),
            _ => {
                return Err(DataFusionError::Internal(
                    "is_visible takes two or three columns".to_owned(),
                ));
            }
        };
        let seqs = seqs.as_primitive::<Int64Type>();
        let is_visible = |row| {
            let part = parts.map(|parts| parts.value(row));
            Some(!self.hidden.hides(traces.value(row), part, seqs.value(row)))
        };
        let answers: BooleanArray = (0..traces.len()).map(is_visible).collect();
        Ok(ColumnarValue::Array(Arc::new(answers)))
    }
}
