//! Which moment does a read see, and what if its files are taken away meanwhile? A deletion does not
//! wait for readers: whoever loses files to it begins once more, with what is there now.

use std::future::Future;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use model::{ProjectId, TraceId};
use serde::Deserialize;
use store::{Ledger, Snapshot};

use crate::auth::Principal;
use crate::error::{ApiError, ErrorCode};
use crate::grading::{AnnotationObject, annotations_of};
use crate::objects::Detail;
use crate::state::AppState;

use super::loaded::{LoadError, Loaded};
use super::pieces::blocking;

/// Reads something of a project.
pub(crate) async fn of_project<T, E, F>(
    state: &AppState,
    project: &ProjectId,
    read: impl Fn(Arc<Snapshot>) -> F,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let snapshot = state.store.snapshot(project);
    match read(Arc::clone(&snapshot)).await {
        Err(_) if snapshot.is_expired() => read(state.store.snapshot(project)).await,
        other => other,
    }
}

/// The trace that a request is about, and who asks.
#[derive(Debug)]
pub(super) struct OneTrace {
    pub(super) state: AppState,
    pub(super) principal: Principal,
    pub(super) id: TraceId,
}

/// The places in a path; only one of them names the trace.
#[derive(Debug, Deserialize)]
struct Named {
    id: String,
}

impl FromRequestParts<AppState> for OneTrace {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let Path(Named { id }) = Path::from_request_parts(parts, state)
            .await
            .map_err(|error| ApiError::new(ErrorCode::UnknownUrl, error.body_text()))?;
        Ok(Self {
            state: Arc::clone(state),
            principal: Principal::from_request_parts(parts, state).await?,
            // What cannot be an id names nothing.
            id: TraceId::new(&id).map_err(|_| ApiError::not_found("trace", &id))?,
        })
    }
}

impl OneTrace {
    /// Reads the whole trace, as much of its payload as is asked for.
    pub(super) async fn load(&self, detail: Option<Detail>) -> Result<Loaded, ApiError> {
        self.read(move |snapshot, ledger, id| Loaded::read(snapshot, ledger, id, detail))
            .await
    }

    /// Returns what people say of the trace and its spans.
    pub(super) async fn annotations(&self) -> Result<Vec<AnnotationObject>, ApiError> {
        annotations_of(&self.state, &self.principal.project, &self.id).await
    }

    /// Reads something of the trace on the blocking pool. `None` becomes "there is no such trace".
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl Fn(&Snapshot, &Arc<Ledger>, &TraceId) -> Result<Option<T>, LoadError>
        + Send
        + 'static,
    ) -> Result<T, ApiError> {
        let project = self.principal.project.clone();
        let (state, id) = (Arc::clone(&self.state), self.id.clone());
        let work = move || {
            let ledger = state.store.ledger();
            let snapshot = state.store.trace_snapshot(&project, &id);
            match read(&snapshot, ledger, &id) {
                Err(_) if snapshot.is_expired() => {
                    read(&state.store.trace_snapshot(&project, &id), ledger, &id)
                }
                other => other,
            }
        };
        blocking(work)
            .await??
            .ok_or_else(|| ApiError::not_found("trace", self.id.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use model::{Source, SystemClock};
    use query::ReadError;
    use store::disk::RealDisk;

    use super::*;
    use crate::{App, Config, Wire};

    #[tokio::test]
    async fn a_read_that_loses_its_files_begins_again_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.store.data_dir = dir.path().join("data");
        config.store.free_bytes_min = 0;
        let app = App::build(config, Arc::new(SystemClock), Arc::new(RealDisk)).await;
        let app = app.unwrap();
        let project = ProjectId::new("default").unwrap();
        for id in ["gone", "kept"] {
            let body = format!(r#"{{"data":[{{"object":"trace","id":"{id}"}}]}}"#);
            let taken = app
                .ingest(&project, Source::Openai, Wire::AgentsSdk, body.into())
                .await;
            assert_eq!(taken.unwrap().accepted, 1);
        }
        let (state, store) = (app.state(), app.store());
        store.flush().await.unwrap();
        let tries = AtomicUsize::new(0);
        let read = async |snapshot: Arc<Snapshot>| {
            if tries.fetch_add(1, Ordering::Relaxed) == 0 {
                let gone = vec![TraceId::new("gone").unwrap()];
                store.delete_traces(&project, gone).await.unwrap();
                store.erase().await.unwrap();
                assert!(
                    snapshot.is_expired(),
                    "a deletion does not wait for readers"
                );
            }
            let filter = model::TraceFilter::default();
            state.engine.trace_ids(snapshot, filter).await
        };
        let ids: Result<Vec<TraceId>, ReadError> = of_project(state, &project, read).await;
        let ids: Vec<String> = ids.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!((ids, tries.into_inner()), (vec!["kept".to_owned()], 2));
        app.close().await.unwrap();
    }
}
