//! Grading on the command line: graders, runs over traces, people's verdicts, gates.
//!
//! Everything is asked of the server's API; nothing is computed here. What a judge or a trace says is other
//! people's words and goes through [`crate::text::safe_text`] like all of them.

mod asked;
mod by_key;
mod calibrate;
mod compare;
mod events;
mod failures;
mod figure;
mod follow;
pub(crate) mod gate;
mod grade;
mod graders;
mod people;
mod queue;
mod results;
mod run;
mod runs;
mod settings;
mod watches;

use std::process::ExitCode;

use crate::cli::Command;

use super::Ask;

/// Runs a command about grading, and returns its exit code.
pub(super) async fn run(ask: &Ask, command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Grade(args) => return grade::run(ask, args).await,
        Command::Runs(runs) => return runs::run(ask, runs).await,
        Command::Gate(args) => return Ok(gate::run(ask, args).await),
        Command::Graders(graders) => graders::run(ask, graders).await?,
        Command::Annotate(args) if args.queue.queue => queue::run(ask, args).await?,
        Command::Annotate(args) => people::annotate(ask, args).await?,
        Command::Annotations(annotations) => people::run(ask, annotations).await?,
        Command::Calibrate(args) => calibrate::run(ask, args).await?,
        Command::Failures(args) => failures::run(ask, args).await?,
        Command::Watches(watches) => watches::run(ask, watches).await?,
        Command::Settings(settings) => settings::run(ask, settings).await?,
        _ => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the parameters of a query that were given.
fn given<const N: usize>(fields: [(&str, Option<String>); N]) -> Vec<(String, String)> {
    let given = fields.into_iter();
    given
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}
