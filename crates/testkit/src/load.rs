//! Bodies as the Agents SDK sends them, made before a run and sent many times, each time anew.
//!
//! An agent takes turns: the model is asked with all that was said so far, calls tools, is asked
//! again. So a body is made of histories that grow, as with real agents that record their content.
//! Everything that must differ between two sendings (ids, call ids, a reference in every text) is a
//! stamp of eight digits at places that are known; so are the times. Filling them in costs a
//! fiftieth of making the text, and no two messages of a run are the same.

use std::time::Duration;

use crate::prng::Prng;
use crate::words;

/// Spans in one body: what the SDK's exporter sends at most is 128 items.
pub const BODY_SPANS: usize = 100;
/// A body of very long histories is cut by its size, far below what the server takes.
const BODY_BYTES: usize = 8 << 20;
const STAMP: &[u8] = b"00000000";
const TIME: &[u8] = b"2026-01-02T03:04:05.000000+00:00";
const MODELS: [&str; 4] = ["gpt-5.2", "gpt-5.2-mini", "gpt-4.1-mini", "o4-mini"];
const WORKFLOWS: [&str; 6] = [
    "Order support",
    "Returns desk",
    "Invoice questions",
    "Stock watch",
    "Contract review",
    "Travel planner",
];
const TOOLS: [&str; 8] = [
    "find_order",
    "list_shipments",
    "refund",
    "search_policy",
    "read_invoice",
    "check_stock",
    "send_mail",
    "open_ticket",
];

/// What an agent's trace looks like.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// How often the model is asked.
    pub turns: usize,
    /// Tools called in each turn but the last.
    pub tools: usize,
    /// Words of a tool's output; other messages are half as long.
    pub words: usize,
    /// Words of the instructions.
    pub instructions: usize,
}

impl Shape {
    /// Six turns, 12 spans of about 2.7 KB.
    pub const SUPPORT: Self = Self::agent(6, 75);
    /// Fifty turns, 100 spans of about 20 KB.
    pub const RESEARCH: Self = Self::agent(50, 140);
    /// Nine spans of less than a kilobyte: many tools, few words.
    pub const SMALL: Self = Self {
        turns: 2,
        tools: 6,
        words: 6,
        instructions: 10,
    };

    /// Returns an agent that calls one tool a turn.
    pub const fn agent(turns: usize, words: usize) -> Self {
        Self {
            turns,
            tools: 1,
            words,
            instructions: 80,
        }
    }

    /// Returns the number of spans of a trace.
    pub const fn spans(&self) -> usize {
        1 + self.turns + self.turns.saturating_sub(1) * self.tools
    }
}

/// Text with places to be filled in.
#[derive(Debug, Clone, Default)]
struct Piece {
    bytes: Vec<u8>,
    stamps: Vec<u32>,
    /// Places of times, each with its distance from the body's beginning in microseconds.
    times: Vec<(u32, i64)>,
}

impl Piece {
    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes.extend_from_slice(text.as_bytes());
        self
    }

    fn stamp(&mut self) -> &mut Self {
        self.stamps.push(self.bytes.len() as u32);
        self.bytes.extend_from_slice(STAMP);
        self
    }

    fn time(&mut self, micros: i64) -> &mut Self {
        self.times.push((self.bytes.len() as u32, micros));
        self.bytes.extend_from_slice(TIME);
        self
    }

    fn piece(&mut self, other: &Self) -> &mut Self {
        let at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(&other.bytes);
        self.stamps
            .extend(other.stamps.iter().map(|place| place + at));
        let times = other.times.iter().map(|(place, time)| (place + at, *time));
        self.times.extend(times);
        self
    }
}

/// The trace of a body.
#[derive(Debug, Clone)]
pub struct Sketch {
    prefix: String,
    /// How many spans it has.
    pub spans: usize,
}

impl Sketch {
    /// Returns the trace's id in the sending `stamp`.
    pub fn id(&self, stamp: u32) -> String {
        format!("{}{stamp:08x}", self.prefix)
    }
}

/// One request body, to be filled in for each sending.
#[derive(Debug, Clone)]
pub struct Body {
    piece: Piece,
    /// The spans in it.
    pub spans: usize,
    /// The traces that have their beginning in it.
    pub traces: Vec<Sketch>,
}

impl Body {
    /// Returns the bytes of a sending.
    pub fn bytes(&self) -> usize {
        self.piece.bytes.len()
    }

