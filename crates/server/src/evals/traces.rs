//! Rows made of traces: sources of the type `traces`, our own.
//!
//! OpenAI's clients send what they do not know as it is, so an eval over traces is an eval like any other:
//! `{{item.tools[0].name}}` and `{{sample.output_text}}` stand for what the trace says there. A row is a copy,
//! which goes when its trace is deleted.

use std::collections::HashSet;
use std::sync::Arc;

use insight::template;
use model::{ProjectId, TraceFilter, TraceId, TraceStatus};
use query::{Order, TraceList};
use serde::Deserialize;
use serde_json::Value;
use store::meta::NewItem;
use store::{Columns, Table};

use super::source::RowRules;
use crate::body::Hold;
use crate::error::{ApiError, ErrorCode};
use crate::grading::{ReferenceSent, References, Tally};
use crate::read::{blocking, filter_of, of_project, view_of};
use crate::state::AppState;

/// Traces of a run if nobody says how many.
const TRACES_DEFAULT: usize = 100;

/// The most traces of a run.
const TRACES_MAX: usize = 10_000;

/// Which traces a run grades.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TracesQuery {
    /// `traces`.
    #[serde(rename = "type")]
    _kind: String,
    /// These.
    trace_ids: Option<Vec<String>>,
    /// Or those that a list with these fields shows.
    filter: Option<Value>,
    /// So many of them, the newest.
    limit: Option<usize>,
    /// What should have been done: it is `item.reference` of its row. Those for no row are passed over.
    references: Option<Vec<ReferenceSent>>,
    /// Where they name keys, by which key of the metadata they are found: `metadata.KEY`.
    references_by: Option<String>,
    /// Whether those too that still run, as they are.
    include_running: Option<bool>,
}

/// Returns the traces that are meant as rows, with the memory that they hold. All of it together may weigh
/// as much as a body.
pub(super) async fn rows(
    state: &AppState,
    project: &ProjectId,
    mut query: TracesQuery,
    rules: RowRules,
) -> Result<(Vec<NewItem>, Hold), ApiError> {
    let is_named = query.trace_ids.is_some();
    let (sent, by) = (query.references.take(), query.references_by.take());
    let references = References::read(sent, by.as_deref(), false)
        .map_err(|error| error.within("data_source.source"))?;
    let ids = meant(state, project, query).await?;
    let reading = Reading {
        state: Arc::clone(state),
        project: project.clone(),
        rules,
        is_named,
        references,
    };
    blocking(move || reading.rows(ids)).await?
}

async fn meant(
    state: &AppState,
    project: &ProjectId,
    query: TracesQuery,
) -> Result<Vec<TraceId>, ApiError> {
    let at = |field: &str| format!("data_source.source.{field}");
    let limit = query.limit.unwrap_or(TRACES_DEFAULT);
    if !(1..=TRACES_MAX).contains(&limit) {
        let message = format!("{limit} is not a number from 1 to {TRACES_MAX}");
        return Err(ApiError::invalid(at("limit"), message));
    }
    if let Some(ids) = query.trace_ids {
        let chooses = query.filter.is_some() || query.limit.is_some();
        if chooses || ids.is_empty() || ids.len() > TRACES_MAX {
            let message =
                format!("1 to {TRACES_MAX} traces are named, or chosen by a filter and a limit");
            return Err(ApiError::invalid(at("trace_ids"), message));
        }
        let mut named = HashSet::new();
        if let Some(twice) = ids.iter().find(|id| !named.insert(*id)) {
            let message = format!("{twice:?} is named twice, and a trace is graded once");
            return Err(ApiError::invalid(at("trace_ids"), message));
        }
        let id = |text: &String| TraceId::new(text).map_err(|_| ApiError::not_found("trace", text));
        return ids.iter().map(id).collect();
    }
    let filter = filter_of(query.filter.as_ref(), state.clock.now())?;
    let filter = match query.include_running {
        Some(true) => filter,
        _ => settled(filter),
    };
    of_project(state, project, async |snapshot| {
        let list = TraceList {
            filter: filter.clone(),
            order: Order::Descending,
            limit,
            after: None,
            columns: Columns::narrow(Table::Traces),
        };
        let page = state.engine.list_traces(snapshot as _, list).await?;
        let ids = page.items.into_iter();
        Ok(ids.map(|entry| entry.row.item.trace_id.clone()).collect())
    })
    .await
}

/// Leaves out traces that still run, unless they are asked for by their status: what is graded of them says
/// nothing of how they end.
fn settled(filter: TraceFilter) -> TraceFilter {
    if !filter.status.is_empty() {
        return filter;
    }
    let is_settled = |status: &TraceStatus| *status != TraceStatus::Running;
    TraceFilter {
        status: TraceStatus::ALL
            .iter()
            .copied()
            .filter(is_settled)
            .collect(),
        ..filter
    }
}

/// Everything that reading traces takes to a blocking thread.
struct Reading {
    state: AppState,
    project: ProjectId,
    rules: RowRules,
    is_named: bool,
    references: Option<References>,
}

impl Reading {
    fn rows(&self, ids: Vec<TraceId>) -> Result<(Vec<NewItem>, Hold), ApiError> {
        let bytes_max = self.state.config.inflated_bytes_max;
        let mut hold = Hold::new(self.state.store.ledger());
        let (mut rows, mut bytes) = (Vec::with_capacity(ids.len()), 0);
        let mut tally = Tally::of(self.references.as_ref());
        for id in ids {
            let Some(mut viewed) = view_of(&self.state, &self.project, &id)? else {
                match self.is_named {
                    true => return Err(ApiError::not_found("trace", id.as_str())),
                    // It was deleted meanwhile.
                    false => continue,
                }
            };
            if let Some(references) = &self.references {
                references.lay_beside(&mut viewed.view, &mut tally);
            }
            let (item, given) = (template::item(&viewed.view), template::sample(&viewed.view));
            let fits = self.rules.fit(&item);
            fits.map_err(|fault| {
                let message = format!("trace {id}: {fault}");
                ApiError::invalid("data_source.source", message)
            })?;
            let row = NewItem {
                trace_id: Some(id),
                item: item.to_string(),
                given: (!given.is_null()).then(|| given.to_string()),
            };
            bytes += row.item.len() + row.given.as_ref().map_or(0, String::len);
            if bytes > bytes_max {
                let message = format!("the traces have more than {bytes_max} bytes: ask for fewer");
                return Err(ApiError::new(ErrorCode::BodyTooLarge, message));
            }
            hold.grow_to(bytes)?;
            rows.push(row);
        }
        match rows.is_empty() {
            true => Err(ApiError::invalid(
                "data_source.source",
                "there are no such traces that have ended; with include_running those count too that still run",
            )),
            false => Ok((rows, hold)),
        }
    }
}
