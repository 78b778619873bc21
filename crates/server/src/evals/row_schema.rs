//! Does a row fit the eval's `item_schema`?
//!
//! The keywords of JSON Schema with which people describe rows: types, enumerations, required and closed
//! properties, lengths, ranges, patterns, lists, alternatives, references into the schema itself. `format` is
//! no more than a note here, as the standard has it. What is not known is passed over. A schema is told by
//! the sender and hostile like everything else: steps and depth are bounded, and what is beyond them fits.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

/// No more parts of a row are compared with a schema.
const STEPS_MAX: usize = 100_000;

/// Schemas nested deeper are taken to fit.
const DEPTH_MAX: usize = 32;

/// A pattern that takes more memory is passed over.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// What rows must be like.
#[derive(Debug)]
pub(super) struct RowSchema {
    root: Value,
    /// By their text; none of one that cannot be used here, such as one that looks behind.
    patterns: HashMap<String, Option<Regex>>,
}

/// A comparison that is under way.
struct Check<'s> {
    of: &'s RowSchema,
    steps: Cell<usize>,
}

/// A keyword that bounds a number, whether a number is outside it, and how that is said.
type Bound = (&'static str, fn(f64, f64) -> bool, &'static str);

const BOUNDS: [Bound; 5] = [
    ("minimum", |number, bound| number < bound, "less than"),
    ("maximum", |number, bound| number > bound, "more than"),
    (
        "exclusiveMinimum",
        |number, bound| number <= bound,
        "not more than",
    ),
    (
        "exclusiveMaximum",
        |number, bound| number >= bound,
        "not less than",
    ),
    ("multipleOf", is_no_multiple, "no multiple of"),
];

impl RowSchema {
    /// Returns a schema with its patterns ready.
    pub(super) fn new(root: Value) -> Self {
        let mut patterns = HashMap::new();
        collect(&root, 0, &mut patterns);
        Self { root, patterns }
    }

    /// Returns what rows must have.
    pub(super) fn required(&self) -> impl Iterator<Item = &str> {
        let required = self.root.get("required").and_then(Value::as_array);
        required.into_iter().flatten().filter_map(Value::as_str)
    }

    /// Returns what is wrong with a row, behind its name; none if it fits.
    pub(super) fn fault(&self, item: &Value) -> Option<String> {
        let check = Check {
            of: self,
            steps: Cell::new(0),
        };
        check.fault(&self.root, item, "", 0)
    }

    fn is_match(&self, pattern: &str, text: &str) -> bool {
        let known = self.patterns.get(pattern).and_then(Option::as_ref);
        known.is_none_or(|pattern| pattern.is_match(text))
    }

    /// Follows `$ref` into the schema's own definitions; none where it leads nowhere.
    fn resolved<'s>(&'s self, mut schema: &'s Value) -> Option<&'s Value> {
        for _ in 0..DEPTH_MAX {
            let Some(reference) = schema.get("$ref").and_then(Value::as_str) else {
                return Some(schema);
            };
            schema = self.root.pointer(reference.strip_prefix('#')?)?;
        }
        None
    }
}

/// Makes the patterns of a schema ready.
fn collect(schema: &Value, depth: usize, patterns: &mut HashMap<String, Option<Regex>>) {
    let mut add = |pattern: &str| {
        if !patterns.contains_key(pattern) {
            let made = RegexBuilder::new(pattern)
                .size_limit(PATTERN_BYTES_MAX)
                .build();
            patterns.insert(pattern.to_owned(), made.ok());
        }
    };
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(pattern)) = fields.get("pattern") {
                add(pattern);
            }
            if let Some(Value::Object(named)) = fields.get("patternProperties") {
                named.keys().for_each(|pattern| add(pattern));
            }
            if depth < DEPTH_MAX {
                fields
                    .values()
                    .for_each(|inner| collect(inner, depth + 1, patterns));
            }
        }
        Value::Array(list) if depth < DEPTH_MAX => {
            list.iter()
                .for_each(|inner| collect(inner, depth + 1, patterns));
        }
        _ => {}
    }
}

