//! The tools that a model or an agent was given, out of the shapes in which libraries list them.

use std::borrow::Cow;

use model::{DeclaredTool, JsonText};

use crate::json::{Kind, Value};

use super::Doc;

/// Lists may lie in lists (Gemini's declarations), and tools in texts of JSON (Vercel).
const LEVELS_MAX: usize = 3;

/// Returns the tools in a list of them: objects of any library, texts of such objects, or names.
pub(crate) fn declared_tools(list: Value<'_, '_>) -> Vec<DeclaredTool> {
    let mut tools = Vec::new();
    for element in list.elements() {
        push(element, &mut tools, 0);
    }
    tools
}

fn push(tool: Value<'_, '_>, out: &mut Vec<DeclaredTool>, level: usize) {
    if level > LEVELS_MAX {
        return;
    }
    match tool.kind() {
        Kind::String => {
            let text = tool.text().unwrap_or_default();
            match Doc::parse_container(&text) {
                Some(doc) => push(doc.root(), out, level + 1),
                None => out.extend(named(&text)),
            }
        }
        Kind::Object => push_object(tool, out, level),
        _ => {}
    }
}

fn push_object(tool: Value<'_, '_>, out: &mut Vec<DeclaredTool>, level: usize) {
    const LISTS: [&str; 2] = ["function_declarations", "functionDeclarations"];
    if let Some(list) = LISTS.iter().find_map(|key| tool.get(key)) {
        list.elements()
            .for_each(|inner| push(inner, out, level + 1));
        return;
    }
    // Chat completions, Bedrock.
    let inner = ["function", "toolSpec"]
        .iter()
        .find_map(|key| tool.get(key));
    let spec = inner.filter(|inner| inner.is_object()).unwrap_or(tool);
    // A tool that the provider runs has a type alone.
    let name = spec.get("name").and_then(Value::words);
    let Some(name) = name.or_else(|| tool.get("type").and_then(Value::words)) else {
        return;
    };
    out.push(DeclaredTool {
        name: name.into_owned(),
        parameters: parameters(spec),
    });
}

/// Returns the schema of a tool's arguments.
fn parameters(spec: Value<'_, '_>) -> Option<JsonText> {
    const KEYS: [&str; 6] = [
        "parameters",
        "input_schema",
        "inputSchema",
        "parameters_json_schema",
        "args_schema",
        "json_schema",
    ];
    let told = KEYS.iter().find_map(|key| spec.get(key))?;
    // Bedrock puts it one further in.
    let told = told
        .get("json")
        .filter(|json| json.is_object())
        .unwrap_or(told);
    schema(told)
}

/// Returns a schema that was sent as an object or as the text of one.
pub(crate) fn schema(told: Value<'_, '_>) -> Option<JsonText> {
    match told.kind() {
        Kind::Object => Some(JsonText::from_trusted(told.raw())),
        Kind::String => schema_text(&told.text()?),
        _ => None,
    }
}

/// Returns the schema that a text holds.
pub(crate) fn schema_text(text: &str) -> Option<JsonText> {
    let doc = Doc::parse_container(text)?;
    doc.root()
        .is_object()
        .then(|| JsonText::from_trusted(doc.root().raw()))
}

/// Returns a tool of which the name alone was told; Genkit writes it as a path. What Python prints of an
/// object is no name.
pub(crate) fn named(name: &str) -> Option<DeclaredTool> {
    let name: Cow<'_, str> = name.trim().trim_start_matches("/tool/").into();
    let is_name = !name.is_empty() && !name.starts_with('<');
    is_name.then(|| DeclaredTool {
        name: name.into_owned(),
        parameters: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_read_in_every_shape() {
        let check = |list: &str, want: &[(&str, Option<&str>)]| {
            let doc = Doc::parse(list).unwrap();
            let got = declared_tools(doc.root());
            let got: Vec<_> = got
                .iter()
                .map(|tool| (&*tool.name, tool.parameters.as_ref().map(JsonText::as_str)))
                .collect();
            assert_eq!(got, want, "{list}");
        };
        let schema = r#"{"type":"object"}"#;
        let with_schema = [("f", Some(schema))];
        for shape in [
            r#"[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]"#,
            r#"[{"type":"function","name":"f","parameters":{"type":"object"}}]"#,
            r#"[{"name":"f","input_schema":{"type":"object"}}]"#,
            r#"["{\"name\":\"f\",\"inputSchema\":{\"type\":\"object\"}}"]"#,
            r#"[{"name":"f","parameters_json_schema":"{\"type\":\"object\"}"}]"#,
            r#"[{"function_declarations":[{"name":"f","parameters":{"type":"object"}}]}]"#,
            r#"[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object"}}}}]"#,
        ] {
            check(shape, &with_schema);
        }
        check(
            r#"["f","/tool/g"," ","<FunctionTool object>"]"#,
            &[("f", None), ("g", None)],
        );
        check(
            r#"[{"type":"web_search"},{},7,null]"#,
            &[("web_search", None)],
        );
        check(r#"{"name":"f"}"#, &[]);
        check(
            r#"[{"name":"f","parameters":"[MaxDepth]"}]"#,
            &[("f", None)],
        );
    }
}
