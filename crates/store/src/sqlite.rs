//! How are the two databases opened, written and copied?
//!
//! One connection writes, behind a mutex; a few others read. A transaction *takes* the writing
//! connection and gives it back only after a commit that was answered. Whatever else ends it (an
//! error, a dropped future, a panic) drops the connection, SQLite rolls back, and the next writer
//! opens another: no connection with an unknown past is ever used again.
//!
//! Everything that knows the dialect is in here and in the two schemas. Statements elsewhere use
//! `$1`, `ON CONFLICT` and `RETURNING`, which Postgres reads the same way.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use model::Time;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, QueryBuilder, Row as _};
use tokio::sync::{Mutex, MutexGuard};
use uuid::{NoContext, Timestamp, Uuid};

/// The database engine, its connection and its row, by the names the rest of the store uses.
pub(crate) type Engine = sqlx::Sqlite;
pub(crate) type Connection = SqliteConnection;
pub(crate) type Row = sqlx::sqlite::SqliteRow;

/// How long a connection waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const READERS_MAX: u32 = 4;
/// Rows of one bulk statement; SQLite binds 32,766 values at most.
pub(crate) const ROWS_PER_STATEMENT_MAX: usize = 500;

/// Why a database could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// There is no such file, and nobody asked to create it.
    #[error("{path} is missing")]
    Missing {
        /// The database.
        path: PathBuf,
    },
    /// It was to be created, and is there already.
    #[error("{path} exists already")]
    Exists {
        /// The database.
        path: PathBuf,
    },
    /// A newer program has been here. The file was not touched.
    #[error(
        "{path} has schema {found}, and this program knows schemas up to {known}: use a newer one"
    )]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// The schema it has.
        found: i64,
        /// The newest schema that this program knows.
        known: i64,
    },
    /// The database belongs to another store.
    #[error("{path} belongs to store {found}, not to {expected}")]
    ForeignStore {
        /// The database.
        path: PathBuf,
        /// The store it belongs to.
        found: String,
        /// The store it was opened for.
        expected: String,
    },
    /// The file system refused.
    #[error("failed to {what} {path}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The database refused, or a row of it holds something that we never write.
    #[error("failed to {what} in {path}")]
    Sql {
        /// What was attempted.
        what: &'static str,
        /// In which database.
        path: PathBuf,
        /// Why not.
        #[source]
        source: sqlx::Error,
    },
}

/// The numbered steps from nothing to the present schema: step n is at index n - 1. A step that was
/// ever released is never changed.
pub(crate) type Migrations = &'static [&'static str];

const MIGRATION_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version BIGINT PRIMARY KEY,
    applied_at BIGINT NOT NULL
)";

/// An open database.
#[derive(Debug)]
pub(crate) struct Db {
    path: PathBuf,
    /// The writing connection, unless its last transaction did not end well.
    writer: Mutex<Option<Connection>>,
    readers: SqlitePool,
}

impl Db {
    /// Opens a database that exists, and brings its schema up to date.
    pub(crate) async fn open(
        path: &Path,
        migrations: Migrations,
        now: Time,
    ) -> Result<Self, DbError> {
        if !tokio::fs::try_exists(path)
            .await
            .map_err(io_error("look for", path))?
        {
            return Err(DbError::Missing {
                path: path.to_owned(),
            });
        }
        refuse_newer(path, migrations.len() as i64).await?;
        let owner_only = std::fs::Permissions::from_mode(0o600);
        tokio::fs::set_permissions(path, owner_only)
            .await
            .map_err(io_error("set the mode of", path))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .connect_lazy_with(connect_options(path).pragma("query_only", "ON"));
        let db = Self {
            path: path.to_owned(),
            writer: Mutex::new(None),
            readers,
        };
        db.migrate(migrations, now).await?;
        Ok(db)
    }

    /// Returns where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the connections for reading. They see what is committed.
    pub(crate) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Names an attempt, for errors: `query.await.map_err(db.failed("list files"))`.
    pub(crate) fn failed(&self, what: &'static str) -> impl Fn(sqlx::Error) -> DbError + use<> {
        let path = self.path.clone();
        move |source| DbError::Sql {
            what,
            path: path.clone(),
            source,
        }
    }

