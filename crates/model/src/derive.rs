//! What do the spans of a trace say about the trace?
//!
//! The row of a trace is a pure function of its item and of *all* its spans, in whatever order they
//! came: it is made anew whenever a span arrives, and the last one made is right. Sums are of
//! integers, ties are broken by depth and id, and nothing depends on a clock.

use std::borrow::Borrow;
use std::collections::HashSet;

use crate::doubles::settled;
use crate::forest::{Forest, Kin, agents_of, borrowed, moment};
use crate::outcome::{Place, deciding_span, places};
use crate::{
    Content, NanoUsd, Span, SpanStatus, SpanType, TRACE_LIST_MAX, Time, TraceItem, TraceRow,
    TraceStatus, Usage,
};

/// When the rows of a trace were received, and under which numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// When its first row was received.
    pub first_received_at: Time,
    /// When its last row was received.
    pub last_received_at: Time,
    /// The sequence number of its first row.
    pub first_seq: i64,
    /// The sequence number of its newest row.
    pub seq: i64,
}

/// Returns the row of the trace that `item` names and `spans` make up: every span of it once, in any
/// order.
pub fn derive<S: Borrow<Span>>(item: &TraceItem, spans: &[S], received: Received) -> TraceRow {
    let given = borrowed(spans);
    let copies = settled(&given);
    let mut spans = given.clone();
    copies.iter().for_each(|(at, copy)| spans[*at] = copy);
    let forest = Forest::of(&spans);
    let places = places(&spans, &forest);
    let decider = deciding_span(&spans, &forest, &places).map(|at| spans[at as usize]);
    let facts = Facts::of(&spans, &forest, &places);
    let error = decider.and_then(|span| span.error.as_ref());
    let (tool_calls, guardrails) = (
        facts.of_type(SpanType::Function),
        facts.of_type(SpanType::Guardrail),
    );
    let mut row = TraceRow {
        settled_status: settled_status(decider),
        rooted: item.ended == Some(true)
            || places
                .iter()
                .any(|place| place.parentless && place.has_ended()),
        error_type: error.map(|error| error.kind.clone()),
        error_message: error.map(|error| error.message.clone()),
        error_span_id: decider.map(|span| span.span_id.clone()),
        span_count: facts.steps.len() as i64,
        generation_count: facts.of_type(SpanType::Generation).count() as i64,
        tool_errors: tool_calls
            .clone()
            .filter(|s| s.place.status == SpanStatus::Error)
            .count() as i64,
        tool_call_count: tool_calls.count() as i64,
        handoff_count: facts.of_type(SpanType::Handoff).count() as i64,
        guardrail_trips: guardrails
            .filter(|s| s.span.triggered == Some(true))
            .count() as i64,
        open_spans: facts.steps.iter().filter(|s| !s.place.has_ended()).count() as i64,
        lost_spans: forest.lost_parents as i64,
        input_preview: facts.input_preview().map(str::to_owned),
        output_preview: facts.output_preview().map(str::to_owned),
        ..TraceRow::empty(item.clone(), received)
    };
    facts.write_times(&mut row, &places);
    facts.write_calls(&mut row);
    facts.write_lists(&mut row, &forest, &spans);
    row
}

fn settled_status(decider: Option<&Span>) -> TraceStatus {
    let kind = decider.map(|span| span.error.as_ref().map(|error| error.kind.as_str()));
    match kind {
        None => TraceStatus::Success,
        Some(Some("timeout")) => TraceStatus::Timeout,
        Some(_) => TraceStatus::Error,
    }
}

