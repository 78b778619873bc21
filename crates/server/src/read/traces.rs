//! Lists of traces, and one trace whole.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use insight::rule::Rule;
use model::{Time, TraceFilter, TraceId};
use query::{Cursor, HitPlace, Order, Page, Search, SearchCursor, TraceList};
use store::{Columns, Ledger, ReadError, Snapshot, Table, TraceEntry};

use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::grading::{Said, grades_of};
use crate::objects::{Detail, TraceMatch, TraceObject};
use crate::state::AppState;

use super::cursors;
use super::loaded::{Loaded, json};
use super::params::{Direction, Include, Params};
use super::pieces::{Piece, blocking, respond};
use super::rules::{Narrowing, scan};
use super::snapshots::{OneTrace, of_project};

/// So long a search looks before it says what it found so far.
const SEARCH_TIME: Duration = Duration::from_secs(2);

/// What is asked of a list of traces.
#[derive(Debug)]
struct Asked {
    filter: TraceFilter,
    /// The rule, where each trace has to be read for it.
    rule: Option<Arc<Rule>>,
    text: Option<String>,
    direction: Direction,
    limit: usize,
    after: Option<String>,
    include: Include,
    payload: Option<Detail>,
}

impl Asked {
    fn read(mut params: Params, now: Time) -> Result<Self, ApiError> {
        let rule = params.take("rule")?;
        let mut filter = params.take_fields(now)?;
        let rule = match rule.as_deref().map(Narrowing::read).transpose()? {
            None => None,
            Some(Narrowing::Stored(stored)) => {
                filter.rule = Some(stored);
                None
            }
            Some(Narrowing::Spans(stored, rule)) => {
                filter.rule = stored;
                Some(rule)
            }
        };
        let asked = Self {
            filter,
            rule,
            text: params.take("q")?,
            direction: params.take_order(Direction::Descending)?,
            limit: params.take_limit()?,
            after: params.take("after")?,
            include: params.take_include(&["spans", "merged"])?,
            payload: params.take_payload()?,
        };
        params.finish()?;
        if asked.text.is_some() && asked.direction == Direction::Ascending {
            return Err(ApiError::invalid(
                "order",
                "a search tells the newest first",
            ));
        }
        if asked.text.is_some() && asked.rule.is_some() {
            return Err(ApiError::invalid(
                "rule",
                "beside q, a rule asks about a trace's own fields, such as duration_ms or status, not about its spans",
            ));
        }
        if asked
            .text
            .as_ref()
            .is_some_and(|text| text.trim().is_empty())
        {
            return Err(ApiError::invalid("q", "it has no text to look for"));
        }
        Ok(asked)
    }
}

/// A page of a list of traces.
#[derive(Debug)]
struct Listed {
    entries: Vec<(TraceEntry, Option<TraceMatch>)>,
    next: Option<String>,
    /// Whether a search stopped because of its bounds.
    partial: bool,
}

/// Lists traces, newest first, or searches them with `q`.
#[utoipa::path(
    get,
    path = "/v1/traces",
    tag = "read",
    params(
        ("q" = Option<String>, Query, description = "A text to search messages, names, errors and data for"),
        ("rule" = Option<String>, Query, description = "A rule that holds for the trace, such as `tool_errors > 0 && duration_ms > 5000`; one that asks about spans reads trace after trace, at most 1000 of them and 2 s"),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 20 without it"),
        ("after" = Option<String>, Query, description = "The id of the last trace of the page before, or its next_cursor"),
        ("order" = Option<String>, Query, description = "desc (by start, newest first) or asc"),
        ("include" = Option<String>, Query, description = "spans, merged"),
        ("payload" = Option<String>, Query, description = "none, preview or full: how much of the payload of included spans"),
        ("workflow_name" = Option<String>, Query, description = "This and every other field of a filter: group_id, user_id, agent_id, agent, version, environment, tag, model, tool, status, error_type, has_errors, min_duration_ms, max_duration_ms, min_cost_usd, max_cost_usd, min_tokens, max_tokens, metadata.KEY, start_date, end_date, tz, id, ids; repeated for any of several values"),
    ),
    responses(
        (status = 200, description = "`{\"object\":\"list\",\"data\":[Trace…],\"first_id\",\"last_id\",\"has_more\",\"next_cursor\"}`; a search, and a rule about spans, adds `partial`: whether it stopped because of its bounds before the page was full", body = crate::objects::TraceObject),
        (status = 400, body = ErrorBody, description = "A parameter is unknown or cannot be used"),
    )
)]
pub(super) async fn list_traces(
    State(state): State<AppState>,
    principal: Principal,
    params: Params,
) -> Result<Response, ApiError> {
    let asked = Asked::read(params, state.clock.now())?;
    let (snapshot, listed) = of_project(&state, &principal.project, async |snapshot| {
        let listed = page(&state, &snapshot, &asked).await?;
        Ok::<_, ApiError>((snapshot, listed))
    })
    .await?;
    respond("application/json", list_pieces(snapshot, listed, &asked)).await
}

