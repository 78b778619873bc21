//! What was acknowledged reaches a place that it is passed on to, whenever the power goes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use testkit::drive::INGEST;
use testkit::http::Client;
use testkit::load::{self, Body, Shape, Timeline};
use testkit::server::Server;
use testkit::sink::{Manner, Sink};

/// How long a delivery may take on a machine that has other work.
const PATIENCE: Duration = Duration::from_secs(120);

/// Returns a folder whose configuration passes everything on to these places.
fn configured(sinks: &[(&str, &Sink)]) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let mut toml = String::new();
    for (name, sink) in sinks {
        let url = sink.url();
        let _ = writeln!(
            toml,
            "[[forward]]\nname = \"{name}\"\nkind = \"webhook\"\nurl = \"{url}\"\ntimeout = \"1s\"\n"
        );
    }
    let path = dir.path().join("tracegrade.toml");
    std::fs::write(&path, toml).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

/// Sends bodies one after the other and returns the ids of the spans that were acknowledged.
fn send(client: &mut Client, bodies: &[Body], stamps: std::ops::Range<u32>) -> HashSet<String> {
    let (timeline, mut bytes, mut ids) = (
        Timeline::from_now(Duration::from_millis(2)),
        Vec::new(),
        HashSet::new(),
    );
    for stamp in stamps {
        let body = &bodies[stamp as usize % bodies.len()];
        body.fill(stamp, timeline.at(stamp), &mut bytes);
        client.post(INGEST, &bytes).unwrap().ok().unwrap();
        let sent: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let spans = sent["data"].as_array().unwrap().iter();
        let spans = spans.filter(|item| item["object"] == "trace.span");
        ids.extend(spans.map(|span| span["id"].as_str().unwrap().to_owned()));
    }
    ids
}

#[test]
fn what_was_acknowledged_is_passed_on_whenever_the_power_goes() {
    let (good, stalling) = (Sink::start(Manner::Take), Sink::start(Manner::Stall));
    let (dir, config) = configured(&[("good", &good), ("stalling", &stalling)]);
    let bodies = load::pool(Shape::SMALL, 5, 20);
    let flags = ["--config", &config, "--flush-age", "300ms"];
    let mut server = Server::start_in(dir, env!("CARGO_BIN_EXE_tracegrade"), &flags);
    let mut acknowledged = HashSet::new();
    for round in 0..6u32 {
        let stamps = round * 40..(round + 1) * 40;
        acknowledged.extend(send(&mut server.client(), &bodies, stamps));
        // At another point of a delivery each time.
        std::thread::sleep(Duration::from_millis(u64::from(round) * 70));
        server.kill();
        server.restart();
    }
    let begun = Instant::now();
    while good.distinct() < acknowledged.len() && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(50));
    }
    let came = good.ids();
    let missing: Vec<_> = acknowledged.difference(&came).take(3).collect();
    assert!(missing.is_empty(), "{missing:?} of {}", acknowledged.len());
    assert_eq!(came.len(), acknowledged.len(), "spans that nobody sent");
    assert!(stalling.requests() > 0, "the other place was never tried");
}
