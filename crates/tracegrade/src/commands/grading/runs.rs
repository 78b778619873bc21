//! `runs`: what was graded, is graded, and shall be graded no longer.

use std::process::ExitCode;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::grading::{RunResults, Runs, RunsList};
use crate::output;
use crate::text::{count, safe_text};

use super::super::Ask;
use super::compare;
use super::follow::path;
use super::given;
use super::grade::{self, RUNS, usd_of};
use super::results::{self, Told};
use super::run::{self, Run};

#[derive(Debug, Deserialize)]
struct List {
    data: Vec<Run>,
    has_more: bool,
}

/// Runs a command of the family.
pub(super) async fn run(ask: &Ask, runs: &Runs) -> anyhow::Result<ExitCode> {
    match runs {
        Runs::List(args) => list(ask, args).await,
        Runs::Show { run } => show(ask, run).await,
        Runs::Watch { run } => return grade::wait(ask, run).await,
        Runs::Pause { run } => steer(ask, run, "pause", &json!({})).await,
        Runs::Resume { run } => steer(ask, run, "resume", &json!({})).await,
        Runs::Cancel { run } => steer(ask, run, "cancel", &json!({})).await,
        Runs::Retry { run } => retry(ask, run).await,
        Runs::Cap { run, usd } => {
            let body = json!({"max_cost_usd": usd_of(usd)?});
            steer(ask, run, "cap", &body).await
        }
        Runs::Results(args) => of_run(ask, args).await,
        Runs::Compare(args) => compare::run(ask, args).await,
        Runs::Delete { run, yes: _ } => delete(ask, run).await,
    }
    .map(|()| ExitCode::SUCCESS)
}

async fn list(ask: &Ask, args: &RunsList) -> anyhow::Result<()> {
    let fields = [
        ("status", args.status.clone()),
        ("grader", args.grader.clone()),
        ("limit", Some(args.limit.to_string())),
        ("after", args.after.clone()),
    ];
    let pairs = given(fields);
    let answer = ask.client.get(&RUNS, &pairs).await?;
    let Some(list) = ask.tell::<List>(answer).await? else {
        return Ok(());
    };
    if list.data.is_empty() {
        output::note("no run: `tracegrade grade` makes one");
        return Ok(());
    }
    output::block(&run::table(&list.data))?;
    if let Some(last) = list.data.last().filter(|_| list.has_more) {
        output::note(format!("more: --after {}", last.shown_id()));
    }
    Ok(())
}

async fn show(ask: &Ask, run: &str) -> anyhow::Result<()> {
    let answer = ask.client.get(&path(run, &[]), &[]).await?;
    match ask.tell::<Run>(answer).await? {
        Some(run) => Ok(output::block(&format!("{}{}", run.line(), run.plan()))?),
        None => Ok(()),
    }
}

/// Tells a run to do something, and how it is then.
async fn steer(ask: &Ask, run: &str, what: &str, body: &Value) -> anyhow::Result<()> {
    let path = path(run, &[what]);
    let answer = ask.client.send_json(Method::POST, &path, body).await?;
    match ask.tell::<Run>(answer).await? {
        Some(run) => Ok(output::block(&run.line())?),
        None => Ok(()),
    }
}

/// Has traces graded once more that have no verdict.
async fn retry(ask: &Ask, run: &str) -> anyhow::Result<()> {
    let path = path(run, &["retry"]);
    let answer = ask
        .client
        .send_json(Method::POST, &path, &json!({}))
        .await?;
    if let Some(run) = ask.tell::<Run>(answer).await? {
        output::block(&run.line())?;
        if run.status == "completed" {
            output::note("every trace has its verdicts: nothing is tried again");
        }
    }
    Ok(())
}

async fn of_run(ask: &Ask, args: &RunResults) -> anyhow::Result<()> {
    let is_asked = args.outcome.is_some() || args.grader.is_some() || args.score_below.is_some();
    let told = Told {
        grader: args.grader.clone(),
        // People look for what failed; programs get all.
        outcome: match (is_asked, ask.json) {
            (false, false) => Some("fail".to_owned()),
            _ => args.outcome.clone(),
        },
        score_below: args.score_below,
        limit: args.limit,
        after: args.after.clone(),
        tasks: args.tasks.clone(),
        segments: args.segments.clone(),
        groups: args.groups_by.clone(),
    };
    results::tell(ask, &args.run, &told).await
}

async fn delete(ask: &Ask, run: &str) -> anyhow::Result<()> {
    let answer = ask.client.delete(&path(run, &[]), &[]).await?;
    if let Some(deleted) = ask.tell::<Value>(answer).await? {
        let grades = deleted.get("grades").and_then(Value::as_u64);
        let grades = grades.map_or_else(String::new, |n| format!(" and {} grades", count(n)));
        output::line(format!("deleted {}{grades}", safe_text(run)))?;
    }
    Ok(())
}
