//! What a span of the Agents SDK says, out of its `span_data`.

use model::{DeclaredTool, JsonText, SpanType};

use crate::contents::Told;
use crate::dialects::Contents;
use crate::json::{Kind, Reader, Tape, Value};
use crate::messages::{declared_tools, json_or_text, result};

use super::words::messages_of;

/// Returns what a `span_data` says; nothing where it is no JSON.
pub(crate) fn told(span_type: SpanType, span_data: &str) -> Told {
    let mut tape = Tape::default();
    if Reader::new(span_data.as_bytes()).index(&mut tape).is_err() {
        return Told::default();
    }
    let data = tape.root(span_data);
    let contents = match span_type {
        SpanType::Function => call(data),
        SpanType::Transcription | SpanType::Speech | SpanType::SpeechGroup => voice(data),
        SpanType::Handoff | SpanType::McpTools => Contents::default(),
        _ => messages_of(data),
    };
    Told {
        contents,
        tools: tools(data),
    }
}

/// Models write arguments as a text of JSON, and most tools give back a text.
fn call(data: Value<'_, '_>) -> Contents {
    Contents {
        arguments: told_at(data, "input").map(|input| match input.text() {
            Some(text) => json_or_text(&text),
            None => JsonText::from_trusted(input.raw()),
        }),
        result: told_at(data, "output").map(|output| match output.text() {
            Some(text) => result(&text),
            None => result(output.raw()),
        }),
        ..Contents::default()
    }
}

/// Sound is an object of base64, which says nothing.
fn voice(data: Value<'_, '_>) -> Contents {
    let words = |key: &str| {
        let told = told_at(data, key).filter(|told| told.kind() == Kind::String);
        told.map(|told| JsonText::from_trusted(told.raw()))
    };
    Contents {
        arguments: words("input"),
        result: words("output"),
        ..Contents::default()
    }
}

/// A response knows the schemas, an agent the names, a listing what a server offers.
fn tools(data: Value<'_, '_>) -> Vec<DeclaredTool> {
    let response = data
        .get("response")
        .and_then(|response| response.get("tools"));
    let is_listing = data
        .get("type")
        .is_some_and(|kind| kind.is_text("mcp_tools"));
    let listed = data.get("result").filter(|_| is_listing);
    let places = [response, data.get("tools"), listed];
    let mut told = places.into_iter().flatten().map(declared_tools);
    told.find(|tools| !tools.is_empty()).unwrap_or_default()
}

fn told_at<'b, 't>(data: Value<'b, 't>, key: &str) -> Option<Value<'b, 't>> {
    data.get(key).filter(|value| value.kind() != Kind::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_arguments_and_a_result() {
        let check = |data: &str, arguments: Option<&str>, back: Option<&str>| {
            let told = told(SpanType::Function, data).contents;
            let text = |json: &Option<JsonText>| json.as_ref().map(|json| json.as_str().to_owned());
            let got = (text(&told.arguments), text(&told.result));
            let want = (arguments.map(str::to_owned), back.map(str::to_owned));
            assert_eq!(got, want, "{data}");
            assert!(told.input.is_empty() && told.output.is_empty());
        };
        check(
            r#"{"type":"function","input":"{\"n\": 1.0}","output":"12 °C"}"#,
            Some(r#"{"n": 1.0}"#),
            Some(r#""12 °C""#),
        );
        check(
            r#"{"input":{"args":[],"kwargs":{"a":1}},"output":"{\"a\":[1]}"}"#,
            Some(r#"{"args":[],"kwargs":{"a":1}}"#),
            Some(r#"{"a":[1]}"#),
        );
        check(
            r#"{"input":"cut {\"a\"","output":"{\"type\":\"text\",\"text\":\"wet\"}"}"#,
            Some(r#""cut {\"a\"""#),
            Some(r#""wet""#),
        );
        check(r#"{"input":"","output":null}"#, Some(r#""""#), None);
        check("{", None, None);
    }

    #[test]
    fn tools_are_read_where_most_is_told_of_them() {
        let check = |span_type, data: &str, want: &[(&str, bool)]| {
            let tools = told(span_type, data).tools;
            let got = tools
                .iter()
                .map(|tool| (&*tool.name, tool.parameters.is_some()));
            assert_eq!(got.collect::<Vec<_>>(), want, "{data}");
        };
        let agent = r#"{"type":"agent","name":"A","tools":["a","b"]}"#;
        check(SpanType::Agent, agent, &[("a", false), ("b", false)]);
        let response = r#"{"type":"response","tools":["x"],"response":{"tools":[{"type":"function","name":"a","parameters":{}},{"type":"web_search"}]}}"#;
        check(
            SpanType::Generation,
            response,
            &[("a", true), ("web_search", false)],
        );
        let chat = r#"{"type":"generation","tools":[{"type":"function","function":{"name":"a","parameters":{}}}]}"#;
        check(SpanType::Generation, chat, &[("a", true)]);
        let listing = r#"{"type":"mcp_tools","server":"s","result":["a"]}"#;
        check(SpanType::McpTools, listing, &[("a", false)]);
        check(
            SpanType::Function,
            r#"{"type":"function","result":["a"]}"#,
            &[],
        );
    }

    #[test]
    fn what_is_spoken_is_told_and_sound_is_not() {
        let data = r#"{"type":"transcription","input":{"data":"UklGRg==","format":"pcm"},"output":"hello"}"#;
        let told = told(SpanType::Transcription, data).contents;
        assert_eq!(told.arguments, None);
        assert_eq!(told.result, Some(JsonText::from_trusted(r#""hello""#)));
    }
}
