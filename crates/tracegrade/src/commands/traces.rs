//! `traces`: what is kept, and what shall be kept no longer.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::traces::{Traces, TracesDelete, TracesList, TracesTail, TracesTree};
use crate::output::{self, Align, Cell, DIM};
use crate::text::{self, short_text};
use crate::tree::{self, Extent, Row, glyph};

use super::Ask;
use super::steps::{self, Trace};

/// A bit of a skeleton's `flags`: a guardrail tripped.
const TRIPPED: u64 = 8;
/// A bit of a skeleton's `flags`: another span tells of the same model call.
const MERGED: u64 = 4;

/// Traces that are looked at in one look of `tail`.
const TAIL_LIMIT: usize = 1_000;

/// A page of a list.
#[derive(Debug, Deserialize)]
struct List {
    data: Vec<Trace>,
    has_more: bool,
    next_cursor: Option<String>,
    #[serde(default)]
    partial: bool,
}

/// Runs a command of the family.
pub(super) async fn run(ask: &Ask, traces: &Traces) -> anyhow::Result<()> {
    match traces {
        Traces::List(args) => list(ask, args).await,
        Traces::Show { trace } => show(ask, trace).await,
        Traces::Tree(args) => tree(ask, args).await,
        Traces::Tail(args) => tail(ask, args).await,
        Traces::Delete(args) => delete(ask, args).await,
    }
}

async fn list(ask: &Ask, args: &TracesList) -> anyhow::Result<()> {
    let mut pairs = args.filter.with_rule(args.rule.as_deref()).pairs();
    let mut push = |name: &str, value: String| pairs.push((name.to_owned(), value));
    push("limit", args.limit.to_string());
    if let Some(search) = &args.search {
        push("q", search.clone());
    }
    if let Some(after) = &args.after {
        push("after", after.clone());
    }
    if args.oldest {
        push("order", "asc".to_owned());
    }
    let answer = ask.client.get(&["v1", "traces"], &pairs).await?;
    let Some(list) = ask.tell::<List>(answer).await? else {
        return Ok(());
    };
    if list.data.is_empty() {
        output::note("no trace fits");
    } else {
        output::block(&table(&list.data))?;
    }
    if list.partial {
        output::note("the search stopped because of its time; --after goes on");
    }
    // An id reads better than a cursor; a search goes on at a place between traces.
    let last = list.data.last().map(|trace| trace.id.clone());
    let next = match args.search {
        Some(_) => list.next_cursor,
        None => last,
    };
    if let Some(next) = next.filter(|_| list.has_more) {
        output::note(format!("more: --after {}", text::safe_text(&next)));
    }
    Ok(())
}

fn table(traces: &[Trace]) -> String {
    let columns = [
        ("started (UTC)", Align::Left),
        ("", Align::Left),
        ("took", Align::Right),
        ("cost", Align::Right),
        ("tokens", Align::Right),
        ("workflow", Align::Left),
        ("trace", Align::Left),
        ("asked", Align::Left),
    ];
    let rows: Vec<Vec<Cell>> = traces.iter().map(row).collect();
    output::table(&columns, &rows)
}

fn row(trace: &Trace) -> Vec<Cell> {
    let (sign, style) = glyph(&trace.status, false);
    let started = trace
        .started_at
        .as_deref()
        .map_or_else(|| "-".to_owned(), text::moment);
    vec![
        Cell::from(started),
        Cell::styled(style, sign),
        Cell::from(
            trace
                .duration_ms
                .map_or_else(|| "-".to_owned(), text::duration),
        ),
        Cell::from(steps::cost(trace)),
        Cell::from(steps::tokens(trace).map_or_else(|| "-".to_owned(), text::count)),
        Cell::from(short_text(
            trace.workflow_name.as_deref().unwrap_or("-"),
            24,
        )),
        // An id is to be copied: it is never cut.
        Cell::from(text::safe_text(&trace.id).into_owned()),
        Cell::styled(
            DIM,
            short_text(trace.input_preview.as_deref().unwrap_or(""), 40),
        ),
    ]
}

async fn show(ask: &Ask, trace: &str) -> anyhow::Result<()> {
    let pairs = match ask.json {
        true => vec![],
        false => vec![("payload".to_owned(), "preview".to_owned())],
    };
    let answer = ask.client.get(&["v1", "traces", trace], &pairs).await?;
    match ask.tell::<Trace>(answer).await? {
        Some(trace) => Ok(output::block(&steps::account(&trace))?),
        None => Ok(()),
    }
}

