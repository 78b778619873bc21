//! How is the server set up, and who said so?
//!
//! A setting has one name, written `--body-bytes-max` as a flag, `TRACEGRADE_BODY_BYTES_MAX` in the
//! environment and `body_bytes_max` in the TOML file; later wins: default, file, environment, flag.
//! Everything is read once, here, and handed on as typed values: nothing else in the program reads
//! the environment, and nothing asks for a setting by its name. The list of settings is
//! [`settings`]: flags, `--help` and `--print-config` are made from it, so none can be forgotten.

mod grading;
mod processing;
mod settings;
mod upstreams;
mod words;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use query::EngineConfig;
use store::StoreConfig;

use crate::archive::ArchiveConfig;
use crate::forward::ForwardSettings;

pub use grading::{Grading, RecordJudges};
pub use processing::Processing;
pub(crate) use processing::is_share;
pub(crate) use settings::duration;
pub use settings::{Setting, settings};
pub use upstreams::Upstream;
pub use words::LogFormat;
pub(crate) use words::size;

/// The environment variable that names the TOML file; the flag is `--config`.
pub const CONFIG_FILE_ENV: &str = "TRACEGRADE_CONFIG";

/// What was given on the command line, as typed.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// The TOML file to read.
    pub config: Option<PathBuf>,
    /// Values by the name of their setting.
    pub values: BTreeMap<String, String>,
}

/// Every setting of the server, resolved.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address of HTTP, the UI and the capture endpoints.
    pub listen: SocketAddr,
    /// The address of OTLP over gRPC; none turns it off.
    pub grpc_listen: Option<SocketAddr>,
    /// Whether an address that is not loopback may be listened on before any key was made.
    pub allow_open: bool,
    /// Origins of web pages that may call the API; `*` is any.
    pub cors_origins: Vec<String>,
    /// The largest request body as received.
    pub body_bytes_max: usize,
    /// The largest request body once it is inflated.
    pub inflated_bytes_max: usize,
    /// Requests that are worked on at the same time; more are told to come back.
    pub requests_max: usize,
    /// How long a request may take until its answer begins.
    pub request_timeout: Duration,
    /// How long a client may take to send the head of a request, and how long it may keep a connection
    /// open without sending one.
    pub header_timeout: Duration,
    /// How long requests may take to end once the server was told to stop.
    pub drain_timeout: Duration,
    /// Where the recording proxy passes calls on to.
    pub upstreams: Vec<Upstream>,
    /// Calls through the proxy at the same time; more are told to come back.
    pub proxy_calls_max: usize,
    /// The largest request body that the proxy passes on.
    pub proxy_body_bytes_max: usize,
    /// How long an upstream may take to accept a connection.
    pub upstream_connect_timeout: Duration,
    /// How long an upstream may say nothing while it is waited for.
    pub upstream_idle_timeout: Duration,
    /// What is logged, in the words of `tracing`.
    pub log: String,
    /// How a line of the log is written.
    pub log_format: LogFormat,
    /// Whether and where bodies are kept as they were received.
    pub archive: ArchiveConfig,
    /// The store's limits.
    pub store: StoreConfig,
    /// The query engine's limits.
    pub queries: EngineConfig,
    /// What is done with what comes in, before it is stored.
    pub processing: Processing,
    /// Whom graders and runs of evals ask.
    pub grading: Grading,
    /// Where accepted spans go on to: the tables `[[forward]]` of the TOML file.
    pub forwards: Vec<ForwardSettings>,
    origins: BTreeMap<&'static str, Origin>,
}

/// Who set a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    File(PathBuf),
    Environment(String),
    Flag(String),
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The TOML file cannot be read.
    #[error("failed to read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The TOML file is not TOML.
    #[error("failed to understand the configuration file {}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: toml::de::Error,
    },
    /// There is no setting of that name.
    #[error("{by}: there is no setting {name:?}{}", nearest(name))]
    Unknown {
        /// Who named it.
        by: String,
        /// The name.
        name: String,
    },
    /// A table `[[forward]]` cannot be used.
    #[error("{}: [[forward]] number {number}: {message}", path.display())]
    Forward {
        /// The file.
        path: PathBuf,
        /// Its place among these tables, from 1.
        number: usize,
        /// What is wrong with it.
        message: String,
    },
    /// The value does not fit its setting.
    #[error("{by}: {value:?} is not {wanted}")]
    Value {
        /// Who gave it, by the name it was given under.
        by: String,
        /// The value.
        value: String,
        /// What would have done.
        wanted: &'static str,
    },
}

