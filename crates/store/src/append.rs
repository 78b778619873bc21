//! How does a batch get in?
//!
//! [`Engine::prepare`] runs on a blocking thread of the request: it asks the gate, makes every trace
//! of the batch known (loading what Parquet holds of it, if anything) and encodes the record. What is
//! left for the writer thread is to choose the messages and to copy bytes.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashSet;
use model::{Batch, IdError, Message, ProjectId, Source, Span, Time, TraceId, resolve_agents};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::engine::Engine;
use crate::gate::Refusal;
use crate::ledger::Share;
use crate::live::{Admission, Live, Published, TraceKey};
use crate::record::EncodedRecord;
use crate::snapshot::ReadError;
use crate::writer::Job;

/// Why a batch was not taken. Nothing of it was kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The store cannot take more just now; the sender should come back.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// What Parquet holds of one of the traces could not be read.
    #[error("failed to look up what is stored of the batch's traces")]
    Lookup(#[source] Arc<ReadError>),
    /// The batch is larger than a frame of the log can be.
    #[error("the batch has {bytes} bytes, more than one frame of the log can hold")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// A grade hangs on no trace, and its item cannot stand in for one.
    #[error("the item of a grade has an id that cannot be one")]
    Item(#[source] IdError),
    /// The log failed; the process must be restarted.
    #[error("the write-ahead log failed and the store has stopped: {0}")]
    Stopped(String),
}

/// A batch on its way to the log. Its traces are pinned until it is published or dropped.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) project: ProjectId,
    pub(crate) source: Source,
    pub(crate) received_at: Time,
    pub(crate) batch: Batch,
    pub(crate) encoded: EncodedRecord,
    pins: Pins,
}

/// What the store promises once it has answered: the rows are on disk and readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The sequence number of the batch.
    pub seq: i64,
}

impl Prepared {
    pub(crate) fn key(&self, trace_id: &TraceId) -> TraceKey {
        TraceKey {
            project: self.project.clone(),
            trace_id: trace_id.clone(),
        }
    }

    /// Returns what is to be published once it is logged as `seq` with the `fresh` messages, and the
    /// pins to be dropped after that.
    pub(crate) fn into_published(self, seq: i64, fresh: &[usize]) -> (Published, Pins) {
        let bytes = self.bytes();
        let is_fresh: HashSet<usize> = fresh.iter().copied().collect();
        let kept = self.batch.messages.into_iter().enumerate();
        // A copy of its own: the message must not keep the whole request body in memory.
        let owned = |m: Message| Message {
            content: bytes::Bytes::copy_from_slice(&m.content),
            ..m
        };
        let messages = kept
            .filter(|(i, _)| is_fresh.contains(i))
            .map(|(_, m)| owned(m))
            .collect();
        let published = Published {
            project: self.project,
            source: self.source,
            seq,
            received_at: self.received_at,
            items: self.batch.traces,
            spans: self.batch.spans,
            messages,
            bytes,
        };
        (published, self.pins)
    }

    /// Returns what the batch weighs, in the log and about so in memory.
    pub(crate) fn bytes(&self) -> usize {
        const SPAN_OVERHEAD_BYTES: usize = 512;
        self.encoded.bytes() + self.batch.spans.len() * SPAN_OVERHEAD_BYTES
    }
}

/// Pins on traces, given back on drop.
#[derive(Debug)]
pub(crate) struct Pins {
    engine: Arc<Engine>,
    keys: Vec<TraceKey>,
}

impl Drop for Pins {
    fn drop(&mut self) {
        let mut live = self.engine.live.write();
        self.keys.iter().for_each(|key| live.unpin(key));
    }
}

