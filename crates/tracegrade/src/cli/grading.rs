//! What can be typed about grading: graders, runs, people's verdicts, gates.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::commands::filter::FilterArgs;

/// `grade`.
#[derive(Debug, Args)]
pub(crate) struct Grade {
    /// Traces by their ids; without them those of the filter.
    #[arg(value_name = "TRACE")]
    pub(crate) traces: Vec<String>,
    #[command(flatten)]
    pub(crate) graders: GraderArgs,
    #[command(flatten)]
    pub(crate) selection: Selection,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) pairs: PairArgs,
    #[command(flatten)]
    pub(crate) references: ReferenceArgs,
    #[command(flatten)]
    pub(crate) stop: StopArgs,
    /// What people call the run.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Pause the run before its judges cost more than this, in US dollars.
    #[arg(long, value_name = "USD")]
    pub(crate) max_cost: Option<String>,
    /// Only say which traces it would be, and what judging them would cost.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Start the run, print its id and do not wait for it.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) detach: bool,
}

const PAIRS: &str = "Comparing each trace with another one";

/// What traces are compared with.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PairArgs {
    /// The other side, for graders that compare two: FIELD=VALUE[,FIELD=VALUE], a run's id, or a trace's.
    #[arg(long, value_name = "TRACES", requires = "pair_by", help_heading = PAIRS)]
    pub(crate) against: Option<String>,
    /// What makes two traces a pair: metadata.KEY, or group.
    #[arg(long, value_name = "FIELD", requires = "against", help_heading = PAIRS)]
    pub(crate) pair_by: Option<String>,
}

const REFERENCES: &str = "What should have been done";

/// What traces are held against.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ReferenceArgs {
    /// A file of JSON lines: {"trace_id": …, "reference": {"calls": […]}}, or with "key" for "trace_id"; - takes it from stdin.
    #[arg(long, value_name = "FILE", help_heading = REFERENCES)]
    pub(crate) references: Option<PathBuf>,
    /// Where references name keys: metadata.KEY, the key of a trace's metadata that they are found by.
    #[arg(long, value_name = "FIELD", requires = "references", help_heading = REFERENCES)]
    pub(crate) references_by: Option<String>,
}

const STOP: &str = "Stopping before all traces are graded";

/// When a run stops early.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct StopArgs {
    /// Stop once the interval reaches no further than this on either side, such as 0.05.
    #[arg(long, value_name = "WIDTH", help_heading = STOP)]
    pub(crate) stop_half_width: Option<f64>,
    /// Stop once the interval leaves this value out, such as 0.9.
    #[arg(long, value_name = "VALUE", help_heading = STOP)]
    pub(crate) stop_excludes: Option<f64>,
    /// The grader whose rate or mean is looked at, where there are several.
    #[arg(long, value_name = "GRADER", help_heading = STOP)]
    pub(crate) stop_grader: Option<String>,
}

/// Which graders.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct GraderArgs {
    /// A saved grader's name or id, library:NAME, a file of definitions, or a definition in JSON.
    #[arg(
        long = "grader",
        short,
        value_name = "GRADER",
        help_heading = "Graders (each may be repeated)"
    )]
    pub(crate) graders: Vec<String>,
    /// A rule that has to hold, such as 'tool_errors == 0'.
    #[arg(
        long = "check",
        value_name = "EXPRESSION",
        help_heading = "Graders (each may be repeated)"
    )]
    pub(crate) checks: Vec<String>,
    /// A detector that must not fire, such as D01.
    #[arg(
        long = "detector",
        value_name = "ID",
        help_heading = "Graders (each may be repeated)"
    )]
    pub(crate) detectors: Vec<String>,
}

const SELECTION: &str = "Which of the traces";

/// Which of the traces that a filter means.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Selection {
    /// Only traces for which this rule holds.
    #[arg(long, value_name = "EXPRESSION", help_heading = SELECTION)]
    pub(crate) rule: Option<String>,
    /// The newest N.
    #[arg(long, value_name = "N", help_heading = SELECTION)]
    pub(crate) limit: Option<u64>,
    /// A sample of N, by the hash of the trace's id: more of it keeps what was drawn before.
    #[arg(long, value_name = "N", help_heading = SELECTION)]
    pub(crate) sample: Option<u64>,
    /// How the sample is drawn: with stratified each status has its share.
    #[arg(long, value_enum, requires = "sample", help_heading = SELECTION)]
    pub(crate) strategy: Option<Strategy>,
    /// A stratum and how many of it: [NAME:]FIELD=VALUE[,FIELD=VALUE]:SIZE. Its traces are weighted by what they stand for.
    #[arg(long = "strata", value_name = "STRATUM", help_heading = SELECTION)]
    pub(crate) strata: Vec<String>,
    /// Draw another sample than the usual one.
    #[arg(long, value_name = "TEXT", help_heading = SELECTION)]
    pub(crate) seed: Option<String>,
    /// Also traces that are still running.
    #[arg(long, help_heading = SELECTION)]
    pub(crate) include_running: bool,
}

