//! `gate`: may the candidate replace the baseline?
//!
//! Exit codes say it to a CI system, and no accident may look like a pass: whatever goes wrong, the
//! command line included, is 3.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cli::grading::Gate;
use crate::output::{self, Align, BAD, BOLD, Cell, GOOD, OPEN, styled};
use crate::text::{self, safe_text, short_text};

use super::super::Ask;
use super::asked;
use super::figure::Figure;
use super::follow::{Followed, follow};
use super::grade::{LEFT, RUNS, usd_of};
use super::run::Run;

/// The exit code of a gate that could not be asked.
pub(crate) const ERROR: u8 = 3;

/// What the ids of runs begin with.
const RUN_ID: &str = "grun_";

/// What the gate says.
#[derive(Debug, Deserialize)]
struct Report {
    verdict: String,
    exit_code: u8,
    sentence: String,
    #[serde(default)]
    margin: f64,
    #[serde(default)]
    alpha: f64,
    #[serde(default)]
    sequential: bool,
    graders: Vec<OfGrader>,
    #[serde(default)]
    examples: Vec<Regression>,
    #[serde(default)]
    junit: Option<String>,
    #[serde(default)]
    markdown: Option<String>,
}

#[derive(Debug, Deserialize)]
struct OfGrader {
    grader: String,
    verdict: String,
    sentence: String,
    baseline: Option<Figure>,
    candidate: Option<Figure>,
    difference: Option<Figure>,
    /// What was compared: `pass_rate`, or `score`.
    metric: String,
    #[serde(default)]
    unscored: u64,
}

impl OfGrader {
    /// Returns whether the figures are shares.
    fn is_rate(&self) -> bool {
        self.metric != "score"
    }
}

#[derive(Debug, Deserialize)]
struct Regression {
    trace_id: String,
    baseline_trace_id: Option<String>,
    grader: String,
}

/// One side of a gate.
#[derive(Debug, Clone, PartialEq)]
enum Side {
    /// A run, perhaps only some of its traces.
    Graded { run: String, filter: Option<Value> },
    /// Traces that are to be graded first.
    Traces(Value),
}

/// Runs the gate. The code is the gate's own; an error is told and is [`ERROR`].
pub(super) async fn run(ask: &Ask, args: &Gate) -> ExitCode {
    match attempt(ask, args).await {
        Ok(code) => code,
        Err(error) => {
            // Its code is that of other commands, among which 1 would be a fail.
            let _code = output::fail(&error, ask.json);
            ExitCode::from(ERROR)
        }
    }
}

async fn attempt(ask: &Ask, args: &Gate) -> anyhow::Result<ExitCode> {
    let graders = asked::graders(&args.graders)?;
    for path in [&args.junit, &args.markdown].into_iter().flatten() {
        require_writable(path)?;
    }
    let sides = [
        side(&args.baseline, args).context("--baseline")?,
        side(&args.candidate, args).context("--candidate")?,
    ];
    let [baseline, candidate] = sides;
    let are_graded = [&baseline, &candidate].map(|side| matches!(side, Side::Graded { .. }));
    ensure!(
        are_graded != [true; 2] || graders.iter().all(Value::is_string),
        "the graders of runs that are there are chosen by name: --grader NAME"
    );
    let graded = tokio::try_join!(
        graded(ask, args, baseline, &graders, "baseline"),
        graded(ask, args, candidate, &graders, "candidate"),
    )?;
    let (Some(baseline), Some(candidate)) = graded else {
        return Ok(ExitCode::from(LEFT));
    };
    let body = body(args, baseline, candidate, &graders);
    let path = ["v1", "evals", "traces", "gate"];
    let answer = ask.client.send_json(Method::POST, &path, &body).await?;
    let told: Value = ask.client.json(answer).await?;
    let report =
        Report::deserialize(&told).context("the server's answer is no report of a gate")?;
    write(args, &report)?;
    let is_markdown = args.markdown.as_deref() == Some(Path::new("-"));
    match (ask.json, is_markdown) {
        (true, _) => output::line(told.to_string())?,
        (_, true) => output::block(report.markdown.as_deref().unwrap_or_default())?,
        _ => output::block(&report.words())?,
    }
    Ok(ExitCode::from(report.exit_code))
}

