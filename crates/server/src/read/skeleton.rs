//! The shape of a trace for drawing: columns of numbers, no ids, no texts but a table of names.
//!
//! A hundred thousand spans fit into half a megabyte of gzip and are written by hand into one buffer.
//! A row's number is its place in start order. A row that comes late may shift later ones, so a page
//! that follows a running trace asks for ids and puts in place what `since` tells: every row that
//! changed, and all below it, since their parent and agent may have changed with it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::response::Response;
use model::{SpanStatus, SpanType, Time, TraceId, TraceRow};
use store::{Ledger, Snapshot};

use crate::error::{ApiError, ErrorBody};
use crate::objects::moved_micros;

use super::loaded::Loaded;
use super::params::Params;
use super::pieces::respond;
use super::snapshots::OneTrace;

/// What a skeleton is made of.
const COLUMNS: &[&str] = &[
    "project_id",
    "trace_id",
    "span_id",
    "parent_id",
    "type",
    "name",
    "agent",
    "started_at",
    "ended_at",
    "status",
    "input_tokens",
    "output_tokens",
    "cost_nano_usd",
    "cost_assumed",
    "ttft_ms",
    "triggered",
    "noise",
    "derived",
    "merged_into",
    "trace_started_at",
    "seq",
];

/// Bits of `flags`.
const NOISE: u8 = 1;
const DERIVED: u8 = 2;
const MERGED: u8 = 4;
const TRIPPED: u8 = 8;
const COST_ASSUMED: u8 = 16;

/// What is asked of a skeleton.
#[derive(Debug, Default)]
struct Asked {
    /// Whose row is wanted.
    span: Option<String>,
    /// The revision that the caller has.
    since: Option<i64>,
    with_ids: bool,
}

/// Returns the shape of a trace in columns.
#[utoipa::path(
    get,
    path = "/v1/traces/{id}/skeleton",
    tag = "read",
    params(
        ("id" = String, Path, description = "The trace"),
        ("span" = Option<String>, Query, description = "A span whose row is told as `row`"),
        ("since" = Option<i64>, Query, description = "The `rev` that the caller has: only rows that changed since are told, their numbers in `rows[]` and their ids in `ids[]`"),
        ("include" = Option<String>, Query, description = "ids: also `ids[]`"),
    ),
    responses(
        (status = 200, description = "`{object, trace_id, rev, row_count, started_at, open, names[], kinds[], statuses[], parent[], name[], kind[], agent[], start_us[], dur_us[], ttft_us[], status[], tok_in[], tok_out[], cost_nano[], flags[]}`: `name`, `kind`, `status` and `agent` are places in `names`, `kinds`, `statuses` and `names`; `parent` is a row; -1 is none; unknown numbers are null; times are microseconds after `started_at`; flags: 1 noise, 2 derived, 4 merged, 8 guardrail tripped, 16 cost assumed"),
        (status = 404, body = ErrorBody, description = "There is no such trace or span"),
    )
)]
pub(super) async fn skeleton(trace: OneTrace, mut params: Params) -> Result<Response, ApiError> {
    let since = params.take("since")?;
    let asked = Asked {
        span: params.take("span")?,
        since: since.map(|text| revision(&text)).transpose()?,
        with_ids: params.take_include(&["ids"])?.ids,
    };
    params.finish()?;
    let no_span = asked
        .span
        .as_deref()
        .map(|span| ApiError::not_found("span", span));
    let read = move |snapshot: &Snapshot, ledger: &Arc<Ledger>, id: &TraceId| {
        let loaded = Loaded::read_columns(snapshot, ledger, id, COLUMNS)?;
        Ok(loaded.map(|loaded| Shape::of(&loaded).json(&loaded.entry.row, &asked)))
    };
    match (trace.read(read).await?, no_span) {
        (Some(json), _) => respond("application/json", std::iter::once(Ok(json))).await,
        (None, Some(no_span)) => Err(no_span),
        (None, None) => Err(ApiError::internal(
            "a skeleton without a span wanted has no row to miss",
        )),
    }
}

