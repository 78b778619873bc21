//! What can be typed about what a project says for grading.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `settings`.
#[derive(Debug, Subcommand)]
pub(crate) enum GradingSettings {
    /// Show what was said.
    Show,
    /// Say whether a tool changes something. Of tools of which nothing is said the first verb of the name speaks.
    #[command(after_help = "Examples:
  tracegrade settings tool issue_refund write
  tracegrade settings tool 'crm__*' read")]
    Tool {
        /// Its name; a star at the end stands for any rest.
        name: String,
        /// What it does.
        #[arg(value_enum)]
        effect: Effect,
    },
    /// Say what holds for a workflow; the workflow * stands for what others do not say.
    #[command(after_help = "Examples:
  tracegrade settings workflow support-triage --mute D03 --mute D20
  tracegrade settings workflow support-triage --unmute D03
  tracegrade settings workflow bookings --confirm-writes on
  tracegrade settings workflow '*' --verify-writes on

A detector that is muted says not_applicable of the workflow's traces. D15 looks only where writes
are to be confirmed by the user, D21 only where they are to be verified before the end.")]
    Workflow(Workflow),
    /// Keep a JSON schema under a name, for rules such as valid(final_output, \"ticket.v2\").
    #[command(after_help = "Examples:
  tracegrade settings schema ticket.v2 ticket.json
  tracegrade settings schema ticket.v1 --remove")]
    Schema {
        /// What rules call it.
        name: String,
        /// The file with the schema, or the schema itself; - takes it from stdin.
        #[arg(value_name = "FILE", required_unless_present = "remove")]
        file: Option<PathBuf>,
        /// Take it away.
        #[arg(long, conflicts_with = "file")]
        remove: bool,
    },
    /// Say how many tokens a model can read.
    Window {
        /// The model's name.
        model: String,
        /// How many tokens; default is what is known of the model.
        #[arg(value_name = "TOKENS|default")]
        tokens: String,
    },
    /// Name the model of judges that name none.
    Judge {
        /// The model; default is what the server is set to.
        #[arg(value_name = "MODEL|default")]
        model: String,
    },
    /// Change many things at once: a JSON object in which null takes back what was said.
    #[command(after_help = "Example:
  echo '{\"tools\": {\"issue_refund\": \"write\"}, \"workflows\": {\"*\": {\"verify_writes\": true}}}' |
      tracegrade settings set -")]
    Set {
        /// The file, or the JSON itself; - takes it from stdin.
        file: PathBuf,
    },
}

/// What a tool does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Effect {
    /// It changes something.
    Write,
    /// It changes nothing.
    Read,
    /// Let its name speak.
    Guess,
}

/// `settings workflow`.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct WorkflowChange {
    /// A detector that is not to fire there, such as D03.
    #[arg(long, value_name = "ID")]
    pub(crate) mute: Vec<String>,
    /// A detector that is to fire there again.
    #[arg(long, value_name = "ID")]
    pub(crate) unmute: Vec<String>,
    /// Whether a user has to say a word before each write (D15).
    #[arg(long, value_enum)]
    pub(crate) confirm_writes: Option<Switch>,
    /// Whether each write has to be looked at before the end (D21).
    #[arg(long, value_enum)]
    pub(crate) verify_writes: Option<Switch>,
}

/// A workflow and what holds for it.
#[derive(Debug, Args)]
pub(crate) struct Workflow {
    /// Its name.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) change: WorkflowChange,
}

/// Whether something is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
    /// As for all workflows.
    Default,
}
