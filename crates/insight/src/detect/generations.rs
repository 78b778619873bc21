//! Model calls: D09 truncated, D10 context growth, D11 history reset.
//!
//! One pass over the generations; an output is parsed at most once: linear.

use std::sync::LazyLock;

use regex::Regex;

use super::facts::{Facts, by_agent, quote};
use super::{Found, Severity};

/// Growth that fills the context.
const GROWTH_MIN: f64 = 5.0;

/// How full the window must be.
const FILLED_MIN: f64 = 0.7;

/// What remains behind a reset.
const KEPT_MAX: f64 = 0.4;

/// Smaller inputs are no history that could be lost, in tokens.
const HISTORY_TOKENS_MIN: i64 = 1_000;

/// Errors of providers whose window was exceeded.
static OVERFLOW: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?ix)context[_\ ](?:length|window)[^\n]{0,40}exceed|exceed[^\n]{0,40}context[_\ ](?:length|window|limit)|maximum\ context\ length|context_length_exceeded|prompt\ is\ too\ long|input\ is\ too\ long|too\ many\ (?:input\ )?tokens|reduce\ the\ length\ of\ the\ messages|exceeds?\ the\ (?:maximum|max)\ (?:number\ of\ )?(?:input\ )?tokens",
    )
    .expect("is a regular expression")
});

/// Names of spans that shorten a history on purpose.
static COMPACTION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)compact|summar|condens|prune|trim|truncat|compress|history")
        .expect("is a regular expression")
});

/// A model stopped at its limit, or its JSON ends in the middle.
pub(super) fn truncated(facts: &Facts<'_>) -> Found {
    let generations = &facts.view.generations;
    if generations.is_empty() {
        return Err("no model calls");
    }
    let mut is_told = false;
    let mut hits = Vec::new();
    for at in generations {
        let span = facts.span(*at);
        let reason = span.span().finish_reason.as_deref();
        is_told |= reason.is_some() || !span.told.output.is_empty();
        let what = match reason {
            Some(reason) if is_limit(reason) => Some(format!("stopped with {}", quote(reason))),
            _ => cut_json(span).map(|what| format!("wrote {what} that ends in the middle")),
        };
        if let Some(what) = what {
            let evidence = format!("the model call {what}");
            hits.push(facts.hit(Severity::Medium, &[*at], evidence));
        }
    }
    match is_told {
        true => Ok(hits),
        false => Err("no finish reasons and no outputs"),
    }
}

fn is_limit(reason: &str) -> bool {
    const LIMITS: [&str; 8] = [
        "length",
        "max_tokens",
        "max_output_tokens",
        "incomplete",
        "token_limit",
        "model_length",
        "model_context_window_exceeded",
        "max_length",
    ];
    LIMITS
        .iter()
        .any(|known| reason.eq_ignore_ascii_case(known))
}

/// Returns what of an output is JSON that was cut off.
fn cut_json(span: &crate::SpanView) -> Option<&'static str> {
    let is_cut = |text: &str| {
        let text = text.trim();
        let is_json = match text.as_bytes() {
            [b'{', rest @ ..] => rest.trim_ascii_start().first() == Some(&b'"'),
            [b'[', rest @ ..] => matches!(rest.trim_ascii_start().first(), Some(b'{' | b'"')),
            _ => false,
        };
        let fault = || serde_json::from_str::<serde::de::IgnoredAny>(text).err();
        is_json && fault().is_some_and(|fault| fault.is_eof())
    };
    let mut calls = span
        .requested_calls()
        .filter_map(|(_, _, arguments)| arguments);
    let words = || {
        let mut said = span.told.output.iter().filter_map(|said| said.text());
        said.any(|words| is_cut(&words))
    };
    // Arguments that are no JSON are kept as a text.
    if calls.any(|arguments| {
        let text = serde_json::from_str::<String>(arguments.as_str());
        text.is_ok_and(|text| is_cut(&text))
    }) {
        return Some("arguments");
    }
    words().then_some("JSON")
}

/// The input of an agent's calls grows fivefold to most of the window, or beyond it.
pub(super) fn context_growth(facts: &Facts<'_>) -> Found {
    let generations = &facts.view.generations;
    let mut hits = Vec::new();
    let mut is_told = false;
    for at in generations {
        let error = facts.span(*at).span().error.as_ref();
        let cause = error.map(model::SpanError::cause);
        let Some(cause) = cause.filter(|cause| OVERFLOW.is_match(cause)) else {
            continue;
        };
        let evidence = format!("the context overflowed: {}", quote(&cause));
        hits.push((*at, facts.hit(Severity::High, &[*at], evidence)));
    }
    for calls in by_agent(facts, generations).values() {
        let sized = calls.iter().filter_map(|at| {
            let row = facts.span(*at).span();
            let window = facts.context.windows.of(row.model.as_deref()?)?;
            Some((*at, row.usage.input_tokens?, window))
        });
        let mut least: Option<(u32, i64)> = None;
        for (at, tokens, window) in sized {
            is_told = true;
            let (from, few) = *least.get_or_insert((at, tokens));
            let grown = tokens as f64 >= GROWTH_MIN * few as f64;
            if from != at && few > 0 && grown && tokens as f64 > FILLED_MIN * window as f64 {
                let evidence = format!(
                    "the input of one agent's model calls grew from {few} to {tokens} tokens, of {window} that the model reads"
                );
                hits.push((from, facts.hit(Severity::Medium, &[from, at], evidence)));
                break;
            }
            if tokens < few {
                least = Some((at, tokens));
            }
        }
    }
    if hits.is_empty() && !is_told {
        return Err("no input tokens, or no model whose window is known");
    }
    hits.sort_by_key(|(at, _)| *at);
    Ok(hits.into_iter().map(|(_, hit)| hit).collect())
}

/// The input of an agent's next call is less than half as long, and no span between shortens it.
pub(super) fn history_reset(facts: &Facts<'_>) -> Found {
    let spans = &facts.view.spans;
    // How many spans that shorten a history started before each place.
    let mut compactions = Vec::with_capacity(spans.len() + 1);
    compactions.push(0_u32);
    for span in spans {
        let is_one = COMPACTION.is_match(&span.span().name);
        compactions.push(compactions[compactions.len() - 1] + u32::from(is_one));
    }
    let mut hits = Vec::new();
    let mut is_told = false;
    for calls in by_agent(facts, &facts.view.generations).values() {
        let mut before: Option<(u32, i64)> = None;
        for at in calls {
            let row = facts.span(*at).span();
            let Some(tokens) = row.usage.input_tokens else {
                continue;
            };
            if let Some((from, many)) = before.replace((*at, tokens)) {
                is_told = true;
                let is_same_model = facts.span(from).span().model == row.model;
                let is_lost = many >= HISTORY_TOKENS_MIN
                    && (tokens as f64) <= KEPT_MAX * many as f64
                    && is_same_model
                    && compactions[from as usize] == compactions[*at as usize + 1];
                if is_lost {
                    let evidence = format!(
                        "the input of one agent's model calls fell from {many} to {tokens} tokens from one call to the next"
                    );
                    let mut hit = facts.hit(Severity::Medium, &[from, *at], evidence);
                    hit.cause = Some(facts.id(*at));
                    hits.push((from, hit));
                }
            }
        }
    }
    if !is_told {
        return Err("no two model calls of an agent with input tokens");
    }
    hits.sort_by_key(|(at, _)| *at);
    Ok(hits.into_iter().map(|(_, hit)| hit).collect())
}
