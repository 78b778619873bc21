//! What can be typed by whoever runs a server: keys, projects, prices, and the upkeep of what is stored.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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
                        whether prompts, answers, arguments, results and words of errors are kept
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
