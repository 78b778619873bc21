//! Any texts, a line each, as messages of errors: never a panic, and the pattern of a template finds each
//! message of it.
#![no_main]

use insight::drain::{FORM_CHARS_MAX, Templates, masked};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let templates = Templates::of(text.lines());
    for message in text.lines() {
        assert!(masked(message).chars().count() <= FORM_CHARS_MAX);
        let template = templates.find(message).expect("it was among them");
        let pattern = regex::Regex::new(&template.pattern()).expect("it is an expression");
        assert!(pattern.is_match(message), "{pattern:?} {message:?}");
    }
});
