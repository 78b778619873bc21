//! What an eval is graded by, and what its rows look like: checked, and put into the form in which
//! OpenAI answers it.

use grade::openai::{Grader, Place, Problems};
use serde_json::{Map, Value, json};

use crate::error::{ApiError, ErrorCode};
use crate::services::GradeServices;

/// The configurations of data sources that are known.
const CONFIG_TYPES: &str = "custom, logs, stored_completions, traces";

/// A criterion of an eval, ready to grade.
#[derive(Debug)]
pub(super) struct Criterion {
    /// `<name>-<uuid>`: what results name.
    pub(super) id: String,
    pub(super) grader: Grader,
}

/// Returns the criteria of a new eval as they are stored: each with an id.
pub(super) fn checked(criteria: &[Value], services: &GradeServices) -> Result<Value, ApiError> {
    if criteria.is_empty() {
        let message = "an eval needs at least one criterion";
        return Err(ApiError::invalid("testing_criteria", message));
    }
    let criterion = |(at, value): (usize, &Value)| -> Result<Value, ApiError> {
        let of_param = |problems| refused(&format!("testing_criteria[{at}]"), &problems);
        let grader = Grader::parse(value, Place::Eval).map_err(of_param)?;
        grader.check(&services.get()).map_err(of_param)?;
        let mut json = grader.to_json();
        let name = match grader.name() {
            "" => grader.kind().as_str(),
            name => name,
        };
        json["id"] = Value::String(format!("{name}-{}", uuid::Uuid::now_v7()));
        Ok(json)
    };
    let criteria = criteria.iter().enumerate().map(criterion);
    criteria.collect::<Result<_, _>>().map(Value::Array)
}

/// Reads criteria as they are stored.
pub(super) fn stored(text: &str) -> Result<Vec<Criterion>, ApiError> {
    let criteria: Vec<Value> = serde_json::from_str(text).map_err(ApiError::internal)?;
    let criterion = |value: &Value| -> Result<Criterion, ApiError> {
        let id = value["id"].as_str().unwrap_or_default().to_owned();
        let grader = Grader::parse(value, Place::Eval);
        let grader = grader.map_err(|problems| ApiError::internal(problems.to_string()))?;
        Ok(Criterion { id, grader })
    };
    criteria.iter().map(criterion).collect()
}

/// Returns the error of a definition that cannot be used: every mistake in it, and where the first one is.
pub(super) fn refused(param: &str, problems: &Problems) -> ApiError {
    let param = match problems.list().first() {
        Some(first) if !first.path.is_empty() => format!("{param}.{}", first.path),
        _ => param.to_owned(),
    };
    ApiError::new(ErrorCode::InvalidParameter, problems.to_string()).of_param(param)
}

/// Returns the configuration of an eval's rows as it is answered: with the schema of what templates see.
pub(super) fn config(sent: &Map<String, Value>) -> Result<Value, ApiError> {
    let param = "data_source_config";
    let object = json!({"type": "object"});
    match sent.get("type").and_then(Value::as_str) {
        Some("custom") => {
            let item = sent.get("item_schema").filter(|schema| schema.is_object());
            let item = item.ok_or_else(|| {
                let message = "it is missing: the JSON Schema of a row, an object";
                ApiError::invalid(format!("{param}.item_schema"), message)
            })?;
            let with_sample = match sent.get("include_sample_schema") {
                None | Some(Value::Null) => false,
                Some(Value::Bool(on)) => *on,
                Some(_) => {
                    let param = format!("{param}.include_sample_schema");
                    return Err(ApiError::invalid(param, "it is not true or false"));
                }
            };
            let sample = with_sample.then_some(&object);
            Ok(json!({"type": "custom", "schema": schema(item, sample)}))
        }
        Some(kind @ ("logs" | "stored_completions")) => {
            let metadata = sent.get("metadata").cloned().unwrap_or(Value::Null);
            let schema = schema(&object, Some(&object));
            Ok(json!({"type": kind, "metadata": metadata, "schema": schema}))
        }
        Some("traces") => Ok(json!({"type": "traces", "schema": schema(&object, Some(&object))})),
        other => {
            let message = match other {
                Some(kind) => format!("{kind:?} is not known; known: {CONFIG_TYPES}"),
                None => format!("it is missing; known: {CONFIG_TYPES}"),
            };
            Err(ApiError::invalid(format!("{param}.type"), message))
        }
    }
}

fn schema(item: &Value, sample: Option<&Value>) -> Value {
    let mut properties = Map::new();
    properties.insert("item".to_owned(), item.clone());
    if let Some(sample) = sample {
        properties.insert("sample".to_owned(), sample.clone());
    }
    let required: Vec<&String> = properties.keys().collect();
    json!({"type": "object", "required": required, "properties": properties})
}

/// Returns what an eval's rows must be like, as its stored configuration says.
pub(super) fn item_schema(config: &str) -> Result<Value, ApiError> {
    let mut config: Value = serde_json::from_str(config).map_err(ApiError::internal)?;
    let schema = config.pointer_mut("/schema/properties/item");
    Ok(schema.map_or_else(|| json!({}), Value::take))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sent: Value, want: Result<Value, &str>) {
        let Value::Object(fields) = &sent else {
            panic!("{sent} is no object")
        };
        match (config(fields), want) {
            (Ok(got), Ok(want)) => assert_eq!(got, want),
            (Err(got), Err(want)) => assert!(format!("{got:?}").contains(want), "{got:?}"),
            (got, _) => panic!("{sent}: {got:?}"),
        }
    }

    #[test]
    fn a_configuration_is_answered_as_the_schema_of_what_templates_see() {
        let item = json!({"type": "object", "required": ["label"]});
        check(
            json!({"type": "custom", "item_schema": item}),
            Ok(json!({"type": "custom", "schema":
                {"type": "object", "required": ["item"], "properties": {"item": item}}})),
        );
        check(
            json!({"type": "custom", "item_schema": item, "include_sample_schema": true}),
            Ok(
                json!({"type": "custom", "schema": {"type": "object", "required": ["item", "sample"],
                "properties": {"item": item, "sample": {"type": "object"}}}}),
            ),
        );
        check(
            json!({"type": "logs", "metadata": {"k": "v"}}),
            Ok(json!({"type": "logs", "metadata": {"k": "v"}, "schema":
                {"type": "object", "required": ["item", "sample"],
                 "properties": {"item": {"type": "object"}, "sample": {"type": "object"}}}})),
        );
        check(json!({"type": "custom"}), Err("item_schema"));
        check(json!({"type": "csv"}), Err("stored_completions"));
        check(json!({}), Err("data_source_config.type"));
    }
}
