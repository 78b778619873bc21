//! The way into the sandbox: what our program does when it was started to become an interpreter.
//!
//! It could be done between fork and exec of the pool, but that needs unsafe code, and little is allowed
//! there. A process that has nothing else to do can take its time and say what is missing.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::config::Limits;

/// The variable in which the order comes. In the environment, since the arguments of a test binary
/// belong to its harness.
pub(super) const VARIABLE: &str = "TRACEGRADE_SANDBOX_ORDER";

/// The script that the interpreter runs.
const WORKER: &str = include_str!("worker.py");

/// What the process is to become.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// The interpreter's own path.
    pub(super) python: PathBuf,
    /// What may be read.
    pub(super) readable: Vec<PathBuf>,
    /// What may be written to: the folder in which it starts.
    pub(super) tmp: PathBuf,
    /// How much may be used.
    pub(super) limits: Limits,
    /// Whether Landlock and seccomp are wanted.
    pub(super) confined: bool,
    /// Modules to import at the start.
    pub(super) preload: Vec<String>,
}

/// Why the sandbox could not be entered. Its text is what the pool reports.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnterError {
    /// Another program set the variable.
    #[error("the order in {VARIABLE} cannot be read")]
    Order(#[source] serde_json::Error),
    /// Neither Landlock nor seccomp exists elsewhere.
    #[cfg(not(target_os = "linux"))]
    #[error("the sandbox needs Linux")]
    System,
    /// The kernel has no Landlock, or a container's profile forbids it.
    #[cfg(target_os = "linux")]
    #[error("Landlock is missing (Linux 5.13 or newer, with `landlock` among its `lsm=`)")]
    Landlock(#[source] landlock::RulesetError),
    /// The temporary folder is gone.
    #[cfg(target_os = "linux")]
    #[error("the temporary folder cannot be opened")]
    Tmp(#[source] landlock::PathFdError),
    /// No filter is known for this processor.
    #[cfg(target_os = "linux")]
    #[error("the list of system calls cannot be compiled for this processor")]
    Compile(#[source] seccompiler::BackendError),
    /// The kernel has no seccomp, or a container's profile forbids it.
    #[cfg(target_os = "linux")]
    #[error("seccomp is missing")]
    Seccomp(#[source] seccompiler::Error),
    /// A limit or a privilege could not be set.
    #[cfg(target_os = "linux")]
    #[error("{what} cannot be set")]
    Process {
        /// What was to be set.
        what: &'static str,
        /// What the kernel said.
        #[source]
        source: rustix::io::Errno,
    },
    /// The interpreter did not start.
    #[error("the interpreter cannot be run")]
    Exec(#[source] std::io::Error),
}

/// Becomes a sandboxed interpreter if this process was started for that, and does nothing if not.
///
/// To be called first thing in `main`. Does not return if there is an order.
pub fn enter_if_asked() {
    let Some(order) = std::env::var_os(VARIABLE) else {
        return;
    };
    let error = match enter(order.as_encoded_bytes()) {
        Err(error) => error,
        Ok(never) => match never {},
    };
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    // Not by `eprintln!`, which a test's harness would keep for itself.
    let _told = writeln!(std::io::stderr(), "{text}");
    std::process::exit(1);
}

fn enter(order: &[u8]) -> Result<std::convert::Infallible, EnterError> {
    let order: Order = serde_json::from_slice(order).map_err(EnterError::Order)?;
    let filter = confine(&order)?;
    let settings = serde_json::json!({ "filter": filter, "preload": order.preload });
    let error = Command::new(&order.python)
        // Isolated, in UTF-8, leaving no compiled files
        .args(["-I", "-B", "-X", "utf8", "-c", WORKER])
        .arg(settings.to_string())
        .env_clear()
        .env("HOME", &order.tmp)
        .env("TMPDIR", &order.tmp)
        // A grade has a core at most: pools of threads would only cost memory
        .env("OMP_NUM_THREADS", "1")
        .env("OPENBLAS_NUM_THREADS", "1")
        .env("MKL_NUM_THREADS", "1")
        .exec();
    Err(EnterError::Exec(error))
}

/// Builds the walls, and returns in hexadecimal the filter that a grade puts on in addition.
#[cfg(target_os = "linux")]
fn confine(order: &Order) -> Result<String, EnterError> {
    use super::{confine, syscalls};

    confine::limit(&order.limits)?;
    if !order.confined {
        return Ok(String::new());
    }
    confine::drop_privileges()?;
    confine::close_files(&order.readable, &order.tmp)?;
    let grade = syscalls::of_a_grade().map_err(EnterError::Compile)?;
    let worker = syscalls::of_a_worker().map_err(EnterError::Compile)?;
    seccompiler::apply_filter(&worker).map_err(EnterError::Seccomp)?;
    Ok(syscalls::hexadecimal(&grade))
}

#[cfg(not(target_os = "linux"))]
fn confine(order: &Order) -> Result<String, EnterError> {
    match order.confined {
        true => Err(EnterError::System),
        false => Ok(String::new()),
    }
}
