//! What is forwarded where, as the TOML file says it: a table `[[forward]]` for each target.

use std::time::Duration;

use ingest::otlp::Encoding;
use ingest::outgoing::{Dialect, Form};
use model::{ProjectId, Time, TraceFilter, TraceId, TraceRow};
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::config::{duration, size};

/// Fields of a filter that are told from the first item on. All others change while a trace goes on,
/// and what is forwarded is not taken back.
const KNOWN_EARLY: [&str; 9] = [
    "id",
    "ids",
    "workflow_name",
    "group_id",
    "user_id",
    "agent_id",
    "version",
    "environment",
    "tag",
];

/// The form in which a target takes spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// OpenTelemetry, spans and log records.
    Otlp(Form),
    /// Items as the Agents SDK sends them to OpenAI.
    Openai,
    /// JSON lines `{"trace":{…},"spans":[…]}`.
    Webhook,
}

/// One target.
#[derive(Debug, Clone)]
pub struct ForwardSettings {
    /// Its name in figures and messages, and of its cursor.
    pub name: String,
    /// What it takes.
    pub kind: TargetKind,
    /// Where it is.
    pub url: Url,
    /// What is sent along; values are marked as secret.
    pub headers: HeaderMap,
    /// Whose rows go there.
    pub projects: Vec<ProjectId>,
    /// Which traces go there.
    pub filter: TraceFilter,
    /// Which share of them, by a hash of the trace's id.
    pub sample: f64,
    /// Whether log records go there too.
    pub logs: bool,
    /// With more of the log unread than this, the oldest is given up.
    pub lag_bytes_max: u64,
    /// What waits longer than this is given up.
    pub lag_age_max: Duration,
    /// How long a target may take for an answer.
    pub timeout: Duration,
}

impl ForwardSettings {
    /// Reads one table; says what is wrong with it.
    pub(crate) fn read(
        table: &toml::Table,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let fields = Fields { table, environment };
        fields.check_names()?;
        let kind = fields.kind()?;
        let url = fields.text("url")?.ok_or("url is missing")?;
        let url = Url::parse(&url).map_err(|error| format!("url {url:?}: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("url {url}: it begins with http:// or https://"));
        }
        Ok(Self {
            name: fields.name()?,
            kind,
            url: target(url, kind),
            headers: fields.headers(kind)?,
            projects: fields.projects()?,
            filter: fields.filter()?,
            sample: fields.sample()?,
            logs: fields.switch("logs")?.unwrap_or(true),
            lag_bytes_max: match fields.text("lag_bytes_max")? {
                Some(text) => {
                    size(&text).map_err(|w| format!("lag_bytes_max: {text:?} is not {w}"))?
                }
                None => 256 << 20,
            },
            lag_age_max: fields.duration("lag_age_max", Duration::from_secs(3_600))?,
            timeout: fields.duration("timeout", Duration::from_secs(10))?,
        })
    }

    /// Returns whether rows of a project go there.
    pub(crate) fn takes_from(&self, project: &ProjectId) -> bool {
        self.projects.contains(project)
    }

    /// Returns whether a trace goes there, as far as is known of it.
    pub(crate) fn takes(&self, trace: &TraceRow) -> bool {
        // The fields that are allowed depend on no clock.
        is_sampled(&trace.item.trace_id, self.sample)
            && self.filter.matches(trace, Time::default(), 0)
    }
}

/// Returns whether a trace is in the sample: the same one everywhere and always.
fn is_sampled(id: &TraceId, share: f64) -> bool {
    let hash = model::MessageHash::of(id.as_str().as_bytes()).0;
    let mut word = [0; 8];
    word.copy_from_slice(&hash[..8]);
    (u64::from_be_bytes(word) as f64) < share * u64::MAX as f64
}

/// Returns where spans go: an address of OpenTelemetry may leave the signal out.
fn target(mut url: Url, kind: TargetKind) -> Url {
    if matches!(kind, TargetKind::Otlp(_)) && !url.path().ends_with("/v1/traces") {
        let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    url
}

const NAMES: [&str; 14] = [
    "name",
    "kind",
    "url",
    "headers",
    "protocol",
    "dialect",
    "originals",
    "projects",
    "filter",
    "sample",
    "logs",
    "lag_bytes_max",
    "lag_age_max",
    "timeout",
];

/// The fields of one table.
struct Fields<'a> {
    table: &'a toml::Table,
    environment: &'a dyn Fn(&str) -> Option<String>,
}

impl Fields<'_> {
    fn check_names(&self) -> Result<(), String> {
        let unknown = self.table.keys().find(|key| !NAMES.contains(&key.as_str()));
        match unknown {
            Some(key) => Err(format!(
                "there is no field {key:?}; there are {}",
                NAMES.join(", ")
            )),
            None => Ok(()),
        }
    }

