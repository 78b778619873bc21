//! The answer: D08 empty or stub answer.
//!
//! Expressions over the answer alone: linear in it.

use std::sync::LazyLock;

use model::Part;
use regex::Regex;

use super::facts::{Facts, quote};
use super::numbers::last_answer;
use super::{Found, Severity};

/// Fewer words are hardly an answer.
const WORDS_MIN: usize = 3;

/// Longer answers are no mere refusal, in characters.
const STUB_CHARS_MAX: usize = 200;

/// What stands where an answer should.
static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?ix)^\W*(?:null|none|nil|undefined|n/?a|nan|todo|tbd|fixme|placeholder|lorem\ ipsum\b.*|your\ answer\ here
        |\[?(?:insert|your)\b[^\]]{0,60}\]|<[^>]{0,60}>|\{\}|\[\]|no\ (?:answer|response|output|content)
        |(?:an?\ )?(?:internal\ )?error(?:\ occurr?ed)?)\W*$",
    )
    .expect("is a regular expression")
});

/// A refusal as a whole.
static REFUSAL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?ix)^\W*(?:(?:i['’]?m|i\ am)\ (?:very\ |so\ )?sorry\b|sorry\b|i\ apologi[sz]e\b|unfortunately\b|my\ apologies\b)?[\s,.:;!-]*(?:but\ )?
        (?:(?:i|we)\ (?:can(?:['’]?t|not|\ not)|am\ (?:unable|not\ able)|['’]?m\ (?:unable|not\ able)|(?:are|['’]?re)\ unable|do(?:n['’]?t|\ not)|won['’]?t|will\ not)
        |(?:i['’]?m|i\ am)\ (?:unable|not\ able)|as\ an\ ai\b)",
    )
    .expect("is a regular expression")
});

/// The run ends without an answer, or with none to speak of.
pub(super) fn stub_answer(facts: &Facts<'_>) -> Found {
    let view = facts.view;
    if facts.is_running() {
        return Err("the run has not ended");
    }
    if !view.has_content() || view.generations.is_empty() {
        return Err("no content");
    }
    // An earlier answer is not the last one's.
    if let Some(last) = view.generations.last().filter(|at| is_blank(facts, **at)) {
        let evidence = "the last model call neither answered nor called a tool".to_owned();
        return Ok(vec![facts.hit(Severity::High, &[*last], evidence)]);
    }
    let place: Vec<u32> = last_answer(facts).into_iter().collect();
    let Some(answer) = view.final_output.as_deref() else {
        // Some agents end with a tool that hands in their work.
        return match ends_in_call(facts) {
            true => Err("the run ends in a tool call"),
            false => {
                let evidence = "the run ended without an answer".to_owned();
                Ok(vec![facts.hit(Severity::High, &place, evidence)])
            }
        };
    };
    let is_json = answer.trim_start().starts_with(['{', '['])
        && serde_json::from_str::<serde::de::IgnoredAny>(answer).is_ok();
    let is_short = answer.chars().nth(STUB_CHARS_MAX).is_none();
    let words = answer.split_whitespace().count();
    let (severity, what) = match () {
        () if answer.trim().is_empty() => (Severity::High, "is blank"),
        () if PLACEHOLDER.is_match(answer) => (Severity::High, "is a placeholder"),
        () if is_json => return Ok(Vec::new()),
        () if is_short && REFUSAL.is_match(answer) && !offers_more(answer) => {
            (Severity::Medium, "is only a refusal")
        }
        // `42` and `yes` answer some questions.
        () if words < WORDS_MIN && answer.is_ascii() => (Severity::Low, "is very short"),
        () => return Ok(Vec::new()),
    };
    let evidence = format!("the answer {what}: {}", quote(answer));
    Ok(vec![facts.hit(severity, &place, evidence)])
}

/// Returns whether a model call that went well has come back with nothing.
fn is_blank(facts: &Facts<'_>, at: u32) -> bool {
    let span = facts.span(at);
    let parts = span.told.output.iter().flat_map(|said| &said.parts);
    let says_nothing = |part: &Part| match part {
        Part::Text { content } => content.trim().is_empty(),
        Part::Reasoning { .. } => true,
        _ => false,
    };
    !span.told.output.is_empty() && !span.has_failed() && parts.into_iter().all(says_nothing)
}

/// Returns whether the last model call asked for a tool that succeeded behind it.
fn ends_in_call(facts: &Facts<'_>) -> bool {
    let Some(last) = facts.view.generations.last() else {
        return false;
    };
    let asks = facts.span(*last).requested_calls().next().is_some();
    let call = facts.calls().last();
    call.is_some_and(|call| call.at > *last && !call.has_failed && (asks || call.key.is_some()))
}

/// Returns whether something follows behind the sentence that refuses.
fn offers_more(answer: &str) -> bool {
    let mut sentences = answer.split_inclusive(['.', '!', '?', '\n']);
    sentences.next();
    sentences.any(|sentence| sentence.split_whitespace().count() > 4)
}
