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
    // Items name their run by a number, for there are millions of them, in three indexes. They go some
    // thousand at a time after their run has gone (`grading_leftovers`), so nothing here refers to it.
    "
CREATE TABLE graders (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    name TEXT,
    inline_hash TEXT,
    created_at BIGINT NOT NULL,
    archived_at BIGINT,
    latest BIGINT NOT NULL,
    UNIQUE (project_id, name),
    UNIQUE (project_id, inline_hash)
);
CREATE INDEX graders_of_project ON graders (project_id, created_at, id);
CREATE TABLE grader_versions (
    grader_id TEXT NOT NULL REFERENCES graders (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    kind TEXT NOT NULL,
    hash TEXT NOT NULL,
    definition TEXT NOT NULL,
    description TEXT,
    updated_at BIGINT NOT NULL,
    used_at BIGINT,
    PRIMARY KEY (grader_id, version)
);
CREATE TABLE grading_runs (
    id TEXT PRIMARY KEY,
    number BIGINT NOT NULL UNIQUE,
    project_id TEXT NOT NULL REFERENCES projects (id),
    name TEXT,
    status TEXT NOT NULL,
    reason TEXT,
    request TEXT NOT NULL,
    graders TEXT NOT NULL,
    selection TEXT NOT NULL,
    metadata TEXT NOT NULL,
    cap BIGINT,
    spent BIGINT NOT NULL DEFAULT 0,
    estimate BIGINT,
    items BIGINT NOT NULL DEFAULT 0,
    done BIGINT NOT NULL DEFAULT 0,
    unscored BIGINT NOT NULL DEFAULT 0,
    deleted BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT,
    watch_id TEXT UNIQUE,
    in_order_of_hash BIGINT NOT NULL
);
CREATE INDEX grading_runs_of_project ON grading_runs (project_id, created_at, id);
CREATE INDEX grading_runs_by_status ON grading_runs (status, created_at, id);
CREATE TABLE grading_run_graders (
    grader_id TEXT NOT NULL REFERENCES graders (id),
    run_id TEXT NOT NULL REFERENCES grading_runs (id) ON DELETE CASCADE,
    PRIMARY KEY (grader_id, run_id)
);
CREATE INDEX grading_run_graders_of_run ON grading_run_graders (run_id);
CREATE TABLE grading_spent (
    run_id TEXT NOT NULL REFERENCES grading_runs (id) ON DELETE CASCADE,
    day BIGINT NOT NULL,
    spent BIGINT NOT NULL,
    PRIMARY KEY (run_id, day)
);
CREATE TABLE grading_items (
    run BIGINT NOT NULL,
    position BIGINT NOT NULL,
    trace_id TEXT,
    group_id TEXT,
    stratum TEXT,
    weight DOUBLE PRECISION NOT NULL,
    trace_started_at BIGINT NOT NULL,
    status TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    spent BIGINT NOT NULL DEFAULT 0,
    attempt_spent BIGINT NOT NULL DEFAULT 0,
    lease_owner TEXT,
    lease_until BIGINT,
    PRIMARY KEY (run, position),
    UNIQUE (trace_id, run)
);
CREATE INDEX grading_items_by_status ON grading_items (run, status, position);
CREATE TABLE grading_leftovers (
    run BIGINT PRIMARY KEY
);
CREATE TABLE annotations (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    trace_id TEXT NOT NULL,
    span_id TEXT,
    grader_id TEXT,
    rating TEXT,
    label TEXT,
    note TEXT,
    author TEXT NOT NULL,
    source TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX annotations_of_project ON annotations (project_id, created_at, id);
CREATE INDEX annotations_of_trace ON annotations (project_id, trace_id, created_at, id);
CREATE INDEX annotations_of_grader ON annotations (project_id, grader_id, created_at, id);
CREATE TABLE watches (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    run_id TEXT NOT NULL UNIQUE REFERENCES grading_runs (id) ON DELETE CASCADE,
    filter TEXT NOT NULL,
    sampling_rate DOUBLE PRECISION NOT NULL,
    is_on BIGINT NOT NULL,
    cap_per_day BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    place TEXT
);
CREATE INDEX watches_of_project ON watches (project_id, created_at, id);
CREATE TABLE watch_decisions (
    run BIGINT NOT NULL,
    trace_id TEXT NOT NULL,
    decided_at BIGINT NOT NULL,
    decision TEXT NOT NULL,
    why TEXT,
    PRIMARY KEY (trace_id, run)
);
CREATE INDEX watch_decisions_by_time ON watch_decisions (run, decided_at, trace_id);
CREATE TABLE watch_counts (
    run_id TEXT NOT NULL REFERENCES grading_runs (id) ON DELETE CASCADE,
    day BIGINT NOT NULL,
    decision TEXT NOT NULL,
    traces BIGINT NOT NULL,
    PRIMARY KEY (run_id, day, decision)
);
CREATE TABLE judge_answers (
    project_id TEXT NOT NULL REFERENCES projects (id),
    question TEXT NOT NULL,
    trace_id TEXT,
    answer TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, question)
);
CREATE INDEX judge_answers_of_trace ON judge_answers (trace_id, project_id);
CREATE INDEX judge_answers_by_time ON judge_answers (created_at);
", // Of a comparison the other trace: items, and what judges said, hang on it as well.
    "
ALTER TABLE grading_items ADD COLUMN counterpart TEXT;
CREATE INDEX grading_items_of_counterpart ON grading_items (counterpart, run)
  WHERE counterpart IS NOT NULL;
ALTER TABLE judge_answers ADD COLUMN counterpart TEXT;
CREATE INDEX judge_answers_of_counterpart ON judge_answers (counterpart, project_id)
  WHERE counterpart IS NOT NULL;
",
    // What a project says for grading may change while a run goes on: the run keeps what it was made with.
    "ALTER TABLE grading_runs ADD COLUMN settings TEXT;",
    // What was graded elsewhere keeps the id that it had there, and what it came to as it was told.
    "
ALTER TABLE evals ADD COLUMN openai_id TEXT;
CREATE UNIQUE INDEX evals_of_openai ON evals (project_id, openai_id);
ALTER TABLE eval_runs ADD COLUMN openai_id TEXT;
ALTER TABLE eval_runs ADD COLUMN told TEXT;
ALTER TABLE eval_runs ADD COLUMN is_unfinished BIGINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX eval_runs_of_openai ON eval_runs (project_id, openai_id);
ALTER TABLE eval_items ADD COLUMN openai_id TEXT;
CREATE UNIQUE INDEX eval_items_of_openai ON eval_items (run_id, openai_id);
",
    "
ALTER TABLE annotations ADD COLUMN queue TEXT;
ALTER TABLE annotations ADD COLUMN chance DOUBLE PRECISION;
",
    "
ALTER TABLE eval_runs ADD COLUMN spent BIGINT NOT NULL DEFAULT 0;
",
    // What should have been done goes with the item, so that it goes when its trace is deleted.
    "ALTER TABLE grading_items ADD COLUMN reference TEXT;",
];
