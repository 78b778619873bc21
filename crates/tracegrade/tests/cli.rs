//! The program as people run it: the built binary, a real server on a free port, a folder of its own.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop here"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

fn tracegrade() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracegrade"));
    for name in [
        "TRACEGRADE_URL",
        "TRACEGRADE_API_KEY",
        "TRACEGRADE_PROJECT",
        "TRACEGRADE_DATA_DIR",
        "TRACEGRADE_LISTEN",
    ] {
        command.env_remove(name);
    }
    command
}

/// A server that ends with the test.
struct Server {
    child: Child,
    url: String,
    /// What it said when it was ready, this line included.
    greeting: Vec<String>,
    dir: TempDir,
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        Self::spawn(
            dir,
            &[
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--grpc-listen",
                "127.0.0.1:0",
                "--data-dir",
                data.to_str().unwrap(),
            ],
            "read ",
        )
    }

    /// Starts a command that serves, and waits for the line that begins with `last`.
    fn spawn(dir: TempDir, args: &[&str], last: &str) -> Self {
        let mut child = tracegrade()
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut greeting: Vec<String> = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let is_last = line.starts_with(last);
            greeting.push(line);
            if is_last {
                break;
            }
        }
        let url = greeting[0]
            .split_once(" listens on ")
            .expect("a greeting")
            .1
            .to_owned();
        Self {
            child,
            url,
            greeting,
            dir,
        }
    }

    fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn run(&self, args: &[&str]) -> Output {
        tracegrade()
            .args(["--url", &self.url])
            .args(args)
            .output()
            .unwrap()
    }

    /// Returns what a command prints that must not fail.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Writes the bodies that a capture holds to a file, one a line.
fn bodies(capture: &Path, dir: &Path) -> PathBuf {
    let capture: Value = serde_json::from_slice(&std::fs::read(capture).unwrap()).unwrap();
    let requests = capture["requests"].as_array().unwrap();
    let lines: Vec<String> = requests
        .iter()
        .map(|request| request["body"].to_string())
        .collect();
    let path = dir.join("bodies.jsonl");
    std::fs::write(&path, lines.join("\n")).unwrap();
    path
}

fn captures() -> Vec<PathBuf> {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata");
    let folders = ["openai-agents", "openai-agents-js"];
    let files = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(testdata.join(folder)).unwrap());
    let mut files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "json"));
    files.sort();
    assert!(files.len() > 60, "{}", files.len());
    files
}

/// Takes out what an import makes anew, and how long what is still open has been going on.
fn without_arrival(mut value: Value) -> Value {
    match &mut value {
        Value::Object(object) => {
            if object.get("open") == Some(&true.into())
                || object.get("status") == Some(&"open".into())
            {
                object.remove("duration_ms");
            }
            for name in [
                "seq",
                "received_at",
                "first_received_at",
                "last_received_at",
            ] {
                object.remove(name);
            }
            object
                .values_mut()
                .for_each(|value| *value = without_arrival(value.take()));
        }
        Value::Array(list) => list
            .iter_mut()
            .for_each(|value| *value = without_arrival(value.take())),
        _ => {}
    }
    value
}