/// How a sample is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Strategy {
    /// Each status has its share.
    Stratified,
    /// All alike.
    Random,
    /// The newest.
    Newest,
}

/// `graders`.
#[derive(Debug, Subcommand)]
pub(crate) enum Graders {
    /// List the graders that were saved.
    List {
        /// Also those that were archived.
        #[arg(long)]
        archived: bool,
    },
    /// Show a grader's definition as it is kept: defaults filled in, the scale told.
    Show {
        /// Its name or id, or library:NAME.
        grader: String,
        /// The version; without it the newest.
        #[arg(long)]
        version: Option<u32>,
    },
    /// Keep a grader under a name; another definition under a known name is its next version.
    #[command(after_help = "Examples:
  tracegrade graders save no-errors --check 'tool_errors == 0'
  tracegrade graders save polite grader.json --description 'never blames the customer'
  tracegrade graders save paid-once --detector D17

A version that a run has used stays as it is for good, so that its grades keep their meaning.")]
    Save(GraderSave),
    /// Say what a draft would say of the newest traces; nothing is kept.
    #[command(after_help = "Examples:
  tracegrade graders try --rule 'tool_errors == 0'
  tracegrade graders try --rule '!calls(\"issue_refund\").any()' --environment ci --limit 500
  tracegrade graders try --detector D01 --start-date -7d
  tracegrade graders try --grader grader.json --id TRACE
  tracegrade graders try --grader library:goal_reached --limit 3

Of a grader that asks a model, what was asked and answered is shown with --exchanges. The language
of rules: docs/grading/rules.md. The detectors: docs/grading/detectors.md.")]
    Try(GradersTry),
    /// List the versions of a grader.
    Versions {
        /// Its name or id.
        grader: String,
    },
    /// Take a grader out of the lists; runs that used it keep it.
    Archive {
        /// Its name or id.
        grader: String,
    },
    /// List the graders that come with tracegrade, to be named as library:NAME.
    Library,
}

/// `graders save`.
#[derive(Debug, Args)]
pub(crate) struct GraderSave {
    /// What it is called from now on.
    pub(crate) name: String,
    /// A file with the definition in JSON, or the JSON itself; - takes it from stdin.
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// A rule that has to hold.
    #[arg(long, value_name = "EXPRESSION", conflicts_with_all = ["file", "detector", "grader"])]
    pub(crate) check: Option<String>,
    /// A detector that must not fire.
    #[arg(long, value_name = "ID", conflicts_with_all = ["file", "grader"])]
    pub(crate) detector: Option<String>,
    /// A definition in JSON, or library:NAME to begin with that.
    #[arg(long, value_name = "GRADER", conflicts_with = "file")]
    pub(crate) grader: Option<String>,
    /// What it asks, in a sentence.
    #[arg(long)]
    pub(crate) description: Option<String>,
}

/// `graders try`.
#[derive(Debug, Args)]
pub(crate) struct GradersTry {
    #[command(flatten)]
    pub(crate) grader: Draft,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) references: ReferenceArgs,
    /// So many traces, the newest, 1 to 1000.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Show what a model was asked and what it answered.
    #[arg(long)]
    pub(crate) exchanges: bool,
}

/// What is tried.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Draft {
    /// A rule, such as 'duration_ms < 5000'.
    #[arg(long, value_name = "EXPRESSION", visible_alias = "check")]
    pub(crate) rule: Option<String>,
    /// A detector by its id, such as D01.
    #[arg(long, value_name = "ID")]
    pub(crate) detector: Option<String>,
    /// A file with a definition in JSON (- takes it from stdin), a definition, or a saved grader's name.
    #[arg(long, value_name = "GRADER")]
    pub(crate) grader: Option<String>,
}

