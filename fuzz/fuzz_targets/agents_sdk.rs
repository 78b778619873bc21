//! Any bytes as a request of the Agents SDK and as a file: never a panic, every span restorable.
#![no_main]

use bytes::Bytes;
use ingest::agents_sdk::{Context, Documents, decode, decode_document};
use libfuzzer_sys::fuzz_target;
use model::{Source, Time};

fuzz_target!(|bytes: &[u8]| {
    let context = Context { source: Source::Openai, received_at: Time::from_micros(0), price: &|_| None };
    let body = Bytes::copy_from_slice(bytes);
    if let Ok(batch) = decode(body, &context) {
        for span in &batch.spans {
            let Some(data) = &span.payload.data else { continue };
            let content = |hash: &_| {
                let mut messages = batch.messages.iter();
                messages.find(|m| m.hash == *hash && m.trace_id == span.trace_id).map(|m| m.text())
            };
            model::payload::restore(data.as_str(), &span.payload.input_refs, &span.payload.output_refs, content)
                .expect("what was cut is there");
        }
    }
    let mut documents = Documents::new(1 << 20);
    documents.feed(bytes);
    documents.finish();
    for document in documents.flatten() {
        drop(decode_document(document, &context));
    }
});
