//! Other systems under the same load on the same machine, each by its own protocol.
//!
//! Arize Phoenix from PyPI, over OTLP/HTTP with protobuf: bodies of 100 spans of about 2.7 KB, until
//! its database has them. Then this program with the same number of spans. Arguments: `--seconds 60`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::bench::{Arguments, print_row, venv};
use testkit::drive::{Plan, Until, run};
use testkit::load::{self, Shape, Timeline};
use testkit::server::{Server, bytes_under};

/// The program under test, built with the bench's profile.
const BINARY: &str = env!("CARGO_BIN_EXE_tracegrade");
/// The peer is a server of its own with its own client.
const CONNECTIONS: usize = 4;

fn main() -> Result<()> {
    let Some(arguments) = Arguments::read() else {
        return Ok(());
    };
    let time = arguments.seconds("--seconds", 60);
    phoenix(time)?;
    ours(time);
    Ok(())
}

fn phoenix(time: Duration) -> Result<()> {
    let python = venv("phoenix", &["arize-phoenix", "opentelemetry-proto"])?;
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/peers_phoenix.py");
    let output = Command::new(python)
        .arg(script)
        .arg(time.as_secs().to_string())
        .arg(CONNECTIONS.to_string())
        .output()
        .context("failed to run Phoenix")?;
    ensure!(
        output.status.success(),
        "Phoenix: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    print_row(
        "Arize Phoenix, OTLP/HTTP",
        String::from_utf8_lossy(&output.stdout).trim(),
    );
    Ok(())
}

fn ours(time: Duration) {
    let bodies = load::pool(Shape::SUPPORT, 41, 400);
    let stamps = AtomicU32::new(0);
    let mut server = Server::start(BINARY, &[]);
    let told = run(
        &server,
        &Plan {
            bodies: &bodies,
            connections: CONNECTIONS,
            until: Until::Elapsed(time),
            timeline: Timeline::from_now(Duration::from_micros(2_500)),
            stamps: &stamps,
            patient: true,
            pause: Duration::ZERO,
        },
    );
    let peak = server.peak_rss_bytes();
    server.stop();
    print_row(
        "tracegrade, Agents SDK JSON",
        &format!(
            "{:.0} spans/s acknowledged, which is durable and visible; {:.2} KB a span on disk ({:.2} of it the log's open segment); peak RSS {:.0} MB; {}; {} errors",
            told.spans_per_second(),
            server.disk_bytes() as f64 / 1e3 / told.spans as f64,
            bytes_under(&server.data_dir().join("wal")) as f64 / 1e3 / told.spans as f64,
            peak as f64 / 1e6,
            told.cores(),
            told.failed.len()
        ),
    );
}