impl TraceRow {
    /// Returns the row of a trace of which nothing has come but its item.
    pub fn empty(item: TraceItem, received: Received) -> Self {
        Self {
            item,
            settled_status: TraceStatus::Success,
            rooted: false,
            error_type: None,
            error_message: None,
            error_span_id: None,
            started_at: None,
            ended_at: None,
            duration_ms: None,
            llm_ms: 0.0,
            tool_ms: 0.0,
            overhead_ms: 0.0,
            span_count: 0,
            generation_count: 0,
            tool_call_count: 0,
            tool_errors: 0,
            handoff_count: 0,
            guardrail_trips: 0,
            open_spans: 0,
            lost_spans: 0,
            usage: Usage::default(),
            tokens_source: None,
            cost: None,
            cost_complete: true,
            cost_assumed: false,
            models: Vec::new(),
            agents: Vec::new(),
            tool_sequence: Vec::new(),
            handoff_sequence: Vec::new(),
            lists_cut: false,
            input_preview: None,
            output_preview: None,
            content: Content::Full,
            first_received_at: received.first_received_at,
            last_received_at: received.last_received_at,
            first_seq: received.first_seq,
            seq: received.seq,
        }
    }
}

/// One counted span, its place, and its index among all spans.
#[derive(Clone, Copy)]
struct Step<'a> {
    at: u32,
    span: &'a Span,
    place: Place,
}

impl Step<'_> {
    fn is(&self, span_type: SpanType) -> bool {
        self.place.span_type == span_type
    }

    /// Returns whether the span called a model, which costs money.
    fn is_model_call(&self) -> bool {
        use SpanType::{Embedding, Generation, Speech, Transcription};
        matches!(
            self.place.span_type,
            Generation | Embedding | Transcription | Speech
        )
    }
}

/// The counted spans of a trace by start; of those that start together the outer one comes first.
struct Facts<'a> {
    steps: Vec<Step<'a>>,
}

impl<'a> Facts<'a> {
    fn of(spans: &[&'a Span], forest: &Forest, places: &[Place]) -> Self {
        let counted = forest
            .by_start
            .iter()
            .filter(|at| places[**at as usize].is_counted);
        let mut steps: Vec<Step<'a>> = counted
            .map(|&at| Step {
                at,
                span: spans[at as usize],
                place: places[at as usize],
            })
            .collect();
        steps.sort_by_key(|step| {
            (
                moment(step.place.started_at, step.place.ended_at),
                step.place.depth,
            )
        });
        Self { steps }
    }

    fn of_type(&self, span_type: SpanType) -> impl Iterator<Item = &Step<'a>> + Clone {
        self.steps.iter().filter(move |step| step.is(span_type))
    }

    fn write_times(&self, row: &mut TraceRow, places: &[Place]) {
        let counted = window(self.steps.iter().map(|step| &step.place));
        // A trace of nothing but plumbing has its place in time all the same.
        let Some((start, end)) = counted.or_else(|| window(places)) else {
            return;
        };
        let model_calls = self.covered_micros(end, |step| step.is(SpanType::Generation));
        let tool_calls = self.covered_micros(end, |step| step.is(SpanType::Function));
        let either = self.covered_micros(end, |step| {
            step.is(SpanType::Generation) || step.is(SpanType::Function)
        });
        let whole = end.as_micros().saturating_sub(start.as_micros());
        let millis = |micros: i64| micros as f64 / 1e3;
        row.started_at = Some(start);
        row.ended_at = Some(end);
        row.duration_ms = Some(millis(whole));
        row.llm_ms = millis(model_calls);
        row.tool_ms = millis(tool_calls);
        row.overhead_ms = millis(whole.saturating_sub(either));
    }

