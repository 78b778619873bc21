//! HTTP, keys, configuration and wiring: what stands between a socket and the store.
//!
//! [`Config::load`], [`App::build`], [`App::spawn`], and [`run`] until a signal comes. Handlers take
//! a request apart and put an answer together; what is decided is decided below, in `ingest`, `store`
//! and `query`. Statuses and error bodies are made in one place (`error`), keys are checked in one
//! (`auth`), and the environment is read in one ([`config`]).

mod app;
mod auth;
mod body;
mod capture;
pub mod config;
mod error;
mod forward;
mod http;
mod intake;
mod json;
mod keyring;
pub mod keys;
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
mod prices;
mod projects;
mod read;
mod scope;
mod state;

pub use app::{App, BindError, BuildError, Running, ServeError, Signals, bind, run};
pub use config::{Config, ConfigError, Flags};
pub use forward::{ForwardSettings, TargetKind};
pub use intake::{IntakeError, Rejected, Taken, Wire};
/// What the command line needs of the crates below, which it does not see itself.
pub mod local {
    pub use ingest::agents_sdk::Documents;
    pub use store::disk::RealDisk;
    pub use store::{AppendError, Checkup, StoreConfig, StoreError, rebuild_catalog, restore};
}
pub use logging::start_log;
pub use openapi::document as openapi_document;
pub use scope::{Scope, Scopes, UnknownScope};