    /// Writes the sending `stamp`, of traces that began at `start_micros`, in the place of what is in
    /// `out`.
    pub fn fill(&self, stamp: u32, start_micros: i64, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.piece.bytes);
        let digits = hex(stamp);
        for &place in &self.piece.stamps {
            out[place as usize..][..STAMP.len()].copy_from_slice(&digits);
        }
        for &(place, micros) in &self.piece.times {
            let slot = &mut out[place as usize..][..TIME.len()];
            write_time(start_micros + micros, slot);
        }
    }
}

/// Returns `count` bodies of about a hundred spans, each of whole traces.
pub fn pool(shape: Shape, seed: u64, count: usize) -> Vec<Body> {
    let of_body = (BODY_SPANS / shape.spans()).max(1);
    (0..count)
        .map(|number| {
            let mut packer = Packer::default();
            for trace in 0..of_body {
                let seed = seed ^ ((number * of_body + trace) as u64) << 20;
                packer.add(write_trace(shape, seed), usize::MAX);
            }
            packer.end().remove(0)
        })
        .collect()
}

/// Returns one trace of any length as bodies of a hundred spans, which belong to one sending.
pub fn trace(shape: Shape, seed: u64) -> Vec<Body> {
    let mut packer = Packer::default();
    packer.add(write_trace(shape, seed), BODY_SPANS);
    packer.end()
}

/// Returns one trace of `spans` spans that are agents and tools only, a hundred tools an agent, as
/// bodies that belong to one sending.
pub fn tree(seed: u64, spans: usize) -> Vec<Body> {
    let mut packer = Packer::default();
    packer.add(Pen::new(Shape::SMALL, seed).write_tree(spans), BODY_SPANS);
    packer.end()
}

/// The items of one trace; the first is the trace itself.
struct Items {
    sketch: Sketch,
    items: Vec<Piece>,
}

#[derive(Default)]
struct Packer {
    open: Option<Body>,
    full: Vec<Body>,
}

impl Packer {
    fn add(&mut self, trace: Items, spans_max: usize) {
        for (number, item) in trace.items.iter().enumerate() {
            let is_full = |body: &Body| {
                body.spans >= spans_max || (spans_max != usize::MAX && body.bytes() > BODY_BYTES)
            };
            if self.open.as_ref().is_some_and(is_full) {
                self.close();
            }
            let body = self.open.get_or_insert_with(|| Body {
                piece: Piece::default(),
                spans: 0,
                traces: Vec::new(),
            });
            let opening = if body.piece.bytes.is_empty() {
                "{\"data\":["
            } else {
                ","
            };
            body.piece.text(opening).piece(item);
            if number == 0 {
                body.traces.push(trace.sketch.clone());
            } else {
                body.spans += 1;
            }
        }
    }

    fn close(&mut self) {
        if let Some(mut body) = self.open.take() {
            body.piece.text("]}");
            self.full.push(body);
        }
    }

    fn end(mut self) -> Vec<Body> {
        self.close();
        self.full
    }
}

fn write_trace(shape: Shape, seed: u64) -> Items {
    Pen::new(shape, seed).write()
}

/// Writes one trace.
struct Pen {
    shape: Shape,
    prng: Prng,
    /// The first 24 digits of the trace's id.
    id: String,
    workflow: &'static str,
    model: &'static str,
    /// Whether the model is asked by the Responses API; if not, by chat completions.
    responses: bool,
    instructions: Piece,
    history: Piece,
    /// Microseconds since the trace began.
    clock: i64,
    spans: u32,
    items: Vec<Piece>,
}

impl Pen {
    fn new(shape: Shape, seed: u64) -> Self {
        let mut prng = Prng::new(seed);
        let id = format!("{:016x}{:08x}", prng.next(), prng.next() as u32);
        let number = prng.below(WORKFLOWS.len());
        // Those of one workflow are the same from trace to trace.
        let mut instructions = Piece::default();
        instructions.text("You are the agent of the ");
        words::write(
            &mut instructions.bytes,
            &mut Prng::new(number as u64),
            shape.instructions,
        );
        Self {
            shape,
            id,
            workflow: WORKFLOWS[number],
            model: MODELS[prng.below(MODELS.len())],
            responses: prng.below(2) == 0,
            prng,
            instructions,
            history: Piece::default(),
            clock: 0,
            spans: 0,
            items: Vec::new(),
        }
    }

    fn write(mut self) -> Items {
        self.trace();
        self.agent(None);
        self.history = self.message("user");
        for turn in 1..=self.shape.turns {
            self.turn(turn == self.shape.turns);
        }
        self.end()
    }

