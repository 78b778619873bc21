//! OTLP over gRPC: calls framed by hand, as a client's bytes are, and what their trailers say.

use std::io::Write;

use axum::http::{HeaderMap, Request, Version};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::otlp::{captures, deliver, project, traces_of};
use crate::support::{TestServer, send};

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// The codes that are spoken of here.
const OK: u32 = 0;
const INVALID_ARGUMENT: u32 = 3;
const NOT_FOUND: u32 = 5;
const PERMISSION_DENIED: u32 = 7;
const RESOURCE_EXHAUSTED: u32 = 8;
const UNIMPLEMENTED: u32 = 12;
const UNAVAILABLE: u32 = 14;
const UNAUTHENTICATED: u32 = 16;

/// A connection.
struct Caller {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
    _connection: JoinSet<()>,
}

/// What a call was answered.
#[derive(Debug)]
struct Told {
    code: u32,
    text: String,
    /// The name of the detail, such as `RetryInfo`, and the bytes that hold it.
    details: String,
    message: Vec<u8>,
    headers: HeaderMap,
}

impl Caller {
    async fn new(server: &TestServer) -> Self {
        let address = server.running().grpc_address().unwrap();
        let socket = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(socket))
            .await
            .unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let _ended = connection.await;
        });
        Self {
            sender,
            authority: address.to_string(),
            _connection: tasks,
        }
    }

    async fn ask(
        &self,
        path: &str,
        metadata: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> axum::http::Response<Incoming> {
        let mut request = Request::post(format!("http://{}{path}", self.authority))
            .version(Version::HTTP_2)
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in metadata {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        self.sender.clone().send_request(request).await.unwrap()
    }

    /// Calls with a body as it is.
    async fn call_raw(
        &self,
        path: &str,
        metadata: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Told {
        let response = self.ask(path, metadata, body).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/grpc");
        let headers = response.headers().clone();
        let collected = response.into_body().collect().await.unwrap();
        // An error stands in the headers, with nothing behind them.
        let end = collected.trailers().unwrap_or(&headers).clone();
        let text = |name: &str| end.get(name).map_or("", |v| v.to_str().unwrap()).to_owned();
        let details = BASE64_STANDARD_NO_PAD.decode(text("grpc-status-details-bin"));
        let body = collected.to_bytes();
        Told {
            code: text("grpc-status").parse().unwrap(),
            text: text("grpc-message").replace("%20", " "),
            details: String::from_utf8_lossy(&details.unwrap()).into_owned(),
            message: unframed(&body),
            headers,
        }
    }

    /// Calls with one message, uncompressed.
    async fn call(&self, path: &str, metadata: &[(&str, &str)], message: &[u8]) -> Told {
        self.call_raw(path, metadata, framed(0, message)).await
    }
}

fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[flag][..], &length.to_be_bytes(), message].concat()
}

/// The one message of an answer, or nothing if there is none.
fn unframed(body: &[u8]) -> Vec<u8> {
    match body.split_at_checked(5) {
        None => {
            assert!(body.is_empty());
            Vec::new()
        }
        Some((prefix, message)) => {
            assert_eq!(prefix[0], 0, "answers are not compressed");
            let length = u32::from_be_bytes(prefix[1..].try_into().unwrap());
            assert_eq!(message.len(), length as usize);
            message.to_vec()
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A request of one span, whose first byte of the trace's id is given.
fn one_span(id_bytes: &[u8]) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        [
            &[number << 3 | 2, u8::try_from(bytes.len()).unwrap()],
            bytes,
        ]
        .concat()
    };
    let span = [field(1, id_bytes), field(2, &[7; 8]), field(5, b"a name")].concat();
    field(1, &field(2, &field(2, &span)))
}

async fn books(server: &TestServer) -> Value {
    server.get("/v1/health/ingest").await.json()["data"].clone()
}

#[tokio::test]
async fn captures_give_the_same_as_over_http() {
    let server = TestServer::new().await;
    let caller = Caller::new(&server).await;
    let mut compared = 0;
    for capture in captures() {
        let is_protobuf = |content_type: &str| content_type == "application/x-protobuf";
        if !capture
            .requests
            .iter()
            .all(|sent| is_protobuf(sent.content_type))
        {
            // What was captured in JSON has no form in which gRPC takes it.
            continue;
        }
        let over_http = project(&server, &format!("{} http", capture.name)).await;
        let want = deliver(&server, &over_http, &capture.requests).await;
        let over_grpc = project(&server, &format!("{} grpc", capture.name)).await;
        for (at, sent) in capture.requests.iter().enumerate() {
            let path = if sent.path == "/v1/logs" {
                LOGS
            } else {
                TRACES
            };
            let named = ("openai-project", over_grpc.as_str());
            let told = match at % 3 {
                0 => caller.call(path, &[named], &sent.body).await,
                1 => {
                    let body = framed(1, &gzip(&sent.body));
                    caller
                        .call_raw(path, &[named, ("grpc-encoding", "gzip")], body)
                        .await
                }
                _ => {
                    let body = framed(1, &zstd::encode_all(&sent.body[..], 1).unwrap());
                    caller
                        .call_raw(path, &[named, ("grpc-encoding", "zstd")], body)
                        .await
                }
            };
            assert_eq!(
                (told.code, told.message.len()),
                (OK, 0),
                "{}: {told:?}",
                capture.name
            );
        }
        let mut got = traces_of(&server, &over_grpc).await;
        let mut want = want;
        assert!(!got.is_empty(), "{}", capture.name);
        got.iter_mut().for_each(forget_arrival);
        want.iter_mut().for_each(forget_arrival);
        assert_eq!(got, want, "{}", capture.name);
        compared += 1;
    }
    assert!(compared >= 23, "only {compared} captures were compared");
}

/// Takes out what says when, as which row and into which project something came.
fn forget_arrival(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let is_of_arrival = |name: &str| {
                name.ends_with("received_at") || name.ends_with("seq") || name == "project_id"
            };
            fields.retain(|name, _| !is_of_arrival(name));
            fields.values_mut().for_each(forget_arrival);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_arrival),
        _ => {}
    }
}