/// The shape of a trace in columns.
#[derive(Debug, Deserialize)]
struct Skeleton {
    names: Vec<String>,
    kinds: Vec<String>,
    statuses: Vec<String>,
    parent: Vec<i64>,
    name: Vec<usize>,
    kind: Vec<usize>,
    dur_us: Vec<Option<i64>>,
    status: Vec<usize>,
    tok_in: Vec<Option<u64>>,
    tok_out: Vec<Option<u64>>,
    flags: Vec<u64>,
}

impl Skeleton {
    /// Returns the rows of the tree: spans that another one tells better are left out, and what was
    /// below them moves up.
    fn rows(&self) -> Option<Vec<Row>> {
        let count = self.parent.len();
        let merged = |at: usize| self.flags.get(at).is_some_and(|flags| flags & MERGED != 0);
        let kept: Vec<usize> = (0..count).filter(|at| !merged(*at)).collect();
        let places: HashMap<usize, usize> = kept
            .iter()
            .enumerate()
            .map(|(place, at)| (*at, place))
            .collect();
        let parent = |at: usize| {
            let mut at = usize::try_from(self.parent[at]).ok()?;
            // No chain is longer than there are rows, whatever the server sends.
            for _ in 0..count {
                match places.get(&at) {
                    Some(place) => return Some(*place),
                    None => at = usize::try_from(*self.parent.get(at)?).ok()?,
                }
            }
            None
        };
        let row = |at: usize| {
            let tokens = match (self.tok_in.get(at)?, self.tok_out.get(at)?) {
                (None, None) => None,
                (read, written) => Some(read.unwrap_or(0) + written.unwrap_or(0)),
            };
            Some(Row {
                parent: parent(at),
                name: self.names.get(*self.name.get(at)?)?.clone(),
                kind: self.kinds.get(*self.kind.get(at)?)?.clone(),
                status: self.statuses.get(*self.status.get(at)?)?.clone(),
                duration_ms: self.dur_us.get(at)?.map(|micros| micros as f64 / 1e3),
                tokens,
                is_tripped: self.flags.get(at)? & TRIPPED != 0,
            })
        };
        kept.iter().map(|at| row(*at)).collect()
    }
}

async fn tree(ask: &Ask, args: &TracesTree) -> anyhow::Result<()> {
    let answer = ask
        .client
        .get(&["v1", "traces", &args.trace, "skeleton"], &[])
        .await?;
    let Some(skeleton) = ask.tell::<Skeleton>(answer).await? else {
        return Ok(());
    };
    let rows = skeleton
        .rows()
        .context("the server's skeleton has columns of unlike lengths")?;
    let extent = match args.all {
        true => Extent {
            depth_max: usize::MAX,
            children_max: usize::MAX,
        },
        false => Extent {
            depth_max: args.depth,
            children_max: args.children,
        },
    };
    Ok(output::block(&tree::render(&rows, extent))?)
}

/// Prints traces as they change: a trace is printed again when its status does.
async fn tail(ask: &Ask, args: &TracesTail) -> anyhow::Result<()> {
    let mut pairs = args.filter.with_rule(args.rule.as_deref()).pairs();
    pairs.push(("limit".to_owned(), TAIL_LIMIT.to_string()));
    let mut seen: Option<HashMap<String, String>> = None;
    loop {
        let list: Value = ask.client.get_json(&["v1", "traces"], &pairs).await?;
        let told = list
            .get("data")
            .and_then(Value::as_array)
            .context("the server sent no list")?;
        let mut now = HashMap::new();
        for value in told.iter().rev() {
            let trace =
                Trace::deserialize(value).context("the server sent something else than a trace")?;
            let is_news = seen
                .as_ref()
                .is_some_and(|seen| seen.get(&trace.id) != Some(&trace.status));
            if is_news {
                match ask.json {
                    true => output::line(value.to_string())?,
                    false => output::block(&line(&trace))?,
                }
            }
            now.insert(trace.id, trace.status);
        }
        if seen.is_none() {
            output::note("waiting for traces; Ctrl-C ends it");
        }
        // Only what this look saw is kept known: what it did not see is older than all of it.
        seen = Some(now);
        tokio::time::sleep(Duration::from_secs(args.every)).await;
    }
}

