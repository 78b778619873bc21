//! Spans and log records as both encodings tell them, before anybody asks what they mean.

use std::borrow::Cow;

use model::JsonText;

use super::any::{Any, Attributes};

/// What the sender says once for many spans: who it is, and which library speaks.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// The resource as JSON, unless nothing was told.
    pub(crate) resource: Option<JsonText>,
    /// The scope as JSON, unless nothing was told.
    pub(crate) scope: Option<JsonText>,
    /// The name of the scope.
    pub(crate) scope_name: String,
    /// The version of the scope.
    pub(crate) scope_version: String,
    /// The environment that the resource names.
    pub(crate) environment: Option<String>,
    /// The version of the service that the resource names.
    pub(crate) service_version: Option<String>,
}

/// One span as sent; ids are bytes that nobody has looked at.
#[derive(Debug)]
pub(crate) struct RawSpan<'b> {
    pub(crate) trace_id: Cow<'b, [u8]>,
    pub(crate) span_id: Cow<'b, [u8]>,
    pub(crate) parent_id: Cow<'b, [u8]>,
    pub(crate) trace_state: Cow<'b, str>,
    pub(crate) flags: u32,
    pub(crate) name: Cow<'b, str>,
    pub(crate) kind: i32,
    pub(crate) start_nanos: u64,
    pub(crate) end_nanos: u64,
    pub(crate) attributes: Attributes<'b>,
    pub(crate) dropped_attributes: u32,
    pub(crate) events: Vec<RawEvent<'b>>,
    pub(crate) dropped_events: u32,
    pub(crate) links: Vec<RawLink<'b>>,
    pub(crate) dropped_links: u32,
    pub(crate) status_code: i32,
    pub(crate) status_message: Cow<'b, str>,
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
pub(crate) struct RawLink<'b> {
    pub(crate) trace_id: Cow<'b, [u8]>,
    pub(crate) span_id: Cow<'b, [u8]>,
    pub(crate) trace_state: Cow<'b, str>,
    pub(crate) attributes: Attributes<'b>,
    pub(crate) dropped_attributes: u32,
    pub(crate) flags: u32,
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
pub(crate) struct RawLog<'b> {
    pub(crate) trace_id: Cow<'b, [u8]>,
    pub(crate) span_id: Cow<'b, [u8]>,
    pub(crate) nanos: u64,
    pub(crate) observed_nanos: u64,
    pub(crate) severity_number: i32,
    pub(crate) severity_text: Cow<'b, str>,
    pub(crate) event_name: Cow<'b, str>,
    pub(crate) body: Any<'b>,
    pub(crate) attributes: Attributes<'b>,
    pub(crate) dropped_attributes: u32,
    pub(crate) flags: u32,
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
pub(crate) struct RawResource<'b> {
    pub(crate) attributes: Vec<(Cow<'b, str>, Any<'b>)>,
    pub(crate) dropped_attributes: u32,
}

/// The scope of a group as sent.
#[derive(Debug, Default)]
pub(crate) struct RawScope<'b> {
    pub(crate) name: Cow<'b, str>,
    pub(crate) version: Cow<'b, str>,
    pub(crate) attributes: Vec<(Cow<'b, str>, Any<'b>)>,
    pub(crate) dropped_attributes: u32,
}

/// Where a decoder hands what it reads, front to back.
pub(crate) trait Sink<'b> {
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
pub(crate) enum RawItem<'b> {
    Span(Box<RawSpan<'b>>),
    Log(Box<RawLog<'b>>),
}

/// Which of the two requests is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Traces,
    Logs,
}
