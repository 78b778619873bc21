//! Graders that are ready: what most people ask first, in wordings that judges understand.
//!
//! They are data, meant to be copied and changed. Each that asks a judge has a file of its own: one
//! question, when it passes, when it fails, and what to answer where the trace does not tell; ten traces with
//! their right verdicts are in `testdata/graders/`. One that compares two traces says when one is better and
//! when worse, in its question. Those that compute their verdict are in `plain.json`.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

/// Those that ask a judge, by their names.
const JUDGED: [(&str, &str); 8] = [
    ("goal_reached", include_str!("goal_reached.json")),
    ("tool_choice", include_str!("tool_choice.json")),
    ("no_unneeded_steps", include_str!("no_unneeded_steps.json")),
    ("handoff_quality", include_str!("handoff_quality.json")),
    ("grounded", include_str!("grounded.json")),
    ("policy_kept", include_str!("policy_kept.json")),
    ("tone", include_str!("tone.json")),
    ("better_answer", include_str!("better_answer.json")),
];

static ALL: LazyLock<Vec<Ready>> = LazyLock::new(|| {
    let judged = JUDGED.iter().map(|(name, file)| {
        let ready: Unnamed = serde_json::from_str(file).expect("a test reads it");
        Ready {
            name: (*name).to_owned(),
            description: ready.description,
            definition: ready.definition,
        }
    });
    let plain: Vec<Ready> =
        serde_json::from_str(include_str!("plain.json")).expect("a test reads it");
    let mut all: Vec<Ready> = judged.chain(plain).collect();
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

/// A grader whose file is called as it is.
#[derive(Debug, Deserialize)]
struct Unnamed {
    description: String,
    definition: Value,
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
            assert!(ready.description.contains('.'), "{}", ready.description);
            assert_eq!(find(&ready.name), Some(ready));
        }
        assert_eq!(find("nothing"), None);
    }

    #[test]
    fn whoever_asks_a_judge_says_when_it_passes_when_it_fails_and_when_it_cannot_tell() {
        for (name, _) in JUDGED {
            let definition = &find(name).unwrap().definition;
            assert_eq!(definition["type"], "llm", "{name}");
            let text = |field: &str| definition[field].as_str().unwrap_or_default();
            let mut fields = vec!["question", "without_evidence"];
            if definition["pairwise"] == true {
                let question = text("question");
                for words in ["\nBetter when: ", "\nWorse when: "] {
                    assert!(question.contains(words), "{name} does not say {words}");
                }
            } else {
                fields.extend(["pass_when", "fail_when"]);
            }
            for field in fields {
                assert!(text(field).len() > 20, "{name} has no {field}");
            }
        }
    }
}
