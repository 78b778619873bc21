//! A run seen by a key of its traces: tasks that were tried several times, and segments that may differ.
//!
//! A task that passes in four tries of five is not reliable: whoever depends on it wants to know how often
//! all of k tries pass, and not only one. Segments (a customer, a tool, a language) are looked through for
//! those that are worse than the rest; of twenty that are looked at one looks bad by chance, so p values are
//! adjusted for their number (Benjamini and Hochberg) and the number is told.

use std::collections::BTreeMap;

use serde::Serialize;
use stats::compare::{Question, compare_strata};
use stats::interval::Purpose;
use stats::multiple::benjamini_hochberg;
use stats::reliability::{Tries, pass_at_k, pass_hat_k};
use stats::{Refusal, Row, Rows, cluster, strata};
use utoipa::ToSchema;

use super::summary::number;
use super::{Collected, FigureObject, Graded, Withheld, keep};

/// Tries are counted up to so many.
const TRIES_MAX: u64 = 10;

/// So many segments are told, the largest.
const SEGMENTS_MAX: usize = 50;

/// Of segments that are told to differ so large a part may differ by chance (q).
const FALSE_FINDINGS_MAX: f64 = 0.10;

/// Stands for a population that was not counted.
const UNCOUNTED: u64 = 1 << 50;

/// How reliably a grader's tasks pass.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct TaskReliability {
    /// The grader's name.
    pub grader: String,
    /// Tasks with a pass or a fail.
    pub tasks: u64,
    /// Traces of these with a pass or a fail.
    pub tries: u64,
    /// By the number of tries, from 1 on; up to ten, and no more than any task has.
    pub by_tries: Vec<OfTries>,
}

/// What so many tries of a task come to: means over tasks.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct OfTries {
    /// k.
    pub tries: u64,
    /// pass@k: the chance that one of k tries passes, at least.
    pub any_passes: Option<f64>,
    /// How sure that is.
    pub any_passes_figure: Option<FigureObject>,
    /// pass^k: the chance that all of k tries pass.
    pub all_pass: Option<f64>,
    /// How sure that is.
    pub all_pass_figure: Option<FigureObject>,
    /// Tasks that were tried less often and are in neither.
    pub tasks_left_out: u64,
    /// Figures that are null, and why.
    pub withheld: Withheld,
}

/// The segments of a run, as one grader sees them.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct Segments {
    /// The grader's name.
    pub grader: String,
    /// How many segments were held against the rest: p values are adjusted for so many.
    pub tested: usize,
    /// Segments that are too many and not told, the smallest.
    pub left_out: usize,
    /// Those that differ from the rest, at most a tenth of them by chance, are told in words.
    pub sentence: String,
    /// The segments, the largest first.
    pub segments: Vec<Segment>,
}

/// A segment and how it differs from the rest.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct Segment {
    /// The value of the key.
    pub value: String,
    /// The share of passes.
    pub pass_rate: Option<f64>,
    /// How sure that is.
    pub pass_rate_figure: Option<FigureObject>,
    /// Its rate less that of the rest.
    pub difference: Option<FigureObject>,
    /// The chance of a difference as large if there were none.
    pub p_value: Option<f64>,
    /// The same, adjusted for the number of segments (Benjamini and Hochberg).
    pub p_adjusted: Option<f64>,
    /// Whether it differs: of those that do at most a tenth do by chance.
    pub differs: bool,
    /// Figures that are null, and why.
    pub withheld: Withheld,
}

impl Collected {
    /// Returns how reliably tasks pass: by the keys given to [`Self::set_keys`], else by group. Graders that
    /// pass or fail nothing are left out.
    pub fn reliability(&self) -> Vec<TaskReliability> {
        let of = |grader| self.reliability_of(grader);
        self.graded().iter().filter_map(of).collect()
    }

    fn reliability_of(&self, grader: &Graded) -> Option<TaskReliability> {
        let mut tasks: BTreeMap<&str, Tries> = BTreeMap::new();
        for (item, cell) in grader.cells() {
            let key = match self.has_keys() {
                true => self.key(item),
                false => self.group_id(item),
            };
            if let (Some(key), Some(passed)) = (key, cell.passed()) {
                let tries = tasks.entry(key).or_insert(Tries { n: 0, passed: 0 });
                tries.n += 1;
                tries.passed += u64::from(passed > 0.5);
            }
        }
        let tasks: Vec<Tries> = tasks.into_values().collect();
        let most = tasks.iter().map(|it| it.n).max()?.min(TRIES_MAX);
        Some(TaskReliability {
            grader: grader.facts.name.clone(),
            tasks: tasks.len() as u64,
            tries: tasks.iter().map(|it| it.n).sum(),
            by_tries: (1..=most).map(|k| self.of_tries(&tasks, k)).collect(),
        })
    }

