//! Graders that need nothing but the trace: rules, detectors and trajectories.
//!
//! Grading is a function of the definition and the trace alone, so it is done at once, wherever it is
//! asked for.

use std::collections::BTreeMap;

use insight::rule::{Gives, Rule};
use insight::trajectory::{TrajectoryContext, TrajectoryGrader};
use insight::{Answer, Detector, Detectors, schema_fault};
use model::{JsonText, Outcome, Verdict};
use serde_json::{Map, Value, json};

use super::Subject;
use super::environment::Known;
use crate::openai::problems::Fields;
use crate::scale::GraderScale;

/// Whether something holds, in the rule language.
#[derive(Debug)]
pub(super) struct RuleGrader {
    pub(super) rule: Rule,
    strict: bool,
}

impl RuleGrader {
    pub(super) fn parse(fields: &mut Fields<'_, '_>) -> Option<Self> {
        fields.only(&["type", "name", "check", "strict"]);
        let strict = fields.flag("strict", false);
        let source = fields.text("check", "write a condition, such as \"tool_errors == 0\"")?;
        match Rule::parse(source) {
            Ok(rule) => {
                let is_known = known_detectors(fields, "check", &rule.needs().detectors);
                let strict = strict?;
                is_known.then(|| Self {
                    rule: rule.strict(strict),
                    strict,
                })
            }
            Err(wrong) => {
                fields.note("check", format!("cannot be understood:\n{wrong}"), "");
                None
            }
        }
    }

    pub(super) fn definition(&self) -> Map<String, Value> {
        let mut definition = Map::new();
        definition.insert("check".into(), self.rule.source().into());
        if self.strict {
            definition.insert("strict".into(), true.into());
        }
        definition
    }

    /// A number is neither good nor bad by itself. Of texts nobody knows how many there are, so they are
    /// counted and not compared.
    pub(super) fn scale(&self) -> GraderScale {
        match self.rule.gives() {
            Gives::Condition | Gives::Text => GraderScale::PassFail,
            Gives::Number => GraderScale::Number {
                low: None,
                high: None,
                pass_threshold: None,
            },
        }
    }

    pub(super) fn grade(
        &self,
        subject: &Subject<'_>,
        scores: Option<&BTreeMap<String, f64>>,
    ) -> Verdict {
        let known = Known::of(subject, &self.rule.needs().detectors);
        match scores {
            Some(scores) => self.rule.grade(subject.view, &known.with_scores(scores)),
            None => self.rule.grade(subject.view, &known),
        }
        .into()
    }
}

/// Returns whether all detectors that an expression asks are there; notes those that are not.
pub(super) fn known_detectors(fields: &mut Fields<'_, '_>, key: &str, asked: &[String]) -> bool {
    let strange = asked.iter().filter(|id| id.parse::<Detector>().is_err());
    let strange: Vec<&String> = strange.collect();
    for id in &strange {
        let help = "write one of D01 to D30";
        fields.note(
            key,
            format!("asks the detector `{id}`, which is none"),
            help,
        );
    }
    strange.is_empty()
}

/// Reads which detector is asked.
pub(super) fn parse_detector(fields: &mut Fields<'_, '_>) -> Option<Detector> {
    fields.only(&["type", "name", "detector"]);
    let word = fields.text("detector", "write one of D01 to D30")?;
    match word.parse() {
        Ok(detector) => Some(detector),
        Err(unknown) => {
            fields.note("detector", unknown.to_string(), "");
            None
        }
    }
}

/// Returns what a detector says of a trace: that it found nothing is a pass.
pub(super) fn grade_by_detector(detector: Detector, subject: &Subject<'_>) -> Verdict {
    let findings = Detectors::only([detector]).run(subject.view, subject.context);
    let Some(finding) = findings.into_iter().next() else {
        return Verdict::new(Outcome::NotApplicable);
    };
    match finding.answer {
        Answer::Clear => Verdict::new(Outcome::Pass),
        Answer::NotApplicable(lacking) => Verdict {
            reasoning: Some(lacking.to_owned()),
            ..Verdict::new(Outcome::NotApplicable)
        },
        Answer::Muted => Verdict {
            reasoning: Some(format!("{detector} is muted for this workflow")),
            ..Verdict::new(Outcome::NotApplicable)
        },
        Answer::Hits(hits) => Verdict {
            reasoning: hits.first().map(|hit| hit.evidence.clone()),
            citations: hits.into_iter().flat_map(|hit| hit.spans).collect(),
            ..Verdict::new(Outcome::Fail)
        },
    }
}

/// Reads what is measured of a trajectory.
pub(super) fn parse_trajectory(fields: &mut Fields<'_, '_>) -> Option<TrajectoryGrader> {
    let mut definition = fields.object().clone();
    definition.shift_remove("name");
    match TrajectoryGrader::parse(&Value::Object(definition)) {
        Ok(grader) => Some(grader),
        Err(wrong) => {
            for problem in wrong.0 {
                fields.note_whole(problem);
            }
            None
        }
    }
}

/// Returns the definition of a trajectory grader, its defaults written out.
pub(super) fn trajectory_definition(grader: &TrajectoryGrader) -> Map<String, Value> {
    match json!(grader) {
        Value::Object(mut definition) => {
            definition.shift_remove("type");
            definition
        }
        _ => Map::new(),
    }
}

/// Returns the scale of a trajectory grader: all metrics are shares but Kendall's.
pub(super) fn trajectory_scale(grader: &TrajectoryGrader) -> GraderScale {
    let low = match grader.metric {
        insight::trajectory::Metric::KendallTau => -1.0,
        _ => 0.0,
    };
    GraderScale::Number {
        low: Some(low),
        high: Some(1.0),
        pass_threshold: Some(grader.pass_threshold),
    }
}

/// Measures the trajectory of a trace.
pub(super) fn grade_trajectory(grader: &TrajectoryGrader, subject: &Subject<'_>) -> Verdict {
    let check = |schema: &JsonText, arguments: &Value| {
        schema_fault(&schema.to_value(), arguments, "arguments").map_or(Ok(()), Err)
    };
    let context = TrajectoryContext {
        schema_check: Some(&check),
        ..TrajectoryContext::new(&subject.context.effects)
    };
    grader.grade(subject.view, &context)
}