    /// Waits for the writer's turn and begins a transaction.
    pub(crate) async fn begin(&self) -> Result<Write<'_>, DbError> {
        let mut lane = self.writer.lock().await;
        let mut connection = self.take(&mut lane).await?;
        sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut connection)
            .await
            .map_err(self.failed("begin a transaction"))?;
        Ok(Write { connection, lane })
    }

    async fn take(&self, lane: &mut Option<Connection>) -> Result<Connection, DbError> {
        match lane.take() {
            Some(connection) => Ok(connection),
            None => {
                let connected = connect_options(&self.path).connect().await;
                connected.map_err(self.failed("open a connection"))
            }
        }
    }

    async fn migrate(&self, migrations: Migrations, now: Time) -> Result<(), DbError> {
        let failed = self.failed("update the schema");
        let mut write = self.begin().await?;
        let connection = write.connection();
        sqlx::query(MIGRATION_TABLE)
            .execute(&mut *connection)
            .await
            .map_err(&failed)?;
        let done = schema_version(connection).await.map_err(&failed)?;
        for (version, script) in (1_i64..).zip(migrations).skip(done as usize) {
            sqlx::raw_sql(*script)
                .execute(&mut *connection)
                .await
                .map_err(&failed)?;
            sqlx::query("INSERT INTO schema_migrations (version, applied_at) VALUES ($1, $2)")
                .bind(version)
                .bind(now.as_micros())
                .execute(&mut *connection)
                .await
                .map_err(&failed)?;
        }
        let _lane = write.commit().await.map_err(&failed)?;
        Ok(())
    }

    /// Writes a compact copy to `dest`, which must not exist: all of it or nothing.
    pub(crate) async fn copy_to(&self, dest: &Path) -> Result<(), DbError> {
        if tokio::fs::try_exists(dest)
            .await
            .map_err(io_error("look for", dest))?
        {
            return Err(DbError::Exists {
                path: dest.to_owned(),
            });
        }
        let partial = with_suffix(dest, ".partial");
        create_empty(&partial).await?;
        // Not the writer's connection: a copy takes long, and writers need not wait for it.
        let failed = self.failed("copy what is");
        let mut connection = connect_options(&self.path)
            .connect()
            .await
            .map_err(&failed)?;
        sqlx::query("VACUUM INTO $1")
            .bind(partial.to_string_lossy().into_owned())
            .execute(&mut connection)
            .await
            .map_err(&failed)?;
        connection.close().await.map_err(&failed)?;
        install(&partial, dest).await
    }

    /// As [`Db::copy_to`], by way of `building`, of which statements take something out.
    pub(crate) async fn copy_cut_to(
        &self,
        building: &Path,
        cuts: &[&'static str],
        dest: &Path,
    ) -> Result<(), DbError> {
        for leftover in ["", "-wal", "-shm"] {
            remove_if_there(&with_suffix(building, leftover)).await?;
        }
        self.copy_to(building).await?;
        let failed = self.failed("take something out of a copy of what is");
        let mut connection = connect_options(building).connect().await.map_err(&failed)?;
        for statement in cuts.iter().chain(&["VACUUM"]) {
            sqlx::query(*statement)
                .execute(&mut connection)
                .await
                .map_err(&failed)?;
        }
        connection.close().await.map_err(&failed)?;
        install(building, dest).await
    }

    /// Moves what was written into the main file and empties the journal, so that bytes which were
    /// deleted are gone from both. Returns whether that worked: a long reader is in the way of it.
    pub(crate) async fn checkpoint(&self) -> Result<bool, DbError> {
        let mut lane = self.writer.lock().await;
        let mut connection = self.take(&mut lane).await?;
        let busy: i64 = sqlx::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&mut connection)
            .await
            .map_err(self.failed("checkpoint the journal"))?;
        *lane = Some(connection);
        Ok(busy == 0)
    }

    /// Closes every connection; the last one leaves a single file behind.
    pub(crate) async fn close(&self) -> Result<(), DbError> {
        self.readers.close().await;
        match self.writer.lock().await.take() {
            Some(connection) => connection
                .close()
                .await
                .map_err(self.failed("close the connection")),
            None => Ok(()),
        }
    }

    /// Returns what SQLite's own checks have to say: nothing, if all is well.
    pub(crate) async fn integrity(&self) -> Result<Vec<String>, DbError> {
        let failed = self.failed("check the pages");
        let pages: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check")
            .fetch_all(&self.readers)
            .await
            .map_err(&failed)?;
        let orphans = sqlx::query("PRAGMA foreign_key_check")
            .fetch_all(&self.readers)
            .await
            .map_err(&failed)?;
        let mut complaints: Vec<_> = pages.into_iter().filter(|line| line != "ok").collect();
        for row in orphans {
            let (table, parent): (String, String) = (
                column(&row, "table").map_err(&failed)?,
                column(&row, "parent").map_err(&failed)?,
            );
            complaints.push(format!("a row of {table} has no {parent}"));
        }
        Ok(complaints)
    }
}

