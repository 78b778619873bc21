//! From settings to a server that runs, and to one that has ended well.
//!
//! Three steps: [`Config::load`], [`App::build`], [`App::spawn`]. The socket comes in as an argument
//! and a handle comes out, so that a test starts the real server in its own process.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use bytes::Bytes;
use model::{Clock, ProjectId, Source};
use query::{Engine, EngineError};
use store::disk::Disk;
use store::meta::MetaError;
use store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinSet, spawn_blocking};

use crate::config::Config;
use crate::forward::Forwards;
use crate::intake::{IntakeError, Taken, Wire};
use crate::keyring::Keyring;
use crate::loss::LossLedger;
use crate::metrics::Metrics;
use crate::prices::Prices;
use crate::projects::Projects;
use crate::scope::Scope;
use crate::state::{AppState, Shared};
use crate::{auth, capture, http, listen, operate, origin, otlp, read};

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
    /// Other machines could read and write everything.
    #[error(
        "refused to listen on {0}, which other machines can reach, before any API key was made: make \
         one with `tracegrade keys create --scopes admin`, or give --allow-open if anybody may read \
         and write"
    )]
    Open(SocketAddr),
}

/// The server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error(
    "failed to listen on {address}: give another address and port with --listen, or port 0 for a free one"
)]
pub struct BindError {
    address: SocketAddr,
    source: std::io::Error,
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
}

/// A server that listens. Dropping it ends it at once; [`Running::stop`] ends it well.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: JoinSet<Result<(), ServeError>>,
    state: AppState,
}

impl App {
    /// Opens everything that the settings name.
    pub async fn build(
        config: Config,
        clock: Arc<dyn Clock>,
        disk: Arc<dyn Disk>,
    ) -> Result<Self, BuildError> {
        let store = Store::open(config.store.clone(), Arc::clone(&clock), disk).await?;
        let meta = store.meta();
        let keyring = Keyring::load(meta).await?;
        if !config.is_loopback() && !keyring.needed() && !config.allow_open {
            let address = config.listen;
            store.shutdown().await?;
            return Err(BuildError::Open(address));
        }
        let shared = Shared {
            engine: Engine::new(config.queries)?,
            prices: Prices::load(meta).await?,
            projects: Projects::load(meta).await?,
            losses: LossLedger::new(clock.now()),
            forwards: Forwards::open(&store, &config.forwards).await?,
            metrics: Metrics::new(),
            decoders: Arc::new(Semaphore::new(2 * cores())),
            slots: Semaphore::new(config.requests_max.min(Semaphore::MAX_PERMITS)),
            keyring,
            clock,
            config,
            store,
        };
        Ok(Self {
            state: Arc::new(shared),
        })
    }

    /// Returns the store, for commands that work on a data folder without a server.
    pub fn store(&self) -> &Store {
        &self.state.store
    }

    /// Returns what handlers share.
    #[cfg(test)]
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
        self.state.store.shutdown().await
    }

    /// Returns what to tell the person who started the server, one line each.
    pub fn greeting(&self, address: SocketAddr) -> [String; 5] {
        let shared = &self.state;
        let mode = match (shared.keyring.needed(), shared.config.is_loopback()) {
            (true, _) => "keys: every request needs an API key",
            (false, true) => "local: no API key is asked for, only this machine can connect",
            (false, false) => "OPEN: anybody who can connect may read and write (--allow-open)",
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
                "send      BackendSpanExporter(endpoint=\"http://{address}/v1/traces/ingest\", api_key=\"any\") or OTEL_EXPORTER_OTLP_ENDPOINT=http://{address}"
            ),
            format!(
                "read      curl http://{address}/v1/traces    (API: /openapi.json, losses: /v1/health/ingest)"
            ),
        ]
    }

    /// Starts to answer on `listener`.
    pub fn spawn(self, listener: TcpListener) -> std::io::Result<Running> {
        let address = listener.local_addr()?;
        self.state.store.set_address(&format!("http://{address}"))?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let header_timeout = self.state.config.header_timeout;
        let (router, stopped_too) = (router(&self.state), stopped.clone());
        tasks.spawn(async move {
            listen::serve(router, listener, header_timeout, stopped_too).await;
            Ok(())
        });
        let forwards = Forwards::tasks(&self.state, &stopped).map_err(std::io::Error::other)?;
        for forward in forwards {
            tasks.spawn(async move {
                forward.await;
                Ok(())
            });
        }
        tasks.spawn(take_over(Arc::clone(&self.state)));
        tasks.spawn(save_key_use(Arc::clone(&self.state), stopping(stopped)));
        Ok(Running {
            address,
            stop,
            tasks,
            state: self.state,
        })
    }
}

impl Running {
    /// Returns where it listens, with the port that was picked.
    pub fn address(&self) -> SocketAddr {
        self.address
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
                self.tasks.shutdown().await;
                Ok(())
            }
        };
        self.state
            .store
            .shutdown()
            .await
            .map_err(ServeError::Store)?;
        outcome
    }
}

/// Opens the socket that the settings name.
pub async fn bind(config: &Config) -> Result<TcpListener, BindError> {
    let address = config.listen;
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| BindError { address, source })
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
    let door = |scope| from_fn_with_state((Arc::clone(state), scope), auth::admit);
    let limited = |routes: Router<AppState>, scope| {
        let limit = from_fn_with_state(Arc::clone(state), http::limit);
        routes.route_layer(door(scope)).route_layer(limit)
    };
    // Outermost, so that it also sees who was turned away at the door.
    let account = from_fn_with_state(Arc::clone(state), capture::account);
    let routes = Router::new()
        .merge(limited(capture::routes(), Scope::Ingest).route_layer(account))
        .merge(limited(read::routes(), Scope::Read))
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
