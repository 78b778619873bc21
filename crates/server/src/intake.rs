//! How do the bytes of a request become rows that are kept?
//!
//! Decoding, pricing and preparing are one piece of work without a pause, made for a blocking thread;
//! what is left after it is to wait for the log. HTTP and the command line come in here alike.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use ingest::agents_sdk::{self, EnvelopeError};
use ingest::imports::{self, CutError, FormatCount, Imported, Known, LangfuseBatch, LangfuseError};
use ingest::otlp::{self, Encoding};
use ingest::process::{ProcessRules, SAMPLED_OUT, Switches, process};
use model::{Batch, PriceTable, ProjectId, Rejection, Rejections, Source, Time, TraceId};
use serde::Serialize;
use store::{AppendError, Prepared, Store};
use utoipa::ToSchema;

use crate::error::{ApiError, ErrorCode};
use crate::loss::Outcome;
use crate::prices;

/// Refused items that an answer lists one by one; the count has all of them.
const REJECTED_LISTED_MAX: usize = Rejections::LISTED_MAX;

/// How the items of a request are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// As the Agents SDK's own exporter does.
    AgentsSdk,
    /// Spans of OpenTelemetry.
    Spans(Encoding),
    /// Log records of OpenTelemetry.
    Logs(Encoding),
    /// Documents of any form that is known, told apart by what is in them.
    Import,
    /// A batch of Langfuse's older SDKs. It says what changes, so that it is laid over what is stored;
    /// where nothing is asked of the store, over nothing.
    Langfuse,
}

impl Wire {
    /// Returns the way in that this is, unless the bytes come from a file.
    pub(crate) fn source(self) -> Source {
        match self {
            Self::AgentsSdk => Source::Openai,
            Self::Spans(_) | Self::Logs(_) => Source::Otlp,
            Self::Import | Self::Langfuse => Source::Import,
        }
    }
}

/// What became of the items of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Taken {
    /// Items that are kept.
    pub accepted: usize,
    /// Items that are not.
    pub rejected_count: usize,
    /// Which ones and why; the first 1,000 of them.
    pub rejected: Vec<Rejected>,
    /// Of an import: what was read of each format.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub formats: Vec<FormatCount>,
    /// Of an import: items that were read and are not kept, by reason.
    #[serde(rename = "ignored", skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub ignored_by_reason: BTreeMap<&'static str, usize>,
    #[serde(skip)]
    codes: BTreeMap<&'static str, usize>,
    /// Items that were accepted and are not kept, by reason.
    #[serde(skip)]
    ignored: Ignored,
    /// How often something was taken out of what is kept.
    #[serde(skip)]
    redacted: BTreeMap<String, u64>,
}

/// What the bytes of a request hold.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    batch: Batch,
    ignored: Ignored,
    /// Of an import: the document of each refused item, and what there was of each format.
    documents: Vec<usize>,
    formats: Vec<FormatCount>,
}

impl From<Imported> for Decoded {
    fn from(imported: Imported) -> Self {
        Self {
            batch: imported.batch,
            ignored: imported.ignored,
            documents: imported.documents,
            formats: imported.formats,
        }
    }
}

impl From<Batch> for Decoded {
    fn from(batch: Batch) -> Self {
        Self {
            batch,
            ..Self::default()
        }
    }
}

/// How many items were accepted and are not kept, by reason.
type Ignored = Vec<(&'static str, usize)>;

/// One item that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Rejected {
    /// Of an import: the document it was in, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<usize>,
    /// Its place in the request's list, or in its document, from 0; absent where an item of
    /// OpenTelemetry belongs to a deleted trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// Its trace, where that is the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub trace_id: Option<TraceId>,
    /// A stable word, such as `bad_time`.
    pub code: &'static str,
    /// What was wrong with it.
    pub reason: String,
}

