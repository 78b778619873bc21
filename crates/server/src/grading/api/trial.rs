//! What would a grader say of the traces that are there?
//!
//! Nothing is kept: a draft is tried until it says what its author means. What a judge was asked and
//! answered is shown whole, for that is what its author works on. Every rate comes with its interval,
//! and traces of one group count as what they are, one conversation.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use futures::StreamExt;
use grade::judge::Budget;
use grade::results::FigureObject;
use grade::trace::{
    Costs, Counterpart, Exchange, Graded, Halt, Services, Subject, TraceGrader, TracePython,
};
use insight::TraceView;
use model::{GroupId, NanoUsd, Outcome, ProjectId, TraceFilter, TraceId, Verdict};
use parking_lot::Mutex;
use query::{Order, TraceList};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stats::interval::Purpose;
use stats::{Figure, Level, Row, Rows, cluster};
use store::{Columns, Snapshot, Table};
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::advice::Advice;
use super::grade_object::JudgeObject;
use super::in_time::InTime;
use super::named;
use crate::auth::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::grading::context::{Baselines, Known, baselines_before};
use crate::grading::judge::ProjectJudge;
use crate::grading::references::{
    REQUEST_BYTES_MAX, ReferenceSent, References, ReferencesTold, Tally, warning,
};
use crate::grading::{require_services, usual};
use crate::json::JsonBody;
use crate::read::{LoadError, Viewed, blocking, filter_of, of_project, view_of};
use crate::scope::Scope;
use crate::state::AppState;

/// Traces that are looked at if nobody says how many.
const TRACES: usize = 50;

/// More are not looked at in one request, if the grader needs nothing but them.
const TRACES_MAX: usize = 1_000;

/// More are not looked at by a judge or by code in one request.
const JUDGED_MAX: usize = 50;

/// Traces that wait for a judge at the same time.
const AT_ONCE: usize = 4;

/// Traces that code looks at at the same time: as many as there are workers if nobody says otherwise.
const CODE_AT_ONCE: usize = 2;

/// What a trial may spend on judges if nobody says how much, in US dollars.
const COST_USD: f64 = 1.0;

/// The share of the time of a request that a trial takes; the rest is for its answer.
const TIME_SHARE: f64 = 0.85;

/// The share of it until which code may run: that it took too long is told by its grade.
const CODE_SHARE: f64 = 0.8;

/// So much of what judges were asked is shown; of later traces only the verdict.
const EXCHANGE_BYTES_MAX: usize = 16 << 20;

/// A grader to be tried.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TrialRequest {
    /// A definition, the name of a saved grader, `{"id":…,"version":…}`, or `library:` and the name of a
    /// ready one.
    #[schema(value_type = Object)]
    grader: Value,
    /// These traces.
    trace_ids: Option<Vec<String>>,
    /// Instead, those that a list with these fields shows; without either the newest of all.
    #[schema(value_type = Option<Object>)]
    filter: Option<Value>,
    /// The trace that the one in `trace_ids` is compared with, for a grader that compares two.
    against_trace_id: Option<String>,
    /// What should have been done, for a grader that compares with that.
    references: Option<Vec<ReferenceSent>>,
    /// Where references name keys: `metadata.KEY`, the key of a trace's metadata that they are found by.
    references_by: Option<String>,
    /// So many of them, the newest: 50 if not given, 1000 at most; 50 at most if a judge or code is asked.
    limit: Option<usize>,
    /// What judges may cost: 1 dollar if not given.
    max_cost_usd: Option<f64>,
}

/// What a grader says of some traces.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Trial {
    /// `grader.trial`.
    object: &'static str,
    name: String,
    /// The grader's type.
    r#type: &'static str,
    /// How many verdicts came out how: `pass`, `fail`, `value`, `not_applicable`, `unscored`.
    counts: BTreeMap<&'static str, usize>,
    /// The share of passes among passes and fails; null if there are neither.
    pass_rate: Option<f64>,
    /// How sure that is.
    pass_rate_figure: Option<FigureObject>,
    /// What judges cost; null if the price of one is not known.
    cost_usd: Option<f64>,
    /// Why not all traces were graded: the money or the time is used up, or the judge refuses whatever it
    /// is asked.
    stopped: Option<String>,
    /// What became of the references; null if none were given.
    references: Option<ReferencesTold>,
    #[serde(flatten)]
    advice: Advice,
    /// One entry a trace, or a span of graders that grade span by span; the newest traces first.
    data: Vec<TrialVerdict>,
}

