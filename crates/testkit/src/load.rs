//! Bodies as the Agents SDK and OpenTelemetry send them, made before a run and sent many times, each time anew.
//!
//! An agent takes turns: the model is asked with all that was said so far, calls tools, is asked
//! again. So a body is made of histories that grow, as with real agents that record their content.
//! Everything that must differ between two sendings (ids, call ids, a reference in every text) is a
//! stamp of eight digits at places that are known; so are the times. Filling them in costs a
//! fiftieth of making the text, and no two messages of a run are the same.

mod agents_sdk;
mod otlp;

use std::time::Duration;

use agents_sdk::Pen;

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
    times: Vec<(u32, i64, Clock)>,
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    /// As the SDK does.
    Iso,
    /// Nanoseconds in eight bytes.
    Fixed,
    /// Nanoseconds in nineteen digits.
    Digits,
}

impl Clock {
    const fn width(self) -> usize {
        match self {
            Self::Iso => TIME.len(),
            Self::Fixed => 8,
            Self::Digits => 19,
        }
    }

    fn write(self, micros: i64, slot: &mut [u8]) {
        let nanos = u64::try_from(micros).unwrap_or(0) * 1_000;
        match self {
            Self::Iso => write_time(micros, slot),
            Self::Fixed => slot.copy_from_slice(&nanos.to_le_bytes()),
            Self::Digits => slot.copy_from_slice(format!("{nanos:019}").as_bytes()),
        }
    }
}

/// Where bodies of one form are sent, and as what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The path.
    pub path: &'static str,
    /// The kind of body.
    pub content_type: &'static str,
}

impl Target {
    /// The capture endpoint of the Agents SDK.
    pub const AGENTS_SDK: Self = Self {
        path: "/v1/traces/ingest",
        content_type: "application/json",
    };
    /// OpenTelemetry in protobuf.
    pub const OTLP: Self = Self {
        path: "/v1/traces",
        content_type: "application/x-protobuf",
    };
    /// OpenTelemetry in JSON.
    pub const OTLP_JSON: Self = Self {
        path: "/v1/traces",
        content_type: "application/json",
    };
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
        self.clock(micros, Clock::Iso)
    }

    fn clock(&mut self, micros: i64, clock: Clock) -> &mut Self {
        let at = self.bytes.len();
        self.times.push((at as u32, micros, clock));
        match clock {
            Clock::Iso => self.bytes.extend_from_slice(TIME),
            Clock::Fixed | Clock::Digits => self.bytes.resize(at + clock.width(), b'0'),
        }
        self
    }

    fn piece(&mut self, other: &Self) -> &mut Self {
        let at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(&other.bytes);
        self.stamps
            .extend(other.stamps.iter().map(|place| place + at));
        let times = other.times.iter();
        self.times
            .extend(times.map(|(place, time, clock)| (place + at, *time, *clock)));
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
    /// Where it is sent.
    pub target: Target,
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
        for &(place, micros, clock) in &self.piece.times {
            let slot = &mut out[place as usize..][..clock.width()];
            clock.write(start_micros + micros, slot);
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

/// Returns `count` bodies of about a hundred spans, each of whole traces, as instrumentation that speaks
/// OpenTelemetry sends them.
pub fn telemetry_pool(shape: Shape, seed: u64, count: usize, target: Target) -> Vec<Body> {
    let of_body = (BODY_SPANS / shape.spans()).max(1);
    let seed_of = |number: usize| seed ^ (number as u64) << 20;
    (0..count)
        .map(|number| {
            let traces = (0..of_body).map(|trace| seed_of(number * of_body + trace));
            otlp::body(shape, traces, target)
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
                target: Target::AGENTS_SDK,
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
    fn telemetry_is_whole_and_of_the_size_it_is_named_for() {
        let mut out = Vec::new();
        for target in [Target::OTLP, Target::OTLP_JSON] {
            let bodies = telemetry_pool(Shape::SUPPORT, 1, 20, target);
            let spans: usize = bodies.iter().map(|body| body.spans).sum();
            let mean = bodies.iter().map(Body::bytes).sum::<usize>() / spans;
            assert!((2_000..3_300).contains(&mean), "{mean} bytes a span");
            bodies[0].fill(0xbeef, 1_767_323_045_000_123, &mut out);
            if target == Target::OTLP_JSON {
                let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
                let spans = &value["resourceSpans"][0]["scopeSpans"][0]["spans"];
                assert_eq!(spans.as_array().unwrap().len(), bodies[0].spans);
                assert_eq!(spans[0]["startTimeUnixNano"], "1767323045000123000");
                let attribute = |span: &serde_json::Value, key: &str| {
                    let all = span["attributes"].as_array().unwrap();
                    let found = all.iter().find(|pair| pair["key"] == key).unwrap();
                    found["value"]["stringValue"].as_str().unwrap().to_owned()
                };
                let said = attribute(&spans[3], "gen_ai.input.messages");
                let said: serde_json::Value = serde_json::from_str(&said).unwrap();
                assert_eq!(said[2]["role"], "tool");
                assert!(said[0].to_string().contains("Ref 0000beef"));
            }
        }
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
