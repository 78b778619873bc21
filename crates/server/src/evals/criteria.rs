//! What an eval is graded by, and what its rows look like: checked, and put into the form in which
//! OpenAI answers it.

use std::collections::HashMap;
use std::sync::Arc;

use grade::openai::{Grader, Place, Problems};
use grade::trace::TraceGrader;
use model::ProjectId;
use serde_json::{Map, Value, json};

use crate::error::{ApiError, ErrorCode};
use crate::grading::{TraceCriteria, TraceCriterion, lacking, named_grader};
use crate::state::AppState;

/// The configurations of data sources that are known.
const CONFIG_TYPES: &str = "custom, logs, stored_completions, traces";

/// Criteria of one eval.
const CRITERIA_MAX: usize = 100;

/// The types of grader that are ours: they grade traces.
const OF_TRACES: [&str; 6] = ["rule", "detector", "trajectory", "llm", "code", "multi"];

/// The field of a criterion that says which saved or ready grader it was made of.
const GRADER: &str = "grader";

/// A criterion of an eval, ready to grade.
#[derive(Debug)]
pub(super) struct Criterion {
    /// `<name>-<uuid>`: what results name.
    pub(super) id: String,
    pub(super) by: By,
}

/// What a criterion grades by.
#[derive(Debug)]
pub(super) enum By {
    /// One of OpenAI's graders, which see a row.
    Row(Box<Grader>),
    /// One of ours, by its name, or a saved one: it sees the trace that the row was made of.
    Trace(String, Arc<TraceGrader>),
}

/// Something that cannot be used, and where it stands in the request.
#[derive(Debug)]
pub(super) struct Mistake {
    param: String,
    message: String,
}

impl Mistake {
    fn new(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            param: param.into(),
            message: message.into(),
        }
    }

    /// Returns it as one line among others.
    pub(super) fn told(&self) -> String {
        format!("{}: {}", self.param, self.message)
    }
}

/// Returns one error that tells all mistakes.
pub(super) fn all_of(mistakes: &[Mistake]) -> ApiError {
    let lines: Vec<String> = match mistakes {
        [only] => vec![only.message.clone()],
        several => several.iter().map(Mistake::told).collect(),
    };
    let first = mistakes.first().map_or("", |first| &first.param);
    ApiError::new(ErrorCode::InvalidParameter, lines.join("\n")).of_param(first)
}

/// Returns the criteria of a new eval as they are stored, each with an id, or adds to `mistakes` what is
/// wrong with any of them.
pub(super) async fn checked(
    state: &AppState,
    project: &ProjectId,
    criteria: &[Value],
    is_of_traces: bool,
    mistakes: &mut Vec<Mistake>,
) -> Result<Value, ApiError> {
    if !(1..=CRITERIA_MAX).contains(&criteria.len()) {
        let message =
            format!("an eval needs at least one criterion, and has {CRITERIA_MAX} at most");
        mistakes.push(Mistake::new("testing_criteria", message));
        return Ok(Value::Null);
    }
    let before = mistakes.len();
    let mut stored = Vec::with_capacity(criteria.len());
    let mut numbers = HashMap::new();
    for (at, sent) in criteria.iter().enumerate() {
        let param = format!("testing_criteria[{at}]");
        if is_of_trace(sent) {
            let asked = Asked {
                state,
                project,
                sent,
                param: &param,
                is_of_traces,
            };
            stored.extend(asked.of_trace(&mut numbers, mistakes).await?);
        } else {
            stored.extend(of_row(state, sent, &param, mistakes));
        }
    }
    if mistakes.len() == before {
        let readable = self::criteria(&stored).map_err(ApiError::internal)?;
        let problems = of_traces(&readable).err();
        let mistake = |problem| Mistake::new("testing_criteria", problem);
        mistakes.extend(problems.into_iter().flatten().map(mistake));
    }
    Ok(Value::Array(stored))
}

/// Returns whether what was sent grades traces and not rows: it is of a type of ours, or a name.
fn is_of_trace(sent: &Value) -> bool {
    if let Some(kind) = sent.get("type").and_then(Value::as_str) {
        return OF_TRACES.contains(&kind);
    }
    let is_name = |fields: &Map<String, Value>| {
        let known = ["id", "name", "version"];
        !fields.is_empty() && fields.keys().all(|key| known.contains(&&**key))
    };
    sent.is_string() || sent.as_object().is_some_and(is_name)
}

/// Returns a criterion that is one of OpenAI's graders as it is stored.
fn of_row(
    state: &AppState,
    sent: &Value,
    param: &str,
    mistakes: &mut Vec<Mistake>,
) -> Option<Value> {
    let services = state.graders.get();
    let grader = Grader::parse(sent, Place::Eval)
        .and_then(|grader| grader.check(&services).map(|()| grader));
    let grader = match grader {
        Ok(grader) => grader,
        Err(problems) => {
            mistakes.extend(problems.list().iter().map(|problem| {
                let param = match &*problem.path {
                    "" => param.to_owned(),
                    path => format!("{param}.{path}"),
                };
                Mistake::new(param, problem.to_string())
            }));
            return None;
        }
    };
    let name = match grader.name() {
        "" => grader.kind().as_str(),
        name => name,
    };
    let mut json = grader.to_json();
    json["id"] = fresh_id(name);
    if let Some(fields) = json.as_object_mut() {
        // It means something here, and nothing in a grader of OpenAI's.
        fields.shift_remove(GRADER);
    }
    Some(json)
}

