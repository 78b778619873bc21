//! Grading of what comes in: a watch looks at each trace once it has settled, and decides whether its run
//! grades it.
//!
//! A trace has settled when nothing came for it for as long as makes a trace idle. Each look takes the
//! traces whose last row was received since the last one, so each is decided on once, and again only if
//! something came late for it; it is graded once in any case. What was decided is kept with the reason, for
//! a trace that was left out must not look like one that passed.
//!
//! The sample is drawn by a hash that is keyed with the watch's id: which traces are graded depends on
//! nothing else, so a watch that was off, or that looks back, grades those that it would have graded.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use grade::trace::Costs;
use model::{Content, NanoUsd, ProjectId, Time, TraceFilter};
use serde::{Deserialize, Serialize};
use stats::sample::Sampler;
use store::meta::{Decision, GradingRun, GradingStatus, MetaError, NewGradingItem, Watch};
use store::{Columns, ReadError, Snapshot, Table, TraceBounds, TraceEntry};
use tokio::sync::mpsc;
use tokio::task::{JoinError, spawn_blocking};

use super::plan::{Plan, PlanError};
use super::recorded;
use super::worker::BUDGET_REASON;
use crate::error::chain;
use crate::state::AppState;

/// How often is looked.
const LOOKED_EVERY: Duration = Duration::from_secs(15);

/// What a watch may decide on a trace.
pub(super) const DECISIONS: [&str; 5] = [
    "graded",
    "sampled_out",
    "filtered_out",
    "no_content",
    "budget",
];

/// Decisions that are written at a time.
const DECISIONS_PER_WRITE: usize = 1_024;

/// Writes that are decided on while one is written.
const DECIDED_AHEAD: usize = 2;

/// How often what is old is forgotten.
const FORGOTTEN_EVERY_MICROS: i64 = 3_600 * 1_000_000;

/// Decisions are kept for so long; their counts for good.
const DECISIONS_KEPT_MICROS: i64 = 30 * 86_400 * 1_000_000;

/// Looks of which it is remembered how far the log was.
const LOOKS_MAX: usize = 256;

