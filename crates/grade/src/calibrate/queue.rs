//! Which traces shall people look at? Those where the judge may be wrong, and of the others some.
//!
//! Each trace that the grader passed or failed is drawn by itself (Poisson sampling) with the chance
//! π = min(1, c·w), where w is its doubt and never below [`FLOOR`], and c makes the chances sum to what was
//! asked for. A number from a keyed hash of its id decides, so a queue can be drawn again by anyone, and a
//! longer one holds the shorter one. A label stands for 1/π traces: that is how a queue full of doubtful
//! traces still says something of all of them. Only the proportions of the chances matter for that
//! ([`stats::ppi::by_known_chances`]), so people may stop anywhere: the order of the queue is another part
//! of the hash and has nothing to do with doubt.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use stats::sample::Sampler;

use super::{CalibrateError, named, one_judge};
use crate::results::{Collected, Graded, doubts};

/// The weight of a trace of which nothing is doubtful; that of the most doubtful is 1. So no label stands
/// for more than five times as many traces as another.
pub const FLOOR: f64 = 0.2;

/// By what traces are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DrawnBy {
    /// The more doubtful, the likelier.
    Doubt,
    /// All alike.
    Chance,
}

/// A queue, as annotations name it: the run whose grades it was drawn from, by what, and with which seed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId {
    /// The run.
    pub run_id: String,
    /// By what it was drawn.
    pub by: DrawnBy,
    /// The seed.
    pub seed: u64,
}

/// What is no queue's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no queue")]
pub struct UnknownQueue(String);

/// A trace that people are asked about.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// The item: a trace's id.
    pub item_id: String,
    /// π: the chance with which it was drawn.
    pub chance: f64,
    /// How doubtful the verdict is, from 0 to 1.
    pub doubt: f64,
}

/// The traces that people are asked about.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelQueue {
    /// In an order that has nothing to do with doubt.
    pub drawn: Vec<Drawn>,
    /// How many traces the grader passed or failed.
    pub judged: usize,
}

impl DrawnBy {
    /// Returns the word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Doubt => "doubt",
            Self::Chance => "chance",
        }
    }

    /// Returns what a word stands for.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Doubt, Self::Chance]
            .into_iter()
            .find(|it| it.word() == word)
    }

    fn weight(self, doubt: f64) -> f64 {
        match self {
            Self::Doubt => FLOOR + (1.0 - FLOOR) * doubt,
            Self::Chance => 1.0,
        }
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.run_id, self.by.word(), self.seed)
    }
}

impl FromStr for QueueId {
    type Err = UnknownQueue;

    fn from_str(text: &str) -> Result<Self, UnknownQueue> {
        let unknown = || UnknownQueue(text.to_owned());
        let (rest, seed) = text.rsplit_once('.').ok_or_else(unknown)?;
        let (run_id, by) = rest.rsplit_once('.').ok_or_else(unknown)?;
        let id = Self {
            run_id: run_id.to_owned(),
            by: DrawnBy::of_word(by).ok_or_else(unknown)?,
            seed: seed.parse().map_err(|_| unknown())?,
        };
        // one queue has one name
        (id.to_string() == text && !run_id.is_empty())
            .then_some(id)
            .ok_or_else(unknown)
    }
}

/// Draws about `size` traces that people shall label.
///
/// `size` is what is expected: each trace is drawn by itself, so a few more or less come. Verdicts of several
/// versions or models are refused, as by [`super::calibrate`].
pub fn label_queue(
    run: &Collected,
    grader: &str,
    id: &QueueId,
    size: usize,
) -> Result<LabelQueue, CalibrateError> {
    let graded = named(run, grader)?;
    one_judge(graded)?;
    let weighed = weighed(graded, id.by);
    let weights: Vec<f64> = weighed.iter().map(|(_, _, weight)| *weight).collect();
    let scale = scale_for(size as f64, &weights);
    let sampler = Sampler::new(format!("labels of {} in {id}", graded.facts.id).as_bytes());
    let mut drawn: Vec<([u8; 8], Drawn)> = Vec::new();
    for (item, doubt, weight) in weighed {
        let item_id = run.item_id(item);
        let rank = sampler.rank(item_id);
        let chance = (scale * weight).min(1.0);
        let (lot, order) = (part(&rank, 0), part(&rank, 8));
        if share(lot) < chance {
            let item_id = item_id.to_owned();
            drawn.push((
                order,
                Drawn {
                    item_id,
                    chance,
                    doubt,
                },
            ));
        }
    }
    drawn.sort_by(|one, other| (&one.0, &one.1.item_id).cmp(&(&other.0, &other.1.item_id)));
    Ok(LabelQueue {
        drawn: drawn.into_iter().map(|(_, drawn)| drawn).collect(),
        judged: weights.len(),
    })
}

/// Returns of each labelled item with what chance it was drawn, all by the longest queue that was drawn.
///
/// A queue that was made longer asked about the first ones with a smaller chance than it has now: what is
/// recorded of each is brought to the scale of the largest. If that is the same for all, so is the chance.
pub(super) fn on_one_scale(
    graded: &Graded,
    by: DrawnBy,
    recorded: &HashMap<u32, f64>,
) -> HashMap<u32, f64> {
    let weights: HashMap<u32, f64> = weighed(graded, by)
        .into_iter()
        .map(|(item, _, weight)| (item, weight))
        .collect();
    let scales = recorded.iter().filter_map(|(item, chance)| {
        let weight = weights.get(item)?;
        (*chance < 1.0).then(|| chance / weight)
    });
    let largest = scales.fold(0.0, f64::max);
    let of = |(item, chance): (&u32, &f64)| match weights.get(item) {
        Some(weight) if largest > 0.0 => (*item, (largest * weight).min(1.0).max(*chance)),
        _ => (*item, *chance),
    };
    recorded.iter().map(of).collect()
}

/// Every item that was passed or failed, with its doubt and its weight.
fn weighed(graded: &Graded, by: DrawnBy) -> Vec<(u32, f64, f64)> {
    let of = |(item, doubt)| (item, doubt, by.weight(doubt));
    doubts(graded).into_iter().map(of).collect()
}

/// Returns c for which Σ min(1, c·w) is the size; all are drawn if there are no more.
fn scale_for(size: f64, weights: &[f64]) -> f64 {
    if size >= weights.len() as f64 {
        return f64::INFINITY;
    }
    let mut descending = weights.to_vec();
    descending.sort_by(|a, b| b.total_cmp(a));
    let mut rest: f64 = descending.iter().sum();
    // the first `certain` are drawn for sure
    for (certain, weight) in descending.iter().enumerate() {
        let scale = (size - certain as f64) / rest;
        if scale * weight <= 1.0 {
            return scale.max(0.0);
        }
        rest -= weight;
    }
    f64::INFINITY
}

fn part(rank: &[u8; 32], at: usize) -> [u8; 8] {
    let mut part = [0; 8];
    part.copy_from_slice(&rank[at..at + 8]);
    part
}

/// A number from 0 to below 1, in the 53 bits that a double has.
fn share(bytes: [u8; 8]) -> f64 {
    (u64::from_be_bytes(bytes) >> 11) as f64 / (1_u64 << 53) as f64
}
