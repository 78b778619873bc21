//! A server to test with, and a client for it.

use std::path::Path;
use std::sync::Arc;

use model::SystemClock;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use server::{App, Config, Running, bind};
use store::disk::RealDisk;

/// A server that listens on a free port, and ends with the test.
pub(crate) struct TestServer {
    running: Running,
    client: reqwest::Client,
    dir: tempfile::TempDir,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The status and the stable code of an error.
    pub(crate) fn error(&self) -> (u16, String) {
        let code = self.json()["error"]["code"]
            .as_str()
            .unwrap_or("none")
            .to_owned();
        (self.status.as_u16(), code)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// Settings for a test: the defaults, but over `dir`, on free ports and without a floor for free space.
pub(crate) fn config(dir: &Path) -> Config {
    let mut config = Config::default();
    let free = "127.0.0.1:0".parse().unwrap();
    (config.listen, config.grpc_listen) = (free, Some(free));
    config.store.data_dir = dir.join("data");
    config.store.free_bytes_min = 0;
    config
}

/// Starts a server over `config`.
pub(crate) async fn start(config: Config) -> Running {
    let listeners = bind(&config).await.unwrap();
    let app = App::build(config, Arc::new(SystemClock), Arc::new(RealDisk))
        .await
        .unwrap();
    app.spawn(listeners).unwrap()
}

/// Returns a client. Nothing here speaks TLS, but reqwest wants to know how it would.
pub(crate) fn client() -> reqwest::Client {
    let _first = rustls::crypto::ring::default_provider().install_default();
    let plain = reqwest::Client::builder().tls_certs_only([]).no_proxy();
    plain.build().unwrap()
}

impl TestServer {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path());
        change(&mut config);
        let running = start(config).await;
        let client = client();
        Self {
            running,
            client,
            dir,
        }
    }

    /// Starts a server over a folder that another one has left.
    pub(crate) async fn over(dir: tempfile::TempDir) -> Self {
        Self {
            running: start(config(dir.path())).await,
            client: client(),
            dir,
        }
    }

    pub(crate) fn running(&self) -> &Running {
        &self.running
    }

    /// Where its data lies.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.running.address());
        self.client.request(method, url)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        send(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn ingest(&self, body: impl Into<reqwest::Body>) -> Answer {
        send(self.request(Method::POST, "/v1/traces/ingest").body(body)).await
    }

    /// Makes a key and returns its id and the key itself.
    pub(crate) async fn make_key(&self, with: Option<&str>, body: Value) -> (String, String) {
        let mut request = self.request(Method::POST, "/v1/keys").json(&body);
        if let Some(key) = with {
            request = request.bearer_auth(key);
        }
        let made = send(request).await;
        assert_eq!(made.status, 200, "{}", made.text);
        let text = |name: &str| made.json()[name].as_str().unwrap().to_owned();
        (text("id"), text("secret"))
    }

    /// Ends the server well and returns its folder.
    pub(crate) async fn stop(self) -> tempfile::TempDir {
        self.running.stop().await.unwrap();
        self.dir
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    Answer {
        status: response.status(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}

/// A batch of one trace with one span.
pub(crate) fn batch(trace: &str) -> String {
    format!(
        r#"{{"data":[
        {{"object":"trace","id":"{trace}","workflow_name":"w","group_id":null,"metadata":null}},
        {{"object":"trace.span","id":"span_1","trace_id":"{trace}","parent_id":null,
         "started_at":"2026-01-02T03:04:05+00:00","ended_at":"2026-01-02T03:04:06+00:00",
         "span_data":{{"type":"function","name":"f","input":"{{}}","output":"1"}},"error":null}}]}}"#
    )
}
