//! A store with much in it, whose flushes and merges are over.

use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use testkit::bench::{note, print_row};
use testkit::drive::{Plan, Until, run};
use testkit::load::{Body, Timeline};
use testkit::server::Server;

const PATIENCE: Duration = Duration::from_secs(900);

/// Sends so many bodies and prints how fast they were taken.
pub(crate) fn fill(
    server: &Server,
    bodies: &[Body],
    sendings: u32,
    timeline: Timeline,
) -> Result<u64> {
    let stamps = AtomicU32::new(0);
    let plan = Plan {
        bodies,
        connections: 8,
        until: Until::Stamp(sendings),
        timeline,
        stamps: &stamps,
        patient: true,
        pause: Duration::ZERO,
    };
    let told = run(server, &plan);
    ensure!(told.failed.is_empty(), "{:?}", told.failed.first());
    print_row(
        "durable ingest, small spans",
        &format!(
            "{:.0} spans/s ({} spans of {:.1} KB), {}, {} asked to come back, peak RSS {:.0} MB",
            told.spans_per_second(),
            told.spans,
            told.bytes as f64 / 1e3 / told.spans as f64,
            told.cores(),
            told.refused,
            server.peak_rss_bytes() as f64 / 1e6
        ),
    );
    Ok(told.spans)
}

/// Waits until the store has flushed and no merge was made for ten seconds.
pub(crate) fn settle(server: &Server) -> Result<()> {
    let begun = Instant::now();
    let (mut merges, mut since) = (-1.0, Instant::now());
    while begun.elapsed() < PATIENCE {
        let now = server.metric("tracegrade_merges_total", "")?;
        if now > merges {
            (merges, since) = (now, Instant::now());
        }
        let is_flushed = server.metric("tracegrade_live_bytes", "")? == 0.0;
        if is_flushed && since.elapsed() > Duration::from_secs(10) {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    note(&format!(
        "{merges} merges; files: {} of level 0, {} hour, {} day; settled {:.0} s after the last body",
        server.metric("tracegrade_files", "level=\"l0\"")?,
        server.metric("tracegrade_files", "level=\"hour\"")?,
        server.metric("tracegrade_files", "level=\"day\"")?,
        begun.elapsed().as_secs_f64()
    ));
    Ok(())
}
