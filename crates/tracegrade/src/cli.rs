//! What can be typed? The commands and their help, which teaches by examples.

pub(crate) mod grading;
pub(crate) mod grading_settings;
pub(crate) mod operate;
pub(crate) mod passing;
pub(crate) mod traces;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::client::Connection;
use crate::commands::grading::gate::ERROR;
use crate::commands::settings::Settings;
use crate::output::{self, Failure};

use grading::{Annotate, Annotations, Calibrate, Failures, Gate, Grade, Graders, Runs, Watches};
use grading_settings::GradingSettings;
use operate::{Backup, Doctor, Keys, Prices, Projects, RebuildCatalog, Replay, Restore};
use passing::{Export, Import};
use traces::{Sql, Traces};

/// Records what AI agents do, keeps it, and answers questions about it.
#[derive(Debug, Parser)]
#[command(name = "tracegrade", version, after_help = TOP_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Print the server's JSON instead of text, and errors as JSON too.
    #[arg(long, global = true, display_order = 900)]
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

Exit codes: 0 done; 1 failed or refused; 2 the command line cannot be understood; 3 no server
answers. `gate` has its own. With --json an error is one object on stderr.";

/// Tells what cannot be understood, or the help that was asked for, and returns the exit code. Of a gate
/// the code 2 would be a verdict: there it is an error's.
pub(crate) fn refuse(error: &clap::Error, typed: impl Iterator<Item = String>) -> ExitCode {
    let typed: Vec<String> = typed.collect();
    let is_help = error.exit_code() == 0;
    match !is_help && typed.iter().any(|word| word == "--json") {
        true => {
            let text = error.render().to_string();
            let text = text.trim();
            output::note(output::failure(&Failure {
                message: text.strip_prefix("error: ").unwrap_or(text),
                code: "usage",
                param: None,
                hint: None,
            }));
        }
        false => {
            // Without a terminal there is nobody to tell.
            let _printed = error.print();
        }
    }
    match error.exit_code() {
        0 => ExitCode::SUCCESS,
        _ if command(typed.into_iter()).as_deref() == Some("gate") => ExitCode::from(ERROR),
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

Each setting is a flag, a variable TRACEGRADE_… and a line of the TOML file; flags win over
variables, variables over the file. Nothing is sent anywhere.")]
    Serve(Serve),
    /// Look at traces, or delete them.
    #[command(subcommand)]
    Traces(Traces),
    /// Ask the tables `traces`, `spans`, `messages` and `grades` in SQL.
    #[command(after_help = "Examples:
  tracegrade sql 'show tables'
  tracegrade sql 'select model, sum(cost_nano_usd) / 1e9 as usd from spans group by model'
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

A grader is a name that was saved, library:NAME, a file of definitions, or a definition in JSON.
Ctrl-C ends the waiting and not the run. The exit code is 0 if the run came to its end, whatever
the grades are: to stop a release by them there is `tracegrade gate`.")]
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

Labels are made with `tracegrade annotate TRACE --good|--bad --grader NAME`;
`tracegrade annotate --queue --grader NAME` says for which traces. How a rate is corrected follows
from how they were asked for.")]
    Calibrate(Calibrate),
    /// Let a new version pass or stop it.
    #[command(after_help = "Examples:
  tracegrade gate --baseline version=v1.8.2 --candidate version=v1.9.0 \\
      --workflow-name support-triage --check 'tool_errors == 0' --pair-by metadata.case
  tracegrade gate --baseline RUN --candidate RUN --margin 0.02 --junit gate.xml --markdown gate.md

Sides that are told by fields are graded first; what a judge said before is not asked again.
Exit codes: 0 pass; 1 fail; 2 inconclusive, too few traces to tell; 3 error: no baseline, too much
without a verdict, no server, or a command line that cannot be understood.")]
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

What a file holds is told by its content: exports of Langfuse, MLflow, LangSmith and Phoenix, logs
of Inspect AI, requests to models with their responses, items and traces of the Agents SDK, OTLP
in JSON and protobuf. JSON may stand on lines, one after the other, pretty-printed; gzip and zstd
are recognised. What cannot be read is told with its place and passed over; the rest is kept. The
exit code is 0 only if nothing was refused.")]
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

What was acknowledged before the backup began is in it, of all projects. The folder is on the
machine of the server; on the same file system files are linked, which takes no time and no space.")]
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
  tracegrade replay archive/2026-11-28T1*.tgar.zst --data-dir anew --since 2026-11-28T12:00:00Z

An archive is written by a server whose setting `archive` is true. Bodies are taken in as if they
came now, but for the time at which they were received, into a folder that no server has open.
What cannot be taken is told; the rest is kept, and the exit code is 1.")]
    Replay(Replay),
    /// Make a new catalog from the files and the log, if catalog.db is lost or damaged.
    #[command(after_help = "Example:
  tracegrade rebuild-catalog --data-dir tracegrade-data

No row is lost by it, none is there twice, and what was deleted stays deleted. Files that cannot
be read are moved to quarantine/ and named. The old catalog, if there is one, is kept as
catalog.db.replaced.")]
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
    fn no_line_of_help_is_broken_by_the_terminal() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string);
            for line in help.iter().flat_map(|help| help.lines()) {
                let width = line.chars().count();
                assert!(
                    width <= 100,
                    "{}: {width} columns: {line}",
                    command.get_name()
                );
            }
            command.get_subcommands().for_each(check);
        }
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
