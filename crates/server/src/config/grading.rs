//! Whom graders and runs of evals ask: a model's endpoint, and an interpreter.

use std::path::PathBuf;

use super::words::Wanted;

/// OpenAI's own variables, which its clients read too; our settings win over them.
pub(super) const MODEL_URL_ENV: &str = "OPENAI_BASE_URL";
pub(super) const MODEL_KEY_ENV: &str = "OPENAI_API_KEY";

/// Who judges, and where code of graders runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grading {
    /// Where the API is that speaks OpenAI's Chat Completions; none: OpenAI's own.
    pub model_url: Option<String>,
    /// Its key. Without it and without a URL nobody is asked: a server of one's own may need no key.
    pub model_key: Option<String>,
    /// The model that makes vectors of texts.
    pub embedding_model: Option<String>,
    /// The interpreter of Python graders.
    pub python: PathBuf,
    /// Whether Python graders run where there is no sandbox.
    pub unsafe_code_graders: bool,
}

impl Default for Grading {
    fn default() -> Self {
        Self {
            model_url: None,
            model_key: None,
            embedding_model: None,
            python: PathBuf::from("python3"),
            unsafe_code_graders: false,
        }
    }
}

/// Reads a URL without a key in it, or nothing.
pub(super) fn maybe_url(text: &str) -> Result<Option<String>, Wanted> {
    const WANTED: Wanted =
        "a URL such as https://api.openai.com/v1, without a key or a query in it";
    if text.is_empty() {
        return Ok(None);
    }
    let url = reqwest::Url::parse(text).map_err(|_| WANTED)?;
    let is_plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    is_plain
        .then(|| Some(text.trim_end_matches('/').to_owned()))
        .ok_or(WANTED)
}

/// Reads a name, or nothing.
pub(super) fn maybe_name(text: &str) -> Result<Option<String>, Wanted> {
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_holds_nothing_secret() {
        let check = |text: &str, want: Option<Option<&str>>| {
            let got = maybe_url(text).ok();
            assert_eq!(got.as_ref().map(Option::as_deref), want, "{text}");
        };
        check("", Some(None));
        check(
            "http://127.0.0.1:9000/v1/",
            Some(Some("http://127.0.0.1:9000/v1")),
        );
        check("https://u:p@x/v1", None);
        check("https://x/v1?key=1", None);
        check("x", None);
    }
}
