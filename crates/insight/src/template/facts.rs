//! A trace as the row of a dataset: what `item` and `sample` are for graders that know only rows.
//!
//! Names are those of the JSON of traces and spans. Each fact can be had alone: a template that names the
//! user's question does not make JSON of twenty megabytes of tool output.

use model::{JsonText, Part, SpanType, Usage};
use serde_json::{Map, Value, json};

use super::path::{Step, walk};
use crate::view::decoded;
use crate::{SpanView, TraceView};

/// The keys of an item.
const ITEM_KEYS: [&str; 10] = [
    "trace",
    "spans",
    "tools",
    "handoffs",
    "guardrails",
    "input",
    "output",
    "errors",
    "usage",
    "reference",
];

/// Returns the whole item of a trace. `reference` is there only if the trace is held against a case.
pub fn item(view: &TraceView) -> Value {
    let facts = ITEM_KEYS
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), fact(view, key)?.whole(view))));
    Value::Object(facts.collect::<Map<_, _>>())
}

/// Returns the sample of a trace: what its last model call wrote, as Chat Completions tells it. Null if it
/// made no call.
pub fn sample(view: &TraceView) -> Value {
    let last = view.generations.last().map(|at| &view.spans[*at as usize]);
    last.map_or(Value::Null, sample_of)
}

/// Returns what is found in the item after `steps`, without making more of it than that.
pub(super) fn item_value(view: &TraceView, steps: &[Step]) -> Option<Value> {
    let [Step::Key(key), rest @ ..] = steps else {
        return steps.is_empty().then(|| item(view));
    };
    let fact = fact(view, key)?;
    match (fact, rest) {
        (Fact::List(places, make), [Step::Index(index), rest @ ..]) => {
            let one = make(view, *places.get(*index)?);
            walk(&one, rest).cloned()
        }
        (fact, rest) => walk(&fact.whole(view), rest).cloned(),
    }
}

/// One fact of an item, made only when it is needed.
enum Fact {
    One(Value),
    List(Vec<u32>, fn(&TraceView, u32) -> Value),
}

impl Fact {
    fn whole(self, view: &TraceView) -> Value {
        match self {
            Self::One(value) => value,
            Self::List(places, make) => places.into_iter().map(|at| make(view, at)).collect(),
        }
    }
}

fn fact(view: &TraceView, key: &str) -> Option<Fact> {
    let failed = || {
        (0u32..)
            .zip(&view.spans)
            .filter(|(_, span)| span.has_failed())
    };
    Some(match key {
        "trace" => Fact::One(trace_facts(view)),
        "spans" => {
            let all = (0u32..).zip(&view.spans).map(|(at, _)| at);
            Fact::List(all.collect(), span)
        }
        "tools" => Fact::List(view.functions.clone(), tool),
        "handoffs" => Fact::List(view.handoffs.clone(), handoff),
        "guardrails" => Fact::List(view.guardrails.clone(), guardrail),
        "input" => Fact::One(view.user_input.clone().into()),
        "output" => Fact::One(view.final_output.clone().into()),
        "errors" => Fact::List(failed().map(|(at, _)| at).collect(), failure),
        "usage" => Fact::One(usage(view)),
        "reference" => Fact::One(view.reference.clone()?),
        _ => return None,
    })
}

/// Returns what is told of the trace as a whole.
pub fn trace_facts(view: &TraceView) -> Value {
    let row = &view.row;
    let item = &row.item;
    json!({
        "id": item.trace_id.as_str(),
        "workflow_name": item.workflow_name,
        "group_id": item.group_id.as_ref().map(model::GroupId::as_str),
        "user_id": item.user_id,
        "agent_id": item.agent_id,
        "version": item.version,
        "environment": item.environment,
        "tags": item.tags,
        "metadata": item.metadata.as_ref().map(JsonText::to_value),
        "status": view.status.as_str(),
        "error": row.error_type.as_ref().map(|kind| json!({"type": kind, "message": row.error_message})),
        "started_at": row.started_at.map(|time| time.to_string()),
        "ended_at": row.ended_at.map(|time| time.to_string()),
        "duration_ms": row.duration_ms,
        "span_count": row.span_count,
        "generation_count": row.generation_count,
        "tool_call_count": row.tool_call_count,
        "tool_errors": row.tool_errors,
        "handoff_count": row.handoff_count,
        "models": row.models,
        "agents": row.agents,
        "tool_sequence": row.tool_sequence,
        "handoff_sequence": row.handoff_sequence,
    })
}

