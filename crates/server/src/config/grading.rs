//! Whom graders and runs of evals ask: a model's endpoint, and an interpreter.

use std::path::PathBuf;
use std::time::Duration;

use grade::judge::Dialect;
use model::NanoUsd;

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
    /// Which of OpenAI's APIs it speaks.
    pub model_api: Dialect,
    /// How long one answer may take.
    pub model_timeout: Duration,
    /// The model that makes vectors of texts.
    pub embedding_model: Option<String>,
    /// The model of judges that name none; a project may name another.
    pub judge_model: Option<String>,
    /// What a run may cost if nobody says.
    pub run_cost_max: NanoUsd,
    /// Traces of one run that are graded at the same time where judges are asked.
    pub traces_at_once: usize,
    /// Runs over traces that are worked on at the same time.
    pub runs_at_once: usize,
    /// What is kept of calls of judges in a project of their own.
    pub record_judges: RecordJudges,
    /// How long answers of judges are known.
    pub answers_kept: Duration,
    /// The interpreter of Python graders.
    pub python: PathBuf,
    /// Whether Python graders run where there is no sandbox.
    pub unsafe_code_graders: bool,
}

/// What is kept of a call of a judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordJudges {
    /// Nothing.
    Off,
    /// What it took and cost, and what it was about.
    Usage,
    /// The question and the answer too, which quote the trace that is judged.
    Full,
}

impl RecordJudges {
    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Usage => "usage",
            Self::Full => "full",
        }
    }
}

impl Default for Grading {
    fn default() -> Self {
        Self {
            model_url: None,
            model_key: None,
            model_api: Dialect::Chat,
            model_timeout: Duration::from_mins(2),
            embedding_model: None,
            judge_model: None,
            run_cost_max: NanoUsd(5_000_000_000),
            traces_at_once: 8,
            runs_at_once: 4,
            record_judges: RecordJudges::Usage,
            answers_kept: Duration::from_hours(30 * 24),
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

/// Reads which API a provider speaks.
pub(super) fn dialect(text: &str) -> Result<Dialect, Wanted> {
    match text {
        "chat" => Ok(Dialect::Chat),
        "responses" => Ok(Dialect::Responses),
        _ => Err("chat or responses"),
    }
}

/// Returns the word for an API.
pub(super) fn dialect_text(dialect: &Dialect) -> toml::Value {
    let word = match dialect {
        Dialect::Chat => "chat",
        Dialect::Responses => "responses",
    };
    toml::Value::String(word.to_owned())
}

/// Reads what is kept of calls of judges.
pub(super) fn record_judges(text: &str) -> Result<RecordJudges, Wanted> {
    match text {
        "off" => Ok(RecordJudges::Off),
        "usage" => Ok(RecordJudges::Usage),
        "full" => Ok(RecordJudges::Full),
        _ => Err("off, usage or full"),
    }
}

/// Reads an amount of US dollars.
pub(super) fn dollars(text: &str) -> Result<NanoUsd, Wanted> {
    let usd = text.parse::<f64>().ok();
    let usd = usd.filter(|usd| (0.0..=1e9).contains(usd));
    usd.map(NanoUsd::from_usd)
        .ok_or("an amount of US dollars such as 5 or 0.50")
}

/// Returns an amount as it is written.
pub(super) fn dollars_text(cost: &NanoUsd) -> toml::Value {
    toml::Value::String(format!("{}", cost.to_usd()))
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
