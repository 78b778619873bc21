//! How long do steps usually take, and how dear are traces usually?
//!
//! D23 and D24 hold a trace against those of the thirty days before: its cost and its tokens against those
//! of its workflow, its steps against steps of the same name. The figures of traces stand in their rows;
//! steps are those of the newest traces, for whose spans have to be read. Nothing is read unless a grader
//! asks for it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::Hash;
use std::ops::ControlFlow;
use std::sync::Arc;

use insight::{Baseline, Context};
use model::{NanoUsd, ProjectId, SpanType, Time, TraceId};
use serde_json::Value;
use store::{Columns, Ledger, Snapshot, Table, TraceBounds};
use tokio::task::spawn_blocking;

use super::context::{BASELINE_MICROS, ContextError};
use super::plan::Planned;
use crate::read::{LoadError, for_each_view};
use crate::state::AppState;

/// Traces whose steps are looked at.
const STEPS_OF: usize = 2_000;

/// So many of them are read at once.
const READ_AT_ONCE: usize = 256;

/// Values of one kind that are enough.
const VALUES_MAX: usize = 100_000;

/// Kinds of which values are kept. Names may be anybody's, and where each has one of its own nothing is usual.
const KINDS_MAX: usize = 20_000;

/// Shorter times are taken for this one, in milliseconds: their logarithms say nothing.
const VALUE_MIN: f64 = 1e-3;

/// What of it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    /// D23.
    steps: bool,
    /// D24.
    traces: bool,
}

impl Wanted {
    /// Returns what graders ask for.
    pub(super) fn by<'a>(definitions: impl Iterator<Item = &'a Value>) -> Self {
        let mut wanted = Self {
            steps: false,
            traces: false,
        };
        for definition in definitions {
            // However deep a detector stands in a definition: in a rule, or in a part.
            let text = definition.to_string().to_ascii_uppercase();
            wanted.steps |= text.contains("D23");
            wanted.traces |= text.contains("D24");
        }
        wanted
    }

    /// Returns what the graders of a run ask for.
    pub(super) fn by_plan(graders: &[Planned]) -> Self {
        Self::by(graders.iter().map(|one| one.grader.definition()))
    }
}

/// What is usual.
#[derive(Debug, Default)]
pub(super) struct Usual {
    steps_ms: HashMap<(SpanType, String), Baseline>,
    cost_usd: HashMap<String, Baseline>,
    tokens: HashMap<String, Baseline>,
}

impl Usual {
    /// Returns what was usual before a moment, as far as it is asked for.
    pub(super) async fn before(
        state: &AppState,
        project: &ProjectId,
        moment: Time,
        wanted: Wanted,
    ) -> Result<Self, ContextError> {
        if !wanted.steps && !wanted.traces {
            return Ok(Self::default());
        }
        let snapshot = state.store.snapshot(project);
        let ledger = Arc::clone(state.store.ledger());
        let bounds = TraceBounds {
            started_from: Some(moment.plus_micros(-BASELINE_MICROS)),
            started_until: Some(moment),
            above_seq: None,
        };
        let work = move || {
            let mut seen = Seen::of(&snapshot, bounds)?;
            if wanted.steps {
                seen.look_at_steps(&snapshot, &ledger)?;
            }
            Ok::<_, LoadError>(seen.usual(wanted))
        };
        spawn_blocking(work).await?.map_err(ContextError::Load)
    }

    /// Lets detectors know it.
    pub(super) fn tell(self, context: &mut Context) {
        context.steps_ms = self.steps_ms;
        for (workflow, baseline) in self.cost_usd {
            let others = &context.other_workflows;
            let rules = context.workflows.entry(workflow);
            rules.or_insert_with(|| others.clone()).cost_usd = Some(baseline);
        }
        for (workflow, baseline) in self.tokens {
            let others = &context.other_workflows;
            let rules = context.workflows.entry(workflow);
            rules.or_insert_with(|| others.clone()).tokens = Some(baseline);
        }
    }
}

/// Values that were seen.
#[derive(Debug, Default)]
struct Seen {
    newest: BinaryHeap<Reverse<(Time, TraceId)>>,
    steps_ms: HashMap<(SpanType, String), Vec<f64>>,
    cost_usd: HashMap<String, Vec<f64>>,
    tokens: HashMap<String, Vec<f64>>,
}

