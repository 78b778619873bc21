//! Hours of load: does memory stay level, is too much refused in the right way, and is everything
//! there after every kill?
//!
//! Arguments: `--steady-seconds 1800`, `--overload-seconds 600`, `--forward-seconds 600`, `--kills 200`,
//! `--only steady|overload|forward|kills`. The store's random schedules are run by `cargo xtask soak`.

#[path = "kill_loop/mod.rs"]
mod kill_loop;

use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use testkit::bench::{Arguments, note, print_row};
use testkit::drive::{Plan, Until, run};
use testkit::load::{self, Body, Shape, Timeline};
use testkit::server::Server;
use testkit::sink::{Manner, Sink};

/// The program under test, built with the bench's profile.
const BINARY: &str = env!("CARGO_BIN_EXE_tracegrade");
/// The budget of the server under any load.
const RSS_BYTES_MAX: u64 = 1 << 30;
const SLICES: u32 = 60;
/// Connections at which the accepted rate is measured, and how many times more are then opened.
const CONNECTIONS: usize = 8;
const TIMES_MORE: usize = 10;
/// One message of such a span has ten megabytes, and it has two.
const GIANT: Shape = Shape::agent(1, 3_000_000);
/// How far a place that things are passed on to may be behind.
const LAG_BYTES_MAX: u64 = 128 << 20;
const LAG_SLACK_BYTES: f64 = 80e6;

fn main() -> Result<()> {
    let Some(arguments) = Arguments::read() else {
        return Ok(());
    };
    if arguments.wants("steady") {
        steady(arguments.seconds("--steady-seconds", 1_800))?;
    }
    if arguments.wants("overload") {
        overload(arguments.seconds("--overload-seconds", 600))?;
    }
    if arguments.wants("forward") {
        forward(arguments.seconds("--forward-seconds", 600))?;
    }
    if arguments.wants("kills") {
        kills(arguments.number("--kills", 200) as usize);
    }
    Ok(())
}

/// 5,000 spans a second at most: what matters is that nothing grows.
fn steady(time: Duration) -> Result<()> {
    let bodies = load::pool(Shape::SUPPORT, 21, 400);
    let stamps = AtomicU32::new(0);
    let server = Server::start(BINARY, &[]);
    let plan = Plan {
        bodies: &bodies,
        connections: 4,
        until: Until::Elapsed(time / SLICES),
        timeline: Timeline::from_now(Duration::from_millis(20)),
        stamps: &stamps,
        patient: true,
        pause: Duration::from_millis(80),
    };
    let (mut rss, mut l0, mut spans, mut refused) = (Vec::new(), Vec::new(), 0, 0);
    for slice in 0..SLICES {
        let told = run(&server, &plan);
        ensure!(told.failed.is_empty(), "{:?}", told.failed.first());
        spans += told.spans;
        refused += told.refused;
        rss.push(server.rss_bytes() / 1_000_000);
        l0.push(server.metric("tracegrade_files", "level=\"l0\"")? as u64);
        note(&format!(
            "slice {slice}: {:.0} spans/s, RSS {} MB, {} level-0 files",
            told.spans_per_second(),
            rss[rss.len() - 1],
            l0[l0.len() - 1]
        ));
    }
    let (there, distinct) = kill_loop::count_spans(&mut server.client())?;
    ensure!(
        there >= spans && there == distinct,
        "{spans} spans were acknowledged, {there} are there, {distinct} different ones"
    );
    let half = rss.len() / 2;
    print_row(
        &format!("steady load for {} s", time.as_secs()),
        &format!(
            "{:.0} spans/s, {refused} asked to come back; RSS: median of the first half {} MB, of the second {} MB, most {} MB; level-0 files: most {}",
            spans as f64 / time.as_secs_f64(),
            median(&rss[..half]),
            median(&rss[half..]),
            rss.iter().max().unwrap_or(&0),
            l0.iter().max().unwrap_or(&0)
        ),
    );
    Ok(())
}

