//! How does a command ask a server?
//!
//! One place makes requests and reads errors. The API's own message is what the person sees, and a
//! hint says what to do where that is known.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// So long a sender that is told to wait tries again before it gives up.
const ATTEMPTS_MAX: u32 = 20;

/// The longest pause that is made because a server asked for it.
const WAIT_S_MAX: u64 = 30;

const DEFAULT_URL: &str = "http://127.0.0.1:4318";

/// Where the server is and who asks.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Connection {
    /// The server.
    #[arg(
        long,
        env = "TRACEGRADE_URL",
        default_value = DEFAULT_URL,
        value_parser = server_url,
        global = true,
        help_heading = "Server"
    )]
    pub(crate) url: Url,
    /// The API key, if the server wants one.
    #[arg(
        long,
        env = "TRACEGRADE_API_KEY",
        hide_env_values = true,
        global = true,
        help_heading = "Server"
    )]
    api_key: Option<String>,
    /// The project; without it the one that the key opens, or `default`.
    #[arg(
        long,
        env = "TRACEGRADE_PROJECT",
        global = true,
        help_heading = "Server"
    )]
    project: Option<String>,
}

/// Reads an address. A variable that is set to nothing says as much as one that is not set.
fn server_url(text: &str) -> Result<Url, String> {
    let text = if text.is_empty() { DEFAULT_URL } else { text };
    text.parse::<Url>().map_err(|error| error.to_string())
}

impl Connection {
    /// Returns how to ask a server of one's own, whatever the environment says.
    pub(crate) fn own(url: Url) -> Self {
        Self {
            url,
            api_key: None,
            project: None,
        }
    }

    /// Returns the key, if there is one.
    pub(crate) fn api_key(&self) -> Option<&str> {
        self.api_key.as_deref().filter(|key| !key.is_empty())
    }

    /// Returns the project that is asked for, if one is.
    pub(crate) fn project(&self) -> Option<&str> {
        self.project
            .as_deref()
            .filter(|project| !project.is_empty())
    }
}

/// A request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody answers there.
    #[error("no server answers at {url}")]
    Unreachable {
        /// Where it was looked for.
        url: Url,
        /// What the system said.
        #[source]
        source: reqwest::Error,
    },
    /// The answer broke off or is not what was asked for.
    #[error("failed to read the answer of {url}")]
    Answer {
        /// Who answered.
        url: Url,
        /// What went wrong.
        #[source]
        source: reqwest::Error,
    },
    /// The server refused.
    #[error("{message}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// The stable word for what went wrong; empty where it was no tracegrade that answered.
        code: String,
        /// What the server says.
        message: String,
        /// The parameter or the field at fault.
        param: Option<String>,
    },
}

/// Asks one server for one project.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    connection: Connection,
}

impl Client {
    /// Returns a client; nothing is asked yet.
    pub(crate) fn new(connection: &Connection) -> anyhow::Result<Self> {
        anyhow::ensure!(
            !connection.url.cannot_be_a_base(),
            "{:?} is not the URL of a server, such as http://127.0.0.1:4318",
            connection.url.as_str()
        );
        // There may be one already, which is as good.
        let _first = rustls::crypto::ring::default_provider().install_default();
        let mut http = reqwest::Client::builder().connect_timeout(Duration::from_secs(5));
        if connection.url.scheme() == "http" {
            // Reading the system's certificates takes longer than most commands do.
            http = http.tls_certs_only([]);
        }
        Ok(Self {
            http: http.build()?,
            connection: connection.clone(),
        })
    }

    /// Returns the answer to GET as JSON.
    pub(crate) async fn get_json<T: DeserializeOwned>(
        &self,
        path: &[&str],
        pairs: &[(String, String)],
    ) -> Result<T, ClientError> {
        self.json(self.get(path, pairs).await?).await
    }

    /// Sends GET and returns the answer, whose body may be large.
    pub(crate) async fn get(
        &self,
        path: &[&str],
        pairs: &[(String, String)],
    ) -> Result<Response, ClientError> {
        self.send(self.request(Method::GET, path, pairs)).await
    }

    /// Sends JSON.
    pub(crate) async fn send_json(
        &self,
        method: Method,
        path: &[&str],
        body: &serde_json::Value,
    ) -> Result<Response, ClientError> {
        self.send(self.request(method, path, &[]).json(body)).await
    }

    /// Sends DELETE.
    pub(crate) async fn delete(
        &self,
        path: &[&str],
        pairs: &[(String, String)],
    ) -> Result<Response, ClientError> {
        self.send(self.request(Method::DELETE, path, pairs)).await
    }

    /// Sends a body of documents, again if the server is busy.
    pub(crate) async fn import(
        &self,
        path: &[&str],
        body: bytes::Bytes,
    ) -> Result<Response, ClientError> {
        let mut attempt = 1;
        loop {
            let request = self.request(Method::POST, path, &[]);
            let request = request
                .header("content-type", "application/octet-stream")
                .body(body.clone());
            let answer = self.transmit(request).await?;
            let status = answer.status();
            let is_busy = status == StatusCode::TOO_MANY_REQUESTS
                || status == StatusCode::SERVICE_UNAVAILABLE;
            if !is_busy || attempt == ATTEMPTS_MAX {
                return checked(answer).await;
            }
            attempt += 1;
            tokio::time::sleep(wait(&answer)).await;
        }
    }

