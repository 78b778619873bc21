//! Changes: D15 unconfirmed write, D16 write then failure end, D21 no verification.
//!
//! D15 reads the messages behind which each write was asked for from the end, up to the last write
//! before it; how many messages are read in a trace is bounded.

use model::{ChatMessage, Part, TraceStatus};
use regex::Regex;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::facts::{Call, Facts, by_agent};
use super::{Found, Severity};

/// No more messages of a trace are read for confirmations.
const MESSAGES_MAX: usize = 1_000_000;

/// Names of tools that look at what was changed.
static CHECK: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)test|check|verif|valid|get|read|list|show|view|fetch|search|find|status|lint|build|compile|diff|query|describe|lookup|open|cat")
        .expect("is a regular expression")
});

/// A write with no word of the user between what the agent proposed and the call. Asked only where the
/// workflow says that writes are confirmed.
pub(super) fn unconfirmed(facts: &Facts<'_>) -> Found {
    if !facts.rules.confirms_writes {
        return Err("the workflow does not ask for confirmation");
    }
    let writes: Vec<&Call<'_>> = facts.calls().iter().filter(|call| call.is_write).collect();
    if writes.is_empty() {
        return Err("no calls that write");
    }
    let generations = by_agent(facts, &facts.view.generations);
    let mut is_confirmed: HashMap<u32, Option<bool>> = HashMap::new();
    let (mut hits, mut has_looked, mut read) = (Vec::new(), false, 0);
    for call in writes {
        let of_agent = generations.get(&facts.agent(call.at));
        let before = of_agent.map(|all| &all[..all.partition_point(|at| *at < call.at)]);
        let Some(asking) = before.and_then(|before| before.last().copied()) else {
            continue;
        };
        let input = &facts.span(asking).told.input;
        let verdict = is_confirmed.entry(asking).or_insert_with(|| {
            (!input.is_empty() && read < MESSAGES_MAX).then(|| confirms(facts, input, &mut read))
        });
        let Some(is_confirmed) = *verdict else {
            continue;
        };
        has_looked = true;
        if !is_confirmed {
            let evidence = format!(
                "{} was called without a word of the user behind what the agent proposed",
                call.name
            );
            hits.push(facts.hit(Severity::High, &[asking, call.at], evidence));
        }
    }
    match has_looked {
        true => Ok(hits),
        false => Err("no messages before the calls that write"),
    }
}

/// Returns whether the user spoke behind a proposal of the agent and since the last write.
fn confirms(facts: &Facts<'_>, input: &[Arc<ChatMessage>], read: &mut usize) -> bool {
    let mut has_word = false;
    for message in input.iter().rev() {
        *read += 1;
        let asks_to_write = message.parts.iter().any(|part| match part {
            Part::ToolCall { name, .. } => facts.context.effects.is_write(name),
            _ => false,
        });
        match message.role.as_str() {
            _ if asks_to_write => return false,
            "user" => has_word = true,
            "assistant" if has_word && message.words().is_some() => return true,
            _ => {}
        }
    }
    false
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
