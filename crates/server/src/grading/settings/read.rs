//! Reading what a project says, with everything that is wrong with it.

use std::collections::BTreeMap;

use insight::Detector;
use serde_json::{Map, Value};

use super::{Effect, GRADING, GradingSettings, JUDGE_MODEL, WorkflowSettings};

/// Entries of one section.
const ENTRIES_MAX: usize = 1_000;

/// A name is no longer than this.
const NAME_CHARS_MAX: usize = 256;

/// A schema is no larger than this, in bytes; they are read for every run.
const SCHEMA_BYTES_MAX: usize = 64 << 10;

/// All of it together.
const BYTES_MAX: usize = 512 << 10;

/// Models that read more than this are not made yet.
const WINDOW_MAX: i64 = 1_000_000_000;

/// Keywords of JSON Schema that [`insight::schema_fault`] looks at, and those that only explain.
const KEYWORDS: [&str; 39] = [
    "$comment",
    "$defs",
    "$id",
    "$ref",
    "$schema",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "default",
    "definitions",
    "deprecated",
    "description",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "nullable",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "required",
    "strict",
    "title",
    "type",
    "uniqueItems",
];

/// Returns all that is wrong with what a project says for grading, among its other settings.
pub(crate) fn problems_of(settings: &Map<String, Value>) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(told) = settings.get(GRADING) {
        self::settings(told, &mut problems);
    }
    let judge = settings.get(JUDGE_MODEL);
    if judge.is_some_and(|judge| !judge.is_null() && name_of(judge).is_none()) {
        problems.push(format!("{JUDGE_MODEL}: it is the name of a model"));
    }
    problems
}

fn name_of(value: &Value) -> Option<&str> {
    let name = value.as_str()?;
    (!name.trim().is_empty() && name.chars().count() <= NAME_CHARS_MAX).then_some(name)
}

/// Reads what a project says, as far as it can be understood.
pub(super) fn settings(told: &Value, problems: &mut Vec<String>) -> GradingSettings {
    let mut settings = GradingSettings::default();
    let Some(sections) = told.as_object() else {
        problems
            .push("it is an object of tools, workflows, schemas and context_windows".to_owned());
        return settings;
    };
    if told.to_string().len() > BYTES_MAX {
        problems.push(format!(
            "all of it together has more than {BYTES_MAX} bytes"
        ));
    }
    for (name, told) in sections {
        match &**name {
            "tools" => settings.tools = entries(name, told, problems, effect),
            "workflows" => settings.workflows = entries(name, told, problems, workflow),
            "schemas" => settings.schemas = entries(name, told, problems, schema),
            "context_windows" => settings.context_windows = entries(name, told, problems, window),
            _ => problems.push(format!(
                "{name}: there is no such field: write judge_model, tools, workflows, schemas or context_windows"
            )),
        }
    }
    settings
}

/// Reads the entries of one section, each by its name.
fn entries<T>(
    section: &str,
    told: &Value,
    problems: &mut Vec<String>,
    read: fn(&Value, &str, &mut Vec<String>) -> Option<T>,
) -> BTreeMap<String, T> {
    let Some(told) = told.as_object() else {
        problems.push(format!(
            "{section}: it is an object of names and what is said of them"
        ));
        return BTreeMap::new();
    };
    if told.len() > ENTRIES_MAX {
        problems.push(format!("{section}: it has more than {ENTRIES_MAX} entries"));
        return BTreeMap::new();
    }
    let mut entries = BTreeMap::new();
    for (name, value) in told {
        let path = format!("{section}.{name}");
        if name.trim().is_empty() || name.chars().count() > NAME_CHARS_MAX {
            problems.push(format!(
                "{section}: a name has 1 to {NAME_CHARS_MAX} characters"
            ));
        } else if let Some(read) = read(value, &path, problems) {
            entries.insert(name.clone(), read);
        }
    }
    entries
}

fn effect(told: &Value, path: &str, problems: &mut Vec<String>) -> Option<Effect> {
    match told.as_str() {
        Some("read") => Some(Effect::Read),
        Some("write") => Some(Effect::Write),
        _ => {
            problems.push(format!("{path}: {told} is neither \"read\" nor \"write\""));
            None
        }
    }
}

