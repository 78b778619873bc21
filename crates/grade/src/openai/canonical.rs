//! One text for every way of writing the same JSON: keys sorted, `1.0` as `1`, no spaces.

use std::fmt::Write as _;

use serde_json::Value;

/// Returns the canonical text of a value.
pub(crate) fn text(value: &Value) -> String {
    let mut out = String::new();
    write_value(value, &mut out);
    out
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<_> = object.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            for (i, (key, value)) in entries.into_iter().enumerate() {
                out.push(if i == 0 { '{' } else { ',' });
                write_plain(&Value::from(key.as_str()), out);
                out.push(':');
                write_value(value, out);
            }
            out.push_str(if object.is_empty() { "{}" } else { "}" });
        }
        Value::Array(list) => {
            out.push('[');
            for (i, value) in list.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(value, out);
            }
            out.push(']');
        }
        Value::Number(number) => match number.as_f64() {
            // whole numbers up to 2^53 are the same number with and without `.0`
            Some(float) if float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0 => {
                // 0.0 is added to make of -0 a 0
                write!(out, "{:.0}", float + 0.0).expect("writing to a String cannot fail");
            }
            _ => write_plain(value, out),
        },
        plain => write_plain(plain, out),
    }
}

fn write_plain(value: &Value, out: &mut String) {
    write!(out, "{value}").expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn order_of_keys_and_spelling_of_numbers_do_not_matter() {
        let a: Value =
            serde_json::from_str(r#"{"b": 1.0, "a": [true, null, "x\u0079"], "c": {}}"#).unwrap();
        let b = json!({"a": [true, null, "xy"], "c": {}, "b": 1});
        assert_eq!(text(&a), text(&b));
        assert_eq!(text(&a), r#"{"a":[true,null,"xy"],"b":1,"c":{}}"#);
        assert_eq!(
            text(&json!([-0.0, 0.5, 9_007_199_254_740_993_i64])),
            "[0,0.5,9007199254740993]"
        );
    }
}
