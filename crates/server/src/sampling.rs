//! Which of the traces that have settled are kept after all?
//!
//! Whether a trace failed, was slow or expensive is known only in the end, and an acknowledged span must
//! not wait for it in memory. So where such a rule is set everything is stored, and this task deletes
//! what has settled, is not in the sample and is kept by no rule; the store sees to it that the bytes
//! go. It looks as seldom as retention does, for each look reads a column of every trace file.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ingest::process::SAMPLED_OUT;
use model::{ProjectId, Source, TraceId, TraceRow};
use store::StoreError;

use crate::app::ServeError;
use crate::state::AppState;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(600);

/// Looks now and then until the server stops.
pub(crate) async fn run(
    state: AppState,
    stopped: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let mut stopped = std::pin::pin!(stopped);
    if state.rules.sampling().tail().is_empty() {
        return Ok(());
    }
    loop {
        tokio::select! {
            () = &mut stopped => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
        if let Err(error) = sweep(&state).await {
            tracing::warn!(%error, "failed to let go of traces outside the sample; the next look tries again");
        }
    }
}

/// Lets go of what has settled and nothing keeps. Returns how many traces that were.
pub(crate) async fn sweep(state: &AppState) -> Result<usize, StoreError> {
    let mut count = 0;
    for (project, settings) in state.projects.all() {
        let rate = state.switches(&settings).sample_rate;
        if rate < 1.0 {
            count += sweep_project(state, &project, rate).await?;
        }
    }
    Ok(count)
}

async fn sweep_project(
    state: &AppState,
    project: &ProjectId,
    rate: f64,
) -> Result<usize, StoreError> {
    let idle_micros = state.config.store.trace_idle_ms.saturating_mul(1_000);
    let before = state.clock.now().plus_micros(-idle_micros);
    let rules = Arc::clone(&state.rules);
    let take = move |row: &TraceRow| {
        let sampling = rules.sampling();
        let is_kept = sampling.holds(&row.item.trace_id, rate) || sampling.tail().keep(row);
        (!is_kept).then_some((row.item.source, row.span_count.max(0).unsigned_abs()))
    };
    let let_go = state.store.settled_traces(project, before, take).await?;
    let (ids, counts): (Vec<TraceId>, Vec<_>) = let_go.into_iter().unzip();
    state.store.let_go(project, &ids).await?;
    let mut spans: BTreeMap<Source, u64> = BTreeMap::new();
    for (source, count) in counts {
        *spans.entry(source).or_default() += count;
    }
    for (source, spans) in spans {
        state.losses.ignored(project, source, SAMPLED_OUT, spans);
    }
    Ok(ids.len())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use model::{FixedClock, Time};
    use serde_json::json;
    use store::disk::RealDisk;

    use super::*;
    use crate::intake::Wire;
    use crate::{App, Config};

    /// One trace of one tool call that took so long, with or without an error.
    fn body(trace: &str, seconds: u32, failed: bool) -> Bytes {
        let error = failed.then(|| json!({"message": "Error running tool", "data": null}));
        let body = json!({"data": [
            {"object": "trace", "id": trace, "workflow_name": "w"},
            {"object": "trace.span", "id": "s", "trace_id": trace, "started_at": "2026-01-02T03:00:00Z",
             "ended_at": format!("2026-01-02T03:00:{seconds:02}Z"), "error": error,
             "span_data": {"type": "function", "name": "f", "input": "{}", "output": "1"}},
        ]});
        Bytes::from(body.to_string())
    }

    #[tokio::test]
    async fn what_no_rule_keeps_goes_once_it_has_settled() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.store.data_dir = dir.path().join("data");
        config.store.free_bytes_min = 0;
        config.store.background = false;
        config.processing.switches.sample_rate = 0.0;
        config.processing.rules.tail.errors = true;
        config.processing.rules.tail.slower_than_ms = Some(30_000.0);
        let clock = Arc::new(FixedClock::at(
            Time::parse_rfc3339("2026-01-02T04:00:00Z").unwrap(),
        ));
        let app = App::build(config, Arc::<FixedClock>::clone(&clock), Arc::new(RealDisk))
            .await
            .unwrap();
        let (state, project) = (Arc::clone(app.state()), ProjectId::new("default").unwrap());
        let send = |body: Bytes| app.ingest(&project, Source::Openai, Wire::AgentsSdk, body);
        for (trace, seconds, failed) in [
            ("quick", 1, false),
            ("slow", 40, false),
            ("failed", 1, true),
        ] {
            assert_eq!(
                send(body(trace, seconds, failed)).await.unwrap().accepted,
                2
            );
        }
        let is_there = |trace: &str| {
            let snapshot = state.store.snapshot(&project);
            snapshot
                .trace(&TraceId::new(trace).unwrap())
                .unwrap()
                .is_some()
        };
        assert_eq!(sweep(&state).await.unwrap(), 0, "nothing has settled");
        state.store.flush().await.unwrap();
        assert_eq!(
            sweep(&state).await.unwrap(),
            0,
            "nothing has been idle for long enough"
        );
        clock.advance_micros(3_600_000_000);
        assert_eq!(sweep(&state).await.unwrap(), 1);
        assert_eq!(
            ["quick", "slow", "failed"].map(is_there),
            [false, true, true]
        );
        assert_eq!(sweep(&state).await.unwrap(), 0);

        // What comes late for it is accepted, not kept and counted.
        let late = send(body("quick", 1, false)).await.unwrap();
        assert_eq!((late.accepted, late.rejected_count), (2, 0));
        assert!(!is_there("quick"));
        let books = serde_json::to_value(state.losses.entries(None)).unwrap();
        assert_eq!(books[0]["ignored"], json!({"sampled_out": 3}));
        app.close().await.unwrap();
    }
}
