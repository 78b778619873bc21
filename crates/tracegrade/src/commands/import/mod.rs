//! `import`: files of recorded traces, of whatever product, to the server's own way in.
//!
//! A file may be larger than memory: it is read in pieces, cut into documents, and the documents are put
//! together to requests, of which several are under way. What each document is, the server finds out.
//! What cannot be read is told and passed over. Answers are looked at in the order of the file, so that
//! there always is a place up to which everything was taken: from there `--resume` goes on.

mod archive;
mod openai_evals;
mod reading;
mod report;
mod state;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use futures::{StreamExt, stream};
use model::{ProjectId, Source, SystemClock};
use reqwest::StatusCode;
use server::{App, IntakeError, Wire};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::cli::passing::Import;
use crate::client::{Client, ClientError, Connection};

use super::local;
use reading::{Body, Reading};
use report::{Answer, Outcome, Refusal};
use state::State;

/// Requests under way at the same time.
const BODIES_AT_ONCE: usize = 4;

/// Imports every file.
pub(super) async fn run(
    connection: &Connection,
    as_json: bool,
    import: &Import,
) -> anyhow::Result<()> {
    if !import.openai_evals.is_empty() {
        return openai_evals::run(connection, as_json, &import.openai_evals).await;
    }
    let to = Destination::open(connection, import).await?;
    let outcome = all_files(&to, import).await;
    // Closed in any case: what was taken is in the log, and the folder is let go.
    to.close().await?;
    outcome?.tell(as_json)
}

/// Where documents go.
#[derive(Debug)]
enum Destination {
    /// To a server.
    Server(Client, String),
    /// Into a data folder that no server has open.
    Folder(Box<App>, ProjectId, String),
}

impl Destination {
    async fn open(connection: &Connection, import: &Import) -> anyhow::Result<Self> {
        let project = connection.project().unwrap_or("default");
        let Some(data_dir) = &import.data_dir else {
            let name = format!("{} {project}", connection.url);
            return Ok(Self::Server(Client::new(connection)?, name));
        };
        let name = format!("{} {project}", std::path::absolute(data_dir)?.display());
        let project = ProjectId::new(project)
            .with_context(|| format!("{project:?} cannot be a project's id"))?;
        let app = local::open(data_dir, Arc::new(SystemClock)).await?;
        Ok(Self::Folder(Box::new(app), project, name))
    }

    /// Returns what to call it in a state file.
    fn name(&self) -> &str {
        match self {
            Self::Server(_, name) | Self::Folder(_, _, name) => name,
        }
    }

    /// Sends one body. That it is refused as a whole is an outcome like others; an error is what makes
    /// it useless to go on.
    async fn send(&self, body: &Body) -> anyhow::Result<Result<Answer, Refusal>> {
        if body.places.is_empty() {
            return Ok(Ok(Answer::default()));
        }
        match self {
            Self::Server(client, _) => {
                match client.import(&["v1", "import"], body.bytes.clone()).await {
                    Ok(answer) => Ok(Ok(client.json(answer).await?)),
                    Err(ClientError::Refused {
                        status: StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE,
                        code,
                        message,
                        ..
                    }) => Ok(Err(Refusal::of_request(code, message))),
                    Err(error) => Err(error.into()),
                }
            }
            Self::Folder(app, project, _) => {
                let bytes = body.bytes.clone();
                match local::take(app, project, Source::Import, Wire::Import, bytes).await {
                    // Told as a server would tell it, so that there is one way to read it.
                    Ok(taken) => Ok(Ok(serde_json::from_value(serde_json::to_value(&taken)?)?)),
                    Err(IntakeError::Import(error)) => {
                        let code = error.code().to_owned();
                        Ok(Err(Refusal::of_request(code, error.to_string())))
                    }
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    async fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Server(..) => Ok(()),
            Self::Folder(app, ..) => Ok(app.close().await?),
        }
    }
}

async fn all_files(to: &Destination, import: &Import) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    for path in &import.files {
        let of_file = one_file(to, path, import.resume)
            .await
            .with_context(|| format!("failed to import {}", path.display()))?;
        outcome.add(of_file);
    }
    Ok(outcome)
}

/// Imports one file, from its start or from where an earlier import was ended.
async fn one_file(to: &Destination, path: &Path, resume: bool) -> anyhow::Result<Outcome> {
    let mut state = match resume {
        true => Some(State::open(path, to.name())?),
        false => None,
    };
    let from = state.as_ref().map_or(0, State::taken_bytes);
    let documents = state.as_ref().map_or(0, State::documents);
    let mut outcome = state.as_ref().map(State::outcome).unwrap_or_default();
    let (send, receive) = mpsc::channel(BODIES_AT_ONCE);
    let reading = Reading::open(path, from, documents)?;
    let bar = reading.bar();
    let work = spawn_blocking(move || reading.run(send));
    let bodies = stream::unfold(receive, async |mut receive: mpsc::Receiver<Body>| {
        receive.recv().await.map(|body| (body, receive))
    });
    let answers = bodies.map(async |body| (to.send(&body).await, body));
    let mut answers = std::pin::pin!(answers.buffered(BODIES_AT_ONCE));
    while let Some((answer, body)) = answers.next().await {
        outcome.take(path, answer?, &body);
        // What is behind the last document is read again.
        if let Some(state) = state.as_mut().filter(|_| !body.places.is_empty()) {
            state.taken(&body, &outcome)?;
        }
    }
    work.await.context("the reader of the file died")??;
    bar.finish_and_clear();
    outcome.files += 1;
    if let Some(state) = state {
        state.remove()?;
    }
    Ok(outcome)
}
