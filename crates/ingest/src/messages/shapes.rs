//! The shapes in which libraries write messages as JSON, told apart by their keys.
//!
//! No version is asked for: dialects change monthly, and their shapes hardly overlap. What no rule
//! knows is kept as a part of its own.

use std::ops::ControlFlow::{self, Continue};

use model::JsonText;

use crate::json::{Kind, Value};

use super::{ChatMessage, Doc, Part, Take, json_or_text};

/// Wrappers nested deeper than this hold no messages.
const WRAPPERS_MAX: usize = 8;

/// Hands over the messages in `value`, the last first; those that do not say who speaks have `role`.
pub(crate) fn messages(value: Value<'_, '_>, role: &str, take: Take<'_>) -> ControlFlow<()> {
    collect(value, role, 0, take)
}

/// Returns the common word for a role.
pub(crate) fn role_word(word: &str) -> &str {
    match word {
        "human" | "Human" | "HumanMessage" | "HumanMessageChunk" | "gen_ai.user.message" => "user",
        "ai"
        | "AI"
        | "model"
        | "bot"
        | "AIMessage"
        | "AIMessageChunk"
        | "gen_ai.choice"
        | "gen_ai.assistant.message" => "assistant",
        "SystemMessage" | "gen_ai.system.message" => "system",
        "function" | "ToolMessage" | "FunctionMessage" | "gen_ai.tool.message" => "tool",
        other => other,
    }
}

fn text(value: Option<Value<'_, '_>>) -> Option<String> {
    value.and_then(Value::words).map(Into::into)
}

fn first<'b, 't>(value: Value<'b, 't>, keys: &[&str]) -> Option<Value<'b, 't>> {
    let mut told = keys.iter().filter_map(|key| value.get(key));
    told.find(|told| told.kind() != Kind::Null)
}

fn collect(value: Value<'_, '_>, role: &str, depth: usize, take: Take<'_>) -> ControlFlow<()> {
    if depth > WRAPPERS_MAX {
        return Continue(());
    }
    match value.kind() {
        Kind::String => match text(Some(value)) {
            Some(words) => take(ChatMessage::of_text(role, words)),
            None => Continue(()),
        },
        Kind::Array => list(value, role, depth, take),
        Kind::Object => object(value, role, depth, take),
        Kind::Null => Continue(()),
        Kind::Number | Kind::Bool => take(ChatMessage::of_text(role, value.raw())),
    }
}

/// A list of messages, of parts of one message, or LangChain's pair of role and words.
fn list(value: Value<'_, '_>, role: &str, depth: usize, take: Take<'_>) -> ControlFlow<()> {
    let elements: Vec<_> = value.elements().collect();
    if let [who, words] = elements[..]
        && let (Some(who), Some(words)) = (who.words(), words.words())
        && is_role(role_word(&who))
    {
        return take(ChatMessage::of_text(role_word(&who), words));
    }
    let mut rest = &elements[..];
    while let Some((last, before)) = rest.split_last() {
        if !is_bare_part(*last) {
            collect(*last, role, depth + 1, take)?;
            rest = before;
            continue;
        }
        // Parts that stand alone belong together, as long as the same one speaks.
        let from = before.iter().rposition(|element| !is_bare_part(*element));
        let (before, alone) = rest.split_at(from.map_or(0, |at| at + 1));
        let speaker = |element: Value<'_, '_>| role_of_item(element).unwrap_or(role);
        for said in alone.chunk_by(|a, b| speaker(*a) == speaker(*b)).rev() {
            let parts = said.iter().map(|element| part(*element)).collect();
            take(ChatMessage::new(speaker(said[0]), parts))?;
        }
        rest = before;
    }
    Continue(())
}

fn is_role(word: &str) -> bool {
    matches!(
        word,
        "system" | "user" | "assistant" | "tool" | "developer" | "placeholder"
    )
}

