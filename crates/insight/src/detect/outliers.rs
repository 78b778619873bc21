//! Time and money: D23 slow step, D24 cost outlier, D25 idle gap.
//!
//! One pass over the spans, and one over the sorted intervals of leaves.

use model::{NanoUsd, SpanType};

use super::facts::Facts;
use super::{Found, Severity};

/// A gap is idle from this share of the run on.
const IDLE_SHARE_MIN: f64 = 0.2;

/// A gap is idle from here on, in milliseconds.
const IDLE_MS_MIN: f64 = 2_000.0;

/// A step took longer than steps of its name do.
pub(super) fn slow_step(facts: &Facts<'_>) -> Found {
    let mut hits = Vec::new();
    let mut has_bound = false;
    let steps = &facts.context.steps_ms;
    // Looked up by a borrowed name: bounds are few and spans are many.
    let mut bounds = std::collections::HashMap::new();
    for ((span_type, name), baseline) in steps {
        if let Some(bound) = baseline.bound() {
            bounds.insert((*span_type, name.as_str()), (bound, baseline));
        }
    }
    for (at, span) in (0u32..).zip(&facts.view.spans) {
        let row = span.span();
        let key: (SpanType, &str) = (row.span_type, &row.name);
        let (Some((bound, baseline)), Some(self_ms)) = (bounds.get(&key), span.self_ms) else {
            continue;
        };
        has_bound = true;
        if self_ms > *bound {
            let evidence = format!(
                "{} took {self_ms:.0} ms by itself; half of {} took no more than {:.0} ms, and 99 % no more than {:.0} ms",
                row.name, baseline.count, baseline.median, baseline.p99
            );
            hits.push(facts.hit(Severity::Low, &[at], evidence));
        }
    }
    match has_bound {
        true => Ok(hits),
        false => Err("no baseline of 100 steps of the same name"),
    }
}

/// A run cost more, or took more tokens, than runs of its workflow do.
pub(super) fn cost_outlier(facts: &Facts<'_>) -> Found {
    let row = &facts.view.row;
    let tokens = [row.usage.input_tokens, row.usage.output_tokens];
    let tokens = tokens.into_iter().flatten().reduce(|a, b| a + b);
    let figures = [
        (
            "US dollars",
            row.cost.map(NanoUsd::to_usd),
            facts.rules.cost_usd,
        ),
        (
            "tokens",
            tokens.map(|tokens| tokens as f64),
            facts.rules.tokens,
        ),
    ];
    let mut is_told = false;
    let mut hits = Vec::new();
    for (unit, value, baseline) in figures {
        let bound = baseline.and_then(|baseline| Some((baseline, baseline.bound()?)));
        let (Some(value), Some((baseline, bound))) = (value, bound) else {
            continue;
        };
        is_told = true;
        if value > bound {
            let digits = if unit == "tokens" { 0 } else { 4 };
            let evidence = format!(
                "the run took {value:.digits$} {unit}; half of {} took no more than {:.digits$}, and 99 % no more than {:.digits$}",
                baseline.count, baseline.median, baseline.p99
            );
            hits.push(facts.hit(Severity::Medium, &dearest(facts), evidence));
        }
    }
    match is_told {
        true => Ok(hits),
        false => Err("no baseline of 100 runs, or no cost and no tokens"),
    }
}

/// Returns the model call that took most.
fn dearest(facts: &Facts<'_>) -> Vec<u32> {
    let calls = facts.view.generations.iter().copied();
    let most = calls.max_by_key(|at| {
        let row = facts.span(*at).span();
        let tokens = [row.usage.input_tokens, row.usage.output_tokens];
        (row.cost, tokens.into_iter().flatten().sum::<i64>())
    });
    most.or((!facts.view.spans.is_empty()).then_some(0))
        .into_iter()
        .collect()
}

/// More than a fifth of the run in which no span without children ran, in one stretch or in many.
pub(super) fn idle_gap(facts: &Facts<'_>) -> Found {
    if facts.is_running() {
        return Err("the run has not ended");
    }
    let row = &facts.view.row;
    let (Some(started), Some(ended)) = (row.started_at, row.ended_at) else {
        return Err("no start or no end");
    };
    let spans = &facts.view.spans;
    let mut has_children = vec![false; spans.len()];
    for span in spans {
        if let Some(parent) = span.parent {
            has_children[parent as usize] = true;
        }
    }
    let leaves = (0u32..)
        .zip(spans)
        .filter(|(at, _)| !has_children[*at as usize]);
    let mut leaves: Vec<(i64, i64, u32)> = leaves
        .filter_map(|(at, span)| {
            let from = span.span().started_at?.as_micros();
            let lasted = span.duration_ms? * 1e3;
            Some((from, from + lasted as i64, at))
        })
        .collect();
    leaves.sort_unstable();
    let whole_ms = ended.as_micros().saturating_sub(started.as_micros()) as f64 / 1e3;
    let (mut until, mut before) = (started.as_micros(), None);
    let mut gaps: Vec<Gap> = Vec::new();
    for (from, to, at) in leaves {
        gaps.push((from - until, before, Some(at)));
        if to > until {
            (until, before) = (to, Some(at));
        }
    }
    gaps.push((ended.as_micros() - until, before, None));
    let is_idle = |micros: i64| {
        let gap_ms = micros as f64 / 1e3;
        gap_ms > IDLE_MS_MIN && gap_ms > IDLE_SHARE_MIN * whole_ms
    };
    gaps.retain(|(micros, ..)| *micros > 0);
    let all: i64 = gaps.iter().map(|(micros, ..)| micros).sum();
    if !is_idle(all) {
        return Ok(Vec::new());
    }
    let long: Vec<&Gap> = gaps
        .iter()
        .filter(|(micros, ..)| is_idle(*micros))
        .collect();
    if long.is_empty() {
        // Many short ones: the longest is where to look first.
        let longest = gaps.iter().max_by_key(|(micros, ..)| *micros);
        let idle_ms = all as f64 / 1e3;
        let hit = longest.map(|gap| {
            let evidence = format!(
                "{idle_ms:.0} ms of {whole_ms:.0} ms passed in {} gaps with nothing running, the longest {}",
                gaps.len(),
                between(facts, gap)
            );
            facts.hit(Severity::Low, &around(gap), evidence)
        });
        return Ok(hit.into_iter().collect());
    }
    let hits = long.into_iter().map(|gap| {
        let gap_ms = gap.0 as f64 / 1e3;
        let evidence = format!(
            "{gap_ms:.0} ms of {whole_ms:.0} ms passed {} with nothing running",
            between(facts, gap)
        );
        facts.hit(Severity::Low, &around(gap), evidence)
    });
    Ok(hits.collect())
}

/// How long nothing ran, in microseconds, and the spans before and behind.
type Gap = (i64, Option<u32>, Option<u32>);

fn between(facts: &Facts<'_>, (_, before, behind): &Gap) -> String {
    let name = |at: &Option<u32>, none: &str| {
        at.map_or_else(|| none.to_owned(), |at| facts.span(at).span().name.clone())
    };
    format!(
        "between {} and {}",
        name(before, "the start"),
        name(behind, "the end")
    )
}

fn around((_, before, behind): &Gap) -> Vec<u32> {
    before.iter().chain(behind).copied().collect()
}