#[tokio::test]
async fn a_bad_span_is_told_in_the_answer_and_in_the_books() {
    let server = TestServer::new().await;
    let caller = Caller::new(&server).await;
    let taken = caller.call(TRACES, &[], &one_span(&[1; 16])).await;
    assert_eq!((taken.code, &taken.message[..]), (OK, &b""[..]));
    let partial = caller.call(TRACES, &[], &one_span(&[1; 3])).await;
    assert_eq!(
        (partial.code, &partial.message[2..4]),
        (OK, &b"\x08\x01"[..])
    );
    let text = String::from_utf8_lossy(&partial.message).into_owned();
    assert!(text.contains("must be 16 bytes"), "{text}");
    let noted = caller.call(METRICS, &[], b"").await;
    assert_eq!(noted.code, OK);
    assert!(noted.message.ends_with(b"tracegrade keeps no metrics"));
    let bad = caller.call(TRACES, &[], b"\x0a\xff\xff").await;
    assert_eq!(bad.code, INVALID_ARGUMENT);
    assert!(bad.details.contains("google.rpc.BadRequest"), "{bad:?}");
    assert!(bad.headers.contains_key("x-request-id"));
    let account = &books(&server).await[0];
    assert_eq!(account["source"], "otlp");
    assert_eq!(
        (
            &account["accepted"],
            &account["rejected"],
            &account["refused"]
        ),
        (
            &json!(1),
            &json!({"bad_id": 1}),
            &json!({"invalid_body": 1})
        )
    );
}

#[tokio::test]
async fn what_is_no_call_of_ours_is_told_so() {
    let server = TestServer::new().await;
    let caller = Caller::new(&server).await;
    let check = async |path: &str, metadata: &[(&str, &str)], body: &[u8], want: u32| {
        let told = caller.call_raw(path, metadata, body.to_vec()).await;
        assert_eq!(told.code, want, "{path} {metadata:?}: {told:?}");
        told
    };
    let empty = framed(0, b"");
    let unknown = check("/a.b.Service/Do", &[], &empty, UNIMPLEMENTED).await;
    assert!(
        unknown.text.contains("there is no method /a.b.Service/Do"),
        "{unknown:?}"
    );
    check("/v1/traces", &[], &empty, UNIMPLEMENTED).await;
    let br = [("grpc-encoding", "br")];
    let told = check(TRACES, &br, &framed(1, b"x"), UNIMPLEMENTED).await;
    assert_eq!(
        told.headers["grpc-accept-encoding"],
        "identity,gzip,deflate,zstd"
    );
    check(TRACES, &br, &empty, OK).await;
    check(TRACES, &[], &framed(1, b"x"), INVALID_ARGUMENT).await;
    let gzip = [("grpc-encoding", "gzip")];
    check(TRACES, &gzip, &framed(1, b"not gzip"), INVALID_ARGUMENT).await;
    check(TRACES, &[], b"", INVALID_ARGUMENT).await;
    check(TRACES, &[], &empty[..4], INVALID_ARGUMENT).await;
    let two = [empty.clone(), empty.clone()].concat();
    let told = check(TRACES, &[], &two, INVALID_ARGUMENT).await;
    assert!(told.text.contains("more than one message"), "{told:?}");
    let short = [&framed(0, b"abc")[..7]].concat();
    check(TRACES, &[], &short, INVALID_ARGUMENT).await;
}

