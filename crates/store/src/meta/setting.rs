//! Settings, prices that people entered, and the log of who changed what.

use std::collections::BTreeMap;

use model::Time;

use super::{Meta, MetaError};
use crate::sqlite::{Connection, Row, column, time};

/// A price that people entered over the built-in table: a line of that table, opaque here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceOverride {
    /// The model it is for.
    pub model: String,
    /// From when on it holds.
    pub valid_from: Time,
    /// The line, in the columns of the built-in table, separated by tabs.
    pub line: String,
}

/// One change that somebody made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number; later entries have higher ones.
    pub id: i64,
    /// When it was made.
    pub at: Time,
    /// Who made it.
    pub who: String,
    /// What was changed.
    pub what: String,
}

impl Meta {
    /// Returns every setting.
    pub async fn settings(&self) -> Result<BTreeMap<String, String>, MetaError> {
        let rows: Vec<(String, String)> = sqlx::query_as("SELECT key, value FROM settings")
            .fetch_all(self.db.readers())
            .await
            .map_err(self.db.failed("list settings"))?;
        Ok(rows.into_iter().collect())
    }

    /// Returns a setting, if it was ever set.
    pub async fn setting(&self, key: &str) -> Result<Option<String>, MetaError> {
        let value = sqlx::query_scalar("SELECT value FROM settings WHERE key = $1")
            .bind(key)
            .fetch_optional(self.db.readers())
            .await;
        Ok(value.map_err(self.db.failed("read a setting"))?)
    }

    /// Sets a setting.
    pub async fn set_setting(&self, who: &str, key: &str, value: &str) -> Result<(), MetaError> {
        let mut write = self.db.begin().await?;
        sqlx::query(
            "INSERT INTO settings (key, value) VALUES ($1, $2)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )
        .bind(key)
        .bind(value)
        .execute(write.connection())
        .await
        .map_err(self.db.failed("set a setting"))?;
        // The value may be a secret: the log says that it changed, not to what.
        Ok(self.finish(write, who, &format!("set {key}")).await?)
    }

    /// Removes a setting, so that its default holds again.
    pub async fn remove_setting(&self, who: &str, key: &str) -> Result<(), MetaError> {
        let mut write = self.db.begin().await?;
        let done = sqlx::query("DELETE FROM settings WHERE key = $1")
            .bind(key)
            .execute(write.connection())
            .await
            .map_err(self.db.failed("remove a setting"))?;
        if done.rows_affected() == 0 {
            return Err(MetaError::NotFound {
                what: "setting",
                id: key.to_owned(),
            });
        }
        Ok(self.finish(write, who, &format!("removed {key}")).await?)
    }

    /// Returns the prices that people entered, by model and then by date.
    pub async fn prices(&self) -> Result<Vec<PriceOverride>, MetaError> {
        let failed = self.db.failed("list prices");
        let rows = sqlx::query("SELECT * FROM prices ORDER BY model, valid_from")
            .fetch_all(self.db.readers())
            .await
            .map_err(&failed)?;
        let price = |row: &Row| {
            Ok(PriceOverride {
                model: column(row, "model")?,
                valid_from: time(row, "valid_from")?,
                line: column(row, "line")?,
            })
        };
        let prices: Result<_, _> = rows.iter().map(price).collect();
        Ok(prices.map_err(&failed)?)
    }

    /// Sets the price of a model from a date on, in place of one with the same date.
    pub async fn set_price(&self, who: &str, price: &PriceOverride) -> Result<(), MetaError> {
        let mut write = self.db.begin().await?;
        sqlx::query(
            "INSERT INTO prices (model, valid_from, line) VALUES ($1, $2, $3)
             ON CONFLICT (model, valid_from) DO UPDATE SET line = excluded.line",
        )
        .bind(&price.model)
        .bind(price.valid_from.as_micros())
        .bind(&price.line)
        .execute(write.connection())
        .await
        .map_err(self.db.failed("set a price"))?;
        let what = format!(
            "set the price of {} from {} on",
            price.model, price.valid_from
        );
        Ok(self
            .finish(write, who, &format!("{what}: {}", price.line))
            .await?)
    }

    /// Removes a price that somebody entered.
    pub async fn remove_price(
        &self,
        who: &str,
        model: &str,
        valid_from: Time,
    ) -> Result<(), MetaError> {
        let mut write = self.db.begin().await?;
        let done = sqlx::query("DELETE FROM prices WHERE model = $1 AND valid_from = $2")
            .bind(model)
            .bind(valid_from.as_micros())
            .execute(write.connection())
            .await
            .map_err(self.db.failed("remove a price"))?;
        let what = format!("{model} from {valid_from} on");
        if done.rows_affected() == 0 {
            return Err(MetaError::NotFound {
                what: "price of",
                id: what,
            });
        }
        Ok(self
            .finish(write, who, &format!("removed the price of {what}"))
            .await?)
    }

    /// Enters something in the audit log that was changed elsewhere, such as a deletion of traces.
    pub async fn record(&self, who: &str, what: &str) -> Result<(), MetaError> {
        let write = self.db.begin().await?;
        Ok(self.finish(write, who, what).await?)
    }

    /// Returns up to `limit` entries of the audit log, newest first; those before entry `before`, if
    /// one is given.
    pub async fn audit(
        &self,
        limit: u32,
        before: Option<i64>,
    ) -> Result<Vec<AuditEntry>, MetaError> {
        let failed = self.db.failed("read the audit log");
        let rows = sqlx::query("SELECT * FROM audit WHERE id < $1 ORDER BY id DESC LIMIT $2")
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .fetch_all(self.db.readers())
            .await
            .map_err(&failed)?;
        let entry = |row: &Row| {
            Ok(AuditEntry {
                id: column(row, "id")?,
                at: time(row, "at")?,
                who: column(row, "who")?,
                what: column(row, "what")?,
            })
        };
        let entries: Result<_, _> = rows.iter().map(entry).collect();
        Ok(entries.map_err(&failed)?)
    }
}

pub(super) async fn enter_audit(
    connection: &mut Connection,
    at: Time,
    who: &str,
    what: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO audit (id, at, who, what)
         SELECT COALESCE(MAX(id), 0) + 1, $1, $2, $3 FROM audit",
    )
    .bind(at.as_micros())
    .bind(who)
    .bind(what)
    .execute(connection)
    .await?;
    Ok(())
}
