//! How does a judge ask for more?
//!
//! The reading tools as judges are told of them, and the calls that judges make. A call that makes no sense
//! is answered with what would have made sense.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::judging::Which;

/// A call of a reading tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadingCall {
    /// The lines of some spans.
    ListSpans {
        /// Which spans; of all where it is empty.
        selector: String,
        /// Which page, from 1.
        page: usize,
    },
    /// A part of a text.
    GetSpan {
        /// The span.
        id: String,
        /// The field, such as `output` or `input.3`.
        field: String,
        /// The first character.
        offset: usize,
        /// How many characters.
        limit: usize,
    },
    /// Where a pattern matches.
    Search {
        /// The regular expression.
        regex: String,
        /// In which spans; in all where it is empty.
        selector: String,
    },
    /// How two spans differ.
    Diff {
        /// The first span.
        a: String,
        /// The second span.
        b: String,
    },
}

#[derive(Deserialize)]
struct ListSpans {
    #[serde(default)]
    selector: String,
    page: Option<usize>,
}

#[derive(Deserialize)]
struct GetSpan {
    id: String,
    field: String,
    #[serde(default)]
    offset: usize,
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct Search {
    regex: String,
    #[serde(default)]
    selector: String,
}

#[derive(Deserialize)]
struct Diff {
    a: String,
    b: String,
}

/// Returns the tools as judges are told of them: `name`, `description` and the JSON schema `parameters`.
pub fn reading_tools() -> Vec<Value> {
    let tool = |name: &str, description: &str, properties: Value| {
        let required: Vec<String> = match &properties {
            Value::Object(all) => all.keys().cloned().collect(),
            _ => Vec::new(),
        };
        json!({
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": false,
            },
        })
    };
    let text = |description: &str| json!({"type": "string", "description": description});
    let number = |description: &str, minimum: u32| json!({"type": "integer", "minimum": minimum, "description": description});
    let selector =
        || text("such as spans[type=function,status=error]; an empty text for all spans");
    vec![
        tool(
            "list_spans",
            "Lists spans, one line each, 50 on a page.",
            json!({"selector": selector(), "page": number("from 1", 1)}),
        ),
        tool(
            "get_span",
            "Reads a part of a span's text, at most 4,000 tokens at once.",
            json!({
                "id": text("such as s12"),
                "field": text("system, tools, input, output or error; input.3 for one message"),
                "offset": number("the first character", 0),
                "limit": number("how many characters", 1),
            }),
        ),
        tool(
            "search",
            "Finds where a regular expression matches in the texts of spans; (?i) ignores case.",
            json!({"regex": text("without look-around and back-references"), "selector": selector()}),
        ),
        tool(
            "diff",
            "Compares the input and the output of two spans line by line.",
            json!({"a": text("such as s12"), "b": text("such as s15")}),
        ),
    ]
}

/// Returns the tools of a judge that compares two traces: each call says which of them it reads.
pub fn reading_tools_of_two() -> Vec<Value> {
    let of_two = |mut tool: Value| {
        let parameters = &mut tool["parameters"];
        let trace = json!({"type": "string", "enum": ["A", "B"], "description": "which trace"});
        let mut properties = serde_json::Map::from_iter([("trace".to_owned(), trace)]);
        if let Value::Object(own) = parameters["properties"].take() {
            properties.extend(own);
        }
        parameters["required"] = properties.keys().map(String::as_str).collect();
        parameters["properties"] = properties.into();
        tool
    };
    reading_tools().into_iter().map(of_two).collect()
}

/// Returns which of two traces a call reads, or what is wrong with it.
pub fn trace_of_call(arguments: &str) -> Result<Which, String> {
    #[derive(Deserialize)]
    struct OfTrace {
        trace: String,
    }
    let read: Result<OfTrace, _> = serde_json::from_str(arguments);
    let which = read.ok().and_then(|read| Which::of_letter(&read.trace));
    which.ok_or_else(|| "the arguments must say which trace is meant: \"A\" or \"B\"".to_owned())
}

impl ReadingCall {
    /// Returns the call that a judge made, or what is wrong with it.
    pub fn parse(name: &str, arguments: &str) -> Result<Self, String> {
        fn read<'a, T: Deserialize<'a>>(arguments: &'a str, form: &str) -> Result<T, String> {
            serde_json::from_str(arguments).map_err(|_| format!("the arguments must be {form}"))
        }
        match name {
            "list_spans" => {
                let ListSpans { selector, page } =
                    read(arguments, r#"{"selector": text, "page": number}"#)?;
                let page = page.unwrap_or(1).max(1);
                Ok(Self::ListSpans { selector, page })
            }
            "get_span" => {
                let form = r#"{"id": text, "field": text, "offset": number, "limit": number}"#;
                let GetSpan {
                    id,
                    field,
                    offset,
                    limit,
                } = read(arguments, form)?;
                Ok(Self::GetSpan {
                    id,
                    field,
                    offset,
                    limit: limit.unwrap_or(usize::MAX).max(1),
                })
            }
            "search" => {
                let Search { regex, selector } =
                    read(arguments, r#"{"regex": text, "selector": text}"#)?;
                Ok(Self::Search { regex, selector })
            }
            "diff" => {
                let Diff { a, b } = read(arguments, r#"{"a": text, "b": text}"#)?;
                Ok(Self::Diff { a, b })
            }
            _ => Err("there is no such tool: use list_spans, get_span, search or diff".to_owned()),
        }
    }
}
