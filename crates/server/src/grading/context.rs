//! What is known beside a trace: what a project says of its tools, and how earlier traces were.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use grade::trace::{Subject, TraceGrader, content_hash};
use insight::rule::{Rule, RuleValue};
use insight::{Context, ToldTrace, TraceView};
use model::{ProjectId, Time, TraceRow};
use serde_json::Value;
use store::meta::GradingRun;
use store::{Columns, ReadError, Snapshot, Table, TraceBounds};
use tokio::task::{JoinError, spawn_blocking};

use super::plan::Plan;
use super::settings::GradingSettings;
use super::usual::{Usual, Wanted};
use crate::read::LoadError;
use crate::state::AppState;

/// A baseline is taken over the traces that began so long before the run.
pub(super) const BASELINE_MICROS: i64 = 30 * 86_400 * 1_000_000;

/// What rules ask of earlier traces could not be made ready.
#[derive(Debug, thiserror::Error)]
pub(super) enum ContextError {
    #[error("failed to read earlier traces")]
    Read(#[from] ReadError),
    #[error("failed to read the spans of earlier traces")]
    Load(#[source] LoadError),
    #[error("a worker died")]
    Worker(#[from] JoinError),
}

/// What a project says of its tools, workflows, models and schemas.
#[derive(Debug, Default)]
pub(super) struct Known {
    settings: GradingSettings,
    context: Context,
}

impl Known {
    /// Returns what a project says now.
    pub(super) fn of(state: &AppState, project: &ProjectId) -> Self {
        let settings = state.projects.settings(project);
        Self::from(
            settings
                .map(|it| GradingSettings::of(&it))
                .unwrap_or_default(),
        )
    }

    /// Returns what the traces of a run are graded by: what its project said when it was made, of a watch
    /// what it says now.
    pub(super) fn of_run(state: &AppState, run: &GradingRun) -> Self {
        match &run.settings {
            None => Self::of(state, &run.project),
            Some(text) => {
                let told: Value = serde_json::from_str(text).unwrap_or_default();
                Self::from(GradingSettings::of_json(&told))
            }
        }
    }

    /// Knows too how long and how dear things usually are, as far as graders ask for it.
    pub(super) async fn with_usual(
        mut self,
        state: &AppState,
        project: &ProjectId,
        (before, wanted): (Time, Wanted),
    ) -> Result<Self, ContextError> {
        let usual = Usual::before(state, project, before, wanted).await?;
        usual.tell(&mut self.context);
        Ok(self)
    }

    /// Returns what is known for detectors.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// Returns it as a run keeps it.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(&self.settings).expect("names, words and JSON are JSON")
    }

    /// Returns a trace of which this is known beside it.
    pub(super) fn subject<'a>(&'a self, view: &'a TraceView) -> Subject<'a> {
        Subject {
            schemas: &self.settings.schemas,
            ..Subject::new(view, &self.context)
        }
    }

    /// Returns the hash by which a judge's answer is found again: of what can be read of a trace, and of
    /// what the project says where that changes what the judge is shown.
    pub(super) fn trace_hash(&self, view: &TraceView) -> String {
        let hash = content_hash(view);
        match self.settings.key_of(view.row.item.workflow_name.as_deref()) {
            None => hash,
            Some(said) => blake3::hash(format!("{hash}{said}").as_bytes())
                .to_hex()
                .to_string(),
        }
    }

    /// Returns the hash of a grader with what can change its verdicts.
    pub(super) fn grader_hash(&self, grader: &TraceGrader) -> String {
        self.settings.hash_of(grader)
    }

    /// Returns what a grader asks for and the project does not have, each in a sentence.
    pub(super) fn lacking(&self, grader: &TraceGrader) -> Vec<String> {
        self.settings.lacking(grader)
    }
}

impl From<GradingSettings> for Known {
    fn from(settings: GradingSettings) -> Self {
        let context = settings.context();
        Self { settings, context }
    }
}

/// Returns the moment before which traces are what a run's are held against: when it was made; of a watch,
/// whose run never ends, now.
pub(super) fn baseline_moment(state: &AppState, run: &GradingRun) -> Time {
    match run.watch_id {
        None => run.created_at,
        Some(_) => state.clock.now(),
    }
}

/// What rules ask of earlier traces: each statistic by its key, workflow by workflow, since what is usual for
/// one is not for another. Traces that name no workflow are held against each other.
#[derive(Debug, Default)]
pub(super) struct Baselines {
    workflows: HashMap<Option<String>, BTreeMap<String, f64>>,
}

impl Baselines {
    /// Returns those that a trace is held against. One of which too little is known is missing, and the rule
    /// says that it cannot tell.
    pub(super) fn of(&self, view: &TraceView) -> &BTreeMap<String, f64> {
        static NONE: BTreeMap<String, f64> = BTreeMap::new();
        let workflow = &view.row.item.workflow_name;
        self.workflows.get(workflow).unwrap_or(&NONE)
    }
}

/// Returns the baselines that the rules of a run ask for, over the traces of the thirty days before
/// ([`baseline_moment`]).
pub(super) async fn baselines_of(
    state: &AppState,
    run: &GradingRun,
    plan: &Plan,
) -> Result<Baselines, ContextError> {
    let at = baseline_moment(state, run);
    baselines_before(state, &run.project, at, plan.baselines()).await
}

/// As [`baselines_of`], of these keys and for whatever was made at `at`.
pub(super) async fn baselines_before(
    state: &AppState,
    project: &ProjectId,
    at: Time,
    mut keys: Vec<String>,
) -> Result<Baselines, ContextError> {
    keys.sort();
    keys.dedup();
    if keys.is_empty() {
        return Ok(Baselines::default());
    }
    let snapshot = state.store.snapshot(project);
    let bounds = TraceBounds {
        started_from: Some(at.plus_micros(-BASELINE_MICROS)),
        started_until: Some(at),
        above_seq: None,
    };
    Ok(spawn_blocking(move || measured(&snapshot, bounds, &keys)).await??)
}

fn measured(
    snapshot: &Arc<Snapshot>,
    bounds: TraceBounds,
    keys: &[String],
) -> Result<Baselines, ReadError> {
    let wanted: Vec<Baseline> = keys.iter().filter_map(|key| Baseline::parse(key)).collect();
    let mut seen: HashMap<Option<String>, Vec<Vec<f64>>> = HashMap::new();
    let (now, idle) = (snapshot.now(), snapshot.idle_micros());
    snapshot.for_each_trace(bounds, &Columns::narrow(Table::Traces), &mut |entry| {
        let view = TraceView::of(ToldTrace {
            status: entry.row.status_at(now, idle),
            horizon: now,
            row: TraceRow::clone(&entry.row),
            spans: Vec::new(),
            reference: None,
        });
        let workflow = view.row.item.workflow_name.clone();
        let values = seen.entry(workflow);
        let values = values.or_insert_with(|| vec![Vec::new(); wanted.len()]);
        for (baseline, values) in wanted.iter().zip(values) {
            values.extend(baseline.value_in(&view));
        }
        ControlFlow::Continue(())
    })?;
    let of_workflow = |values: Vec<Vec<f64>>| {
        let measured = wanted.iter().zip(values);
        let measured =
            measured.filter_map(|(one, values)| Some((one.key.clone(), one.of(values)?)));
        measured.collect()
    };
    let workflows = seen.into_iter();
    Ok(Baselines {
        workflows: workflows
            .map(|(workflow, values)| (workflow, of_workflow(values)))
            .collect(),
    })
}

/// A statistic of a number that traces have, written as `p95:duration_ms`.
struct Baseline {
    key: String,
    /// Which share lies below it; none: the mean.
    quantile: Option<f64>,
    /// The number as a rule has it, so that both mean the same.
    number: Rule,
}

impl Baseline {
    /// Reads a key; a rule with one that cannot be read does not come so far.
    fn parse(key: &str) -> Option<Self> {
        let (statistic, field) = key.split_once(':')?;
        let quantile = match statistic {
            "avg" => None,
            "median" => Some(0.5),
            "min" => Some(0.0),
            "max" => Some(1.0),
            _ => {
                let percent: f64 = statistic.strip_prefix('p')?.parse().ok()?;
                (0.0..=100.0).contains(&percent).then_some(())?;
                Some(percent / 100.0)
            }
        };
        Some(Self {
            key: key.to_owned(),
            quantile,
            number: Rule::parse(field).ok()?,
        })
    }

    fn value_in(&self, view: &TraceView) -> Option<f64> {
        match self.number.grade(view, &()).value {
            Some(RuleValue::Number(number)) => Some(number),
            _ => None,
        }
    }

    /// Returns it of these values, if there are enough of them, as many as detectors ask for: of a quantile the
    /// smallest value that so many do not exceed.
    fn of(&self, mut values: Vec<f64>) -> Option<f64> {
        if (values.len() as u64) < insight::Baseline::COUNT_MIN {
            return None;
        }
        let n = values.len();
        let Some(quantile) = self.quantile else {
            return Some(values.iter().sum::<f64>() / n as f64);
        };
        let at = ((quantile * n as f64).ceil() as usize).clamp(1, n) - 1;
        let (_, value, _) = values.select_nth_unstable_by(at, f64::total_cmp);
        Some(*value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_baseline_is_a_statistic_of_a_number() {
        let check = |key: &str, want: Option<f64>| {
            let values = (1..=100).rev().map(f64::from).collect();
            let got = Baseline::parse(key).and_then(|baseline| baseline.of(values));
            assert_eq!(got, want, "{key}");
        };
        check("p95:duration_ms", Some(95.0));
        check("p99.5:duration_ms", Some(100.0));
        check("median:tool_ms", Some(50.0));
        check("min:llm_ms", Some(1.0));
        check("avg:total_cost_usd", Some(50.5));
        check("p101:duration_ms", None);
        check("p95:shoe_size", None);
        check("duration_ms", None);
        let most = Baseline::parse("max:duration_ms").unwrap();
        assert_eq!(most.of(Vec::new()), None);
        assert_eq!(most.of(vec![1.0; 99]), None, "these are too few");
    }
}
