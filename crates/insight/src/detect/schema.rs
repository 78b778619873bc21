//! Whether arguments fit a tool's schema, as far as schemas of tools go: types, required and closed
//! properties, enumerations, and alternatives.
//!
//! A schema is told by the sender and hostile like everything else. References are followed into the
//! schema's own definitions; steps and depth are bounded, and what is beyond them fits.

use serde_json::Value;

/// No more parts of arguments are compared with a schema.
const STEPS_MAX: usize = 20_000;

/// Longer enumerations are not looked through.
const CHOICES_MAX: usize = 1_000;

/// Schemas nested deeper are taken to fit.
const DEPTH_MAX: usize = 32;

/// Returns what is wrong with a value by a JSON schema, as far as schemas are looked at here; none if it
/// fits.
pub fn schema_fault(schema: &Value, value: &Value) -> Option<String> {
    Schema::of(schema).fault(value)
}

/// A schema and how much of it was used.
pub(super) struct Schema<'s> {
    root: &'s Value,
    steps: usize,
}

impl<'s> Schema<'s> {
    pub(super) fn of(root: &'s Value) -> Self {
        Self { root, steps: 0 }
    }

    /// Returns what is wrong with a value; `None` if it fits.
    pub(super) fn fault(&mut self, value: &Value) -> Option<String> {
        self.fault_of(self.root, value, "arguments", 0)
    }

    fn fault_of(
        &mut self,
        schema: &'s Value,
        value: &Value,
        path: &str,
        depth: usize,
    ) -> Option<String> {
        self.steps += 1;
        if depth > DEPTH_MAX || self.steps > STEPS_MAX {
            return None;
        }
        let schema = self.resolved(schema)?;
        for key in ["anyOf", "oneOf"] {
            if let Some(choices) = schema.get(key).and_then(Value::as_array) {
                let mut faults = choices
                    .iter()
                    .map(|choice| self.fault_of(choice, value, path, depth + 1));
                // Faults of the last choice stand for all.
                return faults.try_fold(None, |_, fault| fault.map(Some)).flatten();
            }
        }
        if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
            let mut faults = parts
                .iter()
                .filter_map(|part| self.fault_of(part, value, path, depth + 1));
            if let Some(fault) = faults.next() {
                return Some(fault);
            }
        }
        if value.is_null() && schema.get("nullable") == Some(&Value::Bool(true)) {
            return None;
        }
        if let Some(told) = schema.get("type").filter(|told| !fits_type(told, value)) {
            return Some(format!("{path} is {}, not {}", kind_of(value), words(told)));
        }
        let choices = schema.get("enum").and_then(Value::as_array);
        let choices = choices.filter(|choices| choices.len() <= CHOICES_MAX);
        if choices.is_some_and(|choices| !choices.contains(value)) {
            return Some(format!("{path} is none of the values that are allowed"));
        }
        match value {
            Value::Object(fields) => self.object(schema, fields, path, depth),
            Value::Array(items) => {
                let schema = schema.get("items").filter(|items| items.is_object())?;
                let mut items = items.iter();
                items.find_map(|item| self.fault_of(schema, item, &format!("{path}[]"), depth + 1))
            }
            _ => None,
        }
    }

    fn object(
        &mut self,
        schema: &'s Value,
        fields: &serde_json::Map<String, Value>,
        path: &str,
        depth: usize,
    ) -> Option<String> {
        let required = schema.get("required").and_then(Value::as_array);
        let mut required = required.into_iter().flatten().filter_map(Value::as_str);
        if let Some(missing) = required.find(|name| !fields.contains_key(*name)) {
            return Some(format!("{path} lacks {missing}"));
        }
        let known = schema.get("properties").and_then(Value::as_object);
        let is_closed = schema.get("additionalProperties") == Some(&Value::Bool(false))
            && schema.get("patternProperties").is_none();
        for (name, value) in fields {
            match known.and_then(|known| known.get(name)) {
                Some(schema) => {
                    let path = format!("{path}.{name}");
                    if let Some(fault) = self.fault_of(schema, value, &path, depth + 1) {
                        return Some(fault);
                    }
                }
                None if is_closed => return Some(format!("{path} has {name}, which is unknown")),
                None => {}
            }
        }
        None
    }

    /// Follows `$ref` into the schema's own definitions; `None` where it leads nowhere.
    fn resolved(&self, mut schema: &'s Value) -> Option<&'s Value> {
        for _ in 0..DEPTH_MAX {
            let Some(reference) = schema.get("$ref").and_then(Value::as_str) else {
                return Some(schema).filter(|schema| schema.is_object());
            };
            schema = self.root.pointer(reference.strip_prefix('#')?)?;
        }
        None
    }
}

fn fits_type(told: &Value, value: &Value) -> bool {
    match told {
        Value::String(name) => is_of(name, value),
        Value::Array(names) => names
            .iter()
            .filter_map(Value::as_str)
            .any(|name| is_of(name, value)),
        _ => true,
    }
}

/// Gemini writes types in capitals.
fn is_of(name: &str, value: &Value) -> bool {
    match name.to_ascii_lowercase().as_str() {
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
    use super::*;
    use serde_json::json;

    fn check(schema: Value, value: Value, want: Option<&str>) {
        assert_eq!(
            Schema::of(&schema).fault(&value).as_deref(),
            want,
            "{schema} {value}"
        );
    }

    #[test]
    fn arguments_are_held_against_their_schema() {
        let schema = json!({
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": ["integer", "null"]},
                "unit": {"enum": ["C", "F"]},
                "stops": {"type": "array", "items": {"$ref": "#/$defs/Stop"}},
                "who": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            },
            "required": ["city"],
            "additionalProperties": false,
            "$defs": {"Stop": {"type": "object", "required": ["at"]}},
        });
        let cases = [
            (
                json!({"city": "Z", "days": 2.0, "unit": "C", "stops": [{"at": 1}], "who": null}),
                None,
            ),
            (json!({}), Some("arguments lacks city")),
            (
                json!({"city": 7}),
                Some("arguments.city is a number, not string"),
            ),
            (
                json!({"city": "Z", "days": 2.5}),
                Some("arguments.days is a number, not [\"integer\",\"null\"]"),
            ),
            (
                json!({"city": "Z", "unit": "K"}),
                Some("arguments.unit is none of the values that are allowed"),
            ),
            (
                json!({"city": "Z", "stops": [{}]}),
                Some("arguments.stops[] lacks at"),
            ),
            (
                json!({"city": "Z", "who": 7}),
                Some("arguments.who is a number, not null"),
            ),
            (
                json!({"city": "Z", "town": "Z"}),
                Some("arguments has town, which is unknown"),
            ),
            (json!("Z"), Some("arguments is a text, not object")),
        ];
        for (value, want) in cases {
            check(schema.clone(), value, want);
        }
    }

    #[test]
    fn what_is_no_schema_or_has_no_end_fits() {
        let endless = json!({"$ref": "#"});
        check(endless, json!({"a": 1}), None);
        let nested = json!({"properties": {"a": {"$ref": "#"}}});
        let deep = (0..100).fold(json!(1), |inner, _| json!({"a": inner}));
        check(nested, deep, None);
        check(
            json!({"properties": {"city": "[MaxDepth]"}}),
            json!({"city": 7}),
            None,
        );
        check(json!(true), json!({"city": 7}), None);
    }
}
