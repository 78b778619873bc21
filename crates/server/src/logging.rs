//! Where does the log go?

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::util::TryInitError;

use crate::config::{Config, LogFormat};

/// Sends the log of this process to stderr as the settings say. Fails if somebody did so before.
pub fn start_log(config: &Config) -> Result<(), TryInitError> {
    // The filter was tried when the settings were read.
    let log = fmt()
        .with_env_filter(EnvFilter::new(&config.log))
        // A file or a collector would keep the escape sequences as they are.
        .with_ansi(stderr().is_terminal() && !Config::is_plain())
        .with_writer(stderr);
    match config.log_format {
        LogFormat::Text => log.finish().try_init(),
        LogFormat::Json => log.json().flatten_event(true).finish().try_init(),
    }
}
