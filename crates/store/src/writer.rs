//! The one thread that decides the order of everything.
//!
//! It drains its queue, gives each job the next sequence number, appends them all, syncs once,
//! publishes the rows to readers and only then answers the waiters: D1. Which messages are already in
//! the log is decided here too, in log order, against what was published; the messages of the drain
//! under way are kept apart, so a drain that fails leaves nothing behind.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashSet;
use model::{MessageHash, ProjectId, Time, TraceId};
use tokio::sync::{mpsc, oneshot};

use crate::append::{AppendError, Prepared};
use crate::engine::Engine;
use crate::gate::Refusal;
use crate::grades::PreparedGrades;
use crate::ledger::Reservation;
use crate::live::TraceKey;
use crate::record::EncodedRecord;
use crate::wal::{SegmentWriter, WalError};

/// One drain takes at most this many bytes: the sync of a drain should not take long.
const DRAIN_BYTES_MAX: usize = 16 << 20;
const DRAIN_JOBS_MAX: usize = 1_024;

/// Where the answer to a job goes.
pub(crate) type Done = oneshot::Sender<Result<i64, AppendError>>;

/// What is to be logged.
#[derive(Debug)]
pub(crate) enum Job {
    Append {
        prepared: Box<Prepared>,
        queued: Reservation,
        done: Done,
    },
    Grades {
        prepared: Box<PreparedGrades>,
        queued: Reservation,
        done: Done,
    },
    Delete {
        project: ProjectId,
        traces: Vec<TraceId>,
        at: Time,
        done: Done,
    },
}

impl Job {
    fn bytes(&self) -> usize {
        match self {
            Job::Append { prepared, .. } => prepared.bytes(),
            Job::Grades { prepared, .. } => prepared.bytes(),
            Job::Delete { .. } => 0,
        }
    }

    fn answer(self, answer: Result<i64, AppendError>) {
        let (Job::Append { done, .. } | Job::Grades { done, .. } | Job::Delete { done, .. }) = self;
        // Whoever asked may have hung up; the rows are logged all the same.
        drop(done.send(answer));
    }
}

/// A job that has been appended and waits for the sync.
struct Logged {
    job: Job,
    seq: i64,
    /// Which messages of a batch were written with it.
    fresh: Vec<usize>,
}

/// The messages of the drain under way, by trace.
type Pending = HashSet<(TraceKey, MessageHash)>;

/// Runs until the queue is closed, and gives the log back.
pub(crate) fn run(
    engine: &Arc<Engine>,
    mut queue: mpsc::Receiver<Job>,
    mut wal: SegmentWriter,
) -> SegmentWriter {
    while let Some(first) = queue.blocking_recv() {
        let mut bytes = first.bytes();
        let mut jobs = vec![first];
        while bytes < DRAIN_BYTES_MAX && jobs.len() < DRAIN_JOBS_MAX {
            let Ok(job) = queue.try_recv() else { break };
            bytes += job.bytes();
            jobs.push(job);
        }
        drain(engine, &mut wal, jobs);
        // While nobody waits: the next segment should be there when it is needed.
        match wal.prepare_spare() {
            Ok(()) => engine.disk_full.store(false, Ordering::Relaxed),
            Err(error) => note_refusal(engine, &error),
        }
    }
    wal
}

/// Logs, syncs, publishes and answers one drain.
fn drain(engine: &Arc<Engine>, wal: &mut SegmentWriter, jobs: Vec<Job>) {
    let mut pending = Pending::new();
    let mut logged = Vec::with_capacity(jobs.len());
    let mut refused = Vec::new();
    let mut has_deletion = false;
    for job in jobs {
        let seq = wal.last_seq() as i64 + 1;
        match append(engine, wal, &job, seq, &mut pending) {
            Ok(fresh) => {
                has_deletion |= matches!(job, Job::Delete { .. });
                logged.push(Logged { job, seq, fresh });
            }
            Err(error) => refused.push((job, refusal(engine, &error))),
        }
    }
    let synced = match (logged.is_empty(), has_deletion) {
        (true, _) => Ok(()),
        (false, false) => wal.commit(),
        // The bytes of what is deleted go with their segment, so it ends here.
        (false, true) => wal.roll(),
    };
    engine.counters.drains.fetch_add(1, Ordering::Relaxed);
    match synced {
        Ok(()) => publish(engine, logged),
        Err(error) => {
            let answer = refusal(engine, &error);
            logged
                .into_iter()
                .for_each(|entry| entry.job.answer(Err(answer.clone())));
        }
    }
    refused
        .into_iter()
        .for_each(|(job, answer)| job.answer(Err(answer)));
}

