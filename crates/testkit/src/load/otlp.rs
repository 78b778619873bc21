//! The same agents as instrumentation tells of them: spans of OpenTelemetry with the attributes of its
//! GenAI conventions, messages as the JSON text of a list.

use super::{Body, Clock, Pen, Piece, Shape, TOOLS, Target};

/// One span, to be written in either encoding.
struct Span {
    number: u32,
    parent: Option<u32>,
    name: String,
    from: i64,
    to: i64,
    attributes: Vec<(&'static str, Value)>,
}

enum Value {
    Text(Piece),
    Int(u64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        let mut piece = Piece::default();
        piece.text(text);
        Self::Text(piece)
    }
}

/// Returns a body of one trace for each seed.
pub(super) fn body(shape: Shape, seeds: impl Iterator<Item = u64>, target: Target) -> Body {
    let mut spans = 0;
    let mut written = Vec::new();
    for seed in seeds {
        let (id, trace) = Teller::new(shape, seed).tell();
        spans += trace.len();
        written.extend(trace.iter().map(|span| match target {
            Target::OTLP_JSON => json::span(&id, span),
            _ => protobuf::span(&id, span),
        }));
    }
    let piece = match target {
        Target::OTLP_JSON => json::request(&written),
        _ => protobuf::request(&written),
    };
    Body {
        piece,
        spans,
        traces: Vec::new(),
        target,
    }
}

/// Tells the turns of one agent.
struct Teller {
    pen: Pen,
    spans: Vec<Span>,
}

impl Teller {
    fn new(shape: Shape, seed: u64) -> Self {
        Self {
            pen: Pen::new(shape, seed),
            spans: Vec::new(),
        }
    }

    /// Returns the first 24 digits of the trace's id, and its spans.
    fn tell(mut self) -> (String, Vec<Span>) {
        let workflow = self.pen.workflow;
        self.push(
            None,
            format!("invoke_agent {workflow}"),
            200,
            vec![
                ("gen_ai.operation.name", "invoke_agent".into()),
                ("gen_ai.agent.name", workflow.into()),
            ],
        );
        let asked = self.message("user");
        self.pen.history = asked;
        for turn in 1..=self.pen.shape.turns {
            self.turn(turn == self.pen.shape.turns);
        }
        (self.pen.id, self.spans)
    }

    fn turn(&mut self, is_last: bool) {
        let tools = if is_last { 0 } else { self.pen.shape.tools };
        let calls: Vec<Call> = (0..tools).map(|_| self.call()).collect();
        let answer = match is_last {
            true => self.message("assistant"),
            false => requests(&calls),
        };
        self.generation(&answer);
        self.pen.history.text(",").piece(&answer);
        for call in calls {
            self.pen
                .history
                .text(",{\"role\":\"tool\",\"parts\":[{\"type\":\"tool_call_response\",\"id\":\"")
                .piece(&call.id)
                .text("\",\"response\":\"")
                .piece(&call.output)
                .text("\"}]}");
            let micros = 2_000 + self.pen.prng.below(400_000) as i64;
            self.push(
                Some(1),
                format!("execute_tool {}", call.name),
                micros,
                vec![
                    ("gen_ai.operation.name", "execute_tool".into()),
                    ("gen_ai.tool.name", call.name.into()),
                    ("gen_ai.tool.call.id", Value::Text(call.id)),
                    ("gen_ai.tool.call.arguments", Value::Text(call.arguments)),
                    ("gen_ai.tool.call.result", Value::Text(call.output)),
                ],
            );
        }
    }