    fn write_tree(mut self, spans: usize) -> Items {
        self.trace();
        self.agent(None);
        let mut parent = 1;
        while (self.spans as usize) < spans {
            if self.spans % 101 == 1 {
                self.agent(Some(1));
                parent = self.spans;
            } else {
                let call = self.call();
                self.tool(&call, parent);
            }
        }
        self.end()
    }

    fn end(self) -> Items {
        Items {
            sketch: Sketch {
                prefix: format!("trace_{}", self.id),
                spans: self.spans as usize,
            },
            items: self.items,
        }
    }

    fn trace(&mut self) {
        let mut item = Piece::default();
        let (user, group) = (self.prng.below(50_000), self.prng.next());
        item.text("{\"object\":\"trace\",\"id\":\"trace_")
            .text(&self.id)
            .stamp()
            .text(&format!(
                "\",\"workflow_name\":\"{}\",\"group_id\":\"thread_{group:016x}\",\"metadata\":{{\"user_id\":\"user_{user}\",\"environment\":\"production\"}}}}",
                self.workflow
            ));
        self.items.push(item);
    }

    fn agent(&mut self, parent: Option<u32>) {
        let mut item = self.span(parent, 200);
        item.text(&format!(
            "{{\"type\":\"agent\",\"name\":\"{}\",\"handoffs\":[],\"tools\":[\"{}\"],\"output_type\":\"str\"}},\"error\":null}}",
            self.workflow,
            TOOLS.join("\",\"")
        ));
        self.items.push(item);
    }

    /// One call of the model, and the tools that it asks for.
    fn turn(&mut self, is_last: bool) {
        let calls: Vec<Call> = match is_last {
            true => Vec::new(),
            false => (0..self.shape.tools).map(|_| self.call()).collect(),
        };
        let answer = match calls.is_empty() {
            true => self.message("assistant"),
            false => self.requests(&calls),
        };
        let micros = 400_000 + self.prng.below(3_000_000) as i64;
        let mut item = self.span(Some(1), micros);
        if self.responses {
            self.response(&mut item, &answer);
        } else {
            self.generation(&mut item, &answer);
        }
        self.items.push(item);
        self.history.text(",").piece(&answer);
        for call in &calls {
            self.tool(call, 1);
            let told = self.told(call);
            self.history.text(",").piece(&told);
        }
    }

    fn tool(&mut self, call: &Call, parent: u32) {
        let micros = 2_000 + self.prng.below(400_000) as i64;
        let mut item = self.span(Some(parent), micros);
        item.text("{\"type\":\"function\",\"name\":\"")
            .text(call.name)
            .text("\",\"input\":\"")
            .piece(&call.arguments)
            .text("\",\"output\":\"")
            .piece(&call.output)
            .text("\",\"mcp_data\":null},\"error\":null}");
        self.items.push(item);
    }

    /// Begins the next span; what follows is its `span_data`.
    fn span(&mut self, parent: Option<u32>, micros: i64) -> Piece {
        self.spans += 1;
        let mut item = Piece::default();
        let short = &self.id[..8];
        item.text("{\"object\":\"trace.span\",\"id\":\"span_")
            .text(&format!("{short}{:08x}", self.spans))
            .stamp()
            .text("\",\"trace_id\":\"trace_")
            .text(&self.id)
            .stamp()
            .text("\",\"parent_id\":");
        match parent {
            Some(parent) => item
                .text(&format!("\"span_{short}{parent:08x}"))
                .stamp()
                .text("\""),
            None => item.text("null"),
        };
        item.text(",\"started_at\":\"").time(self.clock);
        self.clock += micros;
        item.text("\",\"ended_at\":\"")
            .time(self.clock)
            .text("\",\"span_data\":");
        item
    }

    fn generation(&mut self, item: &mut Piece, answer: &Piece) {
        let usage = self.usage();
        item.text("{\"type\":\"generation\",\"input\":[{\"content\":\"")
            .piece(&self.instructions)
            .text("\",\"role\":\"system\"},")
            .piece(&self.history)
            .text("],\"output\":[")
            .piece(answer)
            .text("],\"model\":\"")
            .text(self.model)
            .text("\",\"model_config\":{\"temperature\":0.2,\"top_p\":null,\"tool_choice\":null,\"parallel_tool_calls\":null,\"max_tokens\":null,\"base_url\":\"https://api.openai.com/v1/\"},\"usage\":")
            .text(&usage)
            .text("},\"error\":null}");
    }

