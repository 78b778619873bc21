//! What the upstream gets and what the client gets: the same as without us.

use axum::http::HeaderValue;
use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::upstream::{CHUNKS, COMPLETION, RESPONSE, gzip};
use super::{CHAT, KEY, REQUEST, Scene};
use crate::support::send;

#[tokio::test]
async fn every_byte_passes_as_it_came_and_both_forms_of_the_base_url_do() {
    let scene = Scene::new().await;
    let cases = [
        ("", COMPLETION.as_bytes().to_vec()),
        ("stream", CHUNKS.concat().into_bytes()),
        ("gzip", gzip(COMPLETION.as_bytes())),
        ("page", b"<html>hello</html>".to_vec()),
    ];
    for (play, want) in &cases {
        for path in [CHAT, "/v1/proxy/openai/v1/chat/completions"] {
            let answer = scene.send(path, play, REQUEST).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.headers()["x-request-id"], "req_upstream", "{play}");
            assert_eq!(answer.headers()["x-ratelimit-remaining"], "9");
            assert!(!answer.headers().contains_key("x-hop"), "of one connection");
            assert_eq!(answer.bytes().await.unwrap(), *want, "{play}");
        }
    }
    let got = scene.upstream.got();
    assert!(got.iter().all(|got| got.target == "/v1/chat/completions"));
    assert!(got.iter().all(|got| got.body == REQUEST));
    let host = scene.upstream.address.to_string();
    assert!(got.iter().all(|got| got.headers["host"] == host.as_str()));
    let books = scene.books(2 * cases.len() as u64).await;
    assert_eq!(books["refused"], serde_json::json!({}));
}

#[tokio::test]
async fn all_methods_queries_and_paths_pass_and_only_calls_of_models_are_recorded() {
    let scene = Scene::new().await;
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "PURGE"];
    for method in methods {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let path = "/v1/proxy/openai/files/a%2Fb?limit=2&q=%C3%A9";
        let request = scene.server.request(method, path).body("some bytes");
        assert_eq!(send(request).await.status, 200);
    }
    let request = scene.server.request(Method::GET, CHAT);
    assert_eq!(send(request).await.status, 200);
    let got = scene.upstream.got();
    let seen: Vec<&str> = got.iter().map(|got| got.method.as_str()).collect();
    assert_eq!(seen[..7], methods);
    for got in &got[..7] {
        assert_eq!(got.target, "/v1/files/a%2Fb?limit=2&q=%C3%A9");
        assert_eq!(got.body, "some bytes");
        assert_eq!(got.headers["content-length"], "10");
    }
    assert_eq!(send(scene.call("")).await.status, 200);
    assert_eq!(scene.traces(1).await.len(), 1, "the last one");
}

#[tokio::test]
async fn our_headers_and_those_of_a_connection_end_here_and_the_rest_goes_on() {
    let scene = Scene::new().await;
    let request = scene
        .call("")
        .header("x-tracegrade-trace-id", "t")
        .header("x-tracegrade-key", "tg_x")
        .header("x-tracegrade-anything", "1")
        .header("connection", "x-private")
        .header("x-private", "1")
        .header("te", "trailers")
        .header("openai-project", "proj_theirs")
        .header("x-stainless-retry-count", "0")
        .header("accept-encoding", "gzip, br");
    assert_eq!(send(request).await.status, 200);
    let headers = &scene.upstream.got()[0].headers;
    for name in headers.keys() {
        let is_ours = name.as_str().starts_with("x-tracegrade");
        let is_hop = ["x-private", "te", "connection"].contains(&name.as_str());
        assert!(!is_ours && !is_hop, "{name}");
    }
    assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(headers["openai-project"], "proj_theirs");
    assert_eq!(headers["x-stainless-retry-count"], "0");
    assert_eq!(headers["accept-encoding"], "gzip");
}

#[tokio::test]
async fn a_stream_passes_as_it_comes() {
    let scene = Scene::new().await;
    let mut answer = scene.call("stall").send().await.unwrap();
    let mut seen = Vec::new();
    // The upstream holds still now: what it said is here all the same.
    while seen.len() < CHUNKS[..3].concat().len() {
        seen.extend_from_slice(&answer.chunk().await.unwrap().unwrap());
    }
    assert_eq!(seen, CHUNKS[..3].concat().as_bytes());
    scene.upstream.go_on();
    assert_eq!(answer.chunk().await.unwrap(), None);
}

