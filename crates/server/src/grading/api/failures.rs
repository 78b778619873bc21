//! Why do traces fail? Groups of failing traces that have something in common, with what to do about each.
//!
//! No model is asked. Failing traces are held against others that went well: what both have explains
//! nothing. Each group has a rule that matches it, so a finding of today is a grader of tomorrow.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use grade::failures::{FailureItem, FailureReport, analyze};
use grade::results::ItemFilter;
use grade::trace::TraceGrader;
use insight::failures::{Observed, cases};
use insight::{Detectors, TraceView};
use model::{Grade, Outcome, ProjectId, SpanId, Time, TraceFilter, TraceId, TraceStatus};
use query::{Order, TraceList};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::meta::MetaError;
use store::{Columns, ReadError, Snapshot, Table, TraceEntry};
use utoipa::ToSchema;

use super::gathered::{frozen, gather, run_of};
use super::of_trace::latest_grades;
use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::grading::context::Known;
use crate::json::JsonBody;
use crate::read::{blocking, filter_of, for_each_view, of_project};
use crate::state::AppState;

/// So many failing traces are looked at, and as many that went well.
const TRACES_MAX: usize = 1_000;

/// How a trace ends that failed, where no grader says so.
const FAILED: [TraceStatus; 2] = [TraceStatus::Error, TraceStatus::Timeout];

/// So many traces that lie near each other are read together.
const READ_TOGETHER: usize = 50;

/// After so long what was looked at so far must do.
const LOOKED_AT_MOST: Duration = Duration::from_secs(30);

/// Which traces are asked about: one of the three.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FailuresRequest {
    /// These, all of which failed in somebody's eyes. They are held against the newest traces of the same
    /// workflows that went well.
    trace_ids: Option<Vec<String>>,
    /// The traces of a run: those that a grader failed against those that none did.
    run_id: Option<String>,
    /// Those that a list with these fields shows: the newest that ended in error against the newest others.
    #[schema(value_type = Option<Object>)]
    filter: Option<Value>,
}

/// Why traces fail.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FailuresObject {
    /// `list`.
    object: &'static str,
    /// The groups, the most important first.
    data: Vec<FailureItem>,
    /// Always false: there are no pages.
    has_more: bool,
    /// How many traces were looked at.
    traces: u64,
    /// How many of them failed.
    failing: u64,
    /// How many failing ones no group explains.
    unexplained: u64,
    /// How many failing traces were too many, or took too long, and were not looked at.
    left_out: u64,
}

/// Find out why traces fail: up to twenty groups, each with its share, examples, advice, and a rule that
/// matches it.
#[utoipa::path(
    post,
    path = "/v1/evals/traces/analyze_failures",
    tag = "grade",
    request_body = FailuresRequest,
    responses(
        (status = 200, body = FailuresObject),
        (status = 400, body = ErrorBody),
        (status = 404, description = "There is no such run or trace", body = ErrorBody)
    )
)]
pub(super) async fn analyze_failures(
    State(state): State<AppState>,
    principal: Principal,
    JsonBody(asked): JsonBody<FailuresRequest>,
) -> Result<Json<FailuresObject>, ApiError> {
    let question = Question::of(&state, &principal.project, asked).await?;
    let report = of_project(&state, &principal.project, async |snapshot| {
        question.answer(&state, snapshot).await
    })
    .await?;
    Ok(Json(FailuresObject {
        object: "list",
        data: report.data,
        has_more: false,
        traces: report.traces,
        failing: report.failing,
        unexplained: report.unexplained,
        left_out: report.left_out,
    }))
}

/// Whose failures, and what is known of them beforehand.
enum Question {
    /// All of these failed.
    Traces(Vec<TraceId>),
    /// A grader said so.
    Run(OfRun),
    /// Their statuses tell.
    Filter(Box<TraceFilter>),
}