    fn response(&mut self, item: &mut Piece, answer: &Piece) {
        let usage = self.usage();
        let id = format!("resp_{:016x}", self.prng.next());
        item.text("{\"type\":\"response\",\"response_id\":\"")
            .text(&id)
            .stamp()
            .text("\",\"usage\":")
            .text(&usage)
            .text(",\"input\":[")
            .piece(&self.history)
            .text("],\"response\":{\"id\":\"")
            .text(&id)
            .stamp()
            .text("\",\"created_at\":1767323045.0,\"error\":null,\"incomplete_details\":null,\"instructions\":\"")
            .piece(&self.instructions)
            .text("\",\"metadata\":{},\"model\":\"")
            .text(self.model)
            .text("\",\"object\":\"response\",\"output\":[")
            .piece(answer)
            .text("],\"parallel_tool_calls\":true,\"temperature\":1.0,\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":1.0,\"status\":\"completed\",\"text\":{\"format\":{\"type\":\"text\"}},\"truncation\":\"disabled\",\"usage\":")
            .text(&usage)
            .text(",\"user\":null,\"store\":true}},\"error\":null}");
    }

    fn usage(&mut self) -> String {
        let input = self.history.bytes.len() / 4 + self.instructions.bytes.len() / 4;
        let output = 20 + self.prng.below(200);
        format!(
            "{{\"requests\":1,\"input_tokens\":{input},\"output_tokens\":{output},\"total_tokens\":{},\"input_tokens_details\":{{\"cached_tokens\":{}}},\"output_tokens_details\":{{\"reasoning_tokens\":{}}}}}",
            input + output,
            input / 2,
            output / 3
        )
    }

    /// Returns words that no other message has.
    fn said(&mut self, count: usize) -> Piece {
        let mut piece = Piece::default();
        piece.text("Ref ").stamp().text(": ");
        words::write(&mut piece.bytes, &mut self.prng, count.max(1));
        piece
    }

    fn message(&mut self, role: &str) -> Piece {
        let text = self.said(self.shape.words / 2);
        let mut message = Piece::default();
        if self.responses && role == "assistant" {
            message
                .text(&format!("{{\"id\":\"msg_{:016x}", self.prng.next()))
                .stamp()
                .text("\",\"content\":[{\"annotations\":[],\"text\":\"")
                .piece(&text)
                .text("\",\"type\":\"output_text\",\"logprobs\":[]}],\"role\":\"assistant\",\"status\":\"completed\",\"type\":\"message\"}");
        } else {
            message
                .text("{\"content\":\"")
                .piece(&text)
                .text(&format!("\",\"role\":\"{role}\"}}"));
        }
        message
    }

    fn call(&mut self) -> Call {
        let mut id = Piece::default();
        id.text(&format!("call_{:016x}", self.prng.next())).stamp();
        let mut arguments = Piece::default();
        arguments.text(&format!(
            "{{\\\"order\\\":{},\\\"question\\\":\\\"",
            self.prng.below(1_000_000)
        ));
        let question = self.said(self.shape.words / 8);
        // A line break in a string in a string has one backslash more.
        let question_text = String::from_utf8_lossy(&question.bytes).replace("\\n", "  ");
        arguments
            .piece(&Piece {
                bytes: question_text.into_bytes(),
                ..question
            })
            .text("\\\"}");
        Call {
            id,
            name: TOOLS[self.prng.below(TOOLS.len())],
            arguments,
            output: self.said(self.shape.words),
        }
    }

    /// Returns the answer of a model that asks for tools.
    fn requests(&mut self, calls: &[Call]) -> Piece {
        let mut answer = Piece::default();
        if !self.responses {
            answer.text("{\"content\":null,\"role\":\"assistant\",\"tool_calls\":[");
        }
        for (number, call) in calls.iter().enumerate() {
            if number > 0 {
                answer.text(",");
            }
            if self.responses {
                answer
                    .text("{\"arguments\":\"")
                    .piece(&call.arguments)
                    .text("\",\"call_id\":\"")
                    .piece(&call.id)
                    .text("\",\"name\":\"")
                    .text(call.name)
                    .text(&format!(
                        "\",\"type\":\"function_call\",\"id\":\"fc_{:016x}",
                        self.prng.next()
                    ))
                    .stamp()
                    .text("\",\"status\":\"completed\"}");
            } else {
                answer
                    .text("{\"id\":\"")
                    .piece(&call.id)
                    .text("\",\"type\":\"function\",\"function\":{\"name\":\"")
                    .text(call.name)
                    .text("\",\"arguments\":\"")
                    .piece(&call.arguments)
                    .text("\"}}");
            }
        }
        if !self.responses {
            answer.text("]}");
        }
        answer
    }

