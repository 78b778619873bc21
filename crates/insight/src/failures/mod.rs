//! Why do traces fail, in a few groups of which each can be acted on?
//!
//! Each trace is a light record of features: its errors, what detectors saw, what graders failed, how
//! it ended. Sets of features that are frequent among failures and rarer elsewhere become groups, each
//! with a rule that matches it, so that a finding of today is a grader of tomorrow. No model is asked,
//! and the same cases give the same groups in whatever order they come.

mod advice;
mod bits;
mod cover;
mod observed;
mod rules;

#[cfg(test)]
mod tests;

use std::fmt;

use hashbrown::{HashMap, HashSet};
use model::{GroupId, NanoUsd, SpanId, Time, TraceId};

pub use self::observed::{Observed, cases};

use self::bits::Bits;
use self::cover::{FeatureSet, Table};
use crate::drain::Templates;

/// So many cases are looked at, the newest first; the analysis says how many were left out.
pub const CASES_MAX: usize = 200_000;

/// Of a case so many features count, the first ones.
pub const FEATURES_PER_CASE_MAX: usize = 64;

/// So many groups are told.
pub const GROUPS_MAX: usize = 20;

/// A group shows so many traces.
const EXAMPLES_MAX: usize = 3;

/// Something that traces may have in common. The order is that in which they make a better name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// A detector hit: its id.
    Detector(String),
    /// A span failed with an error of this template: its id.
    ErrorTemplate(String),
    /// A grader said fail: its name.
    Criterion(String),
    /// An event that failing traces have and others have not.
    SuspiciousEvent(String),
    /// The last two events.
    LastEvents(String, String),
}

/// A feature of one trace and where it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sign {
    /// The feature.
    pub feature: Feature,
    /// The span that shows it.
    pub span_id: Option<SpanId>,
}

/// A trace as far as failures are concerned.
#[derive(Debug, Clone)]
pub struct FailureCase {
    /// The trace.
    pub trace_id: TraceId,
    /// Its group: a conversation, a task.
    pub group: Option<GroupId>,
    /// Whether it failed.
    pub failed: bool,
    /// What is to be seen in it.
    pub signs: Vec<Sign>,
    /// What it cost.
    pub cost: Option<NanoUsd>,
    /// When it started.
    pub started_at: Option<Time>,
    /// The span that it failed in.
    pub error_span: Option<SpanId>,
}

impl FailureCase {
    /// Returns the features; one that shows in several spans comes as often.
    fn features(&self) -> impl Iterator<Item = &Feature> {
        let signs = self.signs.iter().take(FEATURES_PER_CASE_MAX);
        signs.map(|sign| &sign.feature)
    }
}

/// How often something holds among cases, for whoever reckons intervals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// For how many it holds.
    pub hits: u64,
    /// Of how many.
    pub n: u64,
    /// The same for each group, where a group has more than one case; else empty.
    pub groups: Vec<(u64, u64)>,
}

/// What a detector is called and what to do about its hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub title: &'static str,
    /// What to do.
    pub suggestion: &'static str,
}

/// What is known beside the cases.
#[derive(Clone, Copy)]
pub struct Knowledge<'a> {
    /// The templates that features name.
    pub templates: &'a Templates,
    /// Tells of a detector by its id.
    pub detector: &'a dyn Fn(&str) -> Option<About>,
    /// Tells from which score on a grader passes.
    pub pass_from: &'a dyn Fn(&str) -> f64,
    /// Returns the interval of a rate; `None` where there are too few cases for one.
    pub interval: &'a dyn Fn(&Tally) -> Option<(f64, f64)>,
}

impl fmt::Debug for Knowledge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let templates = self.templates.iter().len();
        f.debug_struct("Knowledge")
            .field("templates", &templates)
            .finish_non_exhaustive()
    }
}

