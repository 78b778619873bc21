//! Graders of traces.
//!
//! A definition is read with all that is wrong with it. What it means is then a function of the
//! definition, the trace and what [`Subject`] tells beside it; only judges and code are asked, by way of
//! [`Services`], and what they cannot answer is a verdict too: no verdict is not a fail. What would make
//! every further trace fail alike is no verdict but a [`Halt`].

mod code;
mod environment;
mod hash;
mod llm;
mod multi;
mod plain;
mod rows;
mod scales;
mod subject;

use std::collections::BTreeMap;

use insight::Detector;
use insight::trajectory::TrajectoryGrader;
use model::{NanoUsd, Outcome, Verdict};
use serde_json::{Map, Value};

use crate::openai::problems::{Fields, Problems};
use crate::openai::{Place, canonical};
use crate::scale::GraderScale;
use code::CodeGrader;
use llm::Llm;
use multi::Multi;
use plain::RuleGrader;
use rows::RowGrader;

pub use hash::content_hash;
pub use subject::{
    Costs, Counterpart, Exchange, Graded, Halt, Needs, Purpose, Services, Subject, TracePython,
};

/// The types, as a mistaken one is told of.
const TYPES: &str = "write rule, detector, trajectory, llm, code, python, multi, string_check, \
                     text_similarity, score_model or label_model";

/// A grader of traces.
#[derive(Debug)]
pub struct TraceGrader {
    name: String,
    kind: Kind,
    definition: Value,
    hash: String,
}

#[derive(Debug)]
enum Kind {
    Rule(Box<RuleGrader>),
    Detector(Detector),
    Trajectory(Box<TrajectoryGrader>),
    Llm(Box<Llm>),
    /// Of the type `code`, or `python` as OpenAI has it.
    Code(&'static str, Box<CodeGrader>),
    Row(Box<RowGrader>),
    Multi(Box<Multi>),
}

/// What is wrong with a definition, each mistake in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct DefinitionProblems(pub Vec<String>);

impl TraceGrader {
    /// Reads a definition, or says everything that is wrong with it.
    ///
    /// It is one of our types (`rule`, `detector`, `trajectory`, `llm`, `code`, `multi`) or of OpenAI's
    /// (`string_check`, `text_similarity`, `score_model`, `label_model`, `python`), with a `name` if it
    /// has one.
    pub fn parse(definition: &Value) -> Result<Self, DefinitionProblems> {
        let mut problems = Problems::of_place(Place::Trace);
        match Self::read(definition, "", &mut problems) {
            Some(grader) if problems.is_empty() => Ok(grader),
            _ => {
                let list = problems.list().iter();
                Err(DefinitionProblems(list.map(ToString::to_string).collect()))
            }
        }
    }

    /// Reads the definition that stands at `path`.
    fn read(definition: &Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut fields = Fields::of(definition, path, problems)?;
        let help = "write a text, or leave it out";
        let name = fields
            .words("name", help)
            .map(|name| name.map(str::to_owned));
        let kind = Kind::read(&mut fields, path);
        let (name, kind) = (name?, kind?);
        let mut written = Map::new();
        written.insert("type".into(), kind.as_str().into());
        written.extend(kind.definition());
        let mut definition = Value::Object(written);
        let hash = blake3::hash(canonical::text(&definition).as_bytes());
        if let (Some(name), Value::Object(fields)) = (&name, &mut definition) {
            fields.shift_insert(1, "name".into(), name.as_str().into());
        }
        Some(Self {
            name: name.unwrap_or_else(|| kind.as_str().to_owned()),
            kind,
            definition,
            hash: hash.to_hex().to_string(),
        })
    }

    /// Returns its name: its type if nobody gave one.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the word for its type.
    pub fn kind(&self) -> &'static str {
        self.kind.as_str()
    }

    /// Returns the definition as it is understood: its scale and its defaults written out. Reading it
    /// again gives the same grader.
    pub fn definition(&self) -> &Value {
        &self.definition
    }

    /// Returns the BLAKE3 hash of the definition without its name, in hex: the same for every way of
    /// writing it that means the same.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Returns what grading with it costs.
    pub fn cost(&self) -> Costs {
        match &self.kind {
            Kind::Rule(_) | Kind::Detector(_) | Kind::Trajectory(_) => Costs::Nothing,
            Kind::Llm(_) => Costs::Judge,
            Kind::Code(..) => Costs::Code,
            Kind::Row(grader) if grader.asks_judge() => Costs::Judge,
            Kind::Row(_) => Costs::Nothing,
            Kind::Multi(multi) => {
                let parts = multi.parts().map(|(_, part)| part.cost());
                parts.max().unwrap_or(Costs::Nothing)
            }
        }
    }