impl<'s> Check<'s> {
    fn fault(&self, schema: &'s Value, value: &Value, path: &str, depth: usize) -> Option<String> {
        self.steps.set(self.steps.get() + 1);
        if depth > DEPTH_MAX || self.steps.get() > STEPS_MAX {
            return None;
        }
        let schema = self.of.resolved(schema)?;
        if schema == &Value::Bool(false) {
            return Some(format!("{path} is not allowed"));
        }
        let schema = schema.as_object()?;
        if value.is_null() && schema.get("nullable") == Some(&Value::Bool(true)) {
            return None;
        }
        if let Some(told) = schema.get("type").filter(|told| !fits_type(told, value)) {
            return Some(format!("{path} is {}, not {}", kind_of(value), words(told)));
        }
        let choices = schema.get("enum").and_then(Value::as_array);
        let is_choice = choices.is_none_or(|choices| choices.contains(value));
        if !is_choice || schema.get("const").is_some_and(|only| only != value) {
            return Some(format!("{path} is none of the values that are allowed"));
        }
        let inner = match value {
            Value::Object(fields) => self.object(schema, fields, path, depth),
            Value::Array(items) => self.list(schema, items, path, depth),
            Value::String(text) => self.text(schema, text, path),
            Value::Number(number) => number_fault(schema, number.as_f64()?, path),
            Value::Null | Value::Bool(_) => None,
        };
        inner.or_else(|| self.combined(schema, value, path, depth))
    }

    /// `allOf`, `anyOf`, `oneOf`, `not`.
    fn combined(
        &self,
        schema: &'s Map<String, Value>,
        value: &Value,
        path: &str,
        depth: usize,
    ) -> Option<String> {
        let of = |part: &'s Value| self.fault(part, value, path, depth + 1);
        let parts = |key: &str| schema.get(key).and_then(Value::as_array);
        let all = parts("allOf").into_iter().flatten().find_map(of);
        if all.is_some() {
            return all;
        }
        for key in ["anyOf", "oneOf"] {
            let Some(choices) = parts(key).filter(|choices| !choices.is_empty()) else {
                continue;
            };
            let faults: Vec<Option<String>> = choices.iter().map(of).collect();
            let fitting = faults.iter().filter(|fault| fault.is_none()).count();
            if fitting == 0 {
                // What is wrong by the last choice stands for all.
                return faults.into_iter().flatten().last();
            }
            if key == "oneOf" && fitting > 1 {
                return Some(format!(
                    "{path} fits {fitting} of the alternatives, of which one is meant"
                ));
            }
        }
        let not = schema.get("not").filter(|not| of(not).is_none());
        not.map(|_| format!("{path} is what it must not be"))
    }

    fn object(
        &self,
        schema: &'s Map<String, Value>,
        fields: &Map<String, Value>,
        path: &str,
        depth: usize,
    ) -> Option<String> {
        let required = schema.get("required").and_then(Value::as_array);
        let mut required = required.into_iter().flatten().filter_map(Value::as_str);
        if let Some(missing) = required.find(|name| !fields.contains_key(*name)) {
            return Some(format!("{path} lacks {missing}"));
        }
        let sizes = ("minProperties", "maxProperties", "properties");
        if let Some(fault) = size_fault(schema, sizes, fields.len(), path) {
            return Some(fault);
        }
        let known = schema.get("properties").and_then(Value::as_object);
        let named = schema.get("patternProperties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        fields.iter().find_map(|(name, value)| {
            let inner = format!("{path}.{name}");
            let own = known.and_then(|known| known.get(name));
            let by_pattern = named.into_iter().flatten();
            let by_pattern = by_pattern.filter(|(pattern, _)| self.of.is_match(pattern, name));
            let mut schemas: Vec<&Value> = own.into_iter().collect();
            schemas.extend(by_pattern.map(|(_, schema)| schema));
            if schemas.is_empty() {
                if others == Some(&Value::Bool(false)) {
                    return Some(format!("{path} has {name}, which is unknown"));
                }
                schemas.extend(others);
            }
            let mut schemas = schemas.into_iter();
            schemas.find_map(|schema| self.fault(schema, value, &inner, depth + 1))
        })
    }

    fn list(
        &self,
        schema: &'s Map<String, Value>,
        items: &[Value],
        path: &str,
        depth: usize,
    ) -> Option<String> {
        let sizes = ("minItems", "maxItems", "entries");
        if let Some(fault) = size_fault(schema, sizes, items.len(), path) {
            return Some(fault);
        }
        if schema.get("uniqueItems") == Some(&Value::Bool(true)) {
            let mut seen = HashSet::new();
            if !items.iter().all(|item| seen.insert(canonical(item))) {
                return Some(format!("{path} has an entry twice"));
            }
        }
        let first = schema.get("prefixItems").and_then(Value::as_array);
        let first: &[Value] = first.map_or(&[], Vec::as_slice);
        let rest = schema.get("items");
        items.iter().enumerate().find_map(|(at, item)| {
            let schema = first.get(at).or(rest)?;
            self.fault(schema, item, &format!("{path}[{at}]"), depth + 1)
        })
    }

    fn text(&self, schema: &Map<String, Value>, text: &str, path: &str) -> Option<String> {
        let sizes = ("minLength", "maxLength", "characters");
        let length = text.chars().count();
        size_fault(schema, sizes, length, path).or_else(|| {
            let pattern = schema.get("pattern").and_then(Value::as_str)?;
            let fits = self.of.is_match(pattern, text);
            (!fits).then(|| format!("{path} does not match {pattern}"))
        })
    }
}

