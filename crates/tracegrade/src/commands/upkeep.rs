//! `doctor`, `backup`, `restore`, `rebuild-catalog`: is it well, and what if it is not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use model::{Clock, SystemClock};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use server::local::{RealDisk, StoreConfig, rebuild_catalog, restore};

use crate::cli::operate::{Backup, Doctor, RebuildCatalog, Restore};
use crate::client::{Client, Connection};
use crate::output;
use crate::text::{self, count, safe_text};

use super::{Ask, local};

#[derive(Debug, Deserialize)]
struct Checkup {
    well: bool,
    checks: Vec<Check>,
}

#[derive(Debug, Deserialize)]
struct Check {
    what: String,
    looked_at: u64,
    faulty: u64,
    faults: Vec<String>,
}

/// Runs `doctor`: fails if something is wrong.
pub(super) async fn doctor(
    connection: &Connection,
    json: bool,
    doctor: &Doctor,
) -> anyhow::Result<()> {
    let checkup = match &doctor.data_dir {
        Some(data_dir) => examine(data_dir, doctor.deep).await?,
        None => {
            let client = Client::new(connection)?;
            let deep = doctor.deep.to_string();
            let answer = client
                .get(&["v1", "health", "doctor"], &[("deep".to_owned(), deep)])
                .await?;
            client.json(answer).await?
        }
    };
    if json {
        output::line(checkup.to_string())?;
    }
    let checkup: Checkup = serde_json::from_value(checkup).context("the answer is no checkup")?;
    if !json {
        tell(&checkup)?;
    }
    match checkup.well {
        true => Ok(()),
        false => bail!("something is wrong with the store: see above"),
    }
}

async fn examine(data_dir: &Path, deep: bool) -> anyhow::Result<serde_json::Value> {
    let app = local::open(data_dir, Arc::new(SystemClock)).await?;
    let checkup = app.store().doctor(deep).await;
    app.close().await?;
    let checkup = checkup?;
    let mut value = serde_json::to_value(&checkup)?;
    value["object"] = json!("checkup");
    value["well"] = json!(checkup.is_well());
    Ok(value)
}

fn tell(checkup: &Checkup) -> anyhow::Result<()> {
    for check in &checkup.checks {
        let verdict = match check.faulty {
            0 => "well".to_owned(),
            faulty => format!("{} WRONG", count(faulty)),
        };
        let looked_at = count(check.looked_at);
        output::line(format!(
            "{:<34} {looked_at:>12}   {verdict}",
            safe_text(&check.what)
        ))?;
        for fault in &check.faults {
            output::line(format!("  {}", safe_text(fault)))?;
        }
        let untold = check.faulty.saturating_sub(check.faults.len() as u64);
        if untold > 0 {
            output::line(format!("  and {} more", count(untold)))?;
        }
    }
    Ok(())
}

/// Runs `backup`.
pub(super) async fn backup(
    connection: &Connection,
    json: bool,
    backup: &Backup,
) -> anyhow::Result<()> {
    let dest = std::path::absolute(&backup.dest)
        .with_context(|| format!("failed to find out where {} is", backup.dest.display()))?;
    let told = |files: usize, bytes: u64| {
        let text = format!(
            "backed up {} files, {:.1} MB, to {}",
            count(files as u64),
            bytes as f64 / 1e6,
            dest.display()
        );
        output::line(text)
    };
    let Some(data_dir) = &backup.data_dir else {
        #[derive(Deserialize)]
        struct BackedUp {
            files: usize,
            bytes: u64,
        }
        let client = Client::new(connection)?;
        let ask = Ask { client, json };
        let body = json!({"path": dest.to_string_lossy()});
        let answer = ask
            .client
            .send_json(Method::POST, &["v1", "backup"], &body)
            .await?;
        return match ask.tell::<BackedUp>(answer).await? {
            Some(made) => Ok(told(made.files, made.bytes)?),
            None => Ok(()),
        };
    };
    let app = local::open(data_dir, Arc::new(SystemClock)).await?;
    let made = app.store().backup(&dest).await;
    app.close().await?;
    let manifest = made?;
    let bytes = manifest.files.values().map(|file| file.bytes).sum();
    match json {
        true => Ok(output::line(
            json!({"object": "backup", "path": dest.to_string_lossy(), "files": manifest.files.len(), "bytes": bytes})
                .to_string(),
        )?),
        false => Ok(told(manifest.files.len(), bytes)?),
    }
}

