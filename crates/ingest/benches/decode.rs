//! How fast bodies of the Agents SDK and of OpenTelemetry are decoded on one core, in processor time.
//!
//! A body holds 100 model calls of one trace whose history grows, as agents send it: every call
//! resends what came before, so most messages were seen in the span above. Run with
//! `cargo bench -p ingest`; `-- NAME` measures only what has the word in its name.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ingest::agents_sdk::{Context, decode};
use ingest::otlp::{Encoding, decode_traces};
use model::{Batch, Source, Time};

/// The allocator of the product: decoding is a sixth allocation.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SPANS: usize = 100;
/// Processor time for each body.
const RUN_TIME: Duration = Duration::from_secs(2);

/// One model call over chat completions with a window of `turns` messages of about `message_bytes`.
fn span(out: &mut String, number: usize, turns: std::ops::Range<usize>, message_bytes: usize) {
    let _ = write!(
        out,
        r#"{{"object":"trace.span","id":"span_{number:024x}","trace_id":"trace_{:032x}","parent_id":"span_{:024x}","started_at":"2026-01-02T03:04:05.{:06}+00:00","ended_at":"2026-01-02T03:04:06.{:06}+00:00","span_data":{{"type":"generation","input":[{{"content":"You are a careful assistant.","role":"system"}}"#,
        7, 9, number, number
    );
    for turn in turns {
        let role = ["user", "assistant"][turn % 2];
        let _ = write!(
            out,
            r#",{{"role":"{role}","content":"{}"}}"#,
            words(turn, message_bytes)
        );
    }
    let _ = write!(
        out,
        r#"],"output":[{{"content":"{}","refusal":null,"role":"assistant","annotations":null,"audio":null,"function_call":null,"tool_calls":null}}],"model":"gpt-4.1-mini","model_config":{{"temperature":0.2,"top_p":null,"frequency_penalty":null,"presence_penalty":null,"tool_choice":null,"parallel_tool_calls":null,"truncation":null,"max_tokens":null,"base_url":"https://api.openai.com/v1/"}},"usage":{{"requests":1,"input_tokens":{},"output_tokens":31,"total_tokens":{},"input_tokens_details":{{"cached_tokens":20}},"output_tokens_details":{{"reasoning_tokens":5}}}}}},"error":null}}"#,
        words(number + 1_000, message_bytes),
        100 + number,
        131 + number
    );
}

/// Text of about `bytes` bytes that differs from number to number.
fn words(number: usize, bytes: usize) -> String {
    let mut text = format!("message {number}:");
    let mut word = number as u64 | 1;
    while text.len() < bytes {
        word = word
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let _ = write!(text, " {:x}", word >> 40);
        if word >> 61 == 0 {
            text.push_str("\\n");
        }
    }
    text
}

/// A body whose spans have about `span_bytes` on average.
fn body(span_bytes: usize, message_bytes: usize) -> Bytes {
    let mean_turns = (span_bytes.saturating_sub(900 + message_bytes)) / (message_bytes + 30);
    let mut text = String::from("{\"data\":[");
    for number in 0..SPANS {
        if number > 0 {
            text.push(',');
        }
        // From one message to twice the mean.
        let turns = 1 + number * mean_turns * 2 / SPANS;
        span(&mut text, number, 0..turns, message_bytes);
    }
    text.push_str("]}");
    Bytes::from(text)
}

/// The same load as the GenAI conventions tell it: messages as the JSON text of a list.
mod otlp {
    use super::*;

    struct Span {
        number: usize,
        attributes: Vec<(&'static str, Value)>,
    }

    enum Value {
        Text(String),
        Int(u64),
    }