/// A text that is the same for equal values: 1 and 1.0 are, and objects in another order.
fn canonical(value: &Value) -> String {
    match value {
        Value::Number(number) => format!("{:?}", number.as_f64()),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(fields) => {
            let fields = fields.iter();
            let mut fields: Vec<String> = fields
                .map(|(name, value)| format!("{name:?}:{}", canonical(value)))
                .collect();
            fields.sort();
            format!("{{{}}}", fields.join(","))
        }
        other => other.to_string(),
    }
}

fn size_fault(
    schema: &Map<String, Value>,
    (least, most, what): (&str, &str, &str),
    size: usize,
    path: &str,
) -> Option<String> {
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    let size = size as f64;
    if let Some(least) = bound(least).filter(|least| size < *least) {
        return Some(format!("{path} has {size} {what}, fewer than {least}"));
    }
    let most = bound(most).filter(|most| size > *most)?;
    Some(format!("{path} has {size} {what}, more than {most}"))
}

fn number_fault(schema: &Map<String, Value>, number: f64, path: &str) -> Option<String> {
    BOUNDS.into_iter().find_map(|(key, is_outside, said)| {
        let bound = schema.get(key).and_then(Value::as_f64)?;
        is_outside(number, bound).then(|| format!("{path} is {number}, {said} {bound}"))
    })
}

/// 0.3 is a multiple of 0.1, whatever their bits say.
fn is_no_multiple(number: f64, of: f64) -> bool {
    let times = number / of;
    of > 0.0 && (times - times.round()).abs() > 1e-9 * times.abs().max(1.0)
}

