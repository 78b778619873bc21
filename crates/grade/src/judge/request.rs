//! What is sent: one question in the words of either API.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::endpoint::Dialect;
use super::failure::Feature;
use crate::openai::ModelRequest;

/// A schema's name is no longer than this, in letters, digits, `_` and `-`.
const NAME_CHARS_MAX: usize = 64;

/// What a provider turned out not to know for a model.
#[derive(Debug, Clone, Default)]
pub(super) struct Unknown(BTreeSet<Feature>);

impl Unknown {
    /// Takes note of one thing more.
    pub(super) fn learn(&mut self, feature: Feature) {
        self.0.insert(feature);
    }

    /// Returns whether the provider is thought to know it.
    pub(super) fn knows(&self, feature: &Feature) -> bool {
        !self.0.contains(feature)
    }
}

/// Returns whether a model is known to think before it answers.
pub(super) fn reasons(model: &str) -> bool {
    Family::of(model) == Family::Reasoning
}

/// Where a question is sent to, below the base URL.
pub(super) fn path(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Chat => "chat/completions",
        Dialect::Responses => "responses",
    }
}

/// Returns the body of a question.
pub(super) fn body(dialect: Dialect, request: &ModelRequest, unknown: &Unknown) -> Value {
    let params = params(request, unknown);
    let mut messages = request.messages.clone();
    let native = request
        .schema
        .as_ref()
        .filter(|_| unknown.knows(&Feature::Schema));
    if let Some((_, schema)) = request.schema.as_ref().filter(|_| native.is_none()) {
        messages.push(in_words(schema));
    }
    match dialect {
        Dialect::Chat => chat(request, messages, params, native),
        Dialect::Responses => responses(request, &messages, params, native),
    }
}

fn chat(
    request: &ModelRequest,
    messages: Vec<Value>,
    params: Map<String, Value>,
    schema: Option<&(String, Value)>,
) -> Value {
    let mut body = json!({ "model": request.model, "messages": messages });
    for (name, value) in params {
        body[name] = value;
    }
    if let Some((name, schema)) = schema {
        let format = json!({ "name": plain(name), "schema": schema, "strict": true });
        body["response_format"] = json!({ "type": "json_schema", "json_schema": format });
    }
    body
}

fn responses(
    request: &ModelRequest,
    messages: &[Value],
    params: Map<String, Value>,
    schema: Option<&(String, Value)>,
) -> Value {
    let input: Vec<Value> = messages.iter().flat_map(items).collect();
    let mut body = json!({ "model": request.model, "input": input, "store": false });
    for (name, value) in params {
        match name.as_str() {
            "max_completion_tokens" | "max_tokens" => body["max_output_tokens"] = value,
            "reasoning_effort" => body["reasoning"] = json!({ "effort": value }),
            "response_format" => body["text"] = json!({ "format": flat(&value, "json_schema") }),
            "tools" => {
                let tools = value.as_array().into_iter().flatten();
                body["tools"] = tools.map(|tool| flat(tool, "function")).collect();
            }
            "logprobs" => body["include"] = json!(["message.output_text.logprobs"]),
            // There is none in this API.
            "seed" => {}
            _ => body[name] = value,
        }
    }
    if let Some((name, schema)) = schema {
        let format = json!({
            "type": "json_schema", "name": plain(name), "schema": schema, "strict": true,
        });
        body["text"] = json!({ "format": format });
    }
    body
}

/// What Chat Completions puts into an object of its own stands beside the type in Responses.
fn flat(value: &Value, inner: &str) -> Value {
    let mut flat = value.as_object().cloned().unwrap_or_default();
    if let Some(Value::Object(inner)) = flat.remove(inner) {
        flat.extend(inner);
    }
    Value::Object(flat)
}

/// Returns a message of Chat Completions as items of Responses: calls and their results are items.
fn items(message: &Value) -> Vec<Value> {
    let role = message["role"].as_str().unwrap_or("user");
    if role == "tool" {
        return vec![json!({
            "type": "function_call_output",
            "call_id": message["tool_call_id"],
            "output": message["content"],
        })];
    }
    let mut items = Vec::new();
    if !message["content"].is_null() {
        let content = content(&message["content"], role);
        items.push(json!({ "type": "message", "role": role, "content": content }));
    }
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        items.push(json!({
            "type": "function_call",
            "call_id": call["id"],
            "name": call["function"]["name"],
            "arguments": call["function"]["arguments"],
        }));
    }
    items
}

