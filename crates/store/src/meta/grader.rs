//! Graders by name and version. Their definitions are JSON texts, opaque here.
//!
//! A version that a run has used never changes: what was graded by it must stay explainable. One that
//! nobody has used is a draft and is replaced in place, so that trying out a wording ten times leaves one
//! version. A grader that was given along with a request has no name; it is kept once for each hash.

use model::{ProjectId, Time};

use super::paging::Listing;
use super::{Meta, MetaError, Page, PageAsked, project};
use crate::sqlite::{Connection, DbError, Row, column, fresh_id, maybe_time, parsed, time};

/// A grader to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGrader {
    /// What people call it; none: it came along with a request.
    pub name: Option<String>,
    /// Its kind: `rule`, `llm` and the like.
    pub kind: String,
    /// The hash of its definition without the name.
    pub hash: String,
    /// Its definition: a JSON object.
    pub definition: String,
    /// What it is for, in people's words. None given: what was said before stays.
    pub description: Option<String>,
}

/// A version of a grader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredGrader {
    /// The grader's id, `grader_…`: the same for all its versions.
    pub id: String,
    /// Whose it is.
    pub project: ProjectId,
    /// What people call it; none: it came along with a request.
    pub name: Option<String>,
    /// Its kind: `rule`, `llm` and the like.
    pub kind: String,
    /// Which version this is, from 1.
    pub version: u32,
    /// The hash of its definition without the name.
    pub hash: String,
    /// Its definition: a JSON object.
    pub definition: String,
    /// What it is for, in people's words.
    pub description: Option<String>,
    /// When its first version was saved.
    pub created_at: Time,
    /// When this version was last saved with something new.
    pub updated_at: Time,
    /// When it was put away; saving under its name brings it back.
    pub archived_at: Option<Time>,
    /// Whether a run has used this version, so that it never changes any more.
    pub is_used: bool,
    /// How many versions there are.
    pub versions: u32,
}

impl Meta {
    /// Saves a grader under its name and returns the version it has now: the first of a new name; the one
    /// that is there if its hash is the same; that one in place if nobody has used it; else the next.
    /// One without a name is kept as [`Meta::inline_grader`] does.
    pub async fn save_grader(
        &self,
        who: &str,
        project: &ProjectId,
        new: &NewGrader,
    ) -> Result<StoredGrader, MetaError> {
        let Some(name) = &new.name else {
            return self.inline_grader(who, project, new).await;
        };
        let key = Key {
            name: Some(name),
            inline_hash: None,
        };
        self.keep(who, project, new, key).await
    }

    /// Keeps a grader that came along with a request, once for each hash; its name is passed over.
    pub async fn inline_grader(
        &self,
        who: &str,
        project: &ProjectId,
        new: &NewGrader,
    ) -> Result<StoredGrader, MetaError> {
        let key = Key {
            name: None,
            inline_hash: Some(&new.hash),
        };
        self.keep(who, project, new, key).await
    }

    /// Saves a grader that is known by this.
    async fn keep(
        &self,
        who: &str,
        project_id: &ProjectId,
        new: &NewGrader,
        key: Key<'_>,
    ) -> Result<StoredGrader, MetaError> {
        let failed = self.db.failed("save a grader");
        let mut write = self.db.begin().await?;
        let connection = write.connection();
        if !project::is_live(connection, project_id)
            .await
            .map_err(&failed)?
        {
            return Err(project::not_found(project_id));
        }
        let known = known(connection, project_id, key).await.map_err(&failed)?;
        let now = self.clock.now();
        let (id, version) = match known {
            None => first_version(connection, project_id, new, key, now)
                .await
                .map_err(&failed)?,
            Some(latest) => {
                let next = next_version(connection, &latest, new, now);
                match next.await.map_err(&failed)? {
                    Some(version) => (latest.id, version),
                    None => return Ok(latest),
                }
            }
        };
        let what = format!("saved {id} version {version}");
        self.finish(write, who, &what).await?;
        self.grader(project_id, &id, Some(version)).await
    }

