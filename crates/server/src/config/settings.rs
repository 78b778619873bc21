//! Every setting, with its doc: the one list from which flags, variables and `--print-config` come.

use std::time::Duration;

use toml::Value;

use super::upstreams::{Upstream, upstreams};
use super::words::{
    Wanted, address, address_or_off, count, count_text, log_format, memory_size, millis,
    millis_text, origins, size, size_text, switch,
};
use super::{Config, grading, processing};

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its name in the TOML file.
    pub name: &'static str,
    /// What it does, in one sentence or two.
    pub doc: &'static str,
    /// Sets it.
    pub(super) take: fn(&mut Config, &str) -> Result<(), Wanted>,
    /// Tells what it is set to.
    pub(super) show: fn(&Config) -> Value,
}

impl Setting {
    /// Returns the environment variable that sets it.
    pub fn env(&self) -> String {
        format!("TRACEGRADE_{}", self.name.to_ascii_uppercase())
    }

    /// Returns the flag that sets it.
    pub fn flag(&self) -> String {
        format!("--{}", self.name.replace('_', "-"))
    }

    /// Returns whether it has several values, so that its flag may be given several times.
    pub fn is_list(&self) -> bool {
        matches!((self.show)(&Config::default()), Value::Array(_))
    }

    /// Returns what it is when nobody sets it.
    pub fn default_text(&self) -> String {
        match (self.show)(&Config::default()) {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }
}

/// Returns every setting, in the order in which they are shown.
pub fn settings() -> &'static [Setting] {
    SETTINGS
}

/// Writes one line of the table: how the value is read, where it is kept, how it is written.
macro_rules! setting {
    ($name:literal, $($field:ident).+ = $read:expr, $write:expr, $doc:literal) => {
        Setting {
            name: $name,
            doc: $doc,
            take: |config, text| {
                config.$($field).+ = $read(text)?;
                Ok(())
            },
            show: |config| $write(&config.$($field).+),
        }
    };
}

