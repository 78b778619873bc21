//! Tokens of one model call, under every name they have.
//!
//! Counts are inclusive: cached tokens are a part of the input, reasoning is a part of the output.
//! Raw usage of Anthropic leaks through some libraries with the cached tokens beside the input; more
//! cached tokens than input give it away. What no one tells is unknown, never 0.

use model::Usage;

use crate::agents_sdk::read_usage;
use crate::json::Value;
use crate::messages::Doc;

use super::Seen;

const INPUT: [&str; 6] = [
    "gen_ai.usage.input_tokens",
    "llm.token_count.prompt",
    "gen_ai.usage.prompt_tokens",
    "ai.usage.inputTokens",
    "ai.usage.promptTokens",
    "ai.usage.tokens",
];

const OUTPUT: [&str; 5] = [
    "gen_ai.usage.output_tokens",
    "llm.token_count.completion",
    "gen_ai.usage.completion_tokens",
    "ai.usage.outputTokens",
    "ai.usage.completionTokens",
];

const CACHE_READ: [&str; 7] = [
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.cached_input_tokens",
    "llm.token_count.prompt_details.cache_read",
    "ai.usage.cachedInputTokens",
    "ai.usage.inputTokenDetails.cacheReadTokens",
    "gen_ai.usage.details.cache_read_tokens",
];

const CACHE_WRITE: [&str; 6] = [
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "gen_ai.usage.cache_write_input_tokens",
    "llm.token_count.prompt_details.cache_write",
    "ai.usage.inputTokenDetails.cacheWriteTokens",
];

const REASONING: [&str; 7] = [
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",
    "llm.usage.reasoning_tokens",
    "llm.token_count.completion_details.reasoning",
    "ai.usage.reasoningTokens",
    "ai.usage.outputTokenDetails.reasoningTokens",
    "gen_ai.usage.details.reasoning_tokens",
];

/// Documents that go before the plain attributes, and those that fill what they leave open.
const DOCUMENTS_BEFORE: [&str; 2] = [
    "langfuse.observation.usage_details",
    "mlflow.chat.tokenUsage",
];
/// Answers kept as whole documents, and where in them the tokens are. Google's come first: its plain
/// attribute leaves out of the output what was thought.
const ANSWERS_BEFORE: [(&str, &str); 1] = [("gcp.vertex.agent.llm_response", "usage_metadata")];
const ANSWERS_AFTER: [(&str, &str); 2] =
    [("mlflow.spanOutputs", "usage"), ("genkit:output", "usage")];

const DOCUMENTS_AFTER: [&str; 4] = [
    "openai.llm.usage",
    "gen_ai.usage.raw",
    "langsmith.metadata.usage_metadata",
    "usage",
];

/// Returns the tokens of a model call.
pub(super) fn read(seen: &Seen<'_, '_>) -> Usage {
    let mut usage = Usage::default();
    for key in DOCUMENTS_BEFORE {
        complete(&mut usage, document(seen, key, None));
    }
    for (key, member) in ANSWERS_BEFORE {
        complete(&mut usage, document(seen, key, Some(member)));
    }
    let first = |keys: &[&str]| {
        keys.iter()
            .find_map(|key| seen.attributes.get(key)?.count())
    };
    complete(
        &mut usage,
        Usage {
            input_tokens: first(&INPUT),
            cached_tokens: first(&CACHE_READ),
            output_tokens: first(&OUTPUT),
            reasoning_tokens: first(&REASONING),
        },
    );
    for key in DOCUMENTS_AFTER {
        complete(&mut usage, document(seen, key, None));
    }
    for (key, member) in ANSWERS_AFTER {
        complete(&mut usage, document(seen, key, Some(member)));
    }
    let total = first(&["gen_ai.usage.total_tokens", "llm.usage.total_tokens"]);
    if usage.input_tokens.is_none()
        && let Some((total, output)) = total.zip(usage.output_tokens)
    {
        usage.input_tokens = Some(total - output).filter(|input| *input >= 0);
    }
    if let (Some(input), Some(cached)) = (usage.input_tokens, usage.cached_tokens)
        && cached > input
    {
        let written = first(&CACHE_WRITE).unwrap_or(0);
        usage.input_tokens = Some(input.saturating_add(cached).saturating_add(written));
    }
    usage
}

