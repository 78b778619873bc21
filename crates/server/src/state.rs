//! What every request may use.

use std::sync::Arc;

use model::Clock;
use query::Engine;
use store::Store;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::forward::Forwards;
use crate::keyring::Keyring;
use crate::loss::LossLedger;
use crate::metrics::Metrics;
use crate::prices::Prices;
use crate::projects::Projects;

/// What handlers get.
pub(crate) type AppState = Arc<Shared>;

/// The parts of a running server.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Everything that is kept.
    pub(crate) store: Store,
    /// Runs queries.
    pub(crate) engine: Engine,
    /// How the server was set up.
    pub(crate) config: Config,
    /// Tells the time.
    pub(crate) clock: Arc<dyn Clock>,
    /// The prices in force.
    pub(crate) prices: Prices,
    /// The projects there are, with their settings.
    pub(crate) projects: Projects,
    /// Which keys open what.
    pub(crate) keyring: Keyring,
    /// What was taken and what was not.
    pub(crate) losses: LossLedger,
    /// Where accepted spans go on to.
    pub(crate) forwards: Forwards,
    /// Figures for `/metrics`.
    pub(crate) metrics: Metrics,
    /// One permit for each request that may be worked on.
    pub(crate) slots: Semaphore,
    /// One permit for each body that may be decoded at a time: more of them than cores only take memory.
    pub(crate) decoders: Arc<Semaphore>,
}