/// A rate with what it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// The rate.
    pub estimate: f64,
    /// Its interval.
    pub interval: Option<(f64, f64)>,
    /// Of how many traces.
    pub n: u64,
    /// In how many groups, where they count.
    pub groups: Option<u64>,
}

/// How often a group's features are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tallies {
    /// Affected traces among all.
    pub of_all: Tally,
    /// The same among failing ones.
    pub of_failing: Tally,
    /// Traces with the features among passing ones.
    pub of_passing: Tally,
}

/// Whether it comes more often than it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// More often.
    Rising,
    /// As often, as far as can be told.
    Steady,
    /// Less often.
    Falling,
}

/// How often it came in the older and in the newer half of the traces.
#[derive(Debug, Clone, PartialEq)]
pub struct Trend {
    /// The rate in the older half.
    pub earlier: f64,
    /// The rate in the newer half.
    pub later: f64,
    /// What the two say: not steady only where their intervals do not meet.
    pub direction: Direction,
}

/// How far a group can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Few traces, or failures are no likelier with it than without.
    Low,
    /// Failures are likelier with it, but it may be chance; or no trace passed, so nobody knows.
    Medium,
    /// Failures are surely likelier with it.
    High,
}

/// A trace that shows a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The trace.
    pub trace_id: TraceId,
    /// The span to look at.
    pub span_id: Option<SpanId>,
}

/// Failures with something in common.
#[derive(Debug, Clone, PartialEq)]
pub struct FailureGroup {
    /// What they have in common, for people.
    pub issue: String,
    /// The same as features.
    pub features: Vec<Feature>,
    /// A rule that holds for them.
    pub rule: String,
    /// Whether the rule says just that; one that does not may hold for more traces.
    pub rule_is_exact: bool,
    /// How many failing traces it holds for. A trace may be in several groups.
    pub affected_traces: u64,
    /// These among all traces.
    pub share: Share,
    /// What its rates are counted of.
    pub tallies: Tallies,
    /// For which part of the failing traces it holds.
    pub of_failing: f64,
    /// For which part of the passing traces it holds.
    pub of_passing: Option<f64>,
    /// The start of the oldest affected trace.
    pub first_seen: Option<Time>,
    /// Whether it comes more often; `None` of few traces.
    pub trend: Option<Trend>,
    /// What the affected traces cost, where that is known of any.
    pub cost: Option<NanoUsd>,
    /// Affected traces, the newest first, of different groups where there are.
    pub example_traces: Vec<Example>,
    /// What to do.
    pub suggestion: String,
    /// How far to rely on it.
    pub confidence: Confidence,
}

impl FailureGroup {
    /// Returns the check of a rule grader that fails for traces of this group.
    pub fn grader_check(&self) -> String {
        format!("!({})", self.rule)
    }
}

/// The failures of a set of traces.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FailureAnalysis {
    /// The groups, the most important first.
    pub groups: Vec<FailureGroup>,
    /// How many traces were looked at.
    pub traces: u64,
    /// How many of them failed.
    pub failing: u64,
    /// How many failing ones no group explains.
    pub unexplained: u64,
    /// How many traces were too many and not looked at.
    pub left_out: u64,
}

/// Returns why traces fail.
pub fn analyze(mut cases: Vec<FailureCase>, knowledge: &Knowledge<'_>) -> FailureAnalysis {
    cases.sort_by(|a, b| (a.started_at, &a.trace_id).cmp(&(b.started_at, &b.trace_id)));
    let left_out = cases.len().saturating_sub(CASES_MAX);
    cases.drain(..left_out);
    let table = Table::of(&cases);
    let (chosen, unexplained) = table.cover(GROUPS_MAX);
    let report = Report {
        group_of: groups(&cases),
        cases: &cases,
        table: &table,
        knowledge,
    };
    let groups = chosen
        .iter()
        .map(|(set, explained)| report.group(set, explained));
    FailureAnalysis {
        groups: groups.collect(),
        traces: cases.len() as u64,
        failing: table.failing_count,
        unexplained,
        left_out: left_out as u64,
    }
}