    fn of_tries(&self, tasks: &[Tries], k: u64) -> OfTries {
        let mut withheld = Withheld::new();
        let any = pass_at_k(tasks, k, self.level());
        let all = pass_hat_k(tasks, k, self.level());
        let tasks_left_out = tasks.iter().filter(|it| it.n < k).count() as u64;
        let any = keep(any.map(|it| it.figure), "any_passes", &mut withheld);
        let all = keep(all.map(|it| it.figure), "all_pass", &mut withheld);
        OfTries {
            tries: k,
            any_passes: number(any.as_ref()),
            any_passes_figure: any,
            all_pass: number(all.as_ref()),
            all_pass_figure: all,
            tasks_left_out,
            withheld,
        }
    }

    /// Returns which segments differ from the rest, by the keys given to [`Self::set_keys`]. Graders that pass
    /// or fail nothing are left out; items are counted once each, however they were sampled.
    pub fn segments(&self) -> Vec<Segments> {
        let of = |grader| self.segments_of(grader);
        self.graded().iter().filter_map(of).collect()
    }

    fn segments_of(&self, grader: &Graded) -> Option<Segments> {
        let mut rows: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
        for (item, cell) in grader.cells() {
            if let (Some(key), Some(value)) = (self.key(item), cell.passed()) {
                let group = self.group(item);
                rows.entry(key).or_default().push(Row { value, group });
            }
        }
        let all: Vec<Row> = rows.values().flatten().copied().collect();
        let mut by_size: Vec<(&str, Vec<Row>)> = rows.into_iter().collect();
        by_size.sort_by_key(|(key, rows)| (std::cmp::Reverse(rows.len()), *key));
        let left_out = by_size.len().saturating_sub(SEGMENTS_MAX);
        by_size.truncate(SEGMENTS_MAX);
        if by_size.is_empty() {
            return None;
        }
        let mut segments: Vec<Segment> = by_size
            .iter()
            .map(|(value, rows)| self.segment(value, rows, &all))
            .collect();
        let tested = adjust(&mut segments);
        Some(Segments {
            grader: grader.facts.name.clone(),
            tested,
            left_out,
            sentence: sentence(&segments, tested),
            segments,
        })
    }

    fn segment(&self, value: &str, rows: &[Row], all: &[Row]) -> Segment {
        let mut withheld = Withheld::new();
        let level = self.level();
        let own = Rows::new(rows.iter().copied());
        let rate = own.clone();
        let rate = rate.and_then(|rows| cluster::rate(&rows, level, Purpose::Report));
        let rate = keep(rate, "pass_rate", &mut withheld);
        let question = Question {
            level,
            margin: None,
            seed: 0,
        };
        let found = own.and_then(|own| {
            let one = |rows| {
                [strata::Stratum {
                    population: UNCOUNTED,
                    sample: Some(rows),
                }]
            };
            compare_strata(&one(rest(rows, all)?), &one(own), &question)
        });
        let p_value = found.as_ref().ok().map(|it| it.p_value);
        let difference = keep(found.map(|it| it.difference), "difference", &mut withheld);
        Segment {
            value: value.to_owned(),
            pass_rate: number(rate.as_ref()),
            pass_rate_figure: rate,
            difference,
            p_value,
            p_adjusted: None,
            differs: false,
            withheld,
        }
    }
}

/// All rows but those of a segment: as many fewer of each kind.
fn rest(rows: &[Row], all: &[Row]) -> Result<Rows, Refusal> {
    let key = |row: &Row| (row.group, row.value > 0.5);
    let mut own: BTreeMap<(Option<u64>, bool), usize> = BTreeMap::new();
    for row in rows {
        *own.entry(key(row)).or_default() += 1;
    }
    Rows::new(all.iter().copied().filter(|row| {
        let left = own.get_mut(&key(row)).filter(|left| **left > 0);
        left.map(|left| *left -= 1).is_none()
    }))
}

