//! Any bytes as a request of the Agents SDK and as a file: never a panic, every span restorable.
#![no_main]

use bytes::Bytes;
use ingest::agents_sdk::{Context, Documents, decode, decode_document};
use libfuzzer_sys::fuzz_target;
use model::{Source, Time};

fuzz_target!(|bytes: &[u8]| {
    let context = Context::new(Source::Openai, Time::from_micros(0));
    let body = Bytes::copy_from_slice(bytes);
    if let Ok(batch) = decode(body, &context) {
        fuzz::check_restorable(&batch);
    }
    let mut documents = Documents::new(1 << 20);
    documents.feed(bytes);
    documents.finish();
    for document in documents.flatten() {
        drop(decode_document(document, &context));
    }
});
