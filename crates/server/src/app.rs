//! From settings to a server that runs, and to one that has ended well.
//!
//! Three steps: [`Config::load`], [`App::build`], [`App::spawn`]. The socket comes in as an argument
//! and a handle comes out, so that a test starts the real server in its own process.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use bytes::Bytes;
use ingest::process::{ProcessRules, ProcessSettings, RuleError};
use model::{Clock, ProjectId, Source};
use query::{Engine, EngineError};
use store::disk::Disk;
use store::meta::MetaError;
use store::{Store, StoreError};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinSet, spawn_blocking};

use crate::archive::Archive;
use crate::auth::{Credentials, Door};
use crate::config::Config;
use crate::forward::Forwards;
use crate::grading::Gradings;
use crate::intake::{IntakeError, Taken, Wire};
use crate::keyring::Keyring;
use crate::listen::{Addresses, Listeners};
use crate::loss::LossLedger;
use crate::metrics::Metrics;
use crate::played::{Played, PlayedJudge};
use crate::prices::Prices;
use crate::projects::Projects;
use crate::proxy::{self, Proxy};
use crate::scope::Scope;
use crate::services::GradeServices;
use crate::state::{AppState, Shared};
use crate::turns::Turns;
use crate::{
    auth, capture, evals, grading, grpc, http, listen, operate, origin, otlp, read, sampling,
};

/// How often the use of keys is written down.
const KEY_USE_SAVED_EVERY: Duration = Duration::from_secs(60);

/// How often the store is asked whether it still runs.
const STORE_LOOKED_AT_EVERY: Duration = Duration::from_secs(1);