    fn text(&self, key: &str) -> Result<Option<String>, String> {
        match self.table.get(key) {
            None => Ok(None),
            Some(toml::Value::String(text)) => Ok(Some(text.clone())),
            Some(toml::Value::Integer(number)) => Ok(Some(number.to_string())),
            Some(other) => Err(format!("{key}: {other} is not a text")),
        }
    }

    fn switch(&self, key: &str) -> Result<Option<bool>, String> {
        match self.table.get(key) {
            None => Ok(None),
            Some(toml::Value::Boolean(on)) => Ok(Some(*on)),
            Some(other) => Err(format!("{key}: {other} is not true or false")),
        }
    }

    fn duration(&self, key: &str, default: Duration) -> Result<Duration, String> {
        match self.text(key)? {
            None => Ok(default),
            Some(text) => {
                duration(&text).map_err(|wanted| format!("{key}: {text:?} is not {wanted}"))
            }
        }
    }

    fn name(&self) -> Result<String, String> {
        let name = self.text("name")?.unwrap_or_default();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        match (1..=64).contains(&name.len()) && name.bytes().all(is_plain) {
            true => Ok(name),
            false => Err(format!(
                "name {name:?}: it has 1 to 64 letters, digits, - and _"
            )),
        }
    }

    fn one_of<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Result<T, String> {
        let told = self.text(key)?;
        let Some(told) = told else {
            return Ok(words[0].1);
        };
        let found = words.iter().find(|(word, _)| *word == told);
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        found
            .map(|(_, value)| *value)
            .ok_or_else(|| format!("{key}: {told:?} is not one of {}", known.join(", ")))
    }

    fn kind(&self) -> Result<TargetKind, String> {
        let encodings = [
            ("http/protobuf", Encoding::Protobuf),
            ("http/json", Encoding::Json),
        ];
        let dialects = [
            ("genai", Dialect::Genai),
            ("openinference", Dialect::Openinference),
        ];
        let form = Form {
            encoding: self.one_of("protocol", &encodings)?,
            dialect: self.one_of("dialect", &dialects)?,
            originals: self.switch("originals")?.unwrap_or(false),
        };
        let kinds = [
            ("otlp", TargetKind::Otlp(form)),
            ("openai", TargetKind::Openai),
            ("webhook", TargetKind::Webhook),
        ];
        match self.table.contains_key("kind") {
            true => self.one_of("kind", &kinds),
            false => Err("kind is missing: otlp, openai or webhook".to_owned()),
        }
    }

    fn headers(&self, kind: TargetKind) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        if kind == TargetKind::Openai {
            // Without it OpenAI's endpoint takes nothing.
            headers.insert("openai-beta", HeaderValue::from_static("traces=v1"));
        }
        let told = match self.table.get("headers") {
            None => return Ok(headers),
            Some(toml::Value::Table(told)) => told,
            Some(other) => return Err(format!("headers: {other} is not a table")),
        };
        for (key, value) in told {
            let bad = |why: String| format!("headers.{key}: {why}");
            let text = value
                .as_str()
                .ok_or_else(|| bad("it is not a text".to_owned()))?;
            let text = with_environment(text, self.environment).map_err(bad)?;
            let name = HeaderName::from_bytes(key.as_bytes()).map_err(|e| bad(e.to_string()))?;
            let mut value = HeaderValue::from_str(&text).map_err(|e| bad(e.to_string()))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(headers)
    }

    fn projects(&self) -> Result<Vec<ProjectId>, String> {
        let told = match self.table.get("projects") {
            None => vec!["default".to_owned()],
            Some(told) => texts(told).ok_or("projects: a list of projects")?,
        };
        let project =
            |id: &String| ProjectId::new(id).map_err(|error| format!("projects: {error}"));
        told.iter().map(project).collect()
    }

