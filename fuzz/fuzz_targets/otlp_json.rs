//! Any bytes as an OTLP request in JSON: never a panic, every span restorable.
#![no_main]

use ingest::agents_sdk::Context;
use ingest::otlp::{Encoding, Sent, attributes, contents, decode_logs, decode_traces};
use libfuzzer_sys::fuzz_target;
use model::{Source, Time};

fuzz_target!(|bytes: &[u8]| {
    let context = Context { source: Source::Otlp, received_at: Time::from_micros(0), price: &|_| None };
    drop(decode_logs(bytes.to_vec().into(), Encoding::Json));
    let Ok(batch) = decode_traces(bytes.to_vec().into(), Encoding::Json, &context) else { return };
    for span in &batch.spans {
        let payload = &span.payload;
        let content = |hash: &_| {
            let mut messages = batch.messages.iter();
            messages.find(|m| m.hash == *hash && m.trace_id == span.trace_id).map(|m| m.text())
        };
        let data = payload.data.as_ref().map(|data| {
            model::payload::restore(data.as_str(), &payload.input_refs, &payload.output_refs, content)
                .expect("what was cut is there")
        });
        let sent = Sent { span, data: data.as_deref() };
        model::JsonText::parse(&attributes(sent)).expect("attributes are JSON");
        drop(contents(sent));
    }
});
