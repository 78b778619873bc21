//! What can be typed? The commands and their help, which teaches by examples.

pub(crate) mod grading;
pub(crate) mod grading_settings;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::client::Connection;
use crate::commands::filter::{FilterArgs, HEADING as FILTER_HEADING};
use crate::commands::grading::gate::ERROR;
use crate::commands::settings::Settings;

use grading_settings::GradingSettings;

use grading::{Annotate, Annotations, Calibrate, Failures, Gate, Grade, Graders, Runs, Watches};

/// Records what AI agents do, keeps it, and answers questions about it.
#[derive(Debug, Parser)]
#[command(name = "tracegrade", version, after_help = TOP_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Print the server's JSON instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const TOP_HELP: &str = "\
Begin here:
  tracegrade demo                        a fortnight of a shop's agents, offline, to look around in
  tracegrade serve                       record your own: point the Agents SDK's exporter at it
  tracegrade traces list --status error  what failed
  tracegrade traces tree TRACE           where a run spent its time
  tracegrade grade --check 'tool_errors == 0'   which share of them is right, and how sure that is

Exit codes: 0 done; 1 failed or refused; 2 the command line cannot be understood; 3 no server answers.
`gate` has its own.";

/// Tells what cannot be understood, or the help that was asked for, and returns the exit code. Of a gate
/// the code 2 would be a verdict: there it is an error's.
pub(crate) fn refuse(error: &clap::Error, typed: impl Iterator<Item = String>) -> ExitCode {
    // Without a terminal there is nobody to tell.
    let _printed = error.print();
    match error.exit_code() {
        0 => ExitCode::SUCCESS,
        _ if command(typed).as_deref() == Some("gate") => ExitCode::from(ERROR),
        code => ExitCode::from(u8::try_from(code).unwrap_or(1)),
    }
}

