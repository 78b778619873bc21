//! Which endpoint, and what opens it.

use std::fmt;
use std::time::Duration;

use super::backoff::Retry;
use super::pace::Pacing;

/// Which of OpenAI's APIs a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// `POST /chat/completions`, which nearly everybody speaks.
    #[default]
    Chat,
    /// `POST /responses`.
    Responses,
}

/// A provider of models and how it is treated.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// As `OPENAI_BASE_URL` has it: `https://api.openai.com/v1`.
    pub base_url: String,
    /// None for servers of one's own.
    pub key: Option<Key>,
    /// Which API it speaks.
    pub dialect: Dialect,
    /// `OpenAI-Organization`.
    pub organization: Option<String>,
    /// `OpenAI-Project`.
    pub project: Option<String>,
    /// The model that makes vectors of texts, if one is to be had.
    pub embedding_model: Option<String>,
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// From the question to the last byte of the answer, each time it is asked.
    pub timeout: Duration,
    /// A longer answer is cut off: it is none.
    pub answer_bytes_max: usize,
    /// How often a failure that may pass is met with another try.
    pub retry: Retry,
    /// How many are asked at one time.
    pub pacing: Pacing,
}

impl Endpoint {
    /// Returns the defaults for a base URL and a key.
    pub fn new(base_url: impl Into<String>, key: Option<Key>) -> Self {
        Self {
            base_url: base_url.into(),
            key,
            dialect: Dialect::default(),
            organization: None,
            project: None,
            embedding_model: None,
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_mins(5),
            answer_bytes_max: 16 << 20,
            retry: Retry::default(),
            pacing: Pacing::default(),
        }
    }
}

/// A secret: it can be sent, and neither printed nor logged.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    /// Takes a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// Returns what is sent.
    pub(super) fn secret(&self) -> &str {
        &self.0
    }

    /// Takes the secret out of what a provider said: some repeat the key that they refuse.
    pub(super) fn hide_in(&self, text: &str) -> String {
        match self.0.is_empty() {
            true => text.to_owned(),
            false => text.replace(&self.0, "[key]"),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key([hidden])")
    }
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, Key};

    #[test]
    fn a_key_is_not_shown() {
        let endpoint = Endpoint::new("https://api.example/v1", Some(Key::new("sk-very-secret")));
        assert!(!format!("{endpoint:?}").contains("very"));
        let key = Key::new("sk-very-secret");
        assert_eq!(key.hide_in("bad key: sk-very-secret!"), "bad key: [key]!");
        assert_eq!(Key::new("").hide_in("as it is"), "as it is");
    }
}