/// Why nothing of a request was taken.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The bytes are not a list of items.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The bytes are no request of OpenTelemetry.
    #[error(transparent)]
    Otlp(#[from] otlp::EnvelopeError),
    /// Not one document can be found in the bytes.
    #[error(transparent)]
    Import(#[from] CutError),
    /// The bytes are no batch of Langfuse.
    #[error(transparent)]
    Langfuse(#[from] LangfuseError),
    /// The store did not take them.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// There is no such project.
    #[error("there is no project {0:?}")]
    NoProject(ProjectId),
    /// The thread that did the work died: a bug.
    #[error("a worker died while it decoded a request")]
    Worker(#[source] tokio::task::JoinError),
}

/// All that the work on one request depends on.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) store: Store,
    pub(crate) prices: Arc<PriceTable>,
    /// What is done with what comes in, and what the project decides of it.
    pub(crate) rules: Arc<ProcessRules>,
    pub(crate) switches: Switches,
    /// The model that calls without one are priced as.
    pub(crate) assumed_model: Option<String>,
    pub(crate) project: ProjectId,
    pub(crate) source: Source,
    pub(crate) received_at: Time,
}

impl Intake {
    /// Decodes and prices a request and makes it ready for the log. Blocks.
    pub(crate) fn prepare(
        &self,
        body: Bytes,
        wire: Wire,
    ) -> Result<(Prepared, Taken), IntakeError> {
        let decoded = self.in_context(|context| decode(body, wire, context))?;
        self.ready(decoded)
    }

    /// Makes the rows that a batch of Langfuse makes of those that are `known` ready for the log, and
    /// returns what to answer. Blocks.
    pub(crate) fn prepare_langfuse(
        &self,
        batch: &LangfuseBatch,
        known: &Known<'_>,
    ) -> Result<(Prepared, Taken, Vec<imports::EventAnswer>), IntakeError> {
        let (imported, answers) = self.in_context(|context| batch.decode(known, context));
        let (prepared, taken) = self.ready(imported.into())?;
        Ok((prepared, taken, answers))
    }

    /// Makes what was decoded elsewhere ready for the log. Blocks.
    pub(crate) fn prepare_batch(&self, batch: Batch) -> Result<(Prepared, Taken), IntakeError> {
        self.ready(batch.into())
    }

    /// Makes what was decoded ready for the log.
    fn ready(&self, decoded: Decoded) -> Result<(Prepared, Taken), IntakeError> {
        let Decoded {
            mut batch,
            mut ignored,
            documents,
            formats,
        } = decoded;
        let report = process(&self.rules, &self.switches, &mut batch);
        ignored.extend(report.ignored);
        if let Some(model) = &self.assumed_model {
            prices::assume_model(&mut batch, &self.prices, model, self.received_at);
        }
        let is_deleted = |trace_id: &TraceId| self.store.is_deleted(&self.project, trace_id);
        let sent = batch.accepted;
        let mut deleted = refuse_deleted(&mut batch, is_deleted);
        let sampled = deleted.extract_if(.., |trace_id| self.is_sampled_out(trace_id));
        let sampled = sampled.count().min(sent);
        if sampled > 0 {
            batch.accepted = sent.saturating_sub(deleted.len());
            ignored.push((SAMPLED_OUT, sampled));
        }
        let rejected = std::mem::take(&mut batch.rejected);
        let mut taken = Taken {
            ignored,
            formats,
            redacted: report.redacted,
            ..Taken::new(batch.accepted, rejected, deleted)
        };
        taken.place(&documents);
        let prepared = self
            .store
            .prepare(&self.project, self.source, self.received_at, batch)?;
        Ok((prepared, taken))
    }

    /// Returns whether a trace went because no rule of the sample kept it, once it had settled: what comes
    /// late for it is no mistake of its sender.
    fn is_sampled_out(&self, trace_id: &TraceId) -> bool {
        let sampling = self.rules.sampling();
        !sampling.tail().is_empty() && !sampling.holds(trace_id, self.switches.sample_rate)
    }

    /// Decodes with what decoding needs to know.
    pub(crate) fn in_context<T>(&self, decode: impl FnOnce(&agents_sdk::Context<'_>) -> T) -> T {
        let price = |call: &agents_sdk::PricedCall<'_>| prices::price(&self.prices, call);
        // What was sampled out counts as taken: `ready` sees to it.
        let is_deleted = |trace_id: &TraceId| {
            self.store.is_deleted(&self.project, trace_id) && !self.is_sampled_out(trace_id)
        };
        decode(&agents_sdk::Context {
            price: &price,
            is_deleted: &is_deleted,
            ..agents_sdk::Context::new(self.source, self.received_at)
        })
    }
}

/// Returns what a request holds.
fn decode(
    body: Bytes,
    wire: Wire,
    context: &agents_sdk::Context<'_>,
) -> Result<Decoded, IntakeError> {
    match wire {
        Wire::AgentsSdk => Ok(agents_sdk::decode(body, context)?.into()),
        Wire::Spans(encoding) => Ok(otlp::decode_traces(body, encoding, context)?.into()),
        Wire::Logs(encoding) => {
            let logs = otlp::decode_logs(body, encoding)?;
            let rows = otlp::record_rows(logs, context.source);
            let ignored = vec![
                ("log_without_genai", rows.without_genai),
                ("log_without_span", rows.without_span),
            ];
            Ok(Decoded {
                ignored,
                ..rows.batch.into()
            })
        }
        Wire::Import => Ok(imports::decode(body, context)?.into()),
        Wire::Langfuse => {
            let batch = LangfuseBatch::read(body)?;
            Ok(batch.decode(&Known::default(), context).0.into())
        }
    }
}

/// Takes what belongs to deleted traces out of a batch, and returns the trace of each such item. Items of
/// the Agents SDK were refused when they were decoded, where their place is known, unless the trace was
/// deleted in between.
fn refuse_deleted(batch: &mut Batch, is_deleted: impl Fn(&TraceId) -> bool) -> Vec<TraceId> {
    let items = batch.traces.iter().map(|item| &item.trace_id);
    let named: HashSet<&TraceId> = items
        .chain(batch.spans.iter().map(|span| &span.trace_id))
        .collect();
    let deleted: HashSet<TraceId> = named
        .into_iter()
        .filter(|id| is_deleted(id))
        .cloned()
        .collect();
    if deleted.is_empty() {
        return Vec::new();
    }
    let items = batch
        .traces
        .extract_if(.., |item| deleted.contains(&item.trace_id));
    let mut refused: Vec<TraceId> = items.map(|item| item.trace_id).collect();
    let spans = batch
        .spans
        .extract_if(.., |span| deleted.contains(&span.trace_id));
    // What we derived ourselves was no item of the request.
    refused.extend(spans.filter(|span| !span.derived).map(|span| span.trace_id));
    batch
        .messages
        .retain(|message| !deleted.contains(&message.trace_id));
    batch.accepted = batch.accepted.saturating_sub(refused.len());
    refused
}

impl Taken {
    fn new(accepted: usize, rejected: Rejections, deleted: Vec<TraceId>) -> Self {
        let (listed, mut codes) = rejected.into_parts();
        if !deleted.is_empty() {
            *codes.entry(Rejection::TRACE_DELETED).or_default() += deleted.len();
        }
        let items = listed.into_iter().map(
            |Rejection {
                 index,
                 code,
                 reason,
                 trace_id,
             }| Rejected {
                document: None,
                index: Some(index),
                trace_id,
                code,
                reason,
            },
        );
        let deleted = deleted.into_iter().map(|trace_id| Rejected {
            document: None,
            index: None,
            reason: format!(
                "{}: the trace {trace_id} was deleted not long ago",
                Rejection::TRACE_DELETED
            ),
            trace_id: Some(trace_id),
            code: Rejection::TRACE_DELETED,
        });
        Self {
            accepted,
            rejected_count: codes.values().sum(),
            rejected: items.chain(deleted).take(REJECTED_LISTED_MAX).collect(),
            codes,
            ignored: Vec::new(),
            formats: Vec::new(),
            redacted: BTreeMap::new(),
            ignored_by_reason: BTreeMap::new(),
        }
    }

    /// Says of an import in which document each refused item was, and tells what is not kept.
    fn place(&mut self, documents: &[usize]) {
        for (refused, document) in self.rejected.iter_mut().zip(documents) {
            refused.document = Some(*document);
        }
        if !self.formats.is_empty() {
            self.ignored_by_reason = self.ignored.iter().copied().collect();
        }
    }

    /// Returns this as the loss ledger enters it.
    pub(crate) fn outcome(&self) -> Outcome<'_> {
        Outcome {
            accepted: self.accepted,
            rejected: &self.codes,
            ignored: &self.ignored,
            redacted: &self.redacted,
        }
    }
}

impl From<IntakeError> for ApiError {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Envelope(_)
            | IntakeError::Otlp(_)
            | IntakeError::Import(_)
            | IntakeError::Langfuse(_) => Self::new(ErrorCode::InvalidBody, error.to_string()),
            IntakeError::Append(append) => append.into(),
            IntakeError::NoProject(_) => Self::new(ErrorCode::ProjectNotFound, error.to_string()),
            IntakeError::Worker(_) => Self::internal(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Span, SpanId, SpanType, TraceItem};

    #[test]
    fn of_a_deleted_trace_nothing_is_left_and_its_items_are_counted() {
        let trace = |id: &str| TraceId::new(id).unwrap();
        let span = |id: &str| {
            Span::new(
                trace(id),
                SpanId::new("s").unwrap(),
                SpanType::Function,
                Source::Openai,
            )
        };
        let derived = Span {
            derived: true,
            ..span("gone")
        };
        let mut batch = Batch {
            accepted: 4,
            traces: vec![
                TraceItem::new(trace("gone"), Source::Openai),
                TraceItem::new(trace("kept"), Source::Openai),
            ],
            spans: vec![span("kept"), span("gone"), derived],
            ..Batch::default()
        };
        let refused = refuse_deleted(&mut batch, |id| id.as_str() == "gone");
        assert_eq!(refused, [trace("gone"), trace("gone")]);
        assert_eq!(
            (batch.accepted, batch.traces.len(), batch.spans.len()),
            (2, 1, 1)
        );
        let taken = Taken::new(batch.accepted, Rejections::default(), refused);
        assert_eq!(taken.rejected_count, 2);
        assert_eq!(taken.outcome().rejected["trace_deleted"], 2);
        let json = serde_json::to_string(&taken.rejected[0]).unwrap();
        assert_eq!(
            json,
            r#"{"trace_id":"gone","code":"trace_deleted","reason":"trace_deleted: the trace gone was deleted not long ago"}"#
        );
    }

    #[test]
    fn an_answer_lists_no_more_than_it_must() {
        let rejection = |index| Rejection {
            index,
            code: "bad_time",
            reason: "bad".into(),
            trace_id: None,
        };
        let mut rejected = Rejections::default();
        (0..1_500).for_each(|index| rejected.push(rejection(index)));
        let taken = Taken::new(0, rejected, Vec::new());
        assert_eq!(
            (taken.rejected.len(), taken.rejected_count),
            (REJECTED_LISTED_MAX, 1_500)
        );
        assert_eq!(taken.outcome().rejected["bad_time"], 1_500);
    }
}
