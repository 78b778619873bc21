//! What judges were asked, as traces of a project of their own.
//!
//! A judge is a program that calls models like any other: its calls can be looked at, searched and added up
//! like those that it judges. They go the way that everything goes that comes in, so that they are priced
//! and counted alike. What judges say of those traces in turn is not recorded: there would be no end.
//!
//! A question quotes the trace that it is about, and a copy that outlives the trace is not what anybody
//! means who deletes it. So what was said is left out unless the settings ask for it, and whoever deletes a
//! trace deletes what judges were asked about it. Where retention lets a trace go, what was asked about it
//! goes at the next sweep.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use grade::trace::Exchange;
use model::{JsonText, ProjectId, Source, Time, TraceFilter, TraceId, TraceItem};
use serde_json::{Value, json};
use store::meta::MetaError;
use store::{Columns, ReadError, Snapshot, Table, TraceBounds};
use tokio::task::spawn_blocking;

use super::item::Bench;
use super::plan::Plan;
use crate::config::RecordJudges;
use crate::error::ApiError;
use crate::intake::{IntakeError, Wire};
use crate::proxy::new_id;
use crate::read::{blocking, of_project};
use crate::state::AppState;

/// Where they are.
pub(super) const JUDGE_PROJECT: &str = "judge";

/// The metadata that says what was graded.
const GRADED_PROJECT: &str = "graded_project";
const GRADED_TRACE: &str = "graded_trace_id";

/// The trace that it was compared with.
const COMPARED_TRACE: &str = "compared_trace_id";

/// What the project is called when it is made.
const JUDGE_PROJECT_NAME: &str = "Judges";

/// Whose graders asked judges.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judged<'a> {
    pub(super) project: &'a ProjectId,
    /// The run, of traces or of an eval.
    pub(super) run_id: &'a str,
    pub(super) plan: &'a Plan,
}

/// Records what judges were asked about a trace of a grading run.
pub(super) async fn record(
    state: &AppState,
    bench: &Bench,
    traces: (&TraceId, Option<&TraceId>),
    exchanges: Vec<(usize, Exchange)>,
) {
    let judged = Judged {
        project: &bench.run.project,
        run_id: &bench.run.id,
        plan: &bench.plan,
    };
    record_of(state, judged, traces, exchanges).await;
}

/// Records what judges were asked about a trace, each with its grader's place in the plan. That it cannot
/// be recorded is logged and holds nothing up.
pub(super) async fn record_of(
    state: &AppState,
    judged: Judged<'_>,
    traces: (&TraceId, Option<&TraceId>),
    exchanges: Vec<(usize, Exchange)>,
) {
    let record = state.config.grading.record_judges;
    let is_own = judged.project.as_str() == JUDGE_PROJECT;
    let asked: Vec<(usize, Exchange)> = (exchanges.into_iter())
        .filter(|(_, exchange)| !exchange.is_cached)
        .collect();
    if record == RecordJudges::Off || is_own || asked.is_empty() {
        return;
    }
    if let Err(error) = keep(state, judged, traces, &asked, record).await {
        tracing::warn!(run = judged.run_id, error = %error, "failed to record what a judge was asked");
    }
}

/// Deletes what was recorded about traces that are being deleted.
pub(crate) async fn forget(
    state: &AppState,
    project: &ProjectId,
    traces: &[TraceId],
) -> Result<(), ApiError> {
    let judges = ProjectId::new(JUDGE_PROJECT).map_err(ApiError::internal)?;
    if traces.is_empty() || state.projects.settings(&judges).is_none() {
        return Ok(());
    }
    for key in [GRADED_TRACE, COMPARED_TRACE] {
        let ids = traces.iter().map(ToString::to_string).collect();
        let about = [(GRADED_PROJECT, vec![project.to_string()]), (key, ids)];
        let filter = TraceFilter {
            metadata: about.map(|(key, values)| (key.to_owned(), values)).into(),
            ..TraceFilter::default()
        };
        let find = |snapshot| state.engine.trace_ids(snapshot, filter.clone());
        let found = of_project(state, &judges, |snapshot: Arc<Snapshot>| find(snapshot)).await?;
        if !found.is_empty() {
            state.store.delete_traces(&judges, found).await?;
        }
    }
    Ok(())
}

/// Deletes what was recorded about traces that went by themselves since a moment, as retention lets them go.
/// Returns how much that was.
pub(super) async fn forget_what_went(state: &AppState, since: Time) -> Result<usize, ApiError> {
    let judges = ProjectId::new(JUDGE_PROJECT).map_err(ApiError::internal)?;
    let gone = state.store.meta().deleted_traces(since).await?;
    let gone: HashSet<(ProjectId, TraceId)> = (gone.into_iter())
        .filter(|one| one.project_id != judges)
        .map(|one| (one.project_id, one.trace_id))
        .collect();
    if gone.is_empty() || state.projects.settings(&judges).is_none() {
        return Ok(0);
    }
    let find = async |snapshot: Arc<Snapshot>| {
        let gone = gone.clone();
        Ok::<_, ApiError>(blocking(move || about(&snapshot, &gone)).await??)
    };
    let found = of_project(state, &judges, find).await?;
    state.store.let_go(&judges, &found).await?;
    Ok(found.len())
}