/// Returns whether an object is one part of a message and no message itself.
fn is_bare_part(value: Value<'_, '_>) -> bool {
    let of_messages = ["role", "parts", "message", "messages", "generation_info"];
    if !value.is_object() || first(value, &of_messages).is_some() {
        return false;
    }
    let kind = value.get("type").and_then(Value::text).unwrap_or_default();
    match &*kind {
        "" => {
            let bedrock = [
                "text",
                "toolUse",
                "toolResult",
                "functionCall",
                "functionResponse",
                "toolRequest",
                "toolResponse",
            ];
            first(value, &bedrock).is_some()
        }
        "message" | "constructor" | "tool" | "function" | "human" | "ai" | "system" => false,
        _ => value.get("data").is_none() || value.get("mime_type").is_some(),
    }
}

/// Returns who speaks in an item of the Responses API, which has no role.
fn role_of_item(value: Value<'_, '_>) -> Option<&'static str> {
    let kind = value.get("type").and_then(Value::text)?;
    match &*kind {
        "reasoning" | "thinking" => Some("assistant"),
        kind if kind.ends_with("_call") || kind == "tool-call" || kind == "tool_use" => {
            Some("assistant")
        }
        kind if kind.ends_with("_output") || kind.ends_with("_result") || kind == "tool-result" => {
            Some("tool")
        }
        "tool_call_response" => Some("tool"),
        _ => None,
    }
}

fn object(value: Value<'_, '_>, role: &str, depth: usize, take: Take<'_>) -> ControlFlow<()> {
    // LangChain: {"lc":1,"id":[…,"HumanMessage"],"kwargs":{…}} and {"type":"human","data":{…}}.
    if let Some(kwargs) = value.get("kwargs").filter(|_| value.get("lc").is_some()) {
        let class = value.get("id").and_then(|id| id.elements().last());
        let class = class.and_then(Value::words).unwrap_or_default();
        let role = Some(role_word(&class)).filter(|word| is_role(word));
        return take(message(kwargs, role.unwrap_or("other")));
    }
    if let (Some(kind), Some(data)) = (text(value.get("type")), value.get("data"))
        && is_role(role_word(&kind))
    {
        return take(message(data, role_word(&kind)));
    }
    if is_message(value) {
        return take(message(value, role));
    }
    if let Some(flow) = wrapped(value, role, depth + 1, take) {
        return flow;
    }
    if is_bare_part(value) {
        let speaker = role_of_item(value).unwrap_or(role);
        return take(ChatMessage::new(speaker, vec![part(value)]));
    }
    let value = JsonText::from_trusted(value.raw());
    take(ChatMessage::new(role, vec![Part::Other { value }]))
}

fn is_message(value: Value<'_, '_>) -> bool {
    let kind = value.get("type").and_then(Value::text).unwrap_or_default();
    let is_typed = is_role(role_word(&kind)) && first(value, &["content", "tool_calls"]).is_some();
    let is_event = value.get("event.name").is_some();
    let has_role = value
        .get("role")
        .is_some_and(|role| role.kind() == Kind::String);
    is_typed || is_event || has_role || value.get("parts").is_some()
}

/// Reads what lies around messages: bodies of requests and responses. Returns nothing if it was none.
fn wrapped(
    value: Value<'_, '_>,
    role: &str,
    depth: usize,
    take: Take<'_>,
) -> Option<ControlFlow<()>> {
    let told = [
        "instructions",
        "system",
        "system_instruction",
        "systemInstruction",
    ];
    let wrappers: [(&str, &str); 13] = [
        ("messages", role),
        ("input", role),
        ("contents", role),
        ("prompts", role),
        ("prompt", role),
        ("choices", "assistant"),
        ("candidates", "assistant"),
        ("generations", "assistant"),
        ("message", role),
        ("output", role),
        ("response", role),
        ("update", role),
        ("content", role),
    ];
    let found = wrappers
        .into_iter()
        .find_map(|(key, role)| Some((value.get(key)?, role)));
    let (inner, inner_role) = found?;
    let is_request = ["messages", "input", "contents", "prompt"]
        .iter()
        .any(|key| value.get(key).is_some());
    // Gemini's requests keep it among the settings.
    let system = first(value, &told).or_else(|| first(value.get("config")?, &told));
    let system = system.filter(|_| is_request);
    let mut is_last = true;
    let mut take = |mut message: ChatMessage| {
        if std::mem::take(&mut is_last) {
            let keys = ["finish_reason", "finishReason", "stop_reason", "stopReason"];
            let told = message.finish_reason.take();
            message.finish_reason = told.or_else(|| text(first(value, &keys)));
        }
        take(message)
    };
    let mut flow = collect(inner, inner_role, depth, &mut take);
    if let Some(system) = system.filter(|_| flow.is_continue()) {
        flow = collect(system, "system", depth, &mut take);
    }
    (!is_last).then_some(flow)
}

