//! How far is everybody who reads the log to pass rows on?

use std::collections::BTreeMap;

use super::{Meta, MetaError};

impl Meta {
    /// Returns up to which frame each reader of the log is done, by name.
    pub async fn log_cursors(&self) -> Result<BTreeMap<String, u64>, MetaError> {
        let rows: Vec<(String, i64)> = sqlx::query_as("SELECT name, seq FROM log_cursors")
            .fetch_all(self.db.readers())
            .await
            .map_err(self.db.failed("list the readers of the log"))?;
        let unsigned = |(name, seq): (String, i64)| (name, seq.max(0) as u64);
        Ok(rows.into_iter().map(unsigned).collect())
    }

    /// Writes down that a reader is done with every frame up to `seq`.
    pub async fn set_log_cursor(&self, name: &str, seq: u64) -> Result<(), MetaError> {
        let failed = self.db.failed("write down how far a reader of the log is");
        let mut write = self.db.begin().await?;
        sqlx::query(
            "INSERT INTO log_cursors (name, seq) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET seq = excluded.seq",
        )
        .bind(name)
        .bind(i64::try_from(seq).unwrap_or(i64::MAX))
        .execute(write.connection())
        .await
        .map_err(&failed)?;
        drop(write.commit().await.map_err(&failed)?);
        Ok(())
    }

    /// Forgets a reader of the log.
    pub async fn forget_log_cursor(&self, name: &str) -> Result<(), MetaError> {
        let failed = self.db.failed("forget a reader of the log");
        let mut write = self.db.begin().await?;
        sqlx::query("DELETE FROM log_cursors WHERE name = $1")
            .bind(name)
            .execute(write.connection())
            .await
            .map_err(&failed)?;
        drop(write.commit().await.map_err(&failed)?);
        Ok(())
    }
}
