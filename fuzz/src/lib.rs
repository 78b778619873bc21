//! What several fuzz targets check.

use ingest::agents_sdk::Context;
use ingest::otlp::{Encoding, Sent, attributes, contents, decode_logs, decode_traces};
use model::{Batch, Source, Time};

/// Decodes any bytes as an OTLP request: never a panic, every span restorable.
pub fn check_otlp(bytes: &[u8], encoding: Encoding) {
    let context = Context { source: Source::Otlp, received_at: Time::from_micros(0), price: &|_| None };
    drop(decode_logs(bytes.to_vec().into(), encoding));
    let Ok(batch) = decode_traces(bytes.to_vec().into(), encoding, &context) else { return };
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
}

/// Puts the data of every span together again: what was cut out must be there.
pub fn check_restorable(batch: &Batch) {
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