fn revision(text: &str) -> Result<i64, ApiError> {
    text.parse()
        .map_err(|_| ApiError::invalid("since", format!("{text:?} is not a `rev` of a skeleton")))
}

/// The rows of a trace and how they hang together.
struct Shape<'a> {
    loaded: &'a Loaded,
    horizon: Time,
    origin: Option<Time>,
}

impl<'a> Shape<'a> {
    fn of(loaded: &'a Loaded) -> Self {
        let starts = loaded.rows.iter().filter_map(|row| row.span.started_at);
        Self {
            origin: starts.min(),
            horizon: loaded.horizon(),
            loaded,
        }
    }

    fn place_of(&self, id: &str) -> Option<usize> {
        let mut rows = self.loaded.rows.iter();
        rows.position(|row| row.span.span_id.as_str() == id)
    }

    /// Returns the skeleton; `None` if the span that is asked for is not there.
    fn json(&self, trace: &TraceRow, asked: &Asked) -> Option<Vec<u8>> {
        let row = match &asked.span {
            Some(id) => Some(self.place_of(id)?),
            None => None,
        };
        let told = match asked.since {
            Some(since) => self.changed_since(since),
            None => (0..self.loaded.rows.len()).collect(),
        };
        let mut out = Columns {
            out: Vec::with_capacity(1024 + told.len() * 64),
            told: &told,
        };
        out.raw("{\"object\":\"trace.skeleton\",\"trace_id\":");
        out.value(&trace.item.trace_id);
        out.raw(&format!(
            ",\"rev\":{},\"row_count\":{},\"started_at\":",
            trace.seq,
            self.loaded.rows.len()
        ));
        out.value(&self.origin);
        if let Some(row) = row {
            out.raw(&format!(",\"row\":{row}"));
        }
        if asked.since.is_some() {
            out.numbers("rows", |at| Some(at as i64));
        }
        if asked.with_ids || asked.since.is_some() {
            out.values(
                "ids",
                told.iter().map(|at| &self.loaded.rows[*at].span.span_id),
            );
        }
        self.columns(&mut out);
        out.raw("}");
        Some(out.out)
    }

    fn columns(&self, out: &mut Columns<'_>) {
        let mut names = Names::default();
        // Each span is looked at once: they lie all over memory, and there are many columns.
        let cells: Vec<Cells> = out
            .told
            .iter()
            .map(|at| self.cells(*at, &mut names))
            .collect();
        out.values("names", names.list.iter());
        out.values("kinds", SpanType::ALL.iter());
        out.values("statuses", SpanStatus::ALL.iter());
        let mut column = |name, value: fn(&Cells) -> Option<i64>| {
            out.list(name, cells.iter().map(value));
        };
        column("parent", |row| Some(row.parent));
        column("name", |row| Some(row.name));
        column("kind", |row| Some(row.kind));
        column("agent", |row| Some(row.agent));
        column("start_us", |row| row.start);
        column("dur_us", |row| row.duration);
        column("ttft_us", |row| row.ttft);
        column("status", |row| Some(row.status));
        column("tok_in", |row| row.tokens_in);
        column("tok_out", |row| row.tokens_out);
        column("cost_nano", |row| row.cost);
        column("flags", |row| Some(row.flags));
    }

    fn cells(&self, at: usize, names: &mut Names<'a>) -> Cells {
        let span = &*self.loaded.rows[at].span;
        let origin = self.origin.unwrap_or_default().as_micros();
        let agent = self.loaded.agents[at].as_deref();
        Cells {
            parent: self.loaded.parents[at].map_or(-1, i64::from),
            name: names.place(&span.name),
            kind: span.span_type as i64,
            agent: agent.map_or(-1, |agent| names.place(agent)),
            start: span.started_at.map(|start| start.as_micros() - origin),
            duration: moved_micros(span, self.horizon),
            ttft: span.ttft_ms.map(|ms| (ms * 1e3).round() as i64),
            status: span.status as i64,
            tokens_in: span.usage.input_tokens,
            tokens_out: span.usage.output_tokens,
            cost: span.cost.map(|cost| cost.0),
            flags: flags(span),
        }
    }