/// The traces of a run.
#[derive(Default)]
struct OfRun {
    /// Those that failed, with the graders that failed them.
    failing: Vec<(TraceId, Vec<String>)>,
    passing: Vec<TraceId>,
    left_out: u64,
    /// From which number on a grader passes, by name.
    thresholds: BTreeMap<String, f64>,
}

/// A trace to be looked at.
#[derive(Debug, Clone)]
struct Subject {
    id: TraceId,
    /// Whether it failed.
    failed: bool,
    /// The graders that failed it; `None`: its latest grades tell.
    criteria: Option<Vec<String>>,
}

impl Question {
    async fn of(
        state: &AppState,
        project: &ProjectId,
        asked: FailuresRequest,
    ) -> Result<Self, ApiError> {
        match (asked.trace_ids, asked.run_id, asked.filter) {
            (Some(ids), None, None) => {
                // None at all is what a program sends that found nothing wrong.
                if ids.len() > TRACES_MAX {
                    let message = format!("{} are more than {TRACES_MAX}", ids.len());
                    return Err(ApiError::invalid("trace_ids", message));
                }
                let id = |text: &String| {
                    TraceId::new(text).map_err(|_| ApiError::not_found("trace", text))
                };
                let ids: BTreeSet<TraceId> = ids.iter().map(id).collect::<Result<_, _>>()?;
                Ok(Self::Traces(ids.into_iter().collect()))
            }
            (None, Some(run_id), None) => Ok(Self::Run(OfRun::of(state, project, &run_id).await?)),
            (None, None, Some(filter)) => {
                let filter = filter_of(Some(&filter), state.clock.now())
                    .map_err(|error| error.within("filter"))?;
                Ok(Self::Filter(Box::new(filter)))
            }
            _ => {
                let message = "say which traces by one of trace_ids, run_id and filter";
                Err(ApiError::invalid("trace_ids", message))
            }
        }
    }

    async fn answer(
        &self,
        state: &AppState,
        snapshot: Arc<Snapshot>,
    ) -> Result<FailureReport, ApiError> {
        let (subjects, left_out) = self.subjects(state, &snapshot).await?;
        let looking = Looking {
            state: Arc::clone(state),
            snapshot: Arc::clone(&snapshot),
            must_be_there: matches!(self, Self::Traces(_)),
            until: Instant::now() + LOOKED_AT_MOST,
        };
        let mut looked = looking.at(subjects).await?;
        if let Self::Traces(ids) = self {
            let others = self
                .others(state, &snapshot, ids, &looked.workflows)
                .await?;
            looked.add(looking.at(others).await?);
        }
        let mut thresholds = thresholds(state, snapshot.project(), &looked.graders).await?;
        if let Self::Run(of_run) = self {
            thresholds.extend(of_run.thresholds.clone());
        }
        let left_out = left_out + looked.left_out;
        let work = move || {
            let (cases, templates) = cases(looked.observed);
            let pass_from = |grader: &str| thresholds.get(grader).copied().unwrap_or(1.0);
            analyze(cases, &templates, &pass_from)
        };
        let mut report = blocking(work).await?;
        report.left_out += left_out;
        Ok(report)
    }

    /// Returns the traces to be looked at, and how many failing ones are too many.
    async fn subjects(
        &self,
        state: &AppState,
        snapshot: &Arc<Snapshot>,
    ) -> Result<(Vec<Subject>, u64), ApiError> {
        let subject = |id: &TraceId, failed| Subject {
            id: id.clone(),
            failed,
            criteria: None,
        };
        Ok(match self {
            Self::Traces(ids) => {
                let subjects = ids.iter().map(|id| subject(id, true));
                (subjects.collect(), 0)
            }
            Self::Run(of_run) => {
                let failing = of_run.failing.iter().map(|(id, criteria)| Subject {
                    criteria: Some(criteria.clone()),
                    ..subject(id, true)
                });
                let passing = of_run.passing.iter().map(|id| Subject {
                    criteria: Some(Vec::new()),
                    ..subject(id, false)
                });
                (failing.chain(passing).collect(), of_run.left_out)
            }
            Self::Filter(filter) => {
                let [failing, others] = [true, false].map(|failed| of_status(filter, failed));
                let (failing, left_out) = match failing {
                    Some(filter) => newest_and_more(state, snapshot, filter).await?,
                    None => (Vec::new(), 0),
                };
                let others = match others {
                    Some(filter) => newest(state, snapshot, filter, TRACES_MAX).await?,
                    None => Vec::new(),
                };
                let failing = failing.iter().map(|id| subject(id, true));
                let others = others.iter().map(|id| subject(id, false));
                (failing.chain(others).collect(), left_out)
            }
        })
    }

