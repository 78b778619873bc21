//! What runs by itself: flush, merge, erase, tidy up. One task each, all stopped together.
//!
//! A lane does its work, then sleeps until it is woken or its tick comes. An error is logged once
//! and the lane goes on: a full disk may have room again, and nothing is lost meanwhile, for rows
//! stay in memory and in the log and senders are told to wait.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::engine::{Engine, StoreError};

const FLUSH_TICK: Duration = Duration::from_millis(200);
const MERGE_TICK: Duration = Duration::from_secs(2);
const TIDY_TICK: Duration = Duration::from_secs(10);
/// After an error: a broken disk should not fill the log file too.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);

/// The running lanes.
#[derive(Debug)]
pub(crate) struct Lanes {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Lanes {
    /// Starts every lane.
    pub(crate) fn start(engine: &Arc<Engine>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut lane = |name, tick, work: Work| {
            tasks.spawn(run(name, tick, work, Arc::clone(engine), stopped.clone()));
        };
        lane("flush", FLUSH_TICK, |engine| {
            Box::pin(async move { engine.flush_due().await })
        });
        lane("merge", MERGE_TICK, |engine| {
            Box::pin(async move { engine.merge_all().await.map(drop) })
        });
        lane("erase", MERGE_TICK, |engine| {
            Box::pin(async move { engine.erase_due().await.map(drop) })
        });
        lane("tidy", TIDY_TICK, |engine| {
            Box::pin(async move { engine.tidy().await })
        });
        Self { stop, tasks }
    }

    /// Stops every lane after the work at hand.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a lane of the store died");
            }
        }
    }
}

type Work =
    fn(Arc<Engine>) -> std::pin::Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

async fn run(
    name: &'static str,
    tick: Duration,
    work: Work,
    engine: Arc<Engine>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut failing = false;
    while !*stopped.borrow() && engine.stopped().is_none() {
        let pause = match work(Arc::clone(&engine)).await {
            Ok(()) => {
                failing = false;
                tick
            }
            Err(error) => {
                if !failing {
                    tracing::error!(
                        lane = name,
                        error = chain(&error),
                        "a lane of the store failed; it tries again"
                    );
                }
                failing = true;
                engine
                    .counters
                    .lane_failures
                    .fetch_add(1, Ordering::Relaxed);
                PAUSE_AFTER_ERROR
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = engine.wake.notified(), if !failing => {}
            _ = stopped.changed() => {}
        }
    }
}

/// Returns an error with all its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
