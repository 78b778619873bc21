//! Evals of OpenAI's Evals API, from what its client returned before it ended.
//!
//! An answer is not what a request was: `schema` was made of `item_schema`, criteria got ids. The request is
//! made again of the answer and sent to our Evals API. Results of runs are not ours to claim: they were
//! graded elsewhere, by graders that nobody can ask any more, so runs and output items are counted, told, and
//! left out.

use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::client::{Client, Connection};
use crate::output;
use crate::text::{count, safe_text, short_text};

/// Metadata of an eval that was brought along: its id at OpenAI.
const ORIGIN: &str = "openai_eval_id";

/// Arrays and objects in files are looked into so deep.
const DEPTH_MAX: usize = 8;

/// What was found in files.
#[derive(Debug, Default)]
struct Found {
    evals: Vec<Value>,
    runs: u64,
    items: u64,
}

/// Makes the evals that the files hold, unless they are there.
pub(super) async fn run(
    connection: &Connection,
    as_json: bool,
    files: &[PathBuf],
) -> anyhow::Result<()> {
    let mut found = Found::default();
    for path in files {
        let text = read(path)?;
        for value in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
            let value = value.with_context(|| format!("{} is not JSON", path.display()))?;
            found.take(value, 0);
        }
    }
    if found.evals.is_empty() {
        bail!(
            "no eval is in there: what is wanted are objects with \"object\": \"eval\", as client.evals.list() returns them"
        );
    }
    let client = Client::new(connection)?;
    let known = known(&client).await?;
    let mut made = Vec::new();
    for eval in &found.evals {
        let name = eval
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or("(unnamed)");
        let id = eval.get("id").and_then(Value::as_str).unwrap_or_default();
        if known.contains(id) {
            made.push(json!({"name": name, "from": id, "id": null}));
            continue;
        }
        let request = request(eval).with_context(|| format!("failed to read the eval {name:?}"))?;
        let answer = client
            .send_json(Method::POST, &["v1", "evals"], &request)
            .await;
        let answer = answer.with_context(|| format!("failed to make the eval {name:?}"))?;
        let answer: Value = client.json(answer).await?;
        made.push(json!({"name": name, "from": id, "id": answer.get("id")}));
    }
    tell(as_json, &made, &found)
}

fn read(path: &Path) -> anyhow::Result<String> {
    let failed = || format!("failed to read {}", path.display());
    if path.as_os_str() != "-" {
        return std::fs::read_to_string(path).with_context(failed);
    }
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .with_context(failed)?;
    Ok(text)
}

impl Found {
    /// Takes what a value holds: an object of the API, a list of them, or a file of several lists.
    fn take(&mut self, value: Value, depth: usize) {
        match value {
            Value::Object(object) => match object.get("object").and_then(Value::as_str) {
                Some("eval") => self.evals.push(Value::Object(object)),
                Some("eval.run") => self.runs += 1,
                Some("eval.run.output_item") => self.items += 1,
                _ if depth < DEPTH_MAX => {
                    let inner = object.into_iter().map(|(_, inner)| inner);
                    inner.for_each(|inner| self.take(inner, depth + 1));
                }
                _ => {}
            },
            Value::Array(list) if depth < DEPTH_MAX => {
                list.into_iter()
                    .for_each(|inner| self.take(inner, depth + 1));
            }
            _ => {}
        }
    }
}

/// Returns the ids of evals that were brought along before.
async fn known(client: &Client) -> anyhow::Result<HashSet<String>> {
    let mut known = HashSet::new();
    let mut after: Option<String> = None;
    loop {
        let mut pairs = vec![("limit".to_owned(), "100".to_owned())];
        pairs.extend(after.take().map(|after| ("after".to_owned(), after)));
        let page: Value = client.get_json(&["v1", "evals"], &pairs).await?;
        let data = page.get("data").and_then(Value::as_array);
        for eval in data.into_iter().flatten() {
            let origin = eval.pointer(&format!("/metadata/{ORIGIN}"));
            known.extend(origin.and_then(Value::as_str).map(str::to_owned));
        }
        let has_more = page.get("has_more").and_then(Value::as_bool) == Some(true);
        after = page
            .get("last_id")
            .and_then(Value::as_str)
            .map(str::to_owned);
        if !has_more || after.is_none() {
            return Ok(known);
        }
    }
}