#[tokio::test]
async fn an_exporter_with_the_wrong_port_is_shown_the_right_one() {
    let server = TestServer::new().await;
    let address = server.running().grpc_address().unwrap();
    let request = crate::support::client().post(format!("http://{address}/v1/traces"));
    let answer = send(request.json(&json!({}))).await;
    assert_eq!(answer.error(), (415, "unsupported_media_type".into()));
    let right = format!("http://{}", server.running().address());
    assert!(answer.text.contains(&right), "{}", answer.text);
    let account = &books(&server).await[0];
    assert_eq!(account["refused"], json!({"unsupported_media_type": 1}));
}

#[tokio::test]
async fn a_message_over_a_limit_is_refused_for_good() {
    let server = TestServer::with(|config| {
        config.body_bytes_max = 1 << 20;
        config.inflated_bytes_max = 2 << 20;
    })
    .await;
    let caller = Caller::new(&server).await;
    let check = |told: &Told, setting: &str| {
        assert_eq!(told.code, RESOURCE_EXHAUSTED, "{told:?}");
        assert!(told.text.contains(setting), "{told:?}");
        assert_eq!(told.details, "", "no word of coming back");
    };
    let large = caller.call(TRACES, &[], &vec![0; (1 << 20) + 1]).await;
    check(&large, "body_bytes_max");
    // Announced and not sent: nothing is waited for.
    let announced = b"\0\xff\xff\xff\xff".to_vec();
    check(
        &caller.call_raw(TRACES, &[], announced).await,
        "body_bytes_max",
    );
    let bomb = framed(1, &gzip(&vec![0; 16 << 20]));
    let gzipped = [("grpc-encoding", "gzip")];
    check(
        &caller.call_raw(TRACES, &gzipped, bomb).await,
        "inflated_bytes_max",
    );
    let taken = caller.call(TRACES, &[], &one_span(&[1; 16])).await;
    assert_eq!(taken.code, OK, "the server goes on");
    let refused = &books(&server).await[0]["refused"];
    assert_eq!(*refused, json!({"body_too_large": 3}));
}

#[tokio::test]
async fn who_must_wait_is_told_how_long() {
    type Change = fn(&mut server::Config);
    let cases: [(&str, Change); 3] = [
        ("disk_full", |config| config.store.free_bytes_min = u64::MAX),
        ("compaction_lag", |config| config.store.l0_files_max = 0),
        ("busy", |config| config.requests_max = 0),
    ];
    for (reason, change) in cases {
        let server = TestServer::with(change).await;
        let caller = Caller::new(&server).await;
        let told = caller.call(TRACES, &[], &one_span(&[1; 16])).await;
        assert_eq!(told.code, UNAVAILABLE, "{reason}: {told:?}");
        assert!(
            told.details.contains("google.rpc.RetryInfo"),
            "{reason}: {told:?}"
        );
        let books = server.get("/v1/health/ingest");
        if reason != "busy" {
            assert_eq!(
                books.await.json()["data"][0]["refused"],
                json!({ reason: 1 })
            );
        }
    }
}

#[tokio::test]
async fn a_full_share_of_memory_may_pass_and_one_that_never_fits_does_not() {
    let server = TestServer::with(|config| config.store.memory_bytes_max = 1 << 20).await;
    let ledger = server.running().store().ledger();
    let neighbour = ledger.reserve(store::Share::Bodies, 100_000).unwrap();
    let caller = Caller::new(&server).await;
    let full = caller.call(TRACES, &[], &[0; 80_000]).await;
    assert_eq!(full.code, UNAVAILABLE, "{full:?}");
    assert!(full.details.contains("google.rpc.RetryInfo"));
    let never = caller.call(TRACES, &[], &[0; 100_000]).await;
    assert_eq!(never.code, RESOURCE_EXHAUSTED, "{never:?}");
    drop(neighbour);
    assert_eq!(ledger.used(store::Share::Bodies), 0, "all is given back");
}

