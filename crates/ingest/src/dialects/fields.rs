//! The columns that a span's type asks for, each from the first attribute that has it.

use model::{NanoUsd, PREVIEW_CHARS_MAX, Span, SpanType, Time, preview};

use crate::messages::Doc;
use crate::otlp::Any;

use super::mlflow::unquoted;
use super::{Seen, Told, usage};

const REQUESTED: [&str; 4] = [
    "gen_ai.request.model",
    "llm.request.model_name",
    "ai.model.id",
    "langsmith.metadata.ls_model_name",
];

const USED: [&str; 6] = [
    "langfuse.observation.model.name",
    "gen_ai.response.model",
    "ai.response.model",
    "llm.response.model_name",
    "llm.model_name",
    "openai.llm.model",
];

const PROVIDERS: [&str; 6] = [
    "gen_ai.provider.name",
    "llm.provider",
    "gen_ai.system",
    "llm.system",
    "ai.model.provider",
    "langsmith.metadata.ls_provider",
];

const AGENTS: [&str; 4] = [
    "gen_ai.agent.name",
    "agent.name",
    "agent_name",
    "openai.agent.name",
];

const TOOLS: [&str; 5] = [
    "gen_ai.tool.name",
    "openai.tool.name",
    "tool.name",
    "ai.toolCall.name",
    "traceloop.entity.name",
];

const CALL_IDS: [&str; 4] = [
    "gen_ai.tool.call.id",
    "ai.toolCall.id",
    "tool.id",
    "tool_call_id",
];

/// Returns a model's name without the provider in front, which LiteLLM writes before it.
fn without_provider(seen: &Seen<'_, '_>, model: String) -> String {
    let bare = model.split_once('/').filter(|(before, name)| {
        !name.is_empty() && common_provider(before) == provider(seen).unwrap_or_default()
    });
    bare.map(|(_, name)| name.to_owned()).unwrap_or(model)
}

/// Returns the model that was asked for.
pub(crate) fn requested_model(seen: &Seen<'_, '_>) -> Option<String> {
    asked_model(seen).map(|model| without_provider(seen, model))
}

/// Genkit names a model by its plugin and its own name: `googleai/gemini-2.5-flash`.
fn of_genkit<'s>(seen: &Seen<'s, '_>) -> Option<(&'s str, &'s str)> {
    let is_model = seen.text("genkit:metadata:subtype") == Some("model");
    seen.text("genkit:name")
        .filter(|_| is_model)?
        .split_once('/')
}

fn asked_model(seen: &Seen<'_, '_>) -> Option<String> {
    let told = seen.attributes.first_text(&REQUESTED).map(str::to_owned);
    let told = told.or_else(|| of_genkit(seen).map(|(_, name)| name.to_owned()));
    told.or_else(|| {
        let keys = [
            "llm.invocation_parameters",
            "langfuse.observation.model.parameters",
            "mlflow.spanInputs",
        ];
        keys.iter().find_map(|key| {
            let doc = Doc::parse_container(seen.text(key)?)?;
            doc.root().get("model")?.words().map(Into::into)
        })
    })
}

fn used_model(seen: &Seen<'_, '_>) -> Option<String> {
    let told = seen.attributes.first_text(&USED).map(str::to_owned);
    told.or_else(|| seen.text("mlflow.llm.model").map(unquoted))
        .or_else(|| answered_by(seen))
        .or_else(|| seen.text("model_name").map(str::to_owned))
        .or_else(|| seen.text("embedding.model_name").map(str::to_owned))
        .or_else(|| asked_model(seen))
        .map(|model| without_provider(seen, model))
}

/// Returns the model that an answer kept as a whole document names.
fn answered_by(seen: &Seen<'_, '_>) -> Option<String> {
    let keys = ["gen_ai.completion", "response"];
    keys.iter().find_map(|key| {
        let doc = Doc::parse_container(seen.text(key)?)?;
        let root = doc.root();
        let direct = root.get("model").and_then(|model| model.words());
        let of_langchain = || {
            let generation = root.get("generations")?.elements().next()?;
            let generation = generation.elements().next().unwrap_or(generation);
            let kwargs = generation.get("message")?.get("kwargs")?;
            let metadata = kwargs.get("response_metadata")?;
            metadata.get("model_name")?.words()
        };
        direct.or_else(of_langchain).map(Into::into)
    })
}

/// Returns the common word for a provider: case and suffixes differ between libraries.
fn provider(seen: &Seen<'_, '_>) -> Option<String> {
    seen.attributes
        .first_text(&PROVIDERS)
        .or_else(|| of_genkit(seen).map(|(plugin, _)| plugin))
        .map(common_provider)
}

