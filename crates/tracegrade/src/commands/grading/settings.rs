//! `settings`: what a project says for the grading of its traces.

use std::path::Path;

use anyhow::Context;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cli::grading_settings::{Effect, GradingSettings, Switch, WorkflowChange};
use crate::output;
use crate::text::{safe_text, short_text};

use super::super::Ask;
use super::asked;

/// Where it is read and changed.
const SETTINGS: [&str; 3] = ["v1", "settings", "grading"];

/// What is said, as the API tells it.
#[derive(Debug, Deserialize)]
struct Told {
    judge_model_used: Option<String>,
    judge_model: Option<String>,
    tools: Map<String, Value>,
    workflows: Map<String, Value>,
    schemas: Map<String, Value>,
    context_windows: Map<String, Value>,
    warnings: Vec<String>,
}

/// Runs a command of the family.
pub(super) async fn run(ask: &Ask, settings: &GradingSettings) -> anyhow::Result<()> {
    let change = match settings {
        GradingSettings::Show => {
            let answer = ask.client.get(&SETTINGS, &[]).await?;
            return tell(ask, answer).await;
        }
        GradingSettings::Tool { name, effect } => json!({"tools": {name: effect_of(*effect)}}),
        GradingSettings::Workflow(workflow) => {
            let there: Told = ask.client.get_json(&SETTINGS, &[]).await?;
            let change = workflow_of(&there.workflows, &workflow.name, &workflow.change);
            json!({"workflows": {&workflow.name: change}})
        }
        GradingSettings::Schema { name, file, .. } => {
            let schema = match file {
                Some(file) => read(file)?,
                None => Value::Null,
            };
            json!({"schemas": {name: schema}})
        }
        GradingSettings::Window { model, tokens } => {
            let window = match tokens.as_str() {
                "default" => Value::Null,
                tokens => tokens.parse::<i64>().map(Value::from).with_context(|| {
                    format!("{tokens:?} is no number of tokens, such as 128000")
                })?,
            };
            json!({"context_windows": {model: window}})
        }
        GradingSettings::Judge { model } => match model.as_str() {
            "default" => json!({"judge_model": null}),
            model => json!({ "judge_model": model }),
        },
        GradingSettings::Set { file } => read(file)?,
    };
    let answer = ask
        .client
        .send_json(Method::POST, &SETTINGS, &change)
        .await?;
    tell(ask, answer).await
}

fn read(file: &Path) -> anyhow::Result<Value> {
    let text = asked::text_of(file)?;
    serde_json::from_str(&text).with_context(|| format!("{} holds no JSON", file.display()))
}

fn effect_of(effect: Effect) -> Value {
    match effect {
        Effect::Write => json!("write"),
        Effect::Read => json!("read"),
        Effect::Guess => Value::Null,
    }
}

/// Returns what is to be changed of a workflow. Its own list of muted detectors begins with that of all, which
/// it takes the place of.
fn workflow_of(there: &Map<String, Value>, name: &str, change: &WorkflowChange) -> Value {
    let mut fields = Map::new();
    if !change.mute.is_empty() || !change.unmute.is_empty() {
        let of = |name: &str| there.get(name)?.get("muted_detectors")?.as_array();
        let muted = of(name).or_else(|| of("*")).into_iter().flatten();
        let muted = muted.filter_map(Value::as_str).map(str::to_owned);
        let mut muted: Vec<String> = muted
            .chain(change.mute.iter().map(|id| id.to_ascii_uppercase()))
            .collect();
        muted.retain(|id| {
            !change
                .unmute
                .iter()
                .any(|other| other.eq_ignore_ascii_case(id))
        });
        muted.sort_unstable();
        muted.dedup();
        fields.insert("muted_detectors".to_owned(), json!(muted));
    }
    for (field, switch) in [
        ("confirm_writes", change.confirm_writes),
        ("verify_writes", change.verify_writes),
    ] {
        let value = switch.map(|switch| match switch {
            Switch::On => json!(true),
            Switch::Off => json!(false),
            Switch::Default => Value::Null,
        });
        fields.extend(value.map(|value| (field.to_owned(), value)));
    }
    Value::Object(fields)
}