/// Reads a side: a run's id, or fields of a filter.
fn side(text: &str, args: &Gate) -> anyhow::Result<Side> {
    args.filter.require_no_cost()?;
    let is_run = text.starts_with(RUN_ID) && !text.contains('=');
    if is_run {
        let filter = (!args.filter.is_empty()).then(|| args.filter.json());
        return Ok(Side::Graded {
            run: text.to_owned(),
            filter,
        });
    }
    let mut filter = args.filter.json();
    ensure!(
        text.contains('='),
        "{text:?} is neither the id of a run ({RUN_ID}…) nor FIELD=VALUE, such as version=v1.9.0"
    );
    let Value::Object(fields) = asked::fields_of(text)? else {
        bail!("{text:?} is not FIELD=VALUE");
    };
    if let Value::Object(shared) = &mut filter {
        for (field, value) in fields {
            ensure!(
                shared.insert(field.clone(), value).is_none(),
                "{field} is said of both sides and of one of them"
            );
        }
    }
    Ok(match &args.run {
        Some(run) => Side::Graded {
            run: run.clone(),
            filter: Some(filter),
        },
        None => Side::Traces(filter),
    })
}

/// Returns the side as the API takes it, graded first if it has to be; `None` if nobody waits any more.
async fn graded(
    ask: &Ask,
    args: &Gate,
    side: Side,
    graders: &[Value],
    name: &str,
) -> anyhow::Result<Option<Value>> {
    let filter = match side {
        Side::Graded { run, filter } => {
            let mut side = json!({"run_id": run});
            if let Some(filter) = filter {
                side["filter"] = filter;
            }
            return Ok(Some(side));
        }
        Side::Traces(filter) => filter,
    };
    ensure!(
        !graders.is_empty(),
        "the {name} has to be graded: say with what, --grader, --check or --detector"
    );
    let mut body = Map::new();
    body.insert("graders".to_owned(), json!(graders));
    body.insert("filter".to_owned(), filter);
    body.insert("name".to_owned(), json!(format!("gate: {name}")));
    if let Some(sample) = args.sample {
        body.insert("sample_size".to_owned(), json!(sample));
        body.insert("sample_strategy".to_owned(), json!("random"));
    }
    if let Some(usd) = &args.max_cost {
        body.insert("max_cost_usd".to_owned(), usd_of(usd)?);
    }
    let body = Value::Object(body);
    let meant = if name == "baseline" {
        &args.baseline
    } else {
        &args.candidate
    };
    let side = || format!("--{name} {meant}");
    let answer = ask.client.send_json(Method::POST, &RUNS, &body).await;
    let answer = answer.with_context(side)?;
    let run: Run = ask.client.json(answer).await.with_context(side)?;
    let id = run.id.clone().context("the server made no run")?;
    let Followed::Rests(run) = follow(ask, &id).await? else {
        return Ok(None);
    };
    ensure!(
        run.status == "completed",
        "the run of the {name} {id} is {}: {}",
        run.status,
        run.reason.as_deref().unwrap_or("no reason is told")
    );
    Ok(Some(json!({"run_id": id})))
}

fn body(args: &Gate, baseline: Value, candidate: Value, graders: &[Value]) -> Value {
    let mut body = json!({"baseline": baseline, "candidate": candidate});
    // What runs were made with here is all that is in them; of a run that was there, names choose.
    if !graders.is_empty() && graders.iter().all(Value::is_string) {
        body["graders"] = json!(graders);
    }
    if let Some(field) = &args.pair_by {
        body["pair_by"] = json!(field);
    }
    if let Some(margin) = args.margin {
        body["margin"] = json!(margin);
    }
    if let Some(alpha) = args.alpha {
        body["alpha"] = json!(alpha);
    }
    if args.sequential {
        body["sequential"] = json!(true);
    }
    let mut include = Vec::new();
    include.extend(args.junit.as_ref().map(|_| "junit"));
    include.extend(args.markdown.as_ref().map(|_| "markdown"));
    if !include.is_empty() {
        body["include"] = json!(include);
    }
    body
}