    fn spans(mean_turns: usize, message_bytes: usize) -> impl Iterator<Item = Span> {
        (0..SPANS).map(move |number| {
            let turns = 1 + number * mean_turns * 2 / SPANS;
            let mut input = String::from("[");
            for turn in 0..turns {
                let role = ["user", "assistant"][turn % 2];
                let comma = if turn > 0 { ", " } else { "" };
                let _ = write!(
                    input,
                    r#"{comma}{{"role": "{role}", "parts": [{{"type": "text", "content": "{}"}}]}}"#,
                    words(turn, message_bytes)
                );
            }
            input.push(']');
            let output = format!(
                r#"[{{"role": "assistant", "parts": [{{"type": "text", "content": "{}"}}], "finish_reason": "stop"}}]"#,
                words(number + 1_000, message_bytes)
            );
            let text = |text: &str| Value::Text(text.to_owned());
            let attributes = vec![
                ("gen_ai.operation.name", text("chat")),
                ("gen_ai.provider.name", text("openai")),
                ("gen_ai.request.model", text("gpt-4.1-mini")),
                ("gen_ai.response.model", text("gpt-4.1-mini-2025-04-14")),
                ("gen_ai.response.id", Value::Text(format!("chatcmpl-{number}"))),
                ("gen_ai.conversation.id", text("session-7")),
                ("gen_ai.request.temperature", Value::Int(1)),
                ("server.address", text("api.openai.com")),
                ("server.port", Value::Int(443)),
                ("gen_ai.usage.input_tokens", Value::Int(100 + number as u64)),
                ("gen_ai.usage.output_tokens", Value::Int(31)),
                ("gen_ai.usage.cache_read.input_tokens", Value::Int(20)),
                ("gen_ai.input.messages", Value::Text(input)),
                ("gen_ai.output.messages", Value::Text(output)),
            ];
            Span { number, attributes }
        })
    }

    /// A JSON body with the spans.
    pub(super) fn json(mean_turns: usize, message_bytes: usize) -> Bytes {
        let span = |span: Span| {
            let attributes = span.attributes.into_iter().map(|(key, value)| match value {
                Value::Text(text) => {
                    let text = serde_json::Value::from(text);
                    format!(r#"{{"key":"{key}","value":{{"stringValue":{text}}}}}"#)
                }
                Value::Int(int) => format!(r#"{{"key":"{key}","value":{{"intValue":"{int}"}}}}"#),
            });
            let attributes = attributes.collect::<Vec<_>>().join(",");
            format!(
                r#"{{"traceId":"{:032x}","spanId":"{:016x}","parentSpanId":"{:016x}","name":"chat gpt-4.1-mini","kind":3,"startTimeUnixNano":"{}","endTimeUnixNano":"{}","attributes":[{attributes}],"status":{{}}}}"#,
                7,
                span.number + 1,
                9_999,
                1_790_000_000_000_000_000_u64,
                1_790_000_001_000_000_000_u64,
            )
        };
        let spans: Vec<_> = spans(mean_turns, message_bytes).map(span).collect();
        Bytes::from(format!(
            r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"bench"}}}}]}},"scopeSpans":[{{"scope":{{"name":"bench"}},"spans":[{}]}}]}}]}}"#,
            spans.join(",")
        ))
    }

    fn varint(out: &mut Vec<u8>, mut value: u64) {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    fn field(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
        varint(out, number << 3 | 2);
        varint(out, bytes.len() as u64);
        out.extend(bytes);
    }

    /// A protobuf body with the spans.
    pub(super) fn protobuf(mean_turns: usize, message_bytes: usize) -> Bytes {
        let mut scope = Vec::new();
        field(&mut scope, 1, b"\x0a\x05bench");
        for span in spans(mean_turns, message_bytes) {
            let mut out = Vec::new();
            field(&mut out, 1, &7_u128.to_be_bytes());
            field(&mut out, 2, &(span.number as u64 + 1).to_be_bytes());
            field(&mut out, 4, &9_999_u64.to_be_bytes());
            field(&mut out, 5, b"chat gpt-4.1-mini");
            for (tag, nanos) in [
                (7, 1_790_000_000_000_000_000_u64),
                (8, 1_790_000_001_000_000_000),
            ] {
                out.push(tag << 3 | 1);
                out.extend(nanos.to_le_bytes());
            }
            for (key, value) in span.attributes {
                let (mut any, mut member) = (Vec::new(), Vec::new());
                match value {
                    Value::Text(text) => field(&mut any, 1, text.as_bytes()),
                    Value::Int(int) => {
                        any.push(3 << 3);
                        varint(&mut any, int);
                    }
                }
                field(&mut member, 1, key.as_bytes());
                field(&mut member, 2, &any);
                field(&mut out, 9, &member);
            }
            field(&mut scope, 2, &out);
        }
        let (mut resource, mut body) = (Vec::new(), Vec::new());
        field(&mut resource, 2, &scope);
        field(&mut body, 1, &resource);
        Bytes::from(body)
    }
}