impl Config {
    /// Resolves the command line, this process's environment and the TOML file they name.
    pub fn load(flags: &Flags) -> Result<Self, ConfigError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one file that reads the environment"
        )]
        let environment = |name: &str| std::env::var(name).ok();
        Self::load_with(flags, &environment)
    }

    /// Returns whether whoever started the process wants no colours anywhere (no-color.org).
    pub fn is_plain() -> bool {
        std::env::var_os("NO_COLOR").is_some_and(|text| !text.is_empty())
    }

    /// As [`Config::load`], with another environment.
    pub fn load_with(
        flags: &Flags,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let named = environment(CONFIG_FILE_ENV).map(PathBuf::from);
        let path = flags.config.clone().or(named);
        let mut forwards = Vec::new();
        if let Some(path) = &path {
            forwards = config.take_file(path.clone())?;
        }
        // What OpenAI's clients are told by is heard here too, where nothing else is said.
        for (name, variable) in [
            ("model_url", grading::MODEL_URL_ENV),
            ("model_key", grading::MODEL_KEY_ENV),
        ] {
            let setting = find(name, variable)?;
            if let Some(value) = environment(variable)
                && !config.origins.contains_key(name)
            {
                config.take(setting, &value, Origin::Environment(variable.to_owned()))?;
            }
        }
        for setting in settings() {
            if let Some(value) = environment(&setting.env()) {
                config.take(setting, &value, Origin::Environment(setting.env()))?;
            }
        }
        for (name, value) in &flags.values {
            let setting = find(name, "the command line")?;
            config.take(setting, value, Origin::Flag(setting.flag()))?;
        }
        if let Some(path) = &path {
            config.take_forwards(path, &forwards, environment)?;
        }
        Ok(config)
    }

    /// Returns whether only this machine can reach the server.
    pub fn is_loopback(&self) -> bool {
        self.reachable().is_none()
    }

    /// Returns the address that other machines can reach, if one is.
    pub(crate) fn reachable(&self) -> Option<SocketAddr> {
        let addresses = [Some(self.listen), self.grpc_listen];
        let mut addresses = addresses.into_iter().flatten();
        addresses.find(|address| !address.ip().is_loopback())
    }

    /// Returns the settings as a TOML file that would set them so, each with who set it.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for setting in settings() {
            let by = match self.origins.get(setting.name) {
                None => "default".to_owned(),
                Some(origin) => format!("from {origin}"),
            };
            let line = format!("{} = {}", setting.name, (setting.show)(self));
            text.push_str(&format!("{line:<44} # {by}\n"));
        }
        // Their headers are secrets, so these tables are told and not repeated.
        for forward in &self.forwards {
            let projects: Vec<_> = forward.projects.iter().map(|id| id.as_str()).collect();
            let (name, url) = (&forward.name, &forward.url);
            let line = format!("# [[forward]] {name}: {} to {url}\n", projects.join(", "));
            text.push_str(&line);
        }
        text
    }

    /// Takes the settings of a file, and returns its tables `[[forward]]`.
    fn take_file(&mut self, path: PathBuf) -> Result<Vec<toml::Value>, ConfigError> {
        let failed = |source| ConfigError::Read {
            path: path.clone(),
            source,
        };
        let text = std::fs::read_to_string(&path).map_err(failed)?;
        let mut table: toml::Table = text.parse().map_err(|source| ConfigError::Parse {
            path: path.clone(),
            source,
        })?;
        let forwards = match table.remove("forward") {
            Some(toml::Value::Array(tables)) => tables,
            Some(other) => vec![other],
            None => Vec::new(),
        };
        for (name, value) in unsectioned(table) {
            let setting = find(&name, &path.display().to_string())?;
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Array(values) if values.iter().any(toml::Value::is_table) => {
                    processing::rules_text(&values)
                }
                toml::Value::Array(values) => {
                    let items = values.iter().map(|item| match item {
                        toml::Value::String(text) => text.clone(),
                        other => other.to_string(),
                    });
                    items.collect::<Vec<_>>().join(",")
                }
                toml::Value::Table(values) => {
                    let pairs = values.iter().map(|(name, value)| match value {
                        toml::Value::String(text) => format!("{name}={text}"),
                        other => format!("{name}={other}"),
                    });
                    pairs.collect::<Vec<_>>().join(",")
                }
                other => other.to_string(),
            };
            self.take(setting, &text, Origin::File(path.clone()))?;
        }
        Ok(forwards)
    }

    fn take_forwards(
        &mut self,
        path: &Path,
        tables: &[toml::Value],
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), ConfigError> {
        for (at, table) in tables.iter().enumerate() {
            let table = table.as_table().ok_or("it is not a table");
            let read = |table| ForwardSettings::read(table, environment);
            let mut read = table.map_err(str::to_owned).and_then(read);
            if let Ok(forward) = &read
                && self.forwards.iter().any(|known| known.name == forward.name)
            {
                read = Err(format!("there are two of the name {:?}", forward.name));
            }
            let forward = read.map_err(|message| ConfigError::Forward {
                path: path.to_owned(),
                number: at + 1,
                message,
            })?;
            self.forwards.push(forward);
        }
        Ok(())
    }

    fn take(
        &mut self,
        setting: &'static Setting,
        value: &str,
        origin: Origin,
    ) -> Result<(), ConfigError> {
        (setting.take)(self, value.trim()).map_err(|wanted| ConfigError::Value {
            by: match &origin {
                Origin::File(path) => format!("{} in {}", setting.name, path.display()),
                Origin::Environment(name) | Origin::Flag(name) => name.clone(),
            },
            value: value.to_owned(),
            wanted,
        })?;
        self.origins.insert(setting.name, origin);
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4318)),
            grpc_listen: Some(SocketAddr::from(([127, 0, 0, 1], 4317))),
            allow_open: false,
            cors_origins: Vec::new(),
            body_bytes_max: 64 << 20,
            inflated_bytes_max: 64 << 20,
            requests_max: 1_024,
            request_timeout: Duration::from_secs(60),
            header_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            upstreams: upstreams::default_upstreams(),
            proxy_calls_max: 1_024,
            proxy_body_bytes_max: 512 << 20,
            upstream_connect_timeout: Duration::from_secs(10),
            upstream_idle_timeout: Duration::from_secs(600),
            log: "info".to_owned(),
            log_format: LogFormat::Text,
            archive: ArchiveConfig::default(),
            store: StoreConfig::new("tracegrade-data"),
            queries: EngineConfig::default(),
            processing: Processing::default(),
            grading: Grading::default(),
            forwards: Vec::new(),
            origins: BTreeMap::new(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Environment(name) | Origin::Flag(name) => f.write_str(name),
        }
    }
}

