//! `grade`: from graders and traces to results.

use std::process::ExitCode;

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::cli::grading::Grade;
use crate::output;
use crate::text::short_text;

use super::super::Ask;
use super::asked;
use super::follow::{Followed, follow};
use super::results::{self, Told};
use super::run::Run;

/// What a shell calls the end by Ctrl-C.
pub(super) const LEFT: u8 = 130;

/// Traces that failed and are told when a run is over.
const FAILED_TOLD: u32 = 5;

/// Where runs are made and listed.
pub(super) const RUNS: [&str; 4] = ["v1", "evals", "traces", "grade"];

/// Grades traces and waits for the results.
pub(super) async fn run(ask: &Ask, args: &Grade) -> anyhow::Result<ExitCode> {
    let body = body(args)?;
    let answer = ask.client.send_json(Method::POST, &RUNS, &body).await?;
    if args.dry_run {
        if let Some(run) = ask.tell::<Run>(answer).await? {
            output::block(&format!("it would grade\n{}", run.plan()))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if args.detach {
        if let Some(run) = ask.tell::<Run>(answer).await? {
            // Nobody looks at the run before it is over.
            for warning in run.warnings() {
                output::note(short_text(warning, 400));
            }
            output::line(run.shown_id())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let run: Run = ask.client.json(answer).await?;
    let id = run.id.clone().context("the server made no run")?;
    ask.note(format!("{}{}", run.line(), run.plan()).trim_end());
    wait(ask, &id).await
}

/// Waits for a run and tells its results.
pub(super) async fn wait(ask: &Ask, id: &str) -> anyhow::Result<ExitCode> {
    let Followed::Rests(run) = follow(ask, id).await? else {
        return Ok(ExitCode::from(LEFT));
    };
    let told = Told {
        outcome: (!ask.json).then(|| "fail".to_owned()),
        limit: FAILED_TOLD,
        ..Told::default()
    };
    results::tell(ask, id, &told).await?;
    match run.status.as_str() {
        "completed" => Ok(ExitCode::SUCCESS),
        "paused" => {
            ask.note(format!(
                "it rests: `tracegrade runs resume {0}` goes on, `tracegrade runs cap {0} USD` lets it cost more",
                run.shown_id()
            ));
            Ok(ExitCode::FAILURE)
        }
        _ => Ok(ExitCode::FAILURE),
    }
}

fn body(args: &Grade) -> anyhow::Result<Value> {
    args.filter.require_no_cost()?;
    let mut body = Map::new();
    let graders = asked::some_graders(&args.graders)?;
    body.insert("graders".to_owned(), Value::Array(graders));
    if !args.traces.is_empty() {
        ensure!(
            args.filter.is_empty(),
            "traces are named by their ids or by a filter, not by both"
        );
        body.insert("trace_ids".to_owned(), json!(args.traces));
    } else if !args.filter.is_empty() {
        body.insert("filter".to_owned(), args.filter.json());
    }
    asked::choose(&args.selection, &mut body)?;
    asked::compare(&args.pairs, &mut body)?;
    asked::hold_against(&args.references, &mut body)?;
    asked::stop(&args.stop, &mut body)?;
    if let Some(name) = &args.name {
        body.insert("name".to_owned(), json!(name));
    }
    if let Some(usd) = &args.max_cost {
        body.insert("max_cost_usd".to_owned(), usd_of(usd)?);
    }
    if args.dry_run {
        body.insert("dry_run".to_owned(), json!(true));
    }
    Ok(Value::Object(body))
}

/// Returns an amount of US dollars as the API takes it.
pub(super) fn usd_of(text: &str) -> anyhow::Result<Value> {
    let plain = text.trim().trim_start_matches('$');
    let usd: f64 = plain
        .parse()
        .with_context(|| format!("{text:?} is no amount of US dollars, such as 1.50"))?;
    ensure!(
        usd.is_finite() && usd >= 0.0,
        "{text:?} is no amount of US dollars, such as 1.50"
    );
    Ok(json!(usd))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn parsed(args: &[&str]) -> anyhow::Result<Value> {
        let typed = ["tracegrade", "grade"].iter().chain(args);
        let Command::Grade(grade) = Cli::try_parse_from(typed)?.command else {
            panic!("it is another command")
        };
        body(&grade)
    }

    #[test]
    fn what_is_typed_is_what_is_asked_for() {
        let check = |args: &[&str], want: Value| assert_eq!(parsed(args).unwrap(), want);
        check(
            &[
                "trace_1",
                "trace_2",
                "--grader",
                "goal",
                "--max-cost",
                "$1.50",
            ],
            json!({"graders": ["goal"], "trace_ids": ["trace_1", "trace_2"], "max_cost_usd": 1.5}),
        );
        check(
            &[
                "--check",
                "a",
                "--status",
                "error",
                "--limit",
                "9",
                "--rule",
                "b",
                "--dry-run",
            ],
            json!({"graders": [{"type": "rule", "check": "a"}], "filter": {"status": ["error"]}, "limit": 9, "rule": "b", "dry_run": true}),
        );
        check(
            &[
                "--version",
                "v1.9.0",
                "--grader",
                "which",
                "--against",
                "version=v1.8.2",
                "--pair-by",
                "metadata.case",
                "--stop-half-width",
                "0.05",
            ],
            json!({"graders": ["which"], "filter": {"version": ["v1.9.0"]}, "against": {"filter": {"version": "v1.8.2"}},
                "pair_by": "metadata.case", "stop_when": {"half_width": 0.05}}),
        );
        for wrong in [
            &["--grader", "which", "--against", "version=v1.8.2"][..],
            &["--grader", "which", "--stop-grader", "which"],
            &["--status", "error"],
            &["trace_1", "--grader", "goal", "--status", "error"],
            &["--grader", "goal", "--max-cost", "much"],
            &["--grader", "goal", "--max-cost", "NaN"],
            &["--grader", "goal", "--max-cost-usd", "1"],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }
}
