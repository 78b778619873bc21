//! Texts with holes: `{{ item.question }}`, `{{sample.output_tools[0].function.name}}`.
//!
//! The engine is that of [`insight::template`]. What OpenAI's graders add is strictness: whatever stands
//! between double braces must be a path, and a path into what is there. A path that leads nowhere is an
//! error and not an empty text, for a grader that compares nothing with nothing would pass.

use insight::template::{self, Path, Scope as _};

use super::held::Held;
use super::report::Fault;

/// What paths begin with where a row is graded.
pub(super) const OF_ROWS: &[&str] = &["item", "sample"];
/// What paths begin with where a trace is graded.
pub(super) const OF_TRACES: &[&str] = &["item", "sample", "trace", "spans"];

/// A text with holes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Template(template::Template);

impl Template {
    /// Reads a template whose paths begin with one of `roots`; says what is wrong with the first hole
    /// that cannot be read.
    ///
    /// `{{` without `}}` after it is text, as is `}}` alone.
    pub(super) fn parse(text: &str, roots: &[&str]) -> Result<Self, String> {
        let into: Vec<String> = roots.iter().map(|root| format!("`{root}`")).collect();
        let bad = |written: &str| {
            let into = into.join(" or ");
            format!("`{{{{{written}}}}}` is no path into {into}")
        };
        let template = template::Template::parse_strict(text).map_err(|hole| bad(&hole.written))?;
        let is_stray = |path: &&Path| !roots.contains(&path.root());
        let stray = template.paths().find(is_stray);
        match stray.map(|path| bad(&path.written)) {
            Some(bad) => Err(bad),
            None => Ok(Self(template)),
        }
    }

    /// Returns the text with its holes filled.
    pub(super) fn render(&self, held: Held<'_>) -> Result<String, Fault> {
        let missing = |hole: template::MissingVariable| missing(hole.path, held);
        self.0.render(&held).map_err(missing)
    }
}

/// Returns the fault of a path that leads nowhere: a sample that is no JSON is told by its own name.
fn missing(written: String, held: Held<'_>) -> Fault {
    let root = "sample.output_json";
    let is_of_json = written.starts_with(root);
    let is_json = || Path::parse(root).is_ok_and(|path| held.value(&path).is_some());
    match is_of_json && !is_json() {
        true => Fault::SampleNotJson(written),
        false => Fault::Variable(written),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use serde_json::Value;

    use super::super::Subject;
    use super::*;

    fn render(text: &str, item: &Value) -> Result<String, Fault> {
        let sample = json!({"output_text": "said"});
        let subject = Subject {
            item,
            sample: &sample,
        };
        let template = Template::parse(text, OF_ROWS).unwrap();
        template.render(Held::row(subject))
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
            assert!(Template::parse(text, OF_ROWS).is_err(), "{text}");
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
            if let Ok(template) = Template::parse(&text, OF_ROWS) {
                let item = json!({"x": [0]});
                drop(template.render(Held::row(Subject { item: &item, sample: &item })));
            }
        }
    }
}
