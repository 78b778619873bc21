//! A server in the place of a model API: answers what the request asks it to, and keeps what it got.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// A completion as it is not streamed.
pub(super) const COMPLETION: &str = r#"{
  "id": "chatcmpl-1",
  "object": "chat.completion",
  "model": "gpt-4.1-mini-2025-04-14",
  "choices": [{"index": 0, "message": {"role": "assistant", "content": "4 C."}, "finish_reason": "stop"}],
  "usage": {"prompt_tokens": 100, "completion_tokens": 30, "prompt_tokens_details": {"cached_tokens": 20}}
}"#;

/// The chunks of one that is.
pub(super) const CHUNKS: [&str; 5] = [
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"model\":\"gpt-4.1-mini-2025-04-14\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"4 \"}}]}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"C.\"}}]}\n\ndata: {\"id\":\"chat",
    "cmpl-1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
];

/// A response of the Responses API.
pub(super) const RESPONSE: &str = r#"{"id":"resp_1","object":"response","status":"completed","model":"gpt-5","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"4 C."}]}],"usage":{"input_tokens":10,"output_tokens":3}}"#;

/// What one request was.
#[derive(Debug, Clone)]
pub(super) struct Got {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The server. It ends with the value.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    got: Mutex<Vec<Got>>,
    /// Lets an answer that holds still go on.
    go_on: Notify,
}

impl Upstream {
    pub(super) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            shared,
            _serving: serving,
        }
    }

    /// What it was sent so far.
    pub(super) fn got(&self) -> Vec<Got> {
        self.shared.got.lock().clone()
    }

    /// Lets an answer that holds still go on.
    pub(super) fn go_on(&self) {
        self.shared.go_on.notify_one();
    }
}

/// Answers as the header `x-play` says.
async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let play = parts.headers.get("x-play").cloned();
    let play = play.as_ref().map_or("", |play| play.to_str().unwrap());
    shared.got.lock().push(Got {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        headers: parts.headers.clone(),
        body,
    });
    let attempt = shared.got.lock().len();
    let mut response = match play {
        "stream" => stream(CHUNKS.map(Ok).into(), None),
        "stall" => stream(CHUNKS[..3].iter().copied().map(Ok).collect(), Some(shared)),
        "cut" => {
            let broken = Err(std::io::Error::other("cut"));
            let chunks = CHUNKS[..3].iter().copied().map(Ok).chain([broken]);
            stream(chunks.collect(), None)
        }
        "silent" => {
            shared.go_on.notified().await;
            Response::new(Body::empty())
        }
        "429 first" if attempt == 1 => refused(429, "rate_limit_exceeded", "Slow down."),
        "echo key" => {
            let key = parts.headers.get(header::AUTHORIZATION).unwrap();
            refused(401, "invalid_api_key", key.to_str().unwrap())
        }
        "500" => refused(500, "server_error", "upstream exploded"),
        "gzip" => compressed("gzip", gzip(COMPLETION.as_bytes())),
        "zstd" => compressed("zstd", zstd::encode_all(COMPLETION.as_bytes(), 1).unwrap()),
        "gzip stream" => {
            let mut response = compressed("gzip", gzip(CHUNKS.concat().as_bytes()));
            let kind = HeaderValue::from_static("text/event-stream");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        "page" => Response::new(Body::from("<html>hello</html>")),
        "large" => Response::new(Body::from("x".repeat(200_000))),
        _ if parts.uri.path().ends_with("responses") => Response::new(Body::from(RESPONSE)),
        _ => Response::new(Body::from(COMPLETION)),
    };
    let headers = response.headers_mut();
    headers.insert("x-request-id", HeaderValue::from_static("req_upstream"));
    headers.insert("connection", HeaderValue::from_static("x-hop"));
    headers.insert("x-hop", HeaderValue::from_static("1"));
    headers.insert("x-ratelimit-remaining", HeaderValue::from_static("9"));
    response
}

/// Streams chunks one by one; then holds still until it is told to go on, if it is to.
fn stream(
    chunks: Vec<Result<&'static str, std::io::Error>>,
    hold: Option<Arc<Shared>>,
) -> Response<Body> {
    let chunks = futures::stream::iter(chunks).then(|chunk| async {
        tokio::task::yield_now().await;
        chunk
    });
    let held = futures::stream::once(async move {
        if let Some(shared) = hold {
            shared.go_on.notified().await;
        }
        Ok("")
    });
    let mut response = Response::new(Body::from_stream(chunks.chain(held)));
    let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn refused(status: u16, code: &str, message: &str) -> Response<Body> {
    let body = serde_json::json!({"error": {"message": message, "type": "x", "code": code}});
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn compressed(encoding: &'static str, bytes: Vec<u8>) -> Response<Body> {
    let chunks: Vec<Result<Bytes, Infallible>> = bytes
        .chunks(20)
        .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
        .collect();
    let mut response = Response::new(Body::from_stream(futures::stream::iter(chunks)));
    let encoding = HeaderValue::from_static(encoding);
    response
        .headers_mut()
        .insert(header::CONTENT_ENCODING, encoding);
    response
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