/// What a grader says of one trace or span.
#[derive(Debug, Serialize, ToSchema)]
struct TrialVerdict {
    trace_id: String,
    /// The span, of graders that grade span by span.
    span_id: Option<String>,
    /// `pass`, `fail`, `value`, `not_applicable` or `unscored`.
    outcome: &'static str,
    score: Option<f64>,
    label: Option<String>,
    /// Why there is no verdict.
    unscored_reason: Option<&'static str>,
    /// Why it came out so.
    reasoning: Option<String>,
    /// The spans that made it so.
    citations: Vec<String>,
    /// What the judge says of its own certainty: never a probability.
    confidence: Option<f64>,
    /// Whether it holds only because there was nothing to look at.
    vacuous: bool,
    /// The judge's part in it.
    judge: Option<JudgeObject>,
    /// What the parts of a `multi` gave.
    scores: BTreeMap<String, f64>,
    /// What judges were asked and answered, in order; null where all of it would be too much.
    exchanges: Option<Vec<ExchangeObject>>,
}

/// One question to a judge and its answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JudgeExchange)]
struct ExchangeObject {
    /// `verdict`, `reading`, `repair` or `evidence`.
    purpose: &'static str,
    model: String,
    /// The prompt: messages of Chat Completions.
    #[schema(value_type = Vec<Object>)]
    messages: Vec<Value>,
    #[schema(value_type = Object)]
    params: Value,
    answer: String,
    #[schema(value_type = Option<Vec<Object>>)]
    tool_calls: Value,
    refusal: Option<String>,
    input_tokens: i64,
    cached_tokens: i64,
    output_tokens: i64,
    /// Null is "unknown".
    cost_usd: Option<f64>,
    latency_ms: f64,
    /// Whether an earlier answer was used again.
    cached: bool,
}

/// Try a grader on traces that are stored. Nothing of it is kept. A grader that asks a judge or runs code
/// needs a key that may send.
#[utoipa::path(
    post,
    path = "/v1/graders/try",
    tag = "grade",
    request_body = TrialRequest,
    responses(
        (status = 200, body = Trial),
        (status = 400, description = "Every mistake in the grader is told, with its place", body = ErrorBody),
        (status = 403, description = "The grader asks a judge or runs code, and the key may not send", body = ErrorBody),
        (status = 404, description = "There is no such grader or trace", body = ErrorBody)
    )
)]
pub(super) async fn try_grader(
    State(state): State<AppState>,
    principal: Principal,
    JsonBody(mut asked): JsonBody<TrialRequest, REQUEST_BYTES_MAX>,
) -> Result<Json<Trial>, ApiError> {
    // What was graded is told before the request has to end, not lost with it.
    let after = |share| Instant::now() + state.config.request_timeout.mul_f64(share);
    let (code_until, until) = (after(CODE_SHARE), after(TIME_SHARE));
    let meant = named::meant(&state, &principal.project, &asked.grader, "grader").await?;
    if meant.grader.cost() != Costs::Nothing {
        principal.require(Scope::Ingest)?;
        require_services(&state, &[meant.grader.definition()]).await?;
    }
    let (sent, by) = (asked.references.take(), asked.references_by.as_deref());
    let references = References::read(sent, by, meant.grader.needs().reads_steps)?;
    let wanted = Wanted::of(&asked, &meant.grader, &state)?;
    let asks = usual::Wanted::by([meant.grader.definition()].into_iter());
    let now = state.clock.now();
    let baselines = meant.grader.needs().baselines;
    let baselines = baselines_before(&state, &principal.project, now, baselines).await;
    let usual = (now, asks);
    let known = Known::of(&state, &principal.project);
    let known = known.with_usual(&state, &principal.project, usual).await;
    let known = known.map_err(ApiError::internal)?;
    let budget = Budget::new(wanted.cap, NanoUsd(0));
    let judge = ProjectJudge::of(&state, &principal.project, budget);
    let beside = references.map(Beside::of).map(Arc::new);
    let attempt = Attempt {
        state: &state,
        project: &principal.project,
        grader: &meant.grader,
        judge: &judge,
        known: &Arc::new(known),
        beside: beside.as_ref(),
        baselines: &Arc::new(baselines.map_err(ApiError::internal)?),
        code_until,
        until,
    };
    let tried = attempt.grade(&wanted).await?;
    Ok(Json(Trial::of(
        &meant.grader,
        tried,
        beside.map(|it| it.told()),
    )))
}

