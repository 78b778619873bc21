//! Any bytes as the request and the answer of a model call, parted by the first zero byte: never a
//! panic, every span restorable.
#![no_main]

use ingest::agents_sdk::Context;
use ingest::openai_api::{Answer, Api, Call, Outcome, call, links, response_id};
use libfuzzer_sys::fuzz_target;
use model::{Source, Time};

/// A request that is always good, so that answers are read whatever the fuzzer makes of requests.
const REQUEST: &[u8] = br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;

fuzz_target!(|bytes: &[u8]| {
    let context = Context::new(Source::Proxy, Time::from_micros(0));
    let zero = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (request, body) = (&bytes[..zero], bytes.get(zero + 1..).unwrap_or(bytes));
    for api in [Api::ChatCompletions, Api::Responses] {
        drop(links(api, request));
        for request in [request, REQUEST] {
            let answer = Answer { status: 200, body, cut: None, arrivals: &[] };
            let made = Call {
                api,
                trace_id: "trace",
                span_id: "span",
                parent_id: None,
                workflow_name: None,
                group_id: None,
                base_url: None,
                started_at: Time::from_micros(0),
                ended_at: Time::from_micros(1),
                retry: 0,
                notes: &[],
                request,
                outcome: Outcome::Answered(answer),
                secrets: &["secret-of-the-fuzzer"],
            };
            let Ok(batch) = call(&made, &context) else { continue };
            for span in &batch.spans {
                let Some(data) = &span.payload.data else { continue };
                let content = |hash: &_| batch.messages.iter().find(|m| m.hash == *hash).map(|m| m.text());
                model::payload::restore(data.as_str(), &span.payload.input_refs, &span.payload.output_refs, content)
                    .expect("what was cut is there");
            }
        }
    }
    drop(response_id(body));
});
