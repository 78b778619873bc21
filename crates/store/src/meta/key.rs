//! API keys. The secret is never stored: the server hashes what it is shown and asks for the hash.

use std::collections::BTreeMap;

use model::{ProjectId, Time};

use super::{Meta, MetaError, project};
use crate::sqlite::{Engine, Row, column, fresh_id, maybe_time, parsed, time};

/// Which projects a key opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyProjects {
    /// Every project, also those made later.
    All,
    /// These, in the order of their ids.
    Only(Vec<ProjectId>),
}

impl KeyProjects {
    /// Returns whether the key opens a project.
    pub fn contains(&self, id: &ProjectId) -> bool {
        match self {
            KeyProjects::All => true,
            KeyProjects::Only(ids) => ids.contains(id),
        }
    }
}

/// What a new key shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// What people call it.
    pub name: String,
    /// Which projects it opens.
    pub projects: KeyProjects,
    /// The SHA-256 hash of its secret.
    pub hash: [u8; 32],
    /// What of the secret may be shown: `tg_…abcd`.
    pub shown: String,
    /// What it may do; the words are the server's.
    pub scopes: String,
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Which projects it opens.
    pub projects: KeyProjects,
    /// What of the secret may be shown.
    pub shown: String,
    /// What it may do.
    pub scopes: String,
    /// When it was made.
    pub created_at: Time,
    /// When it was last used, to within the server's batches.
    pub last_used_at: Option<Time>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Time>,
}

impl Meta {
    /// Returns every key, revoked ones included, oldest first.
    pub async fn keys(&self) -> Result<Vec<ApiKey>, MetaError> {
        let failed = self.db.failed("list keys");
        let query = sqlx::query("SELECT * FROM api_keys ORDER BY created_at, id");
        let rows = query.fetch_all(self.db.readers()).await.map_err(&failed)?;
        Ok(self.with_projects(rows).await.map_err(&failed)?)
    }

    /// Returns the key whose secret has this hash, unless it was revoked.
    pub async fn key_by_hash(&self, hash: &[u8; 32]) -> Result<Option<ApiKey>, MetaError> {
        let failed = self.db.failed("look up a key");
        let rows = sqlx::query("SELECT * FROM api_keys WHERE hash = $1 AND revoked_at IS NULL")
            .bind(hash.as_slice())
            .fetch_all(self.db.readers())
            .await
            .map_err(&failed)?;
        Ok(self.with_projects(rows).await.map_err(&failed)?.pop())
    }

    /// Makes a key and returns its id.
    pub async fn create_key(&self, who: &str, new: &NewKey) -> Result<String, MetaError> {
        let failed = self.db.failed("create a key");
        let now = self.clock.now();
        let id = format!("key_{}", fresh_id(now).simple());
        let mut write = self.db.begin().await?;
        let made = sqlx::query(
            "INSERT INTO api_keys (id, name, all_projects, hash, shown, scopes, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (hash) DO NOTHING",
        )
        .bind(&id)
        .bind(&new.name)
        .bind(i64::from(new.projects == KeyProjects::All))
        .bind(new.hash.as_slice())
        .bind(&new.shown)
        .bind(&new.scopes)
        .bind(now.as_micros())
        .execute(write.connection())
        .await
        .map_err(&failed)?;
        if made.rows_affected() == 0 {
            return Err(MetaError::Exists {
                what: "key",
                id: new.shown.clone(),
            });
        }
        if let KeyProjects::Only(projects) = &new.projects {
            for project_id in projects {
                if !project::is_live(write.connection(), project_id)
                    .await
                    .map_err(&failed)?
                {
                    return Err(project::not_found(project_id));
                }
                sqlx::query(
                    "INSERT INTO api_key_projects (key_id, project_id) VALUES ($1, $2)
                     ON CONFLICT (key_id, project_id) DO NOTHING",
                )
                .bind(&id)
                .bind(project_id.as_str())
                .execute(write.connection())
                .await
                .map_err(&failed)?;
            }
        }
        self.finish(write, who, &format!("created key {id} {:?}", new.name))
            .await?;
        Ok(id)
    }

    /// Revokes a key; revoking it again changes nothing.
    pub async fn revoke_key(&self, who: &str, id: &str) -> Result<(), MetaError> {
        let mut write = self.db.begin().await?;
        let done =
            sqlx::query("UPDATE api_keys SET revoked_at = COALESCE(revoked_at, $1) WHERE id = $2")
                .bind(self.clock.now().as_micros())
                .bind(id)
                .execute(write.connection())
                .await
                .map_err(self.db.failed("revoke a key"))?;
        if done.rows_affected() == 0 {
            return Err(MetaError::NotFound {
                what: "key",
                id: id.to_owned(),
            });
        }
        Ok(self
            .finish(write, who, &format!("revoked key {id}"))
            .await?)
    }

    /// Notes when keys were used. That is no decision, so the audit log does not have it.
    pub async fn touch_keys(&self, used: &[(String, Time)]) -> Result<(), MetaError> {
        let failed = self.db.failed("note the use of keys");
        let mut write = self.db.begin().await?;
        for (id, at) in used {
            sqlx::query(
                "UPDATE api_keys SET last_used_at = $1
                 WHERE id = $2 AND (last_used_at IS NULL OR last_used_at < $1)",
            )
            .bind(at.as_micros())
            .bind(id)
            .execute(write.connection())
            .await
            .map_err(&failed)?;
        }
        drop(write.commit().await.map_err(&failed)?);
        Ok(())
    }

    async fn with_projects(&self, rows: Vec<Row>) -> Result<Vec<ApiKey>, sqlx::Error> {
        let mut statement = sqlx::QueryBuilder::<Engine>::new(
            "SELECT key_id, project_id FROM api_key_projects ORDER BY project_id",
        );
        if let [only] = rows.as_slice() {
            // The common case is one key at the door: read its projects, not everybody's.
            statement = sqlx::QueryBuilder::new(
                "SELECT key_id, project_id FROM api_key_projects WHERE key_id = ",
            );
            statement
                .push_bind(column::<String>(only, "id")?)
                .push(" ORDER BY project_id");
        }
        let mut projects: BTreeMap<String, Vec<ProjectId>> = BTreeMap::new();
        for row in statement.build().fetch_all(self.db.readers()).await? {
            let ids = projects.entry(column(&row, "key_id")?).or_default();
            ids.push(parsed(&row, "project_id")?);
        }
        rows.iter().map(|row| api_key(row, &mut projects)).collect()
    }
}

fn api_key(
    row: &Row,
    projects: &mut BTreeMap<String, Vec<ProjectId>>,
) -> Result<ApiKey, sqlx::Error> {
    let id: String = column(row, "id")?;
    let projects = match column::<i64>(row, "all_projects")? {
        0 => KeyProjects::Only(projects.remove(&id).unwrap_or_default()),
        _ => KeyProjects::All,
    };
    Ok(ApiKey {
        id,
        name: column(row, "name")?,
        projects,
        shown: column(row, "shown")?,
        scopes: column(row, "scopes")?,
        created_at: time(row, "created_at")?,
        last_used_at: maybe_time(row, "last_used_at")?,
        revoked_at: maybe_time(row, "revoked_at")?,
    })
}
