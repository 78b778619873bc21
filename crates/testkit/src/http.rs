//! A client that costs little: one connection, one request at a time, blocking.
//!
//! It knows as much of HTTP/1.1 as the server under test speaks: `Content-Length` and chunks.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A hung server is a finding, not a reason to hang with it.
const TIMEOUT: Duration = Duration::from_secs(120);

const JSON: &str = "application/json";

/// What the server said.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// The body, without its chunks.
    pub body: Vec<u8>,
}

impl Answer {
    /// Returns the body as JSON.
    pub fn json(&self) -> io::Result<serde_json::Value> {
        serde_json::from_slice(&self.body).map_err(io::Error::other)
    }

    /// Returns the answer if it is a 200, and what it says as an error if not.
    pub fn ok(self) -> io::Result<Self> {
        if self.status == 200 {
            return Ok(self);
        }
        let text = String::from_utf8_lossy(&self.body).into_owned();
        Err(io::Error::other(format!("{}: {text}", self.status)))
    }
}

/// A connection that is kept, and made anew after an error.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
    /// What was read and not yet used.
    buffer: Vec<u8>,
}

impl Client {
    /// Returns a client that connects with its first request.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
            buffer: Vec::new(),
        }
    }

    /// Sends a GET.
    pub fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.request("GET", path, JSON, &[])
    }

    /// Sends a POST with a JSON body.
    pub fn post(&mut self, path: &str, body: &[u8]) -> io::Result<Answer> {
        self.request("POST", path, JSON, body)
    }

    /// Sends a body of another kind.
    pub fn post_as(&mut self, path: &str, kind: &str, body: &[u8]) -> io::Result<Answer> {
        self.request("POST", path, kind, body)
    }

    /// Returns the rows that a query answers with.
    pub fn sql(&mut self, query: &str) -> io::Result<Vec<serde_json::Value>> {
        let body = serde_json::json!({ "query": query }).to_string();
        let mut answer = self.post("/v1/sql", body.as_bytes())?.ok()?.json()?;
        match answer["data"].take() {
            serde_json::Value::Array(rows) => Ok(rows),
            _ => Err(io::Error::other(format!("no rows: {answer}"))),
        }
    }

    fn request(&mut self, method: &str, path: &str, kind: &str, body: &[u8]) -> io::Result<Answer> {
        let result = self.exchange(method, path, kind, body);
        if !matches!(result, Ok((_, true))) {
            self.stream = None;
            self.buffer.clear();
        }
        result.map(|(answer, _)| answer)
    }

    fn exchange(
        &mut self,
        method: &str,
        path: &str,
        kind: &str,
        body: &[u8],
    ) -> io::Result<(Answer, bool)> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(self.address)?,
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        let sent = stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(body));
        // A server may answer before it has read all, and hang up: the answer counts.
        let answer = self.read_answer(&mut stream);
        let (answer, keep) = match (sent, answer) {
            (_, Ok(answer)) => answer,
            (Err(error), Err(_)) | (Ok(()), Err(error)) => return Err(error),
        };
        if keep {
            self.stream = Some(stream);
        }
        Ok((answer, keep))
    }

    fn read_answer(&mut self, stream: &mut TcpStream) -> io::Result<(Answer, bool)> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            self.fill(stream)?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        self.buffer.drain(..end + 4);
        let field = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(':'));
            lines
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.trim().to_owned())
        };
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        let body = match field("content-length").and_then(|text| text.parse().ok()) {
            Some(length) => self.take(stream, length)?,
            None if field("transfer-encoding").as_deref() == Some("chunked") => {
                self.take_chunks(stream)?
            }
            None => Vec::new(),
        };
        let answer = Answer {
            status: status.ok_or_else(|| io::Error::other("an answer without a status"))?,
            retry_after: field("retry-after").and_then(|text| text.parse().ok()),
            body,
        };
        Ok((answer, field("connection").as_deref() != Some("close")))
    }

    fn take(&mut self, stream: &mut TcpStream, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill(stream)?;
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    fn take_chunks(&mut self, stream: &mut TcpStream) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = find(&self.buffer, b"\r\n") {
                    break end;
                }
                self.fill(stream)?;
            };
            let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
            let length = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            self.buffer.drain(..end + 2);
            let chunk = self.take(stream, length + 2)?;
            if length == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..length]);
        }
    }

    fn fill(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        let before = self.buffer.len();
        self.buffer.resize(before + (64 << 10), 0);
        let read = stream.read(&mut self.buffer[before..]);
        self.buffer
            .truncate(before + read.as_ref().copied().unwrap_or(0));
        match read? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}
