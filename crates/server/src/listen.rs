//! How are connections taken in, and how do they end?
//!
//! A client that opens a connection and then says little or nothing holds a socket and a task. So the
//! head of every request has a time to arrive in, and a connection on which nothing was asked yet is
//! watched from outside too: while the protocol is being told apart, no timer of hyper's runs. Bodies
//! are bounded by the time of their request. HTTP and gRPC have a socket each and are served alike; a
//! client of HTTP/2 that is gone without a word is found by pings.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::stopping;
use crate::config::Config;

/// So long nothing is taken in after the system refused a socket: it has none left.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The sockets that a server answers on.
#[derive(Debug)]
pub struct Listeners {
    pub(crate) http: TcpListener,
    pub(crate) grpc: Option<TcpListener>,
}

/// Where a server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// HTTP: the API, the UI and everything that is sent over HTTP.
    pub http: SocketAddr,
    /// OTLP over gRPC, unless it is off.
    pub grpc: Option<SocketAddr>,
}

/// The server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address}: {advice}")]
pub struct BindError {
    address: SocketAddr,
    advice: &'static str,
    source: io::Error,
}

impl Listeners {
    /// Returns where they listen, with the ports that were picked.
    pub fn addresses(&self) -> io::Result<Addresses> {
        Ok(Addresses {
            http: self.http.local_addr()?,
            grpc: self
                .grpc
                .as_ref()
                .map(TcpListener::local_addr)
                .transpose()?,
        })
    }
}

/// Opens the sockets that the settings name.
pub async fn bind(config: &Config) -> Result<Listeners, BindError> {
    const HTTP: &str = "give another address and port with --listen, or port 0 for a free one";
    const GRPC: &str = "this is for OTLP over gRPC; give another address and port with --grpc-listen, \
                        port 0 for a free one, or --grpc-listen off";
    let open = async |address, advice| {
        let bound = TcpListener::bind(address).await;
        bound.map_err(|source| BindError {
            address,
            advice,
            source,
        })
    };
    Ok(Listeners {
        http: open(config.listen, HTTP).await?,
        grpc: match config.grpc_listen {
            Some(address) => Some(open(address, GRPC).await?),
            None => None,
        },
    })
}

/// Answers on `listener` until the server is told to stop and every request has its answer.
pub(crate) async fn serve(
    router: Router,
    listener: TcpListener,
    header_timeout: Duration,
    stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let mut stopped = pin!(stopping(stop.clone()));
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    let service = Watched::new(router.clone());
                    connections.spawn(converse(socket, service, header_timeout, stop.clone()));
                }
                Err(error) => pause(&error).await,
            },
            // Connections that are over are forgotten.
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = &mut stopped => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Waits a little where another attempt would fail at once.
async fn pause(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    ) {
        return;
    }
    tracing::error!(%error, "failed to take in a connection");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// Answers what is asked on one connection.
async fn converse(
    socket: TcpStream,
    service: Watched,
    header_timeout: Duration,
    stop: watch::Receiver<bool>,
) {
    // Answers are small and wanted at once.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "failed to set TCP_NODELAY");
    }
    let was_asked = Arc::clone(&service.was_asked);
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(header_timeout)
        .keep_alive_timeout(header_timeout);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service));
    let mut stopped = pin!(stopping(stop));
    let mut asked_in_time = pin!(tokio::time::sleep(header_timeout));
    let (mut is_stopping, mut is_watched) = (false, true);
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke");
                }
                return;
            }
            () = &mut stopped, if !is_stopping => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut asked_in_time, if is_watched => {
                is_watched = false;
                if !was_asked.load(Ordering::Relaxed) {
                    tracing::debug!("a connection was closed: nothing was asked on it in time");
                    return;
                }
            }
        }
    }
}

/// The routes, and whether anything was asked of them on this connection.
#[derive(Debug, Clone)]
struct Watched {
    routes: TowerToHyperService<Router>,
    was_asked: Arc<AtomicBool>,
}

impl Watched {
    fn new(router: Router) -> Self {
        Self {
            routes: TowerToHyperService::new(router),
            was_asked: Arc::default(),
        }
    }
}

impl Service<Request<Incoming>> for Watched {
    type Response = Response;
    type Error = Infallible;
    type Future = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Future;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.was_asked.store(true, Ordering::Relaxed);
        self.routes.call(request)
    }
}
