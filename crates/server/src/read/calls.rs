//! The calls of models that were recorded, with all that was said: what evals grade.

use std::sync::Arc;

use model::{
    ChatMessage, ProjectId, Span, SpanId, SpanStatus, SpanType, Time, TraceFilter, TraceId, Usage,
};
use store::Snapshot;

use super::conversation::contents;
use super::loaded::Loaded;
use super::pieces::blocking;
use super::snapshots::of_project;
use crate::error::ApiError;
use crate::objects::Detail;
use crate::state::AppState;

/// Which calls are meant.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallsAsked {
    /// Of which traces.
    pub(crate) filter: TraceFilter,
    /// Of which model.
    pub(crate) model: Option<String>,
    /// They began then or later.
    pub(crate) from: Option<Time>,
    /// They began before.
    pub(crate) until: Option<Time>,
    /// What was said to the model before the user spoke holds this.
    pub(crate) instructions: Option<String>,
    /// So many at most, those of the newest traces.
    pub(crate) limit: usize,
}

/// A call that was recorded and ended well.
#[derive(Debug)]
pub(crate) struct RecordedCall {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) model: Option<String>,
    pub(crate) finish_reason: Option<String>,
    pub(crate) usage: Usage,
    pub(crate) input: Vec<ChatMessage>,
    pub(crate) output: Vec<ChatMessage>,
}

/// Returns the calls of a project that are meant.
pub(crate) async fn recorded_calls(
    state: &AppState,
    project: &ProjectId,
    asked: &CallsAsked,
) -> Result<Vec<RecordedCall>, ApiError> {
    let read = |snapshot| calls_in(state, snapshot, asked.clone());
    of_project(state, project, read).await
}

async fn calls_in(
    state: &AppState,
    snapshot: Arc<Snapshot>,
    asked: CallsAsked,
) -> Result<Vec<RecordedCall>, ApiError> {
    let view = Arc::clone(&snapshot);
    let ids = state.engine.trace_ids(view, asked.filter.clone()).await?;
    let ledger = Arc::clone(state.store.ledger());
    let read = move || {
        let mut calls = Vec::new();
        for id in ids {
            if calls.len() >= asked.limit {
                break;
            }
            if let Some(loaded) = Loaded::read(&snapshot, &ledger, &id, Some(Detail::Full))? {
                calls.extend(calls_of(&loaded, &asked));
            }
        }
        calls.truncate(asked.limit);
        Ok(calls)
    };
    blocking(read).await?
}

fn calls_of<'a>(
    loaded: &'a Loaded,
    asked: &'a CallsAsked,
) -> impl Iterator<Item = RecordedCall> + 'a {
    let told = loaded.told(false).into_iter();
    let spans = told.map(|at| &loaded.rows[at].span);
    spans.filter(|span| asked.means(span)).filter_map(|span| {
        let said = contents(span, &loaded.messages);
        let is_told = !said.output.is_empty() && asked.means_words(&said.input);
        is_told.then(|| RecordedCall {
            trace_id: span.trace_id.clone(),
            span_id: span.span_id.clone(),
            model: span.model.clone(),
            finish_reason: span.finish_reason.clone(),
            usage: span.usage,
            input: said.input,
            output: said.output,
        })
    })
}

impl CallsAsked {
    fn means(&self, span: &Span) -> bool {
        let started = |holds: &dyn Fn(Time) -> bool| span.started_at.is_some_and(holds);
        span.span_type == SpanType::Generation
            && span.status == SpanStatus::Success
            && !span.noise
            && self
                .model
                .as_ref()
                .is_none_or(|name| span.model.as_ref() == Some(name))
            && self.from.is_none_or(|from| started(&|at| at >= from))
            && self.until.is_none_or(|until| started(&|at| at < until))
    }

    fn means_words(&self, input: &[ChatMessage]) -> bool {
        let Some(wanted) = &self.instructions else {
            return true;
        };
        let told = input
            .iter()
            .filter(|message| matches!(&*message.role, "system" | "developer"));
        told.filter_map(ChatMessage::words)
            .any(|words| words.contains(wanted))
    }
}
