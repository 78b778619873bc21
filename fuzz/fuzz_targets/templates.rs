//! Any text as a template of a grader: never a panic, and what is one can be filled.
#![no_main]

use insight::template::{Row, Template};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let item = serde_json::json!({"x": [1, {"y": "z"}]});
    let row = Row { item: &item, sample: None };
    let strict = Template::parse_strict(text).ok();
    for template in [Template::parse(text), Template::parse_input(text)].into_iter().chain(strict) {
        drop(template.render(&row));
        assert!(template.variables().all(|variable| !variable.is_empty()));
    }
});
