//! The client: a question, asked until it is answered or there is no hope.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect;
use serde_json::{Value, json};

use super::backoff;
use super::endpoint::Endpoint;
use super::failure::{Failure, JudgeError, classify};
use super::gate::Gate;
use super::objects;
use super::pace::Fared;
use super::reply;
use super::request::{self, Unknown};
use crate::openai::{Answer, Model, ModelAnswer, ModelError, ModelRequest};

/// Texts whose vectors are asked for at one time.
const TEXTS_MAX: usize = 256;
/// What an answer is thought to take if no limit is set, in tokens.
const ANSWER_TOKENS: f64 = 1_000.0;
/// Bytes of a body that make a token, about.
const BYTES_PER_TOKEN: f64 = 4.0;

/// A client of one provider.
pub struct Client {
    endpoint: Endpoint,
    http: reqwest::Client,
    models: Mutex<HashMap<String, Arc<Known>>>,
}

/// What is known of a model.
struct Known {
    gate: Arc<Gate>,
    unknown: Mutex<Unknown>,
}

/// What came back, as far as it came.
struct Received {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = &self.endpoint;
        f.debug_struct("Client")
            .field("endpoint", endpoint)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client; nothing is asked yet.
    pub fn new(endpoint: Endpoint) -> Result<Self, JudgeError> {
        // There may be one already, which is as good.
        let _first = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .referer(false)
            .user_agent(concat!("tracegrade/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers(&endpoint)?)
            .connect_timeout(endpoint.connect_timeout);
        // Reading the system's certificates is for nothing where no connection is secured.
        let builder = match endpoint.base_url.starts_with("http://") {
            true => builder.tls_certs_only([]).no_proxy(),
            false => builder,
        };
        let http = builder
            .build()
            .map_err(|error| JudgeError::Config(error.to_string()))?;
        Ok(Self {
            endpoint,
            http,
            models: Mutex::default(),
        })
    }

    /// Asks until there is an answer or no hope.
    pub async fn answer(&self, asked: &ModelRequest) -> Result<ModelAnswer, JudgeError> {
        let dialect = self.endpoint.dialect;
        let body = |unknown: &Unknown| request::body(dialect, asked, unknown);
        let read = |text: &[u8]| reply::read(dialect, text, &asked.model);
        let path = request::path(dialect);
        let mut answer = self.exchange(&asked.model, path, body, read).await?;
        if let Some((_, schema)) = &asked.schema
            && serde_json::from_str::<serde::de::IgnoredAny>(&answer.text).is_err()
            && let Some(object) = objects::last_fitting(&answer.text, schema)
        {
            answer.text = object;
        }
        Ok(answer)
    }

    /// Returns the vectors of texts, in their order.
    pub async fn vectors(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, JudgeError> {
        let Some(model) = &self.endpoint.embedding_model else {
            let why = "no embedding model is set";
            return Err(JudgeError::Config(why.to_owned()));
        };
        let mut vectors = Vec::with_capacity(texts.len());
        for some in texts.chunks(TEXTS_MAX) {
            let body =
                |_: &Unknown| json!({ "model": model, "input": some, "encoding_format": "float" });
            let read = |text: &[u8]| reply::vectors(text, some.len());
            vectors.extend(self.exchange(model, "embeddings", body, read).await?);
        }
        Ok(vectors)
    }

    /// The loop: a try, and what its failure means.
    async fn exchange<T>(
        &self,
        model: &str,
        path: &str,
        body: impl Fn(&Unknown) -> Value + Send + Sync,
        read: impl Fn(&[u8]) -> Result<T, String> + Send + Sync,
    ) -> Result<T, JudgeError> {
        let known = self.known(model);
        let mut failures = 0;
        loop {
            let unknown = known.unknown.lock().clone();
            let body = body(&unknown);
            let failure = match self.attempt(&known.gate, path, &body, &read).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let (why, after) = match failure {
                Failure::Never(error) => return Err(error),
                // Another question may have learnt it in the meantime; this one was asked with it.
                Failure::Without(feature, _) if unknown.knows(&feature) => {
                    known.unknown.lock().learn(feature);
                    continue;
                }
                Failure::Without(_, error) => return Err(error),
                Failure::Again { why, after, .. } => (why, after),
            };
            failures += 1;
            let wait = self.endpoint.retry.wait(failures, after, backoff::chance());
            let Some(wait) = wait else {
                let tries = failures;
                return Err(JudgeError::Unavailable { tries, why });
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Asks once, when it is its turn.
    async fn attempt<T>(
        &self,
        gate: &Arc<Gate>,
        path: &str,
        body: &Value,
        read: impl Fn(&[u8]) -> Result<T, String> + Send + Sync,
    ) -> Result<T, Failure> {
        let text = body.to_string();
        let passed = gate.pass(tokens(body, text.len())).await;
        let again = |why: String| Failure::Again {
            why: self.hide(&why),
            after: None,
            is_limit: false,
        };
        let received = tokio::time::timeout(self.endpoint.timeout, self.send(path, text)).await;
        let received = match received {
            Ok(Ok(received)) => received,
            Ok(Err(why)) => return Err(again(why)),
            Err(_late) => {
                let timeout = self.endpoint.timeout.as_secs_f64();
                return Err(again(format!("no answer within {timeout} s")));
            }
        };
        passed.note(&received.headers);
        if !(200..300).contains(&received.status) {
            let body = self.hide(&String::from_utf8_lossy(&received.body));
            let failure = classify(received.status, &received.headers, body.as_bytes());
            passed.end(match failure {
                Failure::Again {
                    is_limit: true,
                    after,
                    ..
                } => Fared::TooMany { after },
                _ => Fared::Badly,
            });
            return Err(failure);
        }
        let answer = read(&received.body).map_err(again)?;
        passed.end(Fared::Well);
        Ok(answer)
    }

    async fn send(&self, path: &str, body: String) -> Result<Received, String> {
        let url = format!("{}/{path}", self.endpoint.base_url.trim_end_matches('/'));
        let told = |error: reqwest::Error| chain(&error.without_url());
        let request = self
            .http
            .post(url)
            .header("content-type", "application/json");
        let mut response = request.body(body).send().await.map_err(told)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(told)? {
            body.extend_from_slice(&chunk);
            let most = self.endpoint.answer_bytes_max;
            if body.len() > most {
                return Err(format!("the answer has more than {most} bytes"));
            }
        }
        Ok(Received {
            status,
            headers,
            body,
        })
    }

    fn known(&self, model: &str) -> Arc<Known> {
        let mut models = self.models.lock();
        if let Some(known) = models.get(model) {
            return known.clone();
        }
        let known = Arc::new(Known {
            gate: Arc::new(Gate::new(self.endpoint.pacing)),
            unknown: Mutex::default(),
        });
        models.insert(model.to_owned(), known.clone());
        known
    }

    fn hide(&self, text: &str) -> String {
        match &self.endpoint.key {
            Some(key) => key.hide_in(text),
            None => text.to_owned(),
        }
    }
}

impl Model for Client {
    fn ask<'a>(&'a self, request: &'a ModelRequest) -> Answer<'a, Result<ModelAnswer, ModelError>> {
        Box::pin(async move { Ok(self.answer(request).await?) })
    }

    fn embed<'a>(&'a self, texts: &'a [&'a str]) -> Answer<'a, Result<Vec<Vec<f32>>, ModelError>> {
        Box::pin(async move { Ok(self.vectors(texts).await?) })
    }

    fn embeds(&self) -> bool {
        self.endpoint.embedding_model.is_some()
    }
}

impl From<JudgeError> for ModelError {
    fn from(error: JudgeError) -> Self {
        match error {
            JudgeError::Unavailable { .. } => Self::Unavailable(error.to_string()),
            JudgeError::TooLong(why) => Self::TooLong(why),
            JudgeError::Filtered(why) => Self::Filtered(why),
            _ => Self::Refused(error.to_string()),
        }
    }
}

fn headers(endpoint: &Endpoint) -> Result<HeaderMap, JudgeError> {
    let bad = |what: &str| JudgeError::Config(format!("{what} cannot be sent in a header"));
    let mut headers = HeaderMap::new();
    if let Some(key) = &endpoint.key {
        let text = format!("Bearer {}", key.secret());
        let mut value = HeaderValue::from_str(&text).map_err(|_| bad("the key"))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    for (name, value) in [
        ("openai-organization", &endpoint.organization),
        ("openai-project", &endpoint.project),
    ] {
        if let Some(value) = value {
            let value = HeaderValue::from_str(value).map_err(|_| bad(name))?;
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    Ok(headers)
}

/// What a question is thought to take of the limit on tokens.
fn tokens(body: &Value, bytes: usize) -> f64 {
    let limits = ["max_completion_tokens", "max_tokens", "max_output_tokens"];
    let most = limits.iter().find_map(|name| body[name].as_f64());
    bytes as f64 / BYTES_PER_TOKEN + most.unwrap_or(ANSWER_TOKENS)
}

/// An error with its causes: the outermost says only that something failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
