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
use crate::body::Hold;
use crate::error::{ApiError, ErrorCode};
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

/// What is made of calls, and what that weighs.
pub(crate) type Make<T> = fn(&RecordedCall) -> (T, usize);

/// Returns what `make` makes of the calls of a project that are meant, with the memory that it holds. All
/// of it together may weigh as much as a body.
pub(crate) async fn recorded_calls<T: Send + 'static>(
    state: &AppState,
    project: &ProjectId,
    asked: &CallsAsked,
    make: Make<T>,
) -> Result<(Vec<T>, Hold), ApiError> {
    let read = |snapshot| calls_in(state, snapshot, asked.clone(), make);
    of_project(state, project, read).await
}

async fn calls_in<T: Send + 'static>(
    state: &AppState,
    snapshot: Arc<Snapshot>,
    asked: CallsAsked,
    make: Make<T>,
) -> Result<(Vec<T>, Hold), ApiError> {
    let view = Arc::clone(&snapshot);
    let ids = state.engine.trace_ids(view, asked.filter.clone()).await?;
    let ledger = Arc::clone(state.store.ledger());
    let bytes_max = state.config.inflated_bytes_max;
    let read = move || {
        let (mut made, mut bytes, mut hold) = (Vec::new(), 0, Hold::new(&ledger));
        for id in ids {
            let Some(loaded) = Loaded::read(&snapshot, &ledger, &id, Some(Detail::Full))? else {
                continue;
            };
            for call in calls_of(&loaded, &asked) {
                if made.len() >= asked.limit {
                    return Ok((made, hold));
                }
                let (one, weight) = make(&call);
                bytes += weight;
                if bytes > bytes_max {
                    let message =
                        format!("the calls have more than {bytes_max} bytes: ask for fewer");
                    return Err(ApiError::new(ErrorCode::BodyTooLarge, message));
                }
                hold.grow_to(bytes)?;
                made.push(one);
            }
        }
        Ok((made, hold))
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