fn fits_type(told: &Value, value: &Value) -> bool {
    match told {
        Value::String(name) => is_of(name, value),
        Value::Array(names) => {
            let mut names = names.iter().filter_map(Value::as_str);
            names.any(|name| is_of(name, value))
        }
        _ => true,
    }
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => true,
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn words(told: &Value) -> String {
    match told {
        Value::String(name) => name.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(schema: Value, value: Value, want: Option<&str>) {
        let told = format!("{schema} {value}");
        let got = RowSchema::new(schema).fault(&value);
        assert_eq!(got.as_deref(), want, "{told}");
    }

    fn of(schema: Value) -> Value {
        json!({"type": "object", "properties": {"x": schema}})
    }

    #[test]
    fn lengths_ranges_and_patterns_are_looked_at() {
        let checks = |schema: Value, cases: &[(Value, Option<&str>)]| {
            for (x, want) in cases {
                check(of(schema.clone()), json!({"x": x}), *want);
            }
        };
        checks(
            json!({"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^[a-zä]+$"}),
            &[
                (json!("äb"), None),
                (json!("ä"), Some(".x has 1 characters, fewer than 2")),
                (json!("abcd"), Some(".x has 4 characters, more than 3")),
                (json!("AB"), Some(".x does not match ^[a-zä]+$")),
            ],
        );
        checks(
            json!({"minimum": 1, "exclusiveMaximum": 2, "multipleOf": 0.1}),
            &[
                (json!(1), None),
                (json!(1.3), None),
                (json!(0.9), Some(".x is 0.9, less than 1")),
                (json!(2), Some(".x is 2, not less than 2")),
                (json!(1.25), Some(".x is 1.25, no multiple of 0.1")),
                (json!("not a number"), None),
            ],
        );
        checks(
            json!({"exclusiveMinimum": 0, "maximum": 5}),
            &[
                (json!(0), Some(".x is 0, not more than 0")),
                (json!(6), Some(".x is 6, more than 5")),
            ],
        );
        checks(
            json!({"minItems": 1, "maxItems": 2, "uniqueItems": true, "items": {"type": "integer"}}),
            &[
                (json!([1, 2.0]), None),
                (json!([]), Some(".x has 0 entries, fewer than 1")),
                (json!([1, 2, 3]), Some(".x has 3 entries, more than 2")),
                (json!([1, 1.0]), Some(".x has an entry twice")),
                (json!([1, "a"]), Some(".x[1] is a text, not integer")),
            ],
        );
        // A format is a note.
        checks(
            json!({"type": "string", "format": "email"}),
            &[(json!("nobody"), None)],
        );
    }

    #[test]
    fn alternatives_are_weighed_with_their_bounds() {
        let schema = of(json!({"anyOf": [{"type": "string", "minLength": 3}, {"type": "null"}]}));
        check(schema.clone(), json!({"x": null}), None);
        check(schema.clone(), json!({"x": "abc"}), None);
        check(schema, json!({"x": "ab"}), Some(".x is a text, not null"));
        let one = of(json!({"oneOf": [{"multipleOf": 2}, {"multipleOf": 3}]}));
        check(one.clone(), json!({"x": 4}), None);
        let both = ".x fits 2 of the alternatives, of which one is meant";
        check(one, json!({"x": 6}), Some(both));
        let not = of(json!({"not": {"enum": ["none"]}}));
        check(not.clone(), json!({"x": "some"}), None);
        check(not, json!({"x": "none"}), Some(".x is what it must not be"));
        let all = of(json!({"allOf": [{"minimum": 1}, {"maximum": 2}]}));
        check(all, json!({"x": 3}), Some(".x is 3, more than 2"));
    }

    #[test]
    fn properties_are_known_by_name_pattern_or_not_at_all() {
        let schema = json!({"type": "object", "required": ["a"], "properties": {"a": {"const": 1}},
            "patternProperties": {"^n_": {"type": "number"}}, "additionalProperties": false,
            "maxProperties": 3});
        check(schema.clone(), json!({"a": 1, "n_b": 2}), None);
        check(schema.clone(), json!({}), Some(" lacks a"));
        let constant = ".a is none of the values that are allowed";
        check(schema.clone(), json!({"a": 2}), Some(constant));
        check(
            schema.clone(),
            json!({"a": 1, "n_b": ""}),
            Some(".n_b is a text, not number"),
        );
        check(
            schema.clone(),
            json!({"a": 1, "c": 2}),
            Some(" has c, which is unknown"),
        );
        let many = json!({"a": 1, "n_b": 1, "n_c": 1, "n_d": 1});
        check(schema, many, Some(" has 4 properties, more than 3"));
        let open = json!({"additionalProperties": {"type": "string"}});
        check(open, json!({"q": 1}), Some(".q is a number, not string"));
        let named = json!({"properties": {"a": {"$ref": "#/$defs/word"}}, "$defs": {"word": {"minLength": 2}}});
        check(
            named,
            json!({"a": "b"}),
            Some(".a has 1 characters, fewer than 2"),
        );
    }

    #[test]
    fn what_is_no_schema_or_has_no_end_fits() {
        check(json!({"$ref": "#"}), json!({"a": 1}), None);
        check(json!(true), json!({"a": 1}), None);
        check(json!(false), json!({"a": 1}), Some(" is not allowed"));
        check(of(json!({"pattern": "(?=x)"})), json!({"x": "y"}), None);
        check(of(json!("[MaxDepth]")), json!({"x": 7}), None);
        let nested = json!({"properties": {"a": {"$ref": "#"}}});
        let deep = (0..100).fold(json!(1), |inner, _| json!({"a": inner}));
        check(nested, deep, None);
        // Each level has two alternatives: without a bound the steps would double at each.
        let wide = json!({"anyOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}]});
        let deep = (0..30).fold(json!(1), |inner, _| json!({"a": inner}));
        check(wide, deep, None);
    }
}
