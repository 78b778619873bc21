//! `replay`: a store made anew of an archive, by the real program.

#![expect(
    clippy::unwrap_used,
    reason = "what supports a test is a test: it fails by panicking"
)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const BODY: &str = r#"{"data":[
    {"object":"trace","id":"trace_a","workflow_name":"w"},
    {"object":"trace.span","id":"span_1","trace_id":"trace_a",
     "started_at":"2026-01-02T03:04:05Z","ended_at":"2026-01-02T03:04:06Z",
     "span_data":{"type":"function","name":"f","input":"{}","output":"1"}}]}"#;

fn tracegrade(args: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_tracegrade");
    Command::new(program).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Serves `data` while `work` runs, and kills the server then.
fn serving<T>(data: &Path, work: impl FnOnce(&str) -> T) -> T {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tracegrade"))
        .args(["serve", "--listen", "127.0.0.1:0", "--grpc-listen", "off"])
        .args(["--archive", "--data-dir"])
        .arg(data)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let done = work(first.split_once(" listens on ").unwrap().1);
    child.kill().unwrap();
    child.wait().unwrap();
    done
}

#[test]
fn a_folder_is_made_anew_of_an_archive_whose_server_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (data, anew, body) = (path("data"), path("anew"), path("body.json"));
    std::fs::write(&body, BODY).unwrap();
    serving(Path::new(&data), |url| {
        let sent = tracegrade(&["import", &body, "--url", url]);
        assert!(sent.status.success(), "{}", text(&sent.stderr));
    });
    let archive = format!("{data}/archive");
    let replay = ["replay", &archive, "--data-dir", &anew, "--json"];
    let output = tracegrade(&replay);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["bodies"], &told["accepted"]), (&json!(1), &json!(2)));
    assert_eq!(
        told["torn"].as_array().unwrap().len(),
        1,
        "it was killed: {told}"
    );
    let again = tracegrade(&[&replay[..], &["--project", "other"]].concat());
    let told: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!((again.status.code(), &told["bodies"]), (Some(0), &json!(0)));
    let later = tracegrade(&[&replay[..], &["--since", "2100-01-01"]].concat());
    assert_eq!(later.status.code(), Some(0), "{}", text(&later.stderr));
    serving(Path::new(&anew), |url| {
        let shown = tracegrade(&["traces", "show", "trace_a", "--url", url]);
        assert!(shown.status.success(), "{}", text(&shown.stderr));
    });
}

#[test]
fn what_is_no_archive_of_this_version_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let anew = dir.path().join("anew");
    let check = |archive: &Path, want: &str| {
        let (archive, to) = (archive.to_str().unwrap(), anew.to_str().unwrap());
        let output = tracegrade(&["replay", archive, "--data-dir", to]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(want), "{error}");
        assert!(!anew.exists(), "{archive}");
    };
    let later = dir.path().join("2026-11-28T15-0000.tgar.zst");
    std::fs::write(
        &later,
        zstd::encode_all(&b"TGAR\x02and so on"[..], 1).unwrap(),
    )
    .unwrap();
    check(&later, "a later version of tracegrade wrote them");
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    check(&empty, "holds no archive");
    check(&dir.path().join("none"), "failed to look at");
}