fn common_provider(told: &str) -> String {
    let word = told.to_ascii_lowercase();
    let known = [
        ("az.ai.inference", "azure.ai.inference"),
        ("az.ai.openai", "azure.ai.openai"),
        ("azure", "azure.ai.openai"),
        ("xai", "x_ai"),
        ("mistralai", "mistral_ai"),
        ("mistral", "mistral_ai"),
        ("google", "gcp.gemini"),
        ("gemini", "gcp.gemini"),
        ("googleai", "gcp.gemini"),
        ("vertexai", "gcp.vertex_ai"),
        ("vertex_ai", "gcp.vertex_ai"),
        ("bedrock", "aws.bedrock"),
        ("aws_bedrock", "aws.bedrock"),
    ];
    let named = |word: &str| known.iter().find(|(theirs, _)| *theirs == word);
    if let Some((_, ours)) = named(&word) {
        return (*ours).to_owned();
    }
    // Vercel writes `openai.chat`, `google.generative-ai`: the name, then the interface.
    let interfaces = ["chat", "responses", "completion", "embedding", "messages"];
    match word.split_once('.') {
        Some((name, interface)) if interfaces.contains(&interface) => {
            named(name).map_or(name, |(_, ours)| ours).to_owned()
        }
        Some(("google", "generative-ai")) => "gcp.gemini".to_owned(),
        Some(("google", "vertex.chat")) => "gcp.vertex_ai".to_owned(),
        _ => word,
    }
}

/// Returns the agent that a span names; the name one library gives to all of them is none.
pub(super) fn named_agent<'s>(seen: &Seen<'s, '_>) -> Option<&'s str> {
    let is_default = |name: &str| name == "OpenAI Agent" && seen.scope.contains("openai_agents");
    seen.attributes
        .first_text(&AGENTS)
        .filter(|name| !is_default(name))
}

fn without<'a>(name: &'a str, prefixes: &[&str], suffixes: &[&str]) -> &'a str {
    let name = prefixes
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name);
    suffixes
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .unwrap_or(name)
}

/// Returns the name of an agent from the first place that has it, the span's own name last.
fn agent_name<'s>(seen: &Seen<'s, '_>, told: &'s Told) -> &'s str {
    let further = [
        "graph.node.id",
        "ai.telemetry.functionId",
        "traceloop.entity.name",
    ];
    let prefixes = ["invoke_agent ", "agent run ", "agent_run [", "Agent run: "];
    named_agent(seen)
        .or_else(|| seen.attributes.first_text(&further))
        .or(told.name.as_deref())
        .or_else(|| seen.text("langsmith.metadata.lc_agent_name"))
        .unwrap_or_else(|| without(seen.name, &prefixes, &[".run", ".agent", "]"]))
}

fn tool_name<'s>(seen: &Seen<'s, '_>, told: &'s Told) -> &'s str {
    let prefixes = ["execute_tool ", "running tool: ", "tools/call "];
    told.name
        .as_deref()
        .or_else(|| seen.attributes.first_text(&TOOLS))
        .unwrap_or_else(|| without(seen.name, &prefixes, &[".tool"]))
}

/// Returns the text for a span that has no better name: templates are no text to read.
fn shown_name<'s>(seen: &Seen<'s, '_>) -> &'s str {
    seen.text("logfire.msg").unwrap_or(seen.name)
}

/// Fills in the columns.
pub(super) fn fill(span: &mut Span, seen: &Seen<'_, '_>, told: &Told) {
    span.agent = named_agent(seen).map(Into::into);
    let name = match told.span_type {
        SpanType::Agent => {
            let name = agent_name(seen, told);
            span.agent = Some(name.to_owned());
            name.to_owned()
        }
        SpanType::Function => {
            span.tool_call_id = seen.attributes.first_text(&CALL_IDS).map(Into::into);
            tool_name(seen, told).to_owned()
        }
        SpanType::Generation | SpanType::Embedding => {
            model_call(span, seen);
            let model = span.model.clone();
            model.unwrap_or_else(|| shown_name(seen).to_owned())
        }
        SpanType::Handoff => handoff(span, seen, told),
        SpanType::Guardrail => {
            let triggered = ["gen_ai.guardrail.triggered", "triggered"];
            let triggered = triggered.iter().find_map(|key| seen.attributes.get(key));
            span.triggered = triggered.and_then(Any::bool);
            let kind = seen.text("gen_ai.guardrail.type");
            span.guardrail_type = kind.map(Into::into);
            let name = seen.text("gen_ai.guardrail.name").or(told.name.as_deref());
            name.unwrap_or(seen.name).to_owned()
        }
        _ => {
            let name = told.name.as_deref();
            name.unwrap_or_else(|| shown_name(seen)).to_owned()
        }
    };
    span.name = name;
}