/// A look failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum WatchError {
    #[error("failed to read or write a watch")]
    Meta(#[from] MetaError),
    #[error("failed to read traces")]
    Read(#[from] ReadError),
    #[error("failed to understand what was stored of a watch")]
    Plan(#[from] PlanError),
    #[error("failed to read the filter of a watch: {0}")]
    Filter(String),
    /// It is told to whoever asks for a look back; other looks wait until the run goes on.
    #[error("{run_id}, which grades for the watch, is {status}: {next}")]
    Over {
        run_id: String,
        status: GradingStatus,
        next: &'static str,
    },
    #[error("a worker died")]
    Worker(#[from] JoinError),
}

impl From<store::DbError> for WatchError {
    fn from(error: store::DbError) -> Self {
        Self::Meta(error.into())
    }
}

/// How far a watch has looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// All traces whose last row was received up to then are decided on; in microseconds since 1970.
    pub(super) at: i64,
    /// What was received later has a higher number in the log.
    pub(super) seq: i64,
}

impl Cursor {
    /// Returns the cursor of a watch that begins to look now.
    pub(super) fn now(snapshot: &Snapshot) -> Self {
        Self {
            at: snapshot.now().as_micros(),
            seq: snapshot.watermark(),
        }
    }

    /// Returns it as it is kept.
    pub(super) fn text(self) -> String {
        serde_json::to_string(&self).expect("two numbers are JSON")
    }

    fn of(watch: &Watch) -> Self {
        let kept = watch.cursor.as_deref();
        let kept = kept.and_then(|text| serde_json::from_str(text).ok());
        // One that cannot be read begins where the watch began, over all of the log.
        kept.unwrap_or(Self {
            at: watch.created_at.as_micros(),
            seq: 0,
        })
    }
}

/// How far the log of each project was at earlier looks, oldest first.
#[derive(Debug, Default)]
pub(super) struct Looks(HashMap<ProjectId, VecDeque<(i64, i64)>>);

impl Looks {
    /// Notes a look, and returns a number of the log that was reached by the moment `at`.
    fn note(&mut self, snapshot: &Snapshot, at: i64, known: i64) -> i64 {
        let of = self.0.entry(snapshot.project().clone()).or_default();
        of.push_back((snapshot.now().as_micros(), snapshot.watermark()));
        if of.len() > LOOKS_MAX {
            of.pop_front();
        }
        let reached = of.iter().filter(|(when, _)| *when <= at);
        reached
            .map(|(_, seq)| *seq)
            .max()
            .unwrap_or(known)
            .max(known)
    }
}

/// Looks now and then until the server stops.
pub(super) async fn run(state: AppState, stopped: impl Future<Output = ()>) {
    let mut stopped = std::pin::pin!(stopped);
    let mut looks = Looks::default();
    let mut forgotten_at = Time::default();
    loop {
        tokio::select! {
            () = &mut stopped => return,
            () = tokio::time::sleep(LOOKED_EVERY) => {}
        }
        if let Err(error) = look(&state, &mut looks).await {
            tracing::warn!(error = %chain(&error), "failed to look for traces to grade; the next look tries again");
        }
        let now = state.clock.now();
        if now.as_micros() - forgotten_at.as_micros() > FORGOTTEN_EVERY_MICROS {
            // What went between two looks is looked at twice rather than never.
            let since = forgotten_at.plus_micros(-FORGOTTEN_EVERY_MICROS);
            forgotten_at = now;
            if let Err(error) = forget(&state, now, since).await {
                tracing::warn!(error = %chain(&error), "failed to forget old decisions and answers");
            }
        }
    }
}

/// Forgets old decisions, old answers of judges, and what they were asked about traces that went since a moment.
async fn forget(state: &AppState, now: Time, since: Time) -> Result<(), store::DbError> {
    let meta = state.store.meta();
    meta.forget_decisions(now.plus_micros(-DECISIONS_KEPT_MICROS))
        .await?;
    let kept = state.config.grading.answers_kept.as_micros();
    let kept = i64::try_from(kept).unwrap_or(i64::MAX);
    meta.forget_judge_answers(now.plus_micros(-kept)).await?;
    if let Err(error) = recorded::forget_what_went(state, since).await {
        tracing::warn!(%error, "failed to forget what judges were asked about traces that went");
    }
    Ok(())
}

/// Has every watch that is on decide on what has settled. Returns how many traces were taken.
pub(super) async fn look(state: &AppState, looks: &mut Looks) -> Result<usize, WatchError> {
    let mut taken = 0;
    for watch in state.store.meta().watches_on().await? {
        match look_of(state, &watch, looks).await {
            Ok(looked) => taken += looked.new,
            // Somebody deleted it, or its project.
            Err(WatchError::Meta(MetaError::NotFound { .. })) => {}
            // Its cursor stays, so nothing is passed over: once the run goes on, it looks from there.
            Err(WatchError::Over { .. }) => {}
            Err(error) => {
                tracing::warn!(watch = %watch.id, error = %chain(&error), "a watch cannot look");
            }
        }
    }
    if taken > 0 {
        state.grading.wake();
    }
    Ok(taken)
}

async fn look_of(state: &AppState, watch: &Watch, looks: &mut Looks) -> Result<Taken, WatchError> {
    let snapshot = state.store.snapshot(&watch.project);
    let from = Cursor::of(watch);
    let until = snapshot.now().as_micros() - snapshot.idle_micros();
    if until <= from.at {
        return Ok(Taken::default());
    }
    let next = Cursor {
        at: until,
        seq: looks.note(&snapshot, until, from.seq),
    };
    let judge = Deciding::of(state, watch).await?;
    let bounds = TraceBounds {
        above_seq: Some(from.seq),
        ..TraceBounds::default()
    };
    let settled = move |entry: &TraceEntry| {
        let last = entry.row.last_received_at.as_micros();
        from.at < last && last <= until
    };
    let cursor = Some(next.text());
    judge.take(state, snapshot, bounds, settled, cursor).await
}

/// Has a watch decide on what began in a span of time, as if it had looked then. Returns how many traces
/// it takes.
pub(super) async fn backfill(
    state: &AppState,
    watch: &Watch,
    from: Option<Time>,
    until: Option<Time>,
) -> Result<Taken, WatchError> {
    let snapshot = state.store.snapshot(&watch.project);
    let judge = Deciding::of(state, watch).await?;
    let bounds = TraceBounds {
        started_from: from,
        started_until: until,
        above_seq: None,
    };
    let before = snapshot.now().as_micros() - snapshot.idle_micros();
    let settled = move |entry: &TraceEntry| entry.row.last_received_at.as_micros() <= before;
    let taken = judge.take(state, snapshot, bounds, settled, None).await?;
    if taken.new > 0 {
        state.grading.wake();
    }
    Ok(taken)
}

/// How many traces a watch takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Those that its run did not have.
    pub(super) new: usize,
    /// Those that its run had already: each is graded once.
    pub(super) known: usize,
}

/// What a watch decides by.
#[derive(Debug)]
struct Deciding {
    watch: Watch,
    filter: TraceFilter,
    sampler: Sampler,
    /// Why nothing more is taken today.
    spent: Option<String>,
    /// Whether a trace without content would only be asked about for nothing.
    needs_content: bool,
}

/// What was decided on some traces.
#[derive(Debug, Default)]
struct Decided {
    decisions: Vec<Decision>,
    items: Vec<NewGradingItem>,
}

impl Deciding {
    async fn of(state: &AppState, watch: &Watch) -> Result<Self, WatchError> {
        let meta = state.store.meta();
        let run = meta.grading_run(&watch.project, &watch.run_id).await?;
        require_run(&run)?;
        let spent = spent_today(state, watch, &run).await?;
        let plan = Plan::stored(&run.graders)?;
        let filter: serde_json::Value = serde_json::from_str(&watch.filter)
            .map_err(|error| WatchError::Filter(error.to_string()))?;
        let filter = TraceFilter::from_json(&filter, state.clock.now())
            .map_err(|error| WatchError::Filter(error.to_string()))?;
        Ok(Self {
            sampler: Sampler::new(watch.id.as_bytes()),
            watch: watch.clone(),
            filter,
            spent,
            needs_content: plan.costs() == Costs::Judge,
        })
    }

    /// Decides on all that `settled` lets through, and writes it down some at a time: a look back over months
    /// holds no more than a look.
    async fn take(
        self,
        state: &AppState,
        snapshot: Arc<Snapshot>,
        bounds: TraceBounds,
        settled: impl Fn(&TraceEntry) -> bool + Send + 'static,
        cursor: Option<String>,
    ) -> Result<Taken, WatchError> {
        let (id, run_id) = (self.watch.id.clone(), self.watch.run_id.clone());
        let (send, mut receive) = mpsc::channel(DECIDED_AHEAD);
        let reading = spawn_blocking(move || self.read(&snapshot, bounds, &settled, &send));
        let meta = state.store.meta();
        let mut taken = Taken::default();
        while let Some(Decided { items, decisions }) = receive.recv().await {
            // Items first: a decision that says `graded` is then true whatever happens.
            let new = meta.add_grading_items(&run_id, &items).await?;
            let new = usize::try_from(new).unwrap_or(usize::MAX);
            taken.new += new;
            taken.known += items.len().saturating_sub(new);
            meta.note_decisions(&id, &decisions, None).await?;
        }
        reading.await??;
        if let Some(cursor) = cursor {
            meta.note_decisions(&id, &[], Some(&cursor)).await?;
        }
        Ok(taken)
    }

    /// Decides on traces as they are read, until nobody takes what was decided.
    fn read(
        &self,
        snapshot: &Snapshot,
        bounds: TraceBounds,
        settled: &dyn Fn(&TraceEntry) -> bool,
        send: &mpsc::Sender<Decided>,
    ) -> Result<(), ReadError> {
        let columns = match self.filter.metadata.is_empty() {
            true => Columns::narrow(Table::Traces),
            false => Columns::all(Table::Traces),
        };
        let mut decided = Decided::default();
        snapshot.for_each_trace(bounds, &columns, &mut |entry| {
            if settled(&entry) {
                self.decide(snapshot, &entry, &mut decided);
            }
            if decided.decisions.len() < DECISIONS_PER_WRITE {
                return ControlFlow::Continue(());
            }
            match send.blocking_send(std::mem::take(&mut decided)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_gone) => ControlFlow::Break(()),
            }
        })?;
        if !decided.decisions.is_empty() {
            // Whoever does not take it has failed, and says why.
            let _sent = send.blocking_send(decided);
        }
        Ok(())
    }

    fn decide(&self, snapshot: &Snapshot, entry: &TraceEntry, decided: &mut Decided) {
        let (now, idle) = (snapshot.now(), snapshot.idle_micros());
        let row = &entry.row;
        let (decision, why) = if !self.filter.matches(row, now, idle) {
            ("filtered_out", None)
        } else if !self.samples(row.item.trace_id.as_str()) {
            let rate = self.watch.sampling_rate;
            ("sampled_out", Some(format!("the sampling rate is {rate}")))
        } else if self.needs_content && row.content == Content::None {
            let why = "its sender gave no prompts and answers, so a judge has nothing to read";
            ("no_content", Some(why.to_owned()))
        } else if let Some(spent) = &self.spent {
            ("budget", Some(spent.clone()))
        } else {
            ("graded", None)
        };
        if decision == "graded" {
            decided.items.push(NewGradingItem {
                trace_id: row.item.trace_id.clone(),
                group_id: row.item.group_id.clone(),
                stratum: None,
                weight: 1.0 / self.watch.sampling_rate.max(f64::MIN_POSITIVE),
                trace_started_at: entry.home_started_at,
                counterpart: None,
                reference: None,
            });
        }
        decided.decisions.push(Decision {
            trace_id: row.item.trace_id.clone(),
            at: now,
            decision: decision.to_owned(),
            why,
        });
    }

    /// Returns whether a trace is in the sample: whether its hash is in the lowest part of all there are.
    fn samples(&self, trace_id: &str) -> bool {
        let rank = self.sampler.rank(trace_id);
        let (first, _) = rank.split_at(8);
        let first = u64::from_be_bytes(first.try_into().expect("a rank has 32 bytes"));
        (first as f64 / 2f64.powi(64)) < self.watch.sampling_rate
    }
}