static SETTINGS: &[Setting] = &[
    setting!(
        "data_dir",
        store.data_dir = path,
        |dir: &std::path::PathBuf| text(&dir.to_string_lossy()),
        "The folder that holds everything; it is made if it is missing, open to you alone."
    ),
    setting!(
        "listen",
        listen = address,
        |at: &std::net::SocketAddr| text(&at.to_string()),
        "Address and port of the API and the UI. Port 0 picks a free one and prints it."
    ),
    setting!(
        "grpc_listen",
        grpc_listen = address_or_off,
        |at: &Option<std::net::SocketAddr>| match at {
            Some(at) => text(&at.to_string()),
            None => text("off"),
        },
        "Address and port of OTLP over gRPC. Port 0 picks a free one and prints it; off turns it off."
    ),
    setting!(
        "allow_open",
        allow_open = switch,
        |on: &bool| Value::Boolean(*on),
        "Listen on an address that other machines reach although no key was made: anybody may then read and write."
    ),
    setting!(
        "cors_origins",
        cors_origins = origins,
        list,
        "Origins of web pages that may call the API, separated by commas; * is any."
    ),
    setting!(
        "body_bytes_max",
        body_bytes_max = memory_size,
        bytes,
        "The largest request body, as received."
    ),
    setting!(
        "inflated_bytes_max",
        inflated_bytes_max = memory_size,
        bytes,
        "The largest request body, once inflated."
    ),
    setting!(
        "requests_max",
        requests_max = count,
        number,
        "Requests worked on at the same time; more are answered 429."
    ),
    setting!(
        "request_timeout",
        request_timeout = duration,
        duration_text,
        "How long a request may take until its answer begins."
    ),
    setting!(
        "header_timeout",
        header_timeout = duration,
        duration_text,
        "How long a client may take to send the head of a request, or keep a connection open without sending one."
    ),
    setting!(
        "drain_timeout",
        drain_timeout = duration,
        duration_text,
        "How long running requests may take to end after the signal to stop."
    ),
    setting!(
        "upstream",
        upstreams = upstreams,
        upstream_list,
        "Servers that /v1/proxy/NAME/ passes calls on to and records, as NAME=URL, separated by commas or given several times; openai is there without being named."
    ),
    setting!(
        "proxy_calls_max",
        proxy_calls_max = count,
        number,
        "Calls through the proxy at the same time; more are answered 429."
    ),
    setting!(
        "proxy_body_bytes_max",
        proxy_body_bytes_max = memory_size,
        bytes,
        "The largest request body that the proxy passes on. Bodies larger than body_bytes_max are passed on and not recorded."
    ),
    setting!(
        "upstream_connect_timeout",
        upstream_connect_timeout = duration,
        duration_text,
        "How long an upstream of the proxy may take to accept a connection."
    ),
    setting!(
        "upstream_idle_timeout",
        upstream_idle_timeout = duration,
        duration_text,
        "How long an upstream of the proxy may say nothing while its answer is waited for; then the call is cut off."
    ),
    setting!(
        "log",
        log = filter,
        |filter: &String| text(filter),
        "What is logged to stderr: error, warn, info, debug, or per module such as info,store=debug."
    ),
    setting!(
        "log_format",
        log_format = log_format,
        |format: &super::LogFormat| text(format.as_str()),
        "How a line of the log is written: text or json."
    ),
    setting!(
        "trace_idle",
        store.trace_idle_ms = millis,
        |ms: &i64| millis_text(*ms),
        "A trace without an end counts as over when nothing came for this long."
    ),
    setting!(
        "delete_within",
        store.delete_within_ms = millis,
        |ms: &i64| millis_text(*ms),
        "The bytes of a deleted trace are gone from disk within this time."
    ),
    setting!(
        "refuse_deleted_for",
        store.tombstone_ms = millis,
        |ms: &i64| millis_text(*ms),
        "Items of a deleted trace are refused for this long, as agents send their history again."
    ),
    setting!(
        "archive",
        archive.on = switch,
        |on: &bool| Value::Boolean(*on),
        "Keep every body as it was received, for `tracegrade replay`; deleted traces stay in there until archive_keep is over."
    ),
    setting!(
        "archive_dir",
        archive.dir = archive_dir,
        |dir: &Option<std::path::PathBuf>| match dir {
            Some(dir) => text(&dir.to_string_lossy()),
            None => text("archive"),
        },
        "The folder of the archive; a relative one is in the data folder."
    ),
    setting!(
        "archive_keep",
        archive.keep_ms = archive_keep,
        |ms: &i64| millis_text(*ms),
        "How long after its hour a file of the archive is kept, 90d at most."
    ),
    setting!(
        "archive_bytes_max",
        archive.bytes_max = size,
        |n: &u64| size_text(*n),
        "With a larger archive than this, its oldest files go."
    ),
    setting!(
        "memory_bytes_max",
        store.memory_bytes_max = memory_size,
        bytes,
        "The memory budget: bodies, rows not yet in Parquet, queries and caches share it."
    ),
    setting!(
        "wal_bytes_max",
        store.wal_bytes_max = size,
        |n: &u64| size_text(*n),
        "With more write-ahead log than this, senders are answered 429."
    ),
    setting!(
        "wal_segment_bytes",
        store.wal_segment_bytes = size,
        |n: &u64| size_text(*n),
        "The size of one file of the write-ahead log."
    ),
    setting!(
        "buffer_bytes",
        store.buffer_bytes = memory_size,
        bytes,
        "Rows in memory are written to Parquet when there are this many bytes of them."
    ),
    setting!(
        "flush_age",
        store.flush_age_ms = millis,
        |ms: &i64| millis_text(*ms),
        "Rows in memory are written to Parquet at this age."
    ),
    setting!(
        "l0_files_max",
        store.l0_files_max = count,
        number,
        "With more small files than this waiting to be merged, senders are answered 429."
    ),
    setting!(
        "free_bytes_min",
        store.free_bytes_min = size,
        |n: &u64| size_text(*n),
        "Ingest stops when less than this is free on the disk."
    ),
    setting!(
        "retained_traces_max",
        store.retained_traces_max = count,
        number,
        "Traces that are kept known in memory after their rows went to Parquet."
    ),
    setting!(
        "file_bytes_target",
        store.file_bytes_target = size,
        |n: &u64| size_text(*n),
        "The size that merged Parquet files grow to."
    ),
    setting!(
        "node",
        store.node = node,
        |name: &String| text(name),
        "The name of this node in the names of files."
    ),
    setting!(
        "query_threads",
        queries.threads = count,
        number,
        "Threads that run queries."
    ),
    setting!(
        "queries_max",
        queries.queries_max = count,
        number,
        "Queries that run at the same time; more are answered 429."
    ),
    setting!(
        "query_bytes_max",
        queries.memory_bytes_max = memory_size,
        bytes,
        "The memory of all running queries together."
    ),
    setting!(
        "footer_bytes_max",
        queries.footer_bytes_max = memory_size,
        bytes,
        "The memory for footers of Parquet files."
    ),
    setting!(
        "drop_scopes",
        processing.rules.drop_scopes = processing::names,
        list,
        "Instrumentation scopes whose spans are not kept, separated by commas; a * at the end stands for any rest."
    ),
    setting!(
        "sample_rate",
        processing.switches.sample_rate = processing::share,
        |share: &f64| Value::Float(*share),
        "The share of traces that is kept, from 0 to 1, chosen by their ids."
    ),
    setting!(
        "sample_secret",
        processing.rules.sample_secret = processing::secret,
        |secret: &String| processing::hidden(secret),
        "Mixed into the choice, so that nobody can make ids that are kept; the same on all servers."
    ),
    setting!(
        "sample_keep_errors",
        processing.rules.tail.errors = switch,
        |on: &bool| Value::Boolean(*on),
        "Keep traces with errors whatever the sample says. This and the next two are decided once a trace has settled."
    ),
    setting!(
        "sample_keep_slower_than",
        processing.rules.tail.slower_than_ms = processing::maybe_millis,
        processing::maybe_millis_text,
        "Keep traces that took at least so long whatever the sample says, such as 30s; empty: no such rule."
    ),
    setting!(
        "sample_keep_costlier_than",
        processing.rules.tail.costlier_than_usd = processing::maybe_dollars,
        processing::maybe_dollars_text,
        "Keep traces that cost at least so many US dollars whatever the sample says, such as 0.50; empty: no such rule."
    ),
    setting!(
        "attributes_allow",
        processing.rules.attributes_allow = processing::names,
        list,
        "Attributes that are kept, separated by commas; a * at the end stands for any rest; empty: all."
    ),
    setting!(
        "attributes_deny",
        processing.rules.attributes_deny = processing::names,
        list,
        "Attributes that are not kept, written as in attributes_allow, over which it wins."
    ),
    setting!(
        "include_sensitive_data",
        processing.switches.include_sensitive_data = switch,
        |on: &bool| Value::Boolean(*on),
        "Keep prompts, answers, arguments, results and the words of errors; a project may decide otherwise."
    ),
    setting!(
        "include_audio",
        processing.switches.include_audio = switch,
        |on: &bool| Value::Boolean(*on),
        "Keep audio; a project may decide otherwise."
    ),
    setting!(
        "redact",
        processing.rules.redact = processing::recognisers,
        processing::recognisers_text,
        "What is recognised and taken out of all texts, separated by commas: key, card, email, phone, ip, iban, ssn, or all."
    ),
    setting!(
        "redact_rules",
        processing.rules.redact_rules = processing::rules,
        processing::rules_shown,
        "Further rules, as a JSON list of {\"name\", \"regex\" or \"path\", \"action\"}, in a file as [[redact_rules]]."
    ),
    setting!(
        "redact_secret",
        processing.rules.redact_secret = processing::maybe_secret,
        |secret: &Option<String>| processing::hidden(secret.as_deref().unwrap_or_default()),
        "With a secret, what is taken out leaves a keyed hash behind, so that equal values can be told to be equal."
    ),
    setting!(
        "model_url",
        grading.model_url = grading::maybe_url,
        |url: &Option<String>| text(url.as_deref().unwrap_or_default()),
        "Where the models are that judge and that runs of evals ask, an API that speaks OpenAI's; OPENAI_BASE_URL does as well; empty: OpenAI's own."
    ),
    setting!(
        "model_key",
        grading.model_key = processing::maybe_secret,
        |secret: &Option<String>| processing::hidden(secret.as_deref().unwrap_or_default()),
        "The key for model_url; OPENAI_API_KEY does as well. Without a key and a URL no model is asked."
    ),
    setting!(
        "model_api",
        grading.model_api = grading::dialect,
        grading::dialect_text,
        "Which of OpenAI's APIs model_url is asked by: chat (POST /chat/completions, which nearly everybody speaks) or responses (POST /responses)."
    ),
    setting!(
        "model_timeout",
        grading.model_timeout = duration,
        duration_text,
        "How long a model may take for one answer, each time it is asked; then it is asked again, up to 8 times in all."
    ),
    setting!(
        "embedding_model",
        grading.embedding_model = grading::maybe_name,
        |name: &Option<String>| text(name.as_deref().unwrap_or_default()),
        "The model there that makes vectors of texts, such as text-embedding-3-large; empty: texts are not compared by vectors."
    ),
    setting!(
        "judge_model",
        grading.judge_model = grading::maybe_name,
        |name: &Option<String>| text(name.as_deref().unwrap_or_default()),
        "The model of judges that name none, such as gpt-5-mini; a project may name another as judge_model."
    ),
    setting!(
        "grading_run_cost_max",
        grading.run_cost_max = grading::dollars,
        grading::dollars_text,
        "Where a grading run that asks judges pauses, and a run of an eval that asks models ends, if its request has no max_cost_usd, in US dollars."
    ),
    setting!(
        "grading_traces_at_once",
        grading.traces_at_once = count,
        number,
        "Traces of one grading run that judges are asked about at the same time; the provider's limits slow them down further."
    ),
    setting!(
        "grading_runs_at_once",
        grading.runs_at_once = count,
        number,
        "Grading runs that are worked on at the same time; further ones, and those of other projects first, get a turn now and then."
    ),
    setting!(
        "grading_record_judges",
        grading.record_judges = grading::record_judges,
        |record: &super::grading::RecordJudges| text(record.as_str()),
        "What is kept of calls of judges as traces of the project judge: off, usage (tokens, cost, what it was about), or full (question and answer too, which quote the judged trace). Whoever deletes a trace deletes these too."
    ),
    setting!(
        "grading_answers_kept",
        grading.answers_kept = duration,
        duration_text,
        "For how long the same question about the same trace is answered from what a judge said before, such as 30d."
    ),
    setting!(
        "python",
        grading.python = path,
        |path: &std::path::PathBuf| text(&path.to_string_lossy()),
        "The interpreter of Python graders, of a virtual environment with what they import; a name or a path."
    ),
    setting!(
        "unsafe_code_graders",
        grading.unsafe_code_graders = switch,
        |on: &bool| Value::Boolean(*on),
        "Run Python graders where there is no sandbox: they may then do whatever this server may."
    ),
];

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn list(items: &[String]) -> Value {
    Value::Array(items.iter().map(|item| text(item)).collect())
}