#[tokio::test]
async fn keys_are_read_from_the_metadata() {
    let server = TestServer::new().await;
    let (_, admin) = server
        .make_key(None, json!({"name": "a", "scopes": ["admin"]}))
        .await;
    let make = |scope: &str| {
        let key = json!({"name": scope, "scopes": [scope]});
        server.make_key(Some(&admin), key)
    };
    let ((_, ingest), (_, read)) = (make("ingest").await, make("read").await);
    let caller = Caller::new(&server).await;
    let basic = base64::prelude::BASE64_STANDARD.encode(format!("pk:{ingest}"));
    let cases = [
        ("authorization", format!("Bearer {ingest}"), OK),
        ("authorization", format!("Basic {basic}"), OK),
        ("authorization", ingest.clone(), OK),
        ("x-api-key", ingest.clone(), OK),
        ("authorization", format!("Bearer {read}"), PERMISSION_DENIED),
        (
            "authorization",
            "Bearer tg_wrong".to_owned(),
            UNAUTHENTICATED,
        ),
        ("x-nothing", ingest.clone(), UNAUTHENTICATED),
    ];
    for (name, value, want) in &cases {
        let told = caller.call(TRACES, &[(name, value)], b"").await;
        assert_eq!(told.code, *want, "{name}: {value}: {told:?}");
        assert!(told.details.is_empty());
    }
    let health = caller.call(CHECK, &[], b"").await;
    assert_eq!(health.code, OK, "health needs no key");
    let request = server.request(reqwest::Method::GET, "/v1/health/ingest");
    let books = send(request.bearer_auth(&admin)).await.json();
    let accounts = books["data"].as_array().unwrap();
    let of_strangers = accounts
        .iter()
        .find(|account| account["project_id"].is_null());
    assert_eq!(
        of_strangers.unwrap()["refused"],
        json!({"api_key_missing": 1, "invalid_api_key": 1})
    );
}

#[tokio::test]
async fn health_is_told_and_told_again_when_the_server_stops() {
    let server = TestServer::new().await;
    let caller = Caller::new(&server).await;
    const SERVING: &[u8] = &[8, 1];
    let asked = |name: &str| [&[10, u8::try_from(name.len()).unwrap()], name.as_bytes()].concat();
    let traces = "opentelemetry.proto.collector.trace.v1.TraceService";
    for name in ["", traces] {
        let told = caller.call(CHECK, &[], &asked(name)).await;
        assert_eq!((told.code, &told.message[..]), (OK, SERVING), "{name}");
    }
    let unknown = caller.call(CHECK, &[], &asked("nobody")).await;
    assert_eq!(unknown.code, NOT_FOUND);
    let no_name = caller.call(CHECK, &[], b"\x0a\x05").await;
    assert_eq!(no_name.code, INVALID_ARGUMENT);
    let too_long = caller.call(CHECK, &[], &[0; 5_000]).await;
    assert_eq!(too_long.code, INVALID_ARGUMENT);

    let mut watched = caller.ask(WATCH, &[], framed(0, b"")).await.into_body();
    let mut next = async || watched.frame().await.unwrap().unwrap();
    let first = next().await.into_data().unwrap();
    assert_eq!(unframed(&first), SERVING);
    // The stop waits for the watcher, and the watcher ends with the stop.
    let stop = async { server.stop().await };
    let see = async {
        assert_eq!(unframed(&next().await.into_data().unwrap()), [8, 2]);
        next().await.into_trailers().unwrap()
    };
    let (_dir, trailers) = tokio::join!(stop, see);
    assert_eq!(trailers["grpc-status"], UNAVAILABLE.to_string());
}

#[tokio::test]
async fn what_was_taken_over_grpc_is_there_after_a_stop() {
    let server = TestServer::new().await;
    let caller = Caller::new(&server).await;
    let bodies: Vec<_> = (1..=20).map(|n| one_span(&[n; 16])).collect();
    let calls = bodies.iter().map(|body| caller.call(TRACES, &[], body));
    let told = futures::future::join_all(calls).await;
    assert!(told.iter().all(|told| told.code == OK), "{told:?}");
    let dir = server.stop().await;
    let again = crate::support::start(crate::support::config(dir.path())).await;
    let project = model::ProjectId::new("default").unwrap();
    let snapshot = again.store().snapshot(&project);
    for n in 1..=20 {
        let id = model::TraceId::new(&format!("{n:02x}").repeat(16)).unwrap();
        assert!(snapshot.trace(&id).unwrap().is_some(), "{id}");
    }
    drop(snapshot);
    again.stop().await.unwrap();
}

#[tokio::test]
async fn grpc_can_be_turned_off() {
    let server = TestServer::with(|config| config.grpc_listen = None).await;
    assert_eq!(server.running().grpc_address(), None);
    let metrics = TestServer::new().await;
    let caller = Caller::new(&metrics).await;
    caller.call(TRACES, &[], &one_span(&[1; 16])).await;
    let figures = metrics.get("/metrics").await.text;
    assert!(
        figures.contains(&format!("route=\"{TRACES}\",status=\"200\"")),
        "{figures}"
    );
}
