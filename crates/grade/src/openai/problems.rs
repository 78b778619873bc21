//! What is wrong with a definition, all of it at once.
//!
//! Whoever writes a grader by hand wants one answer with every mistake in it, each with its place and
//! with what would be right, not one mistake a try. So reading a definition never stops at the first:
//! a reader notes what it misses and goes on.

use std::fmt;

use serde_json::{Map, Value};

use super::Place;
use super::template::{OF_ROWS, OF_TRACES};

/// One mistake in a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: `graders.name.input`; empty for the definition itself.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        match self.help.is_empty() {
            true => f.write_str(&self.message),
            false => write!(f, "{}; {}", self.message, self.help),
        }
    }
}

/// Every mistake that was found in a definition; one a line when printed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems {
    list: Vec<Problem>,
    /// Whether templates of the definition may name `trace` and `spans`.
    is_of_trace: bool,
}

impl Problems {
    /// Returns the mistakes in the order in which they were met.
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// Returns whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns that nothing is wrong yet with a definition that is used in this place.
    pub(crate) fn of_place(place: Place) -> Self {
        Self {
            list: Vec::new(),
            is_of_trace: place == Place::Trace,
        }
    }

    /// Returns what templates of the definition may begin with.
    pub(crate) fn roots(&self) -> &'static [&'static str] {
        match self.is_of_trace {
            true => OF_TRACES,
            false => OF_ROWS,
        }
    }

    /// Notes a mistake.
    pub(crate) fn note(
        &mut self,
        path: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.list.push(Problem {
            path: path.into(),
            message: message.into(),
            help: help.into(),
        });
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.list.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// An object of a definition that is being read: what is missing or of the wrong kind is noted, and
/// `None` says that it was.
#[derive(Debug)]
pub(crate) struct Fields<'v, 'p> {
    object: &'v Map<String, Value>,
    path: String,
    pub(crate) problems: &'p mut Problems,
}

impl<'v, 'p> Fields<'v, 'p> {
    /// Returns a reader of `value`, which stands at `path`; notes it if it is no object.
    pub(crate) fn of(value: &'v Value, path: &str, problems: &'p mut Problems) -> Option<Self> {
        let Some(object) = value.as_object() else {
            problems.note(
                path,
                format!("is {}", kind_of(value)),
                "write an object with `type` and its fields",
            );
            return None;
        };
        Some(Self {
            object,
            path: path.to_owned(),
            problems,
        })
    }

    /// Returns all fields.
    pub(crate) fn object(&self) -> &'v Map<String, Value> {
        self.object
    }

    /// Notes a mistake that its text places.
    pub(crate) fn note_whole(&mut self, message: impl Into<String>) {
        self.problems.note(self.path.clone(), message, "");
    }

    /// Returns the path of a field.
    pub(crate) fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// Notes a mistake in a field.
    pub(crate) fn note(&mut self, key: &str, message: impl Into<String>, help: impl Into<String>) {
        self.problems.note(join(&self.path, key), message, help);
    }

    /// Returns a field that is there and not null.
    pub(crate) fn get(&self, key: &str) -> Option<&'v Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    /// Returns a field that must be there.
    pub(crate) fn required(&mut self, key: &str, help: &str) -> Option<&'v Value> {
        let value = self.get(key);
        if value.is_none() {
            self.note(key, "is missing", help);
        }
        value
    }

    /// Returns a text that must be there.
    pub(crate) fn text(&mut self, key: &str, help: &str) -> Option<&'v str> {
        let value = self.required(key, help)?;
        let text = value.as_str();
        if text.is_none() {
            self.note(key, format!("is {}", kind_of(value)), help);
        }
        text
    }

    /// Returns a finite number that may be there: `Some(None)` when it is absent, `None` when it is
    /// wrong.
    pub(crate) fn number(&mut self, key: &str, help: &str) -> Option<Option<f64>> {
        let Some(value) = self.get(key) else {
            return Some(None);
        };
        match value.as_f64().filter(|number| number.is_finite()) {
            Some(number) => Some(Some(number)),
            None => {
                self.note(key, format!("is {}", kind_of(value)), help);
                None
            }
        }
    }

    /// Notes every field that is none of these.
    pub(crate) fn only(&mut self, known: &[&str]) {
        for key in self.object.keys() {
            if !known.contains(&key.as_str()) {
                let help = format!("there are {}", known.join(", "));
                self.problems
                    .note(join(&self.path, key), "is unknown", help);
            }
        }
    }

    /// Returns a text that may be there and must hold something: `Some(None)` when it is absent, `None`
    /// when it is wrong.
    pub(crate) fn words(&mut self, key: &str, help: &str) -> Option<Option<&'v str>> {
        let Some(value) = self.get(key) else {
            return Some(None);
        };
        match value.as_str() {
            Some(text) if !text.trim().is_empty() => return Some(Some(text)),
            Some(_) => self.note(key, "is empty", help),
            None => self.note(key, format!("is {}", kind_of(value)), help),
        }
        None
    }

    /// Returns whether a flag is set: `default` when it is absent, `None` when it is wrong.
    pub(crate) fn flag(&mut self, key: &str, default: bool) -> Option<bool> {
        let Some(value) = self.get(key) else {
            return Some(default);
        };
        let flag = value.as_bool();
        if flag.is_none() {
            self.note(key, format!("is {}", kind_of(value)), "write true or false");
        }
        flag
    }

    /// Returns a list that must be there and hold something.
    pub(crate) fn list(&mut self, key: &str, help: &str) -> Option<&'v [Value]> {
        let value = self.required(key, help)?;
        let Some(list) = value.as_array() else {
            self.note(key, format!("is {}", kind_of(value)), help);
            return None;
        };
        if list.is_empty() {
            self.note(key, "is empty", help);
            return None;
        }
        Some(list)
    }

    /// Returns a list of texts that must be there and hold something.
    pub(crate) fn texts(&mut self, key: &str, help: &str) -> Option<Vec<String>> {
        let list = self.list(key, help)?;
        let texts: Option<Vec<String>> = list
            .iter()
            .map(|value| value.as_str().map(str::to_owned))
            .collect();
        if texts.is_none() {
            self.note(key, "holds something that is no text", help);
        }
        texts
    }
}

/// Returns the path of a field of what stands at `path`.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Returns what a JSON value is, in words.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