    /// Returns a grader of a project by its id or its name: a version of it, or the latest.
    pub async fn grader(
        &self,
        project: &ProjectId,
        id_or_name: &str,
        version: Option<u32>,
    ) -> Result<StoredGrader, MetaError> {
        let failed = self.db.failed("look up a grader");
        let row = sqlx::query(
            "SELECT * FROM graders JOIN grader_versions ON grader_id = id
             WHERE project_id = $1 AND (id = $2 OR name = $2) AND version = COALESCE($3, latest)
             ORDER BY CASE WHEN id = $2 THEN 0 ELSE 1 END LIMIT 1",
        )
        .bind(project.as_str())
        .bind(id_or_name)
        .bind(version.map(i64::from))
        .fetch_optional(self.db.readers())
        .await
        .map_err(&failed)?;
        match (row, version) {
            (Some(row), _) => Ok(grader(&row).map_err(&failed)?),
            (None, None) => Err(not_found(id_or_name)),
            (None, Some(version)) => {
                // Is it the grader that is not there, or the version?
                let latest = Box::pin(self.grader(project, id_or_name, None)).await?;
                Err(MetaError::NoVersion {
                    grader: id_or_name.to_owned(),
                    asked: version,
                    latest: latest.versions,
                })
            }
        }
    }

    /// Returns a page of a project's graders that have names, each in its latest version: those that were
    /// put away only if they are asked for.
    pub async fn graders(
        &self,
        project: &ProjectId,
        with_archived: bool,
        asked: &PageAsked,
    ) -> Result<Page<StoredGrader>, MetaError> {
        let listing = Listing {
            what: "grader",
            table: "graders JOIN grader_versions ON grader_id = id AND version = latest",
            order_by: "created_at",
            owner: vec![("project_id =", project.to_string())],
            filter: match with_archived {
                true => vec![("name <>", String::new())],
                false => vec![("archived_at IS NULL AND name <>", String::new())],
            },
        };
        self.page(&listing, asked, grader).await
    }

    /// Returns the names of a project's graders, the newest first and so many at most: those that were put
    /// away too, with that.
    pub async fn grader_names(
        &self,
        project: &ProjectId,
        limit: u32,
    ) -> Result<Vec<(String, bool)>, DbError> {
        let failed = self.db.failed("list the names of graders");
        let rows = sqlx::query(
            "SELECT name, archived_at FROM graders WHERE project_id = $1 AND name IS NOT NULL
             ORDER BY created_at DESC, id DESC LIMIT $2",
        )
        .bind(project.as_str())
        .bind(i64::from(limit))
        .fetch_all(self.db.readers())
        .await
        .map_err(&failed)?;
        let name = |row| {
            let is_away = maybe_time(row, "archived_at")?.is_some();
            Ok((column(row, "name")?, is_away))
        };
        let names: Result<_, _> = rows.iter().map(name).collect();
        names.map_err(&failed)
    }

    /// Returns all versions of a grader, the latest first.
    pub async fn grader_versions(
        &self,
        project: &ProjectId,
        id_or_name: &str,
    ) -> Result<Vec<StoredGrader>, MetaError> {
        let latest = self.grader(project, id_or_name, None).await?;
        let failed = self.db.failed("list the versions of a grader");
        let rows = sqlx::query(
            "SELECT * FROM graders JOIN grader_versions ON grader_id = id
             WHERE id = $1 ORDER BY version DESC",
        )
        .bind(&latest.id)
        .fetch_all(self.db.readers())
        .await
        .map_err(&failed)?;
        let versions: Result<_, _> = rows.iter().map(grader).collect();
        Ok(versions.map_err(&failed)?)
    }

    /// Puts a grader away: lists show it no more, and its versions stay for the runs that used them.
    pub async fn archive_grader(
        &self,
        who: &str,
        project: &ProjectId,
        id_or_name: &str,
    ) -> Result<StoredGrader, MetaError> {
        let latest = self.grader(project, id_or_name, None).await?;
        let mut write = self.db.begin().await?;
        let done = sqlx::query(
            "UPDATE graders SET archived_at = $1 WHERE id = $2 AND archived_at IS NULL",
        )
        .bind(self.clock.now().as_micros())
        .bind(&latest.id)
        .execute(write.connection())
        .await
        .map_err(self.db.failed("put a grader away"))?;
        match done.rows_affected() {
            0 => drop(write),
            _ => {
                let what = format!("put {} away", latest.id);
                self.finish(write, who, &what).await?;
            }
        }
        self.grader(project, &latest.id, None).await
    }
}

