//! A judge that says what it was told to: an OpenAI-compatible server on a real socket.
//!
//! Each request takes the next line of the script, whatever it asks, and is kept for the test to look at.
//! It speaks Chat Completions, Responses and Embeddings; what it does wrong it does on the wire: it
//! stalls, hangs up in the middle of a body, answers garbage, lies about tokens.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

/// A body that a client sends is shorter.
const BODY_BYTES_MAX: usize = 64 << 20;

/// What the judge does with one request.
#[derive(Debug, Clone)]
pub enum Move {
    /// Answers with these words.
    Say(String),
    /// Answers with this object, as text, as structured output does.
    Object(Value),
    /// Refuses, in the field for that.
    Refuse(String),
    /// Answers with these words and claims these tokens: read, written.
    Lie(String, i64, i64),
    /// Answers with this status, these headers and this body.
    Fail(u16, Vec<(&'static str, String)>, Value),
    /// Answers with a body that is not JSON.
    Garbage(String),
    /// Sends half of a good answer and hangs up.
    CutOff(String),
    /// Hangs up without a word.
    HangUp,
    /// Waits before it does something else.
    Stall(Duration, Box<Move>),
}

impl Move {
    /// 429 that asks to come back after so many milliseconds.
    pub fn busy(retry_after_ms: u64) -> Self {
        let after = ("retry-after-ms", retry_after_ms.to_string());
        Self::Fail(429, vec![after], error("rate_limit_exceeded", "slow down"))
    }

    /// An error with a code and a message, as OpenAI sends it.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::Fail(status, Vec::new(), error(code, message))
    }
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// As in `/v1/chat/completions`.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Value,
}

impl Asked {
    /// Returns a header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Default)]
struct State {
    script: Mutex<VecDeque<Move>>,
    /// What is done when the script is over.
    last: Mutex<Option<Move>>,
    asked: Mutex<Vec<Asked>>,
    working: AtomicUsize,
    working_max: AtomicUsize,
    is_over: AtomicBool,
}

/// The server. Dropping it ends it.
#[derive(Debug)]
pub struct Judge {
    address: SocketAddr,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

impl Judge {
    /// Starts a judge with a script; when that is over it answers 500, which no test should like.
    pub fn start(script: impl IntoIterator<Item = Move>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        *lock(&state.script) = script.into_iter().collect();
        let accepting = std::thread::spawn({
            let state = state.clone();
            move || accept(&listener, &state)
        });
        Ok(Self {
            address,
            state,
            accepting: Some(accepting),
        })
    }

    /// Sets what is done with every request that the script has no line for.
    pub fn always(self, last: Move) -> Self {
        *lock(&self.state.last) = Some(last);
        self
    }

    /// Returns the base URL, as `OPENAI_BASE_URL` has it.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Returns all requests that came, in order.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.state.asked).clone()
    }

