//! HTTP, keys, configuration and wiring: what stands between a socket and the store.
//!
//! [`Config::load`], [`App::build`], [`App::spawn`], and [`run`] until a signal comes. Handlers take
//! a request apart and put an answer together; what is decided is decided below, in `ingest`, `store`
//! and `query`. Statuses and error bodies are made in one place (`error`), keys are checked in one
//! (`auth`), and the environment is read in one ([`config`]).

mod app;
pub mod archive;
mod auth;
mod body;
mod capture;
pub mod config;
mod error;
mod evals;
mod forward;
mod grading;
mod grpc;
mod http;
mod intake;
mod json;
mod keyring;
pub mod keys;
mod langfuse;
mod listen;
mod listing;
mod logging;
mod loss;
mod metrics;
mod objects;
mod openapi;
mod operate;
mod origin;
mod otlp;
mod pages;
mod played;
mod prices;
mod projects;
mod protobuf;
mod proxy;
mod read;
mod replay;
mod sampling;
mod scope;
mod services;
mod state;
mod turns;

pub use app::{App, BuildError, Running, ServeError, Signals, run};
pub use config::{Config, ConfigError, Flags};
pub use forward::{ForwardSettings, TargetKind};
/// What a program does first that runs Python graders: it may have been started to become their box.
pub use grade::sandbox::enter_if_asked as enter_sandbox_if_asked;
pub use intake::{IntakeError, Rejected, Taken, Wire};
pub use listen::{Addresses, BindError, Listeners, bind};
/// What the command line needs of the crates below, which it does not see itself.
pub mod local {
    pub use ingest::imports::{Cut, CutError, Cutter, split};
    pub use ingest::otlp::Encoding;
    pub use store::disk::RealDisk;
    pub use store::{AppendError, Checkup, StoreConfig, StoreError, rebuild_catalog, restore};
}
pub use logging::start_log;
pub use openapi::document as openapi_document;
pub use played::PlayedJudge;
pub use replay::ReplayError;
pub use scope::{Scope, Scopes, UnknownScope};
