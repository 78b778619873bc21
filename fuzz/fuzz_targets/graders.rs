//! Any JSON as the definition of a grader, ours or OpenAI's, or as the messages of a prompt: never a panic,
//! and what is a grader of traces reads its own definition. Formulas, templates and rules are read with it.
#![no_main]

use grade::openai::{Grader, Place, Prompt};
use grade::trace::TraceGrader;
use insight::trajectory::Reference;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { return };
    if let Ok(grader) = TraceGrader::parse(&value) {
        let again = TraceGrader::parse(grader.definition()).expect("it is a definition");
        assert_eq!(again.hash(), grader.hash());
    }
    for place in [Place::Eval, Place::GradersRun] {
        drop(Grader::parse(&value, place));
    }
    drop(Prompt::parse(&value));
    drop(Reference::parse(&value));
});