    /// Returns traces of the same workflows that went well and are not among `ids`.
    async fn others(
        &self,
        state: &AppState,
        snapshot: &Arc<Snapshot>,
        ids: &[TraceId],
        workflows: &BTreeSet<String>,
    ) -> Result<Vec<Subject>, ApiError> {
        if workflows.is_empty() {
            return Ok(Vec::new());
        }
        let filter = json!({"workflow_name": workflows, "status": "success"});
        let filter = TraceFilter::from_json(&filter, state.clock.now())?;
        // Some of the newest may be among those asked about.
        let newest = newest(state, snapshot, filter, 2 * ids.len()).await?;
        let known: HashSet<&TraceId> = ids.iter().collect();
        let others = newest.into_iter().filter(|id| !known.contains(id));
        let subject = |id| Subject {
            id,
            failed: false,
            criteria: None,
        };
        Ok(others.take(ids.len()).map(subject).collect())
    }
}

impl OfRun {
    async fn of(state: &AppState, project: &ProjectId, run_id: &str) -> Result<Self, ApiError> {
        let run = run_of(state, project, run_id).await?;
        let mut thresholds = BTreeMap::new();
        for frozen in frozen(&run)? {
            let threshold = pass_threshold(&frozen.definition);
            thresholds.extend(threshold.map(|from| (frozen.name, from)));
        }
        let gathered = gather(state, &run).await?;
        let work = move || {
            let of = |outcome| ItemFilter {
                outcome: Some(outcome),
                ..ItemFilter::default()
            };
            let collected = &gathered.collected;
            let failing = collected.page(&of(Outcome::Fail), None, TRACES_MAX);
            let is_failing: HashSet<&str> = failing.iter().map(|item| &*item.item_id).collect();
            let fails = collected.count(&of(Outcome::Fail));
            // Those that a grader passed and another failed are among them, and failed.
            let passing =
                collected.page(&of(Outcome::Pass), None, TRACES_MAX + fails.min(TRACES_MAX));
            let passing = passing.iter().filter(|item| {
                let failed = |grade: &grade::results::ItemGrade| grade.outcome == Outcome::Fail;
                !is_failing.contains(&*item.item_id) && !item.grades.iter().any(failed)
            });
            let passing = passing.filter_map(|item| TraceId::new(&item.item_id).ok());
            let passing = passing.take(TRACES_MAX).collect();
            let left_out = fails.saturating_sub(failing.len()) as u64;
            let failing = failing.into_iter().filter_map(|item| {
                let id = TraceId::new(&item.item_id).ok()?;
                let failed = item.grades.into_iter();
                let failed = failed.filter(|grade| grade.outcome == Outcome::Fail);
                Some((id, failed.map(|grade| grade.grader).collect()))
            });
            Self {
                failing: failing.collect(),
                passing,
                left_out,
                thresholds,
            }
        };
        blocking(work).await
    }
}

/// Returns the filter of those of its traces that failed, or of the others, as their statuses tell; none if it
/// lets none of these through.
fn of_status(filter: &TraceFilter, failed: bool) -> Option<TraceFilter> {
    let mut some = filter.clone();
    if some.status.is_empty() {
        some.status = TraceStatus::ALL.to_vec();
    }
    some.status
        .retain(|status| FAILED.contains(status) == failed);
    (!some.status.is_empty()).then_some(some)
}