/// Returns the command that was typed: the first word that is neither a flag nor a flag's value.
fn command(typed: impl Iterator<Item = String>) -> Option<String> {
    let mut typed = typed.skip(1);
    loop {
        let word = typed.next()?;
        match word.strip_prefix("--") {
            None => return Some(word),
            Some("json") => {}
            Some(flag) if flag.contains('=') => {}
            Some(_) => {
                typed.next()?;
            }
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fill a folder with the traces of a made-up shop and serve it: no key, no network.
    #[command(after_help = "Examples:
  tracegrade demo
  tracegrade demo --fresh --listen 127.0.0.1:0

The folder is kept and served again the next time; --fresh tells the story anew, up to this moment.")]
    Demo(Demo),
    /// Run the server.
    #[command(after_help = "Examples:
  tracegrade serve
  tracegrade serve --data-dir /var/lib/tracegrade --listen 127.0.0.1:8080
  tracegrade serve --print-config > tracegrade.toml

Each setting is a flag, a variable TRACEGRADE_… and a line of the TOML file; flags win over variables,
variables over the file. Nothing is sent anywhere.")]
    Serve(Serve),
    /// Look at traces, or delete them.
    #[command(subcommand)]
    Traces(Traces),
    /// Ask the tables `traces`, `spans`, `messages` and `grades` in SQL.
    #[command(after_help = "Examples:
  tracegrade sql 'show tables'
  tracegrade sql \"select model, sum(cost_nano_usd) / 1e9 as usd from spans group by model order by usd desc\"
  tracegrade sql --format parquet --output spans.parquet 'select * from spans'
  tracegrade sql - < report.sql")]
    Sql(Sql),
    /// Grade traces, and wait for the results.
    #[command(after_help = "Examples:
  tracegrade grade --check 'tool_errors == 0' --detector D17 --workflow-name support-triage
  tracegrade grade TRACE TRACE --grader library:goal_reached
  tracegrade grade --grader graders.json --sample 200 --max-cost 1.00 --start-date -7d
  tracegrade grade --grader goal --strata ok:status=success:400 --strata bad:status=error:100
  tracegrade grade --grader goal --sample 200 --dry-run

A grader is a name that was saved, library:NAME, a file of definitions, or a definition in JSON. Ctrl-C ends
the waiting and not the run. The exit code is 0 if the run came to its end, whatever the grades are: to stop
a release by them there is `tracegrade gate`.")]
    Grade(Grade),
    /// Keep graders, look at them, and try drafts on the traces that are there.
    #[command(subcommand)]
    Graders(Graders),
    /// Look at grading runs, their results, and steer them.
    #[command(subcommand)]
    Runs(Runs),
    /// Say yourself what you think of a trace.
    #[command(after_help = "Examples:
  tracegrade annotate TRACE --bad --label 'paid twice' --note 'the time-out had gone through'
  tracegrade annotate TRACE --good --grader goal
  tracegrade annotate TRACE --span SPAN --bad --note 'the scan is five days old'
  tracegrade annotate --queue --grader goal          which traces to look at, one after the other
  tracegrade annotate --queue --grader goal --run RUN --size 200")]
    Annotate(Annotate),
    /// Look at what people said of traces.
    #[command(subcommand)]
    Annotations(Annotations),
    /// Hold a grader against what people said of the same traces.
    #[command(after_help = "Examples:
  tracegrade calibrate goal
  tracegrade calibrate goal --run RUN      its pass rate, corrected by the labels

Labels are made with `tracegrade annotate TRACE --good|--bad --grader NAME`; `tracegrade annotate --queue
--grader NAME` says for which traces. How a rate is corrected follows from how they were asked for.")]
    Calibrate(Calibrate),
    /// Let a new version pass or stop it.
    #[command(after_help = "Examples:
  tracegrade gate --baseline version=v1.8.2 --candidate version=v1.9.0 --workflow-name support-triage \\
      --check 'tool_errors == 0' --detector D17 --pair-by metadata.case
  tracegrade gate --baseline RUN --candidate RUN --margin 0.02 --junit gate.xml --markdown gate.md

Sides that are told by fields are graded first; what a judge said before is not asked again.
Exit codes: 0 pass; 1 fail; 2 inconclusive, too few traces to tell; 3 error: no baseline, too much without a
verdict, no server, or a command line that cannot be understood.")]
    Gate(Gate),
    /// Find what failing traces have in common, and what to do about it.
    #[command(after_help = "Examples:
  tracegrade failures --run RUN
  tracegrade failures --workflow-name support-triage --start-date -7d
  tracegrade failures --run RUN --save stale-tracking --group 2

A group that is saved is a rule grader: what failed once is looked for from then on.")]
    Failures(Failures),
    /// Grade traces as they come in.
    #[command(subcommand)]
    Watches(Watches),
    /// Say what graders need to know of a project: its tools, workflows, schemas and models.
    #[command(subcommand)]
    Settings(GradingSettings),
    /// Bring in recorded traces from files, of tracegrade or of other products.
    #[command(after_help = "Examples:
  tracegrade import traces.jsonl
  tracegrade import --project shop --resume backup-*.jsonl.zst
  zcat old.jsonl.gz | tracegrade import -
  tracegrade import --openai-evals evals.json

What a file holds is told by its content: exports of Langfuse, MLflow, LangSmith and Phoenix, logs of
Inspect AI, requests to models with their responses, items and traces of the Agents SDK, OTLP in JSON and
protobuf. JSON may stand on lines, one after the other, pretty-printed; gzip and zstd are recognised.
What cannot be read is told with its place and passed over; the rest is kept. The exit code is 0 only if
nothing was refused.")]
    Import(Import),
    /// Take traces out, in the form in which `import` reads them, or a table of them.
    #[command(after_help = "Examples:
  tracegrade export --output all.jsonl
  tracegrade export --status error --start-date -7d > failed.jsonl
  tracegrade export --format otlp-json --output otlp.jsonl
  tracegrade export --format parquet --output traces.parquet")]
    Export(Export),
    /// Make, list and revoke API keys.
    #[command(subcommand)]
    Keys(Keys),
    /// Make, list, change and delete projects.
    #[command(subcommand)]
    Projects(Projects),
    /// See and set what models cost.
    #[command(subcommand)]
    Prices(Prices),
    /// Look whether everything that was kept is there, once, and as it was written.
    #[command(after_help = "Examples:
  tracegrade doctor                             ask the server
  tracegrade doctor --deep                      read every byte: checksums, rows, references
  tracegrade doctor --data-dir tracegrade-data  a folder that no server has open

The exit code is 1 if something is wrong.")]
    Doctor(Doctor),
    /// Copy the whole store to a folder, while it serves.
    #[command(after_help = "Examples:
  tracegrade backup /backups/monday
  tracegrade backup /backups/monday --data-dir tracegrade-data

What was acknowledged before the backup began is in it, of all projects. The folder is on the machine of
the server; on the same file system files are linked, which takes no time and no space.")]
    Backup(Backup),
    /// Make a data folder of a backup, checking every file.
    #[command(after_help = "Examples:
  tracegrade restore /backups/monday --data-dir tracegrade-data --replace
  tracegrade restore /backups/monday --data-dir copy --deletions-from tracegrade-data

Traces that were deleted since the backup are deleted again, if the folder that was in use since is
known: with --replace it is the one that is replaced, which is kept under another name.")]
    Restore(Restore),
    /// Make a store anew of the bodies that an archive kept.
    #[command(after_help = "Examples:
  tracegrade replay tracegrade-data/archive --data-dir anew
  tracegrade replay tracegrade-data/archive --data-dir anew --deletions-from tracegrade-data
  tracegrade replay archive/2026-11-28T1*.tgar.zst --data-dir anew --project shop --since 2026-11-28T12:00:00Z

An archive is written by a server whose setting `archive` is true. Bodies are taken in as if they came
now, but for the time at which they were received, into a folder that no server has open. What cannot be
taken is told; the rest is kept, and the exit code is 1.")]
    Replay(Replay),
    /// Make a new catalog from the files and the log, if catalog.db is lost or damaged.
    #[command(after_help = "Example:
  tracegrade rebuild-catalog --data-dir tracegrade-data

No row is lost by it, none is there twice, and what was deleted stays deleted. Files that cannot be read
are moved to quarantine/ and named. The old catalog, if there is one, is kept as catalog.db.replaced.")]
    RebuildCatalog(RebuildCatalog),
    /// Print the completions for a shell.
    #[command(after_help = "Examples:
  tracegrade completions bash > ~/.local/share/bash-completion/completions/tracegrade
  tracegrade completions zsh > ~/.zfunc/_tracegrade
  tracegrade completions fish > ~/.config/fish/completions/tracegrade.fish")]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// `demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The folder of the demo. One that holds anything else is refused.
    #[arg(long, default_value = "tracegrade-demo")]
    pub(crate) data_dir: PathBuf,
    /// Address and port to serve on; port 0 picks a free one. Default: as for `serve`.
    #[arg(long)]
    pub(crate) listen: Option<String>,
    /// Throw the last demo away and make a new one.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Fill the folder and end, without serving it.
    #[arg(long)]
    pub(crate) no_serve: bool,
    /// The seed of the story: the same one tells the same story.
    #[arg(long, default_value_t = 2026)]
    pub(crate) seed: u64,
}

/// `serve`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// Print every setting with who set it, and end.
    #[arg(long)]
    pub(crate) print_config: bool,
}

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

/// `keys`.
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make a key. From the first one on, every request needs one.
    #[command(after_help = "Examples:
  tracegrade keys create admin --scopes admin
  tracegrade keys create ci --scopes ingest --projects shop
  tracegrade keys create admin --scopes admin --data-dir /var/lib/tracegrade   (no server needed)

The key is shown once.")]
    Create {
        /// What people call it.
        name: String,
        /// What it may do: ingest, read, admin.
        #[arg(long, value_delimiter = ',', default_value = "ingest,read")]
        scopes: Vec<String>,
        /// The projects it opens; without any, all of them.
        #[arg(long, value_delimiter = ',')]
        projects: Vec<String>,
        /// Make it in this data folder, which no server has open.
        #[arg(long)]
        data_dir: Option<PathBuf>,
    },
    /// List keys, without their secrets.
    List,
    /// Revoke a key at once.
    Revoke {
        /// The key's id.
        id: String,
    },
}