/// The server cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The store cannot be opened.
    #[error("failed to open the data folder")]
    Store(#[from] StoreError),
    /// Projects, keys or prices cannot be read.
    #[error("failed to read projects, keys and prices")]
    Meta(#[from] MetaError),
    /// The query engine does not start.
    #[error("failed to start the query engine")]
    Engine(#[from] EngineError),
    /// A rule for what comes in cannot be used.
    #[error("failed to prepare the rules for what comes in")]
    Rules(#[from] RuleError),
    /// Other machines could read and write everything.
    #[error(
        "refused to listen on {address}, which other machines can reach, before any API key was made: make \
         one with `tracegrade keys create admin --scopes admin --data-dir {data_dir}`, or give --allow-open \
         if anybody may read and write"
    )]
    Open {
        /// The address.
        address: SocketAddr,
        /// Where the key would be kept.
        data_dir: String,
    },
}

/// The server did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The signals that end the process cannot be listened for.
    #[error("failed to listen for the signals that end the server")]
    Signals(#[source] std::io::Error),
    /// The store did not shut down; what was acknowledged is in the log.
    #[error("failed to shut the store down")]
    Store(#[source] StoreError),
    /// The store has stopped by itself: the state of the disk is not known.
    #[error("the store has stopped after an error of the disk: {0}")]
    StoreStopped(String),
    /// It was told to end at once.
    #[error("ended without waiting for requests; what was acknowledged is in the log")]
    Forced,
}

/// A server that is ready to listen.
#[derive(Debug)]
pub struct App {
    state: AppState,
    /// Calls that passed the proxy and are to be recorded.
    calls: mpsc::Receiver<proxy::Job>,
}

/// A server that listens. Dropping it ends it at once; [`Running::stop`] ends it well.
#[derive(Debug)]
pub struct Running {
    addresses: Addresses,
    stop: watch::Sender<bool>,
    tasks: JoinSet<Result<(), ServeError>>,
    /// Ends after everything that may hand it something.
    recorder: JoinSet<()>,
    state: AppState,
}

impl App {
    /// Opens everything that the settings name.
    pub async fn build(
        config: Config,
        clock: Arc<dyn Clock>,
        disk: Arc<dyn Disk>,
    ) -> Result<Self, BuildError> {
        let rules = Arc::new(ProcessRules::compile(&config.processing.rules)?);
        let store =
            Store::open(config.store.clone(), Arc::clone(&clock), Arc::clone(&disk)).await?;
        let meta = store.meta();
        let keyring = Keyring::load(meta).await?;
        if let Some(address) = config.reachable()
            && !keyring.needed()
            && !config.allow_open
        {
            store.shutdown().await?;
            let data_dir = config.store.data_dir.display().to_string();
            return Err(BuildError::Open { address, data_dir });
        }
        let archive = config.archive.on.then(|| {
            let dir = config.archive.dir_of(&config.store.data_dir);
            Archive::start(&config.archive, dir, disk, Arc::clone(&clock))
        });
        if archive.is_some() && config.processing.rules != ProcessSettings::default() {
            tracing::warn!(
                "the archive keeps bodies as they come in: what is taken out before rows are stored is in it"
            );
        }
        let (proxy, calls) = Proxy::new(&config);
        let shared = Shared {
            archive,
            engine: Engine::new(config.queries)?,
            prices: Prices::load(meta).await?,
            rules,
            projects: Projects::load(meta).await?,
            losses: LossLedger::new(clock.now()),
            forwards: Forwards::open(&store, &config.forwards).await?,
            graders: GradeServices::of(&config.grading),
            runs: Turns::default(),
            grading: Gradings::default(),
            metrics: Metrics::new(),
            langfuse: tokio::sync::Mutex::new(()),
            decoders: Arc::new(Semaphore::new(2 * cores())),
            slots: Semaphore::new(config.requests_max.min(Semaphore::MAX_PERMITS)),
            keyring,
            proxy,
            clock,
            config,
            store,
        };
        Ok(Self {
            state: Arc::new(shared),
            calls,
        })
    }

    /// Lets a judge be played from now on: whatever the settings name, no model is asked.
    pub fn play_judge(&mut self, judge: Arc<dyn PlayedJudge>) {
        let state = Arc::get_mut(&mut self.state);
        let state = state.expect("nothing was started yet that has a part in it");
        state.graders.model = Some(Arc::new(Played(judge)));
    }

    /// Returns the store, for commands that work on a data folder without a server.
    pub fn store(&self) -> &Store {
        &self.state.store
    }

    /// Grades with these in place of what the settings name.
    #[cfg(test)]
    pub(crate) fn with_graders(mut self, graders: GradeServices) -> Self {
        let shared = Arc::get_mut(&mut self.state).expect("nobody has it yet");
        shared.graders = graders;
        self
    }

    /// Returns what handlers share.
    pub(crate) fn state(&self) -> &AppState {
        &self.state
    }

    /// Takes in the body of an ingest request without HTTP: decoded, priced, logged, readable.
    pub async fn ingest(
        &self,
        project: &ProjectId,
        source: Source,
        wire: Wire,
        body: Bytes,
    ) -> Result<Taken, IntakeError> {
        let received_at = self.state.clock.now();
        let intake = self.state.intake(project.clone(), source, received_at)?;
        let work = spawn_blocking(move || intake.prepare(body, wire));
        let (prepared, taken) = work.await.map_err(IntakeError::Worker)??;
        self.state.store.append(prepared).await?;
        self.state
            .losses
            .taken(project, source, received_at, taken.outcome());
        Ok(taken)
    }

    /// Closes everything without ever having listened.
    pub async fn close(self) -> Result<(), StoreError> {
        if let Some(archive) = &self.state.archive {
            archive.close().await;
        }
        self.state.store.shutdown().await
    }

    /// Returns what to tell the person who started the server, one line each.
    pub fn greeting(&self, addresses: &Addresses) -> [String; 5] {
        let address = addresses.http;
        let over_grpc = match addresses.grpc {
            Some(address) => format!(", over gRPC http://{address}"),
            None => String::new(),
        };
        let shared = &self.state;
        let mode = match (shared.keyring.needed(), shared.config.is_loopback()) {
            (true, _) => "keys: every request needs an API key",
            (false, true) => "local: no API key is asked for, only this machine can connect",
            (false, false) => "OPEN: anybody who can connect may read and write (--allow-open)",
        };
        let (key, header) = match shared.keyring.needed() {
            true => ("tg_…", "-H 'Authorization: Bearer tg_…' "),
            false => ("any", ""),
        };
        // Nobody can send to "every address".
        let reached = match address.ip().is_unspecified() {
            true => format!("THIS-HOST:{}", address.port()),
            false => address.to_string(),
        };
        let data_dir = &shared.config.store.data_dir;
        let data_dir = data_dir.canonicalize().unwrap_or_else(|_| data_dir.clone());
        [
            format!(
                "tracegrade {} listens on http://{address}",
                env!("CARGO_PKG_VERSION")
            ),
            format!("data      {}", data_dir.display()),
            format!("mode      {mode}"),
            format!(
                "send      BackendSpanExporter(endpoint=\"http://{reached}/v1/traces/ingest\", api_key=\"{key}\") or OTEL_EXPORTER_OTLP_ENDPOINT=http://{reached}{over_grpc}"
            ),
            format!(
                "read      curl {header}http://{reached}/v1/traces    (API: /openapi.json, losses: /v1/health/ingest)"
            ),
        ]
    }

    /// Starts to answer on `listeners`.
    pub fn spawn(self, listeners: Listeners) -> std::io::Result<Running> {
        let addresses = listeners.addresses()?;
        let url = format!("http://{}", addresses.http);
        self.state.store.set_address(&url)?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let header_timeout = self.state.config.header_timeout;
        let (open, closed) = oneshot::channel();
        let mut serve = |router, listener, open: Option<oneshot::Sender<()>>| {
            let stopped = stopped.clone();
            tasks.spawn(async move {
                listen::serve(router, listener, header_timeout, stopped).await;
                // Also if this is cut off: from now on no call passes that could be recorded.
                drop(open);
                Ok(())
            });
        };
        serve(router(&self.state), listeners.http, Some(open));
        if let Some(listener) = listeners.grpc {
            serve(grpc::router(&self.state, &url, &stopped), listener, None);
        }
        let mut recorder = JoinSet::new();
        recorder.spawn(proxy::record(Arc::clone(&self.state), self.calls, closed));
        let stopped_last = stopped.clone();
        let forwards = Forwards::tasks(&self.state, &stopped).map_err(std::io::Error::other)?;
        for forward in forwards {
            tasks.spawn(async move {
                forward.await;
                Ok(())
            });
        }
        tasks.spawn(take_over(Arc::clone(&self.state)));
        tasks.spawn(save_key_use(Arc::clone(&self.state), stopping(stopped)));
        tasks.spawn(sampling::run(
            Arc::clone(&self.state),
            stopping(stopped_last.clone()),
        ));
        tasks.spawn(evals::run(
            Arc::clone(&self.state),
            stopping(stopped_last.clone()),
        ));
        tasks.spawn(grading::run(
            Arc::clone(&self.state),
            stopping(stopped_last),
        ));
        Ok(Running {
            addresses,
            stop,
            tasks,
            recorder,
            state: self.state,
        })
    }
}

impl Running {
    /// Returns where it answers HTTP, with the port that was picked.
    pub fn address(&self) -> SocketAddr {
        self.addresses.http
    }

    /// Returns where it answers gRPC, unless that is off.
    pub fn grpc_address(&self) -> Option<SocketAddr> {
        self.addresses.grpc
    }

    /// Returns the store, for whoever started the server in its own process.
    pub fn store(&self) -> &Store {
        &self.state.store
    }

    /// Waits until the server ends by itself, which it does only in error.
    pub async fn failed(&mut self) -> ServeError {
        loop {
            tokio::select! {
                Some(ended) = self.tasks.join_next() => {
                    if let Ok(Err(error)) = ended {
                        return error;
                    }
                }
                () = tokio::time::sleep(STORE_LOOKED_AT_EVERY) => {
                    if let Some(why) = self.state.store.stopped() {
                        return ServeError::StoreStopped(why);
                    }
                }
            }
        }
    }

    /// Takes no more requests, lets those that run end (for as long as the settings say), writes
    /// everything down and closes the store.
    pub async fn stop(mut self) -> Result<(), ServeError> {
        self.stop.send_replace(true);
        let drained = async {
            let mut outcome = Ok(());
            while let Some(ended) = self.tasks.join_next().await {
                match ended {
                    Ok(ended) => outcome = outcome.and(ended),
                    Err(died) => tracing::error!(%died, "a task of the server died"),
                }
            }
            outcome
        };
        let outcome = match tokio::time::timeout(self.state.config.drain_timeout, drained).await {
            Ok(outcome) => outcome,
            Err(_) => {
                tracing::warn!("requests still run; they are cut off");
                self.state.proxy.is_stopping.store(true, Ordering::Relaxed);
                self.tasks.shutdown().await;
                Ok(())
            }
        };
        let recorded = async { while self.recorder.join_next().await.is_some() {} };
        if tokio::time::timeout(self.state.config.drain_timeout, recorded)
            .await
            .is_err()
        {
            tracing::warn!("calls that passed the proxy still wait to be recorded; they are lost");
            self.recorder.shutdown().await;
        }
        // After the recorder, whose calls it keeps too.
        if let Some(archive) = &self.state.archive {
            archive.close().await;
        }
        self.state
            .store
            .shutdown()
            .await
            .map_err(ServeError::Store)?;
        outcome
    }
}

/// Runs until the process is told to end: once to end well, twice to end at once.
pub async fn run(mut running: Running, mut signals: Signals) -> Result<(), ServeError> {
    tokio::select! {
        () = signals.next() => {}
        error = running.failed() => {
            tracing::error!(%error, "the server ends");
            running.stop().await?;
            return Err(error);
        }
    }
    tracing::info!("stopping; once more to end at once");
    tokio::select! {
        ended = running.stop() => ended,
        () = signals.next() => Err(ServeError::Forced),
    }
}

/// The two signals that ask a process to end. From when this is made they no longer end it by
/// themselves: make it before anybody is told that the server runs.
#[derive(Debug)]
pub struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Listens for the signals from now on.
    pub fn new() -> Result<Self, ServeError> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).map_err(ServeError::Signals);
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Puts all routes together. Each group stands behind the door for its scope.
pub(crate) fn router(state: &AppState) -> Router {
    let door_for = |scope, credentials| {
        let door = Door { scope, credentials };
        from_fn_with_state((Arc::clone(state), door), auth::admit)
    };
    let door = |scope| door_for(scope, Credentials::Any);
    let limited = |routes: Router<AppState>, scope| {
        let limit = from_fn_with_state(Arc::clone(state), http::limit);
        routes.route_layer(door(scope)).route_layer(limit)
    };
    // Outermost, so that it also sees who was turned away at the door.
    let account = |source| from_fn_with_state((Arc::clone(state), source), capture::account);
    let captured = |routes, source| limited(routes, Scope::Ingest).route_layer(account(source));
    // Calls that pass have limits of their own: a model may think for minutes.
    let passing = proxy::routes().route_layer(door_for(Scope::Ingest, Credentials::Own));
    let routes = Router::new()
        .merge(captured(capture::routes(), Source::Openai))
        .merge(captured(otlp::routes(), Source::Otlp))
        .merge(captured(capture::import_routes(), Source::Import))
        .merge(passing.route_layer(account(Source::Proxy)))
        .merge(limited(read::routes(), Scope::Read))
        .merge(limited(evals::routes(), Scope::Read))
        .merge(limited(grading::routes(), Scope::Read))
        .merge(limited(operate::admin_routes(), Scope::Admin))
        .merge(operate::reader_routes().route_layer(door(Scope::Read)))
        .merge(operate::open_routes())
        .fallback(http::unknown_url)
        .method_not_allowed_fallback(http::method_not_allowed)
        .layer(from_fn_with_state(Arc::clone(state), origin::check))
        .layer(origin::cors(&state.config.cors_origins))
        .layer(from_fn_with_state(Arc::clone(state), http::observe))
        .layer(from_fn(otlp::answer::as_status));
    routes.with_state(Arc::clone(state))
}

/// Lets go of what the log keeps for forwarders that are no more.
async fn take_over(state: AppState) -> Result<(), ServeError> {
    if let Err(error) = state.forwards.take_over(&state.store).await {
        tracing::error!(%error, "failed to see which forwarders are no more; the log is kept for them");
    }
    Ok(())
}

/// Writes down when keys were used, now and then and at the end.
async fn save_key_use(
    state: AppState,
    stopped: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let mut stopped = std::pin::pin!(stopped);
    loop {
        let is_last = tokio::select! {
            () = &mut stopped => true,
            () = tokio::time::sleep(KEY_USE_SAVED_EVERY) => false,
        };
        if let Err(error) = state.keyring.save_use(state.store.meta()).await {
            tracing::warn!(%error, "failed to note when keys were used");
        }
        if is_last {
            return Ok(());
        }
    }
}

/// Waits until the server is told to stop.
pub(crate) async fn stopping(mut stop: watch::Receiver<bool>) {
    // The sender is gone only when the server is, and then there is nothing left to wait for.
    let _gone = stop.wait_for(|stop| *stop).await;
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}
