//! `replay`: a store made anew of the bodies that an archive kept.
//!
//! Bodies go the way of any request, one after the other, in the order in which they came and with the
//! time at which they did. Every file is looked at before the first body is taken in: one that a later
//! version wrote ends the command before anything was changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use indicatif::ProgressBar;
use model::{Bound, Clock, ProjectId, SystemClock, Time, Zone, parse_bound};
use server::archive::{ArchiveError, Record, Records, Torn, find_archives};
use server::local::AppendError;
use server::{App, IntakeError, ReplayError, Taken};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::cli::operate::Replay;
use crate::output;
use crate::text;

use super::local;

/// Bodies that are read ahead.
const BODIES_AHEAD: usize = 4;

/// What is to be taken in.
#[derive(Debug, Clone)]
struct Wanted {
    since: Option<Time>,
    until: Option<Time>,
    project: Option<ProjectId>,
}

impl Wanted {
    fn read(args: &Replay, project: Option<&str>) -> anyhow::Result<Self> {
        let now = SystemClock.now();
        let time = |text: &Option<String>, bound| match text {
            None => anyhow::Ok(None),
            Some(text) => Ok(Some(parse_bound(text, bound, now, &Zone::utc())?)),
        };
        let project = project.map(|id| {
            ProjectId::new(id).with_context(|| format!("{id:?} cannot be a project's id"))
        });
        Ok(Self {
            since: time(&args.since, Bound::From).context("--since cannot be read")?,
            until: time(&args.until, Bound::Until).context("--until cannot be read")?,
            project: project.transpose()?,
        })
    }

    fn fits(&self, record: &Record) -> bool {
        let (head, at) = (&record.head, record.head.received_at);
        self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
            && self.project.as_ref().is_none_or(|id| *id == head.project)
    }
}

/// What became of the bodies.
#[derive(Debug, Default)]
struct Outcome {
    bodies: u64,
    accepted: u64,
    /// Items that were refused, by reason.
    rejected: BTreeMap<String, u64>,
    /// Bodies that were not taken, by reason.
    refused: BTreeMap<String, u64>,
    /// Bodies of projects that were deleted.
    of_deleted_projects: BTreeMap<ProjectId, u64>,
    /// Files that end in the middle of a body.
    torn: Vec<String>,
    /// Files that cannot be read to their end.
    faults: Vec<String>,
}

/// Runs `replay`.
pub(super) async fn run(args: &Replay, project: Option<&str>, as_json: bool) -> anyhow::Result<()> {
    let wanted = Wanted::read(args, project)?;
    let files = find_archives(&args.archives, wanted.since, wanted.until)?;
    for file in &files {
        check_version(file)?;
    }
    let app = local::open(&args.data_dir, Arc::new(SystemClock)).await?;
    let outcome = all_files(&app, args, &files, &wanted).await;
    // Closed in any case: what was taken is in the log, and the folder is let go.
    app.close().await?;
    tell(as_json, &outcome?)
}

/// Refuses a file that a later version of the program wrote.
fn check_version(file: &Path) -> anyhow::Result<()> {
    match Records::open(file)?.next() {
        Some(Err(error @ ArchiveError::Version { .. })) => {
            Err(error).context("nothing was changed")
        }
        // What else is wrong is told when the file's turn comes.
        _ => Ok(()),
    }
}

async fn all_files(
    app: &App,
    args: &Replay,
    files: &[PathBuf],
    wanted: &Wanted,
) -> anyhow::Result<Outcome> {
    let mut deleted_projects = BTreeSet::new();
    if let Some(dir) = &args.deletions_from {
        let meta = dir.join("meta.db");
        // A database that is not there would be made.
        ensure!(meta.is_file(), "there is no {}", meta.display());
        let deleted = app.delete_again(&meta).await;
        let deleted = deleted
            .with_context(|| format!("failed to learn from {} what was deleted", dir.display()))?;
        deleted_projects.extend(deleted);
    }
    let mut outcome = Outcome::default();
    let bar = output::counter("bodies");
    for file in files {
        one_file(app, file, wanted, &deleted_projects, &bar, &mut outcome)
            .await
            .with_context(|| format!("failed to replay {}", file.display()))?;
    }
    bar.finish_and_clear();
    Ok(outcome)
}

