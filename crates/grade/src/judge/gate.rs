//! The place where questions to one model wait for their turn.

use std::sync::Arc;

use parking_lot::Mutex;
use reqwest::header::HeaderMap;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::pace::{Fared, Pace, Pacing, Turn};

/// A gate before one model at one provider.
#[derive(Debug)]
pub(super) struct Gate {
    pace: Mutex<Pace>,
    ended: Notify,
}

/// A question that is being asked. One that is dropped without a word fared badly.
#[derive(Debug)]
pub(super) struct Passed {
    gate: Arc<Gate>,
    epoch: u64,
    fared: Fared,
}

impl Gate {
    pub(super) fn new(pacing: Pacing) -> Self {
        Self {
            pace: Mutex::new(Pace::new(pacing)),
            ended: Notify::new(),
        }
    }

    /// Waits until a question of so many tokens may be asked.
    pub(super) async fn pass(self: &Arc<Self>, tokens: f64) -> Passed {
        loop {
            // Listens before it looks, so that no end is missed in between.
            let ended = self.ended.notified();
            let turn = self.pace.lock().turn(Instant::now(), tokens);
            if turn != Turn::Later {
                // Who waits is woken one by one, by the one before, who may give up while he sleeps.
                self.ended.notify_one();
            }
            match turn {
                Turn::Go { epoch } => {
                    let gate = self.clone();
                    let fared = Fared::Badly;
                    return Passed { gate, epoch, fared };
                }
                Turn::At(until) => tokio::time::sleep_until(until).await,
                Turn::Later => ended.await,
            }
        }
    }
}

impl Passed {
    /// Takes note of the headers of an answer.
    pub(super) fn note(&self, headers: &HeaderMap) {
        self.gate.pace.lock().note(Instant::now(), headers);
    }

    /// Says how it fared.
    pub(super) fn end(mut self, fared: Fared) {
        self.fared = fared;
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        let mut pace = self.gate.pace.lock();
        pace.end(Instant::now(), self.epoch, self.fared);
        drop(pace);
        self.gate.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    use super::{Arc, Fared, Gate, Instant, Pacing};

    #[tokio::test]
    async fn questions_wait_for_each_other() {
        let gate = Arc::new(Gate::new(Pacing::default()));
        let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let begun = Instant::now();
        let asked = (0..40).map(|_| {
            let (gate, inside, most) = (gate.clone(), inside.clone(), most.clone());
            async move {
                let passed = gate.pass(1.0).await;
                most.fetch_max(inside.fetch_add(1, Relaxed) + 1, Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
                inside.fetch_sub(1, Relaxed);
                passed.end(Fared::Well);
            }
        });
        let mut tasks = tokio::task::JoinSet::new();
        asked.for_each(|it| drop(tasks.spawn(it)));
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        // Five rounds of four, then four of five; on a busy machine they take longer.
        assert_eq!(most.load(Relaxed), 5);
        assert!(begun.elapsed() >= Duration::from_millis(9 * 20));
    }

    #[tokio::test]
    async fn all_wait_as_long_as_one_was_told() {
        let gate = Arc::new(Gate::new(Pacing::default()));
        let begun = Instant::now();
        let after = Some(Duration::from_millis(150));
        gate.pass(1.0).await.end(Fared::TooMany { after });
        let both = tokio::join!(gate.pass(1.0), gate.pass(1.0));
        assert!(begun.elapsed() >= Duration::from_millis(150));
        drop(both);
    }

    #[tokio::test]
    async fn one_that_gives_up_while_all_wait_holds_up_nobody() {
        let pacing = Pacing {
            start: 1,
            ..Pacing::default()
        };
        let gate = Arc::new(Gate::new(pacing));
        let first = gate.pass(1.0).await;
        let second = tokio::time::timeout(Duration::from_millis(20), gate.pass(1.0));
        let third = tokio::time::timeout(Duration::from_secs(60), gate.pass(1.0));
        let after = Some(Duration::from_millis(300));
        let end = async { first.end(Fared::TooMany { after }) };
        let (second, third, ()) = tokio::join!(second, third, end);
        assert!(second.is_err() && third.is_ok());
    }

    #[tokio::test]
    async fn a_question_that_is_given_up_makes_room() {
        let pacing = Pacing {
            start: 1,
            ..Pacing::default()
        };
        let gate = Arc::new(Gate::new(pacing));
        drop(gate.pass(1.0).await);
        let waiting = tokio::time::timeout(Duration::from_secs(60), gate.pass(1.0)).await;
        assert!(waiting.is_ok());
    }
}