/// What a grader is known by: one of the two.
#[derive(Debug, Clone, Copy)]
struct Key<'a> {
    name: Option<&'a str>,
    inline_hash: Option<&'a str>,
}

/// Returns the latest version of a grader, if there is one.
async fn known(
    connection: &mut Connection,
    project: &ProjectId,
    key: Key<'_>,
) -> Result<Option<StoredGrader>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT * FROM graders JOIN grader_versions ON grader_id = id AND version = latest
         WHERE project_id = $1 AND (name = $2 OR inline_hash = $3)",
    )
    .bind(project.as_str())
    .bind(key.name)
    .bind(key.inline_hash)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(grader).transpose()
}

async fn first_version(
    connection: &mut Connection,
    project: &ProjectId,
    new: &NewGrader,
    key: Key<'_>,
    now: Time,
) -> Result<(String, u32), sqlx::Error> {
    let id = format!("grader_{}", fresh_id(now).simple());
    sqlx::query(
        "INSERT INTO graders (id, project_id, name, inline_hash, created_at, latest)
         VALUES ($1, $2, $3, $4, $5, 1)",
    )
    .bind(&id)
    .bind(project.as_str())
    .bind(key.name)
    .bind(key.inline_hash)
    .bind(now.as_micros())
    .execute(&mut *connection)
    .await?;
    enter(connection, &id, 1, new, now).await?;
    Ok((id, 1))
}

/// Brings a grader that is there up to what is saved. Returns its version; none: nothing is new.
async fn next_version(
    connection: &mut Connection,
    latest: &StoredGrader,
    new: &NewGrader,
    now: Time,
) -> Result<Option<u32>, sqlx::Error> {
    let says_more = new.description.is_some() && new.description != latest.description;
    let is_same = latest.hash == new.hash;
    if is_same && !says_more && latest.archived_at.is_none() {
        return Ok(None);
    }
    let version = match is_same || !latest.is_used {
        true => latest.version,
        false => latest.version + 1,
    };
    let told = NewGrader {
        description: new.description.clone().or(latest.description.clone()),
        // What has the same hash may be written in another way; the used way of it stays.
        definition: match is_same {
            true => latest.definition.clone(),
            false => new.definition.clone(),
        },
        ..new.clone()
    };
    enter(connection, &latest.id, version, &told, now).await?;
    Ok(Some(version))
}

/// Writes a version, over one that is there, and makes it the latest of a grader in use.
async fn enter(
    connection: &mut Connection,
    id: &str,
    version: u32,
    new: &NewGrader,
    now: Time,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO grader_versions
           (grader_id, version, kind, hash, definition, description, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (grader_id, version) DO UPDATE SET kind = excluded.kind, hash = excluded.hash,
           definition = excluded.definition, description = excluded.description,
           updated_at = excluded.updated_at",
    )
    .bind(id)
    .bind(i64::from(version))
    .bind(&new.kind)
    .bind(&new.hash)
    .bind(&new.definition)
    .bind(&new.description)
    .bind(now.as_micros())
    .execute(&mut *connection)
    .await?;
    sqlx::query("UPDATE graders SET latest = $1, archived_at = NULL WHERE id = $2")
        .bind(i64::from(version))
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) fn not_found(id: &str) -> MetaError {
    MetaError::NotFound {
        what: "grader",
        id: id.to_owned(),
    }
}

fn grader(row: &Row) -> Result<StoredGrader, sqlx::Error> {
    Ok(StoredGrader {
        id: column(row, "id")?,
        project: parsed(row, "project_id")?,
        name: column(row, "name")?,
        kind: column(row, "kind")?,
        version: column(row, "version")?,
        hash: column(row, "hash")?,
        definition: column(row, "definition")?,
        description: column(row, "description")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
        archived_at: maybe_time(row, "archived_at")?,
        is_used: column::<Option<i64>>(row, "used_at")?.is_some(),
        versions: column(row, "latest")?,
    })
}
