//! What was accepted goes on to others: every span once at least, in the order of the log.
//!
//! Each target has a task, a connection and a place in the log of its own. A target that is slow, dead
//! or refuses holds up nobody: the log keeps what it has not taken, up to a bound; beyond that the
//! oldest is given up and counted. The place is written to `meta.db` behind each delivery, so a process
//! that dies delivers the last rows again, and never leaves any out.
//!
//! The place is in `meta.db` and not in a file of its own for the sake of backups: these copy log and
//! `meta.db` at one moment, and a place from another day would skip rows.

mod batch;
mod deliver;
pub(crate) mod settings;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use model::{ProjectId, Time};
use parking_lot::Mutex;
use reqwest::Client;
use serde::Serialize;
use store::meta::MetaError;
use store::wal::{Follower, WalError};
use store::{ReadError, Store};
use tokio::sync::watch;
use tokio::task::{JoinError, spawn_blocking};
use utoipa::ToSchema;

use crate::app::stopping;
use crate::error::chain;
use crate::state::{AppState, Shared};

use batch::{Gathered, Outgoing, gather, rows_of, weighed};
use deliver::{Verdict, pause, send};
pub use settings::{ForwardSettings, TargetKind};

/// So often the log is looked at where there was nothing new.
const LOOKED_AT_EVERY: Duration = Duration::from_millis(250);

/// While a pause lasts, it is seen to so often that what waits does not grow too old.
const PAUSE_STEP: Duration = Duration::from_secs(5);

/// So much of the log is read at once.
const READ_BYTES: usize = 1 << 20;

/// After an error of our own.
const FAULT_PAUSE: Duration = Duration::from_secs(5);

/// All targets.
#[derive(Debug)]
pub(crate) struct Forwards {
    all: Vec<Arc<Forward>>,
}

/// One target, and how far it is.
#[derive(Debug)]
struct Forward {
    settings: ForwardSettings,
    follower: Mutex<Follower>,
    figures: Mutex<Figures>,
}

/// How a target does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct Figures {
    /// The number of the newest row that is done with: taken, refused, left out or given up.
    cursor: u64,
    /// Spans and log records that the target took.
    sent: u64,
    /// Spans that the filter or the sample leaves out.
    filtered: u64,
    /// Spans in requests that the target refused for good.
    refused: u64,
    /// Spans that were lost to this target: they waited too long, or the log could not keep them.
    given_up: u64,
    /// Requests that were sent again.
    retries: u64,
    /// What went wrong last.
    last_error: Option<String>,
    /// When that was.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_error_at: Option<Time>,
    /// When the target took something last.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_sent_at: Option<Time>,
    /// When what is being sent came in; nothing while nothing waits.
    #[serde(skip)]
    waiting_since: Option<Time>,
}

/// One target as it is told.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ForwardStatus {
    name: String,
    /// `otlp`, `openai` or `webhook`.
    kind: &'static str,
    /// Bytes of the log that were not read for it yet.
    lag_bytes: u64,
    /// For how long the oldest row that is being sent has waited.
    lag_seconds: f64,
    #[serde(flatten)]
    figures: Figures,
}