/// Returns the message that `value` is.
fn message(value: Value<'_, '_>, role: &str) -> ChatMessage {
    if let Some(inner) = value.get("message").filter(|inner| inner.is_object()) {
        // A choice as events tell it: {"index":0,"finish_reason":…,"message":{…}}.
        let mut said = message(inner, "assistant");
        said.finish_reason = text(value.get("finish_reason"));
        return said;
    }
    let told = text(value.get("role"))
        .or_else(|| text(value.get("event.name")))
        .or_else(|| text(value.get("type")).filter(|kind| is_role(role_word(kind))));
    let role = told.as_deref().map_or(role, role_word);
    let mut said = ChatMessage::new(role, Vec::new());
    let words = ["reasoning_content", "reasoning"];
    if let Some(content) = text(first(value, &words)) {
        said.parts.push(Part::Reasoning { content });
    }
    let answers_call = text(first(value, &["tool_call_id", "toolCallId"]))
        .or_else(|| text(value.get("id")).filter(|_| role == "tool"));
    match (value.get("content"), role) {
        (Some(content), "tool") if !has_parts_of_tool(content) => {
            let response = result_text(content);
            let id = answers_call;
            said.parts.push(Part::ToolResult { id, response });
        }
        // Gemini's content, which has parts of its own.
        (Some(content), _) => parts(content.get("parts").unwrap_or(content), &mut said.parts),
        (None, _) => {}
    }
    if let Some(told) = value.get("parts") {
        parts(told, &mut said.parts);
    }
    if let Some(content) = text(value.get("refusal")) {
        said.parts.push(Part::Text { content });
    }
    let calls = first(value, &["tool_calls", "toolCalls"]);
    let calls = calls.into_iter().flat_map(Value::elements);
    said.parts.extend(calls.map(call));
    let legacy = value.get("function_call").filter(|call| call.is_object());
    said.parts.extend(legacy.map(call));
    said.name = text(value.get("name"));
    said.finish_reason = text(first(value, &["finish_reason", "finishReason"]));
    said
}

fn has_parts_of_tool(content: Value<'_, '_>) -> bool {
    content.elements().any(|part| {
        let kind = part.get("type").and_then(Value::text).unwrap_or_default();
        kind.starts_with("tool") || first(part, &["toolResult", "toolResponse"]).is_some()
    })
}

/// Returns what a tool gave back: a single text part as its text, anything else as sent.
fn result_text(content: Value<'_, '_>) -> JsonText {
    let mut elements = content.elements();
    let only = elements.next().filter(|_| elements.next().is_none());
    let words = only.filter(|part| part.get("type").is_some_and(|kind| kind.is_text("text")));
    let words = words.and_then(|part| part.get("text")).unwrap_or(content);
    JsonText::from_trusted(words.raw())
}

/// Appends the parts that `content` holds.
pub(super) fn parts(content: Value<'_, '_>, out: &mut Vec<Part>) {
    match content.kind() {
        Kind::String => out.extend(text(Some(content)).map(|content| Part::Text { content })),
        Kind::Array => content.elements().for_each(|element| match element.kind() {
            Kind::String => parts(element, out),
            _ => out.push(part(element)),
        }),
        Kind::Null => {}
        _ => out.push(part(content)),
    }
}

