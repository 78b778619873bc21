//! `projects`: what keeps one team's traces apart from another's.

use anyhow::{Context, bail};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::operate::Projects;
use crate::output::{self, Align, Cell};
use crate::text::{safe_text, short_text};

use super::Ask;

#[derive(Debug, Deserialize)]
struct List {
    data: Vec<Project>,
}

#[derive(Debug, Deserialize)]
struct Project {
    id: String,
    name: String,
    created_at: String,
    settings: Value,
}

/// Runs a command of the family.
pub(super) async fn run(ask: &Ask, projects: &Projects) -> anyhow::Result<()> {
    match projects {
        Projects::List => list(ask).await,
        Projects::Create { id, name } => {
            let mut body = json!({"id": id});
            if let Some(name) = name {
                body["name"] = json!(name);
            }
            let answer = ask
                .client
                .send_json(Method::POST, &["v1", "projects"], &body)
                .await?;
            told(ask, answer, "made", id).await
        }
        Projects::Set { id, settings } => {
            let body = change(ask, id, settings).await?;
            let answer = ask
                .client
                .send_json(Method::POST, &["v1", "projects", id], &body)
                .await?;
            told(ask, answer, "changed", id).await
        }
        Projects::Delete { id, yes: _ } => {
            let answer = ask.client.delete(&["v1", "projects", id], &[]).await?;
            told(ask, answer, "deleted", id).await
        }
    }
}

/// Returns the change that the words ask for. The server takes all settings at once, so those that
/// are not named are passed on as they are.
async fn change(ask: &Ask, id: &str, words: &[String]) -> anyhow::Result<Value> {
    let list: List = ask.client.get_json(&["v1", "projects"], &[]).await?;
    let project = list.data.into_iter().find(|project| project.id == id);
    let project = project.with_context(|| {
        format!("there is no project {id:?}; `tracegrade projects list` shows them")
    })?;
    let (mut name, mut settings) = (project.name, project.settings);
    for word in words {
        let (key, value) = word
            .split_once('=')
            .with_context(|| format!("{word:?} is not SETTING=VALUE, such as retention_days=90"))?;
        settings[key] = match (key, value) {
            ("name", text) => {
                name = text.to_owned();
                continue;
            }
            (
                "retention_days"
                | "assumed_model"
                | "judge_model"
                | "include_sensitive_data"
                | "include_audio"
                | "sample_rate",
                "",
            ) => Value::Null,
            ("retention_days", days) => {
                days.parse::<u32>().map(Value::from).with_context(|| {
                    format!("retention_days: {days:?} is not a number of days, such as 90")
                })?
            }
            ("assumed_model" | "judge_model", model) => Value::from(model),
            ("include_sensitive_data" | "include_audio", on) => on
                .parse::<bool>()
                .map(Value::from)
                .with_context(|| format!("{key}: {on:?} is not true or false"))?,
            ("sample_rate", share) => share.parse::<f64>().map(Value::from).with_context(|| {
                format!("sample_rate: {share:?} is not a number from 0 to 1, such as 0.1")
            })?,
            _ => bail!(
                "there is no setting {key:?}: name, retention_days, assumed_model, judge_model, \
                 include_sensitive_data, include_audio or sample_rate"
            ),
        };
    }
    Ok(json!({"name": name, "settings": settings}))
}

async fn told(ask: &Ask, answer: reqwest::Response, what: &str, id: &str) -> anyhow::Result<()> {
    match ask.tell::<Value>(answer).await? {
        Some(_) => Ok(output::line(format!("{what} project {}", safe_text(id)))?),
        None => Ok(()),
    }
}

async fn list(ask: &Ask) -> anyhow::Result<()> {
    let answer = ask.client.get(&["v1", "projects"], &[]).await?;
    let Some(list) = ask.tell::<List>(answer).await? else {
        return Ok(());
    };
    let columns = ["id", "name", "made", "settings"].map(|name| (name, Align::Left));
    let row = |project: &Project| {
        let texts = [
            &project.id,
            &project.name,
            &project.created_at,
            &project.settings.to_string(),
        ];
        texts
            .iter()
            .map(|text| Cell::from(short_text(text, 80)))
            .collect()
    };
    let rows: Vec<Vec<Cell>> = list.data.iter().map(row).collect();
    Ok(output::block(&output::table(&columns, &rows))?)
}