    fn generation(&mut self, answer: &Piece) {
        let mut input = Piece::default();
        input.text("[").piece(&self.pen.history).text("]");
        let mut output = Piece::default();
        output.text("[").piece(answer).text("]");
        let mut system = Piece::default();
        system
            .text("[{\"type\":\"text\",\"content\":\"")
            .piece(&self.pen.instructions)
            .text("\"}]");
        let read = (input.bytes.len() + system.bytes.len()) as u64 / 4;
        let written = 20 + self.pen.prng.below(200) as u64;
        let (model, micros) = (
            self.pen.model,
            400_000 + self.pen.prng.below(3_000_000) as i64,
        );
        self.push(
            Some(1),
            format!("chat {model}"),
            micros,
            vec![
                ("gen_ai.operation.name", "chat".into()),
                ("gen_ai.provider.name", "openai".into()),
                ("gen_ai.request.model", model.into()),
                ("gen_ai.response.model", model.into()),
                ("server.address", "api.openai.com".into()),
                ("gen_ai.usage.input_tokens", Value::Int(read)),
                ("gen_ai.usage.output_tokens", Value::Int(written)),
                ("gen_ai.system_instructions", Value::Text(system)),
                ("gen_ai.input.messages", Value::Text(input)),
                ("gen_ai.output.messages", Value::Text(output)),
            ],
        );
    }

    fn push(
        &mut self,
        parent: Option<u32>,
        name: String,
        micros: i64,
        attributes: Vec<(&'static str, Value)>,
    ) {
        let from = self.pen.clock;
        self.pen.clock += micros;
        self.spans.push(Span {
            number: self.spans.len() as u32 + 1,
            parent,
            name,
            from,
            to: self.pen.clock,
            attributes,
        });
    }

    fn message(&mut self, role: &str) -> Piece {
        let text = self.pen.said(self.pen.shape.words / 2);
        let mut message = Piece::default();
        message
            .text(&format!(
                "{{\"role\":\"{role}\",\"parts\":[{{\"type\":\"text\",\"content\":\""
            ))
            .piece(&text)
            .text("\"}]}");
        message
    }

    fn call(&mut self) -> Call {
        let (mut id, mut arguments) = (Piece::default(), Piece::default());
        id.text(&format!("call_{:016x}", self.pen.prng.next()))
            .stamp();
        let question = self.pen.said(self.pen.shape.words / 8);
        arguments
            .text(&format!(
                "{{\"order\":{},\"question\":\"",
                self.pen.prng.below(1_000_000)
            ))
            .piece(&question)
            .text("\"}");
        Call {
            id,
            name: TOOLS[self.pen.prng.below(TOOLS.len())],
            arguments,
            output: self.pen.said(self.pen.shape.words),
        }
    }
}

/// A tool's call; its arguments are JSON.
struct Call {
    id: Piece,
    name: &'static str,
    arguments: Piece,
    output: Piece,
}

fn requests(calls: &[Call]) -> Piece {
    let mut answer = Piece::default();
    answer.text("{\"role\":\"assistant\",\"parts\":[");
    for (number, call) in calls.iter().enumerate() {
        let comma = if number > 0 { "," } else { "" };
        answer
            .text(comma)
            .text("{\"type\":\"tool_call\",\"id\":\"")
            .piece(&call.id)
            .text("\",\"name\":\"")
            .text(call.name)
            .text("\",\"arguments\":")
            .piece(&call.arguments)
            .text("}");
    }
    answer.text("],\"finish_reason\":\"tool_calls\"}");
    answer
}

mod protobuf {
    use super::{Clock, Piece, Span, Value};

    pub(super) fn request(spans: &[Piece]) -> Piece {
        let mut scope_spans = Piece::default();
        let mut scope = Piece::default();
        nest(
            &mut scope,
            1,
            &text("opentelemetry.instrumentation.openai_v2"),
        );
        nest(&mut scope_spans, 1, &scope);
        spans
            .iter()
            .for_each(|span| nest(&mut scope_spans, 2, span));
        let (mut resource, mut resource_spans) = (Piece::default(), Piece::default());
        nest(&mut resource, 1, &attribute("service.name", &"shop".into()));
        nest(&mut resource_spans, 1, &resource);
        nest(&mut resource_spans, 2, &scope_spans);
        let mut request = Piece::default();
        nest(&mut request, 1, &resource_spans);
        request
    }