/// What traces are held against, and what became of it.
struct Beside {
    references: References,
    /// With how many traces are held against one.
    tally: Mutex<(Tally, usize)>,
}

impl Beside {
    fn of(references: References) -> Self {
        Self {
            tally: Mutex::new((Tally::of(Some(&references)), 0)),
            references,
        }
    }

    fn lay(&self, view: &mut TraceView) {
        let (tally, traces) = &mut *self.tally.lock();
        self.references.lay_beside(view, tally);
        *traces += usize::from(view.reference.is_some());
    }

    fn told(&self) -> ReferencesTold {
        let (tally, traces) = &*self.tally.lock();
        self.references.told(tally, *traces)
    }
}

/// The traces that a trial is about, and what it may cost.
struct Wanted {
    ids: Option<Vec<TraceId>>,
    filter: TraceFilter,
    limit: usize,
    cap: NanoUsd,
    against: Option<TraceId>,
}

impl Wanted {
    fn of(asked: &TrialRequest, grader: &TraceGrader, state: &AppState) -> Result<Self, ApiError> {
        let most = match grader.cost() {
            Costs::Nothing => TRACES_MAX,
            Costs::Code | Costs::Judge => JUDGED_MAX,
        };
        let within = |count: usize, param: &str| match (1..=most).contains(&count) {
            true => Ok(count),
            false => {
                let message = format!("it is between 1 and {most} for this grader");
                Err(ApiError::invalid(param, message))
            }
        };
        let limit = within(asked.limit.unwrap_or(TRACES), "limit")?;
        if let Some(ids) = &asked.trace_ids {
            within(ids.len(), "trace_ids")?;
            if asked.filter.is_some() || asked.limit.is_some() {
                let message = "traces are named, or chosen by filter and limit, not both";
                return Err(ApiError::invalid("trace_ids", message));
            }
        }
        let id = |text: &String| TraceId::new(text).map_err(|_| ApiError::not_found("trace", text));
        let ids = asked.trace_ids.as_ref();
        let against = asked.against_trace_id.as_ref().map(id).transpose()?;
        require_pair(grader, ids, against.as_ref())?;
        let cap = asked.max_cost_usd.unwrap_or(COST_USD);
        if !(0.0..=1e6).contains(&cap) {
            return Err(ApiError::invalid(
                "max_cost_usd",
                "it is not an amount of dollars",
            ));
        }
        Ok(Self {
            ids: ids.map(|ids| ids.iter().map(id).collect()).transpose()?,
            filter: filter_of(asked.filter.as_ref(), state.clock.now())
                .map_err(|error| error.within("filter"))?,
            limit,
            cap: NanoUsd::from_usd(cap),
            against,
        })
    }
}

/// Refuses a grader that compares without two traces to compare, and two traces where none compares.
fn require_pair(
    grader: &TraceGrader,
    ids: Option<&Vec<String>>,
    against: Option<&TraceId>,
) -> Result<(), ApiError> {
    let message = match (grader.is_pairwise(), against) {
        (true, Some(_)) if ids.is_some_and(|ids| ids.len() == 1) => return Ok(()),
        (false, None) => return Ok(()),
        (true, _) => {
            "the grader compares two traces: name one in `trace_ids` and the other in `against_trace_id`"
        }
        (false, Some(_)) => "the grader compares nothing: leave it out",
    };
    Err(ApiError::invalid("against_trace_id", message))
}

