//! How much can be taken in, how soon is it acknowledged, and how soon can it be read?
//!
//! The real program under a load of bodies of the Agents SDK and of OpenTelemetry, generator and server on the same machine.
//! Arguments: `--seconds 60` for each rate, `--only rate|otlp|ack|read`.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testkit::bench::{Arguments, note, print_row};
use testkit::drive::{INGEST, Plan, Run, Until, run};
use testkit::figures::p50_p99;
use testkit::http::Client;
use testkit::load::{self, Body, Shape, Target, Timeline};
use testkit::server::Server;

/// The program under test, built with the bench's profile.
const BINARY: &str = env!("CARGO_BIN_EXE_tracegrade");

/// Long enough that the first buffers were flushed before the clock starts.
const WARM_UP: Duration = Duration::from_secs(10);
/// What keeps two cores busy without queueing for long.
const CONNECTIONS: usize = 8;
/// How far the traces of a body are behind those of the one before.
const STEP: Duration = Duration::from_micros(2_500);

fn main() -> Result<()> {
    let Some(arguments) = Arguments::read() else {
        return Ok(());
    };
    let time = arguments.seconds("--seconds", 60);
    if arguments.wants("rate") {
        let json = "Agents SDK JSON";
        rate(
            &format!("{json}, 2.7 KB a span"),
            &load::pool(Shape::SUPPORT, 1, 600),
            time,
        )?;
        rate(
            &format!("{json}, 20 KB a span"),
            &load::pool(Shape::RESEARCH, 2, 200),
            time,
        )?;
    }
    if arguments.wants("otlp") {
        for (name, target) in [("protobuf", Target::OTLP), ("JSON", Target::OTLP_JSON)] {
            let bodies = load::telemetry_pool(Shape::SUPPORT, 1, 600, target);
            rate(&format!("OTLP {name}, 2.7 KB a span"), &bodies, time)?;
        }
    }
    if arguments.wants("ack") {
        acknowledgement(time / 4);
    }
    if arguments.wants("read") {
        read_after_ack(time / 4)?;
    }
    Ok(())
}

/// The sustained rate, while what was taken in is flushed and merged.
fn rate(name: &str, bodies: &[Body], time: Duration) -> Result<()> {
    let stamps = AtomicU32::new(0);
    let server = Server::start(BINARY, &[]);
    let mut plan = Plan {
        bodies,
        connections: CONNECTIONS,
        until: Until::Elapsed(WARM_UP.min(time)),
        timeline: Timeline::from_now(STEP),
        stamps: &stamps,
        patient: true,
        pause: Duration::ZERO,
    };
    run(&server, &plan);
    plan.until = Until::Elapsed(time);
    let merges = server.metric("tracegrade_merges_total", "")?;
    let told = run(&server, &plan);
    tell(&format!("durable ingest, {name}"), &told);
    let merges = server.metric("tracegrade_merges_total", "")? - merges;
    print_row(
        &format!("… {name}: memory, and whether merging keeps up"),
        &format!(
            "peak RSS {:.0} MB, {merges} merges meanwhile, {} level-0 files at the end",
            server.peak_rss_bytes() as f64 / 1e6,
            server.metric("tracegrade_files", "level=\"l0\"")?
        ),
    );
    check_count(&server, &told)
}

fn tell(name: &str, told: &Run) {
    let failed = match told.failed.first() {
        Some(first) => format!("{} errors, the first: {first}", told.failed.len()),
        None => "no error".to_owned(),
    };
    print_row(
        name,
        &format!(
            "{:.0} spans/s, {:.0} MB/s; {failed}, {} asked to come back; {}; ack {}",
            told.spans_per_second(),
            told.megabytes_per_second(),
            told.refused,
            told.cores(),
            p50_p99(&told.acks),
        ),
    );
}

/// A rate at which rows get lost is none.
fn check_count(server: &Server, told: &Run) -> Result<()> {
    let rows = server
        .client()
        .sql("select count(*) as n from spans")
        .context("failed to count the spans")?;
    let there = rows[0]["n"].as_u64().unwrap_or(0);
    ensure!(
        there >= told.spans,
        "{there} spans are there, {} were acknowledged",
        told.spans
    );
    Ok(())
}

