//! How soon is a question answered when there is much to look through?
//!
//! Arguments: `--spans 10_000_000`, `--chdb no` to leave ClickHouse out. ClickHouse is `chdb` from
//! PyPI, installed in a folder of its own under the target folder; it is given the very rows, read
//! from the store's files, in a table of its own kind.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testkit::bench::{Arguments, print_row, venv};
use testkit::figures::p50_p99;
use testkit::http::Client;
use testkit::load::{self, Body, Shape, Timeline};
use testkit::prng::Prng;
use testkit::server::Server;

use filled::{fill, settle};

mod filled;

/// The program under test, built with the bench's profile.
const BINARY: &str = env!("CARGO_BIN_EXE_tracegrade");
/// The traces lie in this many days, as if they had come in that slowly.
const DAYS: u64 = 7;
const GROUP_BY: &str = "select model, count(*) as n, sum(input_tokens) as i, sum(output_tokens) as o, avg(duration_ms) as ms from spans group by model order by n desc";

fn main() -> Result<()> {
    let Some(arguments) = Arguments::read() else {
        return Ok(());
    };
    let wanted = arguments.number("--spans", 10_000_000);
    let bodies = load::pool(Shape::SMALL, 31, 2_000);
    let sendings = wanted.div_ceil(bodies[0].spans as u64) as u32;
    let step = Duration::from_secs(DAYS * 86_400) / sendings;
    let mut timeline = Timeline::from_now(step);
    timeline.start_micros -= (DAYS * 86_400_000_000) as i64;
    let mut server = Server::start(BINARY, &[]);
    let spans = fill(&server, &bodies, sendings, timeline)?;
    settle(&server)?;
    let size = format!("among {:.1} M spans", spans as f64 / 1e6);
    ask(&mut server.client(), &bodies, sendings, &size)?;
    server.stop();
    if arguments.text("--chdb") != Some("no") {
        clickhouse(&server.data_dir(), spans)?;
    }
    Ok(())
}

fn ask(client: &mut Client, bodies: &[Body], sendings: u32, size: &str) -> Result<()> {
    let mut prng = Prng::new(5);
    let mut by_id = || {
        let stamp = prng.below(sendings as usize) as u32;
        let traces = &bodies[stamp as usize % bodies.len()].traces;
        traces[prng.below(traces.len())].id(stamp)
    };
    let mut time = |what: &str, times: usize, path: &mut dyn FnMut() -> String| -> Result<()> {
        let mut took = Vec::new();
        for _ in 0..times {
            let path = path();
            let sent = Instant::now();
            client.get(&path)?.ok().with_context(|| path.clone())?;
            took.push(sent.elapsed());
        }
        let first = took[0].as_secs_f64() * 1e3;
        print_row(
            &format!("{what} {size}"),
            &format!("{} (first {first:.1} ms, {times} times)", p50_p99(&took)),
        );
        Ok(())
    };
    time("one trace by id", 200, &mut || {
        format!("/v1/traces/{}", by_id())
    })?;
    time("newest 50 traces", 50, &mut || {
        "/v1/traces?limit=50".to_owned()
    })?;
    for (name, filter) in [
        (
            "workflow and model",
            "workflow_name=Returns%20desk&model=o4-mini",
        ),
        ("slow ones", "min_duration_ms=6500"),
        ("none matches", "workflow_name=Nothing"),
        // What the statistics of files rule out is in its pace.
        (
            "a rule that fits none",
            "rule=duration_ms%20%3C%200%20%7C%7C%20total_cost_usd%20%3E%201e6%20%26%26%20tool_errors%20%3E%203",
        ),
        // No file's statistics rule it out: each value is looked at.
        (
            "a rule within what is usual",
            "rule=duration_ms%20%3E%205000%20%26%26%20duration_ms%20%3C%205000.0000001%20%26%26%20span_count%20%3E%200",
        ),
        (
            "a rule about spans",
            "rule=tool_errors%20%3E%200%20%26%26%20calls.exists(s%2C%20s.status%20%3D%3D%20%22error%22)",
        ),
    ] {
        let path = format!("/v1/traces?limit=50&{filter}");
        time(&format!("filtered list ({name})"), 20, &mut || path.clone())?;
    }
    for (name, word) in [("common", "warehouse"), ("in no text", "xylophone")] {
        let path = format!("/v1/traces?limit=50&q={word}");
        time(
            &format!("text search, first page ({name} term)"),
            5,
            &mut || path.clone(),
        )?;
    }
    let mut took = Vec::new();
    for _ in 0..5 {
        let sent = Instant::now();
        client.sql(GROUP_BY)?;
        took.push(sent.elapsed());
    }
    print_row(
        &format!("group-by through /v1/sql {size}"),
        &format!(
            "{} (first {:.0} ms)",
            p50_p99(&took),
            took[0].as_secs_f64() * 1e3
        ),
    );
    Ok(())
}

/// The same question, asked of ClickHouse over the same rows.
fn clickhouse(data: &Path, spans: u64) -> Result<()> {
    let python = venv("chdb", &["chdb"])?;
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/queries_chdb.py");
    let output = Command::new(python)
        .arg(script)
        .arg(data.join("lake/spans"))
        .arg(spans.to_string())
        .arg(GROUP_BY)
        .output()
        .context("failed to run chdb")?;
    ensure!(
        output.status.success(),
        "chdb: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    print_row(
        "… the same group-by in ClickHouse (chdb), MergeTree",
        String::from_utf8_lossy(&output.stdout).trim(),
    );
    Ok(())
}
