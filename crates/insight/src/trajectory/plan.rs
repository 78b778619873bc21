//! Was the plan carried out?
//!
//! A step of a plan is words. It was done by what is named in them: "Search flights to Rome" by the
//! tool `search_flights`, "hand over to Billing" by the agent Billing.

use model::SpanType;
use serde_json::Value;

use super::comparison::{CALLS_MAX, COMPARISON_COST_MAX, Comparison, Kinds};
use super::reference::plan_item;
use super::{Finding, NoScore, PlanItem, Reference, share, some_of};
use crate::{SpanView, TraceView};

/// Measures the share of the plan that was carried out in order.
pub(super) fn of(view: &TraceView, reference: &Reference) -> Result<Finding, NoScore> {
    let (plan, told_by) = match &reference.plan {
        Some(plan) => (plan.clone(), None),
        None => own_plan(view).ok_or_else(|| NoScore::not_applicable("there is no plan"))?,
    };
    if plan.is_empty() {
        return Err(NoScore::not_applicable("the plan is empty"));
    }
    let after = told_by.map_or(0, |at| at + 1);
    let done: Vec<(u32, String)> = (0u32..)
        .zip(&view.spans)
        .skip(after)
        .filter_map(|(at, span)| Some((at, worded(doing(span)?))))
        .collect();
    let steps: Vec<String> = plan.iter().map(|item| worded(&item.words)).collect();
    let comparison = compare(&done, &steps)?;
    let missing = comparison.missing();
    let planned = comparison.planned();
    let is_call = |at: u32| view.spans[at as usize].is(SpanType::Function);
    let extra: Vec<u32> = (done.iter().zip(planned))
        .filter_map(|((at, _), planned)| (is_call(*at) && !planned).then_some(*at))
        .collect();
    let in_order = comparison.common_subsequence();
    let mut reasoning = format!(
        "{} of {} steps of the plan done, {in_order} in order",
        plan.len() - missing.len(),
        plan.len(),
    );
    if !missing.is_empty() {
        let steps = missing.iter().map(|at| format!("“{}”", brief(&plan[*at])));
        reasoning += &format!("; not done: {}", some_of(steps));
    }
    if !extra.is_empty() {
        let calls = extra
            .iter()
            .map(|at| view.spans[*at as usize].span().name.clone());
        reasoning += &format!("; not planned: {}", some_of(calls));
    }
    Ok(Finding {
        score: share(in_order, plan.len()),
        reasoning,
        citations: extra
            .iter()
            .map(|at| view.spans[*at as usize].id().clone())
            .collect(),
        vacuous: false,
    })
}

/// Returns what the span is the doing of, if it can stand in a plan.
fn doing(span: &SpanView) -> Option<&str> {
    let span = span.span();
    match span.span_type {
        SpanType::Function | SpanType::Agent | SpanType::Custom | SpanType::Retrieval => {
            Some(&span.name)
        }
        SpanType::Handoff => span.handoff_to.as_deref(),
        _ => None,
    }
}

fn compare(done: &[(u32, String)], steps: &[String]) -> Result<Comparison, NoScore> {
    if done.len().max(steps.len()) > CALLS_MAX {
        let why = format!(
            "a plan of {} steps, {} spans: at most {CALLS_MAX}",
            steps.len(),
            done.len()
        );
        return Err(NoScore::budget(why));
    }
    let done_kinds = Kinds::of(done.iter().map(|(_, name)| name.as_str()));
    let step_kinds = Kinds::of(steps.iter().map(String::as_str));
    let bytes: usize = steps.iter().map(String::len).sum();
    let cost = done_kinds.firsts().count() as u64 * (1 + bytes as u64 / 1024);
    if cost > COMPARISON_COST_MAX {
        return Err(NoScore::budget(
            "the plan is too long to be looked through for so many names",
        ));
    }
    let fits = done_kinds.firsts().map(|first| {
        let name = &done[first].1;
        let kinds = (0u32..).zip(step_kinds.firsts());
        let fits = kinds.filter(|(_, step)| mentions(&steps[*step], name));
        fits.map(|(kind, _)| kind).collect()
    });
    let fits = fits.collect();
    Ok(Comparison::of_kinds(done_kinds, step_kinds, fits))
}

/// Returns whether the words of a name stand together in a step.
fn mentions(step: &str, name: &str) -> bool {
    !name.is_empty() && format!(" {step} ").contains(&format!(" {name} "))
}

