//! The demo's grading: graders, runs and labels, made by way of the API like anybody's.
//!
//! It may be cut off: what is there already is found by its name and not made again.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use model::Time;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::client::Client;
use crate::demo::grading::{self, JUDGE_MODEL, LABELLED_GRADER, PlannedRun, RUN_NEW, RUN_OLD};
use crate::output;

const RUNS: [&str; 4] = ["v1", "evals", "traces", "grade"];

/// So long the runs are waited for; they go on behind that.
const WAIT_MAX: Duration = Duration::from_secs(4);

/// The runs over the regression set, for commands to be tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Graded {
    pub(super) old: String,
    pub(super) new: String,
}

/// Grades the story, as far as that was not done, and waits a while for it.
pub(super) async fn grade(client: &Client, until: Time, seed: u64) -> anyhow::Result<Graded> {
    price(client).await?;
    for grader in grading::graders() {
        let body = json!({
            "name": grader.name,
            "description": grader.description,
            "definition": grader.definition,
        });
        send(client, &["v1", "graders"], &body).await?;
    }
    let made = made(client).await?;
    let mut ids = Vec::new();
    for planned in grading::runs(until, seed) {
        ids.push((planned.name, run(client, &planned, &made).await?));
    }
    label(client, until, seed).await?;
    wait(client, &ids).await?;
    let id = |name: &str| {
        let found = ids.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, id)| id.clone())
            .context("a run of the demo is missing")
    };
    Ok(Graded {
        old: id(RUN_OLD)?,
        new: id(RUN_NEW)?,
    })
}

/// Gives the judge a price, so that there is something to see where costs are told.
async fn price(client: &Client) -> anyhow::Result<()> {
    let body = json!({
        "provider": null, "model": JUDGE_MODEL, "from": "2020-01-01", "input_above": 0,
        "input": "0.25", "cached_input": null, "output": "2.00", "reasoning": null,
    });
    let answer = client.send_json(Method::PUT, &["v1", "prices"], &body);
    answer.await.context("failed to price the demo's judge")?;
    Ok(())
}

async fn send(client: &Client, path: &[&str], body: &Value) -> anyhow::Result<Value> {
    let answer = client.send_json(Method::POST, path, body).await;
    let answer =
        answer.with_context(|| format!("failed to grade the demo: /{}", path.join("/")))?;
    Ok(client.json(answer).await?)
}

/// Returns the names and ids of the runs that are there.
async fn made(client: &Client) -> anyhow::Result<Vec<(String, String)>> {
    let limit = [("limit".to_owned(), "100".to_owned())];
    let list: Value = client.get_json(&RUNS, &limit).await?;
    let data = list.get("data").and_then(Value::as_array);
    let runs = data.into_iter().flatten().filter_map(|run| {
        let text = |name: &str| run.get(name)?.as_str().map(str::to_owned);
        Some((text("name")?, text("id")?))
    });
    Ok(runs.collect())
}

async fn run(
    client: &Client,
    planned: &PlannedRun,
    made: &[(String, String)],
) -> anyhow::Result<String> {
    if let Some((_, id)) = made.iter().find(|(name, _)| name == planned.name) {
        return Ok(id.clone());
    }
    let run = send(client, &RUNS, &planned.body).await?;
    let id = run.get("id").and_then(Value::as_str);
    Ok(id.context("the server made no run")?.to_owned())
}

async fn label(client: &Client, until: Time, seed: u64) -> anyhow::Result<()> {
    let one = [("limit".to_owned(), "1".to_owned())];
    let list: Value = client.get_json(&["v1", "annotations"], &one).await?;
    let is_done = list
        .get("data")
        .and_then(Value::as_array)
        .is_some_and(|data| !data.is_empty());
    if is_done {
        return Ok(());
    }
    let annotation = |label: grading::Label| {
        json!({
            "trace_id": label.trace_id,
            "grader": LABELLED_GRADER,
            "rating": if label.is_good { "good" } else { "bad" },
            "label": label.label,
            "author": label.author,
        })
    };
    let labels: Vec<Value> = grading::labels(until, seed)
        .into_iter()
        .map(annotation)
        .collect();
    send(
        client,
        &["v1", "annotations"],
        &json!({"annotations": labels}),
    )
    .await?;
    Ok(())
}

/// Waits until the runs rest; one that fails is the demo's fault.
async fn wait(client: &Client, ids: &[(&'static str, String)]) -> anyhow::Result<()> {
    let bar = output::traces_bar();
    let begun = Instant::now();
    let mut resting: HashSet<&str> = HashSet::new();
    while resting.len() < ids.len() && begun.elapsed() < WAIT_MAX {
        let (mut items, mut done) = (0, 0);
        for (name, id) in ids {
            let path: Vec<&str> = RUNS.iter().copied().chain([id.as_str()]).collect();
            let run: Value = client.get_json(&path, &[]).await?;
            let count = |what: &str| {
                run.pointer(&format!("/counts/{what}"))
                    .and_then(Value::as_u64)
            };
            items += count("items").unwrap_or(0);
            done += count("done").unwrap_or(0);
            let status = run
                .get("status")
                .and_then(Value::as_str)
                .unwrap_or_default();
            ensure!(
                !matches!(status, "failed" | "paused"),
                "the run {name} is {status}: {}",
                run.get("reason")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            );
            if matches!(status, "completed" | "canceled") {
                resting.insert(name);
            }
        }
        bar.set_length(items);
        bar.set_position(done);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bar.finish_and_clear();
    if resting.len() < ids.len() {
        output::note("grading goes on: `tracegrade runs list` tells how far it is");
    }
    Ok(())
}