    /// Returns whether it compares a trace with another one, which a run must then be told.
    pub fn is_pairwise(&self) -> bool {
        matches!(&self.kind, Kind::Llm(llm) if llm.is_pairwise())
    }

    /// Returns the scale of its answers.
    pub fn scale(&self) -> GraderScale {
        match &self.kind {
            Kind::Rule(grader) => grader.scale(),
            Kind::Detector(_) => GraderScale::PassFail,
            Kind::Trajectory(grader) => plain::trajectory_scale(grader),
            Kind::Llm(llm) => scales::of_offered(llm.offered()),
            Kind::Code(_, grader) => grader.scale().clone(),
            Kind::Row(grader) => grader.scale(),
            Kind::Multi(multi) => multi.scale().clone(),
        }
    }

    /// Returns the definition of a `multi` that asks one by one what this grader asks at once: none unless
    /// its criterion numbers several questions. It passes if all of them hold.
    ///
    /// One number for four questions tells nobody which of them failed; whoever saves such a grader is
    /// offered this one.
    pub fn split(&self) -> Option<Value> {
        let Kind::Llm(llm) = &self.kind else {
            return None;
        };
        let (graders, formula) = llm.split().filter(|_| !llm.per_span)?;
        Some(serde_json::json!({
            "type": "multi",
            "name": self.name,
            "graders": graders,
            "calculate_output": formula,
            "range": [0, 1],
            "pass_threshold": 1,
        }))
    }

    /// Returns the modules in Python that are in it, each with its place in the definition.
    pub fn sources(&self) -> Vec<(String, &str)> {
        match &self.kind {
            Kind::Code(_, grader) => vec![("source".to_owned(), grader.source())],
            Kind::Multi(multi) => {
                let mut sources = Vec::new();
                for (key, part) in multi.parts() {
                    let of_part = part.sources().into_iter();
                    sources.extend(
                        of_part.map(|(place, source)| (format!("graders.{key}.{place}"), source)),
                    );
                }
                sources
            }
            _ => Vec::new(),
        }
    }

    /// Returns what must be known before it runs.
    pub fn needs(&self) -> Needs {
        match &self.kind {
            Kind::Rule(grader) => Needs {
                content: grader.rule.reads_content(),
                ..needs_of_rule(grader.rule.needs())
            },
            Kind::Detector(_) | Kind::Trajectory(_) => Needs {
                content: true,
                ..Needs::default()
            },
            Kind::Llm(llm) => Needs {
                content: true,
                reference: llm.needs_reference(),
                ..llm
                    .focus
                    .as_ref()
                    .map(|focus| needs_of_rule(focus.needs()))
                    .unwrap_or_default()
            },
            Kind::Code(..) | Kind::Row(_) => Needs {
                content: true,
                ..Needs::default()
            },
            Kind::Multi(multi) => {
                let mut needs = Needs::default();
                let keys: Vec<&str> = multi.parts().map(|(key, _)| key).collect();
                for (_, part) in multi.parts() {
                    needs.add(part.needs());
                }
                needs.scores.retain(|score| !keys.contains(&score.as_str()));
                needs
            }
        }
    }

    /// Returns how many questions it puts to judges about one trace: the sum over the graders of a run is
    /// [`Subject::criteria_per_trace`].
    pub fn criteria(&self) -> usize {
        match &self.kind {
            Kind::Llm(_) => 1,
            Kind::Row(grader) => usize::from(grader.asks_judge()),
            Kind::Multi(multi) => multi.parts().map(|(_, part)| part.criteria()).sum(),
            _ => 0,
        }
    }

    /// Returns what grading this trace is thought to cost: nothing for graders that ask nobody; none if
    /// the judge has no price, or there is none.
    pub fn estimate(&self, subject: &Subject<'_>, services: &Services<'_>) -> Option<NanoUsd> {
        match &self.kind {
            Kind::Llm(llm) => llm.estimate(subject, services),
            Kind::Row(grader) => grader.estimate(subject, services),
            Kind::Multi(multi) => multi.estimate(subject, services),
            _ => Some(NanoUsd::default()),
        }
    }

    /// Grades a trace at once, if the grader asks neither a judge nor code; else none.
    pub fn grade_now(&self, subject: &Subject<'_>) -> Option<Verdict> {
        self.grade_now_with(subject, None)
    }

