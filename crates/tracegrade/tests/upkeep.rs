//! A backup of a running server, and what becomes of a folder that lost its catalog.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop here"
)]

use std::path::Path;
use std::process::Command;

use testkit::server::Server;

const BINARY: &str = env!("CARGO_BIN_EXE_tracegrade");
const CAPTURE: &str = include_str!("../../../testdata/openai-agents/handoff_chain.json");

/// Runs a command and returns what it printed.
fn tracegrade(args: &[&str]) -> Result<String, String> {
    let output = Command::new(BINARY)
        .args(args)
        .env_remove("TRACEGRADE_URL")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stdout) + &text(&output.stderr)),
    }
}

fn send(server: &Server) {
    let capture: serde_json::Value = serde_json::from_str(CAPTURE).unwrap();
    for request in capture["requests"].as_array().unwrap() {
        let body = request["body"].to_string();
        let answer = server.client().post("/v1/traces/ingest", body.as_bytes());
        answer.unwrap().ok().unwrap();
    }
}

fn traces(server: &Server) -> Vec<String> {
    let list = server.client().get("/v1/traces").unwrap().json().unwrap();
    let data = list["data"].as_array().unwrap();
    data.iter()
        .map(|trace| trace["id"].as_str().unwrap().to_owned())
        .collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_server_that_is_told_to_end_as_soon_as_it_greets_ends_well() {
    let mut server = Server::start(BINARY, &[]);
    server.stop();
}

#[test]
fn a_store_is_backed_up_while_it_serves_and_restored_without_what_was_deleted_since() {
    let mut server = Server::start(BINARY, &[]);
    send(&server);
    let url = format!("http://{}", server.address());
    let elsewhere = tempfile::tempdir().unwrap();
    let backup = elsewhere.path().join("monday");
    let told = tracegrade(&["--url", &url, "backup", text(&backup)]).unwrap();
    assert!(told.starts_with("backed up "), "{told}");
    let well = tracegrade(&["--url", &url, "doctor", "--deep"]).unwrap();
    assert!(
        well.contains("message references") && !well.contains("WRONG"),
        "{well}"
    );
    let before = traces(&server);
    tracegrade(&["--url", &url, "traces", "delete", &before[0], "--yes"]).unwrap();

    let data = server.data_dir();
    let refused = tracegrade(&["restore", text(&backup), "--data-dir", text(&data)]).unwrap_err();
    assert!(refused.contains("is not empty"), "{refused}");
    let locked = tracegrade(&["doctor", "--data-dir", text(&data)]).unwrap_err();
    assert!(locked.contains(&format!("--url {url}")), "{locked}");
    server.stop();
    let told = tracegrade(&[
        "restore",
        text(&backup),
        "--data-dir",
        text(&data),
        "--replace",
    ]);
    let told = told.unwrap();
    assert!(told.contains("deleted 1 trace again"), "{told}");
    server.restart();
    assert_eq!(traces(&server), before[1..]);
}

#[test]
fn a_folder_that_lost_its_catalog_is_refused_and_mended() {
    let mut server = Server::start(BINARY, &[]);
    send(&server);
    let before = traces(&server);
    server.stop();
    let data = server.data_dir();
    std::fs::remove_file(data.join("catalog.db")).unwrap();
    let refused = tracegrade(&["doctor", "--data-dir", text(&data)]).unwrap_err();
    assert!(refused.contains("rebuild-catalog"), "{refused}");
    let told = tracegrade(&["rebuild-catalog", "--data-dir", text(&data)]).unwrap();
    assert!(told.starts_with("made a catalog of "), "{told}");
    let well = tracegrade(&["doctor", "--deep", "--data-dir", text(&data)]).unwrap();
    assert!(!well.contains("WRONG"), "{well}");
    server.restart();
    assert_eq!(traces(&server), before);
}
