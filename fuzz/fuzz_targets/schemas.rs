//! Any two values, a line each, as a JSON schema and what it is asked about: never a panic, and a value is
//! what it is.
#![no_main]

use insight::schema_fault;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|text: &str| {
    let (schema, value) = text.split_once('\n').unwrap_or((text, text));
    let parsed = |text| serde_json::from_str::<Value>(text).ok();
    let (Some(schema), Some(value)) = (parsed(schema), parsed(value)) else { return };
    drop(schema_fault(&schema, &value, "it"));
    assert_eq!(schema_fault(&json!({ "const": value }), &value, "it"), None);
});
