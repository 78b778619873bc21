//! What can be typed to look at traces, and to ask about them in SQL.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::commands::filter::{FilterArgs, HEADING as FILTER_HEADING};

/// `traces`.
#[derive(Debug, Subcommand)]
pub(crate) enum Traces {
    /// List traces, newest first.
    #[command(after_help = "Examples:
  tracegrade traces list
  tracegrade traces list --status error --start-date -24h
  tracegrade traces list --tool issue_refund --min-cost-usd 0.05 --limit 100
  tracegrade traces list --search 'order 1042'")]
    List(TracesList),
    /// Tell a trace step by step: who said what, which tools were called, what failed.
    #[command(
        after_help = "Example:\n  tracegrade traces show trace_04de62d890804fe2aad17ce49c5c7567"
    )]
    Show {
        /// The trace's id.
        trace: String,
    },
    /// Draw the spans of a trace as a tree with their durations.
    #[command(after_help = "Examples:
  tracegrade traces tree TRACE
  tracegrade traces tree TRACE --depth 3
  tracegrade traces tree TRACE --all | less -R")]
    Tree(TracesTree),
    /// Print traces as they come in, until interrupted.
    #[command(after_help = "Examples:
  tracegrade traces tail
  tracegrade traces tail --status error --json")]
    Tail(TracesTail),
    /// Delete traces; they are gone from disk soon after.
    #[command(after_help = "Examples:
  tracegrade traces delete TRACE
  tracegrade traces delete --before -30d --dry-run
  tracegrade traces delete --user-id u_17 --yes")]
    Delete(TracesDelete),
}

/// `traces list`.
#[derive(Debug, Args)]
pub(crate) struct TracesList {
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// A rule that holds for the trace, such as 'tool_errors > 0 && duration_ms > 5000'.
    #[arg(long, help_heading = FILTER_HEADING)]
    pub(crate) rule: Option<String>,
    /// A text to search messages, names, errors and data for.
    #[arg(long)]
    pub(crate) search: Option<String>,
    /// How many to list, 1 to 1000.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Go on behind this trace, or at a `next_cursor`.
    #[arg(long)]
    pub(crate) after: Option<String>,
    /// Oldest first.
    #[arg(long)]
    pub(crate) oldest: bool,
}

/// `traces tree`.
#[derive(Debug, Args)]
pub(crate) struct TracesTree {
    /// The trace's id.
    pub(crate) trace: String,
    /// Levels to draw.
    #[arg(long, default_value_t = 32)]
    pub(crate) depth: usize,
    /// Children of one span to draw; of the others those that failed are drawn.
    #[arg(long, default_value_t = 20)]
    pub(crate) children: usize,
    /// Draw every span.
    #[arg(long, conflicts_with_all = ["depth", "children"])]
    pub(crate) all: bool,
}

/// `traces tail`.
#[derive(Debug, Args)]
pub(crate) struct TracesTail {
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// A rule that holds for the trace, such as 'tool_errors > 0 && duration_ms > 5000'.
    #[arg(long, help_heading = FILTER_HEADING)]
    pub(crate) rule: Option<String>,
    /// Seconds between two looks.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) every: u64,
}

/// `traces delete`.
#[derive(Debug, Args)]
pub(crate) struct TracesDelete {
    /// Traces by their ids.
    pub(crate) traces: Vec<String>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// A rule that holds for the trace, such as 'tool_errors > 0 && duration_ms > 5000'.
    #[arg(long, help_heading = FILTER_HEADING)]
    pub(crate) rule: Option<String>,
    /// Those that started before: a date, a moment, or -30d.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) before: Option<String>,
    /// Delete every trace of the project.
    #[arg(long)]
    pub(crate) all: bool,
    /// Only count them.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Delete without a look at the count first.
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// `sql`.
#[derive(Debug, Args)]
pub(crate) struct Sql {
    /// One statement that reads; - takes it from stdin.
    pub(crate) query: String,
    /// How rows are written.
    #[arg(long, value_enum, default_value_t = SqlFormat::Table)]
    pub(crate) format: SqlFormat,
    /// The file to write; without it, stdout.
    #[arg(long, short)]
    pub(crate) output: Option<PathBuf>,
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SqlFormat {
    /// Columns for people.
    Table,
    /// One object with `columns` and `data`.
    Json,
    /// With a header.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
    /// A Parquet file.
    Parquet,
}
