//! What the commands do, one file a family.

mod completions;
mod demo;
mod export;
pub(crate) mod filter;
pub(crate) mod grading;
mod import;
mod keys;
mod local;
mod prices;
mod projects;
mod replay;
mod serve;
pub(crate) mod settings;
mod sql;
mod steps;
mod traces;
mod upkeep;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use reqwest::Response;
use tokio::io::AsyncWriteExt;

use crate::cli::{Cli, Command};
use crate::client::Client;
use crate::output;

/// Runs a command and returns its exit code.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let ask = || {
        let client = Client::new(&cli.connection)?;
        anyhow::Ok(Ask {
            client,
            json: cli.json,
        })
    };
    match &cli.command {
        Command::Demo(demo) => demo::run(demo, cli.json).await,
        Command::Serve(serve) => serve::run(serve).await,
        Command::Traces(traces) => traces::run(&ask()?, traces).await,
        Command::Sql(sql) => sql::run(&ask()?, sql).await,
        Command::Import(import) => import::run(&cli.connection, cli.json, import).await,
        Command::Export(export) => export::run(&ask()?, export).await,
        Command::Keys(keys) => keys::run(&cli.connection, cli.json, keys).await,
        Command::Projects(projects) => projects::run(&ask()?, projects).await,
        Command::Prices(prices) => prices::run(&ask()?, prices).await,
        Command::Doctor(doctor) => upkeep::doctor(&cli.connection, cli.json, doctor).await,
        Command::Backup(backup) => upkeep::backup(&cli.connection, cli.json, backup).await,
        Command::Restore(restore) => upkeep::restored(cli.json, restore).await,
        Command::RebuildCatalog(rebuild) => upkeep::rebuild(cli.json, rebuild).await,
        Command::Replay(replay) => replay::run(replay, cli.connection.project(), cli.json).await,
        Command::Completions { shell } => completions::run(*shell),
        Command::Grade(_)
        | Command::Graders(_)
        | Command::Runs(_)
        | Command::Annotate(_)
        | Command::Annotations(_)
        | Command::Calibrate(_)
        | Command::Gate(_)
        | Command::Failures(_)
        | Command::Watches(_)
        | Command::Settings(_) => return grading::run(&ask()?, &cli.command).await,
    }
    .map(|()| ExitCode::SUCCESS)
}

/// Who is asked, and how the answer is told.
#[derive(Debug)]
struct Ask {
    client: Client,
    /// Whether the server's JSON is printed as it is.
    json: bool,
}

impl Ask {
    /// Prints a line that is no part of the result, for people: a program finds nothing beside its JSON.
    fn note(&self, text: impl AsRef<str>) {
        if !self.json {
            output::note(text);
        }
    }

    /// Prints an answer's JSON as it is, if that is wanted; else returns it as a value.
    async fn tell<T: serde::de::DeserializeOwned>(
        &self,
        answer: Response,
    ) -> anyhow::Result<Option<T>> {
        if self.json {
            copy(answer, None).await?;
            output::line("")?;
            return Ok(None);
        }
        Ok(Some(self.client.json(answer).await?))
    }
}

/// Writes the body of an answer to a file, or to stdout.
async fn copy(mut answer: Response, path: Option<&Path>) -> anyhow::Result<()> {
    let Some(path) = path else {
        while let Some(piece) = answer.chunk().await.context("the answer broke off")? {
            output::bytes(&piece)?;
        }
        return Ok(());
    };
    let failed = || format!("failed to write {}", path.display());
    let mut file = tokio::fs::File::create(path).await.with_context(failed)?;
    let bar = output::counter("bytes");
    while let Some(piece) = answer
        .chunk()
        .await
        .context("the answer broke off: the file is not whole")?
    {
        file.write_all(&piece).await.with_context(failed)?;
        bar.inc(piece.len() as u64);
    }
    file.flush().await.with_context(failed)?;
    bar.finish_and_clear();
    Ok(())
}
