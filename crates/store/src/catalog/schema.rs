//! The tables of `catalog.db`, step by step.
//!
//! For Postgres, read BYTEA for BLOB. A trace-wide hide has the empty span id, which no span has: a
//! NULL could not be part of the key.

use crate::sqlite::Migrations;

pub(super) const MIGRATIONS: Migrations = &["
CREATE TABLE store (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    store_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    next_file_id BIGINT NOT NULL
);
CREATE TABLE versions (
    v BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    commit_id TEXT NOT NULL UNIQUE
);
CREATE TABLE cursors (
    node TEXT PRIMARY KEY,
    flushed_seq BIGINT NOT NULL
);
CREATE TABLE files (
    id BIGINT PRIMARY KEY,
    tbl TEXT NOT NULL,
    level TEXT NOT NULL,
    path TEXT NOT NULL UNIQUE,
    node TEXT NOT NULL,
    lo_seq BIGINT NOT NULL,
    hi_seq BIGINT NOT NULL,
    home TEXT NOT NULL,
    part BIGINT NOT NULL,
    parts BIGINT NOT NULL,
    min_time BIGINT,
    max_time BIGINT,
    rows BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    schema_version BIGINT NOT NULL,
    hides_applied_v BIGINT NOT NULL,
    checksum BLOB NOT NULL,
    added_v BIGINT NOT NULL,
    added_at BIGINT NOT NULL,
    removed_v BIGINT,
    removed_at BIGINT
);
CREATE TABLE file_projects (
    file_id BIGINT NOT NULL REFERENCES files (id) ON DELETE CASCADE,
    project_id TEXT NOT NULL,
    rows BIGINT NOT NULL,
    min_time BIGINT,
    max_time BIGINT,
    row_groups TEXT NOT NULL,
    PRIMARY KEY (file_id, project_id)
);
CREATE TABLE trace_filters (
    file_id BIGINT PRIMARY KEY REFERENCES files (id) ON DELETE CASCADE,
    filter BLOB NOT NULL
);
CREATE TABLE hides (
    tbl TEXT NOT NULL,
    project_id TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    span_id TEXT NOT NULL,
    upto_seq BIGINT NOT NULL,
    added_v BIGINT NOT NULL,
    PRIMARY KEY (tbl, project_id, trace_id, span_id)
);
CREATE TABLE tombstones (
    project_id TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    deleted_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    upto_seq BIGINT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (project_id, trace_id)
);
CREATE TABLE deletions (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    what TEXT NOT NULL,
    traces BIGINT NOT NULL,
    requested_at BIGINT NOT NULL,
    deadline BIGINT NOT NULL,
    done_at BIGINT
);
"];