/// `runs`.
#[derive(Debug, Subcommand)]
pub(crate) enum Runs {
    /// List grading runs, newest first.
    List(RunsList),
    /// Show what a run grades, how far it is and what it costs.
    Show {
        /// The run's id.
        run: String,
    },
    /// Follow a run to its end, then print its results.
    Watch {
        /// The run's id.
        run: String,
    },
    /// Let a run rest; what is under way is finished.
    Pause {
        /// The run's id.
        run: String,
    },
    /// Go on with a run that rests.
    Resume {
        /// The run's id.
        run: String,
    },
    /// End a run; what was graded is kept.
    Cancel {
        /// The run's id.
        run: String,
    },
    /// Grade anew what got no verdict.
    Retry {
        /// The run's id.
        run: String,
    },
    /// Change what a run's judges may cost, in US dollars.
    #[command(after_help = "Example:\n  tracegrade runs cap RUN 5.00")]
    Cap {
        /// The run's id.
        run: String,
        /// US dollars, of all that it costs from its start.
        usd: String,
    },
    /// Print what came of a run.
    #[command(after_help = "Examples:
  tracegrade runs results RUN
  tracegrade runs results RUN --outcome fail --grader paid-once
  tracegrade runs results RUN --score-below 3 --limit 100 --json

Each rate stands with where the truth lies with 95 % confidence, n, and the groups (conversations)
in it.")]
    Results(RunResults),
    /// Say whether the candidate is better than the baseline, not worse by more than a margin, or not to be told apart.
    #[command(after_help = "Examples:
  tracegrade runs compare BASELINE CANDIDATE
  tracegrade runs compare BASELINE CANDIDATE --grader paid-once --pair-by metadata.case

Each grader's answer says how large a change could have been seen, and which test it rests on. To
stop a pipeline by it: tracegrade gate.")]
    Compare(RunsCompare),
    /// Delete a run with its grades.
    Delete {
        /// The run's id.
        run: String,
        /// Yes, with its grades.
        #[arg(long, required = true)]
        yes: bool,
    },
}

/// `runs list`.
#[derive(Debug, Args)]
pub(crate) struct RunsList {
    /// Only runs with this status.
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// Only runs that this grader was in, by its name or id.
    #[arg(long)]
    pub(crate) grader: Option<String>,
    /// How many to list, 1 to 1000.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Go on behind this run.
    #[arg(long)]
    pub(crate) after: Option<String>,
}

/// `runs compare`.
#[derive(Debug, Args)]
pub(crate) struct RunsCompare {
    /// The id of the run of what is there.
    pub(crate) baseline: String,
    /// The id of the run of what shall replace it.
    pub(crate) candidate: String,
    /// Only this grader, by its name or id; may be repeated. Without it all that both runs have.
    #[arg(long = "grader", short, value_name = "GRADER")]
    pub(crate) graders: Vec<String>,
    /// What makes a trace of one run the counterpart of one of the other: trace, group, none or metadata.KEY.
    #[arg(long, value_name = "FIELD")]
    pub(crate) pair_by: Option<String>,
    /// Ask too whether it is worse by less than this: 0.02 are two points of a rate.
    #[arg(long)]
    pub(crate) margin: Option<f64>,
    /// Also graders that are not the same in both runs: it is then the graders that are compared.
    #[arg(long)]
    pub(crate) allow_changed_graders: bool,
}

/// `runs results`.
#[derive(Debug, Args)]
pub(crate) struct RunResults {
    /// The run's id.
    pub(crate) run: String,
    /// Only traces on which this grader said something of the kind.
    #[arg(long)]
    pub(crate) grader: Option<String>,
    /// Only traces with this outcome: pass, fail, value, not_applicable, unscored.
    #[arg(long)]
    pub(crate) outcome: Option<String>,
    /// Only traces with a score below this.
    #[arg(long)]
    pub(crate) score_below: Option<f64>,
    /// How many traces to list; 0 lists none.
    #[arg(long, default_value_t = 10)]
    pub(crate) limit: u32,
    /// Go on behind this trace.
    #[arg(long)]
    pub(crate) after: Option<String>,
    /// Tell how reliably tasks pass that were tried several times; group or metadata.KEY says which tries are of one.
    #[arg(long, value_name = "FIELD")]
    pub(crate) tasks: Option<String>,
    /// Tell which segments differ from the rest, such as metadata.customer.
    #[arg(long, value_name = "FIELD")]
    pub(crate) segments: Option<String>,
    /// Count traces with the same metadata.KEY (a user, a task) as belonging together, instead of by their groups.
    #[arg(long, value_name = "FIELD")]
    pub(crate) groups_by: Option<String>,
}