async fn page(
    state: &AppState,
    snapshot: &Arc<Snapshot>,
    asked: &Asked,
) -> Result<Listed, ApiError> {
    match &asked.text {
        Some(text) => search(state, snapshot, asked, text.clone()).await,
        None => list(state, snapshot, asked).await,
    }
}

async fn list(
    state: &AppState,
    snapshot: &Arc<Snapshot>,
    asked: &Asked,
) -> Result<Listed, ApiError> {
    let after = match &asked.after {
        None => None,
        Some(text) => Some(cursor(state, snapshot, text).await?),
    };
    let list = TraceList {
        filter: asked.filter.clone(),
        order: match asked.direction {
            Direction::Ascending => Order::Ascending,
            Direction::Descending => Order::Descending,
        },
        limit: asked.limit,
        after,
        columns: Columns::all(Table::Traces),
    };
    if let Some(rule) = &asked.rule {
        let scanned = scan(state, snapshot, list, rule).await?;
        return Ok(Listed {
            entries: scanned.entries.into_iter().map(|e| (e, None)).collect(),
            next: scanned.next.map(|next| next.to_string()),
            partial: scanned.partial,
        });
    }
    let Page { items, next } = state
        .engine
        .list_traces(Arc::clone(snapshot) as _, list)
        .await?;
    Ok(Listed {
        entries: items.into_iter().map(|entry| (entry, None)).collect(),
        next: next.map(|next| next.to_string()),
        partial: false,
    })
}

/// Returns the place that `after` names: our own cursor, or the id of a trace.
async fn cursor(
    state: &AppState,
    snapshot: &Arc<Snapshot>,
    text: &str,
) -> Result<Cursor, ApiError> {
    if let Ok(cursor) = text.parse() {
        return Ok(cursor);
    }
    let found = match TraceId::new(text) {
        Ok(id) => {
            state
                .engine
                .cursor_after(Arc::clone(snapshot) as _, id)
                .await?
        }
        Err(_) => None,
    };
    found.ok_or_else(unknown_cursor)
}

/// Returns the error of an `after` that names no place.
pub(super) fn unknown_cursor() -> ApiError {
    ApiError::invalid(
        "after",
        "it is neither the id of something in this list nor a next_cursor; the id of a trace that was \
         deleted meanwhile names no place any more, a next_cursor always does",
    )
}

async fn search(
    state: &AppState,
    snapshot: &Arc<Snapshot>,
    asked: &Asked,
    text: String,
) -> Result<Listed, ApiError> {
    let after = match &asked.after {
        None => None,
        Some(after) => Some(search_cursor(snapshot, after).await?),
    };
    let filter = asked.filter.clone();
    let search = Search {
        text,
        filter,
        limit: asked.limit,
        after,
        time: SEARCH_TIME,
    };
    let found = state
        .engine
        .search(Arc::clone(snapshot) as _, search)
        .await?;
    let of = Arc::clone(snapshot);
    let entries = blocking(move || -> Result<Vec<_>, ReadError> {
        let rows = found.hits.into_iter().map(|hit| {
            let found = TraceMatch {
                place: place_word(hit.place),
                snippet: hit.snippet,
            };
            Ok(of.trace(&hit.trace_id)?.map(|entry| (entry, Some(found))))
        });
        rows.filter_map(Result::transpose).collect()
    });
    Ok(Listed {
        entries: entries.await??,
        next: found.next.as_ref().map(cursors::of_search),
        partial: found.partial,
    })
}

fn place_word(place: HitPlace) -> &'static str {
    match place {
        HitPlace::Message => "message",
        HitPlace::Name => "name",
        HitPlace::Error => "error",
        HitPlace::Data => "data",
    }
}

async fn search_cursor(snapshot: &Arc<Snapshot>, text: &str) -> Result<SearchCursor, ApiError> {
    if let Some(cursor) = cursors::search(text) {
        return Ok(cursor);
    }
    let id = TraceId::new(text).map_err(|_| unknown_cursor())?;
    let of = Arc::clone(snapshot);
    let entry = blocking(move || of.trace(&id))
        .await??
        .ok_or_else(unknown_cursor)?;
    let trace_id = Some(entry.row.item.trace_id.clone());
    Ok(SearchCursor {
        started_at: entry.home_started_at,
        trace_id,
    })
}

