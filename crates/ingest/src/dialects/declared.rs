//! The tools that a model or an agent was given, from the first place that lists any.

use std::collections::BTreeMap;

use model::DeclaredTool;

use crate::json::{Kind, Value};
use crate::messages::{Doc, declared_tools, named, schema, schema_text};
use crate::otlp::Any;

use super::Seen;
use super::content::{has_common_words, recorded, written_value};

/// A place where tools may be listed.
enum Place {
    /// An attribute that is a list, on the span or in the record of the call.
    List(&'static str),
    /// An attribute of names, separated by commas.
    Names(&'static str),
    /// A list further inside an attribute that is an object.
    Inside(&'static str, &'static [&'static str]),
    /// The same, where keys are common words; the scope must be the library's own.
    CommonWord(&'static str, &'static [&'static str]),
    /// Attributes `prefix.N.field`: the schema of a tool as a whole.
    Numbered(&'static str, &'static str),
    /// Attributes `prefix.N.name` and `prefix.N.parameters`.
    Fields(&'static str),
    /// Langfuse's handler of LangChain lists them as messages of a tool.
    Messages(&'static str),
}

const TOOLS: [Place; 26] = [
    Place::List("gen_ai.tool.definitions"),
    Place::List("gen_ai.request.tools"),
    Place::Numbered("llm.tools.", "tool.json_schema"),
    Place::Fields("llm.request.functions."),
    Place::Inside("model_request_parameters", &["function_tools"]),
    Place::List("ai.prompt.tools"),
    Place::List("mlflow.chat.tools"),
    Place::List("gen_ai.agent.tools"),
    Place::Names("sk.available_functions"),
    Place::Inside("genkit:input", &["tools"]),
    Place::Inside("gcp.vertex.agent.llm_request", &["config", "tools"]),
    Place::Inside("langfuse.observation.input", &["tools"]),
    Place::Messages("langfuse.observation.input"),
    Place::Inside("mlflow.spanInputs", &["tools"]),
    Place::Inside("mlflow.spanOutputs", &["tools"]),
    Place::Inside("llm.invocation_parameters", &["tools"]),
    Place::Inside("lmnr.span.input", &["tools"]),
    Place::Inside("gen_ai.prompt", &["tools"]),
    Place::Inside("traceloop.entity.input", &["tools"]),
    Place::Inside("input.value", &["tools"]),
    Place::Inside("output.value", &["tools"]),
    Place::CommonWord("tools", &[]),
    Place::CommonWord("request_data", &["tools"]),
    Place::CommonWord("response", &["tools"]),
    Place::CommonWord("input", &["body", "tools"]),
    Place::CommonWord("raw_input", &["tools"]),
];

/// Returns the tools that a span lists.
pub(crate) fn declared(seen: &Seen<'_, '_>) -> Vec<DeclaredTool> {
    let mut told = TOOLS.iter().map(|place| at(place, seen));
    told.find(|tools| !tools.is_empty()).unwrap_or_default()
}

fn at(place: &Place, seen: &Seen<'_, '_>) -> Vec<DeclaredTool> {
    let list = |value: Value<'_, '_>| declared_tools(value);
    match *place {
        Place::List(key) => inside(seen, key, &[], list),
        Place::Inside(key, path) => inside(seen, key, path, list),
        Place::CommonWord(key, path) if has_common_words(seen) => inside(seen, key, path, list),
        Place::CommonWord(..) => Vec::new(),
        Place::Names(key) => {
            let names = seen.text(key).unwrap_or_default();
            names.split(',').filter_map(named).collect()
        }
        Place::Numbered(prefix, field) => numbered(seen, prefix, &[field])
            .into_values()
            .filter_map(|[whole]| {
                let whole = format!("[{}]", whole?);
                Doc::parse(whole).map(|doc| declared_tools(doc.root()))
            })
            .flatten()
            .collect(),
        Place::Fields(prefix) => numbered(seen, prefix, &["name", "parameters"])
            .into_values()
            .filter_map(|[name, parameters]| {
                let parameters = parameters.as_deref().and_then(schema_text);
                Some(DeclaredTool {
                    parameters,
                    ..named(&name?)?
                })
            })
            .collect(),
        Place::Messages(key) => inside(seen, key, &[], |messages| {
            messages.elements().filter_map(as_message).collect()
        }),
    }
}

/// Reads what stands at `path` inside an attribute.
fn inside(
    seen: &Seen<'_, '_>,
    key: &str,
    path: &[&str],
    read: impl Fn(Value<'_, '_>) -> Vec<DeclaredTool>,
) -> Vec<DeclaredTool> {
    let walk = |doc: &Doc<'_>| {
        let mut steps = path.iter();
        let found = steps.try_fold(doc.root(), |value, step| value.get(step));
        found.map(&read).unwrap_or_default()
    };
    if let Some(doc) = seen.docs.get(key) {
        return walk(doc);
    }
    let Some(told) = seen.attributes.get(key).or_else(|| recorded(seen, key)) else {
        return Vec::new();
    };
    let doc = match told {
        Any::Text(text) => Doc::parse_container(text),
        Any::List(_) | Any::Map(_) => Doc::parse(written_value(told)),
        _ => None,
    };
    doc.as_ref().map(walk).unwrap_or_default()
}

/// Returns these fields of the tools under `prefix`, by number.
fn numbered<const N: usize>(
    seen: &Seen<'_, '_>,
    prefix: &str,
    fields: &[&str; N],
) -> BTreeMap<u32, [Option<String>; N]> {
    let mut tools = BTreeMap::new();
    for (rest, value) in seen.attributes.under(prefix) {
        let Some((number, field)) = rest.split_once('.') else {
            continue;
        };
        let place = fields.iter().position(|known| *known == field);
        if let (Ok(number), Some(place)) = (number.parse(), place) {
            let tool = tools
                .entry(number)
                .or_insert_with(|| std::array::from_fn(|_| None));
            tool[place] = Some(written_value(value).into_owned());
        }
    }
    tools
}

fn as_message(message: Value<'_, '_>) -> Option<DeclaredTool> {
    message.get("role").filter(|role| role.is_text("tool"))?;
    let content = message.get("content")?;
    let function = content
        .get("function")
        .filter(|function| function.kind() == Kind::Object)?;
    let parameters = function.get("parameters").and_then(schema);
    let name = function.get("name").and_then(Value::words)?;
    Some(DeclaredTool {
        parameters,
        ..named(&name)?
    })
}
