//! How do bodies of an archive get into a store again?
//!
//! The way of any request, but for HTTP and for the time, which is the one at which they were received.
//! The store that they go to need not know their projects; and what was deleted from the store they were
//! in is deleted here first, or a replay would bring it back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use model::{ProjectId, Time, TraceId};
use store::DeleteError;
use store::meta::{Meta, MetaError};
use tokio::task::spawn_blocking;

use crate::app::App;
use crate::archive::Record;
use crate::body::Received;
use crate::intake::{IntakeError, Taken, Wire};
use crate::langfuse::{self, Origin};

/// So many traces are deleted in one step: each step is one record of the log.
const DELETED_AT_ONCE: usize = 1_000;

/// A body of an archive cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It cannot be inflated, or not within the limits that are set here.
    #[error("the body cannot be read: {0}")]
    Body(String),
    /// Its items were not taken.
    #[error(transparent)]
    Intake(#[from] IntakeError),
    /// A batch of Langfuse cannot be laid over what is stored.
    #[error("the batch was not taken: {0}")]
    Langfuse(String),
    /// What was deleted elsewhere cannot be read.
    #[error("failed to read what was deleted")]
    Meta(#[from] MetaError),
    /// What was deleted elsewhere cannot be deleted here.
    #[error("failed to delete what was deleted")]
    Delete(#[from] DeleteError),
}

impl App {
    /// Takes in a body from an archive, as if it came now, but for when it was received.
    pub async fn replay(&self, record: &Record) -> Result<Taken, ReplayError> {
        let head = &record.head;
        let intake = self
            .state()
            .intake(head.project.clone(), head.source, head.received_at)?;
        let (config, ledger) = (&self.state().config, self.state().store.ledger());
        let body = Received::again(config, ledger, record.body.clone(), head.encoding);
        let wire = head.wire;
        if wire == Wire::Langfuse {
            let laid = langfuse::lay_over(self.state(), intake, body, Origin::Archive).await;
            let (taken, _) = laid.map_err(|error| ReplayError::Langfuse(error.to_string()))?;
            return Ok(taken);
        }
        let work = spawn_blocking(move || {
            let (bytes, hold) = body
                .inflate()
                .map_err(|error| ReplayError::Body(error.to_string()))?;
            let (prepared, taken) = intake.prepare(bytes, wire)?;
            Ok::<_, ReplayError>((prepared, taken, hold))
        });
        let (prepared, taken, hold) = work.await.map_err(IntakeError::Worker)??;
        self.state()
            .store
            .append(prepared)
            .await
            .map_err(IntakeError::Append)?;
        drop(hold);
        Ok(taken)
    }

    /// Deletes the traces here that were deleted in the store whose `meta.db` is given, so that a replay
    /// does not bring them back: their items are refused from now on, as those of any deleted trace.
    /// Returns the projects that were deleted there.
    pub async fn delete_again(&self, meta_db: &Path) -> Result<Vec<ProjectId>, ReplayError> {
        let meta = Meta::open(meta_db, Arc::clone(&self.state().clock)).await;
        let meta = meta.map_err(MetaError::from)?;
        let traces = meta.deleted_traces(Time::default()).await;
        let traces = traces.map_err(MetaError::from)?;
        let projects = meta.deleted_projects().await?;
        meta.close().await.map_err(MetaError::from)?;
        let mut by_project: BTreeMap<ProjectId, Vec<TraceId>> = BTreeMap::new();
        for deleted in traces {
            let of_project = by_project.entry(deleted.project_id).or_default();
            of_project.push(deleted.trace_id);
        }
        for (project, traces) in by_project {
            for some in traces.chunks(DELETED_AT_ONCE) {
                let store = &self.state().store;
                store.delete_traces(&project, some.to_vec()).await?;
            }
        }
        Ok(projects.into_iter().map(|project| project.id).collect())
    }

    /// Makes a project, unless there is or was one of that id. Returns whether there is one now.
    pub async fn ensure_project(&self, id: &ProjectId) -> Result<bool, MetaError> {
        if self.state().projects.settings(id).is_some() {
            return Ok(true);
        }
        let meta = self.state().store.meta();
        match meta.create_project("replay", id, id.as_str()).await {
            Ok(()) => {
                self.state().projects.reload(meta).await?;
                Ok(true)
            }
            Err(MetaError::Exists { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