/// Returns the group of each case by a number; `None` where no group has two cases.
fn groups(cases: &[FailureCase]) -> Option<Vec<usize>> {
    let mut numbers: HashMap<&GroupId, usize> = HashMap::new();
    let mut next = 0;
    let numbered = cases.iter().map(|case| {
        let new = next;
        let number = match &case.group {
            Some(group) => *numbers.entry(group).or_insert(new),
            None => new,
        };
        next += usize::from(number == new);
        number
    });
    let numbered: Vec<usize> = numbered.collect();
    (next < cases.len()).then_some(numbered)
}

struct Report<'a> {
    /// In the order of time.
    cases: &'a [FailureCase],
    group_of: Option<Vec<usize>>,
    table: &'a Table<'a>,
    knowledge: &'a Knowledge<'a>,
}

impl Report<'_> {
    fn group(&self, set: &FeatureSet, explained: &Bits) -> FailureGroup {
        let features: Vec<&Feature> = set
            .features
            .iter()
            .map(|at| self.table.features[*at].0)
            .collect();
        let affected = self.table.matching(&set.features).and(&self.table.failing);
        let (failing, passing) = (self.table.failing_count, self.table.passing_count);
        let costs = affected.iter().filter_map(|at| self.cases[at].cost);
        let rule = rules::of(&features, self.knowledge);
        FailureGroup {
            issue: advice::issue(&features, self.knowledge),
            rule: rule.text,
            rule_is_exact: rule.is_exact,
            affected_traces: set.failing,
            share: self.share(&affected),
            tallies: self.tallies(set, &affected),
            of_failing: set.failing as f64 / failing as f64,
            of_passing: (passing > 0).then(|| set.passing as f64 / passing as f64),
            first_seen: affected.iter().find_map(|at| self.cases[at].started_at),
            trend: self.trend(&affected),
            cost: costs.reduce(NanoUsd::saturating_add),
            example_traces: self.examples(&features, &affected, explained),
            suggestion: advice::suggestion(&features, self.knowledge),
            confidence: self.confidence(set),
            features: features.into_iter().cloned().collect(),
        }
    }

    fn tally(&self, hits: impl Fn(usize) -> bool, among: impl Fn(usize) -> bool) -> Tally {
        let mut tally = Tally {
            hits: 0,
            n: 0,
            groups: Vec::new(),
        };
        let mut by_group: HashMap<usize, (u64, u64)> = HashMap::new();
        for at in (0..self.cases.len()).filter(|at| among(*at)) {
            let hit = u64::from(hits(at));
            tally.hits += hit;
            tally.n += 1;
            if let Some(group_of) = &self.group_of {
                let group = by_group.entry(group_of[at]).or_default();
                *group = (group.0 + hit, group.1 + 1);
            }
        }
        let mut groups: Vec<_> = by_group.into_iter().collect();
        groups.sort_unstable();
        if groups.iter().any(|(_, (_, n))| *n > 1) {
            tally.groups = groups.into_iter().map(|(_, tally)| tally).collect();
        }
        tally
    }

    fn tallies(&self, set: &FeatureSet, affected: &Bits) -> Tallies {
        let holds = self.table.matching(&set.features);
        let has_failed = |at: usize| self.cases[at].failed;
        Tallies {
            of_all: self.tally(|at| affected.contains(at), |_| true),
            of_failing: self.tally(|at| affected.contains(at), has_failed),
            of_passing: self.tally(|at| holds.contains(at), |at| !has_failed(at)),
        }
    }

    fn share(&self, affected: &Bits) -> Share {
        let tally = self.tally(|at| affected.contains(at), |_| true);
        Share {
            estimate: tally.hits as f64 / tally.n as f64,
            interval: (self.knowledge.interval)(&tally),
            n: tally.n,
            groups: (!tally.groups.is_empty()).then_some(tally.groups.len() as u64),
        }
    }

    fn trend(&self, affected: &Bits) -> Option<Trend> {
        // of fewer in a half nothing can be said
        const HALF_MIN: usize = 10;
        let untimed = self.cases.partition_point(|case| case.started_at.is_none());
        let half = (self.cases.len() - untimed) / 2;
        let middle = self.cases.get(untimed + half)?.started_at;
        let starts_before = |at: usize| self.cases[at].started_at < middle;
        // cases of one moment are all in the newer half
        let first_of_later = (untimed..self.cases.len()).find(|at| !starts_before(*at))?;
        if first_of_later - untimed < HALF_MIN {
            return None;
        }
        let rate = |among: &dyn Fn(usize) -> bool| {
            let tally = self.tally(|at| affected.contains(at), among);
            let interval = (self.knowledge.interval)(&tally);
            (tally.hits as f64 / tally.n as f64, interval)
        };
        let (earlier, before) = rate(&|at| (untimed..first_of_later).contains(&at));
        let (later, after) = rate(&|at| at >= first_of_later);
        let direction = match (before, after) {
            (Some((_, high)), Some((low, _))) if low > high => Direction::Rising,
            (Some((low, _)), Some((_, high))) if high < low => Direction::Falling,
            _ => Direction::Steady,
        };
        Some(Trend {
            earlier,
            later,
            direction,
        })
    }

    fn confidence(&self, set: &FeatureSet) -> Confidence {
        const SURE_FROM: u64 = 10;
        const LIKELY_FROM: u64 = 5;
        let (failing, passing) = (self.table.failing_count, self.table.passing_count);
        if passing == 0 {
            let is_seen = set.failing >= SURE_FROM;
            return if is_seen {
                Confidence::Medium
            } else {
                Confidence::Low
            };
        }
        let base = failing as f64 / (failing + passing) as f64;
        let holds = self.table.matching(&set.features);
        let tally = self.tally(|at| self.cases[at].failed, |at| holds.contains(at));
        let least = (self.knowledge.interval)(&tally).map_or(0.0, |(low, _)| low);
        if set.failing >= SURE_FROM && least > base {
            Confidence::High
        } else if set.failing >= LIKELY_FROM && self.table.lift(set) > 1.0 {
            Confidence::Medium
        } else {
            Confidence::Low
        }
    }

    /// Returns traces to look at: those that this group was the first to explain come first, then each
    /// from another group, then the newest.
    fn examples(&self, features: &[&Feature], affected: &Bits, explained: &Bits) -> Vec<Example> {
        let mut groups = HashSet::new();
        let newest = explained.iter().rev().chain(affected.iter().rev());
        let mut fresh = Vec::new();
        let mut others = Vec::new();
        for at in newest {
            let is_fresh = match &self.cases[at].group {
                Some(group) => groups.insert(group),
                None => !fresh.contains(&at),
            };
            let list = if is_fresh { &mut fresh } else { &mut others };
            if list.len() < EXAMPLES_MAX && !list.contains(&at) {
                list.push(at);
            }
            if fresh.len() == EXAMPLES_MAX {
                break;
            }
        }
        let more: Vec<usize> = others
            .into_iter()
            .filter(|at| !fresh.contains(at))
            .collect();
        let all = fresh.into_iter().chain(more).take(EXAMPLES_MAX);
        all.map(|at| self.example(features, &self.cases[at]))
            .collect()
    }

    fn example(&self, features: &[&Feature], case: &FailureCase) -> Example {
        let shown = features.iter().find_map(|feature| {
            let mut signs = case.signs.iter().filter(|sign| sign.feature == **feature);
            signs.find_map(|sign| sign.span_id.clone())
        });
        Example {
            trace_id: case.trace_id.clone(),
            span_id: shown.or_else(|| case.error_span.clone()),
        }
    }
}
