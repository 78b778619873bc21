//! Evals that were run elsewhere: what OpenAI's client returned of them before their API ended.
//!
//! An answer is not what a request was: `schema` was made of `item_schema`, criteria got ids, what was not
//! set came back as null. So an eval is read back to what it was made of, but keeps the ids of its
//! criteria, which the results of its runs name. Runs and their rows are kept as they were graded there
//! and say so (`imported`): nobody here grades them, and nobody takes them for grades of this server.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use model::Time;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use store::meta::{
    Brought, EvalImport, ImportedEval, ImportedItem, ImportedRun, ItemStatus, NewEval, RunStatus,
};
use utoipa::ToSchema;

use super::runs::Told;
use super::source::echoed;
use super::{criteria, read_json};
use crate::auth::Principal;
use crate::capture::ROOM_PATIENCE;
use crate::error::{ApiError, ErrorBody};
use crate::json::in_our_words;
use crate::scope::Scope;
use crate::state::AppState;

/// Objects of one request: they are written in one transaction.
const OBJECTS_MAX: usize = 10_000;

/// Evals, runs and output items as OpenAI's client returned them, in any order. A run's eval and an item's
/// run may have come with an earlier request.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ImportSent {
    /// Objects `eval`.
    #[schema(value_type = Vec<Object>)]
    evals: Vec<Value>,
    /// Objects `eval.run`.
    #[schema(value_type = Vec<Object>)]
    runs: Vec<Box<RawValue>>,
    /// Objects `eval.run.output_item`.
    #[schema(value_type = Vec<Object>)]
    output_items: Vec<Box<RawValue>>,
}

/// What became of each object, in the order in which they were sent.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Imported {
    /// `evals.import`.
    object: &'static str,
    evals: Vec<ImportedObject>,
    runs: Vec<ImportedObject>,
    output_items: Vec<ImportedObject>,
}

/// What became of an object.
#[derive(Debug, Default, Serialize, ToSchema)]
struct ImportedObject {
    /// The id that it had.
    openai_id: String,
    /// The id that it has here.
    id: Option<String>,
    /// `added`, `there` (it came before), `renewed` (it came before, unfinished), or `refused`.
    outcome: &'static str,
    /// Why it was refused, or what is to be known of it.
    message: Option<String>,
}

