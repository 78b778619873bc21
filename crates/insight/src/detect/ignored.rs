//! D03: an error that nobody took notice of.
//!
//! For each failed call the next generation of its agent is looked up, and its words are searched
//! once: linear in calls and in what the generations behind them say.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use regex::Regex;

use crate::view::SpanView;

use super::facts::{Facts, by_agent, quote};
use super::{Found, Severity};

/// So many model calls that run beside a call are passed over.
const ASIDE_MAX: usize = 64;

/// Words that speak of a failure, in the languages in which agents answer most. A false one silences a
/// hit, so there are many.
static FAILURE: LazyLock<Regex> = LazyLock::new(|| {
    let words = [
        r"\berrors?\b|\bfail|\bunable\b|\b(can|could|did|does|do|was|were|is|are|has|have|would)(n['’]?t| not)\b|cannot",
        r"\bsorry\b|apolog|unfortunately|\bissues?\b|\bproblems?\b|\bnot (found|possible|available|able|allowed|valid|exist)",
        r"\binvalid|unavailable|timed? ?out|denied|reject|declin|\bexception\b|unsuccessful|\bno (such|result|match|data|longer)",
        r"incorrect|\bwrong\b|mistake|\bmissing\b|\bretry|\btry(ing)? again|\bfix(ed|ing)?\b|\binstead\b|\bcorrected\b|\bdebug",
        r"fehler|leider|nicht|konnte|erreur|désolé|impossible|échec|lo siento|no se pudo|fall[oó]|erro\b|não|エラー|失敗|错误|失败|無法|无法|ошибк|не удалось",
    ];
    Regex::new(&format!("(?i){}", words.join("|"))).expect("is a regular expression")
});

/// A call failed, and its agent's next generation calls no tool and says nothing of a failure.
pub(super) fn error_ignored(facts: &Facts<'_>) -> Found {
    let failed: Vec<u32> = facts
        .calls()
        .iter()
        .filter(|call| call.has_failed)
        .map(|call| call.at)
        .collect();
    if facts.calls().is_empty() {
        return Err("no tool calls");
    }
    let generations = by_agent(facts, &facts.view.generations);
    let calls = by_agent(facts, &facts.view.functions);
    let mut hits = Vec::new();
    let mut is_told = failed.is_empty();
    // Several failed calls may lie before one generation: it is looked at once.
    let mut notices = HashMap::new();
    for at in failed {
        let agent = facts.agent(at);
        let Some(next) = next_after(facts, generations.get(&agent), at) else {
            continue;
        };
        let span = facts.span(next);
        if span.told.output.is_empty() {
            continue;
        }
        is_told = true;
        let is_noticed = *notices
            .entry(next)
            .or_insert_with(|| span.requested_calls().next().is_some() || speaks_of_failure(span));
        // The answer may be told without the calls that it asks for.
        let has_call = || {
            let later = next_after(facts, generations.get(&agent), next);
            let calls = calls.get(&agent).map_or(&[][..], Vec::as_slice);
            let behind = calls.partition_point(|call| *call <= next);
            let call = calls.get(behind);
            call.is_some_and(|call| later.is_none_or(|later| *call < later))
        };
        if !is_noticed && !has_call() {
            hits.push((at, next));
        }
    }
    if !is_told {
        return Err("no answers to look at behind failed calls");
    }
    let mut seen = HashSet::new();
    hits.retain(|(_, next)| seen.insert(*next));
    let hits = hits.into_iter().map(|(at, next)| {
        let call = facts.span(at).span();
        let message = call.error.as_ref().map(|error| quote(&error.cause()));
        let evidence = format!(
            "{} failed with {}, and the next answer neither retried nor mentioned it",
            call.name,
            message.unwrap_or_else(|| "no message".to_owned())
        );
        facts.hit(Severity::High, &[at, next], evidence)
    });
    Ok(hits.collect())
}

/// Returns the first of these places behind `at` whose span does not start before that one ends.
fn next_after(facts: &Facts<'_>, places: Option<&Vec<u32>>, at: u32) -> Option<u32> {
    let places = places?;
    let from = places.partition_point(|place| *place <= at);
    let ended = facts.span(at).span().ended_at;
    // Calls side by side are few: what lies between is passed over.
    places[from..]
        .iter()
        .copied()
        .take(ASIDE_MAX)
        .find(|place| facts.span(*place).span().started_at >= ended)
}

fn speaks_of_failure(span: &SpanView) -> bool {
    let text = span.output_text();
    text.is_some_and(|text| FAILURE.is_match(&text))
}