fn part(value: Value<'_, '_>) -> Part {
    let other = || Part::Other {
        value: JsonText::from_trusted(value.raw()),
    };
    let kind = value.get("type").and_then(Value::text).unwrap_or_default();
    match &*kind {
        "text" | "input_text" | "output_text" | "refusal" | "summary_text" => {
            let words = first(value, &["text", "content", "refusal"]);
            let words = words.and_then(|words| words.get("text").or(Some(words)));
            let words = words.and_then(Value::text).map(String::from);
            words.map_or_else(other, |content| Part::Text { content })
        }
        "message" => first(value, &["content", "text"])
            .and_then(|content| text(Some(content)))
            .map_or_else(other, |content| Part::Text { content }),
        "reasoning" | "thinking" | "reasoning_text" | "reasoning-text" => reasoning(value),
        "tool_call" | "tool-call" | "tool_use" | "function_call" | "function"
        | "custom_tool_call" | "server_tool_call" | "dynamic-tool" => call(value),
        "tool_call_response"
        | "tool-result"
        | "tool_result"
        | "function_call_output"
        | "custom_tool_call_output"
        | "server_tool_call_response"
        | "tool-return" => returned(value),
        "image_url" | "input_image" | "image" | "input_audio" | "audio" | "video" | "blob"
        | "uri" | "media" | "image-url" | "audio-url" | "video-url" | "binary" => media(value),
        "file" | "input_file" | "document" | "document-url" => file(value),
        "" => untyped(value).unwrap_or_else(other),
        _ => other(),
    }
}

/// Parts of Bedrock, Gemini and Genkit, which are told by the one key they have.
fn untyped(value: Value<'_, '_>) -> Option<Part> {
    if let Some(content) = text(first(value, &["text", "content"])) {
        return Some(Part::Text { content });
    }
    if let Some(inner) = first(
        value,
        &["toolUse", "functionCall", "function_call", "toolRequest"],
    ) {
        return Some(call(inner));
    }
    if let Some(inner) = first(
        value,
        &[
            "toolResult",
            "functionResponse",
            "function_response",
            "toolResponse",
        ],
    ) {
        return Some(returned(inner));
    }
    let inner = first(
        value,
        &["inlineData", "inline_data", "fileData", "file_data"],
    )?;
    Some(media(inner))
}

fn reasoning(value: Value<'_, '_>) -> Part {
    let told = first(value, &["content", "text", "thinking", "reasoning"]);
    let summary = value.get("summary");
    let mut texts: Vec<String> = Vec::new();
    for part in [told, summary].into_iter().flatten() {
        match part.kind() {
            Kind::String => texts.extend(text(Some(part))),
            _ => texts.extend(part.elements().filter_map(|part| text(part.get("text")))),
        }
    }
    Part::Reasoning {
        content: texts.join("\n"),
    }
}

/// Returns a tool call; what is asked of the tool may lie under `function`.
fn call(value: Value<'_, '_>) -> Part {
    let inner = value
        .get("function")
        .filter(|inner| inner.is_object())
        .unwrap_or(value);
    let ids = [
        "id",
        "tool_call_id",
        "toolCallId",
        "toolUseId",
        "call_id",
        "ref",
    ];
    // The Responses API has two ids; the one that the answer refers to is `call_id`.
    let id = text(value.get("call_id")).or_else(|| text(first(value, &ids)));
    // Inspect AI has the bare name under `function`.
    let name = text(first(inner, &["name", "toolName", "tool_name", "function"]));
    let arguments = first(inner, &["arguments", "args", "input", "parameters"]);
    Part::ToolCall {
        id,
        name: name.unwrap_or_default(),
        arguments: arguments.map(json_of),
    }
}