/// Bring along evals, runs and output items that OpenAI graded. Each is kept once, by the id that it had.
/// What cannot be kept is told, and hinders nothing else.
#[utoipa::path(
    post,
    path = "/v1/evals/import",
    tag = "evals",
    request_body = ImportSent,
    responses(
        (status = 200, body = Imported),
        (status = 400, description = "There are more than 10,000 objects, or it is no such body", body = ErrorBody),
        (status = 403, description = "The key may not send", body = ErrorBody)
    )
)]
pub(super) async fn import_evals(
    State(state): State<AppState>,
    principal: Principal,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Imported>, ApiError> {
    principal.require(Scope::Ingest)?;
    state.store.wait_for_room(ROOM_PATIENCE).await?;
    let (sent, _hold) = read_json::<ImportSent>(&state, &headers, body).await?;
    let count = sent.evals.len() + sent.runs.len() + sent.output_items.len();
    if count > OBJECTS_MAX {
        let message = format!("{count} objects are more than {OBJECTS_MAX}: send them in parts");
        return Err(ApiError::invalid("body", message));
    }
    let evals: Vec<Read<ImportedEval>> = sent.evals.iter().map(Read::eval).collect();
    let runs: Vec<Read<ImportedRun>> = sent.runs.iter().map(|run| Read::run(run)).collect();
    let items: Vec<Read<ImportedItem>> = sent
        .output_items
        .iter()
        .map(|item| Read::item(item))
        .collect();
    let import = EvalImport {
        evals: evals.iter().filter_map(Read::good).collect(),
        runs: runs.iter().filter_map(Read::good).collect(),
        items: items.iter().filter_map(Read::good).collect(),
    };
    let meta = state.store.meta();
    let brought = meta
        .import_evals(principal.who(), &principal.project, &import)
        .await?;
    Ok(Json(Imported {
        object: "evals.import",
        evals: told(evals, brought.evals, ""),
        runs: told(
            runs,
            brought.runs,
            "its eval is not here, and did not come with it",
        ),
        output_items: told(
            items,
            brought.items,
            "its run is not here, and did not come with it",
        ),
    }))
}

/// An object that was sent: its id, and what it is or why it cannot be kept.
struct Read<T> {
    openai_id: String,
    read: Result<T, String>,
    /// What is to be known of it.
    note: Option<String>,
}

impl<T: Clone> Read<T> {
    fn good(&self) -> Option<T> {
        self.read.as_ref().ok().cloned()
    }

    fn refused(openai_id: String, why: impl Into<String>) -> Self {
        Self {
            openai_id,
            read: Err(why.into()),
            note: None,
        }
    }

    /// Reads an object that has an id, or says what is wrong with it.
    fn of(openai_id: Option<String>, read: impl FnOnce(&str) -> Result<T, String>) -> Self {
        match openai_id.filter(|id| !id.is_empty()) {
            None => Self::refused(String::new(), "it has no id"),
            Some(id) => Self {
                read: read(&id),
                openai_id: id,
                note: None,
            },
        }
    }
}

/// Returns what became of objects, of those that could be read as the store says.
fn told<T>(read: Vec<Read<T>>, brought: Vec<Brought>, homeless: &str) -> Vec<ImportedObject> {
    let mut brought = brought.into_iter();
    let one = |read: Read<T>| {
        let (id, outcome, message) = match read.read.map(|_| brought.next()) {
            Err(why) => (None, "refused", Some(why)),
            Ok(None | Some(Brought::Homeless)) => (None, "refused", Some(homeless.to_owned())),
            Ok(Some(Brought::Added(id))) => (Some(id), "added", read.note),
            Ok(Some(Brought::There(id))) => (Some(id), "there", None),
            Ok(Some(Brought::Renewed(id))) => (Some(id), "renewed", None),
        };
        ImportedObject {
            openai_id: read.openai_id,
            id,
            outcome,
            message,
        }
    };
    read.into_iter().map(one).collect()
}

#[derive(Deserialize)]
struct RunTold {
    id: Option<String>,
    eval_id: Option<String>,
    name: Option<String>,
    model: Option<String>,
    created_at: Option<f64>,
    status: Option<String>,
    data_source: Option<Box<RawValue>>,
    metadata: Option<Map<String, Value>>,
    error: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct ItemTold {
    id: Option<String>,
    run_id: Option<String>,
    created_at: Option<f64>,
    status: Option<String>,
    datasource_item_id: Option<i64>,
    datasource_item: Option<Box<RawValue>>,
    results: Option<Box<RawValue>>,
    sample: Option<Box<RawValue>>,
}

impl Read<ImportedEval> {
    fn eval(sent: &Value) -> Self {
        let id = sent.get("id").and_then(Value::as_str).map(str::to_owned);
        let mut note = None;
        let read = Self::of(id, |id| {
            let (eval, why) = eval(id, sent)?;
            note = why.map(|why| {
                format!("it is kept with its runs, and cannot be run here, for its criteria cannot be used: {why}")
            });
            Ok(eval)
        });
        Self { note, ..read }
    }
}

/// Reads an eval back to what it was made of, with why it cannot be run here, if it cannot.
fn eval(id: &str, sent: &Value) -> Result<(ImportedEval, Option<String>), String> {
    let config = sent.get("data_source_config").and_then(Value::as_object);
    let config = config.ok_or("it has no data_source_config")?;
    let config = criteria::config(&asked_config(config)).map_err(|mistake| mistake.told())?;
    let sent_criteria = sent.get("testing_criteria").and_then(Value::as_array);
    let sent_criteria = sent_criteria.ok_or("it has no testing_criteria")?;
    let metadata = sent.get("metadata").filter(|it| it.is_object());
    let (kept, why) = criteria::kept(sent_criteria)?;
    let eval = ImportedEval {
        openai_id: id.to_owned(),
        created_at: time(sent.get("created_at").and_then(Value::as_f64)),
        eval: NewEval {
            name: sent["name"].as_str().unwrap_or_default().to_owned(),
            metadata: metadata.map_or_else(|| "{}".to_owned(), Value::to_string),
            data_source_config: config.to_string(),
            testing_criteria: kept.to_string(),
        },
    };
    Ok((eval, why))
}

/// Returns a configuration as a request has it.
fn asked_config(answered: &Map<String, Value>) -> Map<String, Value> {
    let mut asked = answered.clone();
    let answered = Value::Object(asked.clone());
    let schema = |name: &str| answered.pointer(&format!("/schema/properties/{name}"));
    if let Some(item) = schema("item").cloned() {
        asked.insert("item_schema".to_owned(), item);
        let with_sample = schema("sample").is_some();
        asked.insert("include_sample_schema".to_owned(), with_sample.into());
    }
    asked
}

impl Read<ImportedRun> {
    fn run(sent: &RawValue) -> Self {
        let told: RunTold = match serde_json::from_str(sent.get()) {
            Ok(told) => told,
            Err(error) => return Self::refused(String::new(), in_our_words(&error)),
        };
        let status = told.status.clone().unwrap_or_default();
        let figures = Told::elsewhere(sent.get());
        let mut read = Self::of(told.id.clone(), |id| run(id, told, &figures));
        if matches!(&read.read, Ok(run) if run.is_unfinished) {
            let note = format!(
                "it was {status} when it was written down: it stands as canceled, with the rows that came along. \
                 Bring it again once it has ended, and it is told anew"
            );
            read.note = Some(note);
        }
        read
    }
}

fn run(id: &str, told: RunTold, figures: &Told) -> Result<ImportedRun, String> {
    let status = told.status.unwrap_or_default();
    let ended: RunStatus = status
        .parse()
        .map_err(|error| format!("its status: {error}"))?;
    let is_unfinished = !ended.is_final();
    let error = match (told.error, is_unfinished) {
        (Some(error), _) => Some(Value::Object(error)),
        (None, true) => {
            let message = format!("the run was {status} when it was written down");
            Some(json!({"code": "unfinished", "message": message}))
        }
        (None, false) => None,
    };
    let data_source = told.data_source.filter(|it| it.get().starts_with('{'));
    let data_source = data_source.map_or_else(|| Ok("{}".to_owned()), |it| echoed(&it));
    Ok(ImportedRun {
        openai_id: id.to_owned(),
        openai_eval_id: told.eval_id.ok_or("it has no eval_id")?,
        name: told.name.unwrap_or_default(),
        model: told.model,
        created_at: time(told.created_at),
        status: match is_unfinished {
            true => RunStatus::Canceled,
            false => ended,
        },
        is_unfinished,
        data_source: data_source.map_err(|error| error.to_string())?,
        metadata: Value::Object(told.metadata.unwrap_or_default()).to_string(),
        error: error.map(|error| error.to_string()),
        told: serde_json::to_string(figures).map_err(|error| error.to_string())?,
    })
}

impl Read<ImportedItem> {
    fn item(sent: &RawValue) -> Self {
        match serde_json::from_str::<ItemTold>(sent.get()) {
            Ok(told) => Self::of(told.id.clone(), |id| item(id, told)),
            Err(error) => Self::refused(String::new(), in_our_words(&error)),
        }
    }
}

fn item(id: &str, told: ItemTold) -> Result<ImportedItem, String> {
    let text = |raw: Box<RawValue>| String::from(Box::<str>::from(raw));
    let of_kind = |raw: Option<Box<RawValue>>, first: char, what: &str| match raw {
        Some(raw) if raw.get().starts_with(first) => Ok(Some(text(raw))),
        Some(raw) if raw.get() != "null" => Err(format!("its {what}")),
        _ => Ok(None),
    };
    let status = match told.status.as_deref() {
        Some("pass" | "passed") => ItemStatus::Pass,
        Some("fail" | "failed") => ItemStatus::Fail,
        Some("skip" | "skipped") => ItemStatus::Skip,
        _ => ItemStatus::Error,
    };
    let position = told.datasource_item_id.filter(|at| *at >= 0);
    let item = of_kind(told.datasource_item, '{', "datasource_item is no object")?;
    let results = of_kind(told.results, '[', "results are no list")?;
    Ok(ImportedItem {
        openai_id: id.to_owned(),
        openai_run_id: told.run_id.ok_or("it has no run_id")?,
        position,
        created_at: time(told.created_at),
        status,
        item: item.unwrap_or_else(|| "{}".to_owned()),
        sample: of_kind(told.sample, '{', "sample is no object")?,
        results: results.unwrap_or_else(|| "[]".to_owned()),
    })
}

/// Returns the moment that so many seconds since 1970 are, if they are one.
fn time(seconds: Option<f64>) -> Option<Time> {
    let seconds = seconds.filter(|seconds| (0.0..1e11).contains(seconds))?;
    Some(Time::from_micros((seconds * 1e6) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eval_is_read_back_to_what_it_was_made_of() {
        let sent = json!({"object": "eval", "id": "eval_1", "name": "capitals", "created_at": 1_700_000_000,
            "metadata": {"a": "b"},
            "data_source_config": {"type": "custom", "schema": {"type": "object",
                "properties": {"item": {"type": "object", "required": ["x"]}, "sample": {}}}},
            "testing_criteria": [{"id": "exact-1", "type": "string_check", "name": "exact", "input": "x",
                "operation": "eq", "reference": "y", "note": null}]});
        let (made, why) = eval("eval_1", &sent).unwrap();
        assert_eq!(why, None);
        assert_eq!(
            made.created_at,
            Some(Time::from_micros(1_700_000_000_000_000))
        );
        let config: Value = serde_json::from_str(&made.eval.data_source_config).unwrap();
        assert_eq!(config["schema"]["required"], json!(["item", "sample"]));
        assert_eq!(
            config["schema"]["properties"]["item"]["required"],
            json!(["x"])
        );
        let criteria: Value = serde_json::from_str(&made.eval.testing_criteria).unwrap();
        assert_eq!(
            criteria,
            json!([{"type": "string_check", "name": "exact", "input": "x", "operation": "eq",
                "reference": "y", "id": "exact-1"}])
        );
        let check = |change: &dyn Fn(&mut Value), words: &str| {
            let mut sent = sent.clone();
            change(&mut sent);
            let why = eval("eval_1", &sent).unwrap_err();
            assert!(why.contains(words), "{why}");
        };
        check(
            &|sent| sent["data_source_config"] = json!({"type": "csv"}),
            "csv",
        );
        check(
            &|sent| sent["data_source_config"] = json!(null),
            "no data_source_config",
        );
        check(&|sent| sent["testing_criteria"] = json!([]), "at least one");
        check(
            &|sent| sent["testing_criteria"][0] = json!("exact"),
            "no object",
        );
        // What was graded by it is kept though nobody here could grade so.
        let mut strange = sent.clone();
        strange["testing_criteria"][0]["type"] = json!("spell");
        let (made, why) = eval("eval_1", &strange).unwrap();
        assert!(made.eval.testing_criteria.contains("exact-1"), "{made:?}");
        assert!(why.unwrap().contains("spell"));
    }

    #[test]
    fn a_run_that_had_not_ended_stands_as_canceled() {
        let raw = |value: Value| RawValue::from_string(value.to_string()).unwrap();
        let sent = |status: &str| raw(json!({"id": "r", "eval_id": "e", "status": status}));
        let read = Read::run(&sent("in_progress"));
        assert!(read.note.unwrap().contains("was in_progress"));
        let run = read.read.unwrap();
        assert_eq!((run.status, run.is_unfinished), (RunStatus::Canceled, true));
        assert!(run.error.unwrap().contains("unfinished"));
        let read = Read::run(&sent("completed"));
        assert_eq!((read.note, read.read.unwrap().is_unfinished), (None, false));
        assert!(
            Read::run(&sent("done"))
                .read
                .unwrap_err()
                .contains("its status")
        );
        let figures = json!({"id": "r", "eval_id": "e", "status": "completed", "result_counts": null,
            "per_model_usage": [{"model_name": "m", "total_tokens": 3, "cached_tokens": null}]});
        let run = Read::run(&raw(figures)).read.unwrap();
        let told: Value = serde_json::from_str(&run.told).unwrap();
        assert_eq!(told["per_model_usage"][0]["total_tokens"], 3, "{told}");
        assert_eq!(Read::run(&raw(json!({}))).read.unwrap_err(), "it has no id");
    }
}
