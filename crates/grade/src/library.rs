//! Graders that are ready: what most people ask first, in wordings that judges understand.
//!
//! Each asks one question, says when it passes and when it fails, and what to answer where the trace does
//! not tell. They are data (`library.json`), meant to be copied and changed.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

static ALL: LazyLock<Vec<Ready>> = LazyLock::new(|| {
    let mut all: Vec<Ready> =
        serde_json::from_str(include_str!("library.json")).expect("a test reads it");
    for ready in &mut all {
        ready.definition["name"] = Value::String(ready.name.clone());
    }
    all
});

/// A grader that is ready.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Ready {
    /// What it is called.
    pub name: String,
    /// What it is for, in one sentence.
    pub description: String,
    /// Its definition, with its name in it.
    pub definition: Value,
}

/// Returns all of them: those that ask a judge first.
pub fn all() -> &'static [Ready] {
    &ALL
}

/// Returns the one of this name.
pub fn find(name: &str) -> Option<&'static Ready> {
    ALL.iter().find(|ready| ready.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::trace::TraceGrader;

    #[test]
    fn every_ready_grader_can_be_used_under_a_name_of_its_own() {
        let mut names = BTreeSet::new();
        for ready in all() {
            let grader = TraceGrader::parse(&ready.definition);
            let grader = grader.unwrap_or_else(|wrong| panic!("{}: {wrong}", ready.name));
            assert_eq!(grader.name(), ready.name);
            assert!(names.insert(&ready.name), "{} is there twice", ready.name);
            assert!(ready.description.ends_with('.'), "{}", ready.description);
            assert_eq!(find(&ready.name), Some(ready));
        }
        assert_eq!(find("nothing"), None);
    }
}
