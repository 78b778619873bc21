//! Figures for Prometheus.
//!
//! What happens is counted as it happens; what *is* (memory, files, the loss ledger) is asked for
//! when somebody looks.

use std::fmt;
use std::time::Duration;

use axum::http::Method;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use query::ReadCounts;
use store::lake::Level;
use store::{Share, StoreStats, Table};

use crate::archive::ArchiveHealth;
use crate::forward::ForwardStatus;
use crate::state::Shared;

/// What every name begins with.
const PREFIX: &str = "tracegrade";

/// The media type of what [`Metrics::text`] returns.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

/// What is counted as it happens.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    ack_seconds: Histogram,
    items: Counter,
}

/// Half a millisecond to half a minute, doubling.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_5, 2.0, 17))
}

impl Metrics {
    /// Returns figures that are all 0.
    pub(crate) fn new() -> Self {
        let requests = Family::default();
        let request_seconds = Family::new_with_constructor(seconds as fn() -> Histogram);
        let ack_seconds = seconds();
        let items = Counter::default();
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register(
            "http_requests",
            "Requests answered",
            Family::clone(&requests),
        );
        registry.register_with_unit(
            "http_request",
            "Time from a request to the beginning of its answer",
            Unit::Seconds,
            Family::clone(&request_seconds),
        );
        registry.register_with_unit(
            "ingest_ack",
            "Time from the last byte of a batch until it is on disk and readable",
            Unit::Seconds,
            ack_seconds.clone(),
        );
        registry.register(
            "ingest_items",
            "Items of batches that were acknowledged",
            Counter::clone(&items),
        );
        Self {
            registry,
            requests,
            request_seconds,
            ack_seconds,
            items,
        }
    }

    /// Notes an answer.
    pub(crate) fn answered(&self, method: &Method, route: &str, status: u16, elapsed: Duration) {
        // A method is any word; only known ones may become a series.
        let known = [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
            Method::HEAD,
        ];
        let method = if known.contains(method) {
            method.as_str()
        } else {
            "other"
        };
        let labels = RequestLabels {
            method: method.to_owned(),
            route: route.to_owned(),
            status,
        };
        self.requests.get_or_create(&labels).inc();
        let labels = RouteLabels {
            route: route.to_owned(),
        };
        self.request_seconds
            .get_or_create(&labels)
            .observe(elapsed.as_secs_f64());
    }

    /// Notes that a batch was acknowledged.
    pub(crate) fn acknowledged(&self, elapsed: Duration, items: usize) {
        self.ack_seconds.observe(elapsed.as_secs_f64());
        self.items.inc_by(items as u64);
    }
}

/// Returns all figures of a server in the text format.
pub(crate) fn text(shared: &Shared) -> Result<String, fmt::Error> {
    let mut moment = Moment(Registry::with_prefix(PREFIX));
    moment.add_memory(shared);
    moment.add_store(&shared.store.stats());
    moment.add_reads(shared.engine.read_counts());
    moment.add_losses(shared);
    if let Some(archive) = &shared.archive {
        moment.add_archive(&archive.health());
    }
    moment.add_forwards(shared);
    let mut text = String::new();
    encode_registry(&mut text, &shared.metrics.registry)?;
    encode_registry(&mut text, &moment.0)?;
    encode_eof(&mut text)?;
    Ok(text)
}

/// A registry that is filled when somebody looks and dropped after that: the library's own way to do
/// so wants to own what it reads from.
struct Moment(Registry);