/// Returns what was recorded about traces.
fn about(
    snapshot: &Snapshot,
    graded: &HashSet<(ProjectId, TraceId)>,
) -> Result<Vec<TraceId>, ReadError> {
    let mut found = Vec::new();
    let columns = Columns::all(Table::Traces);
    snapshot.for_each_trace(TraceBounds::default(), &columns, &mut |entry| {
        let item = &entry.row.item;
        if shown_in(item).iter().any(|key| graded.contains(key)) {
            found.push(item.trace_id.clone());
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Returns which traces a record is about: the graded one, and the one that it was compared with.
fn shown_in(record: &TraceItem) -> Vec<(ProjectId, TraceId)> {
    let metadata = record.metadata.as_ref().map(JsonText::to_value);
    let metadata = metadata.unwrap_or_default();
    let word = |key: &str| metadata.get(key)?.as_str();
    let Some(project) = word(GRADED_PROJECT).and_then(|id| ProjectId::new(id).ok()) else {
        return Vec::new();
    };
    let traces = [GRADED_TRACE, COMPARED_TRACE].into_iter();
    let traces = traces.filter_map(|key| TraceId::new(word(key)?).ok());
    traces.map(|id| (project.clone(), id)).collect()
}

async fn keep(
    state: &AppState,
    judged: Judged<'_>,
    traces: (&TraceId, Option<&TraceId>),
    asked: &[(usize, Exchange)],
    record: RecordJudges,
) -> Result<(), ApiError> {
    let project = ProjectId::new(JUDGE_PROJECT).map_err(ApiError::internal)?;
    // They may have been deleted while they were judged.
    for id in std::iter::once(traces.0).chain(traces.1) {
        let (of, whose, id) = (Arc::clone(state), judged.project.clone(), id.clone());
        let found = blocking(move || of.store.trace_snapshot(&whose, &id).trace(&id)).await??;
        if found.is_none() {
            return Ok(());
        }
    }
    make_sure_of(state, &project).await?;
    let now = state.clock.now();
    let body = body(judged, traces, asked, record, now)?.to_string();
    let intake = state.intake(project.clone(), Source::Proxy, now)?;
    let work = spawn_blocking(move || intake.prepare(body.into(), Wire::AgentsSdk));
    let (prepared, taken) = work.await.map_err(IntakeError::Worker)??;
    state.store.append(prepared).await?;
    let outcome = taken.outcome();
    state.losses.taken(&project, Source::Proxy, now, outcome);
    Ok(())
}

/// Makes the project if it is not there.
async fn make_sure_of(state: &AppState, project: &ProjectId) -> Result<(), ApiError> {
    if state.projects.settings(project).is_some() {
        return Ok(());
    }
    let meta = state.store.meta();
    let made = meta.create_project("server", project, JUDGE_PROJECT_NAME);
    match made.await {
        // Another run was quicker.
        Ok(_) | Err(MetaError::Exists { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    state.projects.reload(meta).await?;
    Ok(())
}

/// Returns what an exporter would have sent: a trace for each grader, with a span for each call.
fn body(
    judged: Judged<'_>,
    (trace_id, counterpart): (&TraceId, Option<&TraceId>),
    asked: &[(usize, Exchange)],
    record: RecordJudges,
    now: Time,
) -> Result<Value, ApiError> {
    let mut data = Vec::new();
    let mut last = None;
    let mut id = String::new();
    for (place, exchange) in asked {
        let frozen = &judged.plan.graders()[*place].frozen;
        if last != Some(place) {
            last = Some(place);
            id = new_id::<16>("trace_")?;
            data.push(json!({
                "object": "trace",
                "id": id,
                "workflow_name": frozen.name,
                "group_id": judged.run_id,
                "metadata": {
                    "run_id": judged.run_id,
                    "grader_id": frozen.id,
                    "grader_version": frozen.version.to_string(),
                    GRADED_PROJECT: judged.project.as_str(),
                    GRADED_TRACE: trace_id.as_str(),
                },
            }));
            if let (Some(counterpart), Some(trace)) = (counterpart, data.last_mut()) {
                trace["metadata"][COMPARED_TRACE] = counterpart.as_str().into();
            }
        }
        data.push(span(&id, exchange, record, now)?);
    }
    Ok(json!({ "data": data }))
}

fn span(
    trace_id: &str,
    exchange: &Exchange,
    record: RecordJudges,
    now: Time,
) -> Result<Value, ApiError> {
    let micros = (exchange.latency_ms.clamp(0.0, 1e9) * 1e3) as i64;
    let usage = exchange.usage;
    let mut span_data = json!({
        "type": "generation",
        "model": exchange.model,
        "model_config": exchange.params,
    });
    // A provider that does not tell what it read has not read nothing.
    if usage.is_known() {
        span_data["usage"] = json!({
            "input_tokens": usage.prompt,
            "output_tokens": usage.completion,
            "input_tokens_details": {"cached_tokens": usage.cached},
        });
    }
    if record == RecordJudges::Full {
        let content = exchange.refusal.as_ref().unwrap_or(&exchange.answer);
        let mut answer = json!({"role": "assistant", "content": content});
        if exchange
            .tool_calls
            .as_array()
            .is_some_and(|calls| !calls.is_empty())
        {
            answer["tool_calls"] = exchange.tool_calls.clone();
        }
        span_data["input"] = Value::Array(exchange.messages.clone());
        span_data["output"] = json!([answer]);
    }
    Ok(json!({
        "object": "trace.span",
        "id": new_id::<12>("span_")?,
        "trace_id": trace_id,
        "started_at": now.plus_micros(-micros).to_string(),
        "ended_at": now.to_string(),
        "span_data": span_data,
    }))
}