impl Seen {
    fn of(snapshot: &Snapshot, bounds: TraceBounds) -> Result<Self, LoadError> {
        let mut seen = Self::default();
        let columns = Columns::narrow(Table::Traces);
        snapshot.for_each_trace(bounds, &columns, &mut |entry| {
            let row = &entry.row;
            let trace = (entry.home_started_at, row.item.trace_id.clone());
            seen.newest.push(Reverse(trace));
            if seen.newest.len() > STEPS_OF {
                seen.newest.pop();
            }
            if let Some(workflow) = &row.item.workflow_name {
                let tokens = [row.usage.input_tokens, row.usage.output_tokens];
                let tokens = tokens.into_iter().flatten().reduce(|a, b| a + b);
                note(&mut seen.tokens, workflow, tokens.map(|n| n as f64));
                let cost = row.cost.map(NanoUsd::to_usd);
                note(&mut seen.cost_usd, workflow, cost);
            }
            ControlFlow::Continue(())
        })?;
        Ok(seen)
    }

    /// Looks how long the steps of the newest traces took.
    fn look_at_steps(
        &mut self,
        snapshot: &Snapshot,
        ledger: &Arc<Ledger>,
    ) -> Result<(), LoadError> {
        let newest = std::mem::take(&mut self.newest).into_sorted_vec();
        let newest: Vec<(TraceId, Time)> = (newest.into_iter())
            .map(|Reverse((started_at, id))| (id, started_at))
            .collect();
        for chunk in newest.chunks(READ_AT_ONCE) {
            for_each_view(snapshot, ledger, chunk, false, |_, view| {
                for step in &view.spans {
                    let row = step.span();
                    let kind = (row.span_type, row.name.clone());
                    note(&mut self.steps_ms, &kind, step.self_ms);
                }
            })?;
        }
        Ok(())
    }

    fn usual(self, wanted: Wanted) -> Usual {
        let of_traces = |seen: HashMap<String, Vec<f64>>| match wanted.traces {
            true => seen.into_iter().filter_map(baseline).collect(),
            false => HashMap::new(),
        };
        Usual {
            steps_ms: self.steps_ms.into_iter().filter_map(baseline).collect(),
            cost_usd: of_traces(self.cost_usd),
            tokens: of_traces(self.tokens),
        }
    }
}

fn note<K: Eq + Hash + Clone>(seen: &mut HashMap<K, Vec<f64>>, kind: &K, value: Option<f64>) {
    let Some(value) = value else { return };
    let is_full = seen.len() >= KINDS_MAX;
    match seen.get_mut(kind) {
        Some(values) if values.len() < VALUES_MAX => values.push(value),
        None if !is_full => drop(seen.insert(kind.clone(), vec![value])),
        Some(_) | None => {}
    }
}

/// Returns what values usually are; none of none.
fn baseline<K>((key, mut values): (K, Vec<f64>)) -> Option<(K, Baseline)> {
    let count = values.len();
    let middle = count.checked_sub(1)? / 2;
    values.sort_unstable_by(f64::total_cmp);
    let median = values[middle];
    let p99 = values[((count as f64 * 0.99).ceil() as usize).clamp(1, count) - 1];
    let log = |value: f64| value.max(VALUE_MIN).ln();
    let mut deviations: Vec<f64> = (values.iter())
        .map(|value| (log(*value) - log(median)).abs())
        .collect();
    let (_, log_mad, _) = deviations.select_nth_unstable_by(middle, f64::total_cmp);
    let baseline = Baseline {
        count: count as u64,
        p99,
        median,
        log_mad: *log_mad,
    };
    Some((key, baseline))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_baseline_is_the_middle_and_how_far_the_others_lie_from_it() {
        let values = (0..=100).rev().map(|n| 2f64.powi(n - 50)).collect();
        let ((), baseline) = baseline(((), values)).unwrap();
        assert_eq!((baseline.count, baseline.median), (101, 1.0));
        assert_eq!(baseline.p99, 2f64.powi(49));
        // Half of the exponents lie within 25 of the middle; what is very small counts as a thousandth.
        let want = VALUE_MIN.ln().abs();
        assert!((baseline.log_mad - want).abs() < 1e-9, "{baseline:?}");
        assert!(super::baseline(((), Vec::new())).is_none());
    }

    #[test]
    fn names_without_end_take_no_memory_without_end() {
        let mut seen = HashMap::new();
        for n in 0..=KINDS_MAX {
            note(&mut seen, &n, Some(1.0));
        }
        note(&mut seen, &0, Some(2.0));
        assert_eq!((seen.len(), &*seen[&0]), (KINDS_MAX, &[1.0, 2.0][..]));
    }

    #[test]
    fn nothing_is_read_that_no_grader_asks_for() {
        let check = |definition: Value, steps: bool, traces: bool| {
            let wanted = Wanted::by([&definition].into_iter());
            assert_eq!(wanted, Wanted { steps, traces }, "{definition}");
        };
        check(json!({"type": "detector", "detector": "D23"}), true, false);
        check(
            json!({"type": "rule", "check": "!detector(\"d24\")"}),
            false,
            true,
        );
        check(
            json!({"type": "rule", "check": "tool_errors == 0"}),
            false,
            false,
        );
    }
}
