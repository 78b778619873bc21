//! A grader: read once, run on many rows.

use std::fmt;

use insight::template::Unfenced;
use serde_json::Value;

use super::definition::{Definition, Single};
use super::held::Held;
use super::problems::Problems;
use super::report::GraderReport;
use super::{Model, Place, Python, Subject, canonical, messages};
use crate::scale::GraderScale;

/// The types of grader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Two texts are the same, or one holds the other.
    StringCheck,
    /// How like two texts are.
    TextSimilarity,
    /// A model gives a number.
    ScoreModel,
    /// A model chooses a label.
    LabelModel,
    /// Code gives a number.
    Python,
    /// A formula over other graders.
    Multi,
}

impl Kind {
    /// Returns the type as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StringCheck => "string_check",
            Self::TextSimilarity => "text_similarity",
            Self::ScoreModel => "score_model",
            Self::LabelModel => "label_model",
            Self::Python => "python",
            Self::Multi => "multi",
        }
    }

    /// Returns the type that the API writes like this.
    pub(super) fn of(written: &str) -> Option<Self> {
        let all = [
            Self::StringCheck,
            Self::TextSimilarity,
            Self::ScoreModel,
            Self::LabelModel,
            Self::Python,
            Self::Multi,
        ];
        all.into_iter().find(|kind| kind.as_str() == written)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whom graders may ask.
#[derive(Clone, Copy, Default)]
pub struct Services<'a> {
    /// The judge.
    pub model: Option<&'a dyn Model>,
    /// The box in which code runs.
    pub python: Option<&'a dyn Python>,
}

impl fmt::Debug for Services<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services")
            .field("model", &self.model.is_some())
            .field("python", &self.python.is_some())
            .finish()
    }
}

/// A grader that was read and found whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Grader {
    name: String,
    kind: Kind,
    json: Value,
    definition: Definition,
}

impl Grader {
    /// Reads a definition, or says everything that is wrong with it.
    ///
    /// Fields that the API does not know are kept and mean nothing.
    pub fn parse(value: &Value, place: Place) -> Result<Self, Problems> {
        let mut problems = Problems::of_place(place);
        let parsed = Definition::parse(value, place, &mut problems);
        match parsed {
            Some((name, kind, definition)) if problems.is_empty() => Ok(Self {
                name,
                kind,
                json: value.clone(),
                definition,
            }),
            _ => Err(problems),
        }
    }

    /// Says what this grader needs and those who run it cannot give, as far as waiting does not help:
    /// `cosine` without an endpoint for embeddings is refused when it is defined, lest it be 0 for
    /// every row.
    pub fn check(&self, services: &Services<'_>) -> Result<(), Problems> {
        let mut problems = Problems::default();
        let embeds = services.model.is_some_and(Model::embeds);
        if let Definition::Single(Single::TextSimilarity(grader)) = &self.definition
            && grader.needs_embeddings()
            && !embeds
        {
            problems.note(
                "evaluation_metric",
                "`cosine` needs an endpoint for embeddings, and none is configured",
                "configure one, or choose a metric that compares words",
            );
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        }
    }

    /// Returns the definition as it came, with messages in the API's long form.
    pub fn to_json(&self) -> Value {
        messages::normalized(&self.json)
    }

    /// Returns the grader's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its type.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the model that it asks for a verdict, if it is one that does.
    pub fn model(&self) -> Option<&str> {
        match self.kind {
            Kind::ScoreModel | Kind::LabelModel => self.json.get("model").and_then(Value::as_str),
            Kind::StringCheck | Kind::TextSimilarity | Kind::Python | Kind::Multi => None,
        }
    }

    /// Returns the BLAKE3 hash of the definition, in hex: the same for every way of writing it that
    /// means the same JSON.
    pub fn hash(&self) -> String {
        let text = canonical::text(&self.to_json());
        blake3::hash(text.as_bytes()).to_hex().to_string()
    }

    /// Returns the scale of its scores.
    pub fn scale(&self) -> GraderScale {
        let shares = |pass_threshold| GraderScale::Number {
            low: Some(0.0),
            high: Some(1.0),
            pass_threshold,
        };
        match &self.definition {
            Definition::Single(Single::StringCheck(_)) => GraderScale::PassFail,
            Definition::Single(Single::TextSimilarity(grader)) => shares(grader.pass_threshold),
            Definition::Single(Single::ScoreModel(grader)) => grader.scale(),
            Definition::Single(Single::LabelModel(grader)) => grader.scale(),
            Definition::Single(Single::Python(grader)) => GraderScale::Number {
                low: None,
                high: None,
                pass_threshold: Some(grader.pass_threshold),
            },
            Definition::Multi(_) => GraderScale::Number {
                low: None,
                high: None,
                pass_threshold: None,
            },
        }
    }

    /// Grades one row. What goes wrong becomes a flag of the report, and the reward 0.
    pub async fn run(&self, subject: Subject<'_>, services: &Services<'_>) -> GraderReport {
        self.report(Held::row(subject), services).await
    }

    /// Grades a trace, which stands for a row: `item` are its facts, `sample` what its last model call
    /// wrote. Its text goes into templates as it is, which is what these graders promise.
    pub async fn run_on_trace(&self, scope: Unfenced<'_>, services: &Services<'_>) -> GraderReport {
        self.report(Held::Trace(scope), services).await
    }

    async fn report(&self, held: Held<'_>, services: &Services<'_>) -> GraderReport {
        match &self.definition {
            Definition::Single(single) => single.grade(&self.name, self.kind, held, services).await,
            Definition::Multi(multi) => multi.grade(&self.name, held, services).await,
        }
    }
}