/// Returns how long this process has been on a processor: the machine may have other work.
fn processor_time() -> Duration {
    let stat =
        std::fs::read_to_string("/proc/self/schedstat").expect("the benchmark runs on Linux");
    let nanos = stat.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanos.expect("the first field is a time in nanoseconds"))
}

#[expect(
    clippy::print_stdout,
    reason = "a benchmark is a program that prints its result"
)]
fn measure(name: &str, body: &Bytes, decode: impl Fn(Bytes, &Context<'_>) -> Batch) {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    if words.next().is_some_and(|word| !name.contains(&word)) {
        return;
    }
    let context = Context::new(Source::Openai, Time::from_micros(0));
    let (mut rounds, mut best) = (0_u32, Duration::MAX);
    let start = processor_time();
    while processor_time() - start < RUN_TIME {
        for _ in 0..20 {
            let round = Instant::now();
            let batch = decode(black_box(body.clone()), &context);
            assert_eq!(batch.accepted, SPANS);
            drop(black_box(batch));
            best = best.min(round.elapsed());
            rounds += 1;
        }
    }
    let mean = (processor_time() - start) / rounds;
    let figures = |time: Duration| {
        let (bytes, seconds) = (body.len() as f64, time.as_secs_f64());
        format!(
            "{:.0} MB/s, {:.0} spans/s",
            bytes / 1e6 / seconds,
            SPANS as f64 / seconds
        )
    };
    let span_bytes = body.len() / SPANS;
    println!(
        "{name}: {span_bytes} bytes a span; mean {}; best round {}",
        figures(mean),
        figures(best)
    );
}

#[expect(
    clippy::print_stdout,
    reason = "a benchmark is a program that prints its result"
)]
fn main() {
    // `cargo test --benches` asks for a quick look only; there is nothing to check here.
    if std::env::args().any(|argument| argument == "--test") {
        println!("run with cargo bench");
        return;
    }
    const TAKEN: &str = "the body is built to be taken";
    for (name, body) in [
        ("Agents SDK, 2.7 KB, growing history", body(2_700, 180)),
        ("Agents SDK, 20 KB, growing history", body(20_000, 400)),
    ] {
        measure(name, &body, |body, context| {
            decode(body, context).expect(TAKEN)
        });
    }
    for (name, encoding, body) in [
        (
            "OTLP protobuf, 2.7 KB",
            Encoding::Protobuf,
            otlp::protobuf(4, 180),
        ),
        ("OTLP JSON, 2.7 KB", Encoding::Json, otlp::json(4, 180)),
        (
            "OTLP protobuf, 20 KB, growing history",
            Encoding::Protobuf,
            otlp::protobuf(38, 400),
        ),
        (
            "OTLP JSON, 20 KB, growing history",
            Encoding::Json,
            otlp::json(38, 400),
        ),
    ] {
        measure(name, &body, |body, context| {
            decode_traces(body, encoding, context).expect(TAKEN)
        });
    }
}
