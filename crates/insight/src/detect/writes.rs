//! Changes: D15 unconfirmed write, D16 write then failure end, D21 no verification.
//!
//! D15 looks back over a bounded number of texts for each write, and for a bounded number of values in
//! each; the others are one pass over the calls.

use std::sync::LazyLock;

use memchr::memmem;
use model::TraceStatus;
use regex::Regex;
use serde_json::Value;

use super::facts::{Call, Facts, Utterance, Voice};
use super::{Found, Severity};

/// So far back a proposal is looked for, in texts.
const UTTERANCES_MAX: usize = 100;

/// So much of a text is searched for what it proposes, in bytes.
const PROPOSAL_BYTES_MAX: usize = 8_192;

/// No more is searched for proposals in one trace, in bytes.
const SEARCHED_BYTES_MAX: usize = 1 << 29;

/// So many values of arguments are looked for.
const VALUES_MAX: usize = 16;

/// Shorter values are named by chance, in bytes.
const VALUE_BYTES_MIN: usize = 3;

/// So much of a word in a tool's name stands for all its forms, in bytes.
const STEM_BYTES: usize = 4;

/// Longer arguments are not searched for values.
const ARGUMENTS_BYTES_MAX: usize = 1 << 20;

/// Names of tools that look at what was changed.
static CHECK: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)test|check|verif|valid|get|read|list|show|view|fetch|search|find|status|lint|build|compile|diff|query|describe|lookup|open|cat")
        .expect("is a regular expression")
});

/// A write with no word of the user between what the agent proposed and the call. Asked only where the
/// workflow says that writes are confirmed. A text that names one of the arguments, or a word of the
/// tool's name, is taken for the proposal.
pub(super) fn unconfirmed(facts: &Facts<'_>) -> Found {
    if !facts.rules.confirms_writes {
        return Err("the workflow does not ask for confirmation");
    }
    let mut writes = facts.calls().iter().filter(|call| call.is_write).peekable();
    if writes.peek().is_none() {
        return Err("no calls that write");
    }
    let utterances = facts.utterances().ok_or("too much text")?;
    if !utterances.iter().any(|said| said.voice == Voice::User) {
        return Err("nothing that a user said");
    }
    let (mut hits, mut searched) = (Vec::new(), 0);
    for call in writes {
        if searched > SEARCHED_BYTES_MAX {
            return Err("too much text");
        }
        let before = &utterances[..utterances.partition_point(|said| said.at < call.at)];
        if !is_confirmed(before, call, &mut searched) {
            let evidence = format!(
                "{} was called without a word of the user behind a proposal of the agent",
                call.name
            );
            hits.push(facts.hit(Severity::High, &[call.at], evidence));
        }
    }
    Ok(hits)
}

/// Returns whether the user spoke behind words of the model that name what the call does.
fn is_confirmed(before: &[Utterance<'_>], call: &Call<'_>, searched: &mut usize) -> bool {
    let arguments = call.span.told.arguments.as_ref();
    let short = arguments.filter(|told| told.as_str().len() <= ARGUMENTS_BYTES_MAX);
    let mut values = Vec::new();
    if let Some(arguments) = short {
        collect(&arguments.to_value(), &mut values);
    }
    // `booking` speaks of `book_flight`.
    let words = call.name.split(|char: char| !char.is_ascii_alphabetic());
    let stems = words.filter_map(|word| word.get(..STEM_BYTES));
    values.extend(stems.map(str::to_ascii_lowercase));
    let mut names_it = |text: &str| {
        let text = text.as_bytes()[..text.len().min(PROPOSAL_BYTES_MAX)].to_ascii_lowercase();
        *searched += text.len() * (values.len() + 1);
        let finds = |value: &String| memmem::find(&text, value.as_bytes()).is_some();
        values.is_empty() || values.iter().any(finds)
    };
    let mut has_word = false;
    for said in before.iter().rev().take(UTTERANCES_MAX) {
        match said.voice {
            Voice::User => has_word = true,
            Voice::Model if has_word && names_it(&said.text) => return true,
            _ => {}
        }
    }
    false
}

/// Appends the values in arguments that words could name.
fn collect(value: &Value, values: &mut Vec<String>) {
    match value {
        _ if values.len() >= VALUES_MAX => {}
        Value::Object(fields) => fields.values().for_each(|field| collect(field, values)),
        Value::Array(items) => items.iter().for_each(|item| collect(item, values)),
        Value::String(text) if text.len() >= VALUE_BYTES_MIN => {
            values.push(text.to_ascii_lowercase())
        }
        Value::Number(number) if number.to_string().len() >= VALUE_BYTES_MIN => {
            values.push(number.to_string());
        }
        _ => {}
    }
}

/// A write succeeded and the run ended in error: a part may be changed.
pub(super) fn then_failure(facts: &Facts<'_>) -> Found {
    let status = facts.view.status;
    if matches!(status, TraceStatus::Running | TraceStatus::Abandoned) {
        return Err("the run has not ended");
    }
    if facts.calls().is_empty() {
        return Err("no tool calls");
    }
    let writes = facts.calls().iter();
    let done: Vec<u32> = writes
        .filter(|call| call.is_write && !call.has_failed)
        .map(|call| call.at)
        .collect();
    if status == TraceStatus::Success || done.is_empty() {
        return Ok(Vec::new());
    }
    let what = facts.view.row.error_type.as_deref().unwrap_or("an error");
    let evidence = format!(
        "{} writes succeeded before the run ended in {what}",
        done.len()
    );
    let mut hit = facts.hit(Severity::High, &done, evidence);
    let cause = facts.view.row.error_span_id.clone();
    hit.cause = cause.or(hit.cause);
    Ok(vec![hit])
}

/// The last write is followed by nothing that looks at what it did. Asked only where the workflow says
/// that writes are checked.
pub(super) fn unverified(facts: &Facts<'_>) -> Found {
    if !facts.rules.verifies_writes {
        return Err("the workflow does not ask for verification");
    }
    if facts.is_running() {
        return Err("the run has not ended");
    }
    let calls = facts.calls();
    let last = calls
        .iter()
        .rposition(|call| call.is_write && !call.has_failed);
    let Some(last) = last else {
        return Err("no calls that write");
    };
    let mut behind = calls[last + 1..].iter();
    if behind.any(|call| !call.has_failed && !call.is_write && CHECK.is_match(call.name)) {
        return Ok(Vec::new());
    }
    let write = &calls[last];
    let evidence = format!(
        "nothing reads or tests what {} changed before the run ends",
        write.name
    );
    Ok(vec![facts.hit(Severity::Low, &[write.at], evidence)])
}
