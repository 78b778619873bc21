//! What a schema says of one value beside its type: constants, bounds of numbers, lengths, patterns.

use std::collections::HashSet;

use regex::RegexBuilder;
use serde_json::{Number, Value};

use crate::canonical::normalized;

/// Longer patterns are not compiled, in bytes.
const PATTERN_BYTES_MAX: usize = 1_000;

/// A compiled pattern takes no more, in bytes.
const COMPILED_BYTES_MAX: usize = 1 << 18;

/// Longer lists may hold a value twice.
const UNIQUE_ITEMS_MAX: usize = 10_000;

/// Returns whether two values are the same to a schema, for which 1 is 1.0.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    let may_differ_in_form = match (a, b) {
        (Value::Number(_), Value::Number(_)) => true,
        (Value::Array(a), Value::Array(b)) => a.len() == b.len(),
        (Value::Object(a), Value::Object(b)) => a.len() == b.len(),
        _ => false,
    };
    a == b || may_differ_in_form && normalized(a.clone()) == normalized(b.clone())
}

/// Returns what is wrong with a number.
pub(super) fn of_number(schema: &Value, number: &Number, path: &str) -> Option<String> {
    let value = number.as_f64()?;
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    // Older drafts say by a truth value that a bound is outside.
    let is_outside = |key: &str| schema.get(key) == Some(&Value::Bool(true));
    let least = bound("minimum");
    let most = bound("maximum");
    let above = bound("exclusiveMinimum").or(least.filter(|_| is_outside("exclusiveMinimum")));
    let below = bound("exclusiveMaximum").or(most.filter(|_| is_outside("exclusiveMaximum")));
    if let Some(least) = least.filter(|least| value < *least) {
        return Some(format!("{path} is less than {least}"));
    }
    if let Some(most) = most.filter(|most| value > *most) {
        return Some(format!("{path} is more than {most}"));
    }
    if let Some(above) = above.filter(|above| value <= *above) {
        return Some(format!("{path} is not more than {above}"));
    }
    if let Some(below) = below.filter(|below| value >= *below) {
        return Some(format!("{path} is not less than {below}"));
    }
    let unit = bound("multipleOf").filter(|unit| *unit > 0.0)?;
    // 0.3 is three times 0.1, whatever binary fractions make of it.
    let times = value / unit;
    let is_multiple = !times.is_finite() || (times - times.round()).abs() <= times.abs() * 1e-12;
    (!is_multiple).then(|| format!("{path} is no multiple of {unit}"))
}

/// Returns what is wrong with a text.
pub(super) fn of_text(schema: &Value, text: &str, path: &str) -> Option<String> {
    let count = |key: &str| schema.get(key).and_then(Value::as_u64);
    let (least, most) = (count("minLength"), count("maxLength"));
    if least.is_some() || most.is_some() {
        let length = text.chars().count() as u64;
        if let Some(fault) = of_count(length, least, most, "characters", path) {
            return Some(fault);
        }
    }
    let pattern = schema.get("pattern").and_then(Value::as_str)?;
    (finds(pattern, text) == Some(false)).then(|| format!("{path} does not match {pattern}"))
}

/// Returns what is wrong with how many items a list has, and that it has one twice where it must not.
pub(super) fn of_list(schema: &Value, items: &[Value], path: &str) -> Option<String> {
    let count = |key: &str| schema.get(key).and_then(Value::as_u64);
    let (least, most) = (count("minItems"), count("maxItems"));
    if let Some(fault) = of_count(items.len() as u64, least, most, "items", path) {
        return Some(fault);
    }
    let is_unique = schema.get("uniqueItems") == Some(&Value::Bool(true));
    if !is_unique || items.len() > UNIQUE_ITEMS_MAX {
        return None;
    }
    let different: HashSet<String> = items
        .iter()
        .map(|item| normalized(item.clone()).to_string())
        .collect();
    (different.len() < items.len()).then(|| format!("{path} has an item twice"))
}

/// Returns what is wrong with how many members an object has.
pub(super) fn of_object(schema: &Value, members: usize, path: &str) -> Option<String> {
    let count = |key: &str| schema.get(key).and_then(Value::as_u64);
    let (least, most) = (count("minProperties"), count("maxProperties"));
    of_count(members as u64, least, most, "properties", path)
}

fn of_count(
    count: u64,
    least: Option<u64>,
    most: Option<u64>,
    what: &str,
    path: &str,
) -> Option<String> {
    if let Some(least) = least.filter(|least| count < *least) {
        return Some(format!("{path} has {count} {what}, fewer than {least}"));
    }
    let most = most.filter(|most| count > *most)?;
    Some(format!("{path} has {count} {what}, more than {most}"))
}

/// Returns whether a pattern is found in a text; `None` of one that cannot be looked for, as one that
/// looks around: what it says nobody knows.
pub(super) fn finds(pattern: &str, text: &str) -> Option<bool> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return None;
    }
    let compiled = RegexBuilder::new(pattern)
        .size_limit(COMPILED_BYTES_MAX)
        .build();
    Some(compiled.ok()?.is_match(text))
}