/// Returns the words of a text or a name, whatever is between them: `searchFlights` and `search_flights`
/// are "search flights".
fn worded(text: &str) -> String {
    let mut words = String::with_capacity(text.len());
    let mut was_small = false;
    for c in text.chars() {
        let begins = !c.is_alphanumeric() || (was_small && c.is_uppercase());
        if begins && !words.ends_with(' ') && !words.is_empty() {
            words.push(' ');
        }
        if c.is_alphanumeric() {
            words.extend(c.to_lowercase());
        }
        was_small = c.is_lowercase();
    }
    words.truncate(words.trim_end().len());
    words
}

fn brief(item: &PlanItem) -> String {
    const CHARS_MAX: usize = 60;
    match item.words.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &item.words[..end]),
        None => item.words.clone(),
    }
}

/// Returns the plan that the agent made itself, and where: the first span that is called a plan.
fn own_plan(view: &TraceView) -> Option<(Vec<PlanItem>, Option<usize>)> {
    let is_plan = |name: &str| {
        ["plan", "planning"]
            .iter()
            .any(|word| name.eq_ignore_ascii_case(word))
    };
    let (at, span) = view.spans.iter().enumerate().find(|(_, span)| {
        let span = span.span();
        is_plan(&span.name) || is_plan(&span.source_type)
    })?;
    let text = span.output_text()?;
    let items = match serde_json::from_str(&text) {
        Ok(Value::Array(items)) => items,
        Ok(Value::Object(mut fields)) => {
            let mut lists = ["steps", "plan", "items", "todos"]
                .into_iter()
                .filter_map(|name| fields.remove(name));
            match lists.next()? {
                Value::Array(items) => items,
                _ => return None,
            }
        }
        _ => listed(&text),
    };
    let items: Result<Vec<PlanItem>, String> = items.iter().map(plan_item).collect();
    Some((items.ok()?, Some(at)))
}

/// Returns the lines of a text that are entries of a list.
fn listed(text: &str) -> Vec<Value> {
    let lines = text.lines().filter_map(|line| {
        let line = line.trim_start();
        let marked = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let entry = marked.strip_prefix(['-', '*', '.', ')'])?.trim();
        (!entry.is_empty()).then(|| Value::from(entry))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use model::Outcome;
    use serde_json::json;

    use super::super::scenes::{Scene, call};
    use super::super::{Metric, TrajectoryGrader};
    use super::*;

    #[test]
    fn a_step_is_done_by_what_is_named_in_it() {
        let scene = Scene::default()
            .reference(json!({"plan": ["Search flights to Rome", {"name": "bookFlight"}, "hand over to Billing"]}))
            .agent("Sales", &[])
            .call(call("search_flights", json!({})))
            .call(call("get_weather", json!({})))
            .handoff("Sales", "Billing");
        let verdict = scene.grade(&TrajectoryGrader::new(Metric::PlanAdherence));
        assert_eq!(verdict.score, Some(2.0 / 3.0));
        assert_eq!(
            verdict.reasoning.as_deref(),
            Some(
                "2 of 3 steps of the plan done, 2 in order; not done: “bookFlight”; not planned: get_weather"
            )
        );
        assert_eq!(verdict.citations[0].as_str(), "s2");
    }

    #[test]
    fn the_agents_own_plan_counts_where_nobody_gave_one() {
        for plan in [
            json!("1. look\n2. book it\n"),
            json!(["look", "book"]),
            json!({"steps": [{"title": "look"}, {"title": "book"}]}),
        ] {
            let scene = Scene::default()
                .custom("plan", &plan)
                .call(call("book", json!({})))
                .call(call("look", json!({})));
            let verdict = scene.grade(&TrajectoryGrader::new(Metric::PlanAdherence));
            let said = "2 of 2 steps of the plan done, 1 in order";
            assert_eq!(verdict.reasoning.as_deref(), Some(said), "{plan}");
        }
        let verdict = Scene::default().grade(&TrajectoryGrader::new(Metric::PlanAdherence));
        assert_eq!(verdict.outcome, Outcome::NotApplicable);
    }

    #[test]
    fn names_are_words() {
        for name in ["searchFlights", "search_flights", " Search-flights. "] {
            assert_eq!(worded(name), "search flights");
        }
        assert!(mentions("now search flights to rome", "search flights"));
        assert!(!mentions("research flights", "search flights"));
    }
}