fn ids(list: &Value) -> Vec<String> {
    let data = list["data"].as_array().unwrap();
    data.iter()
        .map(|trace| trace["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_capture_is_imported_and_an_export_says_the_same_elsewhere() {
    let (first, second) = (Server::start(), Server::start());
    for capture in captures() {
        let file = bodies(&capture, first.dir.path());
        let output = first.run(&["import", file.to_str().unwrap()]);
        assert!(
            output.status.success(),
            "{}: {}",
            capture.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let exported = first.dir.path().join("all.jsonl");
    first.ok(&["export", "--output", exported.to_str().unwrap()]);
    second.ok(&["import", exported.to_str().unwrap()]);
    let list = ["traces", "list", "--limit", "1000", "--json"];
    let mut all = ids(&first.json(&list));
    assert!(all.len() > 40, "{}", all.len());
    let mut again = ids(&second.json(&list));
    all.sort();
    again.sort();
    assert_eq!(all, again);
    for id in &all {
        let show = ["traces", "show", id, "--json"];
        let (one, other) = (
            without_arrival(first.json(&show)),
            without_arrival(second.json(&show)),
        );
        assert_eq!(one, other, "{id}");
        // Each can be drawn and told, whatever is in it.
        for verb in ["show", "tree"] {
            let text = first.ok(&["traces", verb, id]);
            assert!(!text.is_empty() && !text.contains('\x1b'), "{id}: {text}");
        }
    }
}

#[test]
fn traces_are_listed_asked_for_and_deleted() {
    let server = Server::start();
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/openai-agents");
    let file = bodies(&testdata.join("handoff_chain.full.json"), server.dir.path());
    server.ok(&["import", file.to_str().unwrap()]);
    let id = ids(&server.json(&["traces", "list", "--json"])).remove(0);
    let table = server.ok(&["traces", "list"]);
    assert!(table.contains(&id) && !table.contains('\x1b'), "{table}");
    let tree = server.ok(&["traces", "tree", &id]);
    let shown = server.json(&["traces", "show", &id, "--json"]);
    let spans = shown["spans"].as_array().unwrap();
    assert!(
        spans.len() > 3 && tree.lines().count() == spans.len(),
        "{tree}"
    );
    for agent in shown["agents"].as_array().unwrap() {
        assert!(tree.contains(agent.as_str().unwrap()), "{agent}: {tree}");
    }
    let csv = server.ok(&["sql", "--format", "csv", "select count(*) as n from traces"]);
    assert_eq!(csv, "n\n1\n");
    let unsure = server.run(&["traces", "delete", "--start-date", "2000-01-01"]);
    assert_eq!(unsure.status.code(), Some(1));
    server.ok(&["traces", "delete", "--start-date", "2000-01-01", "--yes"]);
    assert_eq!(
        ids(&server.json(&["traces", "list", "--json"])),
        Vec::<String>::new()
    );
    let gone = server.run(&["traces", "show", &id]);
    assert_eq!(gone.status.code(), Some(1));
}

#[test]
fn a_folder_in_use_and_a_missing_server_are_told_with_a_way_out() {
    let server = Server::start();
    let data = server.data_dir();
    let create = [
        "keys",
        "create",
        "x",
        "--scopes",
        "admin",
        "--data-dir",
        data.to_str().unwrap(),
    ];
    let output = tracegrade().args(create).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains(&format!("--url {}", server.url)), "{error}");
    let nobody = tracegrade()
        .args(["--url", "http://127.0.0.1:1", "traces", "list"])
        .output()
        .unwrap();
    let error = String::from_utf8(nobody.stderr).unwrap();
    assert_eq!(nobody.status.code(), Some(3), "{error}");
    assert!(error.contains("tracegrade serve"), "{error}");
    let mistyped = tracegrade().args(["traces", "lst"]).output().unwrap();
    assert_eq!(mistyped.status.code(), Some(2));
    // Of a gate 1 and 2 are verdicts: whatever goes wrong is 3.
    let sides = ["gate", "--baseline", "grun_1", "--candidate", "grun_2"];
    for args in [
        &["gate", "--baselin", "x"][..],
        &["--url", "http://127.0.0.1:1"],
        &[],
    ] {
        let mut gate = tracegrade();
        if args.first() != Some(&"gate") {
            gate.args(sides);
        }
        let url = ["--url", &server.url];
        let gate = gate.args(args).args(url.iter().filter(|_| args.is_empty()));
        let output = gate.output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{args:?}: {error}");
    }
}

#[test]
fn a_program_is_told_of_failures_in_json() {
    let server = Server::start();
    let check = |args: &[&str], exit: i32, code: &str, param: Option<&str>| {
        let mut command = tracegrade();
        command.arg("--json").args(args);
        if !args.contains(&"--url") {
            command.args(["--url", &server.url]);
        }
        let output = command.output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(exit), "{args:?}: {told}");
        assert!(output.stdout.is_empty(), "{args:?}");
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        let error = &told["error"];
        assert_eq!(error["code"], code, "{told}");
        assert!(!error["message"].as_str().unwrap().is_empty(), "{told}");
        if let Some(param) = param {
            assert_eq!(error["param"], param, "{told}");
        }
    };
    check(&["traces", "lst"], 2, "usage", None);
    check(
        &["--url", "http://127.0.0.1:1", "runs", "list"],
        3,
        "unreachable",
        None,
    );
    check(&["graders", "show", "x"], 1, "not_found", None);
    let status = ["runs", "list", "--status", "x"];
    check(&status, 1, "invalid_parameter", Some("status"));
    check(&["failures"], 1, "failed", None);
    let gate = ["gate", "--baseline", "grun_1", "--candidate", "grun_2"];
    check(&gate, 3, "not_found", None);
    check(&["gate", "--baselin", "x"], 3, "usage", None);
    let help = tracegrade().args(["--json", "gate", "--help"]).output();
    let help = help.unwrap();
    let told = String::from_utf8(help.stdout).unwrap();
    assert!(help.status.success() && told.contains("Usage:"), "{told}");
}

#[test]
fn keys_close_the_server_to_those_without_one() {
    let server = Server::start();
    let key = server.ok(&["keys", "create", "me", "--scopes", "admin"]);
    let key = key.trim();
    assert!(key.starts_with("tg_"), "{key}");
    let closed = server.run(&["traces", "list"]);
    assert_eq!(closed.status.code(), Some(1));
    assert!(
        String::from_utf8(closed.stderr)
            .unwrap()
            .contains("TRACEGRADE_API_KEY")
    );
    let keys = server.ok(&["--api-key", key, "keys", "list"]);
    assert!(keys.contains("admin") && !keys.contains(key), "{keys}");
}

#[test]
fn a_demo_is_told_and_what_it_suggests_works() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    let demo = Server::spawn(
        dir,
        &["demo", "--listen", "127.0.0.1:0", "--data-dir", data],
        "Ctrl-C",
    );
    let commands: Vec<&String> = demo
        .greeting
        .iter()
        .filter(|line| line.contains(" --url http://"))
        .collect();
    assert!(commands.len() >= 11, "{:?}", demo.greeting);
    let runs = wait_for_runs(&demo);
    check_that_versions_were_compared(&demo, &runs);
    check_that_lists_read_no_payload(&demo);
    for command in commands {
        let output = Command::new("sh").args(["-c", command]).output().unwrap();
        // The demo's new version is one to be stopped.
        let code = i32::from(command.contains(" gate "));
        assert_eq!(
            output.status.code(),
            Some(code),
            "{command}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            output.stdout.iter().filter(|byte| **byte == b'\n').count() > 1,
            "{command}"
        );
    }
}

/// Waits until the demo's runs are over: on a slow machine they go on behind the greeting.
fn wait_for_runs(demo: &Server) -> Vec<Value> {
    for _ in 0..600 {
        let mut runs = demo.json(&["runs", "list", "--json"]);
        let Value::Array(runs) = runs["data"].take() else {
            panic!("no list: {runs}")
        };
        assert!(runs.len() >= 5, "{runs:?}");
        if runs.iter().all(|run| run["status"] == "completed") {
            return runs;
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    panic!("the demo's runs do not end");
}

/// The demo's judge has seen both versions side by side, knows which did better, and is not above its habits.
fn check_that_versions_were_compared(demo: &Server, runs: &[Value]) {
    let compared = |run: &&Value| run["name"] == "v1.9.0 beside v1.8.2";
    let run = runs.iter().find(compared).unwrap();
    assert_eq!(run["counts"]["unscored"], 0, "{run}");
    let id = run["id"].as_str().unwrap();
    let results = demo.json(&["runs", "results", id, "--json"]);
    let told = &results["by_grader"]["better_answer"]["pairwise"];
    assert_eq!(told["pairs"], 20, "{told}");
    let labels = &results["by_grader"]["better_answer"]["labels"];
    let count = |label: &str| labels[label]["count"].as_u64().unwrap_or(0);
    let decided = count("better") + count("worse");
    assert!(decided > 0 && count("tie") > 0, "{labels}");
    let inconsistent = told["inconsistency_rate"].as_f64().unwrap();
    assert!((0.01..0.5).contains(&inconsistent), "{told}");
    let text = demo.ok(&["runs", "results", id]);
    assert!(text.contains("a tie being half a win"), "{text}");
}

/// Lists and filters over the demo, as the scan counts them.
fn check_that_lists_read_no_payload(demo: &Server) {
    let address = demo.url.strip_prefix("http://").unwrap().parse().unwrap();
    let mut client = testkit::http::Client::new(address);
    let payload_bytes = |client: &mut testkit::http::Client| -> u64 {
        let answer = client.get("/metrics").unwrap().ok().unwrap();
        let text = String::from_utf8(answer.body).unwrap();
        let name = "tracegrade_query_payload_read_bytes_total ";
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.expect(name).parse().unwrap()
    };
    // What was graded was read whole.
    let graded = payload_bytes(&mut client);
    for list in [
        "/v1/traces?limit=100",
        "/v1/traces?limit=100&order=asc",
        "/v1/traces?status=error&agent=Refunds",
        "/v1/traces?metadata.channel=email",
        "/v1/groups?limit=50",
        "/v1/workflows",
    ] {
        client.get(list).unwrap().ok().unwrap();
        assert_eq!(payload_bytes(&mut client), graded, "{list}");
    }
    let spans = "select trace_id, name, agent, status from spans where type = 'function' \
                 order by started_at desc limit 100";
    client.sql(spans).unwrap();
    assert_eq!(payload_bytes(&mut client), graded, "{spans}");
    client.sql("select max(length(data)) from spans").unwrap();
    assert!(payload_bytes(&mut client) > graded + 100_000);
}

#[test]
fn tables_are_exported_and_settings_are_changed() {
    let server = Server::start();
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/openai-agents");
    let file = bodies(&testdata.join("handoff_chain.full.json"), server.dir.path());
    server.ok(&["import", file.to_str().unwrap()]);
    let csv = server.ok(&["export", "--format", "csv", "--table", "spans"]);
    let rows = server.json(&["sql", "--json", "select count(*) as n from spans"]);
    assert_eq!(
        csv.lines().count() as i64,
        1 + rows["data"][0]["n"].as_i64().unwrap()
    );
    let none = server.ok(&["export", "--format", "csv", "--workflow-name", "none"]);
    assert_eq!(none.lines().count(), 1);
    let parquet = server.dir.path().join("traces.parquet");
    server.ok(&[
        "export",
        "--format",
        "parquet",
        "-o",
        parquet.to_str().unwrap(),
    ]);
    assert!(std::fs::read(parquet).unwrap().ends_with(b"PAR1"));

    server.ok(&[
        "projects",
        "set",
        "default",
        "retention_days=90",
        "name=Support",
    ]);
    server.ok(&["projects", "set", "default", "assumed_model=gpt-5"]);
    let project = &server.json(&["projects", "list", "--json"])["data"][0];
    assert_eq!(
        (&project["name"], &project["settings"]),
        (
            &"Support".into(),
            &serde_json::json!({"retention_days": 90, "assumed_model": "gpt-5"})
        )
    );
    server.ok(&[
        "projects",
        "set",
        "default",
        "retention_days=",
        "assumed_model=",
    ]);
    let project = &server.json(&["projects", "list", "--json"])["data"][0];
    assert_eq!(project["settings"], serde_json::json!({}));
    let mistyped = server.run(&["projects", "set", "default", "retention_day=1"]);
    assert_eq!(mistyped.status.code(), Some(1));
    assert!(
        String::from_utf8(mistyped.stderr)
            .unwrap()
            .contains("retention_days")
    );

    let day = ["my-model", "--from", "2026-01-01"];
    server.ok(&[
        &["prices", "set"][..],
        &day,
        &["--input", "1", "--output", "2"],
    ]
    .concat());
    server.ok(&[&["prices", "remove"][..], &day].concat());
    let again = server.run(&[&["prices", "remove"][..], &day].concat());
    assert_eq!(again.status.code(), Some(1));
}

#[test]
fn files_are_imported_into_a_folder_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/openai-agents");
    let file = bodies(&testdata.join("handoff_chain.full.json"), dir.path());
    let import = [
        "import",
        file.to_str().unwrap(),
        "--data-dir",
        data.to_str().unwrap(),
    ];
    let output = tracegrade().args(import).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let args = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--grpc-listen",
        "off",
        "--data-dir",
        data.to_str().unwrap(),
    ];
    let server = Server::spawn(dir, &args, "read ");
    assert_eq!(ids(&server.json(&["traces", "list", "--json"])).len(), 1);
    let output = tracegrade().args(import).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains(&server.url),
        "a folder in use names its server: {error}"
    );
}

