//! What should have been done: the part of a dataset's case that trajectories are held against.

use serde_json::{Map, Value};

/// The fields that are read; others belong to other graders.
const FIELDS: [&str; 3] = ["calls", "handoffs", "plan"];

/// What should have been done. A part that is not told is `None`, which is not the same as empty: an
/// empty list of calls says that none should be made.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reference {
    /// The calls, in order.
    pub calls: Option<Vec<ExpectedCall>>,
    /// The handoffs, in order.
    pub handoffs: Option<Vec<ExpectedHandoff>>,
    /// The steps, in order.
    pub plan: Option<Vec<PlanItem>>,
}

/// A call that should have been made.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedCall {
    /// The tool.
    pub name: String,
    /// Its arguments; where they are not told, any will do.
    pub arguments: Option<Value>,
}

/// A handoff that should have been made.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedHandoff {
    /// Who hands over; where it is not told, anybody may.
    pub from: Option<String>,
    /// Who takes over.
    pub to: String,
}

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanItem {
    /// The name of what is done, or words that contain it.
    pub words: String,
}

/// The reference cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadReference {
    /// It is not an object.
    #[error("the reference is {0}, not an object with `calls`, `handoffs` or `plan`")]
    NotAnObject(&'static str),
    /// A part of it is not a list.
    #[error("`{0}` of the reference is {1}, not a list")]
    NotAList(&'static str, &'static str),
    /// An entry of a list is not of its form.
    #[error("`{list}[{at}]` of the reference {problem}")]
    Entry {
        /// The list.
        list: &'static str,
        /// Its place, from 0.
        at: usize,
        /// What is wrong with it.
        problem: String,
    },
}

impl Reference {
    /// Reads a reference: `{"calls": [{"name", "args"}], "handoffs": […], "plan": […]}`.
    ///
    /// Arguments may be called `args`, `kwargs` or `arguments`, and may be a text that holds JSON. A
    /// handoff is the name of the agent that takes over, or `{"from", "to"}`. A step of a plan is a
    /// text, or an object with a `name`.
    pub fn parse(value: &Value) -> Result<Self, BadReference> {
        let Value::Object(fields) = value else {
            return Err(BadReference::NotAnObject(kind(value)));
        };
        let [calls, handoffs, plan] = FIELDS;
        Ok(Self {
            calls: list(fields, calls, expected_call)?,
            handoffs: list(fields, handoffs, expected_handoff)?,
            plan: list(fields, plan, plan_item)?,
        })
    }
}

fn list<T>(
    fields: &Map<String, Value>,
    name: &'static str,
    read: impl Fn(&Value) -> Result<T, String>,
) -> Result<Option<Vec<T>>, BadReference> {
    let items = match fields.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(items)) => items,
        Some(other) => return Err(BadReference::NotAList(name, kind(other))),
    };
    let read = |(at, item)| {
        read(item).map_err(|problem| BadReference::Entry {
            list: name,
            at,
            problem,
        })
    };
    let all: Result<Vec<T>, BadReference> = items.iter().enumerate().map(read).collect();
    all.map(Some)
}

fn expected_call(value: &Value) -> Result<ExpectedCall, String> {
    let fields = object(value, &["name", "args", "kwargs", "arguments"])?;
    let given = ["args", "kwargs", "arguments"].map(|name| fields.get(name));
    let mut given = given.into_iter().flatten().filter(|it| !it.is_null());
    let arguments = given.next();
    if given.next().is_some() {
        return Err("tells its arguments twice".to_owned());
    }
    Ok(ExpectedCall {
        name: text(fields, "name")?.ok_or("has no `name`")?,
        arguments: arguments.map(parsed).transpose()?,
    })
}

/// Arguments are an object, or a text that holds one; a tool of another kind may take anything.
fn parsed(arguments: &Value) -> Result<Value, String> {
    match arguments {
        Value::String(text) if text.trim_start().starts_with('{') => serde_json::from_str(text)
            .map_err(|error| format!("has arguments that are no JSON: {error}")),
        other => Ok(other.clone()),
    }
}

fn expected_handoff(value: &Value) -> Result<ExpectedHandoff, String> {
    if let Value::String(to) = value {
        return Ok(ExpectedHandoff {
            from: None,
            to: to.clone(),
        });
    }
    let fields = object(value, &["from", "to"])?;
    Ok(ExpectedHandoff {
        from: text(fields, "from")?,
        to: text(fields, "to")?.ok_or("has no `to`")?,
    })
}

/// Reads a step of a plan, of a reference or of the agent's own plan.
pub(super) fn plan_item(value: &Value) -> Result<PlanItem, String> {
    let words = match value {
        Value::String(words) => Some(words.clone()),
        Value::Object(fields) => {
            let names = ["name", "step", "title", "description", "content"];
            let mut told = names.iter().filter_map(|name| fields.get(*name)?.as_str());
            told.next().map(str::to_owned)
        }
        _ => None,
    };
    let words = words.filter(|words| !words.trim().is_empty());
    let words = words.ok_or_else(|| {
        format!(
            "is {}, not a step: a text, or an object with a `name`",
            kind(value)
        )
    })?;
    Ok(PlanItem { words })
}

fn object<'a>(value: &'a Value, known: &[&str]) -> Result<&'a Map<String, Value>, String> {
    let Value::Object(fields) = value else {
        return Err(format!(
            "is {}, not an object with {}",
            kind(value),
            known.join(", ")
        ));
    };
    match fields.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(format!(
            "has an unknown field `{name}`; known: {}",
            known.join(", ")
        )),
        None => Ok(fields),
    }
}

fn text(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        Some(Value::String(_)) => Err(format!("has an empty `{name}`")),
        Some(other) => Err(format!("has {} for its `{name}`", kind(other))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_reference_is_read_in_all_its_spellings() {
        let read = Reference::parse(&json!({
            "calls": [
                {"name": "a", "args": {"x": 1}},
                {"name": "b", "kwargs": "{\"y\": 2}"},
                {"name": "c"},
            ],
            "handoffs": ["Billing", {"from": "Billing", "to": "Triage"}],
            "plan": ["look", {"name": "book"}],
            "output": "for another grader",
        }))
        .unwrap();
        let calls = read.calls.unwrap();
        assert_eq!(calls[0].arguments, Some(json!({"x": 1})));
        assert_eq!(calls[1].arguments, Some(json!({"y": 2})));
        assert_eq!(calls[2].arguments, None);
        assert_eq!(read.handoffs.unwrap()[1].from.as_deref(), Some("Billing"));
        assert_eq!(read.plan.unwrap()[1].words, "book");
        assert_eq!(Reference::parse(&json!({})), Ok(Reference::default()));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let check = |value: Value, expected: &str| {
            let error = Reference::parse(&value).unwrap_err().to_string();
            assert_eq!(error, expected);
        };
        check(
            json!([]),
            "the reference is a list, not an object with `calls`, `handoffs` or `plan`",
        );
        check(
            json!({"calls": {}}),
            "`calls` of the reference is an object, not a list",
        );
        check(
            json!({"calls": [{"name": "a"}, {"args": {}}]}),
            "`calls[1]` of the reference has no `name`",
        );
        check(
            json!({"calls": [{"name": "a", "arg": {}}]}),
            "`calls[0]` of the reference has an unknown field `arg`; known: name, args, kwargs, arguments",
        );
        check(
            json!({"handoffs": [{"to": 3}]}),
            "`handoffs[0]` of the reference has a number for its `to`",
        );
        check(
            json!({"plan": [""]}),
            "`plan[0]` of the reference is a text, not a step: a text, or an object with a `name`",
        );
    }
}