#[tokio::test]
async fn a_request_is_sent_on_before_it_is_all_there_but_not_without_end() {
    let scene = Scene::with(|config| config.proxy_body_bytes_max = 100_000).await;
    let long = "x".repeat(100_001);
    let told = send(scene.send("/v1/proxy/openai/files", "", long)).await;
    assert_eq!(told.error(), (413, "body_too_large".into()));
    let chunks = futures::stream::iter((0..200).map(|_| std::io::Result::Ok(vec![b'x'; 1_000])));
    let streamed = reqwest::Body::wrap_stream(chunks);
    let streamed = scene.send("/v1/proxy/openai/files", "", streamed);
    match streamed.send().await {
        Ok(answer) => assert_eq!(answer.status(), 413),
        // The answer may come before the body is sent, and the connection is closed behind it.
        Err(error) => assert!(error.is_request(), "{error}"),
    }
    let fits = scene.send("/v1/proxy/openai/files", "", "x".repeat(100_000));
    assert_eq!(send(fits).await.status, 200);
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_before_anything_is_sent() {
    let scene = Scene::with(|config| {
        config.cors_origins = vec!["https://app.example".to_owned()];
    })
    .await;
    let check = async |request, want: (u16, &str)| {
        let answer = send(request).await;
        assert_eq!(
            answer.error(),
            (want.0, want.1.to_owned()),
            "{}",
            answer.text
        );
    };
    let to = |path| scene.send(path, "", REQUEST);
    check(to("/v1/proxy/nobody/chat/completions"), (404, "not_found")).await;
    let with = |name: &'static str, value: &'static str| scene.call("").header(name, value);
    check(with("x-tracegrade-join", "yes"), (400, "invalid_parameter")).await;
    check(
        with("origin", "https://evil.example"),
        (403, "cross_origin"),
    )
    .await;
    check(with("host", "evil.example"), (403, "foreign_host")).await;
    assert!(scene.upstream.got().is_empty());
    let page = with("origin", "https://app.example");
    assert_eq!(send(page).await.status, 200);
}

#[tokio::test]
async fn a_path_cannot_leave_the_upstream() {
    let scene = Scene::new().await;
    // Clients resolve dots themselves: this one is written by hand.
    let mut socket = TcpStream::connect(scene.server.running().address())
        .await
        .unwrap();
    let head =
        "GET /v1/proxy/openai/../admin HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(scene.upstream.got().is_empty());
}

#[tokio::test]
async fn no_more_calls_pass_than_may() {
    let scene = Scene::with(|config| config.proxy_calls_max = 1).await;
    let first = scene.call("stall").send().await.unwrap();
    assert_eq!(send(scene.call("")).await.error(), (429, "busy".into()));
    scene.upstream.go_on();
    first.bytes().await.unwrap();
    // The place is free once the last byte has passed, which the client may see first.
    while send(scene.call("")).await.status == StatusCode::TOO_MANY_REQUESTS {}
}

#[tokio::test]
async fn where_keys_are_needed_ours_stands_in_its_own_header() {
    let scene = Scene::new().await;
    let (_, admin) = scene
        .server
        .make_key(None, serde_json::json!({"name": "a", "scopes": ["admin"]}))
        .await;
    let none = send(scene.call("")).await;
    assert_eq!(none.error(), (401, "api_key_missing".into()));
    assert!(none.text.contains("x-tracegrade-key"), "{}", none.text);
    let as_bearer = scene.call("").bearer_auth(&admin);
    assert_eq!(
        send(as_bearer).await.status,
        401,
        "that one is the upstream's"
    );
    let wrong = scene.call("").header("x-tracegrade-key", "tg_wrong");
    assert_eq!(send(wrong).await.error(), (401, "invalid_api_key".into()));
    assert!(scene.upstream.got().is_empty());
    let keyed = || scene.call("").header("x-tracegrade-key", &admin);
    assert_eq!(send(keyed()).await.status, 200);
    let elsewhere = keyed().header("x-tracegrade-project", "nowhere");
    assert_eq!(
        send(elsewhere).await.error(),
        (404, "project_not_found".into())
    );
    let got = scene.upstream.got();
    assert_eq!(got.len(), 1);
    let auth = HeaderValue::try_from(format!("Bearer {KEY}")).unwrap();
    assert_eq!(got[0].headers["authorization"], auth);
    assert!(!got[0].headers.contains_key("x-tracegrade-key"));
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_named() {
    let scene = Scene::with(|config| {
        // Nothing listens on a port that was free a moment ago.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", free.local_addr().unwrap());
        config.upstreams[0].url = url.parse().unwrap();
    })
    .await;
    let answer = send(scene.call("")).await;
    assert_eq!(answer.error(), (502, "upstream_unreachable".into()));
    assert!(answer.text.contains("openai"), "{}", answer.text);
    let span = scene.span().await;
    assert_eq!(span["error"]["type"], "upstream_unreachable");
    assert_eq!(span["input"][0]["content"], "Oslo?");
}

#[tokio::test]
async fn other_upstreams_are_found_by_their_names() {
    let other = super::Upstream::new().await;
    let scene = Scene::with(|config| {
        let mut added = config.upstreams[0].clone();
        added.name = "local".to_owned();
        added.url = format!("http://{}/api/", other.address).parse().unwrap();
        config.upstreams.push(added);
    })
    .await;
    let answer = send(scene.send("/v1/proxy/local/v1/responses", "", "{}")).await;
    assert_eq!(answer.text, RESPONSE);
    assert_eq!(other.got()[0].target, "/api/v1/responses");
    assert!(scene.upstream.got().is_empty());
    assert_eq!(scene.span().await["provider"], "127.0.0.1");
}