/// Refuses a file that cannot be written before anything is graded.
fn require_writable(path: &Path) -> anyhow::Result<()> {
    if path == Path::new("-") {
        return Ok(());
    }
    let is_there = path.exists();
    let mut open = std::fs::OpenOptions::new();
    open.create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    match is_there {
        true => Ok(()),
        // What ends in an error leaves no empty report behind.
        false => Ok(std::fs::remove_file(path)?),
    }
}

/// Writes the reports that were asked for.
fn write(args: &Gate, report: &Report) -> anyhow::Result<()> {
    let files = [
        (&args.junit, &report.junit),
        (&args.markdown, &report.markdown),
    ];
    for (path, text) in files {
        let Some(path) = path.as_deref().filter(|path| *path != Path::new("-")) else {
            continue;
        };
        let text = text.as_deref().context("the server sent no such report")?;
        std::fs::write(path, text)
            .with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}

impl Report {
    fn words(&self) -> String {
        // The sentence begins with the verdict.
        let mut out = format!(
            "{}\n\n",
            styled(style(&self.verdict), short_text(&self.sentence, 600))
        );
        out.push_str(&self.table());
        for of in &self.graders {
            out.push_str(&format!("{}\n", short_text(&of.sentence, 400)));
            if of.unscored > 0 {
                out.push_str(&format!(
                    "{}: {} of the candidate without a verdict\n",
                    short_text(&of.grader, 40),
                    text::traces(of.unscored)
                ));
            }
        }
        out.push_str(&format!(
            "up to {} points worse is let pass; a false alarm in {} of 100 gates at most{}\n",
            text::value(self.margin * 100.0),
            text::value(self.alpha * 100.0),
            match self.sequential {
                true => ", however often it is looked at",
                false => ", if it is looked at once",
            }
        ));
        if !self.examples.is_empty() {
            out.push_str(&format!("\n{}\n", styled(BOLD, "got worse")));
        }
        for example in &self.examples {
            let before = example.baseline_trace_id.as_deref();
            let before =
                before.map_or_else(String::new, |id| format!("  before: {}", safe_text(id)));
            out.push_str(&format!(
                "  {}{before}  {}\n",
                safe_text(&example.trace_id),
                short_text(&example.grader, 40)
            ));
        }
        if !self.examples.is_empty() {
            out.push_str(
                "`tracegrade traces show ID` shows one, `tracegrade traces tree ID` how it went\n",
            );
        }
        out
    }

    fn table(&self) -> String {
        let columns =
            ["grader", "", "baseline", "candidate", "difference"].map(|name| (name, Align::Left));
        let row = |of: &OfGrader| {
            let value = |figure: &Option<Figure>| {
                figure.map_or_else(
                    || "-".to_owned(),
                    |figure| match of.is_rate() {
                        true => figure.rate(),
                        false => figure.mean(),
                    },
                )
            };
            let difference = of.difference.map_or_else(
                || "-".to_owned(),
                |figure| match of.is_rate() {
                    true => figure.points(),
                    false => figure.change(),
                },
            );
            vec![
                Cell::from(short_text(&of.grader, 40)),
                Cell::styled(style(&of.verdict), safe_text(&of.verdict)),
                Cell::from(value(&of.baseline)),
                Cell::from(value(&of.candidate)),
                Cell::from(difference),
            ]
        };
        let rows: Vec<Vec<Cell>> = self.graders.iter().map(row).collect();
        output::table(&columns, &rows)
    }
}

fn style(verdict: &str) -> anstyle::Style {
    match verdict {
        "pass" => GOOD,
        "fail" | "error" => BAD,
        _ => OPEN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn gate(args: &[&str]) -> Gate {
        let typed = ["tracegrade", "gate"].iter().chain(args);
        let Command::Gate(gate) = Cli::try_parse_from(typed).unwrap().command else {
            panic!("it is another command")
        };
        gate
    }

    #[test]
    fn a_side_is_a_run_or_traces() {
        let args = gate(&["--baseline", "grun_1", "--candidate", "version=v2"]);
        let want = Side::Graded {
            run: "grun_1".into(),
            filter: None,
        };
        assert_eq!(side(&args.baseline, &args).unwrap(), want);
        let want = Side::Traces(json!({"version": "v2"}));
        assert_eq!(side(&args.candidate, &args).unwrap(), want);

        let args = gate(&[
            "--baseline",
            "version=v1",
            "--candidate",
            "version=v2,tag=a",
            "--run",
            "grun_1",
            "--environment",
            "ci",
        ]);
        let want = Side::Graded {
            run: "grun_1".into(),
            filter: Some(json!({"environment": ["ci"], "version": "v2", "tag": "a"})),
        };
        assert_eq!(side(&args.candidate, &args).unwrap(), want);
        assert!(side("environment=x", &args).is_err());
        assert!(side("no filter", &args).is_err());
    }

    #[test]
    fn only_what_was_typed_is_sent() {
        let args = gate(&["--baseline", "grun_1", "--candidate", "grun_2"]);
        let side = |run: &str| json!({"run_id": run});
        let sent = body(&args, side("grun_1"), side("grun_2"), &[]);
        let want = json!({"baseline": {"run_id": "grun_1"}, "candidate": {"run_id": "grun_2"}});
        assert_eq!(sent, want);
        let args = gate(&[
            "--baseline",
            "grun_1",
            "--candidate",
            "grun_2",
            "--grader",
            "goal",
            "--pair-by",
            "metadata.case",
            "--margin",
            "0.02",
            "--sequential",
            "--junit",
            "x.xml",
        ]);
        let sent = body(&args, side("grun_1"), side("grun_2"), &[json!("goal")]);
        let want = json!({"baseline": {"run_id": "grun_1"}, "candidate": {"run_id": "grun_2"}, "graders": ["goal"],
            "pair_by": "metadata.case", "margin": 0.02, "sequential": true, "include": ["junit"]});
        assert_eq!(sent, want);
    }

    #[test]
    fn a_report_tells_what_got_worse() {
        let report: Report = serde_json::from_str(CANNED).unwrap();
        let text = anstream::adapter::strip_str(&report.words()).to_string();
        insta::assert_snapshot!(text);
    }

    const CANNED: &str = r#"{"verdict":"fail","exit_code":1,"sentence":"fail: paid-once is worse by more than 2 points","margin":0.02,"alpha":0.05,
        "sequential":false,"is_over":true,
        "graders":[
          {"grader":"paid-once","metric":"pass_rate","verdict":"fail","sentence":"paid-once: fail: the difference is −5.8 points (−8.2 to −3.4)","method":"sign-flip permutation over pairs",
           "baseline":{"estimate":0.9976,"interval":[0.986,0.9996],"method":"wilson","n":412,"groups":412,"design_effect":1.0,"too_few_groups":false},
           "candidate":{"estimate":0.9393,"interval":[0.912,0.958],"method":"wilson","n":412,"groups":412,"design_effect":1.0,"too_few_groups":false},
           "difference":{"estimate":-0.0583,"interval":[-0.082,-0.034],"method":"paired","n":412,"groups":412,"design_effect":1.0,"too_few_groups":false},
           "p_value":0.0001,"p_adjusted":0.0002,"e_value":null,"lower_bound":-0.08,"detectable":0.034,"units":412,"unscored":0},
          {"grader":"goal","metric":"pass_rate","verdict":"pass","sentence":"goal: pass: the difference is 7.3 points","method":"x","baseline":null,"candidate":null,"difference":null,
           "p_value":null,"p_adjusted":null,"e_value":null,"lower_bound":null,"detectable":null,"units":412,"unscored":8}],
        "examples":[{"trace_id":"trace_b","baseline_trace_id":"trace_a","grader":"paid-once","baseline":1.0,"candidate":0.0},
          {"trace_id":"trace_c","baseline_trace_id":null,"grader":"paid-once","baseline":null,"candidate":0.0}]}"#;
}
