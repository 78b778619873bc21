//! What a run asks the model under test: its `input_messages`.
//!
//! They are the messages of a model grader, or a reference to a list of messages that each row brings
//! along, so that rows may hold conversations of any length.

use insight::template::{Path, Scope as _};
use serde_json::{Value, json};

use super::Subject;
use super::held::Held;
use super::messages::{self, Message};
use super::problems::{Fields, Problems};
use super::report::Fault;

/// The prompt of a run, read once and filled for many rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt(Form);

#[derive(Debug, Clone, PartialEq)]
enum Form {
    Template(Vec<Message>),
    /// Where the row has its messages.
    Reference(Path),
}

impl Prompt {
    /// Reads `{"type":"template","template":[…]}` or `{"type":"item_reference","item_reference":"item.…"}`,
    /// or says everything that is wrong with it.
    pub fn parse(input_messages: &Value) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let parsed = parse(input_messages, &mut problems);
        match parsed {
            Some(form) if problems.is_empty() => Ok(Self(form)),
            _ => Err(problems),
        }
    }

    /// Returns the messages for a row, as Chat Completions has them, or says what the row does not have.
    pub fn render(&self, subject: Subject<'_>) -> Result<Vec<Value>, String> {
        match &self.0 {
            Form::Template(list) => {
                messages::render(list, Held::row(subject)).map_err(|fault| fault.to_string())
            }
            Form::Reference(path) => match Held::row(subject).value(path) {
                Some(value) => brought(&value).ok_or_else(|| {
                    let path = &path.written;
                    format!("the row's `{path}` holds something that is no message, or none")
                }),
                None => Err(Fault::Variable(path.written.clone()).to_string()),
            },
        }
    }
}

/// Returns the messages that a row brings along: a list of them, which may be written as text, or what a user
/// says. None for a list of anything else.
fn brought(value: &Value) -> Option<Vec<Value>> {
    let said = |text: &str| vec![json!({"role": "user", "content": text})];
    let is_message = |one: &Value| one.get("role").is_some_and(Value::is_string);
    let of = |list: Vec<Value>| {
        let are_messages = !list.is_empty() && list.iter().all(is_message);
        are_messages.then(|| messages::of_chat(list))
    };
    match value {
        Value::Array(list) => of(list.clone()),
        Value::String(text) => match serde_json::from_str(text) {
            Ok(Value::Array(list)) => of(list).or_else(|| Some(said(text))),
            _ => Some(said(text)),
        },
        Value::Null => None,
        other => Some(said(&other.to_string())),
    }
}

fn parse(value: &Value, problems: &mut Problems) -> Option<Form> {
    let mut fields = Fields::of(value, "", problems)?;
    let help = "write `template` or `item_reference`";
    match fields.text("type", help)? {
        "template" => {
            let list = fields.required("template", "write a list of messages")?;
            // The messages of a grader stand in `input`.
            let whole = json!({"input": list});
            let mut fields = Fields::of(&whole, "", fields.problems)?;
            messages::parse(&mut fields).map(Form::Template)
        }
        "item_reference" => {
            let path = fields.text("item_reference", "write a path such as `item.input`")?;
            match Path::parse(path) {
                Ok(path) if path.root() == "item" => Some(Form::Reference(path)),
                _ => {
                    let message = format!("`{path}` is no path into a row");
                    fields.note("item_reference", message, "write one such as `item.input`");
                    None
                }
            }
        }
        other => {
            let message = format!("`{other}` is no form of messages");
            fields.note("type", message, help);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input_messages: Value, want: Result<Value, &str>) {
        let item = json!({"name": "Ada", "none": [], "numbers": [3, 1], "asked": "[3, 1]", "n": 7, "null": null,
            "written": "[{\"role\": \"user\", \"content\": \"Hi\"}]", "chat": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": {"type": "input_text", "text": "Hi"}},
            {"role": "user", "content": [{"type": "input_text", "text": "a"},
                                         {"type": "input_image", "image_url": "http://x/y.png"}]},
        ]});
        let sample = Value::Null;
        let subject = Subject {
            item: &item,
            sample: &sample,
        };
        let got = Prompt::parse(&input_messages)
            .map_err(|problems| problems.to_string())
            .and_then(|prompt| prompt.render(subject));
        match (got, want) {
            (Ok(got), Ok(want)) => assert_eq!(Value::Array(got), want),
            (Err(got), Err(want)) => assert!(got.contains(want), "{got}"),
            (got, want) => panic!("{got:?} is not {want:?}"),
        }
    }

    #[test]
    fn a_prompt_is_a_template_or_what_the_row_brings_along() {
        check(
            json!({"type": "template", "template": [{"role": "user", "content": "I am {{ item.name }}."}]}),
            Ok(json!([{"role": "user", "content": "I am Ada."}])),
        );
        check(
            json!({"type": "item_reference", "item_reference": "item.chat"}),
            Ok(json!([
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": "Hi"},
                {"role": "user", "content": [{"type": "text", "text": "a"},
                                             {"type": "image_url", "image_url": {"url": "http://x/y.png"}}]},
            ])),
        );
        check(
            json!({"type": "item_reference", "item_reference": "item.name"}),
            Ok(json!([{"role": "user", "content": "Ada"}])),
        );
        for (name, said) in [("asked", "[3, 1]"), ("n", "7"), ("written", "Hi")] {
            check(
                json!({"type": "item_reference", "item_reference": format!("item.{name}")}),
                Ok(json!([{"role": "user", "content": said}])),
            );
        }
        for name in ["none", "numbers", "null"] {
            check(
                json!({"type": "item_reference", "item_reference": format!("item.{name}")}),
                Err("is no message"),
            );
        }
        check(
            json!({"type": "item_reference", "item_reference": "item.x"}),
            Err("item.x"),
        );
        check(
            json!({"type": "item_reference", "item_reference": "sample.x"}),
            Err("no path"),
        );
        check(json!({"type": "template", "template": "hi"}), Err("list"));
        check(json!({"type": "chat"}), Err("template"));
    }
}