/// Runs `restore`.
pub(super) async fn restored(json: bool, args: &Restore) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let kept = match args.replace && args.data_dir.exists() {
        true => Some(set_aside(&args.data_dir, &*clock)?),
        false => None,
    };
    let old = args.deletions_from.clone().or_else(|| kept.clone());
    let meta = old.map(|dir| dir.join("meta.db"));
    let config = StoreConfig::new(&args.data_dir);
    let done = restore(
        &config,
        &args.backup,
        meta.as_deref(),
        clock,
        Arc::new(RealDisk),
    )
    .await;
    let done = done.with_context(|| match &kept {
        Some(kept) => format!("the former folder lies at {}", kept.display()),
        None => "nothing was replaced".to_owned(),
    })?;
    if json {
        let deleted = done.deleted_again;
        let value = json!({"object": "restored", "files": done.files, "bytes": done.bytes, "backup_of": done.created_at, "deleted_again": deleted});
        return Ok(output::line(value.to_string())?);
    }
    output::line(format!(
        "restored {} files, {:.1} MB, as of {}",
        count(done.files as u64),
        done.bytes as f64 / 1e6,
        done.created_at
    ))?;
    match done.deleted_again {
        Some(traces) => output::line(format!(
            "deleted {} again, as somebody did since the backup",
            text::traces(traces as u64)
        ))?,
        None => output::line(
            "traces deleted since the backup are back: name the folder that was in use since with --deletions-from",
        )?,
    }
    if let Some(kept) = kept {
        output::line(format!("the former folder lies at {}", kept.display()))?;
    }
    Ok(())
}

/// Gives a data folder another name, so that nothing is lost if the backup is not the right one.
fn set_aside(data_dir: &Path, clock: &dyn Clock) -> anyhow::Result<PathBuf> {
    let mut name = data_dir.as_os_str().to_owned();
    name.push(format!(
        ".before-restore-{}",
        clock.now().as_micros() / 1_000_000
    ));
    let kept = PathBuf::from(name);
    std::fs::rename(data_dir, &kept)
        .with_context(|| format!("failed to rename {}", data_dir.display()))?;
    Ok(kept)
}

/// Runs `rebuild-catalog`.
pub(super) async fn rebuild(json: bool, args: &RebuildCatalog) -> anyhow::Result<()> {
    let config = StoreConfig::new(&args.data_dir);
    let rebuilt = rebuild_catalog(&config, Arc::new(SystemClock), Arc::new(RealDisk)).await?;
    let [spans, messages, traces, grades] = rebuilt.rows;
    if json {
        let value = json!({
            "object": "rebuilt", "files": rebuilt.files, "passed_over": rebuilt.passed_over,
            "rows": {"spans": spans, "messages": messages, "traces": traces, "grades": grades},
            "unreadable": rebuilt.unreadable.iter().map(|(path, why)| json!({"path": path, "why": why})).collect::<Vec<_>>(),
            "replaced_rows": rebuilt.hides, "deleted_traces": rebuilt.deleted,
        });
        return Ok(output::line(value.to_string())?);
    }
    let number = |rows: i64| count(rows.unsigned_abs());
    output::line(format!(
        "made a catalog of {} files with {} rows of spans, {} of messages, {} of traces and {} of grades",
        count(rebuilt.files as u64),
        number(spans),
        number(messages),
        number(traces),
        number(grades)
    ))?;
    if rebuilt.passed_over > 0 {
        let passed = count(rebuilt.passed_over as u64);
        output::line(format!(
            "{passed} files do not count, since others took their place or the log has their rows; the next start removes them"
        ))?;
    }
    for (path, why) in &rebuilt.unreadable {
        output::line(format!(
            "{path} was moved to quarantine/: {}",
            safe_text(why)
        ))?;
    }
    if let Some(missing) = &rebuilt.missing {
        output::line(format!(
            "records {} to {} of the log are in no file; they held no rows, or they are lost",
            missing.start(),
            missing.end()
        ))?;
    }
    Ok(())
}