type Labels = Vec<(&'static str, String)>;

impl Moment {
    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        let gauge = Gauge::<i64>::default();
        gauge.set(as_gauge(value));
        self.0.register(name, help, gauge);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        self.0.register(name, help, counter);
    }

    fn gauges(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, u64)>) {
        let family = Family::<Labels, Gauge>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).set(as_gauge(value));
        }
        self.0.register(name, help, family);
    }

    fn add_memory(&mut self, shared: &Shared) {
        let ledger = shared.store.ledger();
        let share = |share: Share| vec![("share", share.as_str().to_owned())];
        let used = Share::ALL.map(|s| (share(s), ledger.used(s) as u64));
        let limit = Share::ALL.map(|s| (share(s), ledger.limit(s) as u64));
        self.gauges(
            "memory_used_bytes",
            "Memory in use, by share of the budget",
            used,
        );
        self.gauges(
            "memory_limit_bytes",
            "Memory that may be used, by share",
            limit,
        );
    }

    fn add_store(&mut self, stats: &StoreStats) {
        let files = |(table, level, count, bytes): &(Table, Level, usize, u64)| {
            let labels = vec![
                ("table", table.as_str().to_owned()),
                ("level", level.as_str().to_owned()),
            ];
            (labels, *count as u64, *bytes)
        };
        let files: Vec<_> = stats.files.iter().map(files).collect();
        let counts = files
            .iter()
            .map(|(labels, count, _)| (labels.clone(), *count));
        self.gauges("files", "Parquet files, by table and level", counts);
        let bytes = files
            .iter()
            .map(|(labels, _, bytes)| (labels.clone(), *bytes));
        self.gauges(
            "file_bytes",
            "Bytes of Parquet files, by table and level",
            bytes,
        );
        self.gauge("wal_bytes", "Bytes of the write-ahead log", stats.wal_bytes);
        self.gauge(
            "live_bytes",
            "Bytes of rows that are not in Parquet yet",
            stats.live_bytes as u64,
        );
        self.gauge(
            "live_traces",
            "Traces known in memory",
            stats.live_traces as u64,
        );
        self.gauge(
            "live_spans",
            "Spans known in memory",
            stats.live_spans as u64,
        );
        self.gauge(
            "disk_free_bytes",
            "Bytes free on the disk",
            stats.disk_free_bytes,
        );
        self.counter("wal_drains", "Syncs of the write-ahead log", stats.drains);
        self.counter("flushes", "Buffers written to Parquet", stats.flushes);
        self.counter("merges", "Merges of Parquet files", stats.merges);
        self.counter(
            "lane_failures",
            "Failures of background work, which tries again",
            stats.lane_failures,
        );
        self.counter(
            "quarantined",
            "Records put aside because they could not be written",
            stats.quarantined,
        );
        self.counter("deleted_traces", "Traces deleted", stats.deleted_traces);
    }

    fn add_reads(&mut self, reads: &ReadCounts) {
        self.counter(
            "query_files_opened",
            "Files that queries opened",
            reads.opened(),
        );
        self.counter(
            "query_read_bytes",
            "Bytes that queries read of files",
            reads.bytes(),
        );
        self.counter(
            "query_payload_read_bytes",
            "Bytes that queries read of payload columns; a list reads none",
            reads.payload_bytes(),
        );
    }

    fn add_archive(&mut self, archive: &ArchiveHealth) {
        self.counter("archive_records", "Bodies archived", archive.records);
        self.counter(
            "archive_lost_records",
            "Bodies that were taken in and could not be archived",
            archive.lost_records,
        );
        self.counter(
            "archive_removed_files",
            "Files of the archive that went because of their age or the archive's size",
            archive.removed_files,
        );
        self.gauge(
            "archive_bytes",
            "Bytes of the archive on disk",
            archive.disk_bytes,
        );
        self.gauge(
            "archive_failing",
            "Whether bodies that come in now are not archived",
            u64::from(archive.trouble.is_some()),
        );
    }

    fn add_losses(&mut self, shared: &Shared) {
        let family = Family::<Labels, Counter>::default();
        for entry in shared.losses.entries(None) {
            for (outcome, code, count) in entry.figures() {
                let labels = vec![
                    ("project", entry.project().to_owned()),
                    ("source", entry.source().as_str().to_owned()),
                    ("outcome", outcome.to_owned()),
                    ("code", code.to_owned()),
                ];
                family.get_or_create(&labels).inc_by(count);
            }
        }
        let help = "Items accepted and rejected, and requests refused, since the start";
        self.0.register("ingest_outcomes", help, family);
    }
}

impl Moment {
    fn add_forwards(&mut self, shared: &Shared) {
        let statuses = shared.forwards.statuses(None, shared.clock.now());
        let outcomes = Family::<Labels, Counter>::default();
        for status in &statuses {
            for (outcome, count) in status.counts() {
                let labels = vec![
                    ("forward", status.name().to_owned()),
                    ("outcome", outcome.to_owned()),
                ];
                outcomes.get_or_create(&labels).inc_by(count);
            }
        }
        let help = "Spans passed on or not, and requests sent again, since the start";
        self.0.register("forward_outcomes", help, outcomes);
        let of = |value: fn((u64, f64)) -> u64| {
            let one = move |status: &ForwardStatus| {
                let labels = vec![("forward", status.name().to_owned())];
                (labels, value(status.lag()))
            };
            statuses.iter().map(one).collect::<Vec<_>>()
        };
        let (bytes, seconds) = (of(|(bytes, _)| bytes), of(|(_, seconds)| seconds as u64));
        self.gauges(
            "forward_lag_bytes",
            "Bytes of the log that a target has not got",
            bytes,
        );
        let help = "For how long the oldest row has waited for a target";
        self.gauges("forward_lag_seconds", help, seconds);
    }
}

/// A gauge is signed; what is beyond it is shown as the largest.
fn as_gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
