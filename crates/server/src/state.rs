//! What every request may use.

use std::sync::Arc;

use ingest::process::ProcessRules;
use model::Clock;
use query::Engine;
use store::Store;
use tokio::sync::Semaphore;

use crate::archive::Archive;
use crate::config::Config;
use crate::forward::Forwards;
use crate::grading::Gradings;
use crate::keyring::Keyring;
use crate::loss::LossLedger;
use crate::metrics::Metrics;
use crate::prices::Prices;
use crate::projects::Projects;
use crate::proxy::Proxy;
use crate::services::GradeServices;
use crate::turns::Turns;

/// What handlers get.
pub(crate) type AppState = Arc<Shared>;

/// The parts of a running server.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Everything that is kept.
    pub(crate) store: Store,
    /// Runs queries.
    pub(crate) engine: Engine,
    /// Keeps bodies as they were received, where that is wanted.
    pub(crate) archive: Option<Archive>,
    /// How the server was set up.
    pub(crate) config: Config,
    /// Tells the time.
    pub(crate) clock: Arc<dyn Clock>,
    /// The prices in force.
    pub(crate) prices: Prices,
    /// What is done with what comes in, before it is stored.
    pub(crate) rules: Arc<ProcessRules>,
    /// The projects there are, with their settings.
    pub(crate) projects: Projects,
    /// Which keys open what.
    pub(crate) keyring: Keyring,
    /// What was taken and what was not.
    pub(crate) losses: LossLedger,
    /// Passes calls on to model APIs and records them.
    pub(crate) proxy: Proxy,
    /// Where accepted spans go on to.
    pub(crate) forwards: Forwards,
    /// Whom graders may ask.
    pub(crate) graders: GradeServices,
    /// The runs of evals that are being worked on.
    pub(crate) runs: Turns,
    /// The runs over traces that are being worked on.
    pub(crate) grading: Gradings,
    /// Figures for `/metrics`.
    pub(crate) metrics: Metrics,
    /// One permit for each request that may be worked on.
    pub(crate) slots: Semaphore,
    /// Batches of Langfuse are taken one after the other: each reads the rows that it changes.
    pub(crate) langfuse: tokio::sync::Mutex<()>,
    /// One permit for each body that may be decoded at a time: more of them than cores only take memory.
    pub(crate) decoders: Arc<Semaphore>,
}
