//! The last object in a text that fits: for providers that do not know structured output.
//!
//! The last, since a model thinks aloud before it decides, and never one inside another.

use serde_json::{Deserializer, Value};

/// An answer that is longer has its object at its end.
const LOOKED_AT_BYTES: usize = 256 << 10;

/// Returns the last object that has all that the schema requires, as JSON.
pub(super) fn last_fitting(text: &str, schema: &Value) -> Option<String> {
    let required: Vec<&str> = match &schema["required"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let fits = |value: &Value| required.iter().all(|name| value.get(name).is_some());
    let mut start = text.len().saturating_sub(LOOKED_AT_BYTES);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let mut rest = &text[start..];
    let mut last = None;
    while let Some(at) = rest.find('{') {
        rest = &rest[at..];
        let mut values = Deserializer::from_str(rest).into_iter::<Value>();
        let skipped = match values.next() {
            Some(Ok(value)) => {
                let end = values.byte_offset();
                if fits(&value) {
                    last = Some(value.to_string());
                }
                end
            }
            _ => 1,
        };
        rest = &rest[skipped..];
    }
    last
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::last_fitting;

    fn check(text: &str, expected: Option<Value>) {
        let schema = json!({"required": ["verdict"]});
        let found = last_fitting(text, &schema).map(|it| serde_json::from_str(&it).unwrap());
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn the_last_object_that_fits_counts() {
        check(r#"{"verdict": 1}"#, Some(json!({"verdict": 1})));
        check(
            "```json\n{\"verdict\": 1}\n```",
            Some(json!({"verdict": 1})),
        );
        check(
            r#"first {"verdict": 1}, no: {"verdict": 2}."#,
            Some(json!({"verdict": 2})),
        );
        check(
            r#"{"verdict": 1} see {"note": 2}"#,
            Some(json!({"verdict": 1})),
        );
        check(
            r#"{"verdict": {"verdict": 2}}"#,
            Some(json!({"verdict": {"verdict": 2}})),
        );
        check(r#"{ {"verdict": "}"#, None);
        check("no object", None);
        check(r#"{"verdict": 1"#, None);
    }

    proptest! {
        #[test]
        fn any_text_is_looked_through(text in r#"([{}"a:\\ ,1ä\[\]]|"verdict"){0,60}"#) {
            let _found = last_fitting(&text, &json!({}));
        }
    }
}
