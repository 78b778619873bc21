//! When are two JSON values the same?
//!
//! Senders order keys as they like and write one as `1` or `1.0`. What is compared, counted or hashed is
//! therefore the value in one form: keys sorted, whole numbers as integers.

use model::JsonText;
use serde_json::{Number, Value};

/// Returns the one text of all ways to write this value. A string that holds a JSON object or array is
/// that value, for many libraries send arguments so.
pub(crate) fn canonical(json: &JsonText) -> String {
    match canonical_value(json) {
        Some(value) => value.to_string(),
        // nested deeper than the parser follows: it is equal to nothing but itself
        None => json.as_str().to_owned(),
    }
}

/// Returns whether two texts are the same value.
#[cfg(test)]
pub(crate) fn equal(a: &JsonText, b: &JsonText) -> bool {
    a == b || canonical(a) == canonical(b)
}

/// Returns the value in its one form; `None` if it is nested too deep to be read.
pub(crate) fn canonical_value(json: &JsonText) -> Option<Value> {
    let value: Value = serde_json::from_str(json.as_str()).ok()?;
    let inner = match &value {
        Value::String(text) if text.trim_start().starts_with(['{', '[']) => {
            serde_json::from_str(text).ok()
        }
        _ => None,
    };
    Some(normalized(inner.unwrap_or(value)))
}

/// Returns the value with its keys sorted and its whole numbers as integers.
pub(crate) fn normalized(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(shortest(number)),
        Value::Array(items) => items.into_iter().map(normalized).collect(),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.into_iter().collect();
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            let normal = |(key, value)| (key, normalized(value));
            fields.into_iter().map(normal).collect()
        }
        other => other,
    }
}

fn shortest(number: Number) -> Number {
    // from here on the float is no longer what was written, but two that are equal still are
    const WHOLE_MAX: f64 = 9_223_372_036_854_775_808.0;
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < WHOLE_MAX => {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "whole, and smaller than the largest integer"
            )]
            let whole = float as i64;
            whole.into()
        }
        _ => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(text: &str) -> JsonText {
        JsonText::parse(text).unwrap()
    }

    fn check(a: &str, b: &str, same: bool) {
        assert_eq!(equal(&json(a), &json(b)), same, "{a} {b}");
    }

    #[test]
    fn the_order_of_keys_and_the_way_to_write_a_number_do_not_matter() {
        check(
            r#"{"a":1,"b":[2.0,{"x":-0.0,"y":1e3}]}"#,
            r#"{ "b": [2, {"y": 1000, "x": 0}], "a": 1.0 }"#,
            true,
        );
        check(r#""{\"a\": 1}""#, r#"{"a":1.0}"#, true);
        check(r#""é""#, r#""\u00e9""#, true);
    }

    #[test]
    fn what_differs_differs() {
        check("1", r#""1""#, false);
        check("[1,2]", "[2,1]", false);
        check("null", "{}", false);
        check("9007199254740993", "9007199254740992", false);
        check("0.1", "0.10000000000000002", false);
        check(r#""a""#, r#""A""#, false);
    }

    #[test]
    fn what_is_nested_too_deep_to_be_read_is_equal_to_itself_alone() {
        let deep = |inner: &str| format!("{}{inner}{}", "[".repeat(500), "]".repeat(500));
        check(&deep("1"), &deep("1"), true);
        check(&deep("1"), &deep("2"), false);
    }

    proptest! {
        #[test]
        fn the_one_form_is_its_own(number in any::<i32>(), text in ".*", key in ".*") {
            let value = serde_json::json!({"k": [f64::from(number) / 8.0, text], key: null});
            let once = canonical(&JsonText::from_trusted(value.to_string()));
            prop_assert_eq!(canonical(&JsonText::from_trusted(once.clone())), once);
        }
    }
}