    /// Returns how long at least one of the chosen spans ran. An agent used as a tool is a tool call
    /// all along, and its model calls are model calls too: the two sums may overlap. An open span
    /// runs to the end of the trace so far.
    fn covered_micros(&self, trace_end: Time, is_chosen: impl Fn(&Step<'_>) -> bool) -> i64 {
        let (mut sum, mut covered_to) = (0i64, Time::from_micros(i64::MIN));
        for step in self.steps.iter().filter(|step| is_chosen(step)) {
            let Some(start) = step.place.started_at else {
                continue;
            };
            let end = if step.place.has_ended() {
                step.place.ended_at
            } else {
                Some(trace_end)
            };
            let (from, to) = (start.max(covered_to), end.unwrap_or(start));
            if to > from {
                sum = sum.saturating_add(to.as_micros().saturating_sub(from.as_micros()));
                covered_to = to;
            }
        }
        sum
    }

    /// Tasks and turns repeat the tokens of the calls inside them, so those count only where no call
    /// tells its own (the JavaScript SDK).
    fn write_calls(&self, row: &mut TraceRow) {
        let calls = Calls::of(self.steps.iter().filter(|step| step.is_model_call()));
        if calls.usage.is_known() {
            row.usage = calls.usage;
            row.tokens_source = Some("generation".to_owned());
        } else {
            let tasks = self.of_type(SpanType::Task);
            row.usage = sum_usage(tasks.filter(|step| step.place.task == Some(step.at)));
            row.tokens_source = row.usage.is_known().then(|| "task".to_owned());
        }
        // Zero is said only of a trace without any model call: what is not known is not free.
        row.cost = if calls.count == 0 {
            Some(NanoUsd(0))
        } else {
            calls.cost
        };
        row.cost_complete = calls.priced == calls.count;
        row.cost_assumed = calls.assumed;
        row.content = calls.content();
    }

    fn write_lists(&self, row: &mut TraceRow, forest: &Forest, spans: &[&'a Span]) {
        let (mut models, mut agents) = (Names::default(), Names::default());
        let (mut tools, mut handoffs) = (Names::default(), Names::default());
        for step in &self.steps {
            agents.note(step.span.own_agent());
            if step.is_model_call() {
                models.note(step.span.model.as_deref());
            }
            if step.is(SpanType::Function) {
                tools.push(|| step.span.name.clone());
            }
        }
        // A handoff without a destination did not happen.
        let happened = |step: &&Step<'a>| step.span.handoff_to.is_some();
        let mut enclosing: Option<Vec<Option<&str>>> = None;
        for step in self.of_type(SpanType::Handoff).filter(happened) {
            let from = step.span.handoff_from.as_deref().or_else(|| {
                enclosing.get_or_insert_with(|| agents_of(spans, forest))[step.at as usize]
            });
            let to = step.span.handoff_to.as_deref().unwrap_or_default();
            handoffs.push(|| format!("{} → {to}", from.unwrap_or("?")));
        }
        row.lists_cut = [&models, &agents, &tools, &handoffs]
            .iter()
            .any(|names| names.cut);
        row.models = models.list;
        row.agents = agents.list;
        row.tool_sequence = tools.list;
        row.handoff_sequence = handoffs.list;
    }

    /// What the first model call read, else what the first span around the work was given. A tool's
    /// input is not what the user said.
    fn input_preview(&self) -> Option<&'a str> {
        let told = |step: &Step<'a>| step.span.input_preview.as_deref();
        let around = || {
            self.steps
                .iter()
                .filter(|step| !step.is(SpanType::Function))
        };
        self.of_type(SpanType::Generation)
            .find_map(told)
            .or_else(|| around().find_map(told))
    }

    /// What the last model call answered: preferably one of the outer run, not of an agent that works
    /// as its tool. Else what the last span around the work gave, else what the last tool returned.
    fn output_preview(&self) -> Option<&'a str> {
        let last = |is_chosen: &dyn Fn(&Step<'a>) -> bool| {
            let chosen = self.steps.iter().filter(|step| is_chosen(step));
            let ended_last =
                |step: &&Step<'a>| (step.place.ended_at, std::cmp::Reverse(step.place.depth));
            let telling = chosen.filter(|step| step.span.output_preview.is_some());
            let last = telling.max_by_key(ended_last)?;
            last.span.output_preview.as_deref()
        };
        last(&|step| step.is(SpanType::Generation) && !step.place.in_function)
            .or_else(|| last(&|step| step.is(SpanType::Generation)))
            .or_else(|| last(&|step| !step.is(SpanType::Function)))
            .or_else(|| last(&|_| true))
    }
}