async fn tell(ask: &Ask, answer: reqwest::Response) -> anyhow::Result<()> {
    let Some(told) = ask.tell::<Told>(answer).await? else {
        return Ok(());
    };
    output::block(&shown(&told))?;
    for warning in &told.warnings {
        output::note(format!("note: {}", safe_text(warning)));
    }
    Ok(())
}

fn shown(told: &Told) -> String {
    let mut text = match (&told.judge_model, &told.judge_model_used) {
        (Some(model), _) => format!("judge     {}\n", safe_text(model)),
        (None, Some(model)) => format!("judge     {} (the server's)\n", safe_text(model)),
        (None, None) => "judge     none: graders that name no model get no verdict\n".to_owned(),
    };
    for (name, effect) in &told.tools {
        let effect = effect.as_str().unwrap_or_default();
        text += &format!("tool      {}: {}\n", safe_text(name), safe_text(effect));
    }
    for (name, said) in &told.workflows {
        text += &format!("workflow  {}: {}\n", safe_text(name), workflow_shown(said));
    }
    for (name, schema) in &told.schemas {
        let schema = schema.to_string();
        text += &format!(
            "schema    {}: {}\n",
            safe_text(name),
            short_text(&schema, 80)
        );
    }
    for (name, tokens) in &told.context_windows {
        text += &format!("window    {}: {tokens} tokens\n", safe_text(name));
    }
    text
}

fn workflow_shown(said: &Value) -> String {
    let mut parts = Vec::new();
    if let Some(muted) = said.get("muted_detectors").and_then(Value::as_array) {
        let muted: Vec<&str> = muted.iter().filter_map(Value::as_str).collect();
        parts.push(match muted.is_empty() {
            true => "no detector muted".to_owned(),
            false => format!("{} muted", safe_text(&muted.join(", "))),
        });
    }
    for (field, yes, no) in [
        (
            "confirm_writes",
            "writes are confirmed (D15)",
            "writes need no word",
        ),
        (
            "verify_writes",
            "writes are verified (D21)",
            "writes need no look",
        ),
    ] {
        let said = said.get(field).and_then(Value::as_bool);
        parts.extend(said.map(|on| if on { yes } else { no }.to_owned()));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(mute: &[&str], unmute: &[&str]) -> WorkflowChange {
        let owned = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        WorkflowChange {
            mute: owned(mute),
            unmute: owned(unmute),
            confirm_writes: Some(Switch::On),
            verify_writes: Some(Switch::Default),
        }
    }

    #[test]
    fn muting_begins_with_what_holds() {
        let there =
            json!({"*": {"muted_detectors": ["D20"]}, "own": {"muted_detectors": ["D03", "D07"]}});
        let there = there.as_object().unwrap();
        let check = |name: &str, change: WorkflowChange, want: Value| {
            let got = workflow_of(there, name, &change);
            let wanted =
                json!({"muted_detectors": want, "confirm_writes": true, "verify_writes": null});
            assert_eq!(got, wanted, "{name}");
        };
        check("new", change(&["d01"], &[]), json!(["D01", "D20"]));
        check("own", change(&["D03"], &["d07"]), json!(["D03"]));
        check("new", change(&[], &["D20"]), json!([]));
        let only = WorkflowChange {
            mute: Vec::new(),
            unmute: Vec::new(),
            confirm_writes: None,
            verify_writes: Some(Switch::Off),
        };
        assert_eq!(
            workflow_of(there, "own", &only),
            json!({"verify_writes": false})
        );
    }

    #[test]
    fn what_is_said_is_shown_in_words() {
        let told: Told = serde_json::from_value(json!({
            "judge_model": null, "judge_model_used": "gpt-5-mini",
            "tools": {"pay": "write"}, "schemas": {"t": {"type": "object"}}, "context_windows": {"m": 7},
            "workflows": {"w": {"muted_detectors": ["D03"], "confirm_writes": true, "verify_writes": false}},
            "warnings": [],
        }))
        .unwrap();
        let want = "judge     gpt-5-mini (the server's)\n\
                    tool      pay: write\n\
                    workflow  w: D03 muted, writes are confirmed (D15), writes need no look\n\
                    schema    t: {\"type\":\"object\"}\n\
                    window    m: 7 tokens\n";
        assert_eq!(shown(&told), want);
    }
}
