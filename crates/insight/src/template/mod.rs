//! What do the braces in a grader's texts stand for?
//!
//! One engine for OpenAI's templates, `{{ item.x }}` and `{{sample.output_tools[0].function.name}}`, for ours,
//! `{{trace}}` and `{{spans}}`, and for the three names of trace graders' `inputs`: `{trace}`,
//! `{final_response}`, `{original_message}`. There is no logic and no escaping. A text is put in as it is,
//! null as `null`, anything else as compact JSON; what is not there is an error that names it, never an empty
//! text, for a judge would grade the gap.
//!
//! Whether text of a trace is fenced is decided by the type of the scope: see [`Fenced`] and [`Unfenced`].

mod facts;
mod path;
mod scope;

use std::borrow::Cow;

use serde_json::Value;

pub use facts::{item, sample, span_facts, trace_facts};
pub use path::{BadPath, Path, Step};
pub use scope::{Fenced, Row, TraceScope, Unfenced};

/// The names that may stand between single braces.
const SINGLE_BRACED: [&str; 3] = ["trace", "final_response", "original_message"];

/// A text with variables in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Words(String),
    /// A variable, or what is written like one and is none.
    Variable(String, Result<Path, BadPath>),
}

/// A template names what is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {path:?}")]
pub struct MissingVariable {
    /// The variable as written.
    pub path: String,
}

/// What stands between double braces is no variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{written:?} is no path")]
pub struct BadVariable {
    /// It, as written.
    pub written: String,
}

/// What the variables of a template are looked up in.
pub trait Scope {
    /// Returns the value at `path`; `None` where there is none.
    fn value(&self, path: &Path) -> Option<Cow<'_, Value>>;
}

impl Template {
    /// Returns the template that is written so, with variables between double braces. Braces that do not
    /// close, or that hold nothing that begins like a name, are text.
    pub fn parse(text: &str) -> Self {
        Self::parsed(text, &[])
    }

    /// As [`Template::parse`]; `{trace}`, `{final_response}` and `{original_message}` are variables too.
    pub fn parse_input(text: &str) -> Self {
        Self::parsed(text, &SINGLE_BRACED)
    }

    /// As [`Template::parse`], for authors who are promised that nothing between double braces is taken
    /// for text: whatever stands there must be a path, and `{{` is text only where no `}}` follows.
    pub fn parse_strict(text: &str) -> Result<Self, BadVariable> {
        let mut segments = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{")
            && let Some((inside, behind)) = after.split_once("}}")
        {
            if !before.is_empty() {
                segments.push(Segment::Words(before.to_owned()));
            }
            let written = inside.trim().to_owned();
            let path = Path::parse(&written);
            if path.is_err() {
                return Err(BadVariable { written });
            }
            segments.push(Segment::Variable(written, path));
            rest = behind;
        }
        if !rest.is_empty() {
            segments.push(Segment::Words(rest.to_owned()));
        }
        Ok(Self { segments })
    }

    fn parsed(text: &str, single_braced: &[&str]) -> Self {
        let mut segments = Vec::new();
        let mut words = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            words.push_str(&rest[..at]);
            rest = &rest[at..];
            let found = double_braced(rest).or_else(|| single(rest, single_braced));
            let Some((name, len)) = found else {
                words.push('{');
                rest = &rest[1..];
                continue;
            };
            if !words.is_empty() {
                segments.push(Segment::Words(std::mem::take(&mut words)));
            }
            segments.push(Segment::Variable(name.to_owned(), Path::parse(name)));
            rest = &rest[len..];
        }
        words.push_str(rest);
        if !words.is_empty() {
            segments.push(Segment::Words(words));
        }
        Self { segments }
    }

    /// Returns the variables as written, in order.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Words(_) => None,
            Segment::Variable(name, _) => Some(name.as_str()),
        })
    }

    /// Returns the paths of the variables, in order; what is written like one and is none is left out.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Variable(_, Ok(path)) => Some(path),
            _ => None,
        })
    }

    /// Returns the text with the values of `scope` in it.
    pub fn render(&self, scope: &dyn Scope) -> Result<String, MissingVariable> {
        let mut out = String::new();
        for segment in &self.segments {
            match segment {
                Segment::Words(words) => out.push_str(words),
                Segment::Variable(name, path) => {
                    let value = path.as_ref().ok().and_then(|path| scope.value(path));
                    let missing = || MissingVariable { path: name.clone() };
                    out.push_str(&written(&*value.ok_or_else(missing)?));
                }
            }
        }
        Ok(out)
    }
}