/// `doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Read every byte.
    #[arg(long)]
    pub(crate) deep: bool,
    /// Look at this data folder, which no server has open.
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
}

/// `backup`.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The folder to make.
    pub(crate) dest: PathBuf,
    /// Copy this data folder, which no server has open.
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
}

/// `restore`.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The folder of the backup.
    pub(crate) backup: PathBuf,
    /// The data folder to make.
    #[arg(long)]
    pub(crate) data_dir: PathBuf,
    /// Replace a folder that is there; it is kept under another name.
    #[arg(long)]
    pub(crate) replace: bool,
    /// The data folder that was in use since the backup, which knows what was deleted.
    #[arg(long)]
    pub(crate) deletions_from: Option<PathBuf>,
}

/// `replay`.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Folders and files of an archive.
    #[arg(required = true)]
    pub(crate) archives: Vec<PathBuf>,
    /// The data folder to put the traces into.
    #[arg(long)]
    pub(crate) data_dir: PathBuf,
    /// Only bodies that were received at this time or later: RFC 3339, a date, or -1h.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) since: Option<String>,
    /// Only bodies that were received before this time.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) until: Option<String>,
    /// The data folder of the server that wrote the archive, which knows what was deleted.
    #[arg(long)]
    pub(crate) deletions_from: Option<PathBuf>,
}

/// `rebuild-catalog`.
#[derive(Debug, Args)]
pub(crate) struct RebuildCatalog {
    /// The data folder, which no server has open.
    #[arg(long, default_value = "tracegrade-data")]
    pub(crate) data_dir: PathBuf,
}

