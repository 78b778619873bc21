//! Waiting for a run, with a bar. Whoever stops waiting stops nothing else.

use std::time::Duration;

use crate::client::ClientError;
use crate::output;
use crate::text;

use super::super::Ask;
use super::run::Run;

/// The first pause between two looks; each is half as long again as the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(60);

/// The longest pause between two looks.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// So many looks in a row may fail because nobody answers: a server may start anew meanwhile.
const FAILURES_MAX: u32 = 30;

/// How waiting ended.
#[derive(Debug)]
pub(super) enum Followed {
    /// The run rests: it is over, or was paused.
    Rests(Box<Run>),
    /// The person at the terminal went away.
    Left,
}

/// Returns the path of a run, and of what is below it.
pub(super) fn path<'a>(run: &'a str, below: &[&'a str]) -> Vec<&'a str> {
    let mut path = vec!["v1", "evals", "traces", "grade", run];
    path.extend(below);
    path
}

/// Waits until a run rests, or Ctrl-C.
pub(super) async fn follow(ask: &Ask, run: &str) -> anyhow::Result<Followed> {
    let bar = output::traces_bar();
    let watching = async {
        let (mut pause, mut failures) = (PAUSE_FIRST, 0);
        loop {
            match ask.client.get_json::<Run>(&path(run, &[]), &[]).await {
                Ok(seen) => {
                    failures = 0;
                    bar.set_length(seen.counts.items);
                    bar.set_position(seen.counts.done);
                    bar.set_message(match seen.cost.spent_usd > 0.0 {
                        true => text::cost(seen.cost.spent_usd),
                        false => String::new(),
                    });
                    if seen.rests() {
                        return Ok(seen);
                    }
                }
                Err(ClientError::Unreachable { .. }) if failures < FAILURES_MAX => failures += 1,
                Err(error) => return Err(error),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(PAUSE_MAX);
        }
    };
    let followed = tokio::select! {
        seen = watching => Followed::Rests(Box::new(seen?)),
        _ = tokio::signal::ctrl_c() => Followed::Left,
    };
    bar.finish_and_clear();
    if matches!(followed, Followed::Left) {
        let run = text::safe_text(run);
        output::note(format!(
            "the run goes on: `tracegrade runs watch {run}` follows it, `tracegrade runs cancel {run}` ends it"
        ));
    }
    Ok(followed)
}