/// One go at the traces.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    state: &'a AppState,
    project: &'a ProjectId,
    grader: &'a Arc<TraceGrader>,
    judge: &'a ProjectJudge,
    known: &'a Arc<Known>,
    beside: Option<&'a Arc<Beside>>,
    /// What rules ask of the traces before.
    baselines: &'a Arc<Baselines>,
    /// When code has to be over, so that there is time to say so.
    code_until: Instant,
    /// When it has to be over.
    until: Instant,
}

/// What came of it.
struct Tried {
    verdicts: Vec<Said>,
    stopped: Option<String>,
}

/// What the grader says of a trace or a span of it.
struct Said {
    trace_id: TraceId,
    group_id: Option<GroupId>,
    graded: Graded,
}

/// A trace at once, or what a judge needs to look at it.
enum Looked {
    Done(Option<GroupId>, Box<Graded>),
    /// With the hash of what can be read of it.
    Waits(String, Box<Viewed>),
}

impl Attempt<'_> {
    async fn grade(self, wanted: &Wanted) -> Result<Tried, ApiError> {
        let ids = match &wanted.ids {
            Some(ids) => ids.clone(),
            None => {
                of_project(self.state, self.project, async |snapshot| {
                    self.newest(&snapshot, wanted).await
                })
                .await?
            }
        };
        let count = ids.len();
        // Without a judge one after the other: what each weighs is given back before the next is read.
        let at_once = match self.grader.cost() {
            Costs::Nothing => 1,
            Costs::Code => CODE_AT_ONCE,
            Costs::Judge => AT_ONCE,
        };
        let begins_until = match self.grader.sources().is_empty() {
            true => self.until,
            false => self.code_until,
        };
        let is_named = wanted.ids.is_some();
        let against = wanted.against.as_ref();
        let one = move |(at, id): (usize, TraceId)| async move {
            (at, self.one(id, is_named, against).await)
        };
        // As they come: one that takes long holds up no other. They are told in the order of the traces.
        let verdicts = futures::stream::iter(ids.into_iter().enumerate());
        let verdicts =
            verdicts.take_while(move |_| std::future::ready(Instant::now() < begins_until));
        let mut verdicts = std::pin::pin!(verdicts.map(one).buffer_unordered(at_once));
        let (mut graded, mut stopped) = (BTreeMap::new(), None);
        while stopped.is_none() {
            match timeout_at(self.until, verdicts.next()).await {
                Ok(None) => break,
                Ok(Some((at, said))) => match said? {
                    Ok(said) => drop(graded.insert(at, said)),
                    Err(halt) => stopped = Some(halt.to_string()),
                },
                Err(_elapsed) => break,
            }
        }
        if stopped.is_none() && graded.len() < count {
            stopped = Some(out_of_time(graded.len(), count));
        }
        Ok(Tried {
            verdicts: graded.into_values().flatten().collect(),
            stopped,
        })
    }

    async fn newest(
        self,
        snapshot: &Arc<Snapshot>,
        wanted: &Wanted,
    ) -> Result<Vec<TraceId>, ApiError> {
        let list = TraceList {
            filter: wanted.filter.clone(),
            order: Order::Descending,
            limit: wanted.limit,
            after: None,
            columns: Columns::narrow(Table::Traces),
        };
        let engine = &self.state.engine;
        let page = engine.list_traces(Arc::clone(snapshot) as _, list).await?;
        let ids = page.items.into_iter();
        Ok(ids.map(|entry| entry.row.item.trace_id.clone()).collect())
    }

    /// Reads a trace that has to be there.
    async fn load(self, id: &TraceId) -> Result<Viewed, ApiError> {
        let (state, project, wanted) = (Arc::clone(self.state), self.project.clone(), id.clone());
        let viewed = blocking(move || view_of(&state, &project, &wanted)).await??;
        viewed.ok_or_else(|| ApiError::not_found("trace", id.as_str()))
    }

    /// Grades one trace; one that was named and is not there is the caller's mistake, one of a list was
    /// deleted meanwhile.
    async fn one(
        self,
        id: TraceId,
        is_named: bool,
        against: Option<&TraceId>,
    ) -> Result<Result<Vec<Said>, Halt>, ApiError> {
        let other = match against {
            None => None,
            Some(other) => Some((other, self.load(other).await?)),
        };
        let (state, grader) = (Arc::clone(self.state), Arc::clone(self.grader));
        let (project, wanted) = (self.project.clone(), id.clone());
        let (known, beside) = (Arc::clone(self.known), self.beside.cloned());
        let baselines = Arc::clone(self.baselines);
        let look = move || -> Result<Option<Looked>, LoadError> {
            let Some(mut viewed) = view_of(&state, &project, &wanted)? else {
                return Ok(None);
            };
            if let Some(beside) = &beside {
                beside.lay(&mut viewed.view);
            }
            let now = grader.grade_now(&Subject {
                baselines: baselines.of(&viewed.view),
                ..known.subject(&viewed.view)
            });
            Ok(Some(match now {
                Some(verdict) => Looked::Done(viewed.group_id().cloned(), Box::new(bare(verdict))),
                None => Looked::Waits(known.trace_hash(&viewed.view), Box::new(viewed)),
            }))
        };
        let (group_id, graded) = match blocking(look).await?? {
            None if is_named => return Err(ApiError::not_found("trace", id.as_str())),
            None => return Ok(Ok(Vec::new())),
            Some(Looked::Done(group_id, graded)) => (group_id, vec![*graded]),
            Some(Looked::Waits(trace_hash, viewed)) => {
                let subject = Subject {
                    trace_hash: &trace_hash,
                    counterpart: other.as_ref().map(|(trace_id, other)| Counterpart {
                        trace_id,
                        view: &other.view,
                        trace_hash: "",
                    }),
                    baselines: self.baselines.of(&viewed.view),
                    criteria_per_trace: self.grader.criteria(),
                    ..self.known.subject(&viewed.view)
                };
                let bill = self.judge.bill(Some(&id), None, NanoUsd(0));
                let bill = bill.compared_with(against);
                let python = self.state.graders.python.as_deref();
                let in_time = python.map(|python| InTime {
                    python,
                    until: self.code_until,
                });
                let services = Services {
                    python: in_time.as_ref().map(|it| it as &dyn TracePython),
                    ..bill.services()
                };
                match self.grader.grade(&subject, &services).await {
                    Ok(graded) => (viewed.group_id().cloned(), graded),
                    Err(halt) => return Ok(Err(halt)),
                }
            }
        };
        let said = |graded| Said {
            trace_id: id.clone(),
            group_id: group_id.clone(),
            graded,
        };
        Ok(Ok(graded.into_iter().map(said).collect()))
    }
}

