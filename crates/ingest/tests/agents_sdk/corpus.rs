//! The fuzzer's seeds through the decoder: the deterministic short run of `fuzz/`.

use bytes::Bytes;
use ingest::agents_sdk::{Documents, decode, decode_document};

use crate::support::{context, repository};

#[test]
fn every_seed_of_the_fuzzer_decodes_or_is_refused() {
    let (mut seeds, mut taken, mut refused) = (0, 0, 0);
    for entry in std::fs::read_dir(repository().join("fuzz/corpus/agents_sdk")).unwrap() {
        let body = Bytes::from(std::fs::read(entry.unwrap().path()).unwrap());
        seeds += 1;
        match decode(body.clone(), &context()) {
            Ok(_) => taken += 1,
            Err(_) => refused += 1,
        }
        let mut documents = Documents::new(1 << 20);
        documents.feed(&body);
        documents.finish();
        for document in documents.flatten() {
            drop(decode_document(document, &context()));
        }
    }
    assert!(
        seeds >= 10 && taken > 0 && refused > 0,
        "{seeds} seeds, {taken} taken, {refused} refused"
    );
}
