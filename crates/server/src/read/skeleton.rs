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
use store::{Ledger, Snapshot, SpanRow};

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
    "source_type",
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
    "received_at",
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
    rows: &'a [SpanRow],
    depths: &'a [u32],
    agents: Vec<Option<&'a str>>,
    /// The row of each span's parent, -1 for a root.
    parents: Vec<i64>,
    places: HashMap<&'a str, usize>,
    horizon: Time,
    origin: Option<Time>,
}

impl<'a> Shape<'a> {
    fn of(loaded: &'a Loaded) -> Self {
        let rows = loaded.rows.as_slice();
        let ids = rows.iter().enumerate();
        let places: HashMap<&str, usize> = ids
            .map(|(at, row)| (row.span.span_id.as_str(), at))
            .collect();
        // A span of depth 0 is a root even if it names a parent: that one is lost, or below it.
        let parent = |(row, depth): (&SpanRow, &u32)| {
            let id = row.span.parent_id.as_ref().filter(|_| *depth > 0);
            id.and_then(|id| places.get(id.as_str()))
                .map_or(-1, |at| *at as i64)
        };
        Self {
            parents: rows.iter().zip(&loaded.depths).map(parent).collect(),
            agents: loaded.agents.iter().map(Option::as_deref).collect(),
            origin: rows.iter().filter_map(|row| row.span.started_at).min(),
            depths: &loaded.depths,
            horizon: loaded.horizon(),
            rows,
            places,
        }
    }

    /// Returns the skeleton; `None` if the span that is asked for is not there.
    fn json(&self, trace: &TraceRow, asked: &Asked) -> Option<Vec<u8>> {
        let row = match &asked.span {
            Some(id) => Some(*self.places.get(id.as_str())?),
            None => None,
        };
        let told = match asked.since {
            Some(since) => self.changed_since(since),
            None => (0..self.rows.len()).collect(),
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
            self.rows.len()
        ));
        out.value(&self.origin);
        if let Some(row) = row {
            out.raw(&format!(",\"row\":{row}"));
        }
        if asked.since.is_some() {
            out.numbers("rows", |at| Some(at as i64));
        }
        if asked.with_ids || asked.since.is_some() {
            out.values("ids", told.iter().map(|at| &self.rows[*at].span.span_id));
        }
        self.columns(&mut out);
        out.raw("}");
        Some(out.out)
    }

    fn columns(&self, out: &mut Columns<'_>) {
        let span = |at: usize| &*self.rows[at].span;
        let mut names = Names::default();
        let name: Vec<usize> = out
            .told
            .iter()
            .map(|at| names.place(&span(*at).name))
            .collect();
        let agent: Vec<Option<usize>> = out
            .told
            .iter()
            .map(|at| self.agents[*at].map(|agent| names.place(agent)))
            .collect();
        out.values("names", names.list.iter());
        out.values("kinds", SpanType::ALL.iter());
        out.values("statuses", SpanStatus::ALL.iter());
        let origin = self.origin.unwrap_or_default().as_micros();
        out.numbers("parent", |at| Some(self.parents[at]));
        out.list("name", name.iter().map(|place| Some(*place as i64)));
        out.numbers("kind", |at| Some(span(at).span_type as i64));
        out.list(
            "agent",
            agent
                .iter()
                .map(|place| Some(place.map_or(-1, |place| place as i64))),
        );
        out.numbers("start_us", |at| {
            span(at).started_at.map(|start| start.as_micros() - origin)
        });
        out.numbers("dur_us", |at| moved_micros(span(at), self.horizon));
        out.numbers("ttft_us", |at| {
            span(at).ttft_ms.map(|ms| (ms * 1e3).round() as i64)
        });
        out.numbers("status", |at| Some(span(at).status as i64));
        out.numbers("tok_in", |at| span(at).usage.input_tokens);
        out.numbers("tok_out", |at| span(at).usage.output_tokens);
        out.numbers("cost_nano", |at| span(at).cost.map(|cost| cost.0));
        out.numbers("flags", |at| Some(flags(span(at))));
    }

    /// Returns the rows that changed after a revision, and all rows below them, in order.
    fn changed_since(&self, since: i64) -> Vec<usize> {
        let mut changed: Vec<bool> = self.rows.iter().map(|row| row.seq > since).collect();
        if changed.contains(&true) {
            let mut by_depth: Vec<usize> = (0..self.rows.len()).collect();
            by_depth.sort_by_key(|at| self.depths[*at]);
            for at in by_depth {
                let parent = usize::try_from(self.parents[at]).ok();
                changed[at] |= parent.is_some_and(|parent| changed[parent]);
            }
        }
        (0..self.rows.len()).filter(|at| changed[*at]).collect()
    }
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
    places: HashMap<&'a str, usize>,
    list: Vec<&'a str>,
}

impl<'a> Names<'a> {
    fn place(&mut self, name: &'a str) -> usize {
        *self.places.entry(name).or_insert_with(|| {
            self.list.push(name);
            self.list.len() - 1
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