fn returned(value: Value<'_, '_>) -> Part {
    let ids = [
        "tool_call_id",
        "toolCallId",
        "tool_use_id",
        "toolUseId",
        "call_id",
        "id",
        "ref",
    ];
    let told = first(value, &["response", "result", "output", "content"]);
    let response = told.map_or_else(|| JsonText::from_trusted("null"), result_text);
    let id = text(first(value, &ids));
    Part::ToolResult { id, response }
}

/// Returns a value as JSON; a string that holds an object or a list as that.
pub(super) fn json_of(value: Value<'_, '_>) -> JsonText {
    match value.text() {
        Some(words) if Doc::parse_container(&words).is_some() => json_or_text(&words),
        _ => JsonText::from_trusted(value.raw()),
    }
}

fn media(value: Value<'_, '_>) -> Part {
    let kind = text(value.get("type")).unwrap_or_default();
    let mime_type = text(first(
        value,
        &["mime_type", "mimeType", "media_type", "mediaType"],
    ));
    let modality = text(value.get("modality")).unwrap_or_else(|| {
        let told = [kind.as_str(), mime_type.as_deref().unwrap_or_default()];
        let known = ["image", "audio", "video"]
            .into_iter()
            .find(|word| told.iter().any(|told| told.contains(word)));
        known.unwrap_or("image").to_owned()
    });
    let keys = [
        "uri",
        "url",
        "image_url",
        "image",
        "audio",
        "input_audio",
        "source",
        "data",
        "content",
        "fileUri",
        "file_id",
    ];
    let place = first(value, &keys);
    // {"image_url":{"url":…}}, {"source":{"data":…}}, {"input_audio":{"data":…}}.
    let inner = place.and_then(|place| first(place, &["url", "data", "uri"]));
    Part::Media {
        modality,
        mime_type,
        uri: text(inner.or(place)),
    }
}

fn file(value: Value<'_, '_>) -> Part {
    let inner = value
        .get("file")
        .filter(|inner| inner.is_object())
        .unwrap_or(value);
    Part::File {
        file_id: text(first(inner, &["file_id", "id", "url", "uri", "file_url"])),
        name: text(first(inner, &["filename", "name", "title"])),
    }
}

#[cfg(test)]
mod tests {
    use super::super::in_order;
    use super::*;

    fn check(json: &str, want: &str) {
        let doc = Doc::parse(json).expect(json);
        let said = in_order(|take| messages(doc.root(), "user", take));
        let got = serde_json::to_string(&said).expect("serialises");
        assert_eq!(got, want, "{json}");
    }

