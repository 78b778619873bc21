//! A run that may stop before all its traces are graded, since what it was to find out is known.
//!
//! The worker tells what a grader said of each trace in the order of work, and stops beginning new ones as
//! soon as the asked for is seen ([`grade::stopping`] says why that is allowed). What was graded before a
//! restart is read again.

use std::collections::HashMap;
use std::ops::ControlFlow;

use grade::GraderScale;
use grade::stopping::{Seen, Sequence, StopRule};
use model::{Grade, Outcome};
use serde::{Deserialize, Serialize};
use stats::Level;
use store::GradeFilter;
use store::meta::{GradingItem, GradingItemStatus, GradingRun, GradingStatus};
use utoipa::ToSchema;

use super::item::Bench;
use super::plan::{Plan, Planned};
use super::worker::RunError;
use crate::error::ApiError;
use crate::read::blocking;
use crate::state::AppState;

/// What the reason of a run begins with that stopped early.
const STOPPED: &str = "stopped early: ";

/// Items that are read at a time.
const ITEMS_PER_READ: u32 = 1_000;

/// When a run may stop: as soon as one of these holds of the rate, or the mean score, of a grader.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StopWhen {
    /// The grader; not needed where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grader: Option<String>,
    /// Its interval reaches no further than this on either side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    half_width: Option<f64>,
    /// Its interval leaves this value out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    excludes: Option<f64>,
}

/// What a run was asked, as far as it stops by it.
#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    stop_when: Option<StopWhen>,
}

/// How a run stops, as results tell it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GradingStop)]
pub(in crate::grading) struct StopObject {
    /// The grader whose figure is looked at.
    grader: String,
    /// It stops when the interval reaches no further than this on either side.
    half_width: Option<f64>,
    /// It stops when the interval leaves this value out.
    excludes: Option<f64>,
    /// Whether it did stop early.
    is_stopped: bool,
    /// What that means for the figures.
    sentence: String,
}

/// Returns when a run may stop, if it may.
pub(in crate::grading) fn of_run(run: &GradingRun) -> Option<StopWhen> {
    let asked: Asked = serde_json::from_str(&run.request).ok()?;
    asked.stop_when
}

/// Returns how a run stops, for those who read its results.
pub(in crate::grading) fn told(run: &GradingRun) -> Option<StopObject> {
    let asked = of_run(run)?;
    let is_stopped = run.status == GradingStatus::Completed
        && run
            .reason
            .as_ref()
            .is_some_and(|it| it.starts_with(STOPPED));
    let began = match is_stopped {
        true => format!(
            "The run stopped early, after {} of {} traces, because of what it had seen.",
            run.done, run.items
        ),
        false => "The run may stop early because of what it sees.".to_owned(),
    };
    Some(StopObject {
        grader: asked.grader.unwrap_or_default(),
        half_width: asked.half_width,
        excludes: asked.excludes,
        is_stopped,
        sentence: format!(
            "{began} An interval of a fixed size would not hold then: rates and means have one that holds \
             whenever one looks (a confidence sequence), over groups where there are groups, each counting once."
        ),
    })
}

impl StopWhen {
    /// Checks what is asked against the graders of a run, and fills in the grader.
    pub(super) fn checked(mut self, plan: &Plan) -> Result<Self, ApiError> {
        let refuse = |field: &str, message: String| {
            let field = match field {
                "" => "stop_when".to_owned(),
                field => format!("stop_when.{field}"),
            };
            Err(ApiError::invalid(field, message))
        };
        if self.half_width.is_none() && self.excludes.is_none() {
            return refuse("", "say `half_width`, `excludes`, or both".to_owned());
        }
        let names: Vec<&str> = plan.graders().iter().map(|it| &*it.frozen.name).collect();
        let planned = match (&self.grader, plan.graders()) {
            (None, [only]) => only,
            (None, _) => {
                let message = format!("say which grader of {}", names.join(", "));
                return refuse("grader", message);
            }
            (Some(name), all) => match all.iter().find(|it| it.frozen.name == *name) {
                Some(planned) => planned,
                None => {
                    let names = names.join(", ");
                    let message = format!("{name:?} is not in this run; known: {names}");
                    return refuse("grader", message);
                }
            },
        };
        let Some((low, high)) = ends(&planned.grader.scale()) else {
            let message = format!(
                "`{}` gives neither passes nor numbers between known ends",
                planned.frozen.name
            );
            return refuse("grader", message);
        };
        let is_width = |it: &f64| *it > 0.0 && *it < (high - low) / 2.0;
        if let Some(wrong) = self.half_width.filter(|it| !is_width(it)) {
            let most = (high - low) / 2.0;
            return refuse(
                "half_width",
                format!("{wrong} is not above 0 and below {most}"),
            );
        }
        if let Some(wrong) = self.excludes.filter(|it| !(low..=high).contains(it)) {
            return refuse(
                "excludes",
                format!("{wrong} is not between {low} and {high}"),
            );
        }
        self.grader = Some(planned.frozen.name.clone());
        Ok(self)
    }
}

/// Returns between which numbers a grader's values lie: passes are 1 and fails 0.
fn ends(scale: &GraderScale) -> Option<(f64, f64)> {
    match scale.decides() {
        true => Some((0.0, 1.0)),
        false => scale.range(),
    }
}

