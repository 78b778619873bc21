//! How much smaller is it on disk than it was on the wire, and does it come back byte for byte?
//!
//! Traces of one length at a time, no text twice but where an agent itself repeats it, so what is
//! saved is what histories repeat and what compression honestly saves. Flushed and merged before it
//! is weighed. Everything in the data folder counts but the log: its last segments, of 64 MiB each, are
//! there whatever the store holds, and are told beside. Arguments: `--megabytes 200` of JSON for each.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::value::RawValue;
use testkit::bench::{Arguments, note, print_row};
use testkit::drive::INGEST;
use testkit::http::Client;
use testkit::load::{self, Body, Shape, Timeline};
use testkit::server::{Server, bytes_under};

/// The program under test, built with the bench's profile.
const BINARY: &str = env!("CARGO_BIN_EXE_tracegrade");

/// Many small flushes, so that merging has work and an end.
const FLAGS: [&str; 2] = ["--flush-age", "500ms"];
/// The settings as they are, for the last stop.
const PLAIN: [&str; 0] = [];
/// After this long without a merge the store is taken to be tidy.
const QUIET: Duration = Duration::from_secs(8);
const PATIENCE: Duration = Duration::from_secs(180);

fn main() -> Result<()> {
    let Some(arguments) = Arguments::read() else {
        return Ok(());
    };
    let bytes = arguments.number("--megabytes", 200) as usize * 1_000_000;
    [(6, 75), (20, 120), (50, 140), (500, 80)]
        .into_iter()
        .try_for_each(|(turns, words)| measure(turns, Shape::agent(turns, words), bytes))
}

fn measure(turns: usize, shape: Shape, bytes_min: usize) -> Result<()> {
    let mut server = Server::start(BINARY, &FLAGS);
    let timeline = Timeline::from_now(Duration::from_millis(50));
    let (mut client, mut bytes) = (server.client(), Vec::new());
    let (mut received, mut spans, mut seed) = (0, 0, 0_u32);
    let mut first: Vec<Body> = Vec::new();
    while received < bytes_min {
        let bodies = load::trace(shape, u64::from(seed));
        for body in &bodies {
            body.fill(seed, timeline.at(seed), &mut bytes);
            post(&mut client, &bytes)?;
            received += bytes.len();
            spans += body.spans;
        }
        if seed == 0 {
            first = bodies;
        }
        seed += 1;
    }
    settle(&server)?;
    server.stop();
    server.set_flags(&PLAIN);
    server.restart();
    settle(&server)?;
    server.stop();
    let log = bytes_under(&server.data_dir().join("wal"));
    let disk = server.disk_bytes() - log;
    server.restart();
    let compared = compare(&mut server.client(), &first, &timeline)?;
    print_row(
        &format!("size on disk, {turns}-turn agents, against the JSON received"),
        &format!(
            "{:.1}× smaller ({:.0} MB → {:.2} MB, {seed} traces, {:.1} KB a span; {compared} spans byte-exact back; beside it {:.0} MB of log)",
            received as f64 / disk as f64,
            received as f64 / 1e6,
            disk as f64 / 1e6,
            received as f64 / 1e3 / spans as f64,
            log as f64 / 1e6,
        ),
    );
    Ok(())
}

fn post(client: &mut Client, bytes: &[u8]) -> Result<()> {
    loop {
        let answer = client.post(INGEST, bytes)?;
        if answer.status != 429 {
            answer.ok()?;
            return Ok(());
        }
        sleep(Duration::from_secs(answer.retry_after.unwrap_or(1)));
    }
}

/// Waits until nothing is in memory only, no merge was made for a while, and merged files have left the
/// disk.
fn settle(server: &Server) -> Result<()> {
    let begun = Instant::now();
    let (mut merges, mut since) = (-1.0, Instant::now());
    while begun.elapsed() < PATIENCE {
        let now = server.metric("tracegrade_merges_total", "")?;
        if now > merges {
            (merges, since) = (now, Instant::now());
        }
        let is_flushed = server.metric("tracegrade_live_bytes", "")? == 0.0;
        let files = files_under(&server.data_dir().join("lake"));
        let is_tidy = server.metric("tracegrade_files", "")? == f64::from(files);
        if since.elapsed() > QUIET && is_flushed && is_tidy {
            return Ok(());
        }
        sleep(Duration::from_millis(250));
    }
    note("still merging after three minutes: weighed as it is");
    Ok(())
}

fn files_under(dir: &Path) -> u32 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_under(&entry.path()),
            Ok(_) => 1,
            Err(_) => 0,
        })
        .sum()
}

#[derive(serde::Deserialize)]
struct SentBody<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

/// What is compared of a span, as text: number for number, key order, escapes.
#[derive(serde::Deserialize)]
struct Sent<'a> {
    object: String,
    id: String,
    trace_id: Option<String>,
    #[serde(borrow)]
    span_data: Option<&'a RawValue>,
}

/// Reads every span of the first trace back and compares what was sent with what comes.
fn compare(client: &mut Client, bodies: &[Body], timeline: &Timeline) -> Result<usize> {
    let (mut bytes, mut compared) = (Vec::new(), 0);
    for body in bodies {
        body.fill(0, timeline.at(0), &mut bytes);
        let sent: SentBody<'_> = serde_json::from_slice(&bytes)?;
        for item in sent.data {
            let item: Sent<'_> = serde_json::from_str(item.get())?;
            let (Some(trace), Some(data)) = (item.trace_id, item.span_data) else {
                ensure!(item.object == "trace", "a span without data");
                continue;
            };
            let path = format!("/v1/traces/{trace}/spans/{}?payload=full", item.id);
            let answer = client.get(&path)?.ok().with_context(|| path.clone())?;
            let text = String::from_utf8(answer.body)?;
            ensure!(
                text.contains(data.get()),
                "{path}: what was sent is not in the answer\nsent: {}\ngot: {text}",
                data.get()
            );
            compared += 1;
        }
    }
    Ok(compared)
}