/// Takes rows of a table out of a database that nobody has open, so that their bytes are gone from its file.
/// One that has no such table yet is left as it is.
pub(crate) async fn cut_closed(
    path: &Path,
    table: &str,
    cuts: Vec<QueryBuilder<Engine>>,
) -> Result<(), DbError> {
    let failed = |source| DbError::Sql {
        what: "take something out of what was copied",
        path: path.to_owned(),
        source,
    };
    // No journal beside it that whoever takes the copy would have to know of.
    let options = connect_options(path).journal_mode(SqliteJournalMode::Delete);
    let mut connection = options.connect().await.map_err(failed)?;
    let tables = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = $1";
    let count: i64 = sqlx::query_scalar(tables)
        .bind(table)
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    if count > 0 {
        for mut cut in cuts {
            let cut = cut.build().persistent(false);
            cut.execute(&mut connection).await.map_err(failed)?;
        }
    }
    connection.close().await.map_err(failed)
}

/// A transaction under way. Dropping it undoes it.
#[derive(Debug)]
pub(crate) struct Write<'a> {
    connection: Connection,
    lane: MutexGuard<'a, Option<Connection>>,
}

impl<'a> Write<'a> {
    /// Returns the connection that the transaction's statements go to.
    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Commits, and returns the writer's turn: nobody else commits until it is dropped. After an
    /// error it is unknown whether the commit took place.
    pub(crate) async fn commit(mut self) -> Result<Turn<'a>, sqlx::Error> {
        sqlx::query("COMMIT").execute(&mut self.connection).await?;
        *self.lane = Some(self.connection);
        Ok(Turn { _lane: self.lane })
    }
}

/// The writer's turn, held after a commit for what must happen in the order of commits.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _lane: MutexGuard<'a, Option<Connection>>,
}

/// A database that is made beside its final place and put there when it is complete.
#[derive(Debug)]
pub(crate) struct Building {
    pub(crate) db: Db,
    dest: PathBuf,
}

impl Building {
    /// Begins a database that shall lie at `dest`. What an earlier attempt left is removed.
    pub(crate) async fn start(
        dest: &Path,
        migrations: Migrations,
        now: Time,
    ) -> Result<Self, DbError> {
        let path = with_suffix(dest, ".building");
        for leftover in ["", "-wal", "-shm"] {
            remove_if_there(&with_suffix(&path, leftover)).await?;
        }
        create_empty(&path).await?;
        Ok(Self {
            db: Db::open(&path, migrations, now).await?,
            dest: dest.to_owned(),
        })
    }

    /// Puts the database in its place. One that lies there is kept beside it as `….replaced`.
    pub(crate) async fn install(self) -> Result<(), DbError> {
        self.db.close().await?;
        // The main file goes first: between the two renames there is no database rather than one
        // without its journal, and a missing one is refused at start.
        for part in ["", "-wal", "-shm"] {
            let old = with_suffix(&self.dest, part);
            let kept = with_suffix(&with_suffix(&self.dest, ".replaced"), part);
            remove_if_there(&kept).await?;
            if tokio::fs::try_exists(&old)
                .await
                .map_err(io_error("look for", &old))?
            {
                tokio::fs::rename(&old, &kept)
                    .await
                    .map_err(io_error("set aside", &old))?;
            }
        }
        install(self.db.path(), &self.dest).await
    }
}

/// The values of one row of a bulk insert.
pub(crate) type Values<'a> = sqlx::query_builder::Separated<'a, Engine, &'static str>;

/// Executes `head VALUES (…), (…) tail` over rows, some hundred at a time: a statement for each row
/// would cost a change of thread for each.
pub(crate) async fn execute_rows<T: Sync>(
    connection: &mut Connection,
    (head, tail): (&'static str, &'static str),
    rows: &[T],
    bind: impl Fn(&mut Values<'_>, &T) + Send,
) -> Result<u64, sqlx::Error> {
    let mut affected = 0;
    for chunk in rows.chunks(ROWS_PER_STATEMENT_MAX) {
        let mut statement = QueryBuilder::<Engine>::new(head);
        statement.push_values(chunk, |mut values, row| bind(&mut values, row));
        statement.push(tail);
        // The number of rows varies: such statements are not worth a place in the cache.
        let done = statement
            .build()
            .persistent(false)
            .execute(&mut *connection)
            .await?;
        affected += done.rows_affected();
    }
    Ok(affected)
}

/// Executes `head (id, id, …)` over ids, some hundred at a time, and returns how many rows it touched.
pub(crate) async fn execute_ids(
    connection: &mut Connection,
    head: impl Fn(&mut QueryBuilder<Engine>) + Send,
    ids: impl Iterator<Item = i64> + Send,
) -> Result<u64, sqlx::Error> {
    let ids: Vec<_> = ids.collect();
    let mut affected = 0;
    for chunk in ids.chunks(ROWS_PER_STATEMENT_MAX) {
        let mut statement = QueryBuilder::<Engine>::new("");
        head(&mut statement);
        statement.push(" (");
        let mut list = statement.separated(", ");
        for id in chunk {
            list.push_bind(*id);
        }
        statement.push(")");
        let done = statement
            .build()
            .persistent(false)
            .execute(&mut *connection)
            .await?;
        affected += done.rows_affected();
    }
    Ok(affected)
}

/// Returns a column's value.
pub(crate) fn column<'r, T>(row: &'r Row, name: &str) -> Result<T, sqlx::Error>
where
    T: sqlx::Decode<'r, Engine> + sqlx::Type<Engine>,
{
    row.try_get(name)
}