/// `annotate`.
#[derive(Debug, Args)]
pub(crate) struct Annotate {
    /// The trace's id.
    #[arg(required_unless_present = "queue")]
    pub(crate) trace: Option<String>,
    /// Of the trace only this span.
    #[arg(long)]
    pub(crate) span: Option<String>,
    /// The grader whose question is answered, by name or id: what `calibrate` compares.
    #[arg(long)]
    pub(crate) grader: Option<String>,
    #[command(flatten)]
    pub(crate) queue: QueueArgs,
    /// It is as it should be.
    #[arg(long, conflicts_with = "bad")]
    pub(crate) good: bool,
    /// It is not.
    #[arg(long)]
    pub(crate) bad: bool,
    /// A word for what went wrong, to count by.
    #[arg(long)]
    pub(crate) label: Option<String>,
    /// What you saw.
    #[arg(long)]
    pub(crate) note: Option<String>,
    /// Who says so; without it the key, or the user at this terminal.
    #[arg(long)]
    pub(crate) author: Option<String>,
}

/// What an annotation answers to, or is to be asked about.
#[derive(Debug, Args)]
pub(crate) struct QueueArgs {
    /// Show which traces to label, so that the grader can be held against people: doubtful ones and some others.
    #[arg(long, requires = "grader", conflicts_with_all = ["trace", "span", "good", "bad", "label", "note", "chance"])]
    pub(crate) queue: bool,
    /// The run whose verdicts are in question; without it the newest that the grader was in.
    #[arg(long, requires = "queue")]
    pub(crate) run: Option<String>,
    /// About how many traces are drawn in all.
    #[arg(long, requires = "queue", value_name = "N")]
    pub(crate) size: Option<u64>,
    /// Draw all traces alike, and not doubtful ones more often.
    #[arg(long, requires = "queue")]
    pub(crate) random: bool,
    /// Draw with another seed.
    #[arg(long, requires = "queue", value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// How many to show now, 1 to 1000.
    #[arg(long, requires = "queue", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: Option<u32>,
    /// The queue that asked for this annotation, as it names itself.
    #[arg(long, requires = "chance")]
    pub(crate) queue_id: Option<String>,
    /// The chance with which it asked, as it says.
    #[arg(long, requires = "queue_id")]
    pub(crate) chance: Option<f64>,
}

/// `annotations`.
#[derive(Debug, Subcommand)]
pub(crate) enum Annotations {
    /// List what people said of traces, newest first.
    List(AnnotationsList),
    /// Take one back.
    Delete {
        /// Its id.
        id: String,
    },
}

/// `annotations list`.
#[derive(Debug, Args)]
pub(crate) struct AnnotationsList {
    /// Only of this trace.
    #[arg(long)]
    pub(crate) trace: Option<String>,
    /// Only answers to this grader's question.
    #[arg(long)]
    pub(crate) grader: Option<String>,
    /// Only with this label.
    #[arg(long)]
    pub(crate) label: Option<String>,
    /// Only of this author.
    #[arg(long)]
    pub(crate) author: Option<String>,
    /// How many to list, 1 to 1000.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Go on behind this annotation.
    #[arg(long)]
    pub(crate) after: Option<String>,
}

/// `calibrate`.
#[derive(Debug, Args)]
pub(crate) struct Calibrate {
    /// The grader's name or id.
    pub(crate) grader: String,
    /// The version; without it that of the run.
    #[arg(long)]
    pub(crate) version: Option<u32>,
    /// Only grades of this run; its rate is corrected by what people said.
    #[arg(long)]
    pub(crate) run: Option<String>,
    /// How the labelled traces were chosen: recorded, as the labels say of themselves, which is the default; random, if no verdict played a part; other.
    #[arg(long, value_parser = ["recorded", "random", "other"])]
    pub(crate) chosen: Option<String>,
}

