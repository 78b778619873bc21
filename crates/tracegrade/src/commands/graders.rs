//! `graders`: what a draft says of the traces that are there.

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::Context;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::{Draft, Graders, GradersTry};
use crate::output;
use crate::text::{self, safe_text};

use super::Ask;

/// Traces that are told one by one.
const TOLD_MAX: usize = 10;

/// What the server says of a draft.
#[derive(Debug, Deserialize)]
struct Trial {
    name: String,
    counts: BTreeMap<String, u64>,
    pass_rate: Option<Rate>,
    data: Vec<Verdict>,
}

#[derive(Debug, Deserialize)]
struct Rate {
    estimate: f64,
    interval: [f64; 2],
    n: u64,
    groups: u64,
    design_effect: f64,
    too_few_groups: bool,
}

#[derive(Debug, Deserialize)]
struct Verdict {
    trace_id: String,
    outcome: String,
    unscored_reason: Option<String>,
    reasoning: Option<String>,
    citations: Vec<String>,
    vacuous: bool,
}

/// Runs a command of the family.
pub(super) async fn run(ask: &Ask, graders: &Graders) -> anyhow::Result<()> {
    match graders {
        Graders::Try(draft) => attempt(ask, draft).await,
    }
}

async fn attempt(ask: &Ask, draft: &GradersTry) -> anyhow::Result<()> {
    let mut body = json!({"grader": definition(&draft.grader)?, "limit": draft.limit});
    if !draft.filter.is_empty() {
        body["filter"] = draft.filter.json();
    }
    let path = ["v1", "graders", "try"];
    let answer = ask.client.send_json(Method::POST, &path, &body).await?;
    match ask.tell::<Trial>(answer).await? {
        Some(trial) => Ok(output::block(&trial.words())?),
        None => Ok(()),
    }
}

fn definition(draft: &Draft) -> anyhow::Result<Value> {
    if let Some(check) = &draft.rule {
        return Ok(json!({"type": "rule", "check": check}));
    }
    if let Some(id) = &draft.detector {
        return Ok(json!({"type": "detector", "detector": id}));
    }
    let path = draft.grader.as_deref().context("no grader is given")?;
    let mut text = String::new();
    match path.as_os_str() == "-" {
        true => std::io::stdin().read_to_string(&mut text),
        false => std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text)),
    }
    .with_context(|| format!("failed to read {}", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is not the JSON of a grader", path.display()))
}

impl Trial {
    fn words(&self) -> String {
        let mut out = format!(
            "{} on {}: ",
            safe_text(&self.name),
            text::traces(self.data.len() as u64)
        );
        let counts = self.counts.iter().filter(|(_, count)| **count > 0);
        let counts: Vec<_> = counts
            .map(|(outcome, count)| {
                format!("{} {}", text::count(*count), outcome.replace('_', " "))
            })
            .collect();
        out.push_str(&match counts.is_empty() {
            true => "nothing to grade".to_owned(),
            false => counts.join(", "),
        });
        out.push('\n');
        let was_graded = ["pass", "fail"]
            .iter()
            .any(|outcome| self.counts.get(*outcome).is_some_and(|n| *n > 0));
        match &self.pass_rate {
            Some(rate) => out.push_str(&rate.words()),
            None if was_graded => out.push_str(
                "no pass rate: all traces are of one group, which says nothing of others\n",
            ),
            None => {}
        }
        let vacuous = self.data.iter().filter(|told| told.vacuous).count() as u64;
        if vacuous > 0 {
            out.push_str(&format!(
                "in {} it holds only because there was nothing to look at\n",
                text::traces(vacuous)
            ));
        }
        let of_interest = self.data.iter().filter(|told| told.outcome != "pass");
        let (mut told, mut more) = (0, 0_u64);
        for verdict in of_interest {
            if told == TOLD_MAX {
                more += 1;
                continue;
            }
            told += 1;
            out.push_str(&verdict.words());
        }
        if more > 0 {
            out.push_str(&format!(
                "  and {} more; --json tells all\n",
                text::count(more)
            ));
        }
        out
    }
}

impl Rate {
    fn words(&self) -> String {
        let percent = |share: f64| format!("{:.1}", share * 100.0);
        let few = if self.too_few_groups {
            "; too few groups to be sure of the interval"
        } else {
            ""
        };
        format!(
            "pass rate {} % [{}, {}] of {} in {}, design effect {:.2}{few}\n",
            percent(self.estimate),
            percent(self.interval[0]),
            percent(self.interval[1]),
            text::traces(self.n),
            groups(self.groups),
            self.design_effect
        )
    }
}

fn groups(number: u64) -> String {
    let noun = if number == 1 { "group" } else { "groups" };
    format!("{} {noun}", text::count(number))
}

impl Verdict {
    fn words(&self) -> String {
        let reason = self.unscored_reason.as_deref();
        let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        let mut line = format!(
            "  {}{reason}  {}",
            self.outcome.replace('_', " "),
            safe_text(&self.trace_id)
        );
        if let Some(reasoning) = &self.reasoning {
            line.push_str(&format!("  {}", text::short_text(reasoning, 120)));
        }
        if let Some(span) = self.citations.first() {
            line.push_str(&format!("  [{}]", safe_text(span)));
        }
        line.push('\n');
        line
    }
}