/// Adjusts the p values for their number, which is returned.
fn adjust(segments: &mut [Segment]) -> usize {
    let p_values: Vec<f64> = segments.iter().filter_map(|it| it.p_value).collect();
    // p values are p values, so none is refused
    let adjusted = benjamini_hochberg(&p_values).unwrap_or_else(|_| vec![1.0; p_values.len()]);
    let tested = segments.iter_mut().filter(|it| it.p_value.is_some());
    for (segment, p) in tested.zip(adjusted) {
        segment.p_adjusted = Some(p);
        segment.differs = p <= FALSE_FINDINGS_MAX;
    }
    p_values.len()
}

fn sentence(segments: &[Segment], tested: usize) -> String {
    let differing = segments.iter().filter(|it| it.differs);
    let named: Vec<String> = differing
        .map(|it| {
            let below = it.difference.as_ref().is_some_and(|it| it.estimate < 0.0);
            format!("{} ({})", it.value, if below { "worse" } else { "better" })
        })
        .collect();
    match named.is_empty() {
        true => format!("None of {tested} segments is shown to differ from the rest."),
        false => format!(
            "{} of {tested} segments differ from the rest, at most a tenth of them by chance: {}.",
            named.len(),
            named.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::made::{collected, facts, grade, in_group, passed};
    use super::super::tests::run_of;
    use crate::scale::GraderScale;

    #[test]
    fn tasks_that_pass_once_do_not_pass_every_time() {
        // 25 tasks of tau-bench, four tries each
        let run = run_of("tau-bench-airline", "passed");
        let found = &run.reliability()[0];
        assert_eq!(
            (found.tasks, found.tries, found.by_tries.len()),
            (25, 100, 4)
        );
        let (first, last) = (&found.by_tries[0], &found.by_tries[3]);
        assert!((first.all_pass.unwrap() - 0.31).abs() < 1e-12);
        assert!((first.any_passes.unwrap() - 0.31).abs() < 1e-12);
        assert!((last.all_pass.unwrap() - 0.16).abs() < 1e-12, "{last:?}");
        assert!(last.any_passes.unwrap() > 0.31);
        assert_eq!(last.all_pass_figure.as_ref().unwrap().groups, 25);
        assert!(
            collected(&[facts("goal", GraderScale::PassFail)], [])
                .reliability()
                .is_empty()
        );
    }

    #[test]
    fn a_segment_that_is_worse_is_found_and_twenty_like_ones_are_not() {
        let run = |broken: bool| {
            let grades = (0..1_200).map(|at| {
                let fails = at % 10 == 3 || broken && at % 20 == 7 && at % 3 > 0;
                in_group(
                    &format!("g{}", at / 2),
                    grade("goal", &format!("t{at:04}"), passed(!fails)),
                )
            });
            let mut run = collected(&[facts("goal", GraderScale::PassFail)], grades);
            run.set_keys(|id| {
                let at: usize = id[1..].parse().ok()?;
                // of some traces nobody knows the segment
                (at < 1_100).then(|| format!("s{:02}", at % 20))
            });
            run
        };
        let found = run(true).segments().remove(0);
        assert_eq!(
            (found.tested, found.segments.len(), found.left_out),
            (20, 20, 0)
        );
        let worse: Vec<&str> = found
            .segments
            .iter()
            .filter(|it| it.differs)
            .map(|it| &*it.value)
            .collect();
        assert!(worse.contains(&"s07"), "{found:?}");
        let seventh = found.segments.iter().find(|it| it.value == "s07").unwrap();
        assert!(seventh.difference.as_ref().unwrap().estimate < -0.4);
        assert!(seventh.p_adjusted.unwrap() >= seventh.p_value.unwrap());
        assert!(
            found.sentence.contains("of 20 segments") && found.sentence.contains("s07 (worse)"),
            "{}",
            found.sentence
        );
    }

    #[test]
    fn segments_of_one_kind_do_not_differ() {
        let grades = (0..1_000).map(|at| grade("goal", &format!("t{at:04}"), passed(at % 7 > 1)));
        let mut run = collected(&[facts("goal", GraderScale::PassFail)], grades);
        run.set_keys(|id| {
            id[1..]
                .parse::<usize>()
                .ok()
                .map(|at| format!("s{}", at % 60))
        });
        let found = run.segments().remove(0);
        assert_eq!((found.tested, found.left_out), (50, 10));
        assert_eq!(
            found.sentence,
            "None of 50 segments is shown to differ from the rest."
        );
    }
}
