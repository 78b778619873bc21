//! Load, `kill -9`, start, over and over; then the books are checked. A short one is a test, a long
//! one part of the soak.
//!
//! A body without an answer is in doubt: it may have been taken or not, so it is sent again, as the
//! SDK does. In the end every body was acknowledged at least once, and every span is there once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use testkit::drive::INGEST;
use testkit::http::Client;
use testkit::load::{self, Body, Shape, Timeline};
use testkit::prng::Prng;
use testkit::server::{Server, signal};

/// Small limits, so that flushes and merges happen between two kills.
const FLAGS: [&str; 6] = [
    "--flush-age",
    "500ms",
    "--buffer-bytes",
    "4MiB",
    "--wal-segment-bytes",
    "2MiB",
];
/// The last digits of ids: one query about all ids takes more memory than a query has.
const DIGITS: &str = "0123456789abcdef";
/// Rows of one answer.
const ROWS_MAX: usize = 100_000;
/// Traces that are read one by one at the end.
const LOOKUPS: usize = 200;

/// How long and how hard.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The program.
    pub(crate) binary: &'static str,
    pub(crate) kills: usize,
    /// Every this many times the server is asked to end instead.
    pub(crate) gentle_every: usize,
    /// All books are looked at after every this many kills, and at the end.
    pub(crate) check_every: usize,
    /// The time from a start to the kill.
    pub(crate) between: Range<Duration>,
    pub(crate) connections: usize,
    pub(crate) seed: u64,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Told {
    /// Bodies that were acknowledged, all of which are there.
    pub(crate) acknowledged: usize,
    /// Bodies that were sent again, after a kill or a 429.
    pub(crate) doubted: usize,
    /// Spans that are there.
    pub(crate) spans: u64,
}

/// Runs the loop and panics at the first span that is missing or twice.
pub(crate) fn run(plan: &Plan) -> Told {
    let bodies = load::pool(Shape::SUPPORT, plan.seed, 40);
    let books = Books::new(&bodies);
    let mut prng = Prng::new(plan.seed);
    let mut server = Server::start(plan.binary, &FLAGS);
    let span = (plan.between.end - plan.between.start).as_millis() as usize;
    for kill_number in 1..=plan.kills {
        let pause = plan.between.start + Duration::from_millis(prng.below(span) as u64);
        let stop = AtomicBool::new(false);
        // A server that is asked to end under load answers what it has taken.
        let is_gentle = kill_number % plan.gentle_every == 0;
        std::thread::scope(|scope| {
            for _ in 0..plan.connections {
                scope.spawn(|| books.send_until(server.client(), &stop));
            }
            std::thread::sleep(pause);
            signal(server.pid(), if is_gentle { "TERM" } else { "KILL" });
            stop.store(true, Ordering::Relaxed);
        });
        match is_gentle {
            true => drop(server.wait()),
            false => server.kill(),
        }
        server.restart();
        // In a long loop the books grow, and with them what a look at all of them costs.
        if kill_number % plan.check_every == 0 {
            books.check_acknowledged(&mut server.client());
        }
    }
    books.settle(&mut server.client());
    books.check_all(&mut server.client());
    server.stop();
    server.restart();
    books.check_all(&mut server.client())
}

/// What was sent, and which of it was acknowledged.
struct Books<'a> {
    bodies: &'a [Body],
    timeline: Timeline,
    next: AtomicU32,
    /// By stamp.
    acknowledged: Mutex<BTreeMap<u32, bool>>,
}

impl<'a> Books<'a> {
    fn new(bodies: &'a [Body]) -> Self {
        Self {
            bodies,
            timeline: Timeline::from_now(Duration::from_millis(2)),
            next: AtomicU32::new(0),
            acknowledged: Mutex::default(),
        }
    }

    fn body(&self, stamp: u32) -> &Body {
        &self.bodies[stamp as usize % self.bodies.len()]
    }

    fn note(&self, stamp: u32, acknowledged: bool) {
        let mut books = self.acknowledged.lock().expect("no sender panics");
        books.insert(stamp, acknowledged);
    }

