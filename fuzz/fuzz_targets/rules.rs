//! Any text as a rule: never a panic; what is no rule has problems that can be shown, and what is one
//! grades a trace.
#![no_main]

use insight::rule::{Rule, Selector};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| {
    match Rule::parse(source) {
        Ok(rule) => {
            drop(rule.grade(&fuzz::trace(), &()));
            drop(rule.storage_predicate().map(|predicate| predicate.to_string()));
        }
        Err(problems) => {
            assert!(!problems.all().is_empty());
            drop(problems.to_string());
        }
    }
    if let Ok(selector) = Selector::parse(source) {
        drop(selector.places(&fuzz::trace(), &()));
    }
});
