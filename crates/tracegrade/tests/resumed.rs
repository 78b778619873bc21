//! `import --resume`: an import that was killed goes on where it was, by the real program.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop here"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::Value;

fn tracegrade() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tracegrade"))
}

/// A server that takes bodies and answers those it is told to; the others it keeps waiting.
struct Taker {
    url: String,
    bodies: Receiver<String>,
    answers_all: Arc<AtomicBool>,
}

impl Taker {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (told, bodies) = channel();
        let answers_all = Arc::new(AtomicBool::new(false));
        let all = answers_all.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (told, all) = (told.clone(), all.clone());
                std::thread::spawn(move || serve(stream, &told, &all));
            }
        });
        Self {
            url,
            bodies,
            answers_all,
        }
    }
}

fn serve(stream: TcpStream, told: &Sender<String>, answers_all: &AtomicBool) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some((_, value)) = line.to_ascii_lowercase().split_once("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let body = String::from_utf8(body).unwrap();
        let is_answered = answers_all.load(Ordering::SeqCst) || body.contains("\"n\":0,");
        let documents = body.lines().count();
        if told.send(body).is_err() {
            return;
        }
        if is_answered {
            let answer = format!(r#"{{"accepted":{documents},"rejected_count":0,"rejected":[]}}"#);
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
                answer.len()
            );
            let sent = reader.get_mut().write_all((head + &answer).as_bytes());
            if sent.is_err() {
                return;
            }
        }
    }
}

#[test]
fn an_import_that_was_killed_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("long.jsonl");
    // Two lines make a request.
    let line = |n: usize| format!("{{\"n\":{n},\"x\":\"{}\"}}\n", "x".repeat(1_100_000));
    std::fs::write(&file, (0..14).map(line).collect::<String>()).unwrap();
    let taker = Taker::start();
    let args = [
        "--url",
        &taker.url,
        "import",
        file.to_str().unwrap(),
        "--resume",
        "--json",
    ];
    let mut child = tracegrade()
        .args(args)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // The fifth is sent only once the answer to the first was noted.
    for _ in 0..5 {
        taker.bodies.recv().unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let state = dir.path().join("long.jsonl.tracegrade-import");
    let kept: Value = serde_json::from_slice(&std::fs::read(&state).unwrap()).unwrap();
    assert_eq!(
        (&kept["documents"], &kept["outcome"]["accepted"]),
        (&2.into(), &2.into())
    );

    taker.answers_all.store(true, Ordering::SeqCst);
    let output = tracegrade().args(args).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["accepted"], &report["files"]),
        (&14.into(), &1.into())
    );
    assert!(!state.exists());
    let again: Vec<String> = taker.bodies.try_iter().collect();
    assert_eq!(again.len(), 6, "the first request was not sent again");
    assert!(again.iter().all(|body| !body.contains("\"n\":1,")));

    // Another file of the same name is not gone on with.
    std::fs::write(&state, serde_json::to_vec(&kept).unwrap()).unwrap();
    std::fs::write(&file, "{}").unwrap();
    let output = tracegrade().args(args).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        error.contains("has changed") && error.contains("remove "),
        "{error}"
    );
}