/// Returns the newest traces of a filter, and how many more there are.
async fn newest_and_more(
    state: &AppState,
    snapshot: &Arc<Snapshot>,
    filter: TraceFilter,
) -> Result<(Vec<TraceId>, u64), ApiError> {
    let newest = newest(state, snapshot, filter.clone(), TRACES_MAX).await?;
    if newest.len() < TRACES_MAX {
        return Ok((newest, 0));
    }
    let all = state.engine.count_traces(Arc::clone(snapshot) as _, filter);
    let more = all.await?.saturating_sub(TRACES_MAX as u64);
    Ok((newest, more))
}

/// Returns the newest traces of a filter.
async fn newest(
    state: &AppState,
    snapshot: &Arc<Snapshot>,
    filter: TraceFilter,
    limit: usize,
) -> Result<Vec<TraceId>, ApiError> {
    let list = TraceList {
        filter,
        order: Order::Descending,
        limit,
        after: None,
        columns: Columns::narrow(Table::Traces),
    };
    let page = state
        .engine
        .list_traces(Arc::clone(snapshot) as _, list)
        .await?;
    let ids = page.items.into_iter();
    Ok(ids.map(|entry| entry.row.item.trace_id.clone()).collect())
}

/// Looks at traces, some at a time: what they weigh is given back before the next are read.
#[derive(Clone)]
struct Looking {
    state: AppState,
    snapshot: Arc<Snapshot>,
    /// Whether a trace that is not there is the caller's mistake.
    must_be_there: bool,
    /// When what was looked at must do.
    until: Instant,
}

/// What was seen.
#[derive(Default)]
struct Looked {
    observed: Vec<Observed>,
    workflows: BTreeSet<String>,
    /// Graders that failed a trace, as grades name them: name, id, version.
    graders: BTreeSet<(String, String, u32)>,
    left_out: u64,
}

impl Looked {
    fn add(&mut self, other: Self) {
        self.observed.extend(other.observed);
        self.graders.extend(other.graders);
    }
}

impl Looking {
    async fn at(&self, subjects: Vec<Subject>) -> Result<Looked, ApiError> {
        let homes = self.homes(&subjects).await?;
        let missing = subjects.iter().find(|it| !homes.contains_key(&it.id));
        if let Some(missing) = missing.filter(|_| self.must_be_there) {
            return Err(ApiError::not_found("trace", missing.id.as_str()));
        }
        // One that was deleted meanwhile is passed over.
        let there = subjects.into_iter();
        let mut there: Vec<(Subject, Time)> = there
            .filter_map(|it| {
                let home = *homes.get(&it.id)?;
                Some((it, home))
            })
            .collect();
        // The failing ones first; those that lie near each other are read together.
        there.sort_by_key(|(it, home)| (!it.failed, std::cmp::Reverse(*home)));
        let looking = self.clone();
        let work = move || {
            let mut looked = Looked::default();
            let known = Known::of(&looking.state, looking.snapshot.project());
            let mut said = looking.fails_of(&there)?;
            for chunk in there.chunks(READ_TOGETHER) {
                if Instant::now() < looking.until {
                    looking.look_at(chunk, &known, &mut said, &mut looked)?;
                } else {
                    let failing = chunk.iter().filter(|(it, _)| it.failed);
                    looked.left_out += failing.count() as u64;
                }
            }
            Ok::<_, ApiError>(looked)
        };
        blocking(work).await?
    }

