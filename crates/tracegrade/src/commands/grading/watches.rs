//! `watches`: grading what comes in.

use std::collections::BTreeMap;

use anyhow::ensure;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cli::grading::{WatchCreate, Watches};
use crate::output::{self, Align, Cell, DIM, GOOD};
use crate::text::{self, count, safe_text, short_text};

use super::super::Ask;
use super::asked;
use super::grade::usd_of;

const PATH: [&str; 4] = ["v1", "evals", "traces", "watches"];

#[derive(Debug, Deserialize)]
struct List {
    data: Vec<Watch>,
}

/// A watch as the API tells it.
#[derive(Debug, Deserialize)]
struct Watch {
    id: String,
    name: String,
    run_id: String,
    is_on: bool,
    #[serde(default)]
    filter: Value,
    sampling_rate: f64,
    #[serde(default)]
    cap_per_day_usd: Option<f64>,
    #[serde(default)]
    spent_today_usd: Option<f64>,
    /// How many traces of the last day were decided how.
    #[serde(default)]
    decisions: BTreeMap<String, u64>,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Decisions {
    data: Vec<Decision>,
    #[serde(default)]
    has_more: bool,
}

#[derive(Debug, Deserialize)]
struct Decision {
    trace_id: String,
    at: String,
    decision: String,
    #[serde(default)]
    why: Option<String>,
}

/// Runs a command of the family.
pub(super) async fn run(ask: &Ask, watches: &Watches) -> anyhow::Result<()> {
    match watches {
        Watches::List => list(ask).await,
        Watches::Create(args) => create(ask, args).await,
        Watches::Show { watch } => {
            let answer = ask.client.get(&path(watch, &[]), &[]).await?;
            tell(ask, answer).await
        }
        Watches::Pause { watch } => switch(ask, watch, false).await,
        Watches::Resume { watch } => switch(ask, watch, true).await,
        Watches::Decisions {
            watch,
            trace,
            limit,
        } => decisions(ask, watch, trace.as_deref(), *limit).await,
        Watches::Backfill { watch, from, until } => {
            backfill(ask, watch, from, until.as_deref()).await
        }
        Watches::Delete { watch } => {
            let answer = ask.client.delete(&path(watch, &[]), &[]).await?;
            match ask.tell::<Value>(answer).await? {
                Some(_) => Ok(output::line(format!("deleted {}", safe_text(watch)))?),
                None => Ok(()),
            }
        }
    }
}

fn path<'a>(watch: &'a str, below: &[&'a str]) -> Vec<&'a str> {
    PATH.iter()
        .copied()
        .chain([watch])
        .chain(below.iter().copied())
        .collect()
}

async fn list(ask: &Ask) -> anyhow::Result<()> {
    let answer = ask.client.get(&PATH, &[]).await?;
    let Some(list) = ask.tell::<List>(answer).await? else {
        return Ok(());
    };
    if list.data.is_empty() {
        output::note("nothing is graded as it comes in: `tracegrade watches create NAME …`");
        return Ok(());
    }
    let columns = ["watch", "", "name", "share", "of", "run"].map(|name| (name, Align::Left));
    let row = |watch: &Watch| {
        let (word, style) = match watch.is_on {
            true => ("on", GOOD),
            false => ("off", DIM),
        };
        vec![
            Cell::from(safe_text(&watch.id).into_owned()),
            Cell::styled(style, word),
            Cell::from(short_text(&watch.name, 40)),
            Cell::from(format!("{} %", watch.sampling_rate * 100.0)),
            Cell::from(watch.meant()),
            Cell::from(safe_text(&watch.run_id).into_owned()),
        ]
    };
    let rows: Vec<Vec<Cell>> = list.data.iter().map(row).collect();
    Ok(output::block(&output::table(&columns, &rows))?)
}

async fn create(ask: &Ask, args: &WatchCreate) -> anyhow::Result<()> {
    let mut body = Map::new();
    body.insert("name".to_owned(), json!(args.name));
    let graders = asked::some_graders(&args.graders)?;
    body.insert("graders".to_owned(), Value::Array(graders));
    if !args.filter.is_empty() {
        body.insert("filter".to_owned(), args.filter.json());
    }
    let rate = args.sampling_rate;
    ensure!(
        (0.0..=1.0).contains(&rate),
        "--sampling-rate is a share of the traces, from 0 to 1, and not {rate}"
    );
    body.insert("sampling_rate".to_owned(), json!(rate));
    if let Some(usd) = &args.cap_per_day {
        body.insert("cap_per_day_usd".to_owned(), usd_of(usd)?);
    }
    let body = Value::Object(body);
    let answer = ask.client.send_json(Method::POST, &PATH, &body).await?;
    tell(ask, answer).await
}

async fn switch(ask: &Ask, watch: &str, is_on: bool) -> anyhow::Result<()> {
    let path = path(watch, &[]);
    let body = json!({"is_on": is_on});
    let answer = ask.client.send_json(Method::POST, &path, &body).await?;
    tell(ask, answer).await
}

async fn backfill(ask: &Ask, watch: &str, from: &str, until: Option<&str>) -> anyhow::Result<()> {
    let mut body = json!({"start_date": from});
    if let Some(until) = until {
        body["end_date"] = json!(until);
    }
    let path = path(watch, &["backfill"]);
    let answer = ask.client.send_json(Method::POST, &path, &body).await?;
    if let Some(told) = ask.tell::<Value>(answer).await? {
        let traces = told.get("graded").and_then(Value::as_u64);
        output::line(match traces {
            Some(traces) => format!("{} of then are graded by it", text::traces(traces)),
            None => "what came in then will be graded besides".to_owned(),
        })?;
    }
    Ok(())
}

async fn decisions(ask: &Ask, watch: &str, trace: Option<&str>, limit: u32) -> anyhow::Result<()> {
    let mut pairs = vec![("limit".to_owned(), limit.to_string())];
    pairs.extend(trace.map(|trace| ("trace_id".to_owned(), trace.to_owned())));
    let answer = ask.client.get(&path(watch, &["decisions"]), &pairs).await?;
    let Some(list) = ask.tell::<Decisions>(answer).await? else {
        return Ok(());
    };
    if list.data.is_empty() {
        output::note("nothing was decided yet: a trace is looked at once it has ended");
        return Ok(());
    }
    let columns = ["at (UTC)", "decision", "trace", "why"].map(|name| (name, Align::Left));
    let row = |made: &Decision| {
        let at = safe_text(made.at.get(..19).unwrap_or(&made.at)).replace('T', " ");
        vec![
            Cell::from(at),
            Cell::from(safe_text(&made.decision).replace('_', " ")),
            Cell::from(safe_text(&made.trace_id).into_owned()),
            Cell::styled(DIM, short_text(made.why.as_deref().unwrap_or(""), 80)),
        ]
    };
    let rows: Vec<Vec<Cell>> = list.data.iter().map(row).collect();
    output::block(&output::table(&columns, &rows))?;
    if list.has_more {
        output::note("there are more: --limit");
    }
    Ok(())
}

async fn tell(ask: &Ask, answer: reqwest::Response) -> anyhow::Result<()> {
    match ask.tell::<Watch>(answer).await? {
        Some(watch) => Ok(output::block(&watch.words())?),
        None => Ok(()),
    }
}

impl Watch {
    /// Returns which traces are meant, in a few words.
    fn meant(&self) -> String {
        match &self.filter {
            Value::Object(fields) if !fields.is_empty() => short_text(&self.filter.to_string(), 60),
            Value::String(text) if text != "{}" => short_text(text, 60),
            _ => "all traces".to_owned(),
        }
    }

    fn words(&self) -> String {
        let mut out = format!(
            "{} {}: {}, {} % of {}, grades in {}\n",
            safe_text(&self.id),
            if self.is_on { "on" } else { "off" },
            short_text(&self.name, 60),
            self.sampling_rate * 100.0,
            self.meant(),
            safe_text(&self.run_id)
        );
        if let Some(cap) = self.cap_per_day_usd {
            let spent = self.spent_today_usd.unwrap_or(0.0);
            out.push_str(&format!(
                "  {} of at most {} spent today\n",
                text::cost(spent),
                text::cost(cap)
            ));
        }
        if let Some(reason) = &self.reason {
            out.push_str(&format!("  {}\n", short_text(reason, 300)));
        }
        for (decision, n) in &self.decisions {
            out.push_str(&format!(
                "  {} {}\n",
                count(*n),
                safe_text(decision).replace('_', " ")
            ));
        }
        out
    }
}
