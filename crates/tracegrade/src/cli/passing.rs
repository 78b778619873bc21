//! What can be typed to bring traces in from files, and to take them out.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::commands::filter::{FilterArgs, HEADING as FILTER_HEADING};

/// `import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Files to read; - is stdin.
    #[arg(required_unless_present = "openai_evals")]
    pub(crate) files: Vec<PathBuf>,
    /// Files with evals, runs and output items of OpenAI's Evals API, as their client returns them, in JSON
    /// or JSON lines. Each is kept once; runs stand here as they were graded there.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["files", "data_dir", "resume"])]
    pub(crate) openai_evals: Vec<PathBuf>,
    /// Put them into this data folder, which no server has open, instead of sending them to one.
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Keep a file FILE.tracegrade-import beside each file that says how far it was taken, and go on from
    /// there if there is one. It is removed once the file is through.
    #[arg(long)]
    pub(crate) resume: bool,
}

/// `export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// A rule that holds for the trace, such as 'tool_errors > 0 && duration_ms > 5000'.
    #[arg(long, help_heading = FILTER_HEADING)]
    pub(crate) rule: Option<String>,
    /// csv and parquet are one table; the others have whole traces and can be imported again.
    #[arg(long, value_enum, default_value_t = ExportFormat::AgentsJsonl)]
    pub(crate) format: ExportFormat,
    /// Of csv and parquet: which table of the traces that are meant; without it, traces.
    #[arg(long, value_enum)]
    pub(crate) table: Option<ExportTable>,
    /// The file to write; without it, stdout.
    #[arg(long, short)]
    pub(crate) output: Option<PathBuf>,
}

/// How traces are taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// One trace a line, in the items of the Agents SDK.
    #[value(alias = "jsonl")]
    AgentsJsonl,
    /// Requests of OpenTelemetry in JSON, one a line.
    OtlpJson,
    /// Requests of OpenTelemetry in protobuf, as the Collector's file exporter writes them.
    OtlpProto,
    /// As otlp-json, in the words of OpenInference (Arize Phoenix).
    Openinference,
    /// A table as text, with a header.
    Csv,
    /// A table for DuckDB, pandas, Spark and the like.
    Parquet,
}

/// Which table is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportTable {
    /// One row a trace.
    Traces,
    /// One row a span.
    Spans,
    /// One row a message of a trace.
    Messages,
}
