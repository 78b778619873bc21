//! What does the runs: takes their traces, grades them, keeps what was found.
//!
//! Everything that lasts is in `meta.db` and in the lake. A trace is leased, graded, its grades are logged,
//! and only then is it marked as done (G1): cut off between the two, it is graded again after the next
//! start, with answers that are kept, and grades of the same key take the place of those that were there.
//! So nothing is lost, and nothing counts twice.
//!
//! A halt is no verdict: where the money is gone, or every further question would fail like the last, the
//! run pauses and says so, with everything that was paid for kept.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use grade::judge::Budget;
use grade::trace::{Costs, Halt};
use model::{Grade, NanoUsd, ProjectId, Time, TraceId};
use store::AppendError;
use store::meta::{FinishedItem, GradingItem, GradingRun, GradingStatus, ItemEnd, MetaError};
use tokio::task::JoinSet;

use super::context::{ContextError, Known, baseline_moment, baselines_of};
use super::item::{Bench, ItemGrades};
use super::judge::ProjectJudge;
use super::plan::{Plan, PlanError};
use super::recorded;
use super::stopping::Stopping;
use super::usual::Wanted;
use crate::app::ServeError;
use crate::error::{ApiError, chain};
use crate::read::{LoadError, Viewed, blocking, for_each_view, view_of};
use crate::state::AppState;
use crate::turns::{self, Job, Kind, Next, TRIED_AGAIN_AFTER, Turn};

/// Traces that are graded at a time by graders that ask nobody.
const TRACES_PER_CHUNK: u32 = 256;

/// So many of those at the same time: one reads while the other is written down.
const CHUNKS_AT_ONCE: usize = 2;

/// For so long nobody else gets what a worker holds, unless it says that it still works on it.
const LEASE: Duration = Duration::from_secs(120);

/// How often it says so.
const RENEWED_EVERY: Duration = Duration::from_secs(30);

/// A run that has worked for so long gives its place up if others wait.
const SLICE: Duration = Duration::from_secs(20);

/// Judges that are being asked when the server stops may answer within this time; what they say later is
/// asked again.
const GRACE: Duration = Duration::from_secs(5);

/// When somebody stops a run, judges that are being asked may answer within this time. It is longer than
/// the server's own: what is cut off by its end costs nothing that is known.
const STOP_GRACE: Duration = Duration::from_secs(8);

/// So long grades wait for the store to have room. Nobody waits for them.
const ROOM_PATIENCE: Duration = Duration::from_secs(30);

/// Graded traces that are written down at once, if so many are there.
const TRACES_PER_WRITE: usize = 64;

/// For want of memory a trace is tried again so often, ...
const LOADS_MAX: u32 = 60;

/// ... after so long.
const LOADED_AGAIN_AFTER: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 500 });

/// What the reason of a run begins with that pauses because its money is gone.
pub(super) const BUDGET_REASON: &str = "budget: ";

impl Job for GradingRun {
    fn id(&self) -> &str {
        &self.id
    }

    fn project(&self) -> &ProjectId {
        &self.project
    }

    /// What asks judges or runs code is in the order of a hash, or is fed by a watch and has a cap.
    fn asks(&self) -> bool {
        self.in_order_of_hash || self.cap.is_some()
    }
}

/// Does runs until the server stops.
pub(super) async fn run(
    state: AppState,
    stopped: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let began = state.clock.now();
    let kind = Kind {
        turns: |shared| &shared.grading.turns,
        at_once: state.config.grading.runs_at_once,
        grace: GRACE,
        list: |state: AppState| async move { Ok(state.store.meta().open_grading_runs().await?) },
        work: move |turn, run| work(turn, run, began),
    };
    turns::run(state, kind, stopped).await;
    Ok(())
}

