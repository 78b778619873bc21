//! The tables of `meta.db`, step by step. For Postgres, read BYTEA for BLOB.

use crate::sqlite::Migrations;

pub(super) const MIGRATIONS: Migrations = &[
    "
CREATE TABLE store (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    store_id TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE TABLE projects (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT,
    settings TEXT NOT NULL
);
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    all_projects BIGINT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    shown TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    revoked_at BIGINT
);
CREATE TABLE api_key_projects (
    key_id TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    project_id TEXT NOT NULL REFERENCES projects (id),
    PRIMARY KEY (key_id, project_id)
);
CREATE TABLE prices (
    model TEXT NOT NULL,
    valid_from BIGINT NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (model, valid_from)
);
CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
CREATE TABLE audit (
    id BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL
);
",
    "
CREATE TABLE deleted_traces (
    project_id TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    upto_seq BIGINT NOT NULL,
    deleted_at BIGINT NOT NULL,
    kept_until BIGINT NOT NULL,
    PRIMARY KEY (project_id, trace_id)
);
",
    "
CREATE TABLE log_cursors (
    name TEXT PRIMARY KEY,
    seq BIGINT NOT NULL
);
",
];