/// Returns a value as it stands in a text.
fn written(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => text.into(),
        other => other.to_string().into(),
    }
}

/// Returns the name between the double braces at the start of `rest`, and where they end.
fn double_braced(rest: &str) -> Option<(&str, usize)> {
    let inner = rest.strip_prefix("{{")?;
    let end = inner.find("}}")?;
    let name = inner[..end].trim();
    let is_name = name.starts_with(|c: char| c.is_alphabetic() || c == '_') && !name.contains("{{");
    is_name.then_some((name, end + 4))
}

fn single<'a>(rest: &'a str, names: &[&str]) -> Option<(&'a str, usize)> {
    let inner = rest.strip_prefix('{')?;
    let name = &inner[..inner.find('}')?];
    names.contains(&name).then_some((name, name.len() + 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn check(text: &str, expected: Result<&str, &str>) {
        let item = json!({
            "x": "a \"b\"", "n": 1.5, "none": null, "list": [{"k-1": [true, {"z": 1}]}], "t": "{{item.x}}",
        });
        let sample =
            json!({"output_tools": [{"function": {"name": "f", "arguments": "{\"a\": 1}"}}]});
        let row = Row {
            item: &item,
            sample: Some(&sample),
        };
        let rendered = Template::parse(text).render(&row);
        let rendered = rendered
            .as_ref()
            .map(String::as_str)
            .map_err(|missing| missing.path.as_str());
        assert_eq!(rendered, expected, "{text}");
    }

    #[test]
    fn paths_are_looked_up_and_values_written() {
        check(
            "{{item.x}}|{{ item.x }}|{{  item.n}}",
            Ok("a \"b\"|a \"b\"|1.5"),
        );
        check(
            "{{item.none}} {{item.list}}",
            Ok("null [{\"k-1\":[true,{\"z\":1}]}]"),
        );
        check("{{item.list[0].k-1[1].z}}", Ok("1"));
        check(
            "{{sample.output_tools[0].function.name}}({{sample.output_tools[0].function.arguments}})",
            Ok("f({\"a\": 1})"),
        );
        // What is put in is not looked at again.
        check("{{item.t}}", Ok("{{item.x}}"));
    }

    #[test]
    fn what_is_not_there_is_named() {
        check("a {{item.y}}", Err("item.y"));
        check("{{item.list[1]}}", Err("item.list[1]"));
        check("{{item.x.y}}", Err("item.x.y"));
        check("{{other.x}}", Err("other.x"));
        check("{{item.x | upper}}", Err("item.x | upper"));
        check("{{trace}}", Err("trace"));
    }

    #[test]
    fn braces_that_are_no_variable_are_text() {
        for text in [
            "{",
            "{{",
            "}}",
            "{{item.x",
            "{item.x}",
            "{{}}",
            "{{ 1 }}",
            "{\"a\":{\"b\":{}}}",
            "{trace}",
        ] {
            check(text, Ok(text));
        }
        check("{{{item.n}}}", Ok("{1.5}"));
        check("{{ {{item.n}}", Ok("{{ 1.5"));
    }

    #[test]
    fn the_names_of_inputs_need_one_brace_only() {
        let template = Template::parse_input("{trace} {other} {{item.x}} {final_response}");
        let names: Vec<&str> = template.variables().collect();
        assert_eq!(names, ["trace", "item.x", "final_response"]);
    }

    proptest! {
        #[test]
        fn a_text_without_variables_is_itself(text in "[a{} \"é.]{0,30}") {
            let template = Template::parse(&text);
            prop_assume!(template.variables().next().is_none());
            let nothing = Row { item: &Value::Null, sample: None };
            prop_assert_eq!(template.render(&nothing), Ok(text));
        }
    }
}