fn fresh_id(name: &str) -> Value {
    Value::String(format!("{name}-{}", uuid::Uuid::now_v7()))
}

/// A criterion that is to grade traces.
struct Asked<'a> {
    state: &'a AppState,
    project: &'a ProjectId,
    sent: &'a Value,
    param: &'a str,
    is_of_traces: bool,
}

impl Asked<'_> {
    /// Returns it as it is stored. A grader that is named is written out: an eval means what it meant
    /// when it was made.
    async fn of_trace(
        &self,
        numbers: &mut HashMap<&'static str, usize>,
        mistakes: &mut Vec<Mistake>,
    ) -> Result<Option<Value>, ApiError> {
        if !self.is_of_traces {
            mistakes.push(self.wants_traces());
            return Ok(None);
        }
        let (grader, from) = match self.sent.get("type") {
            Some(_) => match TraceGrader::parse(self.sent) {
                Ok(grader) => {
                    let lacking = lacking(self.state, self.project, &grader).into_iter();
                    mistakes.extend(lacking.map(|one| Mistake::new(self.param, one)));
                    (Arc::new(grader), None)
                }
                Err(problems) => {
                    let problems = problems.0.into_iter();
                    mistakes.extend(problems.map(|one| Mistake::new(self.param, one)));
                    return Ok(None);
                }
            },
            None => match named_grader(self.state, self.project, self.sent, self.param).await {
                Ok(named) => {
                    let from = json!({"id": named.id, "version": named.version});
                    (named.grader, Some(from))
                }
                Err(error) if error.code().status().is_server_error() => return Err(error),
                Err(error) => {
                    mistakes.push(Mistake::new(self.param, error.to_string()));
                    return Ok(None);
                }
            },
        };
        let number = numbers.entry(grader.kind()).or_default();
        *number += 1;
        let mut json = grader.definition().clone();
        let name = match json.get("name").and_then(Value::as_str) {
            Some(name) => name.to_owned(),
            None => format!("{}-{number}", grader.kind()),
        };
        json["id"] = fresh_id(&name);
        json["name"] = name.into();
        if let Some(from) = from {
            json[GRADER] = from;
        }
        Ok(Some(json))
    }

    fn wants_traces(&self) -> Mistake {
        let (what, param) = match self.sent.get("type").and_then(Value::as_str) {
            Some(kind) => (format!("`{kind}`"), format!("{}.type", self.param)),
            None => ("a grader that is named".to_owned(), self.param.to_owned()),
        };
        let message = format!(
            "{what} grades traces, and this eval has rows: make it with data_source_config {{\"type\": \"traces\"}} \
             and run it over a data_source of the type traces"
        );
        Mistake::new(param, message)
    }
}

/// Returns the criteria of an eval that was made elsewhere as they are stored, with the ids that they had
/// there, and why it cannot be run here, if it cannot: what was graded by it is worth keeping all the same.
pub(super) fn kept(answered: &[Value]) -> Result<(Value, Option<String>), String> {
    if !(1..=CRITERIA_MAX).contains(&answered.len()) {
        return Err(format!(
            "an eval has at least one criterion, and {CRITERIA_MAX} at most"
        ));
    }
    if !answered.iter().all(Value::is_object) {
        return Err("a criterion is no object".to_owned());
    }
    let kept = answered.iter().map(|criterion| {
        let mut criterion = criterion.clone();
        if let Some(fields) = criterion.as_object_mut() {
            // An unset option comes back as null, and is not one that may be sent.
            fields.retain(|_, value| !value.is_null());
            let name = fields.get("name").or_else(|| fields.get("type"));
            let name = name.and_then(Value::as_str).unwrap_or_default().to_owned();
            let id = fields.shift_remove("id").filter(Value::is_string);
            fields.insert("id".to_owned(), id.unwrap_or_else(|| fresh_id(&name)));
        }
        criterion
    });
    let kept: Vec<Value> = kept.collect();
    let read = criteria(&kept);
    let read = read.and_then(|read| of_traces(&read).map_err(|problems| problems.join("; ")));
    Ok((Value::Array(kept), read.err()))
}

/// Reads criteria as they are stored. An eval that came from elsewhere may have some that cannot be used.
pub(super) fn stored(text: &str) -> Result<Vec<Criterion>, ApiError> {
    let values: Vec<Value> = serde_json::from_str(text).map_err(ApiError::internal)?;
    criteria(&values).map_err(|why| {
        let message =
            format!("the eval cannot be run here, for its criteria cannot be used: {why}");
        ApiError::invalid("eval_id", message)
    })
}

