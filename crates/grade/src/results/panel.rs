//! What judges said besides the verdict that was made of it: the votes of a panel, and the answers of one
//! judge who was asked the same several times.

use std::collections::BTreeMap;

use model::JudgeUse;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stats::agreement::{Scale, Unit, krippendorff};
use stats::{Level, Refusal, Rows, cluster};
use utoipa::ToSchema;

use super::{FigureObject, Withheld, keep};

/// Votes on so many traces are kept; more say little more, and alpha takes its time.
const TRACES_MAX: usize = 20_000;

/// How a silent judge is told.
const SILENT: &str = "unscored:";

/// How far the judges of a panel agree.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct PanelAgreement {
    /// Traces on which two judges or more gave a verdict; 20,000 at most are counted.
    pub traces: u64,
    /// The share of pairs of judges that say the same, a trace being a value.
    pub agreement: Option<f64>,
    /// How sure that is.
    pub agreement_figure: Option<FigureObject>,
    /// Agreement beyond luck (Krippendorff's alpha): 1 is full, 0 is luck.
    pub alpha: Option<f64>,
    /// How sure that is.
    pub alpha_figure: Option<FigureObject>,
    /// Figures that are null, and why.
    pub withheld: Withheld,
}

/// What a grade tells of its judges; silent ones are nothing.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) panel: Vec<Option<String>>,
    pub(crate) samples: Vec<Option<String>>,
    /// Of a comparison what each judge said in either order.
    orders: Vec<[Option<String>; 2]>,
    /// Whether a judge is of the family of a model that it judged.
    pub(crate) is_kindred: bool,
}

/// As it is written beside the parameters of the judge.
#[derive(Deserialize)]
struct Params {
    judgement: Option<Judgement>,
}

#[derive(Deserialize)]
struct Judgement {
    #[serde(default)]
    votes: Vec<Value>,
    #[serde(default)]
    samples: Vec<Value>,
    #[serde(default)]
    orders: Vec<[Value; 2]>,
    /// Nothing else is warned of than that the judge is of the family of what it judges.
    warning: Option<String>,
}

impl Told {
    /// Reads what a grade tells; nothing if it tells nothing, or in another way.
    pub(crate) fn of(used: &JudgeUse) -> Option<Self> {
        let params = used.params.as_ref()?.as_str();
        if !params.contains("\"judgement\"") {
            return None;
        }
        let params: Params = serde_json::from_str(params).ok()?;
        let judgement = params.judgement?;
        Some(Self {
            is_kindred: judgement.warning.is_some(),
            panel: judgement.votes.into_iter().map(word).collect(),
            samples: judgement.samples.into_iter().map(word).collect(),
            orders: (judgement.orders.into_iter())
                .map(|orders| orders.map(word))
                .collect(),
        })
    }

    /// Returns the share of judges that did not say the same in both orders, among those that answered both.
    pub(crate) fn contradiction(&self) -> Option<f64> {
        let both = |orders: &[Option<String>; 2]| match orders {
            [Some(one), Some(other)] => Some(f64::from(u8::from(one != other))),
            _ => None,
        };
        let said: Vec<f64> = self.orders.iter().filter_map(both).collect();
        (!said.is_empty()).then(|| said.iter().sum::<f64>() / said.len() as f64)
    }
}

/// Returns a word or a number as a word; a silent judge is null, or says why in a word.
fn word(said: Value) -> Option<String> {
    match said {
        Value::String(word) => (!word.starts_with(SILENT)).then_some(word),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The votes of panels.
#[derive(Debug, Clone, Default)]
pub(crate) struct Panel {
    /// Votes by the number of their word.
    traces: Vec<Vec<u16>>,
    words: BTreeMap<String, u16>,
}

impl Panel {
    pub(crate) fn add(&mut self, votes: &[Option<String>]) {
        let given: Vec<&String> = votes.iter().flatten().collect();
        if given.len() < 2 || self.traces.len() >= TRACES_MAX {
            return;
        }
        let votes = given.into_iter().map(|word| {
            let next = u16::try_from(self.words.len()).unwrap_or(u16::MAX);
            *self.words.entry(word.clone()).or_insert(next)
        });
        self.traces.push(votes.collect());
    }

    /// Returns how far the judges agree; nothing if there was no panel.
    pub(crate) fn agreement(&self, level: Level) -> Option<PanelAgreement> {
        if self.traces.is_empty() {
            return None;
        }
        let mut withheld = Withheld::new();
        let pairs = Rows::independent(self.traces.iter().map(|votes| agreeing(votes)));
        let agreement = pairs.and_then(|rows| cluster::mean_between(&rows, (0.0, 1.0), level));
        let agreement = keep(agreement, "agreement", &mut withheld);
        let alpha = keep(self.alpha(level), "alpha", &mut withheld);
        Some(PanelAgreement {
            traces: self.traces.len() as u64,
            agreement: agreement.as_ref().map(|it| it.estimate),
            agreement_figure: agreement,
            alpha: alpha.as_ref().map(|it| it.estimate),
            alpha_figure: alpha,
            withheld,
        })
    }

    /// Numbers differ by their distance, words as words.
    fn alpha(&self, level: Level) -> Result<stats::Figure, Refusal> {
        let mut numbers: BTreeMap<u16, f64> = BTreeMap::new();
        for (word, number) in &self.words {
            if let Ok(value) = word.parse::<f64>() {
                numbers.insert(*number, value);
            }
        }
        let scale = match numbers.len() == self.words.len() {
            true => Scale::Interval,
            false => Scale::Nominal,
        };
        let rating = |vote: &u16| match scale {
            Scale::Interval => numbers[vote],
            _ => f64::from(*vote),
        };
        let units: Vec<Unit> = self
            .traces
            .iter()
            .map(|votes| Unit {
                ratings: votes.iter().map(rating).collect(),
            })
            .collect();
        krippendorff(&units, scale, level, 0)
    }
}

/// The share of pairs that say the same.
fn agreeing(votes: &[u16]) -> f64 {
    let later = |at: usize| votes[at + 1..].iter().filter(move |it| **it == votes[at]);
    let same: usize = (0..votes.len()).map(|at| later(at).count()).sum();
    let pairs = votes.len() * (votes.len() - 1) / 2;
    same as f64 / pairs as f64
}
