//! Which answers does a judge have to choose from?

use serde_json::{Value, json};

use super::{Choice, Scale};

/// What is offered to a judge, and which of it passes.
#[derive(Debug, Clone, PartialEq)]
pub enum Offered {
    /// `pass`, `fail` or `unknown`.
    Verdict,
    /// A number on a scale, or null.
    Score {
        /// The scale.
        scale: Scale,
        /// From which number on it passes.
        pass_threshold: f64,
    },
    /// One of some labels, or null.
    Label {
        /// The labels.
        labels: Vec<String>,
        /// Those that pass.
        passing: Vec<String>,
    },
    /// Which of two traces is better: `A`, `B` or `tie`.
    Better,
}

impl Offered {
    /// Returns what a criterion on this scale offers, where the grader names no threshold of its own.
    pub fn of_scale(scale: Scale, pass_threshold: Option<f64>) -> Self {
        match pass_threshold.or_else(|| scale.default_pass_threshold()) {
            Some(pass_threshold) if scale != Scale::PassFail => Self::Score {
                scale,
                pass_threshold,
            },
            _ => Self::Verdict,
        }
    }

    /// Returns the key of the answer in the judge's object.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Verdict | Self::Better => "verdict",
            Self::Score { .. } => "score",
            Self::Label { .. } => "label",
        }
    }

    /// Returns whether a choice passes; `None` where it decides nothing.
    pub fn passes(&self, choice: &Choice) -> Option<bool> {
        match (self, choice) {
            (_, Choice::Unknown) => None,
            (_, Choice::Pass) => Some(true),
            (_, Choice::Fail) => Some(false),
            (Self::Score { pass_threshold, .. }, Choice::Score(score)) => {
                Some(score >= pass_threshold)
            }
            (Self::Label { passing, .. }, Choice::Label(label)) => Some(passing.contains(label)),
            _ => None,
        }
    }

    /// Returns whether a choice has to point at something: a fail, and the word that one trace is better.
    pub fn needs_evidence(&self, choice: &Choice) -> bool {
        match choice {
            Choice::First | Choice::Second => true,
            _ => self.passes(choice) == Some(false),
        }
    }

    /// Returns the JSON schema of an answer, its fields in the order in which a judge should think:
    /// evidence, reasoning, and only then the decision.
    pub fn schema(&self) -> Value {
        let text = json!({"type": "string"});
        let place = match self {
            Self::Better => json!({
                "type": "object",
                "properties": {
                    "trace": {"type": "string", "enum": ["A", "B"]},
                    "span_id": text,
                    "quote": text,
                },
                "required": ["trace", "span_id", "quote"],
                "additionalProperties": false,
            }),
            _ => json!({
                "type": "object",
                "properties": {"span_id": text, "quote": text},
                "required": ["span_id", "quote"],
                "additionalProperties": false,
            }),
        };
        let evidence = json!({"type": "array", "items": place});
        let key = self.key();
        json!({
            "type": "object",
            "properties": {
                "evidence": evidence,
                "reasoning": {"type": "string", "description": "at most 120 words"},
                key: self.choice_schema(),
                "confidence": {"type": "number", "minimum": 0, "maximum": 1},
            },
            "required": ["evidence", "reasoning", key, "confidence"],
            "additionalProperties": false,
        })
    }

    fn choice_schema(&self) -> Value {
        match self {
            Self::Verdict => json!({"type": "string", "enum": ["pass", "fail", "unknown"]}),
            Self::Better => json!({"type": "string", "enum": ["A", "B", "tie"]}),
            Self::Label { labels, .. } => {
                let words = labels.iter().map(|label| Value::from(label.as_str()));
                let all: Vec<Value> = words.chain([Value::Null]).collect();
                json!({"type": ["string", "null"], "enum": all})
            }
            Self::Score { scale, .. } => match *scale {
                Scale::Whole { low, high } => {
                    json!({"type": ["integer", "null"], "minimum": low, "maximum": high})
                }
                Scale::Real { low, high } => {
                    json!({"type": ["number", "null"], "minimum": low, "maximum": high})
                }
                Scale::PassFail => json!({"type": ["number", "null"]}),
            },
        }
    }

    /// Returns the choices in words.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Verdict => "\"pass\", \"fail\" or \"unknown\"".to_owned(),
            Self::Better => "\"A\", \"B\" or \"tie\"".to_owned(),
            Self::Score { scale, .. } => match *scale {
                Scale::Whole { low, high } => {
                    format!("a whole number from {low} to {high}, or null if you cannot tell")
                }
                Scale::Real { low, high } => {
                    format!("a number from {low} to {high}, or null if you cannot tell")
                }
                Scale::PassFail => "a number".to_owned(),
            },
            Self::Label { labels, .. } => {
                let all: Vec<String> = labels
                    .iter()
                    .map(|label| Value::from(label.as_str()).to_string())
                    .collect();
                format!("one of {}, or null if you cannot tell", all.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_lets_a_judge_think_before_it_decides() {
        let offered = Offered::of_scale(Scale::Whole { low: 1, high: 5 }, None);
        let schema = offered.schema();
        let keys: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["evidence", "reasoning", "score", "confidence"]);
        insta::assert_json_snapshot!("schema_verdict", Offered::Verdict.schema());
    }

    #[test]
    fn what_passes_depends_on_what_is_offered() {
        let score = Offered::of_scale(Scale::Whole { low: 1, high: 5 }, None);
        assert_eq!(score.passes(&Choice::Score(4.0)), Some(true));
        assert_eq!(score.passes(&Choice::Score(3.0)), Some(false));
        assert_eq!(score.passes(&Choice::Unknown), None);
        let label = Offered::Label {
            labels: vec!["good".into(), "bad".into()],
            passing: vec!["good".into()],
        };
        assert_eq!(label.passes(&Choice::Label("bad".into())), Some(false));
        assert_eq!(label.passes(&Choice::Unknown), None);
        let offers = &label.schema()["properties"]["label"];
        assert_eq!(offers["enum"], json!(["good", "bad", null]));
        assert_eq!(
            Offered::of_scale(Scale::PassFail, Some(0.7)),
            Offered::Verdict
        );
    }
}
