//! Spans and log records as both encodings tell them, before anybody asks what they mean.

use std::borrow::Cow;

use model::JsonText;

use super::any::{Any, Attributes};

/// What the sender says once for many spans: who it is, and which library speaks.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// The resource as JSON, unless nothing was told.
    pub(super) resource: Option<JsonText>,
    /// The scope as JSON, unless nothing was told.
    pub(super) scope: Option<JsonText>,
    /// The name of the scope.
    pub(super) scope_name: String,
    /// The version of the scope.
    pub(super) scope_version: String,
    /// The environment that the resource names.
    pub(super) environment: Option<String>,
    /// The version of the service that the resource names.
    pub(super) service_version: Option<String>,
}

/// One span as sent; ids are bytes that nobody has looked at.
#[derive(Debug)]
pub(super) struct RawSpan<'b> {
    pub(super) trace_id: Cow<'b, [u8]>,
    pub(super) span_id: Cow<'b, [u8]>,
    pub(super) parent_id: Cow<'b, [u8]>,
    pub(super) trace_state: Cow<'b, str>,
    pub(super) flags: u32,
    pub(super) name: Cow<'b, str>,
    pub(super) kind: i32,
    pub(super) start_nanos: u64,
    pub(super) end_nanos: u64,
    pub(super) attributes: Attributes<'b>,
    pub(super) dropped_attributes: u32,
    pub(super) events: Vec<RawEvent<'b>>,
    pub(super) dropped_events: u32,
    pub(super) links: Vec<RawLink<'b>>,
    pub(super) dropped_links: u32,
    pub(super) status_code: i32,
    pub(super) status_message: Cow<'b, str>,
}

impl Default for RawSpan<'_> {
    fn default() -> Self {
        Self {
            trace_id: Cow::Borrowed(&[]),
            span_id: Cow::Borrowed(&[]),
            parent_id: Cow::Borrowed(&[]),
            trace_state: Cow::Borrowed(""),
            flags: 0,
            name: Cow::Borrowed(""),
            kind: 0,
            start_nanos: 0,
            end_nanos: 0,
            attributes: Attributes::new(Vec::new()),
            dropped_attributes: 0,
            events: Vec::new(),
            dropped_events: 0,
            links: Vec::new(),
            dropped_links: 0,
            status_code: 0,
            status_message: Cow::Borrowed(""),
        }
    }
}

/// A moment inside a span, or a log record that was joined to it.
#[derive(Debug)]
pub(crate) struct RawEvent<'b> {
    /// When, in nanoseconds since 1970; 0 is "not told".
    pub(crate) nanos: u64,
    /// What it is.
    pub(crate) name: Cow<'b, str>,
    /// Its attributes.
    pub(crate) attributes: Attributes<'b>,
    /// How many attributes the sender dropped.
    pub(crate) dropped_attributes: u32,
    /// The body, which log records alone have.
    pub(crate) body: Any<'b>,
}

/// A pointer to another span.
#[derive(Debug)]
pub(super) struct RawLink<'b> {
    pub(super) trace_id: Cow<'b, [u8]>,
    pub(super) span_id: Cow<'b, [u8]>,
    pub(super) trace_state: Cow<'b, str>,
    pub(super) attributes: Attributes<'b>,
    pub(super) dropped_attributes: u32,
    pub(super) flags: u32,
}

impl Default for RawLink<'_> {
    fn default() -> Self {
        Self {
            trace_id: Cow::Borrowed(&[]),
            span_id: Cow::Borrowed(&[]),
            trace_state: Cow::Borrowed(""),
            attributes: Attributes::new(Vec::new()),
            dropped_attributes: 0,
            flags: 0,
        }
    }
}

/// One log record as sent.
#[derive(Debug)]
pub(super) struct RawLog<'b> {
    pub(super) trace_id: Cow<'b, [u8]>,
    pub(super) span_id: Cow<'b, [u8]>,
    pub(super) nanos: u64,
    pub(super) observed_nanos: u64,
    pub(super) severity_number: i32,
    pub(super) severity_text: Cow<'b, str>,
    pub(super) event_name: Cow<'b, str>,
    pub(super) body: Any<'b>,
    pub(super) attributes: Attributes<'b>,
    pub(super) dropped_attributes: u32,
    pub(super) flags: u32,
}

impl Default for RawLog<'_> {
    fn default() -> Self {
        Self {
            trace_id: Cow::Borrowed(&[]),
            span_id: Cow::Borrowed(&[]),
            nanos: 0,
            observed_nanos: 0,
            severity_number: 0,
            severity_text: Cow::Borrowed(""),
            event_name: Cow::Borrowed(""),
            body: Any::Empty,
            attributes: Attributes::new(Vec::new()),
            dropped_attributes: 0,
            flags: 0,
        }
    }
}

/// The resource of a group as sent.
#[derive(Debug, Default)]
pub(super) struct RawResource<'b> {
    pub(super) attributes: Vec<(Cow<'b, str>, Any<'b>)>,
    pub(super) dropped_attributes: u32,
}

/// The scope of a group as sent.
#[derive(Debug, Default)]
pub(super) struct RawScope<'b> {
    pub(super) name: Cow<'b, str>,
    pub(super) version: Cow<'b, str>,
    pub(super) attributes: Vec<(Cow<'b, str>, Any<'b>)>,
    pub(super) dropped_attributes: u32,
}

/// Where a decoder hands what it reads, front to back.
pub(super) trait Sink<'b> {
    /// A resource was read; what follows belongs to it.
    fn resource(&mut self, resource: RawResource<'b>, schema_url: &str);
    /// A scope was read; what follows belongs to it.
    fn scope(&mut self, scope: RawScope<'b>, schema_url: &str);
    /// A span or log record was read, or cannot be.
    fn item(&mut self, item: Result<RawItem<'b>, super::refusal::Refusal>);
    /// Returns whether no further item is taken.
    fn is_full(&self) -> bool;
}

/// What requests consist of.
#[derive(Debug)]
pub(super) enum RawItem<'b> {
    Span(Box<RawSpan<'b>>),
    Log(Box<RawLog<'b>>),
}

/// Which of the two requests is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Logs,
}