/// Why a run cannot go on just now, or at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error("failed to read or write the run")]
    Meta(#[from] MetaError),
    #[error("failed to understand what was stored of the run")]
    Plan(#[from] PlanError),
    #[error("failed to keep grades")]
    Append(#[from] AppendError),
    #[error("failed to read traces")]
    Load(#[from] LoadError),
    #[error("failed to make ready what rules ask of earlier traces")]
    Context(#[from] ContextError),
    #[error("failed to grade")]
    Api(ApiErrorText),
}

/// What an error of the API says, for those who have no request to answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct ApiErrorText(String);

impl From<ApiError> for RunError {
    fn from(error: ApiError) -> Self {
        Self::Api(ApiErrorText(error.to_string()))
    }
}

impl From<store::DbError> for RunError {
    fn from(error: store::DbError) -> Self {
        Self::Meta(error.into())
    }
}

/// Works on a run for a while.
async fn work(turn: Arc<Turn>, run: GradingRun, began: Time) -> Next {
    let (state, id) = (Arc::clone(&turn.state), run.id.clone());
    let owner = state.config.store.node.clone();
    let worked = AssertUnwindSafe(turn_of(&turn, run, began, owner));
    let error = match worked.catch_unwind().await {
        Ok(Ok(next)) => return next,
        // Somebody deleted it.
        Ok(Err(RunError::Meta(MetaError::NotFound { .. }))) => return Next::Turn,
        Ok(Err(RunError::Plan(error))) => {
            fail(&state, &id, &chain(&error)).await;
            return Next::Turn;
        }
        Ok(Err(error)) => chain(&error),
        Err(_panic) => {
            fail(&state, &id, "a bug on the server: its log has the place").await;
            return Next::Turn;
        }
    };
    tracing::error!(run = %id, %error, "a grading run cannot go on; it is tried again");
    tokio::time::sleep(TRIED_AGAIN_AFTER).await;
    Next::Turn
}

/// Ends a run that cannot go on.
pub(super) async fn fail(state: &AppState, run_id: &str, why: &str) {
    tracing::error!(run = run_id, why, "a grading run failed");
    let from = [
        GradingStatus::Selecting,
        GradingStatus::Queued,
        GradingStatus::InProgress,
    ];
    let meta = state.store.meta();
    let failed = meta.set_grading_status(None, run_id, &from, GradingStatus::Failed, Some(why));
    if let Err(error) = failed.await {
        tracing::error!(run = run_id, error = %chain(&error), "failed to end a grading run");
        tokio::time::sleep(TRIED_AGAIN_AFTER).await;
    }
}

/// Has a turn at a run.
async fn turn_of(
    turn: &Arc<Turn>,
    run: GradingRun,
    began: Time,
    owner: String,
) -> Result<Next, RunError> {
    let state = &turn.state;
    let meta = state.store.meta();
    if run.status == GradingStatus::Selecting {
        if run.created_at < began {
            let why = "the server stopped while the traces were being chosen; nothing was graded: ask again";
            fail(state, &run.id, why).await;
        }
        // Else a request is at it.
        return Ok(Next::Change);
    }
    let queued = [GradingStatus::Queued];
    meta.set_grading_status(None, &run.id, &queued, GradingStatus::InProgress, None)
        .await?;
    let worker = Arc::new(Worker::new(Arc::clone(turn), run, owner).await?);
    // Whoever held them before had our name and is no more: a turn is the only one at a run.
    worker.release().await?;
    let ended = match worker.bench.plan.costs() {
        Costs::Nothing => worker.grade_in_bulk().await?,
        Costs::Code | Costs::Judge => worker.grade_with_services().await?,
    };
    worker.end_turn(ended).await
}

/// Why a turn is over.
#[derive(Debug)]
pub(super) enum TurnEnd {
    /// Nothing waits.
    Dry,
    /// Others wait, or somebody changed the run.
    Break,
    /// It cannot go on.
    Halted(Halt),
    /// Not so many traces have room in memory at once.
    Crowded,
    /// What it was to find out is known.
    Stopped(String),
}

/// One turn at one run.
#[derive(Debug)]
pub(super) struct Worker {
    turn: Arc<Turn>,
    bench: Bench,
    /// By whom leases are held.
    owner: String,
    began: Instant,
}

/// A trace that was worked on.
struct Done {
    item: GradingItem,
    spent: NanoUsd,
    came: Came,
}

/// What came of it.
enum Came {
    Graded(ItemGrades),
    Halted(Halt),
    /// The run was stopped before a judge had answered.
    Stopped,
    /// Others have the memory that it takes.
    Crowded,
}

/// A trace, and the one that it is held against.
type Both = (Viewed, Option<Viewed>);

impl Worker {
    pub(super) async fn new(
        turn: Arc<Turn>,
        run: GradingRun,
        owner: String,
    ) -> Result<Self, RunError> {
        let plan = Plan::stored(&run.graders)?;
        let usual = (
            baseline_moment(&turn.state, &run),
            Wanted::by_plan(plan.graders()),
        );
        let known = Known::of_run(&turn.state, &run);
        let known = known.with_usual(&turn.state, &run.project, usual).await?;
        let graders = plan.graders().iter();
        let hashes = graders.map(|one| known.grader_hash(&one.grader)).collect();
        let baselines = baselines_of(&turn.state, &run, &plan).await?;
        let bench = Bench {
            seed: run.id.clone(),
            run,
            plan,
            known,
            hashes,
            baselines,
        };
        Ok(Self {
            turn,
            bench,
            owner,
            began: Instant::now(),
        })
    }

    fn state(&self) -> &AppState {
        &self.turn.state
    }

    fn run(&self) -> &GradingRun {
        &self.bench.run
    }

    fn has_worked_enough(&self) -> bool {
        self.began.elapsed() > SLICE && self.turn.others_wait()
    }

    async fn lease(&self, limit: u32) -> Result<Vec<GradingItem>, RunError> {
        let meta = self.state().store.meta();
        let leased = meta.lease_grading_items(&self.run().id, &self.owner, limit, LEASE);
        Ok(leased.await?)
    }

    async fn release(&self) -> Result<(), RunError> {
        let meta = self.state().store.meta();
        meta.release_grading_items(&self.run().id, &self.owner)
            .await?;
        Ok(())
    }

    async fn renew(&self) -> Result<(), RunError> {
        let meta = self.state().store.meta();
        meta.renew_grading_leases(&self.run().id, &self.owner, LEASE)
            .await?;
        Ok(())
    }

    /// Keeps grades, then says that their traces are done. Returns whether the run goes on as it is.
    async fn keep(&self, grades: Vec<Grade>, finished: &[FinishedItem]) -> Result<bool, RunError> {
        let (store, run) = (&self.state().store, self.run());
        if !grades.is_empty() {
            store.wait_for_room(ROOM_PATIENCE).await?;
            store.append_grades(&run.project, grades).await?;
        }
        let meta = store.meta();
        let after = meta.finish_grading_items(&run.id, &self.owner, finished);
        let Some(after) = after.await? else {
            let (what, id) = ("grading run", run.id.clone());
            return Err(MetaError::NotFound { what, id }.into());
        };
        Ok(after.status == GradingStatus::InProgress && after.cap == run.cap)
    }

    /// Grades by graders that ask nobody, many traces at a time and in the order in which they lie.
    pub(super) async fn grade_in_bulk(self: &Arc<Self>) -> Result<TurnEnd, RunError> {
        let mut chunks = JoinSet::new();
        let (mut is_dry, mut goes_on) = (false, true);
        loop {
            let may_begin =
                goes_on && !is_dry && !self.turn.is_stopped() && !self.has_worked_enough();
            if may_begin && chunks.len() < CHUNKS_AT_ONCE {
                let items = self.lease(TRACES_PER_CHUNK).await?;
                is_dry = items.is_empty();
                if !is_dry {
                    let this = Arc::clone(self);
                    chunks.spawn(async move { this.grade_chunk(items).await });
                }
                continue;
            }
            let Some(done) = chunks.join_next().await else {
                break;
            };
            goes_on &= done.map_err(ApiError::internal)??;
        }
        Ok(match is_dry {
            true => TurnEnd::Dry,
            false => TurnEnd::Break,
        })
    }

    /// Grades some traces. Returns whether the run goes on as it is.
    async fn grade_chunk(self: Arc<Self>, items: Vec<GradingItem>) -> Result<bool, RunError> {
        let items = Arc::new(items);
        let mut loads = 0;
        let grades = loop {
            let (this, of) = (Arc::clone(&self), Arc::clone(&items));
            match blocking(move || this.grade_chunk_now(&of)).await? {
                Err(LoadError::Full(_)) if loads < LOADS_MAX => {
                    loads += 1;
                    tokio::time::sleep(LOADED_AGAIN_AFTER).await;
                }
                Err(LoadError::Read(_)) if loads == 0 => loads += 1,
                // One of them cannot be read: each by itself, so that it does not take others along.
                Err(_) => {
                    let (this, of) = (Arc::clone(&self), Arc::clone(&items));
                    break blocking(move || this.grade_each_now(&of)).await?;
                }
                Ok(grades) => break grades,
            }
        };
        let finished: Vec<FinishedItem> = (items.iter().zip(&grades))
            .map(|(item, graded)| FinishedItem {
                position: item.position,
                end: graded.as_ref().map_or(ItemEnd::Scored, |it| it.end),
                spent: NanoUsd::default(),
            })
            .collect();
        let grades = grades.into_iter().flatten();
        let grades = grades.flat_map(|graded| graded.grades).collect();
        self.keep(grades, &finished).await
    }

    /// Grades traces that were read at once; of those that are gone there is nothing to say.
    fn grade_chunk_now(&self, items: &[GradingItem]) -> Result<Vec<Option<ItemGrades>>, LoadError> {
        let store = &self.state().store;
        let snapshot = store.snapshot(&self.run().project);
        let traces: Vec<(TraceId, Time)> = (items.iter())
            .map(|item| (item.trace_id.clone(), item.trace_started_at))
            .collect();
        let mut grades: Vec<Option<ItemGrades>> = Vec::new();
        grades.resize_with(items.len(), || None);
        let with_content = self.bench.plan.needs_content();
        let now = self.state().clock.now();
        for_each_view(
            &snapshot,
            store.ledger(),
            &traces,
            with_content,
            |at, view| {
                grades[at] = Some(self.bench.grade_now(&items[at], &view, now));
            },
        )?;
        Ok(grades)
    }

    /// Grades traces one by one; one that cannot be read is unscored.
    fn grade_each_now(&self, items: &[GradingItem]) -> Vec<Option<ItemGrades>> {
        let now = self.state().clock.now();
        let grade =
            |item: &GradingItem| match view_of(self.state(), &self.run().project, &item.trace_id) {
                Ok(viewed) => viewed.map(|it| self.bench.grade_now(item, &it.view, now)),
                Err(error) => Some(self.bench.unreadable(item, &chain(&error), now)),
            };
        items.iter().map(grade).collect()
    }

    /// Grades by graders that ask judges or run code, some traces at the same time.
    pub(super) async fn grade_with_services(self: &Arc<Self>) -> Result<TurnEnd, RunError> {
        let run = self.run();
        let budget = match run.cap {
            Some(cap) => Budget::new(cap, run.spent),
            None => Budget::without_cap(run.spent),
        };
        let judge = Arc::new(ProjectJudge::of(self.state(), &run.project, budget));
        let mut width = self.state().config.grading.traces_at_once;
        let mut stopping = Stopping::of(self.state(), &self.bench).await?;
        loop {
            let ended = self.grade_with(&judge, width, &mut stopping).await?;
            // What was set aside for others, money or memory, may be there again now that they are done.
            let is_better_alone = match &ended {
                TurnEnd::Halted(Halt::Budget(exhausted)) => {
                    exhausted.set_aside > NanoUsd::default()
                }
                TurnEnd::Crowded => true,
                _ => false,
            };
            if !is_better_alone || width == 1 {
                return Ok(ended);
            }
            width = 1;
        }
    }

    /// Grades `width` traces at a time until something ends it; what is under way then is finished.
    async fn grade_with(
        self: &Arc<Self>,
        judge: &Arc<ProjectJudge>,
        width: usize,
        stopping: &mut Option<Stopping>,
    ) -> Result<TurnEnd, RunError> {
        let mut under_way = JoinSet::new();
        let mut leased = Vec::new();
        let mut renewal = tokio::time::interval(RENEWED_EVERY);
        let mut ended = None;
        let mut stopped = None;
        let (mut is_dry, mut goes_on) = (false, true);
        loop {
            let may_begin = goes_on
                && !is_dry
                && ended.is_none()
                && stopped.is_none()
                && !self.turn.is_stopped()
                && !self.has_worked_enough();
            if may_begin && under_way.len() < width {
                if leased.is_empty() {
                    leased = self.lease(u32::try_from(width).unwrap_or(u32::MAX)).await?;
                    if let Some(stopping) = stopping {
                        stopping.begin(&leased);
                    }
                    leased.reverse();
                }
                match leased.pop() {
                    Some(item) => {
                        let (this, judge) = (Arc::clone(self), Arc::clone(judge));
                        let is_alone = width == 1;
                        let graded = async move { this.grade_one(&judge, item, is_alone).await };
                        under_way.spawn(graded);
                    }
                    None => is_dry = true,
                }
                continue;
            }
            tokio::select! {
                done = under_way.join_next() => {
                    let Some(done) = done else { break };
                    let mut ready = vec![done.map_err(ApiError::internal)??];
                    while ready.len() < TRACES_PER_WRITE
                        && let Some(done) = under_way.try_join_next()
                    {
                        ready.push(done.map_err(ApiError::internal)??);
                    }
                    goes_on &= self.keep_done(ready, &mut ended, stopping).await?;
                    if let Some(stopping) = stopping {
                        stopped = stopped.or_else(|| stopping.reached());
                    }
                }
                _ = renewal.tick() => self.renew().await?,
            }
        }
        // What was leased and not begun.
        self.release().await?;
        Ok(match (ended, is_dry, stopped) {
            (Some(ended), ..) => ended,
            (None, true, _) => TurnEnd::Dry,
            (None, false, Some(why)) => TurnEnd::Stopped(why),
            (None, false, None) => TurnEnd::Break,
        })
    }

    /// Reads an item's trace, and the one that it is held against, if there is one; nothing if its own is
    /// gone. While there is no room for both it holds neither, and tries again.
    async fn load_item(
        &self,
        item: &GradingItem,
    ) -> Result<Result<Option<Both>, LoadError>, RunError> {
        let mut loads = 0;
        loop {
            let (state, project) = (Arc::clone(self.state()), self.run().project.clone());
            let (id, counterpart) = (item.trace_id.clone(), item.counterpart.clone());
            let read = move || -> Result<Option<Both>, LoadError> {
                let Some(own) = view_of(&state, &project, &id)? else {
                    return Ok(None);
                };
                let other = counterpart.map(|id| view_of(&state, &project, &id));
                Ok(Some((own, other.transpose()?.flatten())))
            };
            match blocking(read).await? {
                Err(LoadError::Full(_)) if loads < LOADS_MAX && !self.turn.is_stopped() => {
                    loads += 1;
                    tokio::time::sleep(LOADED_AGAIN_AFTER).await;
                }
                other => return Ok(other),
            }
        }
    }

    /// Grades a trace; `is_alone` says that no other trace of the run is worked on.
    async fn grade_one(
        &self,
        judge: &ProjectJudge,
        item: GradingItem,
        is_alone: bool,
    ) -> Result<Done, RunError> {
        let state = self.state();
        let loaded = self.load_item(&item).await?;
        let payer = format!("{}/{}/{}", self.run().id, item.position, item.attempt);
        let bill = judge
            .bill(Some(&item.trace_id), Some(payer), item.spent)
            .compared_with(item.counterpart.as_ref());
        let came = match loaded {
            Ok(Some((own, other))) => {
                let now = || state.clock.now();
                let views = (&own.view, other.as_ref().map(|other| &other.view));
                tokio::select! {
                    graded = self.bench.grade(&item, views, &bill, now) => {
                        graded.map_or_else(Came::Halted, Came::Graded)
                    }
                    () = self.cut_off() => Came::Stopped,
                }
            }
            // It was deleted: of what is gone there is nothing to say.
            Ok(None) => Came::Graded(ItemGrades::default()),
            Err(LoadError::Full(_)) if self.turn.is_stopped() => Came::Stopped,
            Err(LoadError::Full(_)) if !is_alone => Came::Crowded,
            Err(error) => {
                let now = state.clock.now();
                Came::Graded(self.bench.unreadable(&item, &chain(&error), now))
            }
        };
        let spent = bill.unwritten();
        Ok(Done { item, spent, came })
    }

    /// Returns some time after the run was stopped: whoever has not answered by then is not waited for. What
    /// he was asked counts as spent, for it may be charged.
    async fn cut_off(&self) {
        self.turn.stopped().await;
        tokio::time::sleep(STOP_GRACE).await;
    }

    /// Keeps what came of some traces. Returns whether the run goes on as it is.
    async fn keep_done(
        &self,
        done: Vec<Done>,
        ended: &mut Option<TurnEnd>,
        stopping: &mut Option<Stopping>,
    ) -> Result<bool, RunError> {
        let mut grades = Vec::new();
        let mut finished = Vec::with_capacity(done.len());
        let mut asked = Vec::new();
        for one in done {
            let end = match one.came {
                Came::Graded(graded) => {
                    if let Some(stopping) = stopping {
                        stopping.put(&one.item, &graded.grades);
                    }
                    grades.extend(graded.grades);
                    let traces = (one.item.trace_id, one.item.counterpart);
                    asked.push((traces, graded.exchanges));
                    graded.end
                }
                Came::Stopped => ItemEnd::GivenBack,
                Came::Crowded => {
                    ended.get_or_insert(TurnEnd::Crowded);
                    ItemEnd::GivenBack
                }
                Came::Halted(halt) => {
                    // What every question fails of tells more than that the money is gone.
                    match ended {
                        Some(TurnEnd::Halted(Halt::Terminal(_))) => {}
                        _ => *ended = Some(TurnEnd::Halted(halt)),
                    }
                    ItemEnd::GivenBack
                }
            };
            finished.push(FinishedItem {
                position: one.item.position,
                end,
                spent: one.spent,
            });
        }
        let goes_on = self.keep(grades, &finished).await?;
        for ((trace_id, counterpart), exchanges) in asked {
            let traces = (&trace_id, counterpart.as_ref());
            recorded::record(self.state(), &self.bench, traces, exchanges).await;
        }
        Ok(goes_on)
    }

    /// Says where the run is after a turn.
    async fn end_turn(&self, ended: TurnEnd) -> Result<Next, RunError> {
        let meta = self.state().store.meta();
        let (id, at_work) = (&self.run().id, [GradingStatus::InProgress]);
        match ended {
            TurnEnd::Break | TurnEnd::Crowded => Ok(Next::Turn),
            TurnEnd::Halted(halt) => {
                let why = reason(&halt);
                tracing::warn!(run = %id, %why, "a grading run pauses");
                meta.set_grading_status(None, id, &at_work, GradingStatus::Paused, Some(&why))
                    .await?;
                Ok(Next::Turn)
            }
            TurnEnd::Stopped(why) => {
                tracing::info!(run = %id, %why, "a grading run stops early");
                meta.stop_grading_run(id, &why).await?;
                Ok(Next::Turn)
            }
            TurnEnd::Dry if self.run().watch_id.is_some() => Ok(Next::Change),
            TurnEnd::Dry => {
                let over =
                    meta.set_grading_status(None, id, &at_work, GradingStatus::Completed, None);
                if !over.await? && !self.turn.is_stopped() {
                    // Somebody else still holds some of it.
                    tokio::time::sleep(TRIED_AGAIN_AFTER).await;
                }
                Ok(Next::Turn)
            }
        }
    }
}

/// Reads a trace, again and again while there is no room for it.
pub(super) async fn load(
    state: &AppState,
    project: &ProjectId,
    id: &TraceId,
) -> Result<Result<Option<Viewed>, LoadError>, ApiError> {
    let mut loads = 0;
    loop {
        let (of, project, id) = (Arc::clone(state), project.clone(), id.clone());
        match blocking(move || view_of(&of, &project, &id)).await? {
            Err(LoadError::Full(_)) if loads < LOADS_MAX => {
                loads += 1;
                tokio::time::sleep(LOADED_AGAIN_AFTER).await;
            }
            other => return Ok(other),
        }
    }
}

/// Returns why a run pauses, and what to do about it.
fn reason(halt: &Halt) -> String {
    match halt {
        Halt::Budget(exhausted) => format!(
            "{BUDGET_REASON}{exhausted}: allow it more with POST …/cap and resume it; what was graded is kept, and is a random sample of the rest"
        ),
        Halt::Terminal(why) => format!("{why}: resume the run once that is put right"),
    }
}
