//! Connections that send bodies as fast as they are acknowledged, and the books of what happened.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::http::Client;
use crate::load::{Body, Target, Timeline};
use crate::process;
use crate::server::Server;

/// The capture endpoint of the Agents SDK.
pub const INGEST: &str = Target::AGENTS_SDK.path;

/// A load: who sends what, for how long.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The bodies, sent in turn.
    pub bodies: &'a [Body],
    /// Connections that send side by side.
    pub connections: usize,
    /// When it ends.
    pub until: Until,
    /// When the traces began.
    pub timeline: Timeline,
    /// The next sending's stamp; shared by the runs on one server.
    pub stamps: &'a AtomicU32,
    /// Whether a sender that was told to come back later waits as long as it was told.
    pub patient: bool,
    /// How long a connection rests after each answer.
    pub pause: Duration,
}

/// When a load ends.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After this time.
    Elapsed(Duration),
    /// When the next stamp would be this one.
    Stamp(u32),
}

/// What came of a load.
#[derive(Debug, Default, Clone)]
pub struct Run {
    /// Spans that were acknowledged.
    pub spans: u64,
    /// Bytes of the bodies that were acknowledged.
    pub bytes: u64,
    /// From sending to acknowledgement, sorted.
    pub acks: Vec<Duration>,
    /// Answers 429.
    pub refused: u64,
    /// Answers 429 without `Retry-After`.
    pub refused_without_time: u64,
    /// Other answers that are not 200, and broken connections, by what was said.
    pub failed: Vec<String>,
    /// From the first to the last moment.
    pub elapsed: Duration,
    /// Processor time of the server.
    pub server_cpu: Duration,
    /// Processor time of the load generator.
    pub own_cpu: Duration,
    /// Processor time of everything else on the machine.
    pub other_cpu: Duration,
}

impl Run {
    /// Returns the acknowledged spans a second.
    pub fn spans_per_second(&self) -> f64 {
        self.spans as f64 / self.elapsed.as_secs_f64()
    }

    /// Returns the acknowledged megabytes a second.
    pub fn megabytes_per_second(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.elapsed.as_secs_f64()
    }

    /// Returns who had the processors, in cores.
    pub fn cores(&self) -> String {
        let cores = |time: Duration| time.as_secs_f64() / self.elapsed.as_secs_f64();
        format!(
            "server {:.2} cores, load generator {:.2}, others on the machine {:.2}",
            cores(self.server_cpu),
            cores(self.own_cpu),
            cores(self.other_cpu)
        )
    }

    fn take(&mut self, other: Self) {
        self.spans += other.spans;
        self.bytes += other.bytes;
        self.acks.extend(other.acks);
        self.refused += other.refused;
        self.refused_without_time += other.refused_without_time;
        self.failed.extend(other.failed);
    }
}

/// Sends until the plan ends, and accounts for every body.
pub fn run(server: &Server, plan: &Plan<'_>) -> Run {
    let mut run = Run::default();
    let (started, pid) = (Instant::now(), server.pid());
    let before = (
        process::cpu(pid),
        process::cpu(std::process::id()),
        process::machine_cpu(),
    );
    let (stop, books) = (AtomicBool::new(false), Mutex::new(Run::default()));
    std::thread::scope(|scope| {
        for _ in 0..plan.connections {
            scope.spawn(|| {
                let own = connection(server.client(), plan, &stop);
                books.lock().expect("no sender panics").take(own);
            });
        }
        if let Until::Elapsed(time) = plan.until {
            std::thread::sleep(time);
            stop.store(true, Ordering::Relaxed);
        }
    });
    run.take(books.into_inner().expect("no sender panics"));
    run.acks.sort_unstable();
    run.elapsed = started.elapsed();
    run.server_cpu = process::cpu(pid).saturating_sub(before.0);
    run.own_cpu = process::cpu(std::process::id()).saturating_sub(before.1);
    run.other_cpu = process::machine_cpu()
        .saturating_sub(before.2)
        .saturating_sub(run.server_cpu)
        .saturating_sub(run.own_cpu);
    run
}

fn connection(mut client: Client, plan: &Plan<'_>, stop: &AtomicBool) -> Run {
    let (mut run, mut bytes) = (Run::default(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let stamp = plan.stamps.fetch_add(1, Ordering::Relaxed);
        if matches!(plan.until, Until::Stamp(end) if stamp >= end) {
            break;
        }
        let body = &plan.bodies[stamp as usize % plan.bodies.len()];
        body.fill(stamp, plan.timeline.at(stamp), &mut bytes);
        while !send(&mut client, body, &bytes, plan.patient, &mut run)
            && !stop.load(Ordering::Relaxed)
        {}
        std::thread::sleep(plan.pause);
    }
    run
}

/// Sends one body. Returns whether it is done with, or else has to be sent again.
fn send(client: &mut Client, body: &Body, bytes: &[u8], patient: bool, run: &mut Run) -> bool {
    let sent = Instant::now();
    match client.post_as(body.target.path, body.target.content_type, bytes) {
        Ok(answer) if answer.status == 200 => {
            run.acks.push(sent.elapsed());
            run.spans += body.spans as u64;
            run.bytes += bytes.len() as u64;
            // A 200 may still refuse single items.
            if !is_all_taken(body.target, &answer.body) {
                run.failed
                    .push(String::from_utf8_lossy(&answer.body).into_owned());
            }
            true
        }
        Ok(answer) if answer.status == 429 => {
            run.refused += 1;
            run.refused_without_time += u64::from(answer.retry_after.is_none());
            if patient {
                std::thread::sleep(Duration::from_secs(answer.retry_after.unwrap_or(1)));
            }
            !patient
        }
        Ok(answer) => {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            run.failed.push(format!("{}: {text}", answer.status));
            true
        }
        Err(error) => {
            run.failed.push(error.to_string());
            true
        }
    }
}

/// Returns whether an answer 200 says that every item was taken.
fn is_all_taken(target: Target, answer: &[u8]) -> bool {
    match target {
        Target::AGENTS_SDK => String::from_utf8_lossy(answer).contains("\"rejected_count\":0"),
        // A partial success is the only thing that such an answer can tell.
        _ => matches!(answer, b"" | b"{}"),
    }
}
