//! Calls against what was declared: D05 hallucinated tool, D06 invalid arguments, D29 wrong-agent call.
//!
//! What was declared is looked up (`declared.rs`): linear in the calls. Arguments are parsed once each; a
//! schema is parsed once and compared in bounded steps.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use crate::view::SpanView;

use super::declared::plain;
use super::facts::{Call, Facts, quote};
use super::schema::Schema;
use super::{Found, Severity};

/// Longer arguments are not held against a schema.
const ARGUMENTS_BYTES_MAX: usize = 1 << 20;

/// Calls of tools that neither their agent nor the run declares, and errors that say so.
pub(super) fn hallucinated_tool(facts: &Facts<'_>) -> Found {
    let declared = facts.declared();
    let mut unknown: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    // What a provider runs itself need not be declared by its name.
    let own = facts
        .calls()
        .iter()
        .filter(|call| !call.span.span().derived);
    let is_known = |call: &&Call<'_>| declared.run.contains(plain(call.name));
    if !declared.run.is_empty() {
        for call in own.filter(|call| !is_known(call)) {
            unknown.entry(call.name).or_default().push(call.at);
        }
    }
    let mut hits: Vec<(u32, super::Hit)> = Vec::new();
    for (name, places) in unknown {
        let evidence = format!(
            "{name} was called {} times and is among no tools that were declared",
            places.len()
        );
        hits.push((places[0], facts.hit(Severity::High, &places, evidence)));
    }
    let mut has_error = false;
    for (at, span) in (0u32..).zip(&facts.view.spans) {
        let error = span.span().error.as_ref();
        let Some(error) = error.filter(|error| error.kind == "tool_not_found") else {
            continue;
        };
        // An error is told again by whatever encloses the span.
        if !std::mem::replace(&mut has_error, true) {
            let evidence = format!("the run failed with {}", quote(&error.cause()));
            hits.push((at, facts.hit(Severity::High, &[at], evidence)));
        }
    }
    if hits.is_empty() && declared.run.is_empty() {
        return Err("no declared tools");
    }
    if hits.is_empty() && facts.calls().is_empty() {
        return Err("no tool calls");
    }
    hits.sort_by_key(|(at, _)| *at);
    Ok(hits.into_iter().map(|(_, hit)| hit).collect())
}

/// Calls of a tool that another agent declares and the calling one does not.
pub(super) fn wrong_agent(facts: &Facts<'_>) -> Found {
    let declared = facts.declared();
    if declared.by_agent.len() < 2 {
        return Err("fewer than two agents with declared tools");
    }
    // Spans of one agent are one agent: what one of them was given the others have.
    let mut by_name: HashMap<&str, HashSet<&str>> = HashMap::new();
    for (agent, tools) in &declared.by_agent {
        let name = facts.span(*agent).span().name.as_str();
        by_name.entry(name).or_default().extend(tools);
    }
    let mut wrong: BTreeMap<(&str, &str), Vec<u32>> = BTreeMap::new();
    for call in facts.calls() {
        let tool = plain(call.name);
        if declared.of_agent(facts, call).is_none() || !declared.run.contains(tool) {
            continue;
        }
        let agent = facts.agent(call.at).map(|agent| facts.span(agent).span());
        let Some(agent) = agent.map(|agent| agent.name.as_str()) else {
            continue;
        };
        if by_name
            .get(agent)
            .is_some_and(|tools| !tools.contains(tool))
        {
            wrong.entry((agent, call.name)).or_default().push(call.at);
        }
    }
    let mut hits: Vec<_> = wrong.into_iter().collect();
    hits.sort_by_key(|(_, places)| places[0]);
    let hits = hits.into_iter().map(|((agent, tool), places)| {
        let owners = by_name
            .iter()
            .filter(|(_, tools)| tools.contains(plain(tool)));
        let owner = owners.map(|(name, _)| *name).min().unwrap_or_default();
        let evidence = format!("{agent} called {tool}, which {owner} has and {agent} does not");
        facts.hit(Severity::Medium, &places, evidence)
    });
    Ok(hits.collect())
}

/// Arguments that are broken JSON, or that no schema of their tool takes.
pub(super) fn invalid_arguments(facts: &Facts<'_>) -> Found {
    let calls = facts.calls();
    let mut told = calls
        .iter()
        .filter(|call| call.span.told.arguments.is_some());
    if told.next().is_none() {
        return Err("no tool calls with arguments");
    }
    let declared = facts.declared();
    let mut parsed: HashMap<&str, Vec<Value>> = HashMap::new();
    let mut hits = Vec::new();
    for call in calls {
        let tool = plain(call.name);
        let schemas = parsed.entry(tool).or_insert_with(|| {
            let told = declared.schemas.get(tool).into_iter().flatten();
            told.map(|schema| schema.to_value()).collect()
        });
        if let Some(fault) = fault(call.span, schemas) {
            let evidence = format!("{} was called with invalid arguments: {fault}", call.name);
            hits.push(facts.hit(Severity::Medium, &[call.at], evidence));
        }
    }
    Ok(hits)
}

fn fault(call: &SpanView, schemas: &[Value]) -> Option<String> {
    let arguments = call.told.arguments.as_ref()?;
    if arguments.as_str().len() > ARGUMENTS_BYTES_MAX {
        return None;
    }
    let value = call.arguments_once()?;
    if let Value::String(text) = value {
        // A text that is no JSON may be all a tool takes, and some libraries write what Python prints.
        let is_meant = text.starts_with(['{', '[']) && !text.starts_with("{'");
        let fault = is_meant.then(|| serde_json::from_str::<serde::de::IgnoredAny>(text).err());
        return fault.flatten().map(|error| format!("not JSON: {error}"));
    }
    let mut faults = schemas
        .iter()
        .map(|schema| Schema::of(schema).fault(value, "arguments"));
    let first = faults.next()??;
    faults.all(|fault| fault.is_some()).then_some(first)
}