/// Returns the ids of criteria as they are stored, in their order.
pub(super) fn ids(text: &str) -> Result<Vec<String>, ApiError> {
    #[derive(serde::Deserialize)]
    struct Named {
        id: String,
    }
    let named: Vec<Named> = serde_json::from_str(text).map_err(ApiError::internal)?;
    Ok(named.into_iter().map(|criterion| criterion.id).collect())
}

fn criteria(values: &[Value]) -> Result<Vec<Criterion>, String> {
    let criterion = |value: &Value| -> Result<Criterion, String> {
        let id = value["id"].as_str().unwrap_or_default().to_owned();
        let by = match is_of_trace(value) || value.get(GRADER).is_some() {
            false => {
                let grader = Grader::parse(value, Place::Eval);
                let grader = grader.map_err(|problems| problems.to_string())?;
                By::Row(Box::new(grader))
            }
            true => {
                let mut definition = value.clone();
                if let Some(fields) = definition.as_object_mut() {
                    fields.shift_remove("id");
                    fields.shift_remove(GRADER);
                }
                let grader = TraceGrader::parse(&definition);
                let grader = grader.map_err(|problems| problems.to_string())?;
                By::Trace(grader.name().to_owned(), Arc::new(grader))
            }
        };
        Ok(Criterion { id, by })
    };
    values.iter().map(criterion).collect()
}

/// Returns those of these criteria that grade traces, if there are any, in the order in which they are
/// asked; or what stands against it.
pub(super) fn of_traces(criteria: &[Criterion]) -> Result<Option<TraceCriteria>, Vec<String>> {
    let of_traces = criteria.iter().filter_map(|criterion| match &criterion.by {
        By::Row(_) => None,
        By::Trace(name, grader) => Some(TraceCriterion {
            id: criterion.id.clone(),
            name: name.clone(),
            grader: Arc::clone(grader),
        }),
    });
    let of_traces: Vec<TraceCriterion> = of_traces.collect();
    match of_traces.is_empty() {
        true => Ok(None),
        false => {
            let others = criteria.iter().filter_map(|criterion| match &criterion.by {
                By::Row(grader) => Some(grader.name()),
                By::Trace(..) => None,
            });
            TraceCriteria::new(of_traces, &others.collect::<Vec<_>>()).map(Some)
        }
    }
}

/// Returns the error of a definition that cannot be used: every mistake in it, and where the first one is.
pub(super) fn refused(param: &str, problems: &Problems) -> ApiError {
    let param = match problems.list().first() {
        Some(first) if !first.path.is_empty() => format!("{param}.{}", first.path),
        _ => param.to_owned(),
    };
    ApiError::new(ErrorCode::InvalidParameter, problems.to_string()).of_param(param)
}

/// Returns the configuration of a new eval's rows as it is stored; a field that means nothing is refused.
pub(super) fn sent_config(sent: &Map<String, Value>) -> Result<Value, Mistake> {
    let config = config(sent)?;
    let known: &[&str] = match config["type"].as_str() {
        Some("custom") => &["type", "item_schema", "include_sample_schema"],
        Some("traces") => &["type"],
        _ => &["type", "metadata"],
    };
    match sent.keys().find(|name| !known.contains(&&***name)) {
        None => Ok(config),
        Some(name) => {
            let message = format!("there is no such field; known: {}", known.join(", "));
            Err(Mistake::new(format!("data_source_config.{name}"), message))
        }
    }
}

/// Returns the configuration of an eval's rows as it is answered: with the schema of what templates see.
pub(super) fn config(sent: &Map<String, Value>) -> Result<Value, Mistake> {
    let param = "data_source_config";
    let object = json!({"type": "object"});
    match sent.get("type").and_then(Value::as_str) {
        Some("custom") => {
            let item = sent.get("item_schema").filter(|schema| schema.is_object());
            let item = item.ok_or_else(|| {
                let message = "it is missing: the JSON Schema of a row, an object";
                Mistake::new(format!("{param}.item_schema"), message)
            })?;
            let with_sample = match sent.get("include_sample_schema") {
                None | Some(Value::Null) => false,
                Some(Value::Bool(on)) => *on,
                Some(_) => {
                    let param = format!("{param}.include_sample_schema");
                    return Err(Mistake::new(param, "it is not true or false"));
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
            Err(Mistake::new(format!("{param}.type"), message))
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
        let mistyped = json!({"type": "custom", "item_schema": {}, "include_sample": true});
        let mistake = sent_config(mistyped.as_object().unwrap()).unwrap_err();
        assert!(
            mistake
                .told()
                .contains("data_source_config.include_sample: "),
            "{mistake:?}"
        );
        check(json!({"type": "custom"}), Err("item_schema"));
        check(json!({"type": "csv"}), Err("stored_completions"));
        check(json!({}), Err("data_source_config.type"));
    }
}