    /// Returns the rows that changed after a revision, and all rows below them, in order.
    fn changed_since(&self, since: i64) -> Vec<usize> {
        let Loaded {
            rows,
            depths,
            parents,
            ..
        } = self.loaded;
        let mut changed: Vec<bool> = rows.iter().map(|row| row.seq > since).collect();
        if changed.contains(&true) {
            let mut by_depth: Vec<usize> = (0..rows.len()).collect();
            by_depth.sort_by_key(|at| depths[*at]);
            for at in by_depth {
                changed[at] |= parents[at].is_some_and(|parent| changed[parent as usize]);
            }
        }
        (0..rows.len()).filter(|at| changed[*at]).collect()
    }
}

/// What one row has in each column.
struct Cells {
    parent: i64,
    name: i64,
    kind: i64,
    agent: i64,
    start: Option<i64>,
    duration: Option<i64>,
    ttft: Option<i64>,
    status: i64,
    tokens_in: Option<i64>,
    tokens_out: Option<i64>,
    cost: Option<i64>,
    flags: i64,
}

fn flags(span: &model::Span) -> i64 {
    let flags = [
        (span.noise, NOISE),
        (span.derived, DERIVED),
        (span.merged_into.is_some(), MERGED),
        (span.triggered == Some(true), TRIPPED),
        (span.cost_assumed, COST_ASSUMED),
    ];
    flags
        .into_iter()
        .filter(|(is_set, _)| *is_set)
        .map(|(_, bit)| i64::from(bit))
        .sum()
}

/// Every name once.
#[derive(Default)]
struct Names<'a> {
    places: HashMap<&'a str, i64>,
    list: Vec<&'a str>,
}

impl<'a> Names<'a> {
    fn place(&mut self, name: &'a str) -> i64 {
        *self.places.entry(name).or_insert_with(|| {
            self.list.push(name);
            self.list.len() as i64 - 1
        })
    }
}

/// JSON that is written column by column.
struct Columns<'a> {
    out: Vec<u8>,
    told: &'a [usize],
}

impl Columns<'_> {
    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn value(&mut self, value: &impl serde::Serialize) {
        serde_json::to_writer(&mut self.out, value)
            .expect("texts and times can be written to memory");
    }

    fn values<T: serde::Serialize>(&mut self, name: &str, values: impl Iterator<Item = T>) {
        self.open(name);
        for (n, value) in values.enumerate() {
            if n > 0 {
                self.out.push(b',');
            }
            self.value(&value);
        }
        self.out.push(b']');
    }

    fn numbers(&mut self, name: &str, number: impl Fn(usize) -> Option<i64>) {
        let told = self.told;
        self.list(name, told.iter().map(|at| number(*at)));
    }

    fn list(&mut self, name: &str, numbers: impl Iterator<Item = Option<i64>>) {
        self.open(name);
        for (n, number) in numbers.enumerate() {
            if n > 0 {
                self.out.push(b',');
            }
            match number {
                Some(number) => push_number(&mut self.out, number),
                None => self.out.extend_from_slice(b"null"),
            }
        }
        self.out.push(b']');
    }

    fn open(&mut self, name: &str) {
        self.raw(",\"");
        self.raw(name);
        self.raw("\":[");
    }
}

/// Writes a number in decimal; `write!` takes several times as long, and there are a million.
fn push_number(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    let mut rest = number.unsigned_abs();
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
#[path = "skeleton_tests.rs"]
mod tests;
