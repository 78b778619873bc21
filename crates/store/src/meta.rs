//! What did people decide? Projects, keys, prices, settings, evals and graders with their runs, what they
//! say of traces, and who changed what.
//!
//! Nothing here can be rebuilt, so it has a database of its own, apart from the catalog of files: it
//! is small, it is backed up, and no flush or compaction writes to it. Every change names who made it
//! and is entered in the audit log by the same transaction, so the log cannot miss one.

mod annotation;
mod deleted;
mod eval;
mod eval_import;
#[cfg(test)]
mod eval_import_tests;
mod eval_item;
mod eval_run;
#[cfg(test)]
mod eval_tests;
mod grader;
#[cfg(test)]
mod grader_tests;
mod grading_item;
mod grading_lease;
#[cfg(test)]
mod grading_model;
mod grading_run;
#[cfg(test)]
mod grading_scale;
mod grading_status;
#[cfg(test)]
mod grading_tests;
mod judge_answer;
mod key;
mod log_cursor;
mod paging;
mod project;
mod schema;
mod setting;
#[cfg(test)]
mod tests;
mod upload;
mod watch;
#[cfg(test)]
mod watch_tests;

use std::path::Path;
use std::sync::Arc;

use model::{Clock, Time};
use uuid::Uuid;

pub use annotation::{Annotation, AnnotationFilter, AskedBy, NewAnnotation, Rating, UnknownRating};
pub use deleted::DeletedTrace;
pub use eval::{Eval, EvalOrder, NewEval};
pub use eval_import::{Brought, EvalImport, EvalsBrought, ImportedEval, ImportedItem, ImportedRun};
pub use eval_item::{GradedItem, ItemStatus, NewItem, OutputItem, QueuedItem, UnknownItemStatus};
pub use eval_run::{EvalRun, ModelUse, NewRun, RunStatus, RunTally, UnknownRunStatus};
pub use grader::{NewGrader, StoredGrader};
pub use grading_item::{
    GradingItemSeen, GradingItemStatus, NewGradingItem, UnknownGradingItemStatus,
};
pub use grading_lease::{Finished, FinishedItem, GradingItem, ItemEnd};
pub use grading_run::{GraderUse, GradingRun, GradingRunFilter, NewGradingRun};
pub use grading_status::{GradingStatus, UnknownGradingStatus};
pub use key::{ApiKey, KeyProjects, NewKey};
pub use paging::{Page, PageAsked};
pub use project::{DEFAULT_PROJECT, Project, ProjectSettings};
pub use setting::{AuditEntry, PriceOverride};
pub use upload::{NewUpload, Upload};
pub use watch::{Decision, DecisionFilter, NewWatch, Watch, WatchChange};

use crate::sqlite::{Building, Connection, Db, DbError, Write, parsed};
use schema::MIGRATIONS;