/// From the first byte sent to the acknowledgement: with one sender quiet, with many the queue.
fn acknowledgement(time: Duration) {
    let bodies = load::pool(Shape::SUPPORT, 3, 200);
    for connections in [1, 16, 128] {
        let stamps = AtomicU32::new(0);
        let server = Server::start(BINARY, &[]);
        let mut plan = Plan {
            bodies: &bodies,
            connections,
            until: Until::Elapsed(Duration::from_secs(2)),
            timeline: Timeline::from_now(STEP),
            stamps: &stamps,
            patient: true,
            pause: Duration::ZERO,
        };
        run(&server, &plan);
        plan.until = Until::Elapsed(time);
        let told = run(&server, &plan);
        tell(
            &format!("… 2.7 KB a span, {connections} connections without a pause"),
            &told,
        );
    }
    paced(&bodies, time);
}

/// One sender that leaves the server idle most of the time.
fn paced(bodies: &[Body], time: Duration) {
    let server = Server::start(BINARY, &[]);
    let (mut client, mut bytes, mut acks) = (server.client(), Vec::new(), Vec::new());
    let timeline = Timeline::from_now(STEP);
    let started = Instant::now();
    while started.elapsed() < time {
        let stamp = acks.len() as u32;
        bodies[stamp as usize % bodies.len()].fill(stamp, timeline.at(stamp), &mut bytes);
        let sent = Instant::now();
        let answer = client.post(INGEST, &bytes).expect("the server answers");
        assert_eq!(answer.status, 200);
        acks.push(sent.elapsed());
        std::thread::sleep(Duration::from_millis(20));
    }
    print_row(
        "… 2.7 KB a span, 1 connection, 50 bodies a second at most (quiet)",
        &format!("ack {} ({} bodies)", p50_p99(&acks), acks.len()),
    );
}

/// From the acknowledgement until list, get and SQL show the trace, beside a steady load.
fn read_after_ack(time: Duration) -> Result<()> {
    let bodies = load::pool(Shape::SUPPORT, 4, 200);
    let (stamps, stop) = (AtomicU32::new(0), AtomicBool::new(false));
    let server = Server::start(BINARY, &[]);
    let timeline = Timeline::from_now(STEP);
    let own = load::pool(Shape::SUPPORT, 5, 50);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut client, mut bytes) = (server.client(), Vec::new());
            while !stop.load(Ordering::Relaxed) {
                let stamp = stamps.fetch_add(1, Ordering::Relaxed);
                bodies[stamp as usize % bodies.len()].fill(stamp, timeline.at(stamp), &mut bytes);
                client.post(INGEST, &bytes).expect("the server answers");
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let told = visible(&mut server.client(), &own, time);
        stop.store(true, Ordering::Relaxed);
        told
    })
}

fn visible(client: &mut Client, bodies: &[Body], time: Duration) -> Result<()> {
    let (mut bytes, started) = (Vec::new(), Instant::now());
    let mut times: [Vec<Duration>; 3] = Default::default();
    let mut stamp = 0x8000_0000_u32;
    while started.elapsed() < time {
        stamp += 1;
        let body = &bodies[stamp as usize % bodies.len()];
        // Ahead of the load, so that the newest in the list is ours.
        let timeline = Timeline::from_now(STEP);
        body.fill(stamp, timeline.start_micros + 3_600_000_000, &mut bytes);
        client.post(INGEST, &bytes)?.ok()?;
        let (id, spans) = (body.traces[0].id(stamp), body.traces[0].spans);
        let acknowledged = Instant::now();
        let list = client.get("/v1/traces?limit=20")?.ok()?;
        let listed = String::from_utf8_lossy(&list.body).contains(&id);
        times[0].push(acknowledged.elapsed());
        let at = Instant::now();
        let got = client.get(&format!("/v1/traces/{id}"))?.ok()?.json()?;
        times[1].push(at.elapsed());
        let at = Instant::now();
        let query = format!("select count(*) as n from spans where trace_id = '{id}'");
        let rows = client.sql(&query)?;
        times[2].push(at.elapsed());
        ensure!(listed, "{id} is acknowledged and not in the list");
        ensure!(got["id"] == id.as_str(), "{id} is acknowledged, not {got}");
        ensure!(
            rows[0]["n"] == spans,
            "{id} has {spans} spans, not {rows:?}"
        );
    }
    for (way, times) in ["list", "get", "SQL"].iter().zip(&times) {
        print_row(
            &format!("from a 2xx to visible, {way}, beside 100 bodies a second"),
            &format!(
                "{}, at the first look each time ({})",
                p50_p99(times),
                times.len()
            ),
        );
    }
    note("visible at the first look: the time is that of the read");
    Ok(())
}
