//! A run seen by a key of its traces: tasks that were tried several times, and segments that may differ.
//!
//! A task that passes in four tries of five is not reliable: whoever depends on it wants to know how often
//! all of k tries pass, and not only one. Segments (a customer, a tool, a language) are looked through for
//! those that are worse than the rest; of twenty that are looked at one looks bad by chance, so p values are
//! adjusted for their number (Benjamini and Hochberg) and the number is told.

use std::collections::BTreeMap;

use serde::Serialize;
use stats::compare::{self, Question, compare_strata};
use stats::multiple::benjamini_hochberg;
use stats::reliability::{Tries, pass_at_k, pass_hat_k};
use stats::{Figure, Level, Refusal, Rows};
use utoipa::ToSchema;

use super::summary::number;
use super::{Collected, FigureObject, Graded, Said, Sample, Withheld, keep};

/// Tries are counted up to so many.
const TRIES_MAX: u64 = 10;

/// So many segments are told, the largest.
const SEGMENTS_MAX: usize = 50;

/// Of segments that are told to differ so large a part may differ by chance (q).
const FALSE_FINDINGS_MAX: f64 = 0.10;

/// Of more groups than these names are not dealt out anew to 20,000 times: a mean of so many is near normal.
const DEALT_GROUPS_MAX: usize = 200;

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
        let why = if self.is_stratified() {
            Some(
                "the sample was drawn in parts, and tries of one task in two parts do not count alike",
            )
        } else if self.may_stop() {
            Some("the run may stop by what it shows, and no interval of it would hold then")
        } else {
            None
        };
        let mut figure = |name: &str, of: &dyn Fn() -> Result<Figure, Refusal>| match why {
            Some(why) => {
                withheld.insert(name.to_owned(), why.to_owned());
                None
            }
            None => keep(of(), name, &mut withheld),
        };
        let level = self.level();
        let any = figure("any_passes", &|| Ok(pass_at_k(tasks, k, level)?.figure));
        let all = figure("all_pass", &|| Ok(pass_hat_k(tasks, k, level)?.figure));
        let tasks_left_out = tasks.iter().filter(|it| it.n < k).count() as u64;
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
    /// or fail nothing are left out. Of a sample that was drawn in parts each part counts by its share of the
    /// population.
    pub fn segments(&self) -> Vec<Segments> {
        let of = |grader| self.segments_of(grader);
        self.graded().iter().filter_map(of).collect()
    }

    fn segments_of(&self, grader: &Graded) -> Option<Segments> {
        let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
        for (item, cell) in grader.cells() {
            if let (Some(key), Some(_)) = (self.key(item), cell.passed()) {
                *sizes.entry(key).or_default() += 1;
            }
        }
        let mut by_size: Vec<(&str, usize)> = sizes.into_iter().collect();
        by_size.sort_by_key(|(key, size)| (std::cmp::Reverse(*size), *key));
        let left_out = by_size.len().saturating_sub(SEGMENTS_MAX);
        by_size.truncate(SEGMENTS_MAX);
        if by_size.is_empty() {
            return None;
        }
        let mut segments: Vec<Segment> = by_size
            .iter()
            .map(|(value, _)| self.segment(grader, value))
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

    fn segment(&self, grader: &Graded, value: &str) -> Segment {
        let sample = |is_own: bool| {
            Sample::of(self, |item| match Said::pass(&grader.cell(item)) {
                Said::Nothing => Said::Nothing,
                // where the segment is not known the question does not arise
                said => match self.key(item).map(|key| key == value) {
                    Some(own) if own == is_own => said,
                    _ => Said::Inapplicable,
                },
            })
        };
        let (own, rest) = (sample(true), sample(false));
        let mut withheld = Withheld::new();
        let rate = keep(own.rate(), "pass_rate", &mut withheld);
        let found = match self.may_stop() {
            true => {
                let why = "the run may stop by what it shows, and no test would hold then";
                withheld.insert("difference".to_owned(), why.to_owned());
                None
            }
            false => {
                let found = held_against(&own, &rest, self.level());
                let p_value = found.as_ref().ok().map(|it| it.1);
                let difference = found.map(|it| it.0);
                keep(difference, "difference", &mut withheld).zip(p_value)
            }
        };
        let (difference, p_value) = found.unzip();
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

/// Returns the rate of a segment less that of the rest, and the chance of as large a difference if there were
/// none: as versions are compared that nothing pairs.
fn held_against(
    own: &Sample<'_>,
    rest: &Sample<'_>,
    level: Level,
) -> Result<(Figure, f64), Refusal> {
    let question = Question {
        level,
        margin: None,
        seed: 0,
    };
    let rows = [rest.rows()?, own.rows()?];
    let are_alone = !rows.iter().any(Rows::is_grouped);
    let is_dealt = are_alone || rows.iter().any(|it| it.groups() <= DEALT_GROUPS_MAX);
    let found = match is_dealt && !own.is_stratified() {
        true => compare::compare(&rest.as_items(), &own.as_items(), &question)?,
        false => compare_strata(&rest.as_strata()?, &own.as_strata()?, &question)?,
    };
    Ok((found.difference, found.p_value))
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
        true if tested == 0 => "No segment could be held against the rest.".to_owned(),
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
    use stats::rng::Chance;

    use super::super::made::{builder, collected, facts, grade, in_group, passed};
    use super::super::tests::run_of;
    use super::super::{Collected, ResultsBuilder, ResultsOptions};
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

    /// How many of so many runs, whose segments are all alike, are told to have one that differs.
    fn false_findings(runs: u64, group_of: usize) -> usize {
        let is_told = |seed: &u64| {
            let mut chance = Chance::new(*seed);
            let grades: Vec<_> = (0..240)
                .map(|at| {
                    let grade = grade("goal", &format!("t{at:03}"), passed(chance.coin(0.92)));
                    in_group(&format!("g{}", at / group_of), grade)
                })
                .collect();
            let mut run = collected(&[facts("goal", GraderScale::PassFail)], grades);
            // segments of 6, 3 and a few: in those all may fail by chance
            run.set_keys(|id| {
                let at: usize = id[1..].parse().ok()?;
                Some(format!("s{}", if at < 120 { at / 6 } else { 20 + at / 12 }))
            });
            run.segments()[0].segments.iter().any(|it| it.differs)
        };
        (0..runs).filter(is_told).count()
    }

    #[test]
    fn small_segments_are_not_found_by_chance() {
        // of findings a tenth may be false, and here all are: so runs with a finding are a tenth at most
        for (group_of, runs, most) in [(1, 100, 19), (3, 10, 4)] {
            let told = false_findings(runs, group_of);
            assert!(told <= most, "{told} of {runs} runs");
        }
    }

    /// Of 200 successes 95 in 100 pass, of 100 errors 10, and errors are 2 % of the population.
    fn in_parts() -> ResultsBuilder {
        let strata = [("success", 98_000), ("error", 2_000)];
        let mut builder = builder(&[facts("goal", GraderScale::PassFail)], &strata);
        for at in 0..300 {
            let is_error = at >= 200;
            let passes = if is_error { at % 10 == 0 } else { at % 20 > 0 };
            let mut grade = grade("goal", &format!("t{at:03}"), passed(passes));
            grade.stratum = Some(if is_error { "error" } else { "success" }.to_owned());
            builder.add(&grade);
        }
        builder
    }

    fn by_halves(mut run: Collected) -> Collected {
        run.set_keys(|id| {
            let at: usize = id[1..].parse().ok()?;
            Some(if at % 200 < 100 { "with" } else { "without" }.to_owned())
        });
        run
    }

    #[test]
    fn parts_of_a_sample_count_by_their_share_in_segments_too() {
        let found = by_halves(in_parts().collect()).segments().remove(0);
        let with = found.segments.iter().find(|it| it.value == "with").unwrap();
        // 49,000 of 51,000 traces with this key succeed, and 2,000 do not: not one of two, as in the sample
        let rate = (49.0 * 0.95 + 2.0 * 0.1) / 51.0;
        assert!((with.pass_rate.unwrap() - rate).abs() < 1e-9, "{with:?}");
        let difference = with.difference.as_ref().unwrap();
        assert!((difference.estimate - (rate - 0.95)).abs() < 1e-9);
        assert!(difference.interval[0].unwrap() < -0.05);
    }

    #[test]
    fn tries_in_parts_and_of_runs_that_may_stop_are_not_counted_as_if_they_were_not() {
        let withheld = |run: &Collected| {
            let told = &run.reliability()[0].by_tries[0];
            assert_eq!((told.any_passes, told.all_pass), (None, None));
            told.withheld["all_pass"].clone()
        };
        let why = withheld(&by_halves(in_parts().collect()));
        assert!(why.contains("drawn in parts"), "{why}");
        let options = ResultsOptions {
            at_any_time: true,
            ..ResultsOptions::default()
        };
        let graders = vec![facts("goal", GraderScale::PassFail)];
        let mut builder = ResultsBuilder::new(graders, Vec::new(), options);
        for at in 0..200 {
            builder.add(&grade("goal", &format!("t{at:03}"), passed(at % 3 > 0)));
        }
        let run = by_halves(builder.collect());
        assert!(withheld(&run).contains("may stop"));
        let found = run.segments().remove(0);
        assert_eq!(
            (found.tested, &*found.sentence),
            (0, "No segment could be held against the rest.")
        );
        assert!(found.segments[0].pass_rate.is_some());
    }
}