/// What the calls of models add up to.
#[derive(Default)]
struct Calls {
    usage: Usage,
    cost: Option<NanoUsd>,
    count: usize,
    priced: usize,
    assumed: bool,
    came_back: Texts,
    generations: Texts,
}

/// How many calls there are, and how many of them have their texts.
#[derive(Default)]
struct Texts {
    with: usize,
    all: usize,
}

impl Calls {
    fn of<'a>(steps: impl Iterator<Item = &'a Step<'a>>) -> Self {
        let mut calls = Self::default();
        for step in steps {
            let span = step.span;
            calls.count += 1;
            if let Some(cost) = span.cost {
                calls.priced += 1;
                calls.assumed |= span.cost_assumed;
                calls.cost = Some(calls.cost.unwrap_or_default().saturating_add(cost));
            }
            if step.is(SpanType::Generation) {
                add_usage(&mut calls.usage, &span.usage);
                let with = usize::from(has_texts(span));
                calls.generations.with += with;
                calls.generations.all += 1;
                if step.place.status == SpanStatus::Success {
                    calls.came_back.with += with;
                    calls.came_back.all += 1;
                }
            }
        }
        calls
    }

    /// Judged by the calls that came back, if any: a failed one has no answer, whatever its sender
    /// sends.
    fn content(&self) -> Content {
        let judge = if self.came_back.all > 0 {
            &self.came_back
        } else {
            &self.generations
        };
        match judge.with {
            with if with == judge.all => Content::Full,
            0 => Content::None,
            _ => Content::Partial,
        }
    }
}

/// The names of one list of the row, up to as many as it holds.
#[derive(Default)]
struct Names<'a> {
    seen: HashSet<&'a str>,
    last: Option<&'a str>,
    list: Vec<String>,
    cut: bool,
}

impl<'a> Names<'a> {
    /// Adds a name if it is new.
    fn note(&mut self, name: Option<&'a str>) {
        let Some(name) = name else { return };
        // Most spans name the same agent or model as the one before.
        if self.last != Some(name) && self.seen.insert(name) {
            self.push(|| name.to_owned());
        }
        self.last = Some(name);
    }

    fn push(&mut self, name: impl FnOnce() -> String) {
        if self.list.len() < TRACE_LIST_MAX {
            self.list.push(name());
        } else {
            self.cut = true;
        }
    }
}

/// Returns the earliest start and the latest end; an end before its start counts as the start.
fn window<'a>(places: impl IntoIterator<Item = &'a Place>) -> Option<(Time, Time)> {
    let mut whole: Option<(Time, Time)> = None;
    for place in places {
        let Some(start) = place.started_at.or(place.ended_at) else {
            continue;
        };
        let end = place.ended_at.unwrap_or(start).max(start);
        let (from, to) = whole.unwrap_or((start, end));
        whole = Some((from.min(start), to.max(end)));
    }
    whole
}

fn sum_usage<'a>(steps: impl Iterator<Item = &'a Step<'a>>) -> Usage {
    let mut sum = Usage::default();
    steps.for_each(|step| add_usage(&mut sum, &step.span.usage));
    sum
}

fn add_usage(sum: &mut Usage, more: &Usage) {
    fn add(sum: &mut Option<i64>, more: Option<i64>) {
        if let Some(more) = more {
            *sum = Some(sum.unwrap_or(0).saturating_add(more));
        }
    }
    add(&mut sum.input_tokens, more.input_tokens);
    add(&mut sum.cached_tokens, more.cached_tokens);
    add(&mut sum.output_tokens, more.output_tokens);
    add(&mut sum.reasoning_tokens, more.reasoning_tokens);
}

fn has_texts(span: &Span) -> bool {
    let refs = !span.payload.input_refs.is_empty() || !span.payload.output_refs.is_empty();
    refs || span.input_preview.is_some() || span.output_preview.is_some()
}

#[cfg(test)]
mod tests;