#[test]
fn a_log_that_goes_to_a_file_has_no_colours_and_https_is_spoken() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let log = dir.path().join("log");
    let child = tracegrade()
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--grpc-listen",
            "off",
            "--log",
            "debug",
            "--data-dir",
        ])
        .arg(&data)
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut server = Server {
        child,
        url: String::new(),
        greeting: Vec::new(),
        dir,
    };
    let mut lines = BufReader::new(server.child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    server.url = first.split_once(" listens on ").unwrap().1.to_owned();
    server.ok(&["traces", "list"]);
    let logged = std::fs::read_to_string(log).unwrap();
    assert!(
        logged.contains("answered") && !logged.contains('\x1b'),
        "{logged}"
    );
    // A server that speaks no TLS is found out by a client that does.
    let secure = server.url.replace("http:", "https:");
    let output = tracegrade()
        .args(["--url", &secure, "traces", "list"])
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert!(!error.contains("scheme"), "{error}");
}

fn sample(name: &str) -> Vec<u8> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/imports");
    std::fs::read(samples.join(name)).unwrap()
}

#[test]
fn one_file_may_hold_the_formats_of_many_products() {
    let server = Server::start();
    let file = server.dir.path().join("all.json");
    let mut all = Vec::new();
    for name in [
        "langfuse/traces.json",
        "otel-printed/console.json",
        "request-log/option1.log",
        "langsmith/runs.jsonl",
    ] {
        all.append(&mut sample(name));
        all.push(b'\n');
    }
    std::fs::write(&file, &all).unwrap();
    let file = file.to_str().unwrap();
    let told = server.ok(&["import", file]);
    assert!(told.starts_with("24 items imported\n"), "{told}");
    assert!(
        told.contains("  langfuse: 2 documents, 9 items kept\n"),
        "{told}"
    );
    assert!(told.contains("read and not kept: 1 score"), "{told}");
    let report = server.json(&["import", file, "--json"]);
    assert_eq!(report["formats"]["langsmith"]["accepted"], 6);
    let rows = server.json(&["sql", "--json", "select count(*) as n from spans"]);
    assert_eq!(rows["data"][0]["n"], 19);
}

