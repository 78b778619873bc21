//! The prompt of a model grader: messages with templates in their texts.
//!
//! They are written as the Responses API has them (`input_text`, `input_image`, `input_audio`) and asked
//! as Chat Completions has them, which every provider speaks.

use serde_json::{Map, Value, json};

use super::definition;
use super::definition::{parse_template, template};
use super::held::Held;
use super::multi::is_single;
use super::problems::{Fields, Problems, join, kind_of};
use super::report::Fault;
use super::template::Template;

/// One message of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Message {
    role: String,
    content: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(Template),
    Image {
        url: Template,
        detail: Option<Template>,
    },
    Audio {
        data: Template,
        format: Template,
    },
}

const CONTENT_HELP: &str =
    "write a text, an object such as `{\"type\":\"input_text\",\"text\":…}`, or a list of them";

/// Reads the messages of a grader's `input`.
pub(super) fn parse(fields: &mut Fields<'_, '_>) -> Option<Vec<Message>> {
    let help = "write a list of messages such as `{\"role\":\"user\",\"content\":…}`";
    let path = fields.path_of("input");
    let list = fields.list("input", help)?;
    let problems = &mut *fields.problems;
    // every message is read, so that the mistakes of all are told
    let messages: Vec<Option<Message>> = (list.iter().enumerate())
        .map(|(i, value)| parse_message(value, &format!("{path}[{i}]"), problems))
        .collect();
    messages.into_iter().collect()
}

fn parse_message(value: &Value, path: &str, problems: &mut Problems) -> Option<Message> {
    let mut fields = Fields::of(value, path, problems)?;
    if let Some(other) = fields.get("type").filter(|other| *other != "message") {
        let message = format!("is {other}");
        fields.note("type", message, "write `message`, or leave it out");
    }
    let role = fields.text("role", "write `user`, `assistant`, `system` or `developer`");
    let content = fields.required("content", CONTENT_HELP);
    let path = fields.path_of("content");
    let content = content.and_then(|content| parse_content(content, path, fields.problems));
    Some(Message {
        role: role?.to_owned(),
        content: content?,
    })
}

fn parse_content(content: &Value, path: String, problems: &mut Problems) -> Option<Vec<Part>> {
    let Value::Array(list) = content else {
        return Some(vec![parse_part(content, path, problems)?]);
    };
    let parts: Vec<Option<Part>> = (list.iter().enumerate())
        .map(|(i, part)| parse_part(part, format!("{path}[{i}]"), problems))
        .collect();
    parts.into_iter().collect()
}

fn parse_part(value: &Value, path: String, problems: &mut Problems) -> Option<Part> {
    if let Value::String(text) = value {
        return parse_template(text, path, problems).map(Part::Text);
    }
    if !value.is_object() {
        problems.note(path, format!("is {}", kind_of(value)), CONTENT_HELP);
        return None;
    }
    let mut fields = Fields::of(value, &path, problems)?;
    let help = "write `input_text`, `output_text`, `input_image` or `input_audio`";
    match fields.text("type", help)? {
        "input_text" | "output_text" => template(&mut fields, "text").map(Part::Text),
        "input_image" => {
            let url = template(&mut fields, "image_url");
            let detail = match fields.get("detail") {
                None => Some(None),
                Some(_) => template(&mut fields, "detail").map(Some),
            };
            Some(Part::Image {
                url: url?,
                detail: detail?,
            })
        }
        "input_audio" => {
            let help = "write `{\"data\":…,\"format\":\"mp3\" or \"wav\"}`";
            let audio = fields.required("input_audio", help)?;
            let path = join(&path, "input_audio");
            let mut fields = Fields::of(audio, &path, fields.problems)?;
            let data = definition::template(&mut fields, "data");
            let format = definition::template(&mut fields, "format");
            Some(Part::Audio {
                data: data?,
                format: format?,
            })
        }
        other => {
            let message = format!("`{other}` is no kind of content");
            fields.note("type", message, help);
            None
        }
    }
}