fn workflow(told: &Value, path: &str, problems: &mut Vec<String>) -> Option<WorkflowSettings> {
    let Some(told) = told.as_object() else {
        problems.push(format!(
            "{path}: it is an object of muted_detectors, confirm_writes and verify_writes"
        ));
        return None;
    };
    let mut settings = WorkflowSettings::default();
    for (name, told) in told {
        let path = format!("{path}.{name}");
        match &**name {
            "muted_detectors" => settings.muted_detectors = Some(detectors(told, &path, problems)),
            "confirm_writes" => settings.confirm_writes = switch(told, &path, problems),
            "verify_writes" => settings.verify_writes = switch(told, &path, problems),
            _ => problems.push(format!(
                "{path}: there is no such field: write muted_detectors, confirm_writes or verify_writes"
            )),
        }
    }
    Some(settings)
}

fn detectors(told: &Value, path: &str, problems: &mut Vec<String>) -> Vec<Detector> {
    let Some(told) = told.as_array() else {
        problems.push(format!(
            "{path}: it is a list of detectors, such as [\"D03\"]"
        ));
        return Vec::new();
    };
    let mut detectors = Vec::new();
    for one in told {
        match one.as_str().and_then(|id| id.parse::<Detector>().ok()) {
            Some(detector) => detectors.push(detector),
            None => problems.push(format!("{path}: {one} is none of D01 to D30")),
        }
    }
    detectors.sort_unstable();
    detectors.dedup();
    detectors
}

fn switch(told: &Value, path: &str, problems: &mut Vec<String>) -> Option<bool> {
    let on = told.as_bool();
    if on.is_none() {
        problems.push(format!("{path}: {told} is neither true nor false"));
    }
    on
}

fn schema(told: &Value, path: &str, problems: &mut Vec<String>) -> Option<Value> {
    if !told.is_object() {
        problems.push(format!("{path}: it is a JSON schema, an object"));
        return None;
    }
    if told.to_string().len() > SCHEMA_BYTES_MAX {
        problems.push(format!("{path}: it has more than {SCHEMA_BYTES_MAX} bytes"));
        return None;
    }
    Some(told.clone())
}

fn window(told: &Value, path: &str, problems: &mut Vec<String>) -> Option<i64> {
    let tokens = told
        .as_i64()
        .filter(|tokens| (1..=WINDOW_MAX).contains(tokens));
    if tokens.is_none() {
        problems.push(format!(
            "{path}: {told} is not a number of tokens, such as 128000"
        ));
    }
    tokens
}

/// Returns what of the schemas is not looked at, each in a sentence: a text may pass that breaks it.
pub(super) fn warnings(settings: &GradingSettings) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, schema) in &settings.schemas {
        let mut ignored = Vec::new();
        keywords(schema, &mut ignored);
        ignored.sort_unstable();
        ignored.dedup();
        if !ignored.is_empty() {
            let ignored = ignored.join("`, `");
            warnings.push(format!("schemas.{name}: `{ignored}` is not looked at"));
        }
    }
    warnings
}

/// Collects the keywords of a schema and of those in it that are not looked at.
fn keywords<'s>(schema: &'s Value, ignored: &mut Vec<&'s str>) {
    let Some(fields) = schema.as_object() else {
        return;
    };
    for (name, value) in fields {
        match &**name {
            // Names of properties are no keywords, nor is what is in an example.
            "properties" | "patternProperties" | "$defs" | "definitions" => {
                let parts = value.as_object().into_iter().flat_map(Map::values);
                parts.for_each(|part| keywords(part, ignored));
            }
            "allOf" | "anyOf" | "oneOf" | "prefixItems" => {
                let parts = value.as_array().into_iter().flatten();
                parts.for_each(|part| keywords(part, ignored));
            }
            "items" | "not" | "additionalProperties" => keywords(value, ignored),
            _ if KEYWORDS.contains(&&**name) => {}
            _ => ignored.push(name),
        }
    }
}
