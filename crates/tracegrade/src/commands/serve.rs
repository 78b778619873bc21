//! `serve`: the server, until it is told to end.

use std::sync::Arc;

use anyhow::Context;
use model::SystemClock;
use server::{App, Config, Listeners, Running, Signals};

use crate::cli::Serve;
use crate::output;

use super::local;

/// Runs the server.
pub(super) async fn run(serve: &Serve) -> anyhow::Result<()> {
    let config = Config::load(&serve.settings.flags)?;
    if serve.print_config {
        return Ok(output::block(&config.to_toml())?);
    }
    server::start_log(&config).context("failed to start the log")?;
    // Bound first: a port that is taken is told before a large store is opened.
    let listeners = server::bind(&config).await?;
    let app = local::build(config, Arc::new(SystemClock)).await?;
    until_told(app, listeners).await
}

/// Serves, greets, and ends when it is told to.
async fn until_told(app: App, listeners: Listeners) -> anyhow::Result<()> {
    let signals = Signals::new()?;
    let (running, greeting) = spawn(app, listeners)?;
    for line in &greeting {
        output::line(line)?;
    }
    Ok(server::run(running, signals).await?)
}

/// Begins to answer; returns what to greet with.
pub(super) fn spawn(app: App, listeners: Listeners) -> anyhow::Result<(Running, [String; 5])> {
    let addresses = listeners
        .addresses()
        .context("failed to read the sockets' addresses")?;
    let greeting = app.greeting(&addresses);
    let running = app.spawn(listeners).context("failed to listen")?;
    let noted = running
        .store()
        .set_address(&format!("http://{}", addresses.http));
    noted.context("failed to note the address in the data folder")?;
    Ok((running, greeting))
}