fn content(content: &Value, role: &str) -> Value {
    let Value::Array(parts) = content else {
        return content.clone();
    };
    let text = match role {
        "assistant" => "output_text",
        _ => "input_text",
    };
    let part = |part: &Value| match part["type"].as_str() {
        Some("text") => json!({ "type": text, "text": part["text"] }),
        Some("image_url") => {
            let image = &part["image_url"];
            let detail = image
                .get("detail")
                .cloned()
                .unwrap_or_else(|| json!("auto"));
            json!({ "type": "input_image", "image_url": image["url"], "detail": detail })
        }
        _ => part.clone(),
    };
    parts.iter().map(part).collect()
}

/// Returns the parameters that this model takes, under the names that it knows.
fn params(request: &ModelRequest, unknown: &Unknown) -> Map<String, Value> {
    let asked = request.params.as_object().cloned().unwrap_or_default();
    let mut params = Map::new();
    for (name, value) in asked {
        let name = match name.as_str() {
            // The graders' API has an s too many.
            "max_completions_tokens" => "max_completion_tokens",
            other => other,
        };
        if !value.is_null() {
            params.insert(name.to_owned(), value);
        }
    }
    match Family::of(&request.model) {
        Family::Reasoning => {
            // They take a temperature only if they are told not to reason.
            if params.get("reasoning_effort") != Some(&json!("none")) {
                params.retain(|name, _| name != "temperature" && name != "top_p");
            }
            if let Some(most) = params.remove("max_tokens") {
                params.entry("max_completion_tokens").or_insert(most);
            }
        }
        Family::Plain => params.retain(|name, _| name != "reasoning_effort"),
        Family::Foreign => {}
    }
    params.retain(|name, _| !unknown.0.iter().any(|it| it.is_parameter(name)));
    params
}

impl Feature {
    fn is_parameter(&self, name: &str) -> bool {
        matches!(self, Self::Parameter(it) if *it == name)
    }
}

/// What kind of model it is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// Of OpenAI's that think first: an effort, no temperature.
    Reasoning,
    /// Of OpenAI's others: a temperature, no effort.
    Plain,
    /// Anybody's: as asked for. What it does not take it will say.
    Foreign,
}

impl Family {
    fn of(model: &str) -> Self {
        // Routers put the maker before the name.
        let name = model.rsplit('/').next().unwrap_or(model);
        let name = name.strip_prefix("ft:").unwrap_or(name);
        let begins = |heads: &[&str]| heads.iter().any(|head| name.starts_with(head));
        if begins(&["gpt-3", "gpt-4", "gpt-audio", "chatgpt"]) || name.contains("-chat") {
            Self::Plain
        } else if begins(&["o1", "o3", "o4", "gpt-5"]) {
            Self::Reasoning
        } else {
            Self::Foreign
        }
    }
}

/// The schema as a request, for providers that take it as nothing else.
fn in_words(schema: &Value) -> Value {
    let text = format!(
        "Answer with one JSON object and nothing after it. It must fit this JSON schema:\n{schema}"
    );
    json!({ "role": "user", "content": text })
}