/// Returns a trace on a line of its own, in columns that do not depend on others.
fn line(trace: &Trace) -> String {
    let (sign, style) = glyph(&trace.status, false);
    format!(
        "{}  {} {:<9}  {:>10}  {}  {}\n",
        trace
            .started_at
            .as_deref()
            .map(text::moment)
            .unwrap_or_default(),
        output::styled(style, sign),
        text::safe_text(&trace.status),
        trace.duration_ms.map(text::duration).unwrap_or_default(),
        text::safe_text(&trace.id),
        short_text(trace.workflow_name.as_deref().unwrap_or("-"), 40),
    )
}

async fn delete(ask: &Ask, args: &TracesDelete) -> anyhow::Result<()> {
    if !args.traces.is_empty() {
        ensure!(
            args.filter.is_empty()
                && args.rule.is_none()
                && args.before.is_none()
                && !args.all
                && !args.dry_run,
            "traces are named by their ids or by a filter, not by both"
        );
        for id in &args.traces {
            let answer = ask.client.delete(&["v1", "traces", id], &[]).await?;
            if let Some(deleted) = ask.tell::<Value>(answer).await? {
                let gone_by = deleted
                    .get("gone_by")
                    .and_then(Value::as_str)
                    .unwrap_or("soon");
                output::line(format!(
                    "deleted {} (gone from disk by {gone_by})",
                    text::safe_text(id)
                ))?;
            }
        }
        return Ok(());
    }
    let mut body = json!({"dry_run": true, "all": args.all});
    let filter = args.filter.with_rule(args.rule.as_deref());
    if !filter.is_empty() {
        body["filter"] = filter.json();
    }
    if let Some(before) = &args.before {
        body["before"] = json!(before);
    }
    if args.dry_run || !args.yes {
        let answer = ask
            .client
            .send_json(Method::POST, &["v1", "traces", "delete"], &body)
            .await?;
        if args.dry_run {
            if let Some(counted) = ask.tell::<Value>(answer).await? {
                output::line(format!(
                    "{} would be deleted",
                    text::traces(number(&counted)?)
                ))?;
            }
            return Ok(());
        }
        let counted: Value = ask.client.json(answer).await?;
        confirm(number(&counted)?)?;
    }
    body["dry_run"] = json!(false);
    let answer = ask
        .client
        .send_json(Method::POST, &["v1", "traces", "delete"], &body)
        .await?;
    if let Some(deleted) = ask.tell::<Value>(answer).await? {
        output::line(format!("deleted {}", text::traces(number(&deleted)?)))?;
    }
    Ok(())
}

fn number(answer: &Value) -> anyhow::Result<u64> {
    answer
        .get("traces")
        .and_then(Value::as_u64)
        .context("the server did not tell how many traces")
}

/// Asks the person at the terminal whether so many traces shall go.
fn confirm(traces: u64) -> anyhow::Result<()> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        bail!(
            "{} would be deleted: --yes deletes them",
            text::traces(traces)
        );
    }
    let mut err = anstream::stderr();
    write!(err, "delete {} for good? [y/N] ", text::traces(traces))?;
    err.flush()?;
    let mut answer = String::new();
    stdin.read_line(&mut answer)?;
    ensure!(
        matches!(answer.trim(), "y" | "Y" | "yes"),
        "nothing was deleted"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_merged_span_holds_moves_up() {
        let skeleton: Skeleton = serde_json::from_str(
            r#"{"names":["run","call","tool"],"kinds":["agent","generation"],"statuses":["success","error"],
            "parent":[-1,0,1],"name":[0,1,2],"kind":[0,1,1],"dur_us":[3000,null,1000],"status":[0,0,1],
            "tok_in":[null,5,null],"tok_out":[null,1,2],"flags":[0,4,8]}"#,
        )
        .unwrap();
        let rows = skeleton.rows().unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(
            (rows[1].parent, rows[1].name.as_str(), rows[1].tokens),
            (Some(0), "tool", Some(2))
        );
        assert!(rows[1].is_tripped);
        let short = Skeleton {
            flags: vec![],
            ..skeleton
        };
        assert!(short.rows().is_none());
    }
}