    /// Sends until it is told to stop or the server is gone.
    fn send_until(&self, mut client: Client, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let stamp = self.next.fetch_add(1, Ordering::Relaxed);
            self.note(stamp, false);
            match self.send(&mut client, stamp) {
                Some(200) => self.note(stamp, true),
                Some(429 | 503) => std::thread::sleep(Duration::from_millis(50)),
                Some(status) => panic!("an answer {status}"),
                None => return,
            }
        }
    }

    /// Returns the status, if there was an answer.
    fn send(&self, client: &mut Client, stamp: u32) -> Option<u16> {
        let mut bytes = Vec::new();
        self.body(stamp)
            .fill(stamp, self.timeline.at(stamp), &mut bytes);
        let answer = client.post(INGEST, &bytes).ok()?;
        if answer.status == 200 {
            let taken = answer.json().expect("an acknowledgement is JSON");
            assert_eq!(taken["rejected_count"], 0, "{taken}");
        }
        Some(answer.status)
    }

    /// Sends again what has no answer.
    fn settle(&self, client: &mut Client) {
        for stamp in self.with(false) {
            while self.send(client, stamp) != Some(200) {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    fn with(&self, acknowledged: bool) -> Vec<u32> {
        let books = self.acknowledged.lock().expect("no sender panics");
        let stamps = books.iter().filter(|(_, is)| **is == acknowledged);
        stamps.map(|(stamp, _)| *stamp).collect()
    }

    /// Every trace of an acknowledged body has all its spans, those in doubt have some or all, and no
    /// span is there twice.
    fn check_acknowledged(&self, client: &mut Client) {
        let there = spans_by_trace(client);
        for stamp in self.with(true) {
            for trace in &self.body(stamp).traces {
                let id = trace.id(stamp);
                assert_eq!(there.get(&id), Some(&trace.spans), "{id}, acknowledged");
            }
        }
        let (there, distinct) = count_spans(client).expect("the server answers");
        assert_eq!(there, distinct, "a span is there twice");
    }

    /// Everything is there, once, and nothing else.
    fn check_all(&self, client: &mut Client) -> Told {
        self.check_acknowledged(client);
        let stamps = 0..self.next.load(Ordering::Relaxed);
        let spans: usize = stamps.clone().map(|stamp| self.body(stamp).spans).sum();
        let there = spans_by_trace(client);
        assert_eq!(there.values().sum::<usize>(), spans);
        let rows = client
            .sql("select count(*) as n, count(distinct trace_id) as d, sum(span_count) as s from traces")
            .expect("the server answers");
        let traces: usize = stamps.map(|stamp| self.body(stamp).traces.len()).sum();
        assert_eq!(
            (&rows[0]["n"], &rows[0]["d"], &rows[0]["s"]),
            (&traces.into(), &traces.into(), &spans.into())
        );
        self.look_up(client);
        Told {
            acknowledged: self.with(true).len(),
            doubted: self.with(false).len(),
            spans: spans as u64,
        }
    }

    /// Reads some traces by their ids, spread over the run.
    fn look_up(&self, client: &mut Client) {
        let end = self.next.load(Ordering::Relaxed);
        for stamp in (0..end).step_by((end as usize / LOOKUPS).max(1)) {
            let trace = &self.body(stamp).traces[0];
            let path = format!("/v1/traces/{}/spans?limit=1000", trace.id(stamp));
            let answer = client.get(&path).and_then(|answer| answer.ok()?.json());
            let answer = answer.unwrap_or_else(|error| panic!("{path}: {error}"));
            let spans = answer["data"].as_array().map(Vec::len);
            assert_eq!(spans, Some(trace.spans), "{path}");
        }
    }
}

/// Returns how many spans each trace has.
fn spans_by_trace(client: &mut Client) -> BTreeMap<String, usize> {
    let parts = DIGITS.chars().flat_map(|digit| {
        let query = format!(
            "select trace_id, count(*) as n from spans where trace_id like '%{digit}' group by trace_id"
        );
        let rows = client.sql(&query).expect("the server answers");
        assert!(rows.len() < ROWS_MAX, "an answer may be cut: look at smaller parts");
        rows
    });
    let count = |row: serde_json::Value| {
        let id = row["trace_id"].as_str().expect("an id").to_owned();
        (id, row["n"].as_u64().expect("a count") as usize)
    };
    parts.map(count).collect()
}

/// Returns how many spans there are and how many of them differ.
pub(crate) fn count_spans(client: &mut Client) -> std::io::Result<(u64, u64)> {
    let (mut there, mut distinct) = (0, 0);
    for digit in DIGITS.chars() {
        let rows = client.sql(&format!(
            "select count(*) as n, count(distinct span_id) as d from spans where span_id like '%{digit}'"
        ))?;
        let figure = |name: &str| rows[0][name].as_u64().unwrap_or(0);
        there += figure("n");
        distinct += figure("d");
    }
    Ok((there, distinct))
}