/// Returns the settings of a file: what is done with what comes in may stand in a section of its own.
fn unsectioned(table: toml::Table) -> impl Iterator<Item = (String, toml::Value)> {
    table.into_iter().flat_map(|(name, value)| match value {
        toml::Value::Table(section) if matches!(&*name, "ingest" | "processing" | "grading") => {
            section.into_iter().collect::<Vec<_>>()
        }
        value => vec![(name, value)],
    })
}

fn find(name: &str, by: &str) -> Result<&'static Setting, ConfigError> {
    settings()
        .iter()
        .find(|setting| setting.name == name)
        .ok_or_else(|| ConfigError::Unknown {
            by: by.to_owned(),
            name: name.to_owned(),
        })
}

/// Returns a hint at the setting that was most likely meant.
fn nearest(name: &str) -> String {
    let shared = |a: &str| {
        let words: Vec<&str> = a.split('_').collect();
        name.split(['_', '-', '.'])
            .filter(|word| words.contains(word))
            .count()
    };
    // Of names that share as much, the one that says least besides.
    let rank = |name: &str| (shared(name), Reverse(name.len()));
    let best = settings()
        .iter()
        .max_by_key(|setting| rank(setting.name))
        .filter(|setting| shared(setting.name) > 0);
    match best {
        Some(setting) => format!("; did you mean {:?}?", setting.name),
        None => "; `tracegrade serve --print-config` lists them".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tracegrade.toml");
        std::fs::write(&path, file).unwrap();
        let flags = Flags {
            config: Some(path),
            values: flags
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        let lookup = |name: &str| {
            let found = env.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Config::load_with(&flags, &lookup).map_err(|error| {
            error
                .to_string()
                .replace(&*dir.path().to_string_lossy(), "DIR")
        })
    }

    fn check_refused(file: &str, env: &[(&str, &str)], flags: &[(&str, &str)], want: &str) {
        assert_eq!(load(file, env, flags).unwrap_err(), want);
    }

    #[test]
    fn later_wins_and_says_so() {
        let config = load(
            "listen = \"127.0.0.1:1\"\nbody_bytes_max = \"1MiB\"\ntrace_idle = \"5m\"\n",
            &[
                ("TRACEGRADE_LISTEN", "127.0.0.1:2"),
                ("TRACEGRADE_BODY_BYTES_MAX", "2 MiB"),
            ],
            &[("listen", "127.0.0.1:3")],
        )
        .unwrap();
        assert_eq!(config.listen.port(), 3);
        assert_eq!(config.body_bytes_max, 2 << 20);
        assert_eq!(config.store.trace_idle_ms, 300_000);
        let text = config.to_toml();
        for (name, by) in [
            ("listen", "# from --listen"),
            ("body_bytes_max", "# from TRACEGRADE_BODY_BYTES_MAX"),
            ("trace_idle", "tracegrade.toml"),
            ("data_dir", "# default"),
        ] {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            assert!(line.contains(by), "{line}");
        }
    }

    #[test]
    fn the_variables_of_openais_clients_are_heard_where_nothing_else_is_said() {
        let openai = [
            ("OPENAI_BASE_URL", "http://a/v1"),
            ("OPENAI_API_KEY", "sk-1"),
        ];
        let config = load("", &openai, &[]).unwrap();
        assert_eq!(config.grading.model_url.as_deref(), Some("http://a/v1"));
        assert_eq!(config.grading.model_key.as_deref(), Some("sk-1"));
        let text = config.to_toml();
        assert!(
            text.contains("# from OPENAI_BASE_URL") && !text.contains("sk-1"),
            "{text}"
        );
        let config = load(
            "model_url = \"http://b/v1\"",
            &openai,
            &[("model_key", "sk-2")],
        );
        let grading = config.unwrap().grading;
        assert_eq!(grading.model_url.as_deref(), Some("http://b/v1"));
        assert_eq!(grading.model_key.as_deref(), Some("sk-2"));
    }

    #[test]
    fn every_address_counts_where_others_may_reach_the_server() {
        let check = |grpc: &str, want: Option<&str>| {
            let config = load("", &[("TRACEGRADE_GRPC_LISTEN", grpc)], &[]).unwrap();
            let reachable = config.reachable().map(|address| address.to_string());
            assert_eq!(reachable.as_deref(), want, "{grpc}");
            assert_eq!(config.is_loopback(), want.is_none());
        };
        check("off", None);
        check("localhost:0", None);
        check("0.0.0.0:4317", Some("0.0.0.0:4317"));
    }

    #[test]
    fn what_is_printed_can_be_read_back() {
        let first = load(
            "cors_origins = [\"https://a.example\", \"https://b.example\"]\n",
            &[],
            &[
                ("allow_open", "true"),
                ("grpc_listen", "off"),
                ("memory_bytes_max", "123456789"),
            ],
        )
        .unwrap();
        let table = "[upstream]\nlocal = \"http://127.0.0.1:8000/v1\"\n";
        let listed = load(
            "upstream = [\"local=http://127.0.0.1:8000/v1\"]\n",
            &[],
            &[],
        )
        .unwrap();
        assert_eq!(load(table, &[], &[]).unwrap().upstreams, listed.upstreams);
        assert_eq!(listed.upstreams.len(), 2, "openai is there too");
        assert_eq!(
            load(&listed.to_toml(), &[], &[]).unwrap().upstreams,
            listed.upstreams
        );
        let second = load(&first.to_toml(), &[], &[]).unwrap();
        let values = |config: &Config| {
            let show = |setting: &Setting| (setting.name, (setting.show)(config).to_string());
            settings().iter().map(show).collect::<Vec<_>>()
        };
        assert_eq!(values(&first), values(&second));
        assert_eq!(second.cors_origins.len(), 2);
        assert_eq!(second.grpc_listen, None);
        assert_eq!(second.store.memory_bytes_max, 123_456_789);
    }

    #[test]
    fn names_are_unlike_and_documented() {
        let mut names: Vec<_> = settings().iter().map(|setting| setting.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), settings().len());
        for setting in settings() {
            assert!(setting.doc.ends_with('.'), "{}", setting.name);
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_the_name_it_was_given_under() {
        check_refused(
            "listne = 1",
            &[],
            &[],
            "DIR/tracegrade.toml: there is no setting \"listne\"; \
             `tracegrade serve --print-config` lists them",
        );
        check_refused(
            "",
            &[],
            &[("body_max", "1")],
            "the command line: there is no setting \"body_max\"; did you mean \"body_bytes_max\"?",
        );
        check_refused(
            "requests_max = -1",
            &[],
            &[],
            "requests_max in DIR/tracegrade.toml: \"-1\" is not a whole number from 1 on",
        );
        check_refused(
            "",
            &[("TRACEGRADE_LISTEN", "4318")],
            &[],
            "TRACEGRADE_LISTEN: \"4318\" is not an address and a port such as 127.0.0.1:4318",
        );
        check_refused(
            "",
            &[],
            &[("trace_idle", "10")],
            "--trace-idle: \"10\" is not a duration such as 500ms, 30s, 10m, 24h",
        );
        assert!(
            load("listen = [", &[], &[])
                .unwrap_err()
                .starts_with("failed to understand")
        );
    }
}
