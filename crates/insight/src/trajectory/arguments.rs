//! Do these arguments do for those that were expected?

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How the arguments of a tool are compared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArgumentMode {
    /// They are the same.
    #[default]
    Exact,
    /// What was given is among what was expected: fields may be left out.
    Subset,
    /// What was expected is among what was given: more fields may be given.
    Superset,
    /// They do not matter.
    Ignore,
    /// An expression decides, which whoever grades knows how to run.
    Matcher(String),
}

/// What does not count in a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fold {
    /// Capitals.
    Case,
    /// White space around it, and how much there is between words.
    Space,
}

/// Returns the value with its strings folded.
pub(super) fn folded(value: Value, folds: &[Fold]) -> Value {
    if folds.is_empty() {
        return value;
    }
    match value {
        Value::String(text) => Value::String(folds.iter().fold(text, fold)),
        Value::Array(items) => items.into_iter().map(|item| folded(item, folds)).collect(),
        Value::Object(fields) => {
            let fold = |(key, value)| (key, folded(value, folds));
            fields.into_iter().map(fold).collect()
        }
        other => other,
    }
}

fn fold(text: String, fold: &Fold) -> String {
    match fold {
        Fold::Case => text.to_lowercase(),
        Fold::Space => text.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

/// Returns whether all of `part` is in `whole`: objects may lack fields at any depth, everything else
/// is equal.
pub(super) fn is_within(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => part.iter().all(|(key, value)| {
            let other = whole.get(key);
            other.is_some_and(|other| is_within(value, other))
        }),
        _ => part == whole,
    }
}

/// Returns which share of the fields of two objects is equal, from 0 to 1; an object inside counts by
/// its own share. Of other values: whether they are equal.
pub(super) fn likeness(a: &Value, b: &Value) -> f64 {
    match (a, b) {
        _ if a == b => 1.0,
        (Value::Object(a), Value::Object(b)) => {
            let both = a
                .iter()
                .filter_map(|(key, value)| Some((value, b.get(key)?)));
            let (mut alike, mut common) = (0.0, 0);
            for (value, other) in both {
                alike += likeness(value, other);
                common += 1;
            }
            alike / (a.len() + b.len() - common) as f64
        }
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_part_lacks_fields_at_any_depth_but_no_items() {
        let whole = json!({"to": "Rome", "who": {"name": "Mia", "age": 30}, "days": [1, 2]});
        for part in [
            json!({}),
            json!({"to": "Rome"}),
            json!({"who": {"age": 30}}),
            whole.clone(),
        ] {
            assert!(is_within(&part, &whole), "{part}");
        }
        for other in [
            json!({"to": "Oslo"}),
            json!({"days": [1]}),
            json!({"via": null}),
            json!("Rome"),
        ] {
            assert!(!is_within(&other, &whole), "{other}");
        }
    }

    #[test]
    fn likeness_is_the_share_of_equal_fields() {
        let alike = |a, b| likeness(&a, &b);
        assert_eq!(
            alike(json!({"a": 1, "b": 2}), json!({"a": 1, "c": 3})),
            1.0 / 3.0
        );
        assert_eq!(
            alike(
                json!({"a": {"x": 1, "y": 2}}),
                json!({"a": {"x": 1, "y": 3}})
            ),
            0.5
        );
        assert_eq!(alike(json!({}), json!({})), 1.0);
        assert_eq!(alike(json!({"a": 1}), json!({})), 0.0);
        assert_eq!(alike(json!([1]), json!([2])), 0.0);
    }

    #[test]
    fn strings_are_folded_where_they_stand_and_keys_are_not() {
        let value = json!({"To": ["  New\n York ", 1]});
        let both = folded(value, &[Fold::Case, Fold::Space]);
        assert_eq!(both, json!({"To": ["new york", 1]}));
    }
}
