//! `watches`: grading what comes in.

use std::collections::BTreeMap;

use anyhow::ensure;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cli::grading::{WatchCreate, WatchDecisions, Watches};
use crate::output::{self, Align, Cell, DIM, GOOD};
use crate::text::{self, count, safe_text, short_text};

use super::super::Ask;
use super::asked;
use super::given;
use super::grade::usd_of;

const PATH: [&str; 4] = ["v1", "evals", "traces", "watches"];

#[derive(Debug, Deserialize)]
struct List {
    data: Vec<Watch>,
    has_more: bool,
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
    run: RunState,
}

/// The run that grades for it.
#[derive(Debug, Deserialize)]
struct RunState {
    status: String,
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

/// What a look back came to, in traces.
#[derive(Debug, Deserialize)]
struct Back {
    graded: u64,
    graded_before: u64,
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
        Watches::Decisions(args) => decisions(ask, args).await,
        Watches::Backfill {
            watch,
            start_date,
            end_date,
        } => backfill(ask, watch, start_date, end_date.as_deref()).await,
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
    let all = [("limit".to_owned(), "1000".to_owned())];
    let answer = ask.client.get(&PATH, &all).await?;
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
            Cell::from(format!("{} %", text::value(watch.sampling_rate * 100.0))),
            Cell::from(watch.meant()),
            Cell::from(safe_text(&watch.run_id).into_owned()),
        ]
    };
    let rows: Vec<Vec<Cell>> = list.data.iter().map(row).collect();
    output::block(&output::table(&columns, &rows))?;
    if list.has_more {
        output::note("there are more: --json tells how to go on");
    }
    Ok(())
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
    if let Some(told) = ask.tell::<Back>(answer).await? {
        output::line(looked_back(&told))?;
    }
    Ok(())
}

/// Returns what a look back came to.
fn looked_back(told: &Back) -> String {
    let before = match told.graded_before {
        0 => String::new(),
        before => format!("; {} had been taken before", text::traces(before)),
    };
    match told.graded {
        0 => format!("nothing of then is graded besides{before}"),
        new => format!("{} of then will be graded{before}", text::traces(new)),
    }
}

async fn decisions(ask: &Ask, args: &WatchDecisions) -> anyhow::Result<()> {
    let fields = [
        ("trace_id", args.trace.clone()),
        ("decision", args.decision.clone()),
        ("limit", Some(args.limit.to_string())),
        ("after", args.after.clone()),
    ];
    let pairs = given(fields);
    let path = path(&args.watch, &["decisions"]);
    let answer = ask.client.get(&path, &pairs).await?;
    let Some(list) = ask.tell::<Decisions>(answer).await? else {
        return Ok(());
    };
    if list.data.is_empty() {
        output::note(match args.trace.is_some() || args.decision.is_some() {
            true => "nothing of the kind was decided",
            false => "nothing was decided yet: a trace is looked at once it has ended",
        });
        return Ok(());
    }
    let columns = ["at (UTC)", "decision", "trace", "why"].map(|name| (name, Align::Left));
    let row = |made: &Decision| {
        vec![
            Cell::from(text::moment(&made.at)),
            Cell::from(safe_text(&made.decision).replace('_', " ")),
            Cell::from(safe_text(&made.trace_id).into_owned()),
            Cell::styled(DIM, short_text(made.why.as_deref().unwrap_or(""), 80)),
        ]
    };
    let rows: Vec<Vec<Cell>> = list.data.iter().map(row).collect();
    output::block(&output::table(&columns, &rows))?;
    if let Some(last) = list.data.last().filter(|_| list.has_more) {
        output::note(format!("more: --after {}", safe_text(&last.trace_id)));
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
        let fields = self.filter.as_object().filter(|fields| !fields.is_empty());
        let Some(fields) = fields else {
            return "all traces".to_owned();
        };
        let one = |(field, value): (&String, &Value)| {
            let values: Vec<String> = match value {
                Value::Array(values) => values.iter().map(plain).collect(),
                one => vec![plain(one)],
            };
            format!("{field}={}", values.join("|"))
        };
        let fields: Vec<String> = fields.iter().map(one).collect();
        short_text(&fields.join(", "), 60)
    }

    fn words(&self) -> String {
        let mut out = format!(
            "{} {}: {}, {} % of {}, grades in {}\n",
            safe_text(&self.id),
            if self.is_on { "on" } else { "off" },
            short_text(&self.name, 60),
            text::value(self.sampling_rate * 100.0),
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
        if let Some(reason) = &self.run.reason {
            out.push_str(&format!(
                "  its run is {}: {}\n",
                safe_text(&self.run.status),
                short_text(reason, 300)
            ));
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

/// Returns a value of a filter as it is typed.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(rate: f64, filter: &Value, run: &Value) -> Watch {
        let told = json!({"id": "watch_1", "name": "w", "run_id": "grun_1", "is_on": true, "filter": filter,
            "sampling_rate": rate, "run": run});
        serde_json::from_value(told).unwrap()
    }

    #[test]
    fn a_watch_is_told_as_it_was_typed() {
        let run = json!({"status": "failed", "reason": "a bug"});
        let filter = json!({"environment": ["ci", "dev"], "min_tokens": 5});
        assert_eq!(
            watch(0.07, &filter, &run).words(),
            "watch_1 on: w, 7 % of environment=ci|dev, min_tokens=5, grades in grun_1\n  its run is failed: a bug\n"
        );
        let run = json!({"status": "queued", "reason": null});
        let all = watch(1.0, &json!({}), &run).words();
        assert_eq!(
            all,
            "watch_1 on: w, 100 % of all traces, grades in grun_1\n"
        );
    }

    #[test]
    fn a_look_back_tells_new_traces_and_known_ones_apart() {
        let check = |graded, graded_before, want: &str| {
            assert_eq!(
                looked_back(&Back {
                    graded,
                    graded_before
                }),
                want
            );
        };
        check(3, 0, "3 traces of then will be graded");
        check(
            1,
            2,
            "1 trace of then will be graded; 2 traces had been taken before",
        );
        check(
            0,
            2,
            "nothing of then is graded besides; 2 traces had been taken before",
        );
    }
}
