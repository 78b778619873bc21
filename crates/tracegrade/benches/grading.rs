//! How long does it take to grade all that is stored by rules?
//!
//! Arguments: `--traces 1_000_000`, `--only words` or `texts`. Ten rules, each of which looks at spans, through
//! the API, as a run that lasts: every trace is read from the store, every grade is on disk before its
//! item is done. Then ten of which four read what was said, for which the texts must be read as well.

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
const RESULTS_ASKED: usize = 3;
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

/// What stands in the place of the last rules where texts are read.
const READERS: [&str; 4] = [
    r#"final_output.size() > 20 && !final_output.matches("(?i)i('m| am) (sorry|unable)")"#,
    r#"calls("issue_refund").all(b, spans[type=generation].exists(g, g.ended_at <= b.started_at && g.input.icontains("yes")))"#,
    r#"spans[type=function].all(s, s.output.size() > 0)"#,
    r#"!detector("D01")"#,
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
    let all = u64::from(sendings) * a_body;
    if arguments.wants("words") {
        grade(&server, "ten rules", &RULES, all)?;
    }
    if arguments.wants("texts") {
        let reading: Vec<&str> = RULES[..6].iter().chain(&READERS).copied().collect();
        grade(
            &server,
            "ten rules, four of which read texts",
            &reading,
            all,
        )?;
    }
    server.stop();
    Ok(())
}

fn grade(server: &Server, by: &str, rules: &[&str], traces: u64) -> Result<()> {
    let mut client = server.client();
    let graders: Vec<Value> = rules
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
    let grades = traces * rules.len() as u64;
    print_row(
        &format!("{traces} stored traces graded by {by}"),
        &format!(
            "{took:.0} s: {:.0} traces/s with {:.2} cores, {:.0} grades/s, peak RSS {:.0} MB",
            traces as f64 / took,
            cpu.as_secs_f64() / took,
            grades as f64 / took,
            server.peak_rss_bytes() as f64 / 1e6
        ),
    );
    count(&mut client, &id, traces, grades)?;
    show(server, &mut client, &id, rules.len() as u64, traces)
}

/// Counts what was graded, a part at a time: a million ids at once are more than a query may hold.
fn count(client: &mut Client, id: &str, traces: u64, grades: u64) -> Result<()> {
    let (mut n, mut items) = (0, 0);
    for digit in "0123456789abcdef".chars() {
        let counted = client.sql(&format!(
            "select count(*) as n, count(distinct item_id) as items from grades
             where run_id = '{id}' and item_id like '%{digit}'"
        ))?;
        n += counted[0]["n"].as_u64().context("n is a number")?;
        items += counted[0]["items"].as_u64().context("items is a number")?;
    }
    ensure!(
        (n, items) == (grades, traces),
        "{n} grades of {items} traces, not {grades} of {traces}"
    );
    Ok(())
}

/// Asks for the results of a run: at first they are gathered, then they are remembered.
fn show(server: &Server, client: &mut Client, id: &str, graders: u64, traces: u64) -> Result<()> {
    let mut took = Vec::new();
    for _ in 0..RESULTS_ASKED {
        let begun = Instant::now();
        let results = client.get(&format!("/v1/evals/traces/grade/{id}/results"))?;
        let results = results.ok()?.json()?;
        took.push(format!("{:.2} s", begun.elapsed().as_secs_f64()));
        let shown = results["by_grader"]
            .as_object()
            .map_or(0, serde_json::Map::len) as u64;
        ensure!(shown == graders, "{results}");
    }
    print_row(
        &format!("results of {} grades", graders * traces),
        &format!(
            "{}, RSS {:.0} MB, peak {:.0} MB",
            took.join(", then "),
            server.rss_bytes() as f64 / 1e6,
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