/// Why rows could not be made ready.
#[derive(Debug, thiserror::Error)]
enum ForwardError {
    #[error("failed to read the log")]
    Log(#[from] WalError),
    #[error("failed to read a trace")]
    Read(#[from] ReadError),
    #[error("failed to write down how far a target is")]
    Meta(#[from] MetaError),
    #[error("a worker died")]
    Worker(#[from] JoinError),
}

/// Rows that are ready to be sent.
#[derive(Debug, Default)]
struct Ready {
    /// The newest frame among them; `None`: there was nothing.
    upto_seq: Option<u64>,
    waiting_since: Option<Time>,
    gathered: Gathered,
    given_up: u64,
}

impl Forwards {
    /// Opens the log for each target, where it was left off; for a new one at its end.
    pub(crate) async fn open(
        store: &Store,
        settings: &[ForwardSettings],
    ) -> Result<Self, MetaError> {
        let mut all = Vec::with_capacity(settings.len());
        let known = store.meta().log_cursors().await?;
        for settings in settings {
            let end = store.log_end();
            // A place beyond the end is that of another log.
            let cursor = known.get(&settings.name).copied().filter(|seq| *seq <= end);
            let cursor = cursor.unwrap_or(end);
            store.meta().set_log_cursor(&settings.name, cursor).await?;
            let figures = Figures {
                cursor,
                ..Figures::default()
            };
            all.push(Arc::new(Forward {
                settings: settings.clone(),
                follower: Mutex::new(store.follow(cursor)),
                figures: Mutex::new(figures),
            }));
        }
        Ok(Self { all })
    }

    /// Forgets targets that are no longer named, and lets the log go as far as none of the others needs
    /// it: only the server that forwards may decide so, and not a command that opens the folder.
    pub(crate) async fn take_over(&self, store: &Store) -> Result<(), MetaError> {
        let names: Vec<&str> = self
            .all
            .iter()
            .map(|one| one.settings.name.as_str())
            .collect();
        for name in store.meta().log_cursors().await?.keys() {
            if !names.contains(&name.as_str()) {
                tracing::warn!(
                    name,
                    "a forwarder is no longer configured; its place is forgotten"
                );
                store.meta().forget_log_cursor(name).await?;
            }
        }
        store.release_log();
        Ok(())
    }

    /// Returns a task for each target.
    pub(crate) fn tasks(
        state: &AppState,
        stop: &watch::Receiver<bool>,
    ) -> Result<Vec<impl Future<Output = ()> + Send + use<>>, reqwest::Error> {
        // Fails where another part of the process has chosen one already.
        let _first = rustls::crypto::ring::default_provider().install_default();
        let forwards = state.forwards.all.iter();
        let task = |forward: &Arc<Forward>| -> Result<_, reqwest::Error> {
            // Nothing is followed: a redirect would carry keys and content to somebody else.
            let client = Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(forward.settings.timeout)
                .pool_max_idle_per_host(1);
            let client = match forward.settings.url.scheme() {
                "https" => client.build()?,
                _ => client.tls_certs_only([]).build()?,
            };
            let forward = Arc::clone(forward);
            Ok(run(forward, Arc::clone(state), client, stop.clone()))
        };
        forwards.map(task).collect()
    }

    /// Returns how the targets do that get rows of `project` and of no other, or all of them.
    pub(crate) fn statuses(&self, of: Option<&ProjectId>, now: Time) -> Vec<ForwardStatus> {
        let shown = |forward: &&Arc<Forward>| {
            of.is_none_or(|project| forward.settings.projects == [project.clone()])
        };
        let shown = self.all.iter().filter(shown);
        shown.map(|forward| forward.status(now)).collect()
    }
}

impl ForwardStatus {
    /// Returns its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns each count with what it counts.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 5] {
        let figures = &self.figures;
        [
            ("sent", figures.sent),
            ("filtered", figures.filtered),
            ("refused", figures.refused),
            ("given_up", figures.given_up),
            ("retries", figures.retries),
        ]
    }

    /// Returns how far it is behind, in bytes and seconds.
    pub(crate) fn lag(&self) -> (u64, f64) {
        (self.lag_bytes, self.lag_seconds)
    }
}

impl Forward {
    fn status(&self, now: Time) -> ForwardStatus {
        let figures = self.figures.lock().clone();
        let since = figures.waiting_since;
        ForwardStatus {
            name: self.settings.name.clone(),
            kind: match self.settings.kind {
                TargetKind::Otlp(_) => "otlp",
                TargetKind::Openai => "openai",
                TargetKind::Webhook => "webhook",
            },
            lag_bytes: self.follower.lock().unread_bytes(),
            lag_seconds: since.map_or(0.0, |since| now.millis_since(since).max(0.0) / 1e3),
            figures,
        }
    }

    fn count(&self, change: impl FnOnce(&mut Figures)) {
        change(&mut self.figures.lock());
    }

    fn fault(&self, now: Time, why: String) {
        self.count(|figures| {
            figures.last_error = Some(why);
            figures.last_error_at = Some(now);
        });
    }

    /// Returns whether something that came at `since` has waited too long, or too much waits behind it.
    fn is_too_far_behind(&self, since: Time, now: Time) -> bool {
        let waited = now.millis_since(since);
        waited > self.settings.lag_age_max.as_secs_f64() * 1e3
            || self.follower.lock().unread_bytes() > self.settings.lag_bytes_max
    }

    /// Reads on in the log and makes requests of what is there. Blocks.
    fn ready(&self, shared: &Shared) -> Result<Ready, ForwardError> {
        let followed = self.follower.lock().read(READ_BYTES)?;
        let mut ready = Ready {
            upto_seq: followed.frames.last().map(|frame| frame.seq),
            given_up: followed.missing,
            ..Ready::default()
        };
        let now = shared.clock.now();
        let mut records = Vec::new();
        for frame in &followed.frames {
            let Some(record) = rows_of(&self.settings, frame) else {
                continue;
            };
            let (since, spans) = weighed(&record);
            if self.is_too_far_behind(since, now) {
                ready.given_up += spans;
                continue;
            }
            ready.waiting_since.get_or_insert(since);
            records.push(record);
        }
        ready.gathered = gather(&shared.store, &self.settings, records)?;
        Ok(ready)
    }
}

/// Sends what comes in to one target until the server stops.
async fn run(forward: Arc<Forward>, state: AppState, client: Client, stop: watch::Receiver<bool>) {
    let mut stopped = std::pin::pin!(stopping(stop));
    loop {
        let step = step(&forward, &state, &client);
        let rest = tokio::select! {
            () = &mut stopped => return,
            done = step => match done {
                Ok(true) => continue,
                Ok(false) => LOOKED_AT_EVERY,
                Err(error) => {
                    let name = &forward.settings.name;
                    tracing::error!(name, cause = %chain(&error), "a forwarder cannot go on");
                    forward.fault(state.clock.now(), chain(&error));
                    FAULT_PAUSE
                }
            },
        };
        tokio::select! {
            () = &mut stopped => return,
            () = tokio::time::sleep(rest) => {}
        }
    }
}

/// Passes on what is there; returns whether there was anything.
async fn step(
    forward: &Arc<Forward>,
    state: &AppState,
    client: &Client,
) -> Result<bool, ForwardError> {
    let (this, shared) = (Arc::clone(forward), Arc::clone(state));
    let ready = spawn_blocking(move || this.ready(&shared)).await??;
    let Some(upto_seq) = ready.upto_seq else {
        return Ok(false);
    };
    forward.count(|figures| {
        figures.waiting_since = ready.waiting_since;
        figures.filtered += ready.gathered.filtered;
        figures.given_up += ready.given_up + ready.gathered.damaged;
    });
    let since = ready.waiting_since.unwrap_or_default();
    for request in &ready.gathered.requests {
        deliver(forward, state, client, request, since).await;
    }
    state
        .store
        .meta()
        .set_log_cursor(&forward.settings.name, upto_seq)
        .await?;
    forward.follower.lock().let_go(upto_seq);
    if let Err(error) = state.store.cut_log().await {
        tracing::warn!(%error, "failed to cut the log behind a forwarder; the next flush tries again");
    }
    forward.count(|figures| {
        figures.cursor = upto_seq;
        figures.waiting_since = None;
    });
    Ok(true)
}

/// Sends one request until it is taken, refused, or has waited too long.
async fn deliver(
    forward: &Forward,
    state: &AppState,
    client: &Client,
    request: &Outgoing,
    since: Time,
) {
    let mut tries = 0;
    loop {
        let verdict = send(client, &forward.settings, request).await;
        let now = state.clock.now();
        let (why, asked) = match verdict {
            Verdict::Taken(partly) => {
                let partly = partly.unwrap_or_default();
                let refused = partly.refused.min(request.spans);
                if refused > 0 {
                    let name = &forward.settings.name;
                    tracing::warn!(name, refused, why = partly.why, "a target refused rows");
                    forward.fault(now, partly.why);
                }
                return forward.count(|figures| {
                    figures.sent += request.spans - refused;
                    figures.refused += refused;
                    figures.last_sent_at = Some(now);
                });
            }
            Verdict::Refused(why) => {
                let name = &forward.settings.name;
                tracing::warn!(name, why, "a target refused rows");
                forward.fault(now, why);
                return forward.count(|figures| figures.refused += request.spans);
            }
            Verdict::Later(why, asked) => (why, asked),
        };
        forward.fault(now, why);
        tries += 1;
        let mut left = pause(tries, asked, luck());
        while !left.is_zero() {
            if forward.is_too_far_behind(since, state.clock.now()) {
                return forward.count(|figures| figures.given_up += request.spans);
            }
            let step = left.min(PAUSE_STEP);
            tokio::time::sleep(step).await;
            left -= step;
        }
        forward.count(|figures| figures.retries += 1);
    }
}

/// Returns a random number between 0 and 1.
fn luck() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness all come back at one time, which is no reason not to.
    if getrandom::fill(&mut bytes).is_err() {
        return 0.5;
    }
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}