fn plain(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let name = name.chars().map(|c| if is_plain(c) { c } else { '_' });
    let name: String = name.take(NAME_CHARS_MAX).collect();
    match name.is_empty() {
        true => "answer".to_owned(),
        false => name,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Dialect, Family, Feature, ModelRequest, Unknown, body};

    fn request(model: &str, params: Value) -> ModelRequest {
        ModelRequest {
            model: model.to_owned(),
            messages: vec![json!({"role": "user", "content": "Is it?"})],
            params,
            schema: None,
        }
    }

    #[test]
    fn reasoning_models_get_no_temperature_and_others_no_effort() {
        let asked = json!({
            "temperature": 0, "top_p": 1, "seed": 42, "reasoning_effort": "low",
            "max_completions_tokens": 9, "tools": null,
        });
        let sent = |model: &str, asked: &Value| {
            let mut sent = body(
                Dialect::Chat,
                &request(model, asked.clone()),
                &Unknown::default(),
            );
            for name in ["model", "messages"] {
                sent.as_object_mut().unwrap().remove(name);
            }
            sent
        };
        let expected = json!({"seed": 42, "reasoning_effort": "low", "max_completion_tokens": 9});
        assert_eq!(sent("o3-mini-2025-01-31", &asked), expected);
        assert_eq!(sent("openai/gpt-5-mini", &asked), expected);
        let plain = sent("gpt-4o-2024-08-06", &asked);
        assert_eq!(plain["temperature"], 0);
        assert_eq!(plain.get("reasoning_effort"), None);
        let foreign = sent("qwen3-32b", &asked);
        assert_eq!(
            (&foreign["temperature"], &foreign["reasoning_effort"]),
            (&json!(0), &json!("low"))
        );
        let quiet = sent(
            "gpt-5.1",
            &json!({"temperature": 0.5, "reasoning_effort": "none"}),
        );
        assert_eq!(quiet["temperature"], 0.5);
        assert_eq!(
            sent("o1", &json!({"max_tokens": 5})),
            json!({"max_completion_tokens": 5})
        );
        assert_eq!(sent("o1", &Value::Null), json!({}));
    }

    #[test]
    fn models_belong_to_families() {
        for (model, family) in [
            ("o1-2024-12-17", Family::Reasoning),
            ("gpt-5", Family::Reasoning),
            ("gpt-5-chat-latest", Family::Plain),
            ("gpt-4.1-nano", Family::Plain),
            ("ft:gpt-4o-mini:org", Family::Plain),
            ("gpt-oss-120b", Family::Foreign),
            ("anthropic/claude-opus-4", Family::Foreign),
            ("olmo", Family::Foreign),
        ] {
            assert_eq!(Family::of(model), family, "{model}");
        }
    }

    #[test]
    fn a_schema_is_asked_for_natively_or_in_words() {
        let mut asked = request("m", Value::Null);
        let schema = json!({"type": "object", "required": ["verdict"]});
        asked.schema = Some(("a name".to_owned(), schema.clone()));
        let mut unknown = Unknown::default();
        let native = body(Dialect::Chat, &asked, &unknown);
        let format = &native["response_format"];
        assert_eq!(format["type"], "json_schema");
        let expected = json!({"name": "a_name", "schema": schema, "strict": true});
        assert_eq!(format["json_schema"], expected);
        let native = body(Dialect::Responses, &asked, &unknown);
        assert_eq!(native["text"]["format"]["name"], "a_name");
        assert_eq!(native["text"]["format"]["schema"], schema);

        unknown.learn(Feature::Schema);
        for (dialect, list) in [(Dialect::Chat, "messages"), (Dialect::Responses, "input")] {
            let words = body(dialect, &asked, &unknown);
            assert_eq!(words.get("response_format").or(words.get("text")), None);
            assert_eq!(words[list].as_array().unwrap().len(), 2);
            assert!(
                words[list][1]["content"]
                    .as_str()
                    .unwrap()
                    .contains("verdict")
            );
        }
    }

    #[test]
    fn what_a_provider_does_not_know_is_left_out() {
        let mut unknown = Unknown::default();
        unknown.learn(Feature::Parameter("temperature"));
        let asked = request("m", json!({"temperature": 0, "seed": 1}));
        let sent = body(Dialect::Chat, &asked, &unknown);
        assert_eq!((sent.get("temperature"), &sent["seed"]), (None, &json!(1)));
    }

    #[test]
    fn responses_name_parameters_in_their_own_way() {
        let asked = request(
            "gpt-5",
            json!({
                "max_completion_tokens": 9, "reasoning_effort": "low", "seed": 1,
                "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
                "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
            }),
        );
        let expected = json!({
            "model": "gpt-5", "store": false, "max_output_tokens": 9, "reasoning": {"effort": "low"},
            "input": [{"type": "message", "role": "user", "content": "Is it?"}],
            "tools": [{"type": "function", "name": "f", "parameters": {}}],
            "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}},
        });
        assert_eq!(
            body(Dialect::Responses, &asked, &Unknown::default()),
            expected
        );
    }

    #[test]
    fn responses_have_items_in_place_of_messages() {
        let mut asked = request("m", Value::Null);
        asked.messages = vec![
            json!({"role": "system", "content": "Judge."}),
            json!({"role": "user", "content": [
                {"type": "text", "text": "see"},
                {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}},
            ]}),
            json!({"role": "assistant", "content": null, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            ]}),
            json!({"role": "tool", "tool_call_id": "c1", "content": "42"}),
            json!({"role": "assistant", "content": [{"type": "text", "text": "done"}]}),
        ];
        let expected = json!([
            {"type": "message", "role": "system", "content": "Judge."},
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "see"},
                {"type": "input_image", "image_url": "data:x", "detail": "low"},
            ]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "42"},
            {"type": "message", "role": "assistant", "content": [
                {"type": "output_text", "text": "done"},
            ]},
        ]);
        assert_eq!(
            body(Dialect::Responses, &asked, &Unknown::default())["input"],
            expected
        );
    }
}