/// Returns why a trial is over before all its traces are graded.
fn out_of_time(graded: usize, of: usize) -> String {
    format!(
        "time: {graded} of {of} traces were graded in the time that a request may take (request_timeout); \
         try fewer, or make a run of it"
    )
}

/// Returns what a grader said that asks nobody.
fn bare(verdict: Verdict) -> Graded {
    Graded {
        span_id: None,
        verdict,
        scores: BTreeMap::new(),
        exchanges: Vec::new(),
    }
}

impl Trial {
    fn of(grader: &TraceGrader, tried: Tried, references: Option<ReferencesTold>) -> Self {
        let mut counts: BTreeMap<&'static str, usize> = Outcome::ALL
            .iter()
            .map(|outcome| (outcome.as_str(), 0))
            .collect();
        for said in &tried.verdicts {
            *counts
                .entry(said.graded.verdict.outcome.as_str())
                .or_default() += 1;
        }
        let exchanges = tried
            .verdicts
            .iter()
            .flat_map(|said| &said.graded.exchanges);
        let cost: Option<NanoUsd> = exchanges
            .map(|exchange| exchange.cost)
            .try_fold(NanoUsd::default(), |sum, one| {
                Some(sum.saturating_add(one?))
            });
        let figure = pass_rate(&tried.verdicts);
        let mut room = EXCHANGE_BYTES_MAX;
        let told = |said| TrialVerdict::of(said, &mut room);
        let is_held = references.as_ref().is_some_and(ReferencesTold::is_used);
        let asks = grader.needs().reference && !is_held;
        let mut advice = Advice::of(grader);
        let warnings = warning(asks.then_some(grader.name()).as_slice());
        advice.warnings.extend(warnings);
        Self {
            object: "grader.trial",
            name: grader.name().to_owned(),
            r#type: grader.kind(),
            counts,
            pass_rate: figure.as_ref().map(|figure| figure.estimate),
            pass_rate_figure: figure.map(FigureObject::from),
            cost_usd: cost.map(NanoUsd::to_usd),
            stopped: tried.stopped,
            references,
            advice,
            data: tried.verdicts.into_iter().map(told).collect(),
        }
    }
}