fn upstream_list(upstreams: &[Upstream]) -> Value {
    let texts = upstreams.iter().map(|upstream| text(&upstream.to_text()));
    Value::Array(texts.collect())
}

fn bytes(bytes: &usize) -> Value {
    size_text(*bytes as u64)
}

fn number(number: &usize) -> Value {
    count_text(*number)
}

fn path(text: &str) -> Result<std::path::PathBuf, Wanted> {
    match text {
        "" => Err("a folder"),
        _ => Ok(text.into()),
    }
}

fn archive_dir(text: &str) -> Result<Option<std::path::PathBuf>, Wanted> {
    path(text).map(|dir| (dir.as_os_str() != "archive").then_some(dir))
}

/// Ids of deleted traces are kept for 90 days: a replay of what is older would bring them back.
fn archive_keep(text: &str) -> Result<i64, Wanted> {
    const MILLIS_MAX: i64 = 90 * 86_400_000;
    match millis(text) {
        Ok(ms) if ms <= MILLIS_MAX => Ok(ms),
        _ => Err("a duration such as 12h or 30d, and at most 90d"),
    }
}

fn filter(text: &str) -> Result<String, Wanted> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("a log filter such as info or info,store=debug"),
    }
}

fn node(text: &str) -> Result<String, Wanted> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    fits.then(|| text.to_owned())
        .ok_or("a name of letters and digits")
}

pub(crate) fn duration(text: &str) -> Result<Duration, Wanted> {
    millis(text).map(|ms| Duration::from_millis(ms.unsigned_abs()))
}

fn duration_text(duration: &Duration) -> Value {
    millis_text(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}