/// Refuses a run that takes no more traces: a decision to grade one would not be true.
fn require_run(run: &GradingRun) -> Result<(), WatchError> {
    let next = match run.status {
        GradingStatus::Failed => "turn the watch on again to go on with it",
        status if status.is_final() => "make a new watch",
        _ => return Ok(()),
    };
    Err(WatchError::Over {
        run_id: run.id.clone(),
        status: run.status,
        next,
    })
}

/// Sees to it that a watch spends no more on a day than it may, and returns why it has spent all, if it has.
///
/// The run's own cap is the day's: what it had spent before the day, and what the day allows. So whoever
/// grades stops at the cent, and goes on when a new day has begun.
async fn spent_today(
    state: &AppState,
    watch: &Watch,
    run: &GradingRun,
) -> Result<Option<String>, WatchError> {
    let Some(day) = watch.cap_per_day else {
        return Ok(None);
    };
    let meta = state.store.meta();
    let today = meta.grading_spent_on(&run.id, state.clock.now()).await?;
    let cap = NanoUsd(run.spent.0.saturating_sub(today.0).saturating_add(day.0));
    let mut is_paused = run.status == GradingStatus::Paused
        && run
            .reason
            .as_deref()
            .is_some_and(|why| why.starts_with(BUDGET_REASON));
    if run.cap != Some(cap) {
        meta.set_grading_cap("watch", &watch.project, &run.id, Some(cap))
            .await?;
        if is_paused && run.cap < Some(cap) {
            let paused = [GradingStatus::Paused];
            meta.set_grading_status(None, &run.id, &paused, GradingStatus::Queued, None)
                .await?;
            is_paused = false;
            state.grading.wake();
        }
    }
    let is_spent = today >= day || is_paused;
    Ok(is_spent.then(|| {
        let (today, day) = (today.to_usd(), day.to_usd());
        format!("${today:.2} of the day's ${day:.2} are spent")
    }))
}