fn pass_rate(verdicts: &[Said]) -> Option<Figure> {
    // Spans of a trace, and traces of a group, are not independent.
    let mut keys: HashMap<&str, u64> = HashMap::new();
    let rows: Vec<Row> = verdicts
        .iter()
        .filter_map(|said| {
            let value = match said.graded.verdict.outcome {
                Outcome::Pass => 1.0,
                Outcome::Fail => 0.0,
                _ => return None,
            };
            let next = keys.len() as u64;
            let group = said.group_id.as_ref().map(GroupId::as_str);
            let spans = said.graded.span_id.is_some();
            let group = group.or_else(|| spans.then(|| said.trace_id.as_str()));
            let group = group.map(|group| *keys.entry(group).or_insert(next));
            Some(Row { value, group })
        })
        .collect();
    let rows = Rows::new(rows).ok()?;
    cluster::rate(&rows, Level::P95, Purpose::Report).ok()
}

impl TrialVerdict {
    /// Returns a verdict as it is sent, with what judges were asked as long as there is room for it.
    fn of(said: Said, room: &mut usize) -> Self {
        let Graded {
            span_id,
            verdict,
            scores,
            exchanges,
        } = said.graded;
        let bytes: usize = exchanges.iter().map(exchange_bytes).sum();
        let is_shown = bytes <= *room;
        *room -= if is_shown { bytes } else { 0 };
        let exchanges = exchanges.into_iter().map(ExchangeObject::from);
        Self {
            trace_id: said.trace_id.to_string(),
            span_id: span_id.map(|id| id.to_string()),
            outcome: verdict.outcome.as_str(),
            score: verdict.score,
            label: verdict.label,
            unscored_reason: verdict.unscored_reason.map(|reason| reason.as_str()),
            reasoning: verdict.reasoning,
            citations: verdict.citations.iter().map(ToString::to_string).collect(),
            confidence: verdict.confidence,
            vacuous: verdict.vacuous,
            judge: verdict.judge.map(JudgeObject::from),
            scores,
            exchanges: is_shown.then(|| exchanges.collect()),
        }
    }
}

fn exchange_bytes(exchange: &Exchange) -> usize {
    let messages = exchange.messages.iter();
    let messages: usize = messages.map(|message| message.to_string().len()).sum();
    messages + exchange.answer.len()
}

impl From<Exchange> for ExchangeObject {
    fn from(exchange: Exchange) -> Self {
        Self {
            purpose: exchange.purpose.as_str(),
            model: exchange.model,
            messages: exchange.messages,
            params: exchange.params,
            answer: exchange.answer,
            tool_calls: exchange.tool_calls,
            refusal: exchange.refusal,
            input_tokens: exchange.usage.prompt,
            cached_tokens: exchange.usage.cached,
            output_tokens: exchange.usage.completion,
            cost_usd: exchange.cost.map(NanoUsd::to_usd),
            latency_ms: exchange.latency_ms,
            cached: exchange.is_cached,
        }
    }
}
