//! How fast bodies of the Agents SDK are decoded on one core, in processor time.
//!
//! A body holds 100 model calls of one trace whose history grows, as agents send it: every call
//! resends what came before, so most messages were seen in the span above. Run with
//! `cargo bench -p ingest`.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ingest::agents_sdk::{Context, decode};
use model::{Source, Time};

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
fn measure(name: &str, body: &Bytes) {
    let context = Context {
        source: Source::Openai,
        received_at: Time::from_micros(0),
        price: &|_| None,
    };
    let (mut rounds, mut best) = (0_u32, Duration::MAX);
    let start = processor_time();
    while processor_time() - start < RUN_TIME {
        for _ in 0..20 {
            let round = Instant::now();
            let batch =
                decode(black_box(body.clone()), &context).expect("the body is built to be taken");
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
    measure("2.7 KB, growing history", &body(2_700, 180));
    measure("20 KB, growing history", &body(20_000, 400));
}
