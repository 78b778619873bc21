//! `demo`: a folder full of traces, and what to look at in it.
//!
//! The story's requests go the way of any request from decoding to the log, only not over a socket. A
//! note in the folder says that it is a demo's and whether the story was told to its end: a folder
//! without that note is somebody's data, and is left alone.

mod grading;

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use clap::CommandFactory;
use futures::{StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;
use model::{Clock, ProjectId, Source, SystemClock, Time};
use serde::{Deserialize, Serialize};
use server::local::StoreError;
use server::{App, BuildError, Config, Flags, Signals, Wire};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::cli::{Cli, Demo};
use crate::client::{Client, Connection};
use crate::demo;
use crate::demo::grading::JUDGE_MODEL;
use crate::output::{self, BOLD, DIM, styled};
use crate::text::safe_text;

use grading::Graded;

use super::{local, serve};

/// The note in a demo's folder.
const NOTE: &str = "demo.json";

/// Requests that are worked on at the same time.
const BODIES_AT_ONCE: usize = 8;

/// So long ago the story was received, but for its end: what it left open is then seen to be
/// abandoned, and only the customer who waits at this moment is still there.
const TOLD_BEFORE_MICROS: i64 = 3_600 * 1_000_000;

/// Requests at the end of the story that are received now.
const BODIES_NOW: usize = 4;

/// The server that commands ask if they are not told another.
const DEFAULT_ADDRESS: &str = "127.0.0.1:4318";

/// What the note says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// The version that told the story: another one tells another.
    version: String,
    /// When the story ends.
    until: String,
    seed: u64,
    /// Whether all of it is there.
    complete: bool,
    /// The runs over the regression set, once it was graded.
    #[serde(default)]
    graded: Option<Graded>,
}

/// What a folder is.
#[derive(Debug, PartialEq, Eq)]
enum Folder {
    /// There is none, or nothing is in it.
    Empty,
    Demo(Note),
    /// Somebody's own.
    Foreign,
}

/// Fills the folder unless that was done, and serves it.
pub(super) async fn run(args: &Demo, json: bool) -> anyhow::Result<()> {
    let config = config(args)?;
    server::start_log(&config).context("failed to start the log")?;
    // Bound first: a port that is taken is told before anything is filled.
    let listeners = server::bind(&config).await?;
    let dir = &args.data_dir;
    let kept = match look(dir)? {
        Folder::Foreign => bail!(
            "{} is no demo's folder: something else is in it. Name another one with --data-dir",
            dir.display()
        ),
        Folder::Demo(note) if note.complete && !args.fresh => Some(note),
        Folder::Demo(_) => {
            throw_away(dir).await?;
            None
        }
        Folder::Empty => None,
    };
    let (mut app, mut note) = match kept {
        Some(note) => {
            ensure!(
                note.version == env!("CARGO_PKG_VERSION"),
                "this demo was made by tracegrade {}: --fresh makes a new one",
                note.version
            );
            (local::build(config, Arc::new(SystemClock)).await?, note)
        }
        None => fill(config, args.seed).await?,
    };
    let until = Time::parse_rfc3339(&note.until).context("the demo's note holds no time")?;
    app.play_judge(Arc::new(demo::Judge::of_story(until, note.seed)));
    let address = listeners.addresses()?.http;
    let (running, greeting) = serve::spawn(app, listeners)?;
    if note.graded.is_none() {
        let connection = Connection::own(format!("http://{address}").parse()?);
        let client = Client::new(&connection)?;
        match grading::grade(&client, until, note.seed).await {
            Ok(graded) => {
                note.graded = Some(graded);
                note.write(dir)?;
            }
            // Somebody made a key for it, say: there is still a story to look at.
            Err(error) => {
                let why = format!("{error:#}");
                output::note(format!("the demo is not graded: {}", safe_text(&why)));
            }
        }
    }
    if args.no_serve {
        running.stop().await?;
        let told = match json {
            true => serde_json::to_string(&note)?,
            false => format!("{} holds the demo", dir.display()),
        };
        return Ok(output::line(told)?);
    }
    let signals = Signals::new()?;
    for line in greeting
        .iter()
        .chain(&hints(&note, until, &address.to_string()))
    {
        output::line(line)?;
    }
    Ok(server::run(running, signals).await?)
}