    /// Reads an answer as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        answer: Response,
    ) -> Result<T, ClientError> {
        let url = answer.url().clone();
        answer
            .json()
            .await
            .map_err(|source| ClientError::Answer { url, source })
    }

    fn request(&self, method: Method, path: &[&str], pairs: &[(String, String)]) -> RequestBuilder {
        let mut url = self.connection.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            // Pushed one by one, since an id may hold a slash.
            segments.pop_if_empty().extend(path);
        }
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        let mut request = self.http.request(method, url);
        if let Some(key) = self.connection.api_key() {
            request = request.bearer_auth(key);
        }
        if let Some(project) = self.connection.project() {
            request = request.header("openai-project", project);
        }
        request
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        checked(self.transmit(request).await?).await
    }

    async fn transmit(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let url = self.connection.url.clone();
        request
            .send()
            .await
            .map_err(|source| ClientError::Unreachable { url, source })
    }
}

impl ClientError {
    /// Returns whether a tracegrade refused, and not something that stands before it.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if !code.is_empty())
    }

    /// Returns the stable word for what went wrong: the server's, or what kept it from saying one.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Answer { .. } => "bad_answer",
            Self::Refused { code, .. } if code.is_empty() => "refused",
            Self::Refused { code, .. } => code,
        }
    }

    /// Returns the parameter or the field at fault, if the server names one.
    pub(crate) fn param(&self) -> Option<&str> {
        match self {
            Self::Refused { param, .. } => param.as_deref(),
            Self::Unreachable { .. } | Self::Answer { .. } => None,
        }
    }

    /// Returns what to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        let Self::Refused { code, status, .. } = self else {
            return match self {
                Self::Unreachable { .. } => Some(
                    "start one with `tracegrade serve`, or say where it is with --url or TRACEGRADE_URL",
                ),
                _ => None,
            };
        };
        match code.as_str() {
            "api_key_missing" | "invalid_api_key" => {
                Some("give a key with --api-key or TRACEGRADE_API_KEY")
            }
            "scope_missing" => {
                Some("`tracegrade keys create --scopes …` with an admin's key makes one that may")
            }
            "project_missing" | "project_not_found" => Some(
                "name a project with --project or TRACEGRADE_PROJECT; `tracegrade projects list` shows them",
            ),
            "foreign_host" => {
                Some("give the server's address on this machine, such as http://127.0.0.1:4318")
            }
            "" if *status == StatusCode::NOT_FOUND => {
                Some("is it a tracegrade that answers there? see --url")
            }
            _ => None,
        }
    }
}

async fn checked(answer: Response) -> Result<Response, ClientError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    // A body that cannot be read leaves the status to tell what happened.
    let body = answer.bytes().await.unwrap_or_default();
    Err(refusal(status, &body))
}

/// Returns what an error body says.
fn refusal(status: StatusCode, body: &[u8]) -> ClientError {
    #[derive(Deserialize)]
    struct Body {
        error: Told,
    }
    #[derive(Deserialize)]
    struct Told {
        message: String,
        #[serde(default)]
        param: Option<String>,
        #[serde(default)]
        code: Option<String>,
    }
    let (code, message, param) = match serde_json::from_slice::<Body>(body) {
        Ok(Body { error }) => {
            let message = match &error.param {
                Some(param) if !error.message.contains(param.as_str()) => {
                    format!("{param}: {}", error.message)
                }
                _ => error.message,
            };
            (error.code.unwrap_or_default(), message, error.param)
        }
        Err(_) => (String::new(), format!("the server answered {status}"), None),
    };
    ClientError::Refused {
        status,
        code,
        message,
        param,
    }
}

fn wait(answer: &Response) -> Duration {
    let header = answer
        .headers()
        .get("retry-after")
        .and_then(|value| value.to_str().ok());
    let seconds = header.and_then(|text| text.parse().ok()).unwrap_or(1);
    Duration::from_secs(seconds.clamp(1, WAIT_S_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_servers_words() {
        let check = |body: &str, want: (&str, &str)| {
            let error = refusal(StatusCode::BAD_REQUEST, body.as_bytes());
            assert_eq!((error.code(), error.to_string().as_str()), want);
        };
        check(
            r#"{"error":{"message":"it is given twice","type":"invalid_request_error","param":"limit","code":"invalid_parameter"}}"#,
            ("invalid_parameter", "limit: it is given twice"),
        );
        check(
            r#"{"error":{"message":"limit: no","param":"limit","code":null}}"#,
            ("refused", "limit: no"),
        );
        check("<html>", ("refused", "the server answered 400 Bad Request"));
    }

    #[test]
    fn an_empty_variable_says_nothing() {
        assert_eq!(server_url("").unwrap(), DEFAULT_URL.parse().unwrap());
        assert!(server_url("nowhere").is_err());
    }

    #[test]
    fn an_id_stays_one_part_of_the_path() {
        let connection = Connection {
            url: "http://127.0.0.1:1/base/".parse().unwrap(),
            api_key: None,
            project: None,
        };
        let client = Client::new(&connection).unwrap();
        let request = client.request(
            Method::GET,
            &["v1", "traces", "a/../b?c"],
            &[("q".into(), "x y&z".into())],
        );
        let url = request.build().unwrap().url().to_string();
        assert_eq!(
            url,
            "http://127.0.0.1:1/base/v1/traces/a%2F..%2Fb%3Fc?q=x+y%26z"
        );
    }
}