    /// Returns how many requests were worked on at one time, at most.
    pub fn working_max(&self) -> usize {
        self.state.working_max.load(Ordering::SeqCst)
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts. Those that serve end with their clients.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.accepting.take() {
            drop(thread.join());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    for stream in listener.incoming() {
        if state.is_over.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else {
            continue;
        };
        let state = state.clone();
        std::thread::spawn(move || drop(serve(&stream, &state)));
    }
}

/// Serves requests of one connection until somebody hangs up.
fn serve(stream: &TcpStream, state: &State) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read(&mut reader)? {
        let working = state.working.fetch_add(1, Ordering::SeqCst) + 1;
        state.working_max.fetch_max(working, Ordering::SeqCst);
        let next = lock(&state.script).pop_front();
        let next = next.or_else(|| lock(&state.last).clone());
        lock(&state.asked).push(asked.clone());
        let next = next.unwrap_or_else(|| Move::error(500, "script", "the script is over"));
        let kept = perform(stream, &asked, next);
        state.working.fetch_sub(1, Ordering::SeqCst);
        if !kept? {
            return Ok(());
        }
    }
    Ok(())
}

fn read(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Asked>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0);
    if length > BODY_BYTES_MAX {
        return Err(io::Error::other("a body that is too large"));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Asked {
        path,
        headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    }))
}

/// Does what the script says, and returns whether the connection can go on.
fn perform(stream: &TcpStream, asked: &Asked, next: Move) -> io::Result<bool> {
    let body = match next {
        Move::Say(text) => answer(asked, &text, None, TOKENS),
        Move::Object(value) => answer(asked, &value.to_string(), None, TOKENS),
        Move::Refuse(why) => answer(asked, "", Some(&why), TOKENS),
        Move::Lie(text, read, written) => answer(asked, &text, None, (read, written)),
        Move::Fail(status, headers, body) => {
            return send(stream, status, &headers, &body.to_string());
        }
        Move::Garbage(text) => return send(stream, 200, &[], &text),
        Move::CutOff(text) => {
            let body = answer(asked, &text, None, TOKENS).to_string();
            let head = head(200, &[], body.len());
            let half = &body[..body.len() / 2];
            (&*stream).write_all(format!("{head}{half}").as_bytes())?;
            return Ok(false);
        }
        Move::HangUp => return Ok(false),
        Move::Stall(time, next) => {
            std::thread::sleep(time);
            return perform(stream, asked, *next);
        }
    };
    send(stream, 200, &[], &body.to_string())
}

fn send(
    mut stream: &TcpStream,
    status: u16,
    headers: &[(&'static str, String)],
    body: &str,
) -> io::Result<bool> {
    let head = head(status, headers, body.len());
    stream.write_all(format!("{head}{body}").as_bytes())?;
    Ok(true)
}

fn head(status: u16, headers: &[(&'static str, String)], length: usize) -> String {
    use std::fmt::Write as _;

    let mut head = format!(
        "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
    );
    for (name, value) in headers {
        let _written = write!(head, "{name}: {value}\r\n");
    }
    head + "\r\n"
}

/// What an honest answer counts: read and written.
const TOKENS: (i64, i64) = (11, 7);

/// Returns an answer in the words of the API that was asked.
fn answer(asked: &Asked, text: &str, refusal: Option<&str>, (read, written): (i64, i64)) -> Value {
    let model = &asked.body["model"];
    if asked.path.ends_with("/embeddings") {
        return embeddings(&asked.body["input"], model);
    }
    if asked.path.ends_with("/responses") {
        let content = match refusal {
            Some(refusal) => json!({"type": "refusal", "refusal": refusal}),
            None => json!({"type": "output_text", "text": text, "annotations": []}),
        };
        return json!({
            "id": "resp_1", "object": "response", "status": "completed", "model": model,
            "output": [
                {"type": "reasoning", "id": "rs_1", "summary": []},
                {"type": "message", "role": "assistant", "status": "completed", "content": [content]},
            ],
            "usage": {
                "input_tokens": read, "input_tokens_details": {"cached_tokens": 3},
                "output_tokens": written, "total_tokens": read + written,
            },
        });
    }
    let content = refusal.map_or(json!(text), |_| Value::Null);
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "model": model,
        "choices": [{
            "index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": content, "refusal": refusal},
        }],
        "usage": {
            "prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written,
            "prompt_tokens_details": {"cached_tokens": 3},
        },
    })
}

/// The vector of a text is its length and the number of its letters `a`.
fn embeddings(input: &Value, model: &Value) -> Value {
    let texts = input.as_array().cloned().unwrap_or_default();
    let vector = |text: &Value| {
        let text = text.as_str().unwrap_or_default();
        [text.len(), text.matches('a').count()]
    };
    let data = texts.iter().enumerate().map(
        |(index, text)| json!({"object": "embedding", "index": index, "embedding": vector(text)}),
    );
    // The order is not promised.
    let data: Vec<Value> = data.rev().collect();
    json!({"object": "list", "model": model, "data": data})
}

fn error(code: &str, message: &str) -> Value {
    json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": code}})
}