    pub(super) fn span(trace: &str, span: &Span) -> Piece {
        let mut piece = Piece::default();
        let mut trace_id = Piece::default();
        // Eight bytes of the trace, and the stamp as it is.
        trace_id.bytes.extend_from_slice(&trace.as_bytes()[..8]);
        trace_id.stamp();
        nest(&mut piece, 1, &trace_id);
        nest(&mut piece, 2, &id(span.number));
        if let Some(parent) = span.parent {
            nest(&mut piece, 4, &id(parent));
        }
        nest(&mut piece, 5, &text(&span.name));
        piece.bytes.extend_from_slice(&[6 << 3, 3]);
        piece.bytes.push(7 << 3 | 1);
        piece.clock(span.from, Clock::Fixed);
        piece.bytes.push(8 << 3 | 1);
        piece.clock(span.to, Clock::Fixed);
        for (key, value) in &span.attributes {
            nest(&mut piece, 9, &attribute(key, value));
        }
        piece
    }

    fn id(number: u32) -> Piece {
        Piece {
            bytes: (u64::from(number) | 0xa9e0 << 32).to_be_bytes().to_vec(),
            ..Piece::default()
        }
    }

    fn text(text: &str) -> Piece {
        let mut piece = Piece::default();
        piece.text(text);
        piece
    }

    fn attribute(key: &str, value: &Value) -> Piece {
        let (mut any, mut pair) = (Piece::default(), Piece::default());
        match value {
            Value::Text(text) => nest(&mut any, 1, text),
            Value::Int(number) => {
                any.bytes.push(3 << 3);
                varint(&mut any.bytes, *number);
            }
        }
        nest(&mut pair, 1, &text(key));
        nest(&mut pair, 2, &any);
        pair
    }

    /// Appends a field that holds other bytes.
    fn nest(piece: &mut Piece, field: u8, inner: &Piece) {
        piece.bytes.push(field << 3 | 2);
        varint(&mut piece.bytes, inner.bytes.len() as u64);
        piece.piece(inner);
    }

    fn varint(bytes: &mut Vec<u8>, mut number: u64) {
        while number > 0x7f {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
    }
}

mod json {
    use super::{Clock, Piece, Span, Value};

    pub(super) fn request(spans: &[Piece]) -> Piece {
        let mut request = Piece::default();
        request.text(
            r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeSpans":[{"scope":{"name":"opentelemetry.instrumentation.openai_v2"},"spans":["#,
        );
        for (number, span) in spans.iter().enumerate() {
            request.text(if number > 0 { "," } else { "" }).piece(span);
        }
        request.text("]}]}]}");
        request
    }

    pub(super) fn span(trace: &str, span: &Span) -> Piece {
        let mut piece = Piece::default();
        piece.text(r#"{"traceId":""#).text(trace).stamp();
        piece.text(&format!(r#"","spanId":"0000a9e0{:08x}""#, span.number));
        if let Some(parent) = span.parent {
            piece.text(&format!(r#","parentSpanId":"0000a9e0{parent:08x}""#));
        }
        piece
            .text(&format!(
                r#","name":"{}","kind":3,"startTimeUnixNano":""#,
                span.name
            ))
            .clock(span.from, Clock::Digits)
            .text(r#"","endTimeUnixNano":""#)
            .clock(span.to, Clock::Digits)
            .text(r#"","attributes":["#);
        for (number, (key, value)) in span.attributes.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            piece.text(&format!(r#"{comma}{{"key":"{key}","value":{{"#));
            match value {
                Value::Text(text) => piece
                    .text(r#""stringValue":""#)
                    .piece(&escaped(text))
                    .text(r#""}}"#),
                Value::Int(number) => piece.text(&format!(r#""intValue":"{number}"}}}}"#)),
            };
        }
        piece.text("]}");
        piece
    }

    /// Returns a text as it stands in a JSON string; a stamp has nothing to escape.
    fn escaped(text: &Piece) -> Piece {
        let mut piece = Piece::default();
        let mut stamps = text.stamps.iter().peekable();
        for (at, byte) in text.bytes.iter().enumerate() {
            if stamps.next_if(|stamp| **stamp as usize == at).is_some() {
                piece.stamps.push(piece.bytes.len() as u32);
            }
            if matches!(byte, b'"' | b'\\') {
                piece.bytes.push(b'\\');
            }
            piece.bytes.push(*byte);
        }
        piece
    }
}
