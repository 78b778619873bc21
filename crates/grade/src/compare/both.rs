//! The graders that two runs have in common, and what of them is compared.

use std::collections::BTreeSet;

use crate::results::{Cell, Collected, Graded, Said, decimal, significant};
use crate::scale::GraderScale;

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Metric {
    /// The share of passes.
    PassRate,
    /// The number.
    Score,
    /// The share of a label.
    Label(String),
}

/// A grader in both runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Both<'a> {
    pub(crate) baseline: &'a Graded,
    pub(crate) candidate: &'a Graded,
}

/// A grader that was asked for, and why it cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) name: String,
    pub(crate) why: String,
}

impl Metric {
    /// Returns what it is called.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::PassRate => "pass_rate".to_owned(),
            Self::Score => "score".to_owned(),
            Self::Label(label) => format!("share of “{label}”"),
        }
    }

    /// Returns whether it is a share.
    pub(crate) fn is_rate(&self) -> bool {
        !matches!(self, Self::Score)
    }

    /// Returns what a grade says of it.
    pub(crate) fn said(&self, run: &Collected, cell: &Cell) -> Said {
        match self {
            Self::PassRate => Said::pass(cell),
            Self::Score => Said::score(cell),
            Self::Label(label) => Said::label_of(cell, |it| run.label(it) == label),
        }
    }

    /// Returns a difference of it in words.
    pub(crate) fn size(&self, difference: f64) -> String {
        if !self.is_rate() {
            // Hundredths say nothing of costs.
            let is_small = difference != 0.0 && difference.abs() < 0.01;
            return match is_small {
                true => significant(difference),
                false => decimal(difference, 2),
            };
        }
        let points = difference * 100.0;
        let places = usize::from(points.abs() < 9.95);
        let text = decimal(points, places);
        format!("{} points", text.strip_suffix(".0").unwrap_or(&text))
    }

    /// Returns what could have been seen, in words, `what` being a change of a size: a rate cannot change by
    /// more than all of it.
    pub(crate) fn could_be_seen(&self, what: &str, detectable: f64) -> String {
        match self.is_rate() && detectable > 1.0 {
            true => "no change, however large, could have been seen".to_owned(),
            false => {
                let size = self.size(detectable);
                format!("{what} of {size} or more could have been seen")
            }
        }
    }

    /// Returns a share of the scale as a difference on it; nothing if the scale is open.
    pub(crate) fn on_scale(&self, scale: &GraderScale, share: f64) -> Option<f64> {
        if self.is_rate() {
            return Some(share);
        }
        scale.range().map(|(low, high)| share * (high - low))
    }
}

/// Where it is said whether a candidate is better, if judges saw both versions side by side: a win rate is
/// a comparison already, and two of them against different traces are no question.
const PAIRWISE: &str = "it compares two traces itself: whether the candidate is better is said in the results of the \
                        run that held it against the baseline, by pairwise.win_rate and its interval";

impl Both<'_> {
    /// Says why its grades are not compared, where they are comparisons themselves.
    pub(crate) fn says_itself(self) -> Option<&'static str> {
        let is_pairwise = self.baseline.is_pairwise() || self.candidate.is_pairwise();
        is_pairwise.then_some(PAIRWISE)
    }

    /// Returns what is compared: numbers where there are any, else passes, else each label.
    pub(crate) fn metrics(self, baseline: &Collected, candidate: &Collected) -> Vec<Metric> {
        match &self.baseline.facts.scale {
            GraderScale::Number { .. } => vec![Metric::Score],
            scale if scale.decides() => vec![Metric::PassRate],
            _ => {
                let mut labels = labels_of(baseline, self.baseline);
                labels.append(&mut labels_of(candidate, self.candidate));
                match labels.is_empty() {
                    // which it has not either, and that is then said
                    true => vec![Metric::PassRate],
                    false => labels.into_iter().map(Metric::Label).collect(),
                }
            }
        }
    }

    /// Returns in what the grader is not the same in both runs.
    pub(crate) fn change(self) -> Option<String> {
        let (a, b) = (&self.baseline.facts, &self.candidate.facts);
        if a.hash != b.hash {
            return Some(match a.version == b.version {
                true => "its definition is another".to_owned(),
                false => format!("it is version {} and version {}", a.version, b.version),
            });
        }
        let (a, b) = (self.baseline.judge.models(), self.candidate.judge.models());
        let names = |models: &BTreeSet<&str>| -> String {
            models.iter().copied().collect::<Vec<_>>().join(", ")
        };
        // without a model nobody judged: all answers are the grader's own
        let differs = !a.is_empty() && !b.is_empty() && a != b;
        differs.then(|| format!("its judge is {} and {}", names(&a), names(&b)))
    }
}

fn labels_of(run: &Collected, grader: &Graded) -> BTreeSet<String> {
    let numbers: BTreeSet<u16> = grader
        .cells()
        .filter_map(|(_, cell)| cell.label())
        .collect();
    numbers
        .into_iter()
        .map(|it| run.label(it).to_owned())
        .collect()
}

/// Returns the graders that both runs have, of those asked for by name or id; all if none is named.
///
/// A grader is found again by its id, or else by its name.
pub(crate) fn graders<'a>(
    baseline: &'a Collected,
    candidate: &'a Collected,
    asked: &[String],
) -> (Vec<Both<'a>>, Vec<Missing>) {
    let mut both = Vec::new();
    for grader in baseline.graded() {
        let others = candidate.graded();
        let by_id = others.iter().find(|it| it.facts.id == grader.facts.id);
        let same = by_id.or_else(|| others.iter().find(|it| it.facts.name == grader.facts.name));
        let is_asked = asked.is_empty() || asked.iter().any(|it| is_called(grader, it));
        if let Some(candidate) = same
            && is_asked
        {
            both.push(Both {
                baseline: grader,
                candidate,
            });
        }
    }
    let missing = asked.iter().filter_map(|name| {
        let of = |run: &'a Collected| run.graded().iter().find(|it| is_called(it, name));
        let (of_baseline, of_candidate) = (of(baseline), of(candidate));
        let mut both = of_baseline.into_iter().chain(of_candidate);
        let is_pairwise = both.any(Graded::is_pairwise);
        let why = match (of_baseline.is_some(), of_candidate.is_some()) {
            (true, true) => return None,
            _ if is_pairwise => PAIRWISE,
            (true, false) => "the candidate was not graded by it",
            (false, true) => "the baseline was not graded by it",
            (false, false) => "neither run was graded by it",
        };
        Some(Missing {
            name: name.clone(),
            why: why.to_owned(),
        })
    });
    let missing = missing
        .filter(|it| !both.iter().any(|both| is_called(both.baseline, &it.name)))
        .collect();
    (both, missing)
}

fn is_called(grader: &Graded, name: &str) -> bool {
    grader.facts.name == name || grader.facts.id == name
}