/// Fills what `usage` leaves open.
fn complete(usage: &mut Usage, further: Usage) {
    usage.input_tokens = usage.input_tokens.or(further.input_tokens);
    usage.cached_tokens = usage.cached_tokens.or(further.cached_tokens);
    usage.output_tokens = usage.output_tokens.or(further.output_tokens);
    usage.reasoning_tokens = usage.reasoning_tokens.or(further.reasoning_tokens);
}

/// Returns the counts in the document of an attribute, or in one member of it.
fn document(seen: &Seen<'_, '_>, key: &str, member: Option<&str>) -> Usage {
    let json = match seen.attributes.get(key) {
        Some(value) => super::written_value(value),
        None => return Usage::default(),
    };
    let Some(doc) = Doc::parse_container(&json) else {
        return Usage::default();
    };
    let told = match member {
        Some(member) => doc.root().get(member),
        None => Some(doc.root()),
    };
    let Some(told) = told else {
        return Usage::default();
    };
    let mut usage = read_usage(told);
    complete(&mut usage, of_other_names(told));
    if let Some(total) = told.get("total").and_then(Value::count) {
        usage = inclusive(usage, total);
    }
    complete(&mut usage, of_gemini(told));
    usage
}

/// Langfuse's handler of LangChain takes cached tokens out of the input and thoughts out of the output:
/// the total gives it away.
fn inclusive(usage: Usage, total: i64) -> Usage {
    let part = |count: Option<i64>| count.unwrap_or(0);
    let (Some(input), Some(output)) = (usage.input_tokens, usage.output_tokens) else {
        return usage;
    };
    let whole_input = input.saturating_add(part(usage.cached_tokens));
    let whole_output = output.saturating_add(part(usage.reasoning_tokens));
    match whole_input.saturating_add(whole_output) == total {
        true => Usage {
            input_tokens: Some(whole_input),
            output_tokens: Some(whole_output),
            ..usage
        },
        false => usage,
    }
}

/// Gemini counts what was thought beside the answer.
fn of_gemini(root: Value<'_, '_>) -> Usage {
    let count = |snake: &str, camel: &str| root.get(snake).or_else(|| root.get(camel))?.count();
    let thought = count("thoughts_token_count", "thoughtsTokenCount");
    let answered = count("candidates_token_count", "candidatesTokenCount");
    Usage {
        input_tokens: count("prompt_token_count", "promptTokenCount"),
        output_tokens: answered.map(|answered| answered.saturating_add(thought.unwrap_or(0))),
        cached_tokens: count("cached_content_token_count", "cachedContentTokenCount"),
        reasoning_tokens: thought,
    }
}

/// Names of Langfuse, LangChain, MLflow and Genkit.
fn of_other_names(root: Value<'_, '_>) -> Usage {
    let count = |keys: &[&str]| keys.iter().find_map(|key| root.get(key)?.count());
    let nested = |object: &str, key: &str| root.get(object)?.get(key)?.count();
    Usage {
        input_tokens: count(&["input", "inputTokens", "promptTokens"]),
        output_tokens: count(&["output", "outputTokens", "completionTokens"]),
        cached_tokens: count(&[
            "input_cached_tokens",
            "cache_read_input_tokens",
            "input_cache_read",
            "input_cached",
            "cachedContentTokens",
        ])
        .or_else(|| nested("input_token_details", "cache_read")),
        reasoning_tokens: count(&[
            "output_reasoning_tokens",
            "output_reasoning",
            "thoughtsTokens",
        ])
        .or_else(|| nested("output_token_details", "reasoning")),
    }
}
