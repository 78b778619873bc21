//! How long does it take to grade all that is stored by rules?
//!
//! Arguments: `--traces 1_000_000`. Ten rules, each of which looks at spans, through the API, as a run
//! that lasts: every trace is read from the store, every grade is on disk before its item is done.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use testkit::bench::{Arguments, print_row};
use testkit::http::Client;
use testkit::load::{self, Shape, Timeline};
use testkit::server::Server;

use filled::{fill, settle};

mod filled;

/// The program under test, built with the bench's profile.
const BINARY: &str = env!("CARGO_BIN_EXE_tracegrade");
/// The traces lie in this many days, as if they had come in that slowly.
const DAYS: u64 = 7;
const LOOKED_EVERY: Duration = Duration::from_millis(500);

const RULES: [&str; 10] = [
    "duration_ms < 5000 && spans.size() > 0",
    "spans[type=generation].all(s, s.input_tokens + s.output_tokens <= 60000)",
    r#"spans[type=function].all(s, s.status == "success")"#,
    "spans[type=function].size() <= 12",
    r#"before(calls("search_orders"), calls("issue_refund"))"#,
    r#"!seq("delete_account+")"#,
    r#"!calls("delete_account").any()"#,
    "handoffs.returns() == 0",
    r#"spans[type=generation].all(s, s.finish_reason != "length")"#,
    "spans.all(s, s.self_ms < 3000)",
];

fn main() -> Result<()> {
    let Some(arguments) = Arguments::read() else {
        return Ok(());
    };
    let traces = arguments.number("--traces", 1_000_000);
    let bodies = load::pool(Shape::SMALL, 31, 2_000);
    let a_body = bodies[0].traces.len() as u64;
    let sendings = traces.div_ceil(a_body) as u32;
    let mut timeline = Timeline::from_now(Duration::from_secs(DAYS * 86_400) / sendings);
    timeline.start_micros -= (DAYS * 86_400_000_000) as i64;
    let mut server = Server::start(BINARY, &[]);
    fill(&server, &bodies, sendings, timeline)?;
    settle(&server)?;
    grade(&server, u64::from(sendings) * a_body)?;
    server.stop();
    Ok(())
}

fn grade(server: &Server, traces: u64) -> Result<()> {
    let mut client = server.client();
    let graders: Vec<Value> = RULES
        .iter()
        .enumerate()
        .map(|(nth, check)| json!({"name": format!("rule {nth}"), "type": "rule", "check": check}))
        .collect();
    let asked = json!({"graders": graders, "include_running": true}).to_string();
    let (begun, cpu) = (Instant::now(), server.cpu());
    let answer = client.post("/v1/evals/traces/grade", asked.as_bytes())?;
    ensure!(answer.status == 201, "{answer:?}");
    let run = answer.json()?;
    let id = run["id"].as_str().context("a run has an id")?.to_owned();
    let (made, rss) = (begun.elapsed(), server.rss_bytes());
    print_row(
        &format!("a run over {traces} stored traces made"),
        &format!(
            "{:.1} s until its id is told, RSS {:.0} MB",
            made.as_secs_f64(),
            rss as f64 / 1e6
        ),
    );
    wait(&mut client, &id)?;
    let (took, cpu) = (begun.elapsed().as_secs_f64(), server.cpu() - cpu);
    let counted =
        client.sql("select count(*) as n, count(distinct item_id) as items from grades")?;
    let wanted = json!({"n": traces * RULES.len() as u64, "items": traces});
    ensure!(counted == [wanted.clone()], "{counted:?}, not {wanted}");
    print_row(
        &format!("{traces} stored traces graded by ten rules"),
        &format!(
            "{took:.0} s: {:.0} traces/s with {:.2} cores, {:.0} grades/s, peak RSS {:.0} MB",
            traces as f64 / took,
            cpu.as_secs_f64() / took,
            (traces * RULES.len() as u64) as f64 / took,
            server.peak_rss_bytes() as f64 / 1e6
        ),
    );
    Ok(())
}

/// Waits until the run is over.
fn wait(client: &mut Client, id: &str) -> Result<()> {
    loop {
        let run = client
            .get(&format!("/v1/evals/traces/grade/{id}"))?
            .ok()?
            .json()?;
        match run["status"].as_str() {
            Some("completed") => return Ok(()),
            Some("selecting" | "queued" | "in_progress") => sleep(LOOKED_EVERY),
            _ => bail!("the run did not complete: {run}"),
        }
    }
}