fn handoff(span: &mut Span, seen: &Seen<'_, '_>, told: &Told) -> String {
    let text = |key: &str| seen.text(key).map(str::to_owned);
    let from = told.handoff_from.clone();
    let to = told.handoff_to.clone();
    span.handoff_from = from
        .or_else(|| text("gen_ai.handoff.from_agent"))
        .or_else(|| span.agent.clone());
    span.handoff_to = to.or_else(|| text("gen_ai.handoff.to_agent"));
    span.agent.clone_from(&span.handoff_from);
    let [from, to] =
        [&span.handoff_from, &span.handoff_to].map(|agent| agent.as_deref().unwrap_or("?"));
    format!("{from} → {to}")
}

fn model_call(span: &mut Span, seen: &Seen<'_, '_>) {
    span.model = used_model(seen);
    span.provider = provider(seen);
    span.usage = usage::read(seen);
    span.cost = cost(seen).filter(|cost| cost.0 != 0 || span.usage.is_known());
    span.finish_reason = finish_reason(seen);
    span.ttft_ms = ttft_ms(seen).filter(|ms| ms.is_finite() && *ms >= 0.0);
}

/// Returns what the sender says that a call cost.
fn cost(seen: &Seen<'_, '_>) -> Option<NanoUsd> {
    let details = || {
        let doc = Doc::parse_container(seen.text("langfuse.observation.cost_details")?)?;
        let root = doc.root();
        let number = |key: &str| root.get(key)?.raw().parse::<f64>().ok();
        number("total").or_else(|| Some(number("input")? + number("output")?))
    };
    let keys = [
        "gen_ai.usage.cost",
        "llm.cost.total",
        "gen_ai.cost.total_cost",
        "operation.cost",
    ];
    let plain = || {
        keys.iter()
            .find_map(|key| seen.attributes.get(key)?.number())
    };
    let usd = details().or_else(plain)?;
    usd.is_finite().then(|| NanoUsd::from_usd(usd))
}

/// Returns why the model stopped: a list, the JSON text of one, or a word.
fn finish_reason(seen: &Seen<'_, '_>) -> Option<String> {
    let first = |value: &Any<'_>| match value {
        Any::List(items) => items.first()?.text().map(str::to_owned),
        Any::Text(text) => match Doc::parse_container(text) {
            Some(doc) => {
                let reason = doc.root().elements().next()?;
                reason.words().map(Into::into)
            }
            None => Some(text.clone().into_owned()),
        },
        _ => None,
    };
    let keys = [
        "gen_ai.response.finish_reasons",
        "gen_ai.response.finish_reason",
        "ai.response.finishReason",
        "llm.finish_reason",
        "gen_ai.completion.0.finish_reason",
    ];
    let told = keys
        .iter()
        .find_map(|key| seen.attributes.get(key).and_then(first));
    let of_langfuse = || seen.text("langfuse.observation.metadata.finish_reason");
    let told = told.or_else(|| of_langfuse().map(unquoted));
    // Semantic Kernel writes the name of its enum: `FinishReason.TOOL_CALLS`.
    let told = told.map(|reason| match reason.strip_prefix("FinishReason.") {
        Some(word) => word.to_ascii_lowercase(),
        None => reason,
    });
    told.filter(|reason| !reason.is_empty())
        .map(|reason| preview(&reason).to_owned())
}

/// Returns the milliseconds to the first token.
fn ttft_ms(seen: &Seen<'_, '_>) -> Option<f64> {
    let number = |key: &str| seen.attributes.get(key)?.number();
    let seconds = [
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.client.operation.time_to_first_chunk",
    ];
    if let Some(seconds) = seconds.iter().find_map(|key| number(key)) {
        return Some(seconds * 1e3);
    }
    let millis = [
        "ai.response.msToFirstChunk",
        "gen_ai.server.time_to_first_token",
    ];
    if let Some(millis) = millis.iter().find_map(|key| number(key)) {
        return Some(millis);
    }
    let start = Time::from_micros((seen.start_nanos / 1_000) as i64);
    if let Some(told) = seen.text("langfuse.observation.completion_start_time") {
        let first = Time::parse_rfc3339(&unquoted(told)).ok()?;
        return Some(first.millis_since(start));
    }
    let is_chunk = |name: &str| {
        name.ends_with("content.completion.chunk") || name == "First Token Stream Event"
    };
    let mut events = seen.events.iter();
    let first = events.find(|event| is_chunk(&event.name) && event.nanos > 0)?;
    let first = Time::from_micros((first.nanos / 1_000) as i64);
    (seen.start_nanos > 0).then(|| first.millis_since(start))
}

/// Returns the first characters of `text`, no NUL among them: several databases refuse it.
pub(super) fn shown(text: &str) -> Option<String> {
    let text = preview(text).replace('\0', "\u{fffd}");
    debug_assert!(text.chars().count() <= PREVIEW_CHARS_MAX);
    (!text.is_empty()).then_some(text)
}