async fn one_file(
    app: &App,
    file: &Path,
    wanted: &Wanted,
    deleted_projects: &BTreeSet<ProjectId>,
    bar: &ProgressBar,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let (send, mut receive) = mpsc::channel(BODIES_AHEAD);
    let (path, wanted) = (file.to_owned(), wanted.clone());
    let reading = spawn_blocking(move || read(&path, &wanted, &send));
    while let Some(record) = receive.recv().await {
        bar.inc(1);
        outcome.bodies += 1;
        let id = &record.head.project;
        if deleted_projects.contains(id) || !app.ensure_project(id).await? {
            *outcome.of_deleted_projects.entry(id.clone()).or_default() += 1;
            continue;
        }
        match take(app, &record).await {
            Ok(taken) => outcome.add(&taken),
            Err(ReplayError::Intake(
                error @ (IntakeError::Append(_)
                | IntakeError::Worker(_)
                | IntakeError::NoProject(_)),
            )) => return Err(error.into()),
            Err(error) => *outcome.refused.entry(error.to_string()).or_default() += 1,
        }
    }
    let torn = reading.await.context("the reader of the file died")?;
    match torn {
        Ok(None) => {}
        Ok(Some(Torn { records })) => outcome.torn.push(format!(
            "{} ends in the middle of a body, behind {}: what stands before is whole",
            file.display(),
            text::count(records)
        )),
        Err(error) => outcome.faults.push(error.to_string()),
    }
    Ok(())
}

/// Reads the bodies of a file that are wanted. Returns whether it ends in the middle of one.
fn read(
    path: &Path,
    wanted: &Wanted,
    send: &mpsc::Sender<Record>,
) -> Result<Option<Torn>, ArchiveError> {
    let mut records = Records::open(path)?;
    for record in records.by_ref() {
        let record = record?;
        // Nobody receives any more if taking in has failed, which is told there.
        if wanted.fits(&record) && send.blocking_send(record).is_err() {
            break;
        }
    }
    Ok(records.torn())
}

/// Takes in one body; waits if the store wants time.
async fn take(app: &App, record: &Record) -> Result<Taken, ReplayError> {
    loop {
        match app.replay(record).await {
            Err(ReplayError::Intake(IntakeError::Append(AppendError::Refused(refusal)))) => {
                let wait = Duration::from_secs(u64::from(refusal.retry_after_s.max(1)));
                tokio::time::sleep(wait).await;
            }
            other => return other,
        }
    }
}

impl Outcome {
    fn add(&mut self, taken: &Taken) {
        self.accepted += taken.accepted as u64;
        for refused in &taken.rejected {
            *self.rejected.entry(refused.code.to_owned()).or_default() += 1;
        }
        let more = taken.rejected_count.saturating_sub(taken.rejected.len());
        if more > 0 {
            *self.rejected.entry("not_listed".to_owned()).or_default() += more as u64;
        }
    }
}

/// Says what became of the bodies; it is a failure if not everything was taken.
fn tell(as_json: bool, outcome: &Outcome) -> anyhow::Result<()> {
    let sum = |counts: &BTreeMap<String, u64>| counts.values().sum::<u64>();
    let of_deleted: u64 = outcome.of_deleted_projects.values().sum();
    if as_json {
        let of_deleted_projects: BTreeMap<_, _> = outcome
            .of_deleted_projects
            .iter()
            .map(|(id, count)| (id.as_str(), count))
            .collect();
        let told = serde_json::json!({
            "object": "replayed",
            "bodies": outcome.bodies,
            "accepted": outcome.accepted,
            "rejected": outcome.rejected,
            "refused_bodies": outcome.refused,
            "of_deleted_projects": of_deleted_projects,
            "torn": outcome.torn,
            "faults": outcome.faults,
        });
        output::line(told.to_string())?;
    } else {
        output::line(format!(
            "{} items of {} bodies replayed",
            text::count(outcome.accepted),
            text::count(outcome.bodies)
        ))?;
    }
    for note in outcome.torn.iter().chain(&outcome.faults) {
        output::note(text::safe_text(note));
    }
    for (project, count) in &outcome.of_deleted_projects {
        let count = text::count(*count);
        output::note(format!(
            "{count} bodies were of the project {project}, which was deleted"
        ));
    }
    let rejected = outcome.rejected.iter();
    for (reason, count) in rejected.chain(&outcome.refused) {
        output::note(text::safe_text(&format!(
            "{}: {reason}",
            text::count(*count)
        )));
    }
    let (items, bodies) = (sum(&outcome.rejected), sum(&outcome.refused) + of_deleted);
    if items + bodies > 0 || !outcome.faults.is_empty() {
        bail!(
            "not everything was taken: {} items and {} bodies were refused, {} files cannot be read to their end; the rest is kept",
            text::count(items),
            text::count(bodies),
            text::count(outcome.faults.len() as u64)
        );
    }
    Ok(())
}