    fn filter(&self) -> Result<TraceFilter, String> {
        let told = match self.table.get("filter") {
            None => return Ok(TraceFilter::default()),
            Some(toml::Value::Table(told)) => told,
            Some(other) => return Err(format!("filter: {other} is not a table")),
        };
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (key, value) in told {
            if !KNOWN_EARLY.contains(&key.as_str()) && !key.starts_with("metadata.") {
                return Err(format!(
                    "filter.{key}: spans are forwarded before this is known of a trace; these are: {}, metadata.KEY",
                    KNOWN_EARLY.join(", ")
                ));
            }
            let values =
                texts(value).ok_or_else(|| format!("filter.{key}: a text or a list of texts"))?;
            pairs.extend(values.into_iter().map(|value| (key.clone(), value)));
        }
        let pairs = pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        let (filter, _) = TraceFilter::from_pairs(pairs, Time::default())
            .map_err(|error| format!("filter.{error}"))?;
        Ok(filter)
    }

    fn sample(&self) -> Result<f64, String> {
        let share = match self.table.get("sample") {
            None => 1.0,
            Some(toml::Value::Float(share)) => *share,
            Some(toml::Value::Integer(share)) => *share as f64,
            Some(other) => return Err(format!("sample: {other} is not a number")),
        };
        match (0.0..=1.0).contains(&share) {
            true => Ok(share),
            false => Err(format!("sample: {share} is not a number from 0 to 1")),
        }
    }
}

/// Returns a text, or the texts of a list.
fn texts(value: &toml::Value) -> Option<Vec<String>> {
    match value {
        toml::Value::String(text) => Some(vec![text.clone()]),
        toml::Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

/// Puts in what `{env:NAME}` names, so that keys need not be written into the file.
fn with_environment(
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{env:") {
        let (name, behind) = after.split_once('}').ok_or("\"{env:\" has no end \"}\"")?;
        let value = environment(name);
        let value =
            value.ok_or_else(|| format!("the variable {name} of the environment is not set"))?;
        out.push_str(before);
        out.push_str(&value);
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ForwardSettings, String> {
        let table: toml::Table = text.parse().unwrap();
        let environment = |name: &str| (name == "KEY").then(|| "s3cret".to_owned());
        ForwardSettings::read(&table, &environment)
    }

    #[test]
    fn a_table_is_read_and_secrets_are_not_shown() {
        let settings = read(
            r#"
            name = "tempo"
            kind = "otlp"
            url = "http://127.0.0.1:4318/base/"
            headers = { authorization = "Bearer {env:KEY}" }
            projects = ["shop", "lab"]
            filter = { environment = ["production", "staging"], "metadata.tenant" = "a" }
            sample = 0.25
            lag_bytes_max = "64MiB"
            "#,
        )
        .unwrap();
        assert_eq!(
            settings.url.as_str(),
            "http://127.0.0.1:4318/base/v1/traces"
        );
        assert_eq!(settings.headers["authorization"], "Bearer s3cret");
        assert_eq!(
            (settings.lag_bytes_max, settings.filter.environment.len()),
            (64 << 20, 2)
        );
        assert!(!format!("{settings:?}").contains("s3cret"));
        let project = |id: &str| ProjectId::new(id).unwrap();
        assert!(settings.takes_from(&project("shop")) && !settings.takes_from(&project("default")));
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        let check = |text: &str, want: &str| {
            let told = read(text).unwrap_err();
            assert!(told.contains(want), "{told}");
        };
        let with =
            |more: &str| format!("name = \"a\"\nkind = \"webhook\"\nurl = \"http://a\"\n{more}");
        check("kind = \"otlp\"", "url is missing");
        check(&with("frequency = 1"), "there is no field \"frequency\"");
        check(&with("sample = 2"), "from 0 to 1");
        check(
            &with("filter = { status = \"error\" }"),
            "before this is known",
        );
        check(
            &with("headers = { a = \"{env:NO}\" }"),
            "NO of the environment is not set",
        );
        check(
            "name = \"a b\"\nkind = \"openai\"\nurl = \"http://a\"",
            "name \"a b\"",
        );
        check(
            "name = \"a\"\nkind = \"zipkin\"\nurl = \"http://a\"",
            "otlp, openai, webhook",
        );
        check(
            "name = \"a\"\nkind = \"otlp\"\nurl = \"ftp://a\"",
            "http:// or https://",
        );
    }

    #[test]
    fn a_sample_is_the_same_traces_each_time_and_about_as_many_as_asked() {
        let ids: Vec<TraceId> = (0..2_000)
            .map(|n| TraceId::new(&format!("t{n}")).unwrap())
            .collect();
        let taken = |share: f64| ids.iter().filter(|id| is_sampled(id, share)).count();
        assert_eq!((taken(0.0), taken(1.0)), (0, 2_000));
        assert!((400..600).contains(&taken(0.25)), "{}", taken(0.25));
        assert_eq!(taken(0.25), taken(0.25));
    }
}
