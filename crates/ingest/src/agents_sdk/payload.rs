//! Takes the messages out of `span_data` and writes the rest around references to them.
//!
//! The cuts are made in the sender's own text, value by value in its order, so that putting the
//! messages back gives that text again; only white space between two neighbouring messages is lost.

use model::payload::{Side, Writer};
use model::{JsonText, MessageHash, Role, SpanType};

use crate::json::{Kind, Value};

use super::conversation;
use super::traces::{Lane, TracePlace, Traces};

/// A single value shorter than this stays in `data`: a reference and a row cost more than it does.
pub(super) const WHOLE_BYTES_MIN: usize = 256;

/// What part of a span a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// What a model was told.
    Prompt,
    /// What a model answered.
    Answer,
    Instructions,
    Tools,
    /// What a tool was called with.
    Arguments,
    /// What a tool returned.
    Result,
    /// What went into any other span.
    In,
    /// What came out of any other span.
    Out,
}

impl Part {
    fn side(self) -> Side {
        match self {
            Part::Prompt | Part::Instructions | Part::Tools | Part::Arguments | Part::In => {
                Side::Input
            }
            Part::Answer | Part::Result | Part::Out => Side::Output,
        }
    }

    fn lane(self) -> Option<Lane> {
        match self {
            Part::Prompt => Some(Lane::History),
            Part::Tools => Some(Lane::Tools),
            Part::Instructions => Some(Lane::Instructions),
            Part::Answer | Part::Arguments | Part::Result | Part::In | Part::Out => None,
        }
    }

    /// Returns whether a list is many messages; else it is one.
    fn is_list(self) -> bool {
        !matches!(self, Part::Arguments | Part::Result)
    }

    fn role(self, value: Value<'_, '_>) -> Role {
        match self {
            Part::Prompt if value.kind() == Kind::String => "user".into(),
            Part::Answer if value.kind() == Kind::String => "assistant".into(),
            Part::Prompt | Part::Answer => conversation::role(value),
            Part::Instructions => "instructions".into(),
            Part::Tools => "tool_schema".into(),
            Part::Arguments => "arguments".into(),
            Part::Result => "result".into(),
            Part::In | Part::Out => "other".into(),
        }
    }
}

/// A payload in its parts.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// The sender's text with references.
    pub(super) data: Option<JsonText>,
    /// What went in.
    pub(super) input_refs: Vec<MessageHash>,
    /// What came out.
    pub(super) output_refs: Vec<MessageHash>,
}

/// Returns `span_data` in its parts and keeps the messages in `traces`.
pub(super) fn split<'b>(
    traces: &mut Traces<'b, '_>,
    trace: TracePlace,
    span_type: SpanType,
    span_data: Value<'b, '_>,
) -> Parts {
    let (input, output) = match span_type {
        SpanType::Generation => (Part::Prompt, Part::Answer),
        SpanType::Function => (Part::Arguments, Part::Result),
        _ => (Part::In, Part::Out),
    };
    let mut cutter = Cutter::new(traces, trace, span_data);
    for (key, value) in span_data.members() {
        match key.text().as_deref() {
            Some("input") => cutter.cut(input, value),
            Some("output") => cutter.cut(output, value),
            Some("instructions") => cutter.cut(Part::Instructions, value),
            Some("tools") => cutter.cut(Part::Tools, value),
            Some("response") if span_type == SpanType::Generation => {
                for (key, value) in value.members() {
                    match key.text().as_deref() {
                        Some("output") => cutter.cut(Part::Answer, value),
                        Some("instructions") => cutter.cut(Part::Instructions, value),
                        Some("tools") => cutter.cut(Part::Tools, value),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    cutter.finish(span_data.end())
}

struct Cutter<'b, 'c, 'd> {
    traces: &'d mut Traces<'b, 'c>,
    trace: TracePlace,
    text: &'b str,
    /// Up to here the text is written, or waits as `run`.
    from: usize,
    writer: Writer,
    parts: Parts,
    /// References that will share one token: their side, the first and the last.
    run: Option<(Side, usize, usize)>,
}

impl<'b, 'c, 'd> Cutter<'b, 'c, 'd> {
    fn new(traces: &'d mut Traces<'b, 'c>, trace: TracePlace, span_data: Value<'b, '_>) -> Self {
        Self {
            traces,
            trace,
            text: span_data.item_text(),
            from: span_data.start(),
            writer: Writer::with_capacity(span_data.raw().len().min(1024)),
            parts: Parts::default(),
            run: None,
        }
    }

    fn cut(&mut self, part: Part, value: Value<'b, '_>) {
        match value.kind() {
            Kind::Array if part.is_list() => {
                let messages = value.elements().filter(|element| {
                    element.is_object() || element.raw().len() >= WHOLE_BYTES_MIN
                });
                for (at, element) in messages.enumerate() {
                    self.take(part, at, element);
                }
            }
            // Instructions are resent every turn, however short.
            Kind::String if part == Part::Instructions => self.take(part, 0, value),
            Kind::Null => {}
            _ if value.raw().len() >= WHOLE_BYTES_MIN => self.take(part, 0, value),
            _ => {}
        }
    }

    fn take(&mut self, part: Part, at: usize, value: Value<'b, '_>) {
        let role = || part.role(value);
        let hash = match part.lane() {
            Some(lane) => self
                .traces
                .take_next(self.trace, lane, at, value.raw(), role),
            None => self.traces.take(self.trace, value.raw(), role),
        };
        let side = part.side();
        let refs = match side {
            Side::Input => &mut self.parts.input_refs,
            Side::Output => &mut self.parts.output_refs,
        };
        let number = refs.len();
        refs.push(hash);
        let gap = &self.text[self.from..value.start()];
        self.run = match self.run {
            Some((run_side, first, _)) if run_side == side && gap.trim_ascii() == "," => {
                Some((side, first, number))
            }
            _ => {
                self.write_run();
                self.writer.push_text(gap);
                Some((side, number, number))
            }
        };
        self.from = value.end();
    }

    fn write_run(&mut self) {
        if let Some((side, first, last)) = self.run.take() {
            self.writer.push_refs(side, first, last);
        }
    }

    fn finish(mut self, end: usize) -> Parts {
        self.write_run();
        self.writer.push_text(&self.text[self.from..end]);
        Parts {
            data: Some(self.writer.finish()),
            ..self.parts
        }
    }
}