    /// Returns where traces lie, of those that are there.
    async fn homes(&self, subjects: &[Subject]) -> Result<HashMap<TraceId, Time>, ApiError> {
        let mut homes = HashMap::new();
        for some in subjects.chunks(TRACES_MAX) {
            let list = TraceList {
                filter: TraceFilter {
                    ids: some.iter().map(|it| it.id.clone()).collect(),
                    ..TraceFilter::default()
                },
                order: Order::Descending,
                limit: some.len(),
                after: None,
                columns: Columns::narrow(Table::Traces),
            };
            let engine = &self.state.engine;
            let page = engine.list_traces(Arc::clone(&self.snapshot) as _, list);
            let page = page.await?;
            let home = |entry: TraceEntry| (entry.row.item.trace_id.clone(), entry.home_started_at);
            homes.extend(page.items.into_iter().map(home));
        }
        Ok(homes)
    }

    /// Returns the latest grades of traces that fail them, of those of which nothing was said beforehand: the
    /// grades of all in one walk.
    fn fails_of(
        &self,
        there: &[(Subject, Time)],
    ) -> Result<HashMap<TraceId, Vec<Grade>>, ReadError> {
        let open = there.iter().filter(|(it, _)| it.criteria.is_none());
        let ids = open.map(|(it, _)| it.id.clone()).collect();
        let is_fail = |grade: &Grade| grade.verdict.outcome == Outcome::Fail;
        latest_grades(&self.snapshot, ids, false, is_fail)
    }

    fn look_at(
        &self,
        some: &[(Subject, Time)],
        known: &Known,
        said: &mut HashMap<TraceId, Vec<Grade>>,
        looked: &mut Looked,
    ) -> Result<(), ApiError> {
        let traces: Vec<(TraceId, Time)> = (some.iter())
            .map(|(it, home)| (it.id.clone(), *home))
            .collect();
        let ledger = self.state.store.ledger();
        for_each_view(&self.snapshot, ledger, &traces, true, |at, view| {
            let subject = &some[at].0;
            let fails = said.remove(&subject.id).unwrap_or_default();
            looked.look(subject, &view, fails, known);
        })?;
        Ok(())
    }
}

impl Looked {
    /// Adds a trace that is looked at, with its latest grades that fail it.
    fn look(&mut self, subject: &Subject, view: &TraceView, fails: Vec<Grade>, known: &Known) {
        let criteria: Vec<(String, Option<SpanId>)> = match &subject.criteria {
            Some(names) => names.iter().map(|name| (name.clone(), None)).collect(),
            None => {
                let failed = fails.into_iter().map(|grade| {
                    let grader = (
                        grade.grader_name.clone(),
                        grade.grader_id,
                        grade.grader_version,
                    );
                    self.graders.insert(grader);
                    let cited = grade.verdict.citations.into_iter().next();
                    (grade.grader_name, grade.span_id.or(cited))
                });
                failed.collect()
            }
        };
        let findings = Detectors::all().run(view, known.context());
        self.workflows.extend(view.row.item.workflow_name.clone());
        let seen = Observed::of(view, &findings, subject.failed, criteria);
        self.observed.push(seen);
    }
}

/// Returns from which number on these graders pass, by name.
async fn thresholds(
    state: &AppState,
    project: &ProjectId,
    graders: &BTreeSet<(String, String, u32)>,
) -> Result<BTreeMap<String, f64>, ApiError> {
    let meta = state.store.meta();
    let mut thresholds = BTreeMap::new();
    for (name, id, version) in graders {
        let stored = match meta.grader(project, id, Some(*version)).await {
            Ok(stored) => stored,
            // What is known of graders is older than the grades, as after a restore.
            Err(MetaError::NotFound { .. } | MetaError::NoVersion { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let definition: Value =
            serde_json::from_str(&stored.definition).map_err(ApiError::internal)?;
        thresholds.extend(pass_threshold(&definition).map(|from| (name.clone(), from)));
    }
    Ok(thresholds)
}

/// Returns from which number on a grader passes, if it gives numbers.
fn pass_threshold(definition: &Value) -> Option<f64> {
    match TraceGrader::parse(definition).ok()?.scale() {
        grade::GraderScale::Number { pass_threshold, .. } => pass_threshold,
        _ => None,
    }
}