/// Returns a column's text as one of our words.
pub(crate) fn parsed<T>(row: &Row, name: &str) -> Result<T, sqlx::Error>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text: &str = row.try_get(name)?;
    text.parse().map_err(|error| undecodable(name, error))
}

/// Returns a column's text as one of our words, or nothing.
pub(crate) fn maybe_parsed<T>(row: &Row, name: &str) -> Result<Option<T>, sqlx::Error>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text: Option<&str> = row.try_get(name)?;
    let parsed = text.map(|text| text.parse().map_err(|error| undecodable(name, error)));
    parsed.transpose()
}

/// Returns a column that holds a moment.
pub(crate) fn time(row: &Row, name: &str) -> Result<Time, sqlx::Error> {
    Ok(Time::from_micros(column(row, name)?))
}

/// Returns a column that holds a moment or nothing.
pub(crate) fn maybe_time(row: &Row, name: &str) -> Result<Option<Time>, sqlx::Error> {
    Ok(column::<Option<i64>>(row, name)?.map(Time::from_micros))
}

/// Returns an id that no row has yet; ids sort by the time they were made.
pub(crate) fn fresh_id(at: Time) -> Uuid {
    let micros = u64::try_from(at.as_micros()).unwrap_or(0);
    let nanos = (micros % 1_000_000 * 1_000) as u32;
    Uuid::new_v7(Timestamp::from_unix(NoContext, micros / 1_000_000, nanos))
}

/// Returns the error for a column that holds what we never write.
pub(crate) fn undecodable(
    name: &str,
    error: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>,
) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: name.to_owned(),
        source: error.into(),
    }
}

fn connect_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .pragma("secure_delete", "ON")
        // What was deleted must not live on in a temporary file elsewhere.
        .pragma("temp_store", "MEMORY")
}

/// Refuses a database of a newer program, before anything could change it.
async fn refuse_newer(path: &Path, known: i64) -> Result<(), DbError> {
    let failed = |source| DbError::Sql {
        what: "read the schema",
        path: path.to_owned(),
        source,
    };
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT);
    let mut connection = options.connect().await.map_err(failed)?;
    let tables = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'schema_migrations'";
    let count: i64 = sqlx::query_scalar(tables)
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    let found = match count {
        0 => 0,
        _ => schema_version(&mut connection).await.map_err(failed)?,
    };
    connection.close().await.map_err(failed)?;
    match found > known {
        true => Err(DbError::NewerSchema {
            path: path.to_owned(),
            found,
            known,
        }),
        false => Ok(()),
    }
}

async fn schema_version(connection: &mut Connection) -> Result<i64, sqlx::Error> {
    let newest: Option<i64> = sqlx::query_scalar("SELECT MAX(version) FROM schema_migrations")
        .fetch_one(connection)
        .await?;
    Ok(newest.unwrap_or(0))
}

/// Creates an empty file that only its owner may read, for SQLite to fill.
async fn create_empty(path: &Path) -> Result<(), DbError> {
    remove_if_there(path).await?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    tokio::fs::OpenOptions::from(options)
        .open(path)
        .await
        .map(drop)
        .map_err(io_error("create", path))
}

/// Syncs a finished file, gives it its name and syncs the folder.
async fn install(from: &Path, to: &Path) -> Result<(), DbError> {
    sync(from).await?;
    tokio::fs::rename(from, to)
        .await
        .map_err(io_error("put in place", to))?;
    match to.parent() {
        Some(folder) if folder != Path::new("") => sync(folder).await,
        _ => sync(Path::new(".")).await,
    }
}

async fn sync(path: &Path) -> Result<(), DbError> {
    let file = tokio::fs::File::open(path)
        .await
        .map_err(io_error("open", path))?;
    file.sync_all().await.map_err(io_error("sync", path))
}

async fn remove_if_there(path: &Path) -> Result<(), DbError> {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

fn io_error(what: &'static str, path: &Path) -> impl Fn(io::Error) -> DbError + use<> {
    let path = path.to_owned();
    move |source| DbError::Io {
        what,
        path: path.clone(),
        source,
    }
}