/// `projects`.
#[derive(Debug, Subcommand)]
pub(crate) enum Projects {
    /// List projects.
    List,
    /// Make a project.
    Create {
        /// Its id, which cannot be changed.
        id: String,
        /// What people call it.
        #[arg(long)]
        name: Option<String>,
    },
    /// Change what is decided for a project: its name, how long traces are kept and what of them, how calls are priced.
    #[command(after_help = "Settings:
  name=TEXT             what people call it
  retention_days=DAYS   traces are dropped this many days after their last span; empty keeps them
  assumed_model=MODEL   calls that do not tell their model are priced as this one; empty prices none
  judge_model=MODEL     the model of judges that name none; empty is as the server is set up
  include_sensitive_data=true|false
                        whether prompts, answers, arguments, results and the words of errors are kept
  include_audio=true|false
                        whether audio is kept
  sample_rate=SHARE     the share of traces that is kept, from 0 to 1
                        Of these three empty is as the server is set up.

Example:
  tracegrade projects set default retention_days=90 assumed_model=gpt-5-mini")]
    Set {
        /// Its id.
        id: String,
        /// What to set; nothing behind the = takes a setting back.
        #[arg(required = true, value_name = "SETTING=VALUE")]
        settings: Vec<String>,
    },
    /// Delete a project and all its traces.
    Delete {
        /// Its id.
        id: String,
        /// Yes, with all its traces.
        #[arg(long, required = true)]
        yes: bool,
    },
}

/// `prices`.
#[derive(Debug, Subcommand)]
pub(crate) enum Prices {
    /// List the prices in force, in US dollars per million tokens.
    List {
        /// Only models whose name contains this.
        model: Option<String>,
    },
    /// Set what a model costs from a day on, in US dollars per million tokens.
    #[command(after_help = "Example:
  tracegrade prices set my-model --from 2026-01-01 --input 2.50 --cached-input 0.25 --output 10")]
    Set(PriceSet),
    /// Remove a price that was set; the one that this version came with holds again.
    #[command(after_help = "Example:
  tracegrade prices remove my-model --from 2026-01-01")]
    Remove(PriceRemove),
}

/// `prices remove`.
#[derive(Debug, Args)]
pub(crate) struct PriceRemove {
    /// The model, as it was set.
    pub(crate) model: String,
    /// The first day or moment it holds, as it was set.
    #[arg(long)]
    pub(crate) from: String,
    /// The provider, if one was set.
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// The tokens above which it holds, if some were set.
    #[arg(long, default_value_t = 0)]
    pub(crate) input_above: u64,
}

/// `prices set`.
#[derive(Debug, Args)]
pub(crate) struct PriceSet {
    /// The model, or the beginning of its name and *.
    pub(crate) model: String,
    /// The first day or moment it holds.
    #[arg(long)]
    pub(crate) from: String,
    /// Tokens read.
    #[arg(long)]
    pub(crate) input: String,
    /// Tokens read from the provider's cache.
    #[arg(long)]
    pub(crate) cached_input: Option<String>,
    /// Tokens written.
    #[arg(long)]
    pub(crate) output: String,
    /// Tokens of reasoning.
    #[arg(long)]
    pub(crate) reasoning: Option<String>,
    /// Who must have served the call.
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// It holds for calls that read more tokens than this.
    #[arg(long, default_value_t = 0)]
    pub(crate) input_above: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound_and_every_command_says_what_it_does() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            command
                .get_subcommands()
                .filter(|sub| sub.get_name() != "help")
                .for_each(check);
        }
        Cli::command().debug_assert();
        check(&Cli::command());
    }

    #[test]
    fn a_command_is_found_behind_flags() {
        let check = |typed: &str, want: Option<&str>| {
            let words = typed.split(' ').map(str::to_owned);
            assert_eq!(command(words).as_deref(), want, "{typed}");
        };
        check("tracegrade gate --x", Some("gate"));
        check("tracegrade --url http://a --json gate --x", Some("gate"));
        check("tracegrade --project=gate traces lst", Some("traces"));
        check("tracegrade --url", None);
    }

    #[test]
    fn dates_that_begin_with_a_dash_are_values() {
        let typed = [
            "tracegrade",
            "traces",
            "list",
            "--start-date",
            "-4d",
            "--status",
            "error",
        ];
        let Command::Traces(Traces::List(list)) = Cli::try_parse_from(typed).unwrap().command
        else {
            panic!("it is another command")
        };
        assert_eq!(
            list.filter.json().to_string(),
            r#"{"status":["error"],"start_date":"-4d"}"#
        );
    }
}