fn usage(view: &TraceView) -> Value {
    let row = &view.row;
    let mut usage = tokens(&row.usage);
    usage["total_cost_usd"] = row.cost.map(usd).into();
    usage["cost_complete"] = row.cost_complete.into();
    usage
}

fn tokens(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    })
}

fn usd(cost: model::NanoUsd) -> f64 {
    cost.to_usd()
}

/// Returns a span. Its name in prompts is `ref`, so that the words of a judge can be matched.
fn span(view: &TraceView, at: u32) -> Value {
    span_facts(view, at, true)
}

/// Returns what is told of the span at `at`; without texts, what went in and came out is null.
pub fn span_facts(view: &TraceView, at: u32, with_texts: bool) -> Value {
    let one = &view.spans[at as usize];
    let span = one.span();
    let mut out = json!({
        "id": span.span_id.as_str(),
        "ref": crate::render::span_name(at),
        "parent_id": one.parent.map(|parent| view.spans[parent as usize].id().as_str()),
        "depth": one.depth,
        "type": span.span_type.as_str(),
        "name": span.name,
        "agent": one.agent.as_deref(),
        "started_at": span.started_at.map(|time| time.to_string()),
        "ended_at": span.ended_at.map(|time| time.to_string()),
        "duration_ms": one.duration_ms,
        "status": span.status.as_str(),
        "error": error(one),
        "input": with_texts.then(|| one.input_text()),
        "output": with_texts.then(|| one.output_text()),
    });
    match span.span_type {
        SpanType::Generation => {
            out["model"] = span.model.clone().into();
            out["finish_reason"] = span.finish_reason.clone().into();
            out["usage"] = tokens(&span.usage);
            out["cost_usd"] = span.cost.map(usd).into();
        }
        SpanType::Function => out["arguments"] = arguments(one),
        SpanType::Handoff => {
            out["source_agent"] = span.handoff_from.clone().into();
            out["destination_agent"] = span.handoff_to.clone().into();
        }
        SpanType::Guardrail => out["triggered"] = span.triggered.into(),
        _ => {}
    }
    out
}

fn error(one: &SpanView) -> Value {
    one.span().error.as_ref().map_or(
        Value::Null,
        |error| json!({"type": error.kind, "message": error.message}),
    )
}

fn arguments(one: &SpanView) -> Value {
    let arguments = one.told.arguments.as_ref();
    arguments.map_or(Value::Null, |arguments| {
        // Some senders write the object as a text.
        let text = decoded(arguments);
        serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text.into_owned()))
    })
}

fn tool(view: &TraceView, at: u32) -> Value {
    let one = &view.spans[at as usize];
    json!({
        "name": one.span().name,
        "arguments": arguments(one),
        "output": one.told.result.as_ref().map(JsonText::to_value),
        "error": error(one),
        "status": one.span().status.as_str(),
        "duration_ms": one.duration_ms,
        "agent": one.agent.as_deref(),
        "span_id": one.id().as_str(),
    })
}

fn handoff(view: &TraceView, at: u32) -> Value {
    let one = &view.spans[at as usize];
    json!({
        "source_agent": one.span().handoff_from,
        "destination_agent": one.span().handoff_to,
        "status": one.span().status.as_str(),
        "span_id": one.id().as_str(),
    })
}

fn guardrail(view: &TraceView, at: u32) -> Value {
    let one = &view.spans[at as usize];
    json!({
        "name": one.span().name,
        "guardrail_type": one.span().guardrail_type,
        "triggered": one.span().triggered,
        "output": one.told.result.as_ref().map(JsonText::to_value),
        "span_id": one.id().as_str(),
    })
}

