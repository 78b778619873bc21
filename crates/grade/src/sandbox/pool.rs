//! Who grades next, and with which worker?

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::config::Config;
use super::interpreter::Interpreter;
use super::outcome::{self, Verdict};
use super::worker::{Worker, WorkerError};
use crate::openai::{Answer, Python, PythonError, Subject};

/// Why Python graders cannot run here.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The interpreter that is configured is none, or too old.
    #[error("the interpreter {} cannot be used: {why}", .python.display())]
    Interpreter {
        /// As configured.
        python: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A worker did not start; mostly because a part of the sandbox is missing here.
    #[error(
        "no sandbox: {0} (unsafe_code_graders runs graders without one, with all that this program may do)"
    )]
    Sandbox(String),
    /// The same, without a sandbox.
    #[error("no worker: {0}")]
    Worker(String),
}

impl PoolError {
    pub(super) fn interpreter(python: &Path, why: &str) -> Self {
        let (python, why) = (python.to_owned(), why.to_owned());
        Self::Interpreter { python, why }
    }
}

/// Workers that are kept warm. Dropping it ends them.
#[derive(Debug)]
pub struct Pool {
    config: Config,
    python: Interpreter,
    permits: Semaphore,
    idle: Mutex<Vec<Worker>>,
}

impl Pool {
    /// Opens a pool and starts its first worker, which proves that there is a sandbox.
    pub async fn open(config: Config) -> Result<Self, PoolError> {
        let python = Interpreter::ask(&config.python).await?;
        let pool = Self {
            permits: Semaphore::new(config.workers_max.max(1)),
            idle: Mutex::default(),
            config,
            python,
        };
        let mut first = pool.start()?;
        first
            .ready()
            .await
            .map_err(|error| pool.not_started(error))?;
        pool.idle.lock().push(first);
        Ok(pool)
    }

    /// Calls `grade(trace)` of a module, for all that it may return.
    pub async fn grade_trace(&self, source: &str, trace: &Value) -> Result<Verdict, PythonError> {
        let call = json!({"arguments": {"trace": trace}, "verdicts": true});
        self.run(source, call).await
    }

    /// Compiles a module without running any of it. What is wrong with it is a [`PythonError::Runtime`].
    pub async fn check(&self, source: &str) -> Result<(), PythonError> {
        self.run(source, json!({"only_check": true}))
            .await
            .map(drop)
    }

    /// Does with a module what `call` says: calls its `grade` with `arguments`, by position, and `verdicts` if
    /// it may return more than a number; or only checks it.
    async fn run(&self, source: &str, mut call: Value) -> Result<Verdict, PythonError> {
        let limits = &self.config.limits;
        within("the source", source.len(), limits.source_bytes_max)?;
        let nonce = nonce()?;
        call["nonce"] = nonce.as_str().into();
        call["source"] = source.into();
        let request = call.to_string();
        within("the request", request.len(), limits.request_bytes_max)?;

        let absent = |why: &str| PythonError::Absent(why.to_owned());
        let _permit = self
            .permits
            .acquire()
            .await
            .map_err(|_| absent("the pool is closed"))?;
        let mut worker = self.ready().await?;
        let ended = worker.grade(request.as_bytes(), limits).await;
        let ended = ended.map_err(|error| PythonError::Stopped(error.to_string()))?;
        if ended.is_clean && worker.served() < self.config.grades_per_worker_max {
            self.idle.lock().push(worker);
        } else {
            worker.retire().await;
        }
        outcome::read(&ended.text, &nonce, ended.status)
    }

    /// Returns a worker that is warm, or a new one. One that died while nobody looked is no error.
    async fn ready(&self) -> Result<Worker, PythonError> {
        loop {
            let idle = self.idle.lock().pop();
            let Some(mut worker) = idle else {
                break;
            };
            if worker.ready().await.is_ok() {
                return Ok(worker);
            }
        }
        let absent = |error: PoolError| PythonError::Absent(error.to_string());
        let mut worker = self.start().map_err(absent)?;
        let ready = worker.ready().await;
        ready.map_err(|error| absent(self.not_started(error)))?;
        Ok(worker)
    }

    fn start(&self) -> Result<Worker, PoolError> {
        Worker::start(&self.config, &self.python).map_err(|error| self.not_started(error))
    }

    fn not_started(&self, error: WorkerError) -> PoolError {
        match self.config.unsafe_code_graders {
            true => PoolError::Worker(error.to_string()),
            false => PoolError::Sandbox(error.to_string()),
        }
    }
}

impl Python for Pool {
    fn grade<'a>(
        &'a self,
        source: &'a str,
        subject: Subject<'a>,
    ) -> Answer<'a, Result<f64, PythonError>> {
        Box::pin(async move {
            let arguments = json!({ "sample": subject.sample, "item": subject.item });
            let call = json!({"arguments": arguments, "verdicts": false});
            let verdict = self.run(source, call).await?;
            let none = || PythonError::Runtime("`grade` returned no number".into());
            verdict.score.ok_or_else(none)
        })
    }
}

fn within(what: &str, bytes: usize, most: usize) -> Result<(), PythonError> {
    match bytes > most {
        true => Err(PythonError::Stopped(format!(
            "{what} has {bytes} bytes; {most} at most"
        ))),
        false => Ok(()),
    }
}

/// Returns a word that a grader cannot print by chance.
fn nonce() -> Result<String, PythonError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| PythonError::Absent(format!("no random numbers: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
