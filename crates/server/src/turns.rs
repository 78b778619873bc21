//! Work that outlasts requests and restarts: taken up some at a time, the projects in turn.
//!
//! What there is to do is written in `meta.db` and looked up anew whenever something may have changed, so
//! nothing here has to last. A job that takes long gives its place up now and then where others wait, and
//! the next place goes to the project that has the fewest: one project's million traces do not keep
//! another's fifty waiting.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use model::ProjectId;
use parking_lot::Mutex;
use store::meta::MetaError;
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};

use crate::error::chain;
use crate::state::{AppState, Shared};

/// So long after a failure of the database it is tried again.
pub(crate) const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Something to do.
pub(crate) trait Job: Send + 'static {
    /// Returns its id.
    fn id(&self) -> &str;
    /// Returns whose it is.
    fn project(&self) -> &ProjectId;
    /// Returns whether it asks somebody else and waits for him. Such jobs have places of their own: one that
    /// waits keeps nobody waiting who could go on.
    fn asks(&self) -> bool {
        true
    }
}

/// When a job is to be taken up again, if it is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// When it is its turn.
    Turn,
    /// When something was changed: there is nothing to do for it now.
    Change,
}

/// The jobs of one kind that are being worked on.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    woken: Notify,
    /// Counts changes.
    changes: AtomicU64,
    others_wait: AtomicBool,
    at_work: Mutex<HashMap<String, AtWork>>,
    /// Jobs for which there was nothing to do after so many changes.
    idle: Mutex<HashMap<String, u64>>,
}

#[derive(Debug)]
struct AtWork {
    project: ProjectId,
    stop: watch::Sender<bool>,
    task: AbortHandle,
    asks: bool,
}

impl Turns {
    /// Says that there may be something to do.
    pub(crate) fn wake(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.woken.notify_one();
    }

    /// Asks whoever works on a job to end: what is under way is finished, and nothing more begun.
    pub(crate) fn stop(&self, id: &str) {
        if let Some(work) = self.at_work.lock().get(id) {
            work.stop.send_replace(true);
        }
    }

    /// Ends the work on a job at once.
    pub(crate) fn cut_off(&self, id: &str) {
        if let Some(work) = self.at_work.lock().get(id) {
            work.task.abort();
        }
    }

    fn stop_all(&self) {
        for work in self.at_work.lock().values() {
            work.stop.send_replace(true);
        }
    }

    fn is_idle(&self, id: &str) -> bool {
        let since = self.idle.lock().get(id).copied();
        since == Some(self.changes.load(Ordering::SeqCst))
    }
}

/// The right to work on a job, until this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    /// What everybody shares.
    pub(crate) state: AppState,
    turns: fn(&Shared) -> &Turns,
    id: String,
    stopped: watch::Receiver<bool>,
    /// How many changes there were when it was taken up.
    changes: u64,
}

impl Turn {
    /// Returns a turn that nobody gave.
    #[cfg(test)]
    pub(crate) fn alone(state: &AppState, id: &str) -> Self {
        let (_nobody, stopped) = watch::channel(false);
        Self {
            state: Arc::clone(state),
            turns: |shared| &shared.runs,
            id: id.to_owned(),
            stopped,
            changes: 0,
        }
    }

    /// Returns whether the work is to end now.
    pub(crate) fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Returns when the work is to end.
    pub(crate) async fn stopped(&self) {
        let mut stopped = self.stopped.clone();
        if stopped.wait_for(|is_stopped| *is_stopped).await.is_err() {
            // Whoever could have said so is gone.
            std::future::pending::<()>().await;
        }
    }

    /// Returns whether other jobs wait for a place.
    pub(crate) fn others_wait(&self) -> bool {
        (self.turns)(&self.state)
            .others_wait
            .load(Ordering::Relaxed)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        (self.turns)(&self.state).at_work.lock().remove(&self.id);
    }
}