/// Everything goes on to a place that takes it and to one that takes a connection and never answers: the
/// second has its bounded lag, and neither the memory nor the first place knows of it.
fn forward(time: Duration) -> Result<()> {
    let (good, stalling) = (Sink::start(Manner::Take), Sink::start(Manner::Stall));
    let dir = tempfile::tempdir()?;
    let config = dir.path().join("tracegrade.toml");
    let target = |name: &str, sink: &Sink| {
        let url = sink.url();
        format!(
            "[[forward]]\nname = \"{name}\"\nkind = \"webhook\"\nurl = \"{url}\"\nlag_bytes_max = \"{LAG_BYTES_MAX}\"\n"
        )
    };
    std::fs::write(
        &config,
        target("good", &good) + &target("stalling", &stalling),
    )?;
    let flags = ["--config", &config.display().to_string()];
    let server = Server::start_in(dir, BINARY, &flags);
    let bodies = load::pool(Shape::SUPPORT, 24, 400);
    let stamps = AtomicU32::new(0);
    let plan = Plan {
        bodies: &bodies,
        connections: 4,
        until: Until::Elapsed(time / SLICES),
        timeline: Timeline::from_now(Duration::from_millis(20)),
        stamps: &stamps,
        patient: true,
        pause: Duration::from_millis(80),
    };
    let (mut rss, mut spans, mut lag) = (Vec::new(), 0, 0.0_f64);
    for _ in 0..SLICES {
        let told = run(&server, &plan);
        ensure!(told.failed.is_empty(), "{:?}", told.failed.first());
        spans += told.spans;
        rss.push(server.rss_bytes() / 1_000_000);
        let now = server.metric("tracegrade_forward_lag_bytes", "stalling")?;
        lag = lag.max(now);
        note(&format!(
            "{:.0} spans/s, RSS {} MB, {:.0} MB behind, {} spans came",
            told.spans_per_second(),
            rss[rss.len() - 1],
            now / 1e6,
            good.distinct()
        ));
    }
    let begun = Instant::now();
    while (good.distinct() as u64) < spans && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let half = rss.len() / 2;
    print_row(
        &format!(
            "forwards, one of them to a place that stalls, for {} s",
            time.as_secs()
        ),
        &format!(
            "{:.0} spans/s, {} of {spans} came where they are taken; the other at most {:.0} MB behind; RSS: median of the first half {} MB, of the second {} MB, most {} MB",
            spans as f64 / time.as_secs_f64(),
            good.distinct(),
            lag / 1e6,
            median(&rss[..half]),
            median(&rss[half..]),
            rss.iter().max().unwrap_or(&0)
        ),
    );
    ensure!(good.distinct() as u64 == spans, "spans were not passed on");
    // A segment of the log is read to its end before any of it is given up.
    let most = LAG_BYTES_MAX as f64 + LAG_SLACK_BYTES;
    ensure!(lag <= most, "{lag} bytes behind, {most} at most");
    Ok(())
}

fn median(values: &[u64]) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

/// Ten times the connections that already use the machine up, none waiting when told to, and spans of
/// twenty megabytes among the rest.
fn overload(time: Duration) -> Result<()> {
    let mut bodies = load::pool(Shape::SUPPORT, 22, 196);
    let stamps = AtomicU32::new(0);
    let server = Server::start(BINARY, &[]);
    let timeline = Timeline::from_now(Duration::from_millis(2));
    let told = run(
        &server,
        &plan(&bodies, CONNECTIONS, time / 20, timeline, &stamps),
    );
    let accepted = told.spans_per_second();
    let before = refusals(&server)?;
    ensure!(before == told.refused, "{before} refusals in the books");
    for place in [20, 70, 120, 170] {
        bodies.insert(place, load::trace(GIANT, place as u64).remove(0));
    }
    let begun = Instant::now();
    let plan = plan(&bodies, CONNECTIONS * TIMES_MORE, time, timeline, &stamps);
    let told = run(&server, &plan);
    let in_books = refusals(&server)? - before;
    let peak = server.peak_rss_bytes();
    print_row(
        &format!(
            "{} connections without a pause and spans of 20 MB for {} s",
            CONNECTIONS * TIMES_MORE,
            begun.elapsed().as_secs()
        ),
        &format!(
            "{:.0} spans/s accepted (before: {accepted:.0}); peak RSS {:.0} MB; {} refused with 429, {} of them without Retry-After, {in_books} in the books; {} other failures",
            told.spans_per_second(),
            peak as f64 / 1e6,
            told.refused,
            told.refused_without_time,
            told.failed.len()
        ),
    );
    for failure in told.failed.iter().take(8) {
        note(failure);
    }
    ensure!(told.failed.is_empty(), "a refusal that is no 429");
    ensure!(told.refused_without_time == 0, "a 429 without Retry-After");
    ensure!(in_books == told.refused, "the books are wrong");
    ensure!(peak <= RSS_BYTES_MAX, "RSS is over the budget");
    Ok(())
}

fn plan<'a>(
    bodies: &'a [Body],
    connections: usize,
    time: Duration,
    timeline: Timeline,
    stamps: &'a AtomicU32,
) -> Plan<'a> {
    Plan {
        bodies,
        connections,
        until: Until::Elapsed(time),
        timeline,
        stamps,
        patient: false,
        pause: Duration::ZERO,
    }
}

/// Returns how many requests the server says it turned away.
fn refusals(server: &Server) -> Result<u64> {
    let health = server.client().get("/v1/health/ingest")?.ok()?.json()?;
    let accounts = health["data"].as_array().into_iter().flatten();
    let reasons = accounts.filter_map(|account| account["refused"].as_object());
    Ok(reasons
        .flat_map(serde_json::Map::values)
        .filter_map(serde_json::Value::as_u64)
        .sum())
}

fn kills(kills: usize) {
    let begun = Instant::now();
    let told = kill_loop::run(&kill_loop::Plan {
        binary: BINARY,
        kills,
        gentle_every: 5,
        check_every: 20,
        between: Duration::from_millis(100)..Duration::from_secs(4),
        connections: 4,
        seed: 23,
    });
    print_row(
        &format!("{kills} times kill -9 under load"),
        &format!(
            "{} bodies acknowledged at once and {} after a kill or a 429, {} spans there, each once ({} s)",
            told.acknowledged,
            told.doubted,
            told.spans,
            begun.elapsed().as_secs()
        ),
    );
}