/// Why something people asked for was not done. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    /// There is no such thing, or it was deleted.
    #[error("there is no {what} {id:?}")]
    NotFound {
        /// The sort of thing.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// A grader is there, and the version of it that was asked for is not.
    #[error("{grader} has no version {asked}: {}", versions(*.latest))]
    NoVersion {
        /// The grader, as it was named.
        grader: String,
        /// The version that was asked for.
        asked: u32,
        /// The latest that there is, from 1.
        latest: u32,
    },
    /// A page of a list was asked for behind an entry that is not in it.
    #[error(
        "there is no {what} {id:?} in this list; one that was deleted meanwhile names no place any more"
    )]
    NoPlace {
        /// The sort of thing that is listed.
        what: &'static str,
        /// What was named as the place.
        id: String,
    },
    /// There is one already, perhaps a deleted one: ids are not used twice.
    #[error("there is a {what} {id:?} already")]
    Exists {
        /// The sort of thing.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// The database refused.
    #[error("failed to use the database of projects and keys")]
    Db(#[from] DbError),
}

/// Returns which versions of a grader there are, in words.
fn versions(latest: u32) -> String {
    match latest {
        1 => "its only version is 1".to_owned(),
        latest => format!("its versions are 1 to {latest}"),
    }
}

/// The open database of what people decided.
#[derive(Debug)]
pub struct Meta {
    db: Db,
    store_id: Uuid,
    clock: Arc<dyn Clock>,
}

impl Meta {
    /// Creates the database of a new store, with the project `default`.
    pub async fn create(
        path: &Path,
        store_id: Uuid,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DbError> {
        if path.exists() {
            return Err(DbError::Exists {
                path: path.to_owned(),
            });
        }
        let now = clock.now();
        let building = Building::start(path, MIGRATIONS, now).await?;
        let failed = building.db.failed("fill the new database");
        let mut write = building.db.begin().await?;
        plant(write.connection(), store_id, now)
            .await
            .map_err(&failed)?;
        drop(write.commit().await.map_err(&failed)?);
        building.install().await?;
        Self::open(path, clock).await
    }

    /// Opens the database of a store.
    pub async fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, DbError> {
        let db = Db::open(path, MIGRATIONS, clock.now()).await?;
        let failed = db.failed("read the store id");
        let row = sqlx::query("SELECT store_id FROM store WHERE id = 1")
            .fetch_one(db.readers())
            .await
            .map_err(&failed)?;
        let store_id = parsed(&row, "store_id").map_err(&failed)?;
        Ok(Self {
            db,
            store_id,
            clock,
        })
    }

    /// Returns the id that all parts of the store carry.
    pub fn store_id(&self) -> Uuid {
        self.store_id
    }

    /// Returns what is wrong with the database: nothing, if all is well.
    pub async fn verify(&self) -> Result<Vec<String>, DbError> {
        self.db.integrity().await
    }

    /// Writes a compact copy to `dest`, which must not exist: all of it or nothing.
    pub async fn vacuum_into(&self, dest: &Path) -> Result<(), DbError> {
        self.db.copy_to(dest).await
    }

    /// Writes a compact copy to `dest` of what people made, without what is about traces and can be made
    /// again: all of it or nothing. What was to be graded is left out, so grading runs that were not over
    /// are; those of watches begin anew.
    pub(crate) async fn copy_what_people_made(&self, dest: &Path) -> Result<(), DbError> {
        let building = dest.with_extension("building");
        let cuts = [
            // What was graded elsewhere is about no trace of ours.
            "DELETE FROM eval_runs WHERE openai_id IS NULL",
            "DELETE FROM judge_answers",
            "DELETE FROM watch_decisions",
            "DELETE FROM grading_items",
            "DELETE FROM grading_leftovers",
            "UPDATE grading_runs SET items = done + deleted",
            "UPDATE grading_runs SET status = 'canceled', reason = 'its items are not in this copy'
             WHERE status IN ('selecting', 'queued', 'in_progress', 'paused') AND watch_id IS NULL",
        ];
        self.db.copy_cut_to(&building, &cuts, dest).await
    }

    /// Empties the database's journal, so that deleted bytes are gone from disk. Returns whether that
    /// worked; a long reader is in the way of it.
    pub async fn checkpoint(&self) -> Result<bool, DbError> {
        self.db.checkpoint().await
    }

    /// Closes the database; a single file stays.
    pub async fn close(&self) -> Result<(), DbError> {
        self.db.close().await
    }

    /// Enters a change in the audit log and commits it.
    async fn finish(&self, mut write: Write<'_>, who: &str, what: &str) -> Result<(), DbError> {
        let failed = self.db.failed("commit a change");
        setting::enter_audit(write.connection(), self.clock.now(), who, what)
            .await
            .map_err(&failed)?;
        drop(write.commit().await.map_err(&failed)?);
        Ok(())
    }
}

async fn plant(connection: &mut Connection, store_id: Uuid, now: Time) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO store (id, store_id, created_at) VALUES (1, $1, $2)")
        .bind(store_id.to_string())
        .bind(now.as_micros())
        .execute(&mut *connection)
        .await?;
    sqlx::query("INSERT INTO projects (id, name, created_at, settings) VALUES ($1, $1, $2, '{}')")
        .bind(DEFAULT_PROJECT)
        .bind(now.as_micros())
        .execute(connection)
        .await?;
    Ok(())
}