fn config(args: &Demo) -> anyhow::Result<Config> {
    let mut flags = Flags::default();
    let mut set = |name: &str, value: String| flags.values.insert(name.to_owned(), value);
    // Always set here: TRACEGRADE_DATA_DIR names the folder of somebody's own traces.
    set("data_dir", args.data_dir.to_string_lossy().into_owned());
    set("log", "warn".to_owned());
    // A free port: the well-known one is left to a server that records somebody's own traces.
    set("grpc_listen", "127.0.0.1:0".to_owned());
    set("judge_model", JUDGE_MODEL.to_owned());
    match (&args.listen, args.no_serve) {
        (Some(listen), _) => set("listen", listen.clone()),
        // Only while it is graded.
        (None, true) => set("listen", "127.0.0.1:0".to_owned()),
        (None, false) => None,
    };
    Ok(Config::load(&flags)?)
}

fn look(dir: &Path) -> anyhow::Result<Folder> {
    let failed = || format!("failed to look into {}", dir.display());
    match fs::read(dir.join(NOTE)) {
        Ok(note) => match serde_json::from_slice(&note) {
            Ok(note) => Ok(Folder::Demo(note)),
            Err(_) => Ok(Folder::Foreign),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_dir(dir) {
            Ok(mut entries) => Ok(if entries.next().is_none() {
                Folder::Empty
            } else {
                Folder::Foreign
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Folder::Empty),
            Err(error) => Err(error).with_context(failed),
        },
        Err(error) => Err(error).with_context(failed),
    }
}

/// Removes a demo, unless a server has it open.
async fn throw_away(dir: &Path) -> anyhow::Result<()> {
    match local::open(dir, Arc::new(SystemClock)).await {
        Ok(app) => app.close().await?,
        Err(error) => {
            let build = error.downcast_ref::<BuildError>();
            if let Some(BuildError::Store(StoreError::Locked(_))) = build {
                return Err(error);
            }
            // A demo that cannot be opened may go all the same.
        }
    }
    fs::remove_dir_all(dir).with_context(|| format!("failed to remove {}", dir.display()))
}

/// Tells the story up to this moment into an empty folder.
async fn fill(config: Config, seed: u64) -> anyhow::Result<(App, Note)> {
    let dir: PathBuf = config.store.data_dir.clone();
    let clock = Arc::new(StoryClock {
        behind_micros: AtomicI64::new(TOLD_BEFORE_MICROS),
    });
    let until = SystemClock.now();
    let mut note = Note {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        until: until.to_string(),
        seed,
        complete: false,
        graded: None,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .with_context(|| format!("failed to make {}", dir.display()))?;
    note.write(&dir)?;
    let app = local::build(config, Arc::clone(&clock) as _).await?;
    let bar = output::counter("items of the demo's story");
    tell(&app, &clock, until, seed, &bar).await?;
    bar.finish_and_clear();
    note.complete = true;
    note.write(&dir)?;
    Ok((app, note))
}

async fn tell(
    app: &App,
    clock: &StoryClock,
    until: Time,
    seed: u64,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let project = ProjectId::new("default")?;
    let (send, receive) = mpsc::channel::<Bytes>(BODIES_AT_ONCE);
    let telling = spawn_blocking(move || {
        let mut held = std::collections::VecDeque::new();
        for body in demo::story(until, seed) {
            held.push_back(Bytes::from(body));
            // Nobody receives once one body was refused for good; that error is told below.
            if held.len() > BODIES_NOW
                && held
                    .pop_front()
                    .is_some_and(|body| send.blocking_send(body).is_err())
            {
                break;
            }
        }
        held
    });
    let bodies = stream::unfold(receive, async |mut receive| {
        receive.recv().await.map(|body| (body, receive))
    });
    let taken = bodies
        .map(anyhow::Ok)
        .try_for_each_concurrent(BODIES_AT_ONCE, |body| take(app, &project, body, bar));
    taken.await?;
    clock.behind_micros.store(0, Ordering::SeqCst);
    for body in telling.await.context("the story broke off")? {
        take(app, &project, body, bar).await?;
    }
    Ok(())
}

/// Takes in one request of the story.
async fn take(
    app: &App,
    project: &ProjectId,
    body: Bytes,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let taken = local::take(app, project, Source::Openai, Wire::AgentsSdk, body).await?;
    if let Some(refused) = taken.rejected.first() {
        bail!("an item of the story was refused: {}", refused.reason);
    }
    bar.inc(taken.accepted as u64);
    Ok(())
}

/// Returns what to look at and what to type, for the server at `address`.
fn hints(note: &Note, until: Time, address: &str) -> Vec<String> {
    let seed = note.seed;
    let mut lines = vec![String::new(), styled(BOLD, "Traces worth opening")];
    for highlight in demo::highlights(until, seed) {
        let title = format!("{:<27}", highlight.title);
        lines.push(format!("  {title}{}", highlight.trace_id));
        lines.push(format!("  {:<26}{}", "", styled(DIM, highlight.why)));
    }
    let program = program();
    let url = match address {
        DEFAULT_ADDRESS => String::new(),
        other => format!(" --url http://{other}"),
    };
    lines.extend([String::new(), styled(BOLD, "Try, in another terminal")]);
    let runs = note.graded.as_ref();
    let runs = runs.map(|runs| (runs.old.as_str(), runs.new.as_str()));
    for suggestion in demo::suggestions(until, seed, runs) {
        if is_known(&suggestion.command) {
            lines.push(format!(
                "  {}",
                styled(DIM, format_args!("# {}", suggestion.why))
            ));
            lines.push(format!("  {program} {}{url}", suggestion.command));
        }
    }
    lines.extend([
        String::new(),
        "Ctrl-C ends it; the folder stays.".to_owned(),
    ]);
    lines
}

/// Returns how this program was called, so that what is printed can be typed.
fn program() -> String {
    let called = std::env::args()
        .next()
        .filter(|name| !name.is_empty() && !name.contains(char::is_whitespace));
    called.unwrap_or_else(|| "tracegrade".to_owned())
}

/// Returns whether the command line knows a command.
fn is_known(command: &str) -> bool {
    let mut known = Cli::command();
    for word in command.split_whitespace() {
        if !known.has_subcommands() {
            break;
        }
        match known.find_subcommand(word) {
            Some(found) => known = found.clone(),
            None => return false,
        }
    }
    true
}

impl Note {
    fn write(&self, dir: &Path) -> anyhow::Result<()> {
        let path = dir.join(NOTE);
        let json = serde_json::to_vec_pretty(self)?;
        fs::write(&path, json).with_context(|| format!("failed to write {}", path.display()))
    }
}

/// The machine's clock, behind by as much as it is told to be.
#[derive(Debug)]
struct StoryClock {
    behind_micros: AtomicI64,
}

impl Clock for StoryClock {
    fn now(&self) -> Time {
        let behind = self.behind_micros.load(Ordering::SeqCst);
        Time::from_micros(SystemClock.now().as_micros() - behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_demos_folder_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("none");
        assert_eq!(look(&missing).unwrap(), Folder::Empty);
        assert_eq!(look(dir.path()).unwrap(), Folder::Empty);
        let note = Note {
            version: "1".into(),
            until: "now".into(),
            seed: 1,
            complete: true,
            graded: None,
        };
        note.write(dir.path()).unwrap();
        assert_eq!(look(dir.path()).unwrap(), Folder::Demo(note));
        fs::write(dir.path().join(NOTE), "{}").unwrap();
        assert_eq!(look(dir.path()).unwrap(), Folder::Foreign);
        fs::remove_file(dir.path().join(NOTE)).unwrap();
        fs::write(dir.path().join("notes.txt"), "mine").unwrap();
        assert_eq!(look(dir.path()).unwrap(), Folder::Foreign);
    }

    #[test]
    fn what_is_suggested_can_be_typed() {
        assert!(is_known("traces show x"));
        assert!(is_known("sql \"select 1\""));
        assert!(!is_known("traces no-such-command a b"));
        let until = Time::parse_rfc3339("2026-05-10T12:00:00Z").unwrap();
        let note = Note {
            version: "1".into(),
            until: until.to_string(),
            seed: 2026,
            complete: true,
            graded: Some(Graded {
                old: "grun_1".into(),
                new: "grun_2".into(),
            }),
        };
        let lines = hints(&note, until, "127.0.0.1:9");
        let commands: Vec<_> = lines
            .iter()
            .filter(|line| line.ends_with("--url http://127.0.0.1:9"))
            .collect();
        assert!(commands.len() >= 10, "{lines:?}");
    }
}