fn list_pieces(
    snapshot: Arc<Snapshot>,
    listed: Listed,
    asked: &Asked,
) -> impl Iterator<Item = Piece> + Send + 'static {
    let is_search = asked.text.is_some() || asked.rule.is_some();
    let tail = list_tail(&listed, is_search);
    let (include, payload) = (asked.include, asked.payload);
    let head = std::iter::once(Ok(br#"{"object":"list","data":["#.to_vec()));
    let data = listed
        .entries
        .into_iter()
        .enumerate()
        .map(move |(n, (entry, found))| {
            let mut piece = if n > 0 { b",".to_vec() } else { Vec::new() };
            match include.spans {
                true => piece.append(&mut with_spans(&snapshot, entry, payload, include.merged)?),
                false => {
                    let (now, idle) = (snapshot.now(), snapshot.idle_micros());
                    let object = TraceObject::new(snapshot.project(), &entry.row, now, idle);
                    piece.append(&mut match found {
                        Some(found) => json(&object.found_at(found)),
                        None => json(&object),
                    });
                }
            }
            Ok(piece)
        });
    head.chain(data).chain(std::iter::once(Ok(tail)))
}

/// Returns the end of a list: where it begins and ends, and how to go on.
fn list_tail(listed: &Listed, is_search: bool) -> Vec<u8> {
    #[derive(serde::Serialize)]
    struct Tail<'a> {
        first_id: Option<&'a str>,
        last_id: Option<&'a str>,
        has_more: bool,
        next_cursor: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        partial: Option<bool>,
    }
    let id = |entry: Option<&'_ (TraceEntry, Option<TraceMatch>)>| {
        entry.map(|(entry, _)| entry.row.item.trace_id.as_str().to_owned())
    };
    let (first, last) = (id(listed.entries.first()), id(listed.entries.last()));
    let mut tail = json(&Tail {
        first_id: first.as_deref(),
        last_id: last.as_deref(),
        has_more: listed.next.is_some(),
        next_cursor: listed.next.as_deref(),
        partial: is_search.then_some(listed.partial),
    });
    tail[0] = b',';
    tail.insert(0, b']');
    tail
}

fn with_spans(
    snapshot: &Snapshot,
    entry: TraceEntry,
    payload: Option<Detail>,
    with_merged: bool,
) -> Result<Vec<u8>, ReadError> {
    let loaded = Loaded::of_entry(snapshot, entry, payload)?;
    let mut piece = loaded.head(snapshot.project());
    for (n, at) in loaded.told(with_merged).into_iter().enumerate() {
        if n > 0 {
            piece.push(b',');
        }
        piece.append(&mut loaded.span_json(at));
    }
    piece.extend_from_slice(b"]}");
    Ok(piece)
}

/// Returns a trace with its spans in start order.
#[utoipa::path(
    get,
    path = "/v1/traces/{id}",
    tag = "read",
    params(
        ("id" = String, Path, description = "The trace"),
        ("payload" = Option<String>, Query, description = "none, preview or full; without it full, but preview where the payload has more than 5 MB. `payload` in the answer says which"),
        ("include" = Option<String>, Query, description = "merged: also spans that tell of a model call which another span tells of better; grades: also `grades`, the latest of each grader, and `annotations`, of the trace with all its spans, and on each span those of that span"),
    ),
    responses(
        (status = 200, description = "The trace, with `payload` and `spans: [Span…]`, and what was included", body = crate::objects::TraceObject),
        (status = 404, body = ErrorBody, description = "There is no such trace"),
    )
)]
pub(super) async fn retrieve_trace(
    trace: OneTrace,
    mut params: Params,
) -> Result<Response, ApiError> {
    let payload = params.take_payload()?;
    let include = params.take_include(&["spans", "merged", "grades"])?;
    params.finish()?;
    let load = move |snapshot: &Snapshot, ledger: &Arc<Ledger>, id: &TraceId| {
        let Some(loaded) = Loaded::read(snapshot, ledger, id, payload)? else {
            return Ok(None);
        };
        let grades = match include.grades {
            true => Some(grades_of(snapshot, id)?),
            false => None,
        };
        Ok(Some((loaded, grades)))
    };
    let (mut loaded, grades) = trace.read(load).await?;
    let mut tail = b"]}".to_vec();
    if let Some(grades) = grades {
        let said = Said::of(grades, trace.annotations().await?);
        said.put_into(&mut tail);
        loaded.said = Some(said);
    }
    let head = loaded.head(&trace.principal.project);
    let rows = loaded.told(include.merged);
    let spans = loaded.into_pieces(rows);
    respond(
        "application/json",
        std::iter::once(Ok(head))
            .chain(spans)
            .chain(std::iter::once(Ok(tail))),
    )
    .await
}