/// Returns the messages of a prompt as Chat Completions has them, with their holes filled.
pub(super) fn render(messages: &[Message], held: Held<'_>) -> Result<Vec<Value>, Fault> {
    messages
        .iter()
        .map(|message| message.render(held))
        .collect()
}

/// Returns messages that a row brings along as Chat Completions has them; what is not of the form of the
/// Responses API stays as it is.
pub(super) fn of_chat(mut messages: Vec<Value>) -> Vec<Value> {
    for message in &mut messages {
        let Some(content) = message.get_mut("content") else {
            continue;
        };
        match content {
            Value::Object(_) => match text_of(content) {
                Some(text) => *content = text,
                None => *content = Value::Array(vec![part_of_chat(content)]),
            },
            Value::Array(parts) => {
                for part in parts {
                    *part = part_of_chat(part);
                }
            }
            _ => {}
        }
    }
    messages
}

fn text_of(part: &Value) -> Option<Value> {
    match part.get("type")?.as_str()? {
        "input_text" | "output_text" => part.get("text").cloned(),
        _ => None,
    }
}

fn part_of_chat(part: &Value) -> Value {
    if let Some(text) = text_of(part) {
        return json!({"type": "text", "text": text});
    }
    match (
        part.get("type").and_then(Value::as_str),
        part.get("image_url"),
    ) {
        (Some("input_image"), Some(url)) => {
            let mut image = Map::new();
            image.insert("url".into(), url.clone());
            if let Some(detail) = part.get("detail") {
                image.insert("detail".into(), detail.clone());
            }
            json!({"type": "image_url", "image_url": image})
        }
        _ => part.clone(),
    }
}

impl Message {
    fn render(&self, held: Held<'_>) -> Result<Value, Fault> {
        let content = match self.content.as_slice() {
            [Part::Text(text)] => Value::String(text.render(held)?),
            parts => parts
                .iter()
                .map(|part| part.render(held))
                .collect::<Result<Value, Fault>>()?,
        };
        Ok(json!({"role": self.role, "content": content}))
    }
}

impl Part {
    fn render(&self, held: Held<'_>) -> Result<Value, Fault> {
        Ok(match self {
            Self::Text(text) => json!({"type": "text", "text": text.render(held)?}),
            Self::Image { url, detail } => {
                let mut image = Map::new();
                image.insert("url".into(), url.render(held)?.into());
                if let Some(detail) = detail {
                    image.insert("detail".into(), detail.render(held)?.into());
                }
                json!({"type": "image_url", "image_url": image})
            }
            Self::Audio { data, format } => json!({
                "type": "input_audio",
                "input_audio": {"data": data.render(held)?, "format": format.render(held)?},
            }),
        })
    }
}

/// Returns a grader's definition with the contents that are plain texts in the API's long form:
/// `{"type":"message","role":…,"content":{"type":"input_text","text":…}}`.
pub(super) fn normalized(grader: &Value) -> Value {
    let mut grader = grader.clone();
    if let Some(Value::Array(input)) = grader.get_mut("input") {
        for message in input {
            normalize(message);
        }
    }
    match grader.get_mut("graders") {
        Some(single) if is_single(single) => *single = normalized(single),
        Some(Value::Object(parts)) => parts.values_mut().for_each(|part| *part = normalized(part)),
        _ => {}
    }
    grader
}

fn normalize(message: &mut Value) {
    let Value::Object(fields) = message else {
        return;
    };
    let Some(Value::String(text)) = fields.get("content") else {
        return;
    };
    let content = json!({"type": "input_text", "text": text});
    let mut long = Map::new();
    long.insert("type".into(), "message".into());
    for (key, value) in fields.iter() {
        long.insert(key.clone(), value.clone());
    }
    long.insert("content".into(), content);
    *fields = long;
}
