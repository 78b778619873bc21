//! Texts with holes: `{{ item.question }}`, `{{sample.output_tools[0].function.name}}`.
//!
//! There is no logic, no filter and no escaping: a hole names one value of the row. A text goes in as it
//! is, anything else as compact JSON. A path that leads nowhere is an error and not an empty text, for a
//! grader that compares nothing with nothing would pass.

use serde_json::Value;

use super::Subject;
use super::report::Fault;

/// A text with holes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Hole { written: String, path: Vec<Key> },
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    Name(String),
    Index(usize),
}

impl Template {
    /// Reads a template; says what is wrong with the first hole that cannot be read.
    ///
    /// `{{` without `}}` after it is text, as is `}}` alone.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{")
            && let Some((inside, behind)) = after.split_once("}}")
        {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let written = inside.trim().to_owned();
            let path = parse_path(&written)?;
            parts.push(Part::Hole { written, path });
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// Returns the text with its holes filled from the row.
    pub(super) fn render(&self, subject: Subject<'_>) -> Result<String, Fault> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Hole { written, path } => match found(path, subject) {
                    Some(Value::String(value)) => text.push_str(value),
                    Some(value) => text.push_str(&value.to_string()),
                    None => return Err(missing(written, path, subject)),
                },
            }
        }
        Ok(text)
    }
}

/// Returns the fault of a path that leads nowhere: a sample that is no JSON is told by its own name.
fn missing(written: &str, path: &[Key], subject: Subject<'_>) -> Fault {
    let of_json = matches!(path, [Key::Name(root), Key::Name(key), ..]
        if root == "sample" && key == "output_json");
    if of_json && subject.sample.get("output_json").is_none() {
        Fault::SampleNotJson(written.to_owned())
    } else {
        Fault::Variable(written.to_owned())
    }
}

/// Returns the value at a path.
fn found<'a>(path: &[Key], subject: Subject<'a>) -> Option<&'a Value> {
    let (root, keys) = path.split_first()?;
    let root = match root {
        Key::Name(name) if name == "item" => subject.item,
        _ => subject.sample,
    };
    keys.iter().try_fold(root, |value, key| match key {
        Key::Name(name) => value.get(name),
        Key::Index(index) => value.get(index),
    })
}

/// Reads `item.a.b[0]["c"]`.
fn parse_path(written: &str) -> Result<Vec<Key>, String> {
    let bad = || format!("`{{{{{written}}}}}` is no path into `item` or `sample`");
    let mut path = Vec::new();
    let mut rest = written;
    loop {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        let name = name.trim();
        if name.is_empty() || name.contains(['{', '}', ']', '"', '\'', '|', '(', ')']) {
            return Err(bad());
        }
        path.push(Key::Name(name.to_owned()));
        rest = behind;
        while let Some(inside) = rest.strip_prefix('[') {
            let (key, behind) = parse_index(inside).ok_or_else(bad)?;
            path.push(key);
            rest = behind;
        }
        match rest.strip_prefix('.') {
            Some(behind) => rest = behind,
            None if rest.is_empty() => break,
            None => return Err(bad()),
        }
    }
    match path.first() {
        Some(Key::Name(root)) if root == "item" || root == "sample" => Ok(path),
        _ => Err(bad()),
    }
}

/// Reads what stands behind `[`: a number or a quoted name, and `]`.
fn parse_index(inside: &str) -> Option<(Key, &str)> {
    for quote in ['"', '\''] {
        if let Some(quoted) = inside.strip_prefix(quote) {
            let (name, behind) = quoted.split_once(quote)?;
            return Some((Key::Name(name.to_owned()), behind.strip_prefix(']')?));
        }
    }
    let (digits, behind) = inside.split_once(']')?;
    Some((Key::Index(digits.trim().parse().ok()?), behind))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn render(text: &str, item: &Value) -> Result<String, Fault> {
        let sample = json!({"output_text": "said"});
        let subject = Subject {
            item,
            sample: &sample,
        };
        Template::parse(text).unwrap().render(subject)
    }

    #[test]
    fn holes_are_filled_with_what_the_row_has() {
        let item = json!({
            "a": {"b c": [1, "two", {"d.e": null}]}, "t": true, "é": 1.50, "q": "{{item.t}}",
        });
        for (text, expected) in [
            ("", ""),
            ("plain } }} text", "plain } }} text"),
            ("{{sample.output_text}}{{ item.t }}", "saidtrue"),
            (
                "{{item.a.b c[0]}}-{{item['a'][\"b c\"][1]}}-{{item.a.b c[2]['d.e']}}",
                "1-two-null",
            ),
            ("{{item.é}}", "1.5"),
            ("{{item.a}}", r#"{"b c":[1,"two",{"d.e":null}]}"#),
            // what is put in is not read again
            ("{{item.q}}", "{{item.t}}"),
            ("an open {{ is text", "an open {{ is text"),
            ("{{item.t}} and {{item.t", "true and {{item.t"),
            ("{\"x\":{{item.t}}}", "{\"x\":true}"),
        ] {
            assert_eq!(render(text, &item).as_deref(), Ok(expected), "{text}");
        }
        for missing in [
            "item.x",
            "item.a[0]",
            "item.a.b c[3]",
            "item.t.u",
            "sample.output_tools",
        ] {
            let fault = render(&format!("{{{{ {missing} }}}}"), &item);
            assert_eq!(fault, Err(Fault::Variable(missing.to_owned())));
        }
    }

    #[test]
    fn holes_without_a_path_are_mistakes() {
        for text in [
            "{{}}",
            "{{ }}",
            "{{x}}",
            "{{items.a}}",
            "{{item.}}",
            "{{.item}}",
            "{{item..a}}",
            "{{item[}}",
            "{{item[x]}}",
            "{{item[-1]}}",
            "{{item['a]}}",
            "{{item[0]a}}",
            "{{[0]}}",
            "{{item.a | upper}}",
            "{{ len(item.a) }}",
            "{{{item.a}}}",
            "{{\"item\"}}",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_text_without_holes_is_itself(text in "[^{]{0,40}") {
            prop_assert_eq!(render(&text, &json!({})), Ok(text));
        }

        #[test]
        fn holes_are_replaced_one_by_one(
            texts in proptest::collection::vec("[^{}]{0,10}", 1..6),
            value in ".{0,10}",
        ) {
            let item = json!({"x": value});
            let template = texts.join("{{ item.x }}");
            prop_assert_eq!(render(&template, &item), Ok(texts.join(&value)));
        }

        #[test]
        fn no_text_makes_it_panic(text in r#"[{}\[\]."' itemsample0x|é]{0,40}"#) {
            if let Ok(template) = Template::parse(&text) {
                let item = json!({"x": [0]});
                drop(template.render(Subject { item: &item, sample: &item }));
            }
        }
    }
}