/// Returns the request that makes an eval such as this one.
fn request(eval: &Value) -> anyhow::Result<Value> {
    let config = eval
        .get("data_source_config")
        .context("it has no data_source_config")?;
    let criteria = eval.get("testing_criteria").and_then(Value::as_array);
    let criteria = criteria.context("it has no testing_criteria")?;
    let criterion = |criterion: &Value| {
        let mut criterion = criterion.clone();
        if let Some(fields) = criterion.as_object_mut() {
            fields.remove("id");
            // An unset option comes back as null, and is not one that may be sent.
            fields.retain(|_, value| !value.is_null());
        }
        criterion
    };
    let mut metadata = match eval.get("metadata") {
        Some(Value::Object(pairs)) => pairs.clone(),
        _ => Map::new(),
    };
    if let Some(id) = eval.get("id") {
        metadata.insert(ORIGIN.to_owned(), id.clone());
    }
    let mut request = json!({
        "data_source_config": source(config)?,
        "testing_criteria": criteria.iter().map(criterion).collect::<Vec<_>>(),
        "metadata": metadata,
    });
    if let Some(name) = eval.get("name").filter(|name| name.is_string()) {
        request["name"] = name.clone();
    }
    Ok(request)
}

/// Returns the data source as a request has it.
fn source(config: &Value) -> anyhow::Result<Value> {
    let kind = config.get("type").and_then(Value::as_str);
    let kind = kind.context("its data source has no type")?;
    if kind != "custom" {
        let mut source = json!({"type": kind});
        if let Some(metadata) = config.get("metadata").filter(|it| it.is_object()) {
            source["metadata"] = metadata.clone();
        }
        return Ok(source);
    }
    let item = config
        .pointer("/schema/properties/item")
        .or_else(|| config.get("item_schema"))
        .context("its data source has no schema of an item")?;
    let has_sample = config.pointer("/schema/properties/sample").is_some();
    Ok(json!({"type": "custom", "item_schema": item, "include_sample_schema": has_sample}))
}

fn tell(as_json: bool, made: &[Value], found: &Found) -> anyhow::Result<()> {
    let left_out = found.runs + found.items;
    if as_json {
        let told = json!({"object": "openai_evals.import", "evals": made,
            "left_out": {"runs": found.runs, "output_items": found.items}});
        output::line(told.to_string())?;
    } else {
        for eval in made {
            let text = |name: &str| eval.get(name).and_then(Value::as_str);
            output::line(match text("id") {
                Some(id) => format!(
                    "{}  {}",
                    safe_text(id),
                    short_text(text("name").unwrap_or(""), 80)
                ),
                None => format!(
                    "there already  {}",
                    short_text(text("name").unwrap_or(""), 80)
                ),
            })?;
        }
    }
    if left_out > 0 {
        bail!(
            "{} runs and {} output items were left out: results that were graded elsewhere cannot be brought along. Keep the file; the evals are made, and runs of them grade anew",
            count(found.runs),
            count(found.items)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_made_of_an_answer() {
        let eval = json!({"object": "eval", "id": "eval_1", "name": "capitals", "created_at": 1, "metadata": {"a": "b"},
            "data_source_config": {"type": "custom", "schema": {"type": "object", "properties": {"item": {"type": "object"}, "sample": {}}}},
            "testing_criteria": [{"id": "exact-1", "type": "string_check", "name": "exact", "input": "x", "operation": "eq", "reference": "y", "note": null}]});
        let want = json!({"name": "capitals", "metadata": {"a": "b", "openai_eval_id": "eval_1"},
            "data_source_config": {"type": "custom", "item_schema": {"type": "object"}, "include_sample_schema": true},
            "testing_criteria": [{"type": "string_check", "name": "exact", "input": "x", "operation": "eq", "reference": "y"}]});
        assert_eq!(request(&eval).unwrap(), want);
        let logs = json!({"type": "logs", "metadata": {"k": "v"}, "schema": {}});
        assert_eq!(
            source(&logs).unwrap(),
            json!({"type": "logs", "metadata": {"k": "v"}})
        );
        assert!(request(&json!({"object": "eval"})).is_err());
    }

    #[test]
    fn evals_are_found_in_lists_and_files_of_lists() {
        let mut found = Found::default();
        found.take(
            json!({"evals": {"object": "list", "data": [{"object": "eval", "id": "e"}]},
                "runs": [{"object": "eval.run"}, {"object": "eval.run"}],
                "output_items": [{"object": "eval.run.output_item"}]}),
            0,
        );
        assert_eq!((found.evals.len(), found.runs, found.items), (1, 2, 1));
    }
}
