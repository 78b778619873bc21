//! Waiting for a run, with a bar. Whoever stops waiting stops nothing else.
//!
//! The server tells how far a run is whenever that changes. Where its stream does not come through, or
//! breaks off, the run is looked at now and then, and whoever waits is told why.

use std::time::Duration;

use indicatif::ProgressBar;

use crate::client::ClientError;
use crate::output;
use crate::text;

use super::super::Ask;
use super::events::Events;
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
        let why = match listen(ask, run, &bar).await? {
            Heard::Rests(run) => return anyhow::Ok(*run),
            Heard::BrokeOff(why) => why,
        };
        bar.suspend(|| {
            ask.note(format!(
                "the server's events broke off ({}): looking at the run now and then",
                text::safe_text(&why)
            ));
        });
        Ok(look(ask, run, &bar).await?)
    };
    let followed = tokio::select! {
        seen = watching => Followed::Rests(Box::new(seen?)),
        _ = tokio::signal::ctrl_c() => Followed::Left,
    };
    bar.finish_and_clear();
    if matches!(followed, Followed::Left) {
        let run = text::safe_text(run);
        ask.note(format!(
            "the run goes on: `tracegrade runs watch {run}` follows it, `tracegrade runs cancel {run}` ends it"
        ));
    }
    Ok(followed)
}

/// What came of listening.
enum Heard {
    Rests(Box<Run>),
    /// Why nothing more is heard.
    BrokeOff(String),
}

/// Listens to the server's events until the run rests.
async fn listen(ask: &Ask, run: &str, bar: &ProgressBar) -> anyhow::Result<Heard> {
    let mut events = match ask.client.get(&path(run, &["events"]), &[]).await {
        Ok(answer) => Events::of(answer),
        // The server's own words: there is no such run, or the key may not read.
        Err(error @ ClientError::Refused { .. }) if error.is_ours() => return Err(error.into()),
        Err(error) => return Ok(Heard::BrokeOff(error.to_string())),
    };
    loop {
        match events.next::<Run>().await {
            Ok(Some(seen)) => {
                show(bar, &seen);
                if seen.rests() {
                    return Ok(Heard::Rests(Box::new(seen)));
                }
            }
            Ok(None) => return Ok(Heard::BrokeOff("the server ended them".to_owned())),
            Err(error) => return Ok(Heard::BrokeOff(format!("{error:#}"))),
        }
    }
}

/// Looks at the run until it rests.
async fn look(ask: &Ask, run: &str, bar: &ProgressBar) -> Result<Run, ClientError> {
    let (mut pause, mut failures) = (PAUSE_FIRST, 0);
    loop {
        match ask.client.get_json::<Run>(&path(run, &[]), &[]).await {
            Ok(seen) => {
                failures = 0;
                show(bar, &seen);
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
}

fn show(bar: &ProgressBar, seen: &Run) {
    bar.set_length(seen.counts.items);
    bar.set_position(seen.counts.done);
    bar.set_message(match seen.cost.spent_usd > 0.0 {
        true => text::cost(seen.cost.spent_usd),
        false => String::new(),
    });
}