    /// Returns the message that tells the model what a tool said.
    fn told(&self, call: &Call) -> Piece {
        let mut message = Piece::default();
        if self.responses {
            message
                .text("{\"call_id\":\"")
                .piece(&call.id)
                .text("\",\"output\":\"")
                .piece(&call.output)
                .text("\",\"type\":\"function_call_output\"}");
        } else {
            message
                .text("{\"role\":\"tool\",\"tool_call_id\":\"")
                .piece(&call.id)
                .text("\",\"content\":\"")
                .piece(&call.output)
                .text("\"}");
        }
        message
    }
}

/// A tool's call.
struct Call {
    id: Piece,
    name: &'static str,
    arguments: Piece,
    output: Piece,
}

fn hex(stamp: u32) -> [u8; 8] {
    std::array::from_fn(|digit| b"0123456789abcdef"[(stamp >> (28 - 4 * digit)) as usize & 15])
}

/// Writes a moment in the SDK's form over `slot`, which holds one already.
fn write_time(micros: i64, slot: &mut [u8]) {
    let seconds = micros.div_euclid(1_000_000);
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    let fields = [
        (0, 4, year),
        (5, 2, month),
        (8, 2, day),
        (11, 2, second / 3_600),
        (14, 2, second / 60 % 60),
        (17, 2, second % 60),
        (20, 6, micros.rem_euclid(1_000_000)),
    ];
    for (place, width, mut value) in fields {
        for digit in slot[place..place + width].iter_mut().rev() {
            *digit = b'0' + (value % 10) as u8;
            value /= 10;
        }
    }
}

/// Returns year, month and day of a day since 1970 (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (
        yoe + era * 400 + i64::from(month <= 2),
        month,
        doy - (153 * mp + 2) / 5 + 1,
    )
}

/// When the bodies of a run begin, and how far each is behind the one before.
#[derive(Debug, Clone, Copy)]
pub struct Timeline {
    /// The beginning of sending 0, in microseconds since 1970.
    pub start_micros: i64,
    /// How much later each next sending begins.
    pub step: Duration,
}

impl Timeline {
    /// Returns a timeline that begins now.
    pub fn from_now(step: Duration) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "this stands for agents elsewhere, which have their own clock"
        )]
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            start_micros: now.map_or(0, |since| since.as_micros() as i64),
            step,
        }
    }

    /// Returns the beginning of a sending.
    pub fn at(&self, stamp: u32) -> i64 {
        self.start_micros + i64::from(stamp) * self.step.as_micros() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shape: Shape, bytes: std::ops::Range<usize>) {
        let bodies = pool(shape, 1, 20);
        let (mut out, mut ids) = (Vec::new(), std::collections::HashSet::new());
        for (body, stamp) in bodies.iter().flat_map(|body| [(body, 1), (body, 0xbeef)]) {
            body.fill(stamp, 1_767_323_045_000_123, &mut out);
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            let data = value["data"].as_array().unwrap();
            let spans = data.iter().filter(|item| item["object"] == "trace.span");
            assert_eq!(spans.clone().count(), body.spans);
            assert_eq!(data.len(), body.spans + body.traces.len());
            assert_eq!(data[0]["id"], body.traces[0].id(stamp));
            assert_eq!(data[1]["started_at"], "2026-01-02T03:04:05.000123+00:00");
            for item in data {
                assert!(ids.insert(item["id"].as_str().unwrap().to_owned()));
            }
        }
        let spans: usize = bodies.iter().map(|body| body.spans).sum();
        let mean = bodies.iter().map(Body::bytes).sum::<usize>() / spans;
        assert!(bytes.contains(&mean), "{shape:?}: {mean} bytes a span");
    }

    #[test]
    fn bodies_are_whole_unlike_and_of_the_size_they_are_named_for() {
        check(Shape::SUPPORT, 2_500..2_900);
        check(Shape::RESEARCH, 19_000..21_000);
        check(Shape::SMALL, 600..1_000);
    }

    #[test]
    fn a_long_trace_is_cut_into_bodies_that_belong_together() {
        let bodies = trace(Shape::agent(150, 10), 3);
        assert_eq!(bodies.iter().map(|body| body.spans).sum::<usize>(), 300);
        assert_eq!(
            bodies.iter().map(|body| body.traces.len()).sum::<usize>(),
            1
        );
        assert!(bodies.len() >= 3);
        let bodies = tree(3, 1_234);
        assert_eq!(bodies.iter().map(|body| body.spans).sum::<usize>(), 1_234);
    }
}