    /// As [`TraceGrader::grade_now`], with the scores of the parts of a `multi` that ran before.
    fn grade_now_with(
        &self,
        subject: &Subject<'_>,
        scores: Option<&BTreeMap<String, f64>>,
    ) -> Option<Verdict> {
        match &self.kind {
            Kind::Rule(grader) => Some(grader.grade(subject, scores)),
            Kind::Detector(detector) => Some(plain::grade_by_detector(*detector, subject)),
            Kind::Trajectory(grader) => Some(plain::grade_trajectory(grader, subject)),
            Kind::Multi(multi) => multi.grade_now(subject),
            Kind::Llm(_) | Kind::Code(..) | Kind::Row(_) => None,
        }
    }

    /// Grades a trace: one verdict, or one for each span of a grader that says `"per": "span"`.
    pub async fn grade(
        &self,
        subject: &Subject<'_>,
        services: &Services<'_>,
    ) -> Result<Vec<Graded>, Halt> {
        if let Some(verdict) = self.grade_now(subject) {
            return Ok(vec![Graded::of(verdict)]);
        }
        match &self.kind {
            Kind::Llm(llm) => llm.grade(&self.hash, subject, services).await,
            Kind::Code(_, grader) => Ok(vec![grader.grade(subject, services).await]),
            Kind::Row(grader) => Ok(vec![grader.grade(&self.hash, subject, services).await?]),
            Kind::Multi(multi) => Ok(vec![multi.grade(subject, services).await?]),
            Kind::Rule(_) | Kind::Detector(_) | Kind::Trajectory(_) => Ok(Vec::new()),
        }
    }
}

impl Kind {
    fn read(fields: &mut Fields<'_, '_>, path: &str) -> Option<Self> {
        let word = fields.text("type", TYPES)?;
        match word {
            "rule" => RuleGrader::parse(fields).map(|grader| Self::Rule(Box::new(grader))),
            "detector" => plain::parse_detector(fields).map(Self::Detector),
            "trajectory" => {
                let grader = plain::parse_trajectory(fields);
                grader.map(|grader| Self::Trajectory(Box::new(grader)))
            }
            "llm" => Llm::parse(fields).map(|llm| Self::Llm(Box::new(llm))),
            "code" | "python" => {
                let kind = if word == "code" { "code" } else { "python" };
                let grader = CodeGrader::parse(fields, kind == "code");
                grader.map(|grader| Self::Code(kind, Box::new(grader)))
            }
            "multi" => Multi::parse(fields, path).map(|multi| Self::Multi(Box::new(multi))),
            "string_check" | "text_similarity" | "score_model" | "label_model" => {
                RowGrader::parse(fields, path).map(|grader| Self::Row(Box::new(grader)))
            }
            other => {
                fields.note("type", format!("`{other}` is no type of grader"), TYPES);
                None
            }
        }
    }

    fn as_str(&self) -> &'static str {
        match self {
            Self::Rule(_) => "rule",
            Self::Detector(_) => "detector",
            Self::Trajectory(_) => "trajectory",
            Self::Llm(_) => "llm",
            Self::Code(kind, _) => kind,
            Self::Row(grader) => grader.kind(),
            Self::Multi(_) => "multi",
        }
    }

    /// Returns the definition without type and name, its defaults written out.
    fn definition(&self) -> Map<String, Value> {
        match self {
            Self::Rule(grader) => grader.definition(),
            Self::Detector(detector) => {
                let id = detector.as_str().into();
                [("detector".to_owned(), id)].into_iter().collect()
            }
            Self::Trajectory(grader) => plain::trajectory_definition(grader),
            Self::Llm(llm) => llm.definition(),
            Self::Code(_, grader) => grader.definition(),
            Self::Row(grader) => grader.definition(),
            Self::Multi(multi) => multi.definition(),
        }
    }
}

impl Needs {
    fn add(&mut self, other: Self) {
        self.content |= other.content;
        self.reference |= other.reference;
        for (own, more) in [
            (&mut self.detectors, other.detectors),
            (&mut self.scores, other.scores),
            (&mut self.baselines, other.baselines),
            (&mut self.schemas, other.schemas),
        ] {
            for one in more {
                if !own.contains(&one) {
                    own.push(one);
                }
            }
        }
    }
}

fn needs_of_rule(needs: &insight::rule::Needs) -> Needs {
    Needs {
        detectors: needs.detectors.clone(),
        scores: needs.scores.clone(),
        baselines: needs.baselines.clone(),
        schemas: needs.schemas.clone(),
        ..Needs::default()
    }
}

/// Returns what a verdict is as a number, for formulas and for rules that ask for scores: its own, else 1
/// for a pass and 0 for a fail.
pub fn number_of(verdict: &Verdict) -> Option<f64> {
    verdict.score.or(match verdict.outcome {
        Outcome::Pass => Some(1.0),
        Outcome::Fail => Some(0.0),
        Outcome::Value | Outcome::NotApplicable | Outcome::Unscored => None,
    })
}
