//! Any bytes as an OTLP request in JSON.
#![no_main]

use ingest::otlp::Encoding;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::check_otlp(bytes, Encoding::Json));