/// Returns what senders are told of a failure of the log, after noting what it means for the store.
fn refusal(engine: &Engine, error: &WalError) -> AppendError {
    note_refusal(engine, error);
    match error {
        WalError::Full(_) => AppendError::Refused(Refusal::disk_full()),
        WalError::FrameTooLarge { bytes } => AppendError::TooLarge { bytes: *bytes },
        other => AppendError::Stopped(other.to_string()),
    }
}

fn note_refusal(engine: &Engine, error: &WalError) {
    if error.is_fatal() {
        // The kernel may have dropped the dirty pages: what is on disk is unknown, for good.
        engine.stop(error);
    } else if matches!(error, WalError::Full(_)) {
        engine.disk_full.store(true, Ordering::Relaxed);
    }
}

fn append(
    engine: &Engine,
    wal: &mut SegmentWriter,
    job: &Job,
    seq: i64,
    pending: &mut Pending,
) -> Result<Vec<usize>, WalError> {
    match job {
        Job::Append { prepared, .. } => {
            let mut added = Vec::new();
            let fresh = fresh_messages(engine, prepared, pending, &mut added);
            let mut parts = vec![prepared.encoded.fixed()];
            parts.extend(fresh.iter().map(|&index| prepared.encoded.message(index)));
            let appended = wal.append(seq as u64, &parts);
            if appended.is_err() {
                // Its messages are not in the log: a later job of this drain must bring its own.
                added.iter().for_each(|key| drop(pending.take(key)));
            }
            appended.map(|()| fresh)
        }
        Job::Grades { prepared, .. } => wal
            .append(seq as u64, &[prepared.encoded.fixed()])
            .map(|()| Vec::new()),
        Job::Delete {
            project,
            traces,
            at,
            ..
        } => {
            let record = EncodedRecord::delete(project, traces, *at);
            wal.append(seq as u64, &[record.fixed()])
                .map(|()| Vec::new())
        }
    }
}

/// Returns the messages of a batch that neither the log nor this drain has.
fn fresh_messages(
    engine: &Engine,
    prepared: &Prepared,
    pending: &mut Pending,
    added: &mut Vec<(TraceKey, MessageHash)>,
) -> Vec<usize> {
    let live = engine.live.read();
    let mut is_fresh = |index: &usize| {
        let message = &prepared.batch.messages[*index];
        let key = prepared.key(&message.trace_id);
        if live.has_seen(&key, &message.hash) {
            return false;
        }
        let key = (key, message.hash);
        let is_new = pending.insert(key.clone());
        if is_new {
            added.push(key);
        }
        is_new
    };
    (0..prepared.batch.messages.len())
        .filter(|index| is_fresh(index))
        .collect()
}

/// Makes the rows readable, in log order, then answers.
fn publish(engine: &Arc<Engine>, logged: Vec<Logged>) {
    let now = engine.clock.now();
    let mut answers = Vec::with_capacity(logged.len());
    let mut pins = Vec::new();
    let is_flush_due = {
        let mut live = engine.live.write();
        live.start_active(now);
        for Logged { job, seq, fresh } in logged {
            match job {
                Job::Append {
                    prepared,
                    queued,
                    done,
                } => {
                    let (published, pinned) = prepared.into_published(seq, &fresh);
                    let published = engine.without_deleted(&live, published);
                    live.publish(published);
                    pins.push((Some(pinned), queued));
                    answers.push((done, seq));
                }
                Job::Grades {
                    prepared,
                    queued,
                    done,
                } => {
                    let bytes = prepared.bytes();
                    let batch = engine.undeleted_grades(&live, prepared.into_batch(seq));
                    live.publish_grades(batch, bytes);
                    pins.push((None, queued));
                    answers.push((done, seq));
                }
                Job::Delete {
                    project,
                    traces,
                    done,
                    ..
                } => {
                    live.delete(&project, &traces, seq);
                    answers.push((done, seq));
                }
            }
        }
        engine.note_live_bytes(&live);
        engine.seal_if_full(&mut live, now)
    };
    // Giving back a pin takes the lock again.
    drop(pins);
    for (done, seq) in answers {
        // D1: the drain is synced and readable. Whoever asked may have hung up.
        drop(done.send(Ok(seq)));
    }
    if is_flush_due {
        engine.wake.notify_waiters();
    }
}