    #[test]
    fn one_question_in_every_shape() {
        let want = r#"[{"role":"user","parts":[{"type":"text","content":"hi"}]}]"#;
        for json in [
            r#""hi""#,
            r#"["hi"]"#,
            r#"[{"role":"user","content":"hi"}]"#,
            r#"[{"role":"user","content":[{"type":"text","text":"hi"}]}]"#,
            r#"[{"role":"user","content":[{"type":"input_text","text":"hi"}]}]"#,
            r#"[{"role":"user","parts":[{"type":"text","content":"hi"}]}]"#,
            r#"[{"role":"user","content":[{"text":"hi"}]}]"#,
            r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}"#,
            r#"{"messages":[["user","hi"]]}"#,
            r#"{"messages":[[{"lc":1,"type":"constructor","id":["x","HumanMessage"],"kwargs":{"content":"hi","type":"human"}}]]}"#,
            r#"{"messages":[{"type":"human","data":{"content":"hi","type":"human"}}]}"#,
            r#"{"model":"m","messages":[{"content":"hi","type":"human"}]}"#,
            r#"[{"event.name":"gen_ai.user.message","content":"hi"}]"#,
            r#"[{"type":"text","text":"hi"}]"#,
            r#"{"prompt":"hi"}"#,
        ] {
            check(json, want);
        }
    }

    #[test]
    fn one_call_in_every_shape() {
        let want = r#"[{"role":"assistant","parts":[{"type":"tool_call","id":"c1","name":"f","arguments":{"a":1}}]}]"#;
        for json in [
            r#"[{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]}]"#,
            r#"[{"type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":"{\"a\":1}"}]"#,
            r#"[{"role":"assistant","parts":[{"type":"tool_call","id":"c1","name":"f","arguments":{"a":1}}]}]"#,
            r#"[{"role":"assistant","content":[{"type":"tool-call","toolCallId":"c1","toolName":"f","input":{"a":1}}]}]"#,
            r#"[{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{"a":1}}]}]"#,
            r#"[{"role":"assistant","content":[{"toolUse":{"toolUseId":"c1","name":"f","input":{"a":1}}}]}]"#,
            r#"{"message":{"role":"model","content":[{"toolRequest":{"name":"f","ref":"c1","input":{"a":1}}}]}}"#,
            r#"{"generations":[[{"text":"","message":{"lc":1,"id":["AIMessage"],"kwargs":{"content":"","tool_calls":[{"name":"f","args":{"a":1},"id":"c1"}]}}}]]}"#,
            r#"{"choices":[{"index":0,"message":{"role":"assistant","tool_calls":[{"id":"c1","function":{"name":"f","arguments":"{\"a\":1}"}}]}}]}"#,
            r#"[{"id":"__fake_id__","object":"response","output":[{"type":"function_call","call_id":"c1","name":"f","arguments":"{\"a\":1}"}]}]"#,
        ] {
            check(json, want);
        }
    }

    #[test]
    fn one_result_in_every_shape() {
        let want = r#"[{"role":"tool","parts":[{"type":"tool_call_response","id":"c1","response":"12 °C"}]}]"#;
        for json in [
            r#"[{"role":"tool","tool_call_id":"c1","content":"12 °C"}]"#,
            r#"[{"type":"function_call_output","call_id":"c1","output":"12 °C"}]"#,
            r#"[{"role":"tool","parts":[{"type":"tool_call_response","id":"c1","response":"12 °C"}]}]"#,
            r#"[{"role":"tool","parts":[{"type":"tool_call_response","id":"c1","result":"12 °C"}]}]"#,
            r#"[{"role":"tool","content":[{"type":"tool-result","toolCallId":"c1","output":"12 °C"}]}]"#,
            r#"[{"role":"tool","content":[{"toolResponse":{"name":"f","ref":"c1","output":"12 °C"}}]}]"#,
            r#"[{"role":"tool","content":[{"type":"tool_result","tool_use_id":"c1","content":[{"type":"text","text":"12 °C"}]}]}]"#,
        ] {
            check(json, want);
        }
    }

    #[test]
    fn gemini_says_what_a_part_is_not() {
        check(
            r#"{"role":"user","content":{"role":"model","parts":[{"text":"hi","function_call":null},{"text":null,"functionCall":null,"function_call":{"id":"c1","name":"f","args":{"a":1}}}]}}"#,
            r#"[{"role":"user","parts":[{"type":"text","content":"hi"},{"type":"tool_call","id":"c1","name":"f","arguments":{"a":1}}]}]"#,
        );
        check(
            r#"{"config":{"system_instruction":"be kind"},"contents":[{"role":"user","parts":[{"text":"hi"}]}]}"#,
            r#"[{"role":"system","parts":[{"type":"text","content":"be kind"}]},{"role":"user","parts":[{"type":"text","content":"hi"}]}]"#,
        );
    }

    #[test]
    fn media_files_reasoning_and_the_unknown_are_parts() {
        check(
            r#"[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png"}},{"type":"file","file":{"file_id":"f1"}},{"type":"what","n":1}]}]"#,
            r#"[{"role":"user","parts":[{"type":"media","modality":"image","uri":"https://x/y.png"},{"type":"file","file_id":"f1"},{"type":"other","value":{"type":"what","n":1}}]}]"#,
        );
        check(
            r#"[{"type":"reasoning","summary":[{"type":"summary_text","text":"hm"}]}]"#,
            r#"[{"role":"assistant","parts":[{"type":"reasoning","content":"hm"}]}]"#,
        );
    }
}