/// Looks after every trace whether the run may stop.
#[derive(Debug)]
pub(super) struct Stopping {
    rule: StopRule,
    values: Sequence,
    grader: String,
    decides: bool,
}

impl Stopping {
    /// Returns what looks after a run that may stop, with all that was graded before.
    pub(super) async fn of(state: &AppState, bench: &Bench) -> Result<Option<Self>, RunError> {
        let Some(asked) = of_run(&bench.run) else {
            return Ok(None);
        };
        let is_meant = |it: &&Planned| Some(&it.frozen.name) == asked.grader.as_ref();
        let Some(planned) = bench.plan.graders().iter().find(is_meant) else {
            return Ok(None);
        };
        let scale = planned.grader.scale();
        let Some(ends) = ends(&scale) else {
            return Ok(None);
        };
        let mut stopping = Self {
            rule: StopRule {
                half_width: asked.half_width,
                excludes: asked.excludes,
            },
            values: Sequence::new(ends, Level::P95),
            grader: planned.frozen.id.clone(),
            decides: scale.decides(),
        };
        stopping.catch_up(state, &bench.run).await?;
        Ok(Some(stopping))
    }

    async fn catch_up(&mut self, state: &AppState, run: &GradingRun) -> Result<(), RunError> {
        let meta = state.store.meta();
        let (mut done, mut after) = (Vec::new(), None);
        loop {
            let items = meta.grading_items(&run.id, None, after, ITEMS_PER_READ);
            let items = items.await?;
            let Some(last) = items.last() else { break };
            after = Some(last.position);
            done.extend(items.into_iter().filter(|item| item.trace_id.is_some()));
        }
        let is_done = |status| {
            let ends = [GradingItemStatus::Scored, GradingItemStatus::Unscored];
            ends.contains(&status)
        };
        let Some(end) = done.iter().rposition(|item| is_done(item.status)) else {
            return Ok(());
        };
        let values = self.earlier(state, run).await?;
        for item in &done[..=end] {
            let group = item.group_id.as_ref().map(model::GroupId::as_str);
            let id = item.trace_id.as_ref().map(ToString::to_string);
            match is_done(item.status) {
                true => {
                    let value = id.and_then(|id| values.get(&id).copied());
                    self.values.put(item.position, group, value);
                }
                false => self.values.begin(item.position, group),
            }
        }
        Ok(())
    }

    /// Returns what the grader said of traces before: of the latest attempt.
    async fn earlier(
        &self,
        state: &AppState,
        run: &GradingRun,
    ) -> Result<HashMap<String, f64>, RunError> {
        let snapshot = state.store.snapshot(&run.project);
        let filter = GradeFilter {
            run_id: Some(run.id.clone()),
            grader_id: Some(self.grader.clone()),
            ..GradeFilter::default()
        };
        let decides = self.decides;
        let read = move || {
            let mut latest: HashMap<String, (u32, Option<f64>)> = HashMap::new();
            snapshot.for_each_grade(&filter, &mut |grade| {
                let value = value_of(&grade, decides);
                let known = latest.entry(grade.item_id).or_insert((0, None));
                if known.0 < grade.attempt {
                    *known = (grade.attempt, value);
                } else if known.0 == grade.attempt {
                    known.1 = worse(known.1, value);
                }
                ControlFlow::Continue(())
            })?;
            let values = latest.into_iter();
            Ok::<_, store::ReadError>(
                values
                    .filter_map(|(id, (_, value))| Some((id, value?)))
                    .collect(),
            )
        };
        let read = blocking(read).await?;
        read.map_err(|error| ApiError::internal(error).into())
    }

    /// Takes items that were leased: what is behind them waits for them.
    pub(super) fn begin(&mut self, items: &[GradingItem]) {
        for item in items {
            let group = item.group_id.as_ref().map(model::GroupId::as_str);
            self.values.begin(item.position, group);
        }
    }

    /// Takes what was said of an item.
    pub(super) fn put(&mut self, item: &GradingItem, grades: &[Grade]) {
        let own = grades.iter().filter(|grade| grade.grader_id == self.grader);
        let values = own.map(|grade| value_of(grade, self.decides));
        let value = values.reduce(worse).flatten();
        let group = item.group_id.as_ref().map(model::GroupId::as_str);
        self.values.put(item.position, group, value);
    }

    /// Returns why the run may stop, if it may.
    pub(super) fn reached(&self) -> Option<String> {
        let seen = self.values.seen()?;
        let why = self.rule.reached(&seen)?;
        Some(reason(&seen, &why))
    }
}

/// Of a trace of which spans were graded the worst counts.
fn worse(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn value_of(grade: &Grade, decides: bool) -> Option<f64> {
    match (decides, grade.verdict.outcome) {
        (true, Outcome::Pass) => Some(1.0),
        (true, Outcome::Fail) => Some(0.0),
        (false, Outcome::Pass | Outcome::Fail | Outcome::Value) => grade.verdict.score,
        _ => None,
    }
}

fn reason(seen: &Seen, why: &str) -> String {
    format!(
        "{STOPPED}{:.3} lies between {:.3} and {:.3} by {} traces or groups, {why}, however often one looked",
        seen.estimate, seen.low, seen.high, seen.units
    )
}