impl Engine {
    /// Makes a batch ready for the log. Blocks on disk reads where a trace is not new.
    pub(crate) fn prepare(
        self: &Arc<Self>,
        project: &ProjectId,
        source: Source,
        received_at: Time,
        mut batch: Batch,
    ) -> Result<Prepared, AppendError> {
        self.check_gate()?;
        name_agents(&mut batch.spans);
        let pins = self.pin_traces(project, &batch)?;
        let encoded = EncodedRecord::batch(project, source, received_at, &batch);
        Ok(Prepared {
            project: project.clone(),
            source,
            received_at,
            batch,
            encoded,
            pins,
        })
    }

    /// Returns once the gate is open, or why it still is not after `patience`. Only what a flush will end
    /// is waited for.
    pub(crate) async fn wait_for_room(&self, patience: Duration) -> Result<(), AppendError> {
        let deadline = Instant::now() + patience;
        loop {
            // Taken before the look: what changes in between is not missed.
            let woken = self.wake.notified();
            match self.check_gate() {
                Err(AppendError::Refused(refusal)) if refusal.is_brief() => {
                    let waited = timeout_at(deadline, woken).await;
                    waited.map_err(|_| refusal)?;
                }
                answer => return answer,
            }
        }
    }

    pub(crate) fn pin_traces(
        self: &Arc<Self>,
        project: &ProjectId,
        batch: &Batch,
    ) -> Result<Pins, AppendError> {
        let mut pins = Pins {
            engine: Arc::clone(self),
            keys: Vec::new(),
        };
        let key = |trace_id: &TraceId| TraceKey {
            project: project.clone(),
            trace_id: trace_id.clone(),
        };
        let keys: Vec<_> = trace_ids(batch).into_iter().map(key).collect();
        let is_known = |live: &mut Live, key: &TraceKey| live.pin(key) == Admission::Known;
        let unknown: Vec<TraceKey> = {
            let mut live = self.live.write();
            let (known, unknown) = keys.into_iter().partition(|key| is_known(&mut live, key));
            pins.keys = known;
            unknown
        };
        let load = |key: TraceKey| match self.load_trace(&key) {
            Ok(loaded) => Ok((key, loaded)),
            Err(error) => Err(AppendError::Lookup(Arc::new(error))),
        };
        let loaded = unknown
            .into_iter()
            .map(load)
            .collect::<Result<Vec<_>, _>>()?;
        if !loaded.is_empty() {
            let mut live = self.live.write();
            for (key, loaded) in loaded {
                live.admit(&key, loaded);
                pins.keys.push(key);
            }
        }
        Ok(pins)
    }

    /// Logs a prepared batch and waits until it is on disk and readable.
    pub(crate) async fn append(&self, prepared: Prepared) -> Result<Ack, AppendError> {
        let queued = self
            .ledger
            .reserve(Share::WalQueue, prepared.bytes())
            .map_err(|full| Refusal::memory(&full))?;
        let (done, answer) = oneshot::channel();
        let job = Job::Append {
            prepared: Box::new(prepared),
            queued,
            done,
        };
        self.submit(job).await?;
        let seq = answer
            .await
            .map_err(|_| AppendError::Stopped("the writer is gone".to_owned()))??;
        Ok(Ack { seq })
    }
}

/// Fills in the agent of each span that some other span of the batch tells. While the spans are ours
/// alone this costs nothing to speak of; later each would have to be copied.
fn name_agents(spans: &mut [Span]) {
    // Spans of a trace mostly stand together; where they do not, the flush looks again.
    for of_trace in spans.chunk_by_mut(|a, b| a.trace_id == b.trace_id) {
        let spans: Vec<&Span> = of_trace.iter().collect();
        let agents: Vec<_> = resolve_agents(&spans)
            .into_iter()
            .map(|agent| agent.map(str::to_owned))
            .collect();
        for (span, agent) in of_trace.iter_mut().zip(agents) {
            if span.agent.is_none() {
                span.agent = agent;
            }
        }
    }
}

fn trace_ids(batch: &Batch) -> HashSet<&TraceId> {
    let items = batch.traces.iter().map(|item| &item.trace_id);
    items
        .chain(batch.spans.iter().map(|span| &span.trace_id))
        .collect()
}
