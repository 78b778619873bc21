//! How much later does an answer come through the recording proxy?
//!
//! A small model API in this process answers at once, and streams. The same calls go to it directly
//! and through the real program, in turn. Of a call the time from the first byte sent to the last one
//! received is measured; of a stream the way of each chunk, from the moment in which the API wrote it,
//! which stands in the chunk. Arguments: `--calls 2000`, `--streams 40`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testkit::bench::{Arguments, print_row};
use testkit::figures::quantile;
use testkit::server::Server;

/// The program under test, built with the bench's profile.
const BINARY: &str = env!("CARGO_BIN_EXE_tracegrade");

/// What an agent with a little history sends.
const PROMPT_BYTES: usize = 4_000;
const CHUNKS: usize = 100;
/// A fast model's pace.
const CHUNK_PAUSE: Duration = Duration::from_millis(2);

fn main() -> Result<()> {
    let Some(arguments) = Arguments::read() else {
        return Ok(());
    };
    let calls = arguments.number("--calls", 2_000);
    let streams = arguments.number("--streams", 40);
    let api = Api::start()?;
    let upstream = format!("openai=http://{}/v1", api.address);
    let server = Server::start(BINARY, &["--upstream", &upstream]);
    let mut direct = Caller::new(api.address, "/v1/chat/completions")?;
    let mut through = Caller::new(server.address(), "/v1/proxy/openai/chat/completions")?;

    let (mut times, mut ways) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for n in 0..calls {
        for (caller, times) in [&mut direct, &mut through].into_iter().zip(&mut times) {
            times.push(caller.call(n)?);
        }
    }
    for n in 0..streams {
        for (caller, ways) in [&mut direct, &mut through].into_iter().zip(&mut ways) {
            caller.stream(n, api.began, ways)?;
        }
    }
    row(&format!("a call, {calls} each"), &mut times);
    row(
        &format!("a chunk of a stream, {streams} streams of {CHUNKS}"),
        &mut ways,
    );
    recorded(&server, calls + streams)
}

fn row(what: &str, [direct, through]: &mut [Vec<Duration>; 2]) {
    direct.sort_unstable();
    through.sort_unstable();
    let ms = |of: Duration| of.as_secs_f64() * 1e3;
    let [p50, proxy_p50] = [&*direct, &*through].map(|times| ms(quantile(times, 0.5)));
    let [p99, proxy_p99] = [&*direct, &*through].map(|times| ms(quantile(times, 0.99)));
    let figures = format!(
        "direct p50 {p50:.3} ms, p99 {p99:.3} ms; through the proxy p50 {proxy_p50:.3} ms, p99 {proxy_p99:.3} ms; added p50 {:.3} ms, p99 {:.3} ms",
        proxy_p50 - p50,
        proxy_p99 - p99,
    );
    print_row(what, &figures);
}

/// Waits until the calls are recorded: a proxy that records nothing is fast for nothing.
fn recorded(server: &Server, calls: u64) -> Result<()> {
    let query = "select count(*) as n from spans where source = 'proxy' and status = 'success'";
    let mut client = server.client();
    let begun = Instant::now();
    loop {
        let rows = client.sql(query)?;
        let count = rows[0]["n"].as_u64().context("a count is a number")?;
        if count == calls {
            print_row("recorded", &format!("all {calls} calls"));
            return Ok(());
        }
        ensure!(
            begun.elapsed() < Duration::from_secs(60),
            "{count} of {calls} calls were recorded"
        );
        thread::sleep(Duration::from_millis(100));
    }
}

/// One connection to whoever answers.
struct Caller {
    address: SocketAddr,
    path: &'static str,
    stream: BufReader<TcpStream>,
}

impl Caller {
    fn new(address: SocketAddr, path: &'static str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            address,
            path,
            stream: BufReader::new(stream),
        })
    }

    fn send(&mut self, n: u64, is_stream: bool) -> io::Result<()> {
        let prompt = format!("{n} {}", "tell me more. ".repeat(PROMPT_BYTES / 14));
        let body = format!(
            r#"{{"model":"gpt-4.1-mini","stream":{is_stream},"messages":[{{"role":"user","content":"{prompt}"}}]}}"#
        );
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer sk-bench-key\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.path,
            self.address,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())
    }

    /// Makes a call and returns how long it took.
    fn call(&mut self, n: u64) -> io::Result<Duration> {
        let begun = Instant::now();
        self.send(n, false)?;
        let length = head(&mut self.stream)?.length;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(begun.elapsed())
    }

    /// Makes a streamed call and adds how long each chunk was on its way.
    fn stream(&mut self, n: u64, began: Instant, ways: &mut Vec<Duration>) -> io::Result<()> {
        self.send(n, true)?;
        head(&mut self.stream)?;
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let now = began.elapsed();
            if line.trim() == "0" {
                self.stream.read_line(&mut line)?;
                return Ok(());
            }
            if let Some((_, rest)) = line.split_once("\"content\":\"") {
                let sent = rest.split('"').next().and_then(|text| text.parse().ok());
                ways.push(now - Duration::from_nanos(sent.unwrap_or(0)));
            }
        }
    }
}

/// What is needed of the head of a request or an answer.
struct Head {
    length: usize,
}

fn head(stream: &mut impl BufRead) -> io::Result<Head> {
    let mut head = Head { length: 0 };
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            return Ok(head);
        }
        if let Some(length) = line.strip_prefix("content-length:") {
            head.length = length.trim().parse().map_err(io::Error::other)?;
        }
    }
}

/// A model API that answers at once. Its threads end with the process.
struct Api {
    address: SocketAddr,
    began: Instant,
}

impl Api {
    fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, began) = (listener.local_addr()?, Instant::now());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A connection that is closed ends its thread.
                thread::spawn(move || answer_all(stream, began).ok());
            }
        });
        Ok(Self { address, began })
    }
}

fn answer_all(stream: TcpStream, began: Instant) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let length = head(&mut stream)?.length;
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let is_stream = body.windows(13).any(|window| window == b"\"stream\":true");
        match is_stream {
            true => answer_in_chunks(stream.get_mut(), began)?,
            false => answer_whole(stream.get_mut())?,
        }
    }
}

fn answer_whole(stream: &mut TcpStream) -> io::Result<()> {
    let text = "It is cold. ".repeat(80);
    let body = format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4.1-mini","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":900,"completion_tokens":200}}}}"#
    );
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ";
    stream.write_all(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes())
}

fn answer_in_chunks(stream: &mut TcpStream, began: Instant) -> io::Result<()> {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes())?;
    let mut write =
        |event: String| stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes());
    for _ in 0..CHUNKS {
        thread::sleep(CHUNK_PAUSE);
        let now = began.elapsed().as_nanos();
        write(format!(
            "data: {{\"model\":\"gpt-4.1-mini\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{now}\"}}}}]}}\n\n"
        ))?;
    }
    write("data: [DONE]\n\n".to_owned())?;
    stream.write_all(b"0\r\n\r\n")
}