fn failure(view: &TraceView, at: u32) -> Value {
    let one = &view.spans[at as usize];
    let error = one.span().error.as_ref();
    json!({
        "span_id": one.id().as_str(),
        "span_type": one.span().span_type.as_str(),
        "name": one.span().name,
        "type": error.map(|error| error.kind.as_str()),
        "message": error.map(|error| error.message.as_str()),
    })
}

fn sample_of(last: &SpanView) -> Value {
    let text = {
        let mut words = last
            .told
            .output
            .iter()
            .filter_map(|message| message.words());
        let first = words.next();
        first.map(|first| words.fold(first, |all, more| all + "\n" + &more))
    };
    let calls: Vec<Value> = last
        .told
        .output
        .iter()
        .flat_map(|message| &message.parts)
        .filter_map(tool_call)
        .collect();
    let finish_reason = &last.span().finish_reason;
    let mut message = json!({"role": "assistant", "content": text});
    if !calls.is_empty() {
        message["tool_calls"] = calls.clone().into();
    }
    let mut out = json!({
        "output_text": text.clone().unwrap_or_default(),
        "output_tools": calls,
        "model": last.span().model,
        "finish_reason": finish_reason,
        "choices": [{"index": 0, "finish_reason": finish_reason, "message": message}],
    });
    let parsed = text.and_then(|text| serde_json::from_str::<Map<String, Value>>(&text).ok());
    if let Some(object) = parsed {
        out["output_json"] = object.into();
    }
    out
}

/// Returns a call as Chat Completions writes it: its arguments are a text.
fn tool_call(part: &Part) -> Option<Value> {
    let Part::ToolCall {
        id,
        name,
        arguments,
    } = part
    else {
        return None;
    };
    let arguments = arguments.as_ref().map(decoded).unwrap_or_default();
    Some(json!({
        "id": id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;
    use crate::template::Path;

    #[test]
    fn an_item_has_the_documented_keys() {
        let view = samples::booking();
        let item = item(&view);
        let keys: Vec<&str> = item
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(keys, ITEM_KEYS[..9]);
        assert_eq!(item["tools"][0]["arguments"]["origin"], "SFO");
        assert_eq!(item["input"], "Find me a flight from SFO to JFK on 20 May.");
        let troubled = super::item(&samples::troubled());
        assert_eq!(troubled["handoffs"][0]["destination_agent"], "Billing");
        assert_eq!(troubled["guardrails"][0]["triggered"], true);
        assert_eq!(troubled["errors"][0]["type"], "tool_error");
        assert_eq!(troubled["input"], Value::Null);
    }

    #[test]
    fn one_fact_alone_is_the_same_as_in_the_whole() {
        for view in [samples::booking(), samples::troubled()] {
            let whole = json!({ "item": item(&view) });
            for written in [
                "item",
                "item.trace.status",
                "item.spans[2]",
                "item.spans[2].name",
                "item.spans[99]",
                "item.tools[0].output",
                "item.tools",
                "item.errors[0].message",
                "item.usage.input_tokens",
                "item.nothing",
                "item.reference",
                "item.handoffs[0].source_agent",
            ] {
                let path = Path::parse(written).unwrap();
                let alone = item_value(&view, &path.steps[1..]);
                assert_eq!(alone.as_ref(), walk(&whole, &path.steps), "{written}");
            }
        }
    }

    #[test]
    fn a_sample_is_what_the_last_model_call_wrote() {
        let view = samples::booking();
        let last = sample(&view);
        assert_eq!(
            last["output_text"],
            "HAT045 leaves at 13:00 and costs 99 USD. Shall I book it?"
        );
        assert_eq!(last["output_tools"], json!([]));
        let first = sample_of(&view.spans[view.generations[0] as usize]);
        let call = &first["output_tools"][0]["function"];
        assert_eq!(call["name"], "search_flights");
        assert_eq!(call["arguments"], r#"{"origin":"SFO","destination":"JFK"}"#);
        assert_eq!(sample(&samples::view(vec![])), Value::Null);
    }
}
