//! Whom graders and runs may ask: a model, and a box for code.

use std::fmt;
use std::sync::Arc;

use grade::judge::{Client, Endpoint, Key};
use grade::openai::{Answer, Model, Python, PythonError, Services, Subject};
use grade::sandbox::{self, Pool};
use grade::trace::TracePython;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::config::Grading;

/// Where models are if nobody says where.
const OPENAI_URL: &str = "https://api.openai.com/v1";

/// What is there to grade with.
#[derive(Clone, Default)]
pub(crate) struct GradeServices {
    /// Answers prompts, and gives vectors of texts.
    pub(crate) model: Option<Arc<dyn Model>>,
    /// Runs Python graders.
    pub(crate) python: Option<Arc<dyn TracePython>>,
    /// The same, to be asked whether it can.
    pub(crate) pool: Option<Arc<LazyPool>>,
}

impl GradeServices {
    /// Returns what the settings name.
    pub(crate) fn of(config: &Grading) -> Self {
        let pool = match std::env::current_exe() {
            Ok(launcher) => Some(Arc::new(LazyPool::new(config, launcher))),
            Err(error) => {
                tracing::warn!(%error, "this program does not know where it lies: Python graders cannot run");
                None
            }
        };
        Self {
            model: model(config),
            python: pool
                .as_ref()
                .map(|pool| Arc::clone(pool) as Arc<dyn TracePython>),
            pool,
        }
    }

    /// Returns why Python graders cannot run, if they cannot.
    pub(crate) async fn python_problem(&self) -> Option<String> {
        match (&self.pool, &self.python) {
            (Some(pool), _) => pool.open().await.err().map(|error| error.to_string()),
            (None, Some(_)) => None,
            (None, None) => Some("there is no interpreter".to_owned()),
        }
    }

    /// Returns them as graders ask for them.
    pub(crate) fn get(&self) -> Services<'_> {
        Services {
            model: self.model.as_deref(),
            python: self.python.as_deref().map(|python| python as &dyn Python),
        }
    }
}

impl fmt::Debug for GradeServices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// Returns whoever answers prompts, if an endpoint or a key is named.
fn model(config: &Grading) -> Option<Arc<dyn Model>> {
    if config.model_url.is_none() && config.model_key.is_none() {
        return None;
    }
    let url = config.model_url.as_deref().unwrap_or(OPENAI_URL);
    let endpoint = Endpoint {
        embedding_model: config.embedding_model.clone(),
        dialect: config.model_api,
        timeout: config.model_timeout,
        ..Endpoint::new(url, config.model_key.as_deref().map(Key::new))
    };
    match Client::new(endpoint) {
        Ok(client) => Some(Arc::new(client)),
        Err(error) => {
            tracing::error!(%error, url, "no model can be asked");
            None
        }
    }
}

/// A box for code that is opened when the first grader needs it: most servers never do, and an
/// interpreter takes memory.
#[derive(Debug)]
pub(crate) struct LazyPool {
    config: sandbox::Config,
    pool: OnceCell<Pool>,
}

impl LazyPool {
    fn new(config: &Grading, launcher: std::path::PathBuf) -> Self {
        Self {
            config: sandbox::Config {
                python: config.python.clone(),
                unsafe_code_graders: config.unsafe_code_graders,
                ..sandbox::Config::new(launcher)
            },
            pool: OnceCell::new(),
        }
    }

    /// Returns the pool. One that could not be opened is tried again: whoever installs the interpreter
    /// need not restart the server.
    async fn open(&self) -> Result<&Pool, PythonError> {
        let pool = self
            .pool
            .get_or_try_init(|| Pool::open(self.config.clone()));
        pool.await
            .map_err(|error| PythonError::Absent(error.to_string()))
    }
}

impl Python for LazyPool {
    fn grade<'a>(
        &'a self,
        source: &'a str,
        subject: Subject<'a>,
    ) -> Answer<'a, Result<f64, PythonError>> {
        Box::pin(async move { self.open().await?.grade(source, subject).await })
    }
}

impl TracePython for LazyPool {
    fn grade_trace<'a>(
        &'a self,
        source: &'a str,
        trace: &'a Value,
    ) -> Answer<'a, Result<sandbox::Verdict, PythonError>> {
        Box::pin(async move { self.open().await?.grade_trace(source, trace).await })
    }

    fn check<'a>(&'a self, source: &'a str) -> Answer<'a, Result<(), PythonError>> {
        Box::pin(async move { self.open().await?.check(source).await })
    }
}