/// How jobs of one kind are done.
#[derive(Debug)]
pub(crate) struct Kind<L, W> {
    /// Where those are noted that are being worked on.
    pub(crate) turns: fn(&Shared) -> &Turns,
    /// So many that ask others are worked on at the same time, and as many that ask nobody.
    pub(crate) at_once: usize,
    /// When the server stops, work that ends by itself within this time is not cut off.
    pub(crate) grace: Duration,
    /// Returns all there are, oldest first.
    pub(crate) list: L,
    /// Works on one.
    pub(crate) work: W,
}

/// Does jobs until the server stops.
pub(crate) async fn run<J, L, Listed, W, Worked>(
    state: AppState,
    mut kind: Kind<L, W>,
    stopped: impl Future<Output = ()>,
) where
    J: Job,
    L: FnMut(AppState) -> Listed,
    Listed: Future<Output = Result<Vec<J>, MetaError>>,
    W: FnMut(Arc<Turn>, J) -> Worked,
    Worked: Future<Output = Next> + Send + 'static,
{
    let turns = (kind.turns)(&state);
    let mut stopped = std::pin::pin!(stopped);
    let mut tasks = JoinSet::new();
    let mut last_turns = LastTurns::default();
    loop {
        let next_look = match take_up(&state, &mut kind, &mut tasks, &mut last_turns).await {
            Ok(()) => Duration::MAX,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "failed to look for runs; the next look tries again");
                TRIED_AGAIN_AFTER
            }
        };
        tokio::select! {
            () = &mut stopped => break,
            () = turns.woken.notified() => {}
            () = tokio::time::sleep(next_look) => {}
            Some(_ended) = tasks.join_next(), if !tasks.is_empty() => {}
        }
    }
    turns.stop_all();
    let ended = async { while tasks.join_next().await.is_some() {} };
    let _late = tokio::time::timeout(kind.grace, ended).await;
    tasks.shutdown().await;
}

/// Which turn each job had last; 0: none yet.
#[derive(Debug, Default)]
struct LastTurns {
    count: u64,
    by_job: HashMap<String, u64>,
}

/// Starts to work on jobs that nobody works on, as many as may be.
async fn take_up<J, L, Listed, W, Worked>(
    state: &AppState,
    kind: &mut Kind<L, W>,
    tasks: &mut JoinSet<()>,
    last: &mut LastTurns,
) -> Result<(), MetaError>
where
    J: Job,
    L: FnMut(AppState) -> Listed,
    Listed: Future<Output = Result<Vec<J>, MetaError>>,
    W: FnMut(Arc<Turn>, J) -> Worked,
    Worked: Future<Output = Next> + Send + 'static,
{
    let turns = (kind.turns)(state);
    // Before the look: a change that comes during it is looked at again.
    let changes = turns.changes.load(Ordering::SeqCst);
    let mut waiting = (kind.list)(Arc::clone(state)).await?;
    last.by_job
        .retain(|id, _| waiting.iter().any(|job| job.id() == id));
    turns
        .idle
        .lock()
        .retain(|id, _| waiting.iter().any(|job| job.id() == id));
    waiting.retain(|job| !turns.at_work.lock().contains_key(job.id()) && !turns.is_idle(job.id()));
    while let Some(at) = next_of(&waiting, turns, last, kind.at_once) {
        let job = waiting.remove(at);
        last.count += 1;
        last.by_job.insert(job.id().to_owned(), last.count);
        let (stop, stopped) = watch::channel(false);
        let id = job.id().to_owned();
        let (project, asks) = (job.project().clone(), job.asks());
        let turn = Arc::new(Turn {
            state: Arc::clone(state),
            turns: kind.turns,
            id: id.clone(),
            stopped,
            changes,
        });
        // Held until it is noted, so that a task that ends at once does not end before.
        let mut at_work = turns.at_work.lock();
        let work = (kind.work)(Arc::clone(&turn), job);
        let task = tasks.spawn(note_end(turn, work));
        let work = AtWork {
            project,
            stop,
            task,
            asks,
        };
        at_work.insert(id, work);
    }
    turns
        .others_wait
        .store(!waiting.is_empty(), Ordering::Relaxed);
    Ok(())
}

