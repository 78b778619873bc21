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
    // What runs are made of goes with them; what a run has graded is in three tables, so that counting
    // opens no row that holds texts.
    "
CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    filename TEXT NOT NULL,
    purpose TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    checksum TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX uploads_of_project ON uploads (project_id, created_at, id);
CREATE TABLE evals (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    metadata TEXT NOT NULL,
    data_source_config TEXT NOT NULL,
    testing_criteria TEXT NOT NULL
);
CREATE INDEX evals_of_project ON evals (project_id, created_at, id);
CREATE TABLE eval_runs (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    eval_id TEXT NOT NULL REFERENCES evals (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    model TEXT,
    created_at BIGINT NOT NULL,
    ended_at BIGINT,
    status TEXT NOT NULL,
    data_source TEXT NOT NULL,
    metadata TEXT NOT NULL,
    error TEXT
);
CREATE INDEX eval_runs_of_eval ON eval_runs (eval_id, created_at, id);
CREATE INDEX eval_runs_by_status ON eval_runs (status, created_at, id);
CREATE TABLE eval_items (
    run_id TEXT NOT NULL REFERENCES eval_runs (id) ON DELETE CASCADE,
    position BIGINT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    graded_at BIGINT,
    trace_id TEXT,
    item TEXT NOT NULL,
    given TEXT,
    sample TEXT,
    results TEXT,
    PRIMARY KEY (run_id, position)
);
CREATE INDEX eval_items_of_trace ON eval_items (trace_id);
CREATE INDEX eval_items_by_status ON eval_items (run_id, status, position);
CREATE TABLE eval_results (
    run_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    criterion TEXT NOT NULL,
    outcome TEXT NOT NULL,
    PRIMARY KEY (run_id, criterion, outcome, position),
    FOREIGN KEY (run_id, position) REFERENCES eval_items (run_id, position) ON DELETE CASCADE
);
CREATE INDEX eval_results_of_item ON eval_results (run_id, position);
CREATE TABLE eval_usage (
    run_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    model TEXT NOT NULL,
    calls BIGINT NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    total_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    PRIMARY KEY (run_id, position, model),
    FOREIGN KEY (run_id, position) REFERENCES eval_items (run_id, position) ON DELETE CASCADE
);
",
];
