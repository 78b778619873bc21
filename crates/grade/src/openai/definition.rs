//! Which grader is it, and is it whole?

use std::time::Instant;

use serde_json::Value;

use super::held::Held;
use super::label_model::LabelModel;
use super::multi::Multi;
use super::problems::{Fields, Problems};
use super::python::PythonGrader;
use super::report::GraderReport;
use super::score_model::ScoreModel;
use super::similarity::TextSimilarity;
use super::string_check::StringCheck;
use super::template::Template;
use super::{Kind, Place, Services};

/// A grader as its `type` has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Definition {
    Single(Single),
    Multi(Multi),
}

/// A grader that is no `multi`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Single {
    StringCheck(StringCheck),
    TextSimilarity(TextSimilarity),
    ScoreModel(ScoreModel),
    LabelModel(LabelModel),
    Python(PythonGrader),
}

/// Where a definition stands: the place, and whether it is a part of a `multi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    Whole(Place),
    Part,
}

impl Position {
    /// Returns the types that are accepted here.
    fn kinds(self) -> &'static [Kind] {
        use Kind::{LabelModel, Multi, Python, ScoreModel, StringCheck, TextSimilarity};
        match self {
            Self::Whole(Place::Eval) => {
                &[StringCheck, TextSimilarity, LabelModel, ScoreModel, Python]
            }
            Self::Whole(Place::GradersRun) => {
                &[StringCheck, TextSimilarity, Python, ScoreModel, Multi]
            }
            Self::Whole(Place::Trace) => &[StringCheck, TextSimilarity, LabelModel, ScoreModel],
            Self::Part => &[StringCheck, TextSimilarity, Python, ScoreModel, LabelModel],
        }
    }

    /// Returns whether texts may be compared by their vectors here.
    pub(super) fn has_embeddings(self) -> bool {
        matches!(self, Self::Whole(Place::Eval | Place::Trace))
    }

    /// Returns whether it is a testing criterion of an eval.
    pub(super) fn is_eval(self) -> bool {
        self == Self::Whole(Place::Eval)
    }
}

/// What every definition has.
#[derive(Debug)]
struct Head<'v> {
    name: Option<&'v str>,
    kind: Option<Kind>,
}

impl<'v> Head<'v> {
    /// Reads type and name. A grader without a name is told so, but for Python's, which OpenAI's guide shows
    /// without, those of traces, and parts of a `multi`, whose key names them.
    fn parse(fields: &mut Fields<'v, '_>, position: Position) -> Self {
        let kind = kind(fields, position);
        let nameless = kind == Some(Kind::Python)
            || matches!(position, Position::Part | Position::Whole(Place::Trace));
        let name = match fields.get("name") {
            None if nameless => Some(kind.map_or("", Kind::as_str)),
            _ => fields.text("name", "give the grader a name, a text"),
        };
        Self { name, kind }
    }
}

impl Definition {
    /// Reads a definition that stands for itself, with its name and type.
    pub(super) fn parse(
        value: &Value,
        place: Place,
        problems: &mut Problems,
    ) -> Option<(String, Kind, Self)> {
        let position = Position::Whole(place);
        let mut fields = Fields::of(value, "", problems)?;
        let head = Head::parse(&mut fields, position);
        let definition = match head.kind? {
            Kind::Multi => Multi::parse(&mut fields).map(Self::Multi),
            kind => Single::parse(kind, &mut fields, position).map(Self::Single),
        };
        Some((head.name?.to_owned(), head.kind?, definition?))
    }
}

impl Single {
    /// Reads the part of a `multi` that stands at `path`, with its type.
    pub(super) fn parse_part(
        value: &Value,
        path: &str,
        problems: &mut Problems,
    ) -> Option<(Kind, Self)> {
        let mut fields = Fields::of(value, path, problems)?;
        let head = Head::parse(&mut fields, Position::Part);
        let single = Self::parse(head.kind?, &mut fields, Position::Part);
        head.name?;
        Some((head.kind?, single?))
    }

