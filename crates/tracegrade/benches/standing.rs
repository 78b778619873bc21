//! What does it cost to have, to start, and to look at one very long trace?
//!
//! Arguments: `--wal-megabytes 800` of log to replay, `--store-spans 1_000_000` in the store that is
//! started, `--trace-spans 100_000`, `--only idle|start|replay|trace`.

use std::sync::atomic::AtomicU32;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use testkit::bench::{Arguments, print_row};
use testkit::drive::{INGEST, Plan, Until, run};
use testkit::figures::p50_p99;
use testkit::load::{self, Shape, Timeline};
use testkit::server::{Server, bytes_under};

/// The program under test, built with the bench's profile.
const BINARY: &str = env!("CARGO_BIN_EXE_tracegrade");

const REPETITIONS: usize = 5;

fn main() -> Result<()> {
    let Some(arguments) = Arguments::read() else {
        return Ok(());
    };
    if arguments.wants("idle") {
        idle();
        let bytes = std::fs::metadata(BINARY)?.len();
        print_row("binary", &format!("{:.1} MB", bytes as f64 / 1e6));
    }
    if arguments.wants("start") {
        start(arguments.number("--store-spans", 1_000_000));
    }
    if arguments.wants("replay") {
        replay(arguments.number("--wal-megabytes", 800))?;
    }
    if arguments.wants("trace") {
        long_trace(arguments.number("--trace-spans", 100_000) as usize)?;
    }
    Ok(())
}

fn idle() {
    let server = Server::start(BINARY, &[]);
    sleep(Duration::from_secs(5));
    print_row(
        "memory (RSS), idle, empty store, 5 s after the start",
        &format!(
            "{:.0} MB (start took {:.0} ms)",
            server.rss_bytes() as f64 / 1e6,
            server.start_took().as_secs_f64() * 1e3
        ),
    );
}

/// Sends about this many spans of 2.7 KB.
fn fill(server: &Server, spans: u64) -> u64 {
    let bodies = load::pool(Shape::SUPPORT, 7, 200);
    let stamps = AtomicU32::new(0);
    let told = run(
        server,
        &Plan {
            bodies: &bodies,
            connections: 8,
            until: Until::Stamp((spans / bodies[0].spans as u64) as u32),
            timeline: Timeline::from_now(Duration::from_micros(2_500)),
            stamps: &stamps,
            patient: true,
            pause: Duration::ZERO,
        },
    );
    assert!(told.failed.is_empty(), "{:?}", told.failed.first());
    told.spans
}

fn start(spans: u64) {
    let mut server = Server::start(BINARY, &[]);
    let spans = fill(&server, spans);
    let stopping = server.stop();
    let disk = server.disk_bytes();
    let mut times = Vec::new();
    for _ in 0..REPETITIONS {
        times.push(server.restart());
        server.stop();
    }
    server.restart();
    sleep(Duration::from_secs(5));
    print_row(
        "start on an existing store after a clean stop",
        &format!(
            "{}, the first {:.0} ms ({spans} spans, {:.0} MB on disk, stopped in {:.1} s; RSS 5 s later {:.0} MB)",
            p50_p99(&times),
            times[0].as_secs_f64() * 1e3,
            disk as f64 / 1e6,
            stopping.as_secs_f64(),
            server.rss_bytes() as f64 / 1e6
        ),
    );
}

/// Kills a server whose log is long because nothing was flushed, and times the next start.
fn replay(megabytes: u64) -> Result<()> {
    // Limits beyond what is sent: all of it stays in the log.
    let flags = [
        "--flush-age",
        "24h",
        "--buffer-bytes",
        "3GiB",
        "--memory-bytes-max",
        "8GiB",
        "--wal-bytes-max",
        "8GiB",
    ];
    let mut server = Server::start(BINARY, &flags);
    let mut sent = 0;
    let bodies = load::pool(Shape::SUPPORT, 8, 200);
    let (mut client, mut bytes, mut stamp) = (server.client(), Vec::new(), 0_u32);
    let timeline = Timeline::from_now(Duration::from_micros(2_500));
    let wal = server.data_dir().join("wal");
    while stamp % 64 != 0 || bytes_under(&wal) < megabytes * 1_000_000 {
        let body = &bodies[stamp as usize % bodies.len()];
        body.fill(stamp, timeline.at(stamp), &mut bytes);
        client.post(INGEST, &bytes)?.ok()?;
        sent += body.spans;
        stamp += 1;
    }
    let log = bytes_under(&wal);
    server.kill();
    let took = server.restart();
    let rows = server.client().sql("select count(*) as n from spans")?;
    ensure!(rows[0]["n"] == sent, "{sent} spans were sent, {rows:?}");
    print_row(
        "replay of the write-ahead log after kill -9",
        &format!(
            "{:.0} MB/s of log, {:.0} spans/s ({:.0} MB, {sent} spans in {:.1} s from the start until it listens; all there)",
            log as f64 / 1e6 / took.as_secs_f64(),
            sent as f64 / took.as_secs_f64(),
            log as f64 / 1e6,
            took.as_secs_f64()
        ),
    );
    Ok(())
}

fn long_trace(spans: usize) -> Result<()> {
    let mut server = Server::start(BINARY, &[]);
    let bodies = load::tree(9, spans);
    let (mut client, mut bytes) = (server.client(), Vec::new());
    let timeline = Timeline::from_now(Duration::ZERO);
    for body in &bodies {
        body.fill(1, timeline.at(1), &mut bytes);
        client.post(INGEST, &bytes)?.ok()?;
    }
    let id = bodies[0].traces[0].id(1);
    skeleton(&server, &id, "in memory")?;
    server.stop();
    server.restart();
    skeleton(&server, &id, "on disk")
}

fn skeleton(server: &Server, id: &str, place: &str) -> Result<()> {
    let (mut client, mut times) = (server.client(), Vec::new());
    let path = format!("/v1/traces/{id}/skeleton");
    let mut bytes = 0;
    let first = Instant::now();
    client.get(&path)?.ok()?;
    let first = first.elapsed();
    for _ in 0..REPETITIONS {
        let sent = Instant::now();
        bytes = client.get(&path)?.ok()?.body.len();
        times.push(sent.elapsed());
    }
    let rows = client.sql("select count(*) as n from spans")?;
    print_row(
        &format!("skeleton of a long trace, {place}, whole answer over loopback"),
        &format!(
            "{}, the first {:.0} ms ({} spans, {:.1} MB)",
            p50_p99(&times),
            first.as_secs_f64() * 1e3,
            rows[0]["n"],
            bytes as f64 / 1e6
        ),
    );
    Ok(())
}
