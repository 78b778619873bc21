//! Who works: D12 handoff ping-pong, D13 handoff orphan, D14 guardrail bypassed.
//!
//! One pass over handoffs or guardrails; what comes behind is found by bisection or in one pass over
//! an agent's spans.

use std::collections::{BTreeMap, HashMap};

use model::SpanType;

use super::facts::Facts;
use super::{Found, Severity};

/// So many handoffs between two agents are too many.
const BETWEEN_TWO_MIN: usize = 4;

/// Handoffs that take turns, so many of them: A→B→A→B.
const TURNS_MIN: usize = 3;

/// A handoff that names both of its ends.
struct Handoff<'v> {
    at: u32,
    from: &'v str,
    to: &'v str,
}

fn handoffs<'v>(facts: &Facts<'v>) -> Vec<Handoff<'v>> {
    let places = facts.view.handoffs.iter();
    let named = places.filter_map(|at| {
        let row = facts.span(*at).span();
        Some(Handoff {
            at: *at,
            from: row.handoff_from.as_deref()?,
            to: row.handoff_to.as_deref()?,
        })
    });
    named.collect()
}

/// A→B→A→B with no tool call between, or four handoffs between two agents. One that gives out work to
/// another again and again and gets none back is no such pair.
pub(super) fn ping_pong(facts: &Facts<'_>) -> Found {
    let all = handoffs(facts);
    if all.is_empty() {
        return Err("no handoffs");
    }
    let mut pairs: BTreeMap<(&str, &str), Vec<u32>> = BTreeMap::new();
    // How many went up, from the name that comes first to the other.
    let mut ups: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for handoff in &all {
        let pair = (handoff.from.min(handoff.to), handoff.from.max(handoff.to));
        pairs.entry(pair).or_default().push(handoff.at);
        *ups.entry(pair).or_default() += usize::from(handoff.from < handoff.to);
    }
    let functions = &facts.view.functions;
    let has_call = |from: u32, to: u32| {
        let behind = functions.partition_point(|at| *at <= from);
        functions.get(behind).is_some_and(|at| *at < to)
    };
    let mut turns: BTreeMap<(&str, &str), Vec<u32>> = BTreeMap::new();
    let mut run: Vec<&Handoff<'_>> = Vec::new();
    for handoff in &all {
        let goes_on = run.last().is_some_and(|last| {
            last.from == handoff.to
                && last.to == handoff.from
                && last.from != last.to
                && !has_call(last.at, handoff.at)
        });
        if !goes_on {
            run.clear();
        }
        run.push(handoff);
        if run.len() >= TURNS_MIN {
            let pair = (handoff.from.min(handoff.to), handoff.from.max(handoff.to));
            let places = run.iter().map(|handoff| handoff.at);
            turns.insert(pair, places.collect());
            // Longer runs are told by their last three: the pair is named once.
            run.remove(0);
        }
    }
    pairs.retain(|pair, places| {
        let is_mutual = (1..places.len()).contains(&ups[pair]);
        is_mutual && places.len() >= BETWEEN_TWO_MIN || turns.contains_key(pair)
    });
    let mut hits: Vec<_> = pairs.into_iter().collect();
    hits.sort_by_key(|(_, places)| places[0]);
    let hits = hits.into_iter().map(|((a, b), places)| {
        let words = match turns.contains_key(&(a, b)) {
            true => ", in turns and with no tool call between",
            false => "",
        };
        let evidence = format!(
            "{a} and {b} handed over to each other {} times{words}",
            places.len()
        );
        facts.hit(Severity::High, &places, evidence)
    });
    Ok(hits.collect())
}

/// A handoff to an agent that never started.
pub(super) fn orphan(facts: &Facts<'_>) -> Found {
    let all = handoffs(facts);
    if all.is_empty() {
        return Err("no handoffs");
    }
    if facts.is_running() {
        return Err("the run has not ended");
    }
    // The last start of each agent; groups of agents name theirs by turns.
    let mut last: HashMap<&str, u32> = HashMap::new();
    for (at, span) in (0u32..).zip(&facts.view.spans) {
        if span.is(SpanType::Agent) {
            last.insert(&span.span().name, at);
        } else if let Some(agent) = span.span().agent.as_deref() {
            last.insert(agent, at);
        }
    }
    if last.is_empty() {
        return Err("no agents");
    }
    let started = |at: u32| facts.span(at).span().started_at;
    let is_taken = |handoff: &&Handoff<'_>| {
        let taken = last.get(handoff.to);
        // Some wrap the handoff in the span of the agent that takes over.
        taken.is_some_and(|at| *at > handoff.at || started(*at) >= started(handoff.at))
            || encloses(facts, handoff)
    };
    let lost = all.iter().filter(|handoff| !is_taken(handoff));
    let hits = lost.map(|handoff| {
        let evidence = format!(
            "{} handed over to {}, which did not start before the run ended",
            handoff.from, handoff.to
        );
        facts.hit(Severity::High, &[handoff.at], evidence)
    });
    Ok(hits.collect())
}

fn encloses(facts: &Facts<'_>, handoff: &Handoff<'_>) -> bool {
    let agent = facts.agent(handoff.at);
    agent.is_some_and(|agent| facts.span(agent).span().name == handoff.to)
}

/// A guardrail tripped, and its agent goes on with a model call or a write.
pub(super) fn guardrail_bypassed(facts: &Facts<'_>) -> Found {
    let guards = &facts.view.guardrails;
    let told = |at: &&u32| facts.span(**at).span().triggered.is_some();
    if guards.iter().filter(told).count() == 0 {
        return Err("no guardrails that say whether they tripped");
    }
    let tripped: Vec<u32> = guards
        .iter()
        .copied()
        .filter(|at| facts.span(*at).span().triggered == Some(true))
        .collect();
    // The last model call or write of each agent, and its last handoff.
    let mut goes_on: HashMap<Option<u32>, u32> = HashMap::new();
    let mut hands_over: HashMap<Option<u32>, u32> = HashMap::new();
    if !tripped.is_empty() {
        for at in &facts.view.generations {
            goes_on.insert(facts.agent(*at), *at);
        }
        for call in facts.calls().iter().filter(|call| call.is_write) {
            let last = goes_on.entry(facts.agent(call.at)).or_insert(call.at);
            *last = (*last).max(call.at);
        }
        for at in &facts.view.handoffs {
            hands_over.insert(facts.agent(*at), *at);
        }
    }
    let mut hits = Vec::new();
    for at in tripped {
        let agent = facts.agent(at);
        let is_blocked = agent.is_some_and(|agent| facts.span(agent).has_failed());
        let is_handed = hands_over.get(&agent).is_some_and(|to| *to > at);
        let ended = facts.span(at).span().ended_at;
        let next = goes_on.get(&agent).copied().filter(|next| {
            let started = facts.span(*next).span().started_at;
            *next > at && started.is_some() && started >= ended
        });
        let Some(next) = next.filter(|_| !is_blocked && !is_handed) else {
            continue;
        };
        let name = &facts.span(at).span().name;
        let evidence = format!("the guardrail {name} tripped, and its agent went on");
        hits.push(facts.hit(Severity::High, &[at, next], evidence));
    }
    Ok(hits)
}