    fn parse(kind: Kind, fields: &mut Fields<'_, '_>, position: Position) -> Option<Self> {
        match kind {
            Kind::StringCheck => StringCheck::parse(fields).map(Self::StringCheck),
            Kind::TextSimilarity => {
                TextSimilarity::parse(fields, position).map(Self::TextSimilarity)
            }
            Kind::ScoreModel => ScoreModel::parse(fields).map(Self::ScoreModel),
            Kind::LabelModel => LabelModel::parse(fields).map(Self::LabelModel),
            Kind::Python => PythonGrader::parse(fields).map(Self::Python),
            // is refused with its type where a single grader is asked for
            Kind::Multi => None,
        }
    }

    /// Grades one row.
    pub(super) async fn grade(
        &self,
        name: &str,
        kind: Kind,
        held: Held<'_>,
        services: &Services<'_>,
    ) -> GraderReport {
        let began = Instant::now();
        let mut report = GraderReport::new(name, kind);
        let score = match self {
            Self::StringCheck(grader) => grader.score(held),
            Self::TextSimilarity(grader) => grader.score(held, services).await,
            Self::ScoreModel(grader) => grader.score(held, services, &mut report).await,
            Self::LabelModel(grader) => grader.score(held, services, &mut report).await,
            Self::Python(grader) => grader.score(held, services).await,
        };
        match score {
            Ok(score) => {
                report.reward = score;
                report.passed = self.passes(score);
            }
            Err(fault) => report.errors.note(&fault),
        }
        report.execution_time = began.elapsed();
        report
    }

    /// Returns whether a score passes; `None` where no threshold says so.
    fn passes(&self, score: f64) -> Option<bool> {
        let threshold = match self {
            Self::StringCheck(_) | Self::LabelModel(_) => 1.0,
            Self::TextSimilarity(grader) => grader.pass_threshold?,
            Self::ScoreModel(grader) => grader.pass_threshold,
            Self::Python(grader) => grader.pass_threshold,
        };
        Some(score >= threshold)
    }
}

/// Reads the type, and notes one that is not accepted here.
fn kind(fields: &mut Fields<'_, '_>, position: Position) -> Option<Kind> {
    let kinds = position.kinds();
    let names: Vec<String> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
    let help = format!("write one of {}", names.join(", "));
    let written = fields.text("type", &help)?;
    let kind = Kind::of(written);
    if let Some(kind) = kind.filter(|kind| kinds.contains(kind)) {
        return Some(kind);
    }
    let message = match (kind, position) {
        (None, _) => format!("`{written}` is no type of grader"),
        (Some(Kind::Multi), Position::Part) => "a `multi` cannot be part of a `multi`".to_owned(),
        (Some(_), Position::Whole(Place::Trace)) => {
            format!("`{written}` is no such grader of traces")
        }
        (Some(_), Position::Whole(Place::Eval)) => {
            format!("`{written}` is no testing criterion of an eval")
        }
        (Some(_), _) => format!("`{written}` is accepted in evals only"),
    };
    fields.note("type", message, help);
    None
}

/// Reads a template that must be there.
pub(super) fn template(fields: &mut Fields<'_, '_>, key: &str) -> Option<Template> {
    let text = fields.text(key, "write a text, such as `{{ sample.output_text }}`")?;
    let path = fields.path_of(key);
    parse_template(text, path, fields.problems)
}

/// Reads the template that stands at `path`.
pub(super) fn parse_template(
    text: &str,
    path: String,
    problems: &mut Problems,
) -> Option<Template> {
    let roots = problems.roots();
    match Template::parse(text, roots) {
        Ok(template) => Some(template),
        Err(message) => {
            let help = "write paths such as `{{ item.label }}`, `{{ sample.output_text }}` or \
                        `{{ sample.output_tools[0].function.name }}`";
            problems.note(path, message, help);
            None
        }
    }
}

/// Reads `pass_threshold`: `Some(None)` when it is absent, `None` when it is no number.
pub(super) fn pass_threshold(fields: &mut Fields<'_, '_>) -> Option<Option<f64>> {
    fields.number(
        "pass_threshold",
        "write a number: a score from it on passes",
    )
}