/// `gate`.
#[derive(Debug, Args)]
pub(crate) struct Gate {
    /// What is there: a run's id, or the traces by FIELD=VALUE, such as version=v1.8.2 (several: with commas).
    #[arg(long, value_name = "SIDE")]
    pub(crate) baseline: String,
    /// What shall replace it, told in the same way.
    #[arg(long, value_name = "SIDE")]
    pub(crate) candidate: String,
    /// The run that has both sides, where they are told by fields.
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
    #[command(flatten)]
    pub(crate) graders: GraderArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// What makes a trace of one side the counterpart of one of the other, such as metadata.case.
    #[arg(long, value_name = "FIELD")]
    pub(crate) pair_by: Option<String>,
    /// So much worse is let pass: 0.02 are two points of a rate.
    #[arg(long)]
    pub(crate) margin: Option<f64>,
    /// How often a change that is no worse may be stopped by chance.
    #[arg(long)]
    pub(crate) alpha: Option<f64>,
    /// A test that may be looked at again after each run; without it the number of traces has to be fixed before.
    #[arg(long)]
    pub(crate) sequential: bool,
    /// So many traces of each side at most, by the hash of their ids.
    #[arg(long, value_name = "N")]
    pub(crate) sample: Option<u64>,
    /// Pause the runs before their judges cost more than this each, in US dollars: then the gate is an error.
    #[arg(long, value_name = "USD")]
    pub(crate) max_cost: Option<String>,
    /// Write a report for CI systems that read JUnit's XML.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Write a report to be posted on a pull request; - prints it instead of the table.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
}

/// `failures`.
#[derive(Debug, Args)]
pub(crate) struct Failures {
    /// Traces by their ids; without them those of the run or the filter.
    #[arg(value_name = "TRACE")]
    pub(crate) traces: Vec<String>,
    /// What failed in this run.
    #[arg(long)]
    pub(crate) run: Option<String>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// Keep the rule that finds a group as a grader of this name.
    #[arg(long, value_name = "NAME")]
    pub(crate) save: Option<String>,
    /// The group that is meant, by its number.
    #[arg(long, default_value_t = 1, requires = "save")]
    pub(crate) group: usize,
}

/// `watches`.
#[derive(Debug, Subcommand)]
pub(crate) enum Watches {
    /// List what is graded as it comes in.
    List,
    /// Grade traces as they come in.
    #[command(after_help = "Examples:
  tracegrade watches create errors --check 'tool_errors == 0' --workflow-name support-triage
  tracegrade watches create quality --grader goal --sampling-rate 0.05 --cap-per-day 2.00

A trace is graded once it has ended. Which share of them is drawn depends on their ids alone.")]
    Create(WatchCreate),
    /// Show a watch, what it has graded, and why other traces were not.
    Show {
        /// Its id.
        watch: String,
    },
    /// Let it rest.
    Pause {
        /// Its id.
        watch: String,
    },
    /// Go on.
    Resume {
        /// Its id.
        watch: String,
    },
    /// Say trace by trace whether it was graded, and if not, why.
    Decisions(WatchDecisions),
    /// Grade what came in before it was made, or while it rested.
    #[command(after_help = "Example:\n  tracegrade watches backfill WATCH --start-date -7d")]
    Backfill {
        /// Its id.
        watch: String,
        /// Traces that started then or later: a date, a moment, or -7d.
        #[arg(long, visible_alias = "from", allow_hyphen_values = true)]
        start_date: String,
        /// Traces that started before.
        #[arg(long, visible_alias = "until", allow_hyphen_values = true)]
        end_date: Option<String>,
    },
    /// Delete a watch; its grades stay.
    Delete {
        /// Its id.
        watch: String,
    },
}

/// `watches decisions`.
#[derive(Debug, Args)]
pub(crate) struct WatchDecisions {
    /// Its id.
    pub(crate) watch: String,
    /// Only of this trace.
    #[arg(long)]
    pub(crate) trace: Option<String>,
    /// Only such: graded, sampled_out, filtered_out, no_content or budget.
    #[arg(long, value_name = "WORD")]
    pub(crate) decision: Option<String>,
    /// How many to list, 1 to 1000.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Go on behind this trace.
    #[arg(long, value_name = "TRACE")]
    pub(crate) after: Option<String>,
}

/// `watches create`.
#[derive(Debug, Args)]
pub(crate) struct WatchCreate {
    /// What people call it.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) graders: GraderArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// The share of the traces that is graded, from 0 to 1.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) sampling_rate: f64,
    /// What its judges may cost a day, in US dollars.
    #[arg(long, value_name = "USD")]
    pub(crate) cap_per_day: Option<String>,
}
