//! Whether a value fits a JSON schema, as far as schemas of tools and of rows go: types, constants and
//! enumerations, bounds and patterns (`bounds.rs`), items, required, closed and other properties, and
//! alternatives. `format` says nothing, as in the standard, and neither does what is not known here.
//!
//! A schema is told by the sender and hostile like everything else. References are followed into the
//! schema's own definitions; steps and depth are bounded, and what is beyond them fits.

mod bounds;

use serde_json::Value;

/// No more parts of arguments are compared with a schema.
const STEPS_MAX: usize = 20_000;

/// Longer enumerations are not looked through.
const CHOICES_MAX: usize = 1_000;

/// What compiling a pattern counts for, in steps.
const PATTERN_STEPS: usize = 50;

/// Schemas nested deeper are taken to fit.
const DEPTH_MAX: usize = 32;

/// Returns what is wrong with a value by a JSON schema, as far as schemas are looked at here; none if it
/// fits. What is wrong begins with `name`, by which the value is called.
pub fn schema_fault(schema: &Value, value: &Value, name: &str) -> Option<String> {
    Schema::of(schema).fault(value, name)
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
    pub(super) fn fault(&mut self, value: &Value, name: &str) -> Option<String> {
        self.fault_of(self.root, value, name, 0)
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
        if schema == &Value::Bool(false) {
            return Some(format!("{path} is not allowed"));
        }
        let schema = self.resolved(schema)?;
        if value.is_null() && schema.get("nullable") == Some(&Value::Bool(true)) {
            return None;
        }
        if let Some(told) = schema.get("type").filter(|told| !fits_type(told, value)) {
            return Some(format!("{path} is {}, not {}", kind_of(value), words(told)));
        }
        let choices = schema.get("enum").and_then(Value::as_array);
        let choices = choices.filter(|choices| choices.len() <= CHOICES_MAX);
        let is_none_of = |choices: &Vec<Value>| !choices.iter().any(|it| bounds::same(it, value));
        if choices.is_some_and(is_none_of) {
            return Some(format!("{path} is none of the values that are allowed"));
        }
        if let Some(only) = schema
            .get("const")
            .filter(|only| !bounds::same(only, value))
        {
            return Some(format!("{path} is not {only}"));
        }
        let own = match value {
            Value::Object(fields) => bounds::of_object(schema, fields.len(), path)
                .or_else(|| self.object(schema, fields, path, depth)),
            Value::Array(items) => bounds::of_list(schema, items, path)
                .or_else(|| self.items(schema, items, path, depth)),
            Value::Number(number) => bounds::of_number(schema, number, path),
            Value::String(text) => {
                self.steps += PATTERN_STEPS * usize::from(schema.get("pattern").is_some());
                bounds::of_text(schema, text, path)
            }
            Value::Null | Value::Bool(_) => None,
        };
        own.or_else(|| self.combined(schema, value, path, depth))
    }

    /// Returns what is wrong by other schemas that are put together: `allOf`, `anyOf`, `oneOf`, `not`.
    fn combined(
        &mut self,
        schema: &'s Value,
        value: &Value,
        path: &str,
        depth: usize,
    ) -> Option<String> {
        let parts = |key: &str| schema.get(key).and_then(Value::as_array);
        for part in parts("allOf").into_iter().flatten() {
            let fault = self.fault_of(part, value, path, depth + 1);
            if fault.is_some() {
                return fault;
            }
        }
        for key in ["anyOf", "oneOf"] {
            let (mut fitting, mut last) = (0, None);
            for choice in parts(key).into_iter().flatten() {
                match self.fault_of(choice, value, path, depth + 1) {
                    None => fitting += 1,
                    fault => last = fault,
                }
            }
            // Faults of the last choice stand for all.
            if fitting == 0 && last.is_some() {
                return last;
            }
            if key == "oneOf" && fitting > 1 && self.saw_all(depth) {
                return Some(format!(
                    "{path} fits {fitting} alternatives, of which one is meant"
                ));
            }
        }
        let other = schema.get("not").filter(|other| other.is_object())?;
        let fits = self.fault_of(other, value, path, depth + 1).is_none();
        (fits && self.saw_all(depth)).then(|| format!("{path} is what it must not be"))
    }

    /// Returns whether everything was looked at: what was not may be wrong after all.
    fn saw_all(&self, depth: usize) -> bool {
        self.steps <= STEPS_MAX && depth < DEPTH_MAX
    }

    fn items(
        &mut self,
        schema: &'s Value,
        items: &[Value],
        path: &str,
        depth: usize,
    ) -> Option<String> {
        let path = format!("{path}[]");
        let first = schema.get("prefixItems").and_then(Value::as_array);
        let first = first.map_or(&[][..], Vec::as_slice);
        let rest = schema
            .get("items")
            .filter(|rest| rest.is_object() || rest.is_boolean());
        let schemas = first.iter().map(Some).chain(std::iter::repeat(rest));
        let mut pairs = items.iter().zip(schemas);
        pairs.find_map(|(item, schema)| self.fault_of(schema?, item, &path, depth + 1))
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
        let others = schema.get("additionalProperties");
        for (name, value) in fields {
            let schema = match known.and_then(|known| known.get(name)) {
                Some(known) => Some(known),
                None => match self.by_pattern(schema, name) {
                    Named::By(schema) => Some(schema),
                    Named::Unclear => None,
                    Named::Not if others == Some(&Value::Bool(false)) => {
                        return Some(format!("{path} has {name}, which is unknown"));
                    }
                    Named::Not => others,
                },
            };
            let path = format!("{path}.{name}");
            let mut schemas = schema.into_iter();
            let fault = schemas.find_map(|schema| self.fault_of(schema, value, &path, depth + 1));
            if fault.is_some() {
                return fault;
            }
        }
        None
    }

    /// Returns the schema of members whose names match one of its patterns, the first one's.
    fn by_pattern(&mut self, schema: &'s Value, name: &str) -> Named<'s> {
        let patterns = schema.get("patternProperties").and_then(Value::as_object);
        let mut is_clear = true;
        for (pattern, schema) in patterns.into_iter().flatten() {
            self.steps += PATTERN_STEPS;
            if self.steps > STEPS_MAX {
                return Named::Unclear;
            }
            match bounds::finds(pattern, name) {
                Some(true) => return Named::By(schema),
                Some(false) => {}
                None => is_clear = false,
            }
        }
        if is_clear { Named::Not } else { Named::Unclear }
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

/// Whether a member's name matches a pattern.
enum Named<'s> {
    By(&'s Value),
    Not,
    /// A pattern cannot be looked for.
    Unclear,
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
mod tests;
