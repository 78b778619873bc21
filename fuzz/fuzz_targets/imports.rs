//! Any bytes as a file of any product, and as a batch of Langfuse: never a panic, every span restorable.
#![no_main]

use ingest::agents_sdk::Context;
use ingest::imports::{Known, LangfuseBatch, decode};
use libfuzzer_sys::fuzz_target;
use model::{Source, Time};

fuzz_target!(|bytes: &[u8]| {
    let context = Context::new(Source::Import, Time::from_micros(0));
    if let Ok(imported) = decode(bytes.to_vec().into(), &context) {
        fuzz::check_restorable(&imported.batch);
    }
    if let Ok(batch) = LangfuseBatch::read(bytes.to_vec().into()) {
        drop(batch.traces());
        let (imported, _) = batch.decode(&Known::default(), &context);
        fuzz::check_restorable(&imported.batch);
    }
});