#[test]
fn what_is_refused_is_told_with_its_place_and_the_exit_code() {
    let server = Server::start();
    let file = server.dir.path().join("odd.jsonl");
    let lines = "{\"id\":\"a\",\"run_type\":\"llm\"}\nwords\n{\"id\":\"b\",\"run_type\":\"llm\",\"start_time\":\"x\"}\n{\"who\":1}\n";
    std::fs::write(&file, lines).unwrap();
    let file = file.to_str().unwrap();
    let output = server.run(&["import", file, "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["accepted"], &report["rejected_count"]),
        (&1.into(), &3.into())
    );
    let first = report["first_rejected"].as_array().unwrap();
    let places: Vec<_> = first
        .iter()
        .map(|told| {
            (
                told["document"].as_u64().unwrap(),
                told["code"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        places,
        [
            (2, "not_a_document"),
            (3, "bad_time"),
            (4, "unknown_format")
        ]
    );
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("odd.jsonl: document 3 at byte 34, item 1: bad_time"),
        "{told}"
    );
}

#[test]
fn a_draft_of_a_grader_is_tried() {
    let server = Server::start();
    let file = server.dir.path().join("log.json");
    std::fs::write(&file, sample("inspect/tools.json")).unwrap();
    server.ok(&["import", file.to_str().unwrap()]);
    let told = server.ok(&["graders", "try", "--rule", "tool_errors == 0"]);
    assert!(
        told.starts_with("rule on 2 traces: 1 fail, 1 pass\n"),
        "{told}"
    );
    // Samples of one evaluation are one group, which says nothing of others.
    let rate = "\npass rate 50.0 % (95 %: 0.0–100.0, n = 2 in 1 group";
    assert!(told.contains(rate), "{told}");
    assert!(told.contains("  fail  "), "{told}");
    let told = server.ok(&["graders", "try", "--detector", "D26", "--limit", "1"]);
    assert!(told.contains(" on 1 trace: "), "{told}");
    let told = server.ok(&["graders", "try", "--rule", "!calls(\"pay\").any()"]);
    assert!(told.starts_with("rule on 2 traces: 2 pass\n"), "{told}");
    let told = server.ok(&[
        "graders",
        "try",
        "--rule",
        "calls(\"pay\").all(s, s.duration_ms < 1)",
    ]);
    assert!(told.contains("in 2 traces it holds only because"), "{told}");
    let grader = server.dir.path().join("grader.json");
    std::fs::write(
        &grader,
        r#"{"type":"trajectory","metric":"tool_validity","name":"valid"}"#,
    )
    .unwrap();
    let told = server.ok(&["graders", "try", "--grader", grader.to_str().unwrap()]);
    assert!(told.starts_with("valid on 2 traces: "), "{told}");
    let wrong = server.run(&["graders", "try", "--rule", "tool_eror == 0"]);
    assert_eq!(wrong.status.code(), Some(1));
    let told = String::from_utf8(wrong.stderr).unwrap();
    assert!(told.contains("tool_errors"), "{told}");
    assert_eq!(server.run(&["graders", "try"]).status.code(), Some(2));
}

#[test]
fn an_archive_of_inspect_says_what_its_log_does() {
    let traces = |name: &str| {
        let server = Server::start();
        let file = server.dir.path().join("log");
        std::fs::write(&file, sample(name)).unwrap();
        server.ok(&["import", file.to_str().unwrap()]);
        // Ids are those of the run that was logged, and each was a run of its own.
        let query = "SELECT workflow_name, span_count, s.name, s.type, s.status, s.input_tokens
             FROM traces t JOIN spans s ON s.trace_id = t.trace_id ORDER BY 2, 3, 4, 5, 6";
        server.ok(&["sql", query])
    };
    let of_archive = traces("inspect/tools.eval");
    assert_eq!(of_archive, traces("inspect/tools.json"));
    assert!(of_archive.lines().count() > 24, "{of_archive}");
}

#[test]
fn evals_of_openai_come_along_with_their_runs_whatever_the_order() {
    let server = Server::start();
    let file = server.dir.path().join("evals.jsonl");
    let lines = [
        r#"{"object":"eval.run.output_item","id":"outputitem_1","run_id":"evalrun_1","eval_id":"eval_1","status":"pass","datasource_item_id":0,"datasource_item":{"label":"a"},"results":[{"name":"exact-1","score":1.0,"passed":true}],"sample":null}"#,
        r#"{"object":"eval.run","id":"evalrun_1","eval_id":"eval_1","status":"completed","created_at":1700000000,"result_counts":{"total":1,"passed":1,"failed":0,"errored":0},"data_source":{"type":"jsonl"}}"#,
        r#"{"object":"eval.run","id":"evalrun_2","#,
        r#"{"object":"eval","id":"eval_1","name":"capitals","data_source_config":{"type":"custom","schema":{"type":"object","properties":{"item":{"type":"object"}}}},"testing_criteria":[{"id":"exact-1","type":"string_check","name":"exact","input":"a","operation":"eq","reference":"a"}]}"#,
        r#"{"object":"eval.run.output_item","id":"outputitem_9","run_id":"evalrun_9","status":"pass"}"#,
    ];
    std::fs::write(&file, lines.join("\n")).unwrap();
    let import = ["import", "--openai-evals", file.to_str().unwrap()];
    let first = server.run(&import);
    let told = String::from_utf8(first.stdout).unwrap();
    for words in [
        "capitals",
        "evals: 1 added",
        "runs: 1 added",
        "output items: 1 added",
    ] {
        assert!(told.contains(words), "no {words:?} in {told}");
    }
    let told = String::from_utf8(first.stderr).unwrap();
    assert!(told.contains("evals.jsonl:3: it is not JSON"), "{told}");
    assert!(
        told.contains("evals.jsonl:5: outputitem_9: its run is not here"),
        "{told}"
    );
    assert_eq!(first.status.code(), Some(1), "{told}");
    let again = server.run(&[&["--json"], &import[..]].concat());
    let told: Value = serde_json::from_slice(&again.stdout).unwrap();
    for what in ["evals", "runs", "output_items"] {
        assert_eq!(
            told[what],
            serde_json::json!({"added": 0, "there": 1, "renewed": 0}),
            "{told}"
        );
    }
    assert_eq!(told["refused"].as_array().unwrap().len(), 2, "{told}");
}
