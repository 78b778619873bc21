//! A place that bodies are passed on to: takes all of them, or takes a connection and never answers.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::read::GzDecoder;

/// Somebody who waits for an answer may have gone.
const TIMEOUT: Duration = Duration::from_secs(120);

/// What a sink does with what it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It reads, keeps the ids of spans, and answers 200.
    Take,
    /// It reads, and answers nothing for as long as it lives.
    Stall,
}

/// A listening sink. It ends with the value; its threads end with their connections.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    manner: Manner,
    is_over: AtomicBool,
    got: Mutex<Got>,
}

#[derive(Debug, Default)]
struct Got {
    requests: u64,
    spans: u64,
    ids: HashSet<String>,
}

impl Sink {
    /// Listens on a free port of the loopback.
    pub fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            manner,
            is_over: AtomicBool::new(false),
            got: Mutex::default(),
        });
        let of_listener = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if of_listener.is_over.load(Ordering::Relaxed) {
                    break;
                }
                let of_connection = Arc::clone(&of_listener);
                std::thread::spawn(move || serve(stream, &of_connection));
            }
        });
        Self { address, shared }
    }

    /// Returns where it listens.
    pub fn url(&self) -> String {
        format!("http://{}/in", self.address)
    }

    /// Returns how many requests came.
    pub fn requests(&self) -> u64 {
        self.shared.got().requests
    }

    /// Returns how many spans came, each time one came.
    pub fn spans(&self) -> u64 {
        self.shared.got().spans
    }

    /// Returns how many different spans came.
    pub fn distinct(&self) -> usize {
        self.shared.got().ids.len()
    }

    /// Returns the ids of the spans that came.
    pub fn ids(&self) -> HashSet<String> {
        self.shared.got().ids.clone()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // It waits for a connection, and looks up when one comes.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn got(&self) -> std::sync::MutexGuard<'_, Got> {
        self.got.lock().expect("no reader panics")
    }

    /// Takes in a webhook's body: a line a trace, each with its spans.
    fn take(&self, body: &[u8]) {
        let mut got = self.got();
        got.requests += 1;
        for line in body.split(|byte| *byte == b'\n') {
            let Ok(line) = serde_json::from_slice::<serde_json::Value>(line) else {
                continue;
            };
            for span in line["spans"].as_array().into_iter().flatten() {
                got.spans += 1;
                if let Some(id) = span["id"].as_str() {
                    got.ids.insert(id.to_owned());
                }
            }
        }
    }
}

/// Reads requests until the other side goes.
fn serve(stream: TcpStream, shared: &Shared) {
    if stream.set_read_timeout(Some(TIMEOUT)).is_err() {
        return;
    }
    let Ok(mut writer) = stream.try_clone() else {
        return;
    };
    let mut reader = BufReader::new(stream);
    while let Some(body) = request(&mut reader) {
        match shared.manner {
            Manner::Take => shared.take(&body),
            Manner::Stall => {
                shared.got().requests += 1;
                while !shared.is_over.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(50));
                }
                return;
            }
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        if writer.write_all(answer).is_err() {
            return;
        }
    }
}

/// Returns the body of the next request, inflated.
fn request(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let (mut length, mut is_gzip, mut line) = (0, false, String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let text = line.trim().to_ascii_lowercase();
        if text.is_empty() {
            break;
        }
        if let Some(value) = text.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        is_gzip |= text.starts_with("content-encoding:") && text.ends_with("gzip");
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    if !is_gzip {
        return Some(body);
    }
    let mut inflated = Vec::new();
    GzDecoder::new(body.as_slice())
        .read_to_end(&mut inflated)
        .ok()?;
    Some(inflated)
}