/// Works, and notes if there was nothing to do.
async fn note_end(turn: Arc<Turn>, work: impl Future<Output = Next>) {
    if work.await == Next::Change {
        let mut idle = (turn.turns)(&turn.state).idle.lock();
        idle.insert(turn.id.clone(), turn.changes);
    }
}

/// Returns which job has the next turn: of the project with the fewest at work the one that waits longest.
fn next_of<J: Job>(
    waiting: &[J],
    turns: &Turns,
    last: &LastTurns,
    at_once: usize,
) -> Option<usize> {
    let at_work = turns.at_work.lock();
    let has_place = |asks: bool| {
        let same = at_work.values().filter(|work| work.asks == asks);
        same.count() < at_once
    };
    let places = [has_place(false), has_place(true)];
    let of_project = |project: &ProjectId| {
        let same = at_work.values().filter(|work| work.project == *project);
        same.count()
    };
    let key = |(at, job): (usize, &J)| {
        let last = last.by_job.get(job.id()).copied().unwrap_or(0);
        (of_project(job.project()), last, at)
    };
    let all = waiting.iter().enumerate();
    let having_place = all.filter(|(_, job)| places[usize::from(job.asks())]);
    let chosen = having_place.map(key).min();
    chosen.map(|(_, _, at)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Named(&'static str, ProjectId);

    impl Job for Named {
        fn id(&self) -> &str {
            self.0
        }

        fn project(&self) -> &ProjectId {
            &self.1
        }
    }

    #[derive(Debug)]
    struct Quick(ProjectId);

    impl Job for Quick {
        fn id(&self) -> &str {
            "quick"
        }

        fn project(&self) -> &ProjectId {
            &self.0
        }

        fn asks(&self) -> bool {
            false
        }
    }

    #[tokio::test]
    async fn the_next_turn_goes_to_the_project_with_the_fewest_and_the_job_that_waits_longest() {
        let project = |id: &str| ProjectId::new(id).unwrap();
        let turns = Turns::default();
        let mut tasks = JoinSet::new();
        let mut last = LastTurns::default();
        let jobs = [("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a")];
        let mut waiting: Vec<Named> = jobs.map(|(id, of)| Named(id, project(of))).into();
        let mut order = Vec::new();
        while let Some(at) = next_of(&waiting, &turns, &last, 4) {
            let job = waiting.remove(at);
            order.push(job.0);
            let (stop, _nobody) = watch::channel(false);
            let task = tasks.spawn(std::future::pending::<()>());
            let work = AtWork {
                project: job.1,
                stop,
                task,
                asks: true,
            };
            turns.at_work.lock().insert(job.0.to_owned(), work);
        }
        assert_eq!(order, ["a1", "b1", "a2", "a3"]);
        // Their places are taken; one that asks nobody has another.
        let more = [Named("a4", project("a"))];
        assert_eq!(next_of(&more, &turns, &last, 4), None);
        let quick = [Quick(project("a"))];
        assert_eq!(next_of(&quick, &turns, &last, 4), Some(0));
        turns.at_work.lock().clear();
        last.by_job.insert("a1".to_owned(), 7);
        last.by_job.insert("a2".to_owned(), 3);
        let waiting = [Named("a1", project("a")), Named("a2", project("a"))];
        assert_eq!(next_of(&waiting, &turns, &last, 4), Some(1));
    }

    #[test]
    fn a_change_that_comes_while_there_is_nothing_to_do_is_not_missed() {
        let turns = Turns::default();
        turns.idle.lock().insert("r".to_owned(), 0);
        assert!(turns.is_idle("r"));
        turns.wake();
        assert!(!turns.is_idle("r"));
    }
}
