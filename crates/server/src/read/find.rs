//! Which rows of a trace hold a text? Everything is searched as it was sent: names, errors, and each
//! message once, told at the first row that refers to it. Agents resend their history, so telling
//! every row would point at all of them.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use model::{Message, MessageHash, TraceId};
use query::Needle;
use serde::Serialize;
use store::{Ledger, Snapshot, SpanRow};
use utoipa::ToSchema;

use crate::error::{ApiError, ErrorBody};
use crate::objects::{Detail, Messages};

use super::loaded::Loaded;
use super::params::Params;
use super::snapshots::OneTrace;

/// The most rows of an answer.
const ROWS_MAX: usize = 1_000;

/// Rows that hold a text.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SpanHits {
    /// `list`.
    object: &'static str,
    /// The revision that the rows are of.
    rev: i64,
    data: Vec<SpanHit>,
    /// The first span of the list.
    first_id: Option<String>,
    /// The last span of the list.
    last_id: Option<String>,
    /// Whether more than 1000 rows hold it.
    has_more: bool,
}

/// A row that holds a text.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct SpanHit {
    /// The row of the skeleton.
    row: usize,
    span_id: String,
    /// `name`, `error`, `message` or `data`.
    place: &'static str,
    /// The text with a little of what is around it.
    snippet: String,
}

/// Searches a trace.
#[utoipa::path(
    get,
    path = "/v1/traces/{id}/search",
    tag = "read",
    params(
        ("id" = String, Path, description = "The trace"),
        ("q" = String, Query, description = "The text; case does not matter"),
    ),
    responses(
        (status = 200, body = SpanHits),
        (status = 404, body = ErrorBody, description = "There is no such trace"),
    )
)]
pub(super) async fn search_trace(
    trace: OneTrace,
    mut params: Params,
) -> Result<Json<SpanHits>, ApiError> {
    let text = params
        .take("q")?
        .ok_or_else(|| ApiError::invalid("q", "it is missing"))?;
    params.finish()?;
    let needle =
        Needle::new(&text).ok_or_else(|| ApiError::invalid("q", "it has no text to look for"))?;
    let read = move |snapshot: &Snapshot, ledger: &Arc<Ledger>, id: &TraceId| {
        let loaded = Loaded::read(snapshot, ledger, id, Some(Detail::Full))?;
        Ok(loaded.map(|loaded| {
            let mut data = hits(&needle, &loaded.rows, &loaded.messages);
            let has_more = data.len() > ROWS_MAX;
            data.truncate(ROWS_MAX);
            let id = |hit: Option<&SpanHit>| hit.map(|hit| hit.span_id.clone());
            SpanHits {
                object: "list",
                first_id: id(data.first()),
                last_id: id(data.last()),
                rev: loaded.entry.row.seq,
                data,
                has_more,
            }
        }))
    };
    trace.read(read).await.map(Json)
}

/// Returns the rows that hold the text, one more at most than an answer has.
fn hits(needle: &Needle, rows: &[SpanRow], messages: &Messages) -> Vec<SpanHit> {
    let found = |message: &Message| needle.snippet_of_json(message.text());
    let mut in_messages: HashMap<MessageHash, String> = messages
        .iter()
        .filter_map(|(hash, message)| Some((*hash, found(message)?)))
        .collect();
    let hits = rows.iter().enumerate().filter_map(|(row, of)| {
        let span = &*of.span;
        let refs = span
            .payload
            .input_refs
            .iter()
            .chain(&span.payload.output_refs);
        // Every message of the row is told by it, whatever else is found.
        let messages: Vec<String> = refs.filter_map(|hash| in_messages.remove(hash)).collect();
        let name = || needle.snippet(&span.name);
        let error = || {
            let error = span.error.as_ref()?;
            let reason = || needle.snippet_of_json(error.data.as_ref()?.as_str());
            needle.snippet(&error.message).or_else(reason)
        };
        let texts = [
            &span.payload.data,
            &span.payload.attributes,
            &span.payload.extra,
        ];
        let data = || {
            texts
                .into_iter()
                .flatten()
                .find_map(|text| needle.snippet_of_json(text.as_str()))
        };
        let (place, snippet) = (messages.into_iter().next().map(|s| ("message", s)))
            .or_else(|| name().map(|s| ("name", s)))
            .or_else(|| error().map(|s| ("error", s)))
            .or_else(|| data().map(|s| ("data", s)))?;
        Some(SpanHit {
            row,
            span_id: span.span_id.to_string(),
            place,
            snippet,
        })
    });
    hits.take(ROWS_MAX + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::samples;

    fn check(text: &str, want: &[(&str, &str)]) {
        let sample = &samples::capture("openai-agents/tools_ok_and_error.full.json")[0];
        let hits = hits(&Needle::new(text).unwrap(), &sample.rows, &sample.messages);
        let name = |hit: &SpanHit| sample.rows[hit.row].span.name.clone();
        let got: Vec<_> = hits.iter().map(|hit| (hit.place, name(hit))).collect();
        let got: Vec<_> = got
            .iter()
            .map(|(place, name)| (*place, name.as_str()))
            .collect();
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn a_message_is_found_once_and_a_name_wherever_it_stands() {
        check("where is ORDER a-1001", &[("message", "gpt-4.1-mini")]);
        check("no such words", &[]);
        let sample = &samples::capture("openai-agents/tools_ok_and_error.full.json")[0];
        let hits = hits(
            &Needle::new("get_weather").unwrap(),
            &sample.rows,
            &sample.messages,
        );
        assert!(hits.iter().any(|hit| hit.place == "name"), "{hits:?}");
    }
}
