//! What does a grader see of a trace?
//!
//! The counted spans in start order with their places, and what they say. It is built once; rules,
//! detectors, renderings and metrics borrow from it. Plumbing and doubles of a call are left out: what
//! hung below them hangs below the nearest span that counts.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use model::{
    ChatMessage, Content, DeclaredTool, JsonText, PREVIEW_CHARS_MAX, Part, Span, SpanId,
    SpanStatus, SpanType, Time, TraceRow, TraceStatus, answered, places,
};

/// A span and what it says, as read from wherever it is kept. Histories are sent anew with every call,
/// so messages are shared: the same message is the same `Arc` wherever it is told.
#[derive(Debug, Clone)]
pub struct ToldSpan {
    /// The span; its payload may be left out.
    pub span: Span,
    /// Of a model call or an agent: the messages that were read.
    pub input: Vec<Arc<ChatMessage>>,
    /// Of a model call or an agent: the messages that were written.
    pub output: Vec<Arc<ChatMessage>>,
    /// Of a tool call (and of whatever else has no messages): what it was given.
    pub arguments: Option<JsonText>,
    /// Of a tool call (and of whatever else has no messages): what it gave back.
    pub result: Option<JsonText>,
    /// The tools it was given.
    pub tools: Arc<[DeclaredTool]>,
}

impl ToldSpan {
    /// Returns a span that says nothing.
    pub fn silent(span: Span) -> Self {
        Self {
            span,
            input: Vec::new(),
            output: Vec::new(),
            arguments: None,
            result: None,
            tools: Arc::default(),
        }
    }
}

/// A trace as read from wherever it is kept.
#[derive(Debug, Clone)]
pub struct ToldTrace {
    /// Its row.
    pub row: TraceRow,
    /// Its status at the moment of reading.
    pub status: TraceStatus,
    /// Up to when open spans are reckoned.
    pub horizon: Time,
    /// All its spans, in any order.
    pub spans: Vec<ToldSpan>,
    /// The case of a dataset that it is held against.
    pub reference: Option<serde_json::Value>,
}

/// One counted span in its place.
#[derive(Debug, Clone)]
pub struct SpanView {
    /// The span and what it says.
    pub told: ToldSpan,
    /// The agent at work.
    pub agent: Option<Arc<str>>,
    /// The nearest counted span above it, as an index into [`TraceView::spans`].
    pub parent: Option<u32>,
    /// How many counted spans are above it.
    pub depth: u32,
    /// From start to end; of an open span so far; `None` where no start was told.
    pub duration_ms: Option<f64>,
    /// Its duration less the time in which a child of it ran.
    pub self_ms: Option<f64>,
    /// What takes time to make of its texts.
    pub(crate) made: Made,
}

/// What was made of a span's texts once, for all who ask about the same view. A copy starts without it,
/// so that its texts may be changed.
#[derive(Debug, Default)]
pub(crate) struct Made {
    input: OnceLock<Box<str>>,
    output: OnceLock<Box<str>>,
    arguments: OnceLock<Option<Box<serde_json::Value>>>,
    result: OnceLock<Option<Box<serde_json::Value>>>,
}

impl Clone for Made {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// Returns what was made before, else `text`, kept if it had to be put together.
fn kept<'v>(
    made: &'v OnceLock<Box<str>>,
    text: impl FnOnce() -> Option<Cow<'v, str>>,
) -> Option<&'v str> {
    if let Some(known) = made.get() {
        return Some(known);
    }
    Some(match text()? {
        Cow::Borrowed(text) => text,
        Cow::Owned(text) => made.get_or_init(|| text.into()),
    })
}

fn parsed<'v>(
    made: &'v OnceLock<Option<Box<serde_json::Value>>>,
    text: Option<&JsonText>,
) -> Option<&'v serde_json::Value> {
    let parse = || serde_json::from_str(text?.as_str()).ok();
    made.get_or_init(parse).as_deref()
}

/// A trace as graders see it.
#[derive(Debug, Clone)]
pub struct TraceView {
    /// Its row.
    pub row: TraceRow,
    /// Its status at the moment of reading.
    pub status: TraceStatus,
    /// The counted spans in start order; of those that start together the outer one comes first.
    pub spans: Vec<SpanView>,
    /// The tool calls among them.
    pub functions: Vec<u32>,
    /// The model calls among them.
    pub generations: Vec<u32>,
    /// The handoffs among them.
    pub handoffs: Vec<u32>,
    /// The guardrails among them.
    pub guardrails: Vec<u32>,
    /// What the user said first.
    pub user_input: Option<String>,
    /// The last answer: the words of the last model call that calls no tool, else of the last agent.
    pub final_output: Option<String>,
    /// The case of a dataset that it is held against.
    pub reference: Option<serde_json::Value>,
}

impl SpanView {
    /// Returns the span.
    pub fn span(&self) -> &Span {
        &self.told.span
    }

    /// Returns its id.
    pub fn id(&self) -> &SpanId {
        &self.told.span.span_id
    }

    /// Returns whether it is of this type.
    pub fn is(&self, span_type: SpanType) -> bool {
        self.told.span.span_type == span_type
    }

    /// Returns whether it ended in error.
    pub fn has_failed(&self) -> bool {
        self.told.span.status == SpanStatus::Error
    }

    /// Returns what went in as a text: the words of all messages, else the arguments.
    pub fn input_text(&self) -> Option<Cow<'_, str>> {
        text_of(&self.told.input, self.told.arguments.as_ref())
    }

    /// Returns what came out as a text: the words of all messages (of an answer without words, the
    /// tools it calls), else the result.
    pub fn output_text(&self) -> Option<Cow<'_, str>> {
        text_of(&self.told.output, self.told.result.as_ref())
    }

    /// Returns [`SpanView::input_text`], put together at most once.
    pub(crate) fn input_once(&self) -> Option<&str> {
        kept(&self.made.input, || self.input_text())
    }

    /// Returns [`SpanView::output_text`], put together at most once.
    pub(crate) fn output_once(&self) -> Option<&str> {
        kept(&self.made.output, || self.output_text())
    }

    /// Returns the arguments of a tool call, parsed at most once; what is nested too deep is none.
    pub(crate) fn arguments_once(&self) -> Option<&serde_json::Value> {
        parsed(&self.made.arguments, self.told.arguments.as_ref())
    }

    /// Returns the result of a tool call likewise.
    pub(crate) fn result_once(&self) -> Option<&serde_json::Value> {
        parsed(&self.made.result, self.told.result.as_ref())
    }

    /// Returns the tools that its answer asks for: id, name, arguments.
    pub fn requested_calls(
        &self,
    ) -> impl Iterator<Item = (Option<&str>, &str, Option<&JsonText>)> + '_ {
        let parts = self.told.output.iter().flat_map(|message| &message.parts);
        parts.filter_map(|part| match part {
            Part::ToolCall {
                id,
                name,
                arguments,
            } => Some((id.as_deref(), name.as_str(), arguments.as_ref())),
            _ => None,
        })
    }
}

fn text_of<'a>(
    messages: &'a [Arc<ChatMessage>],
    other: Option<&'a JsonText>,
) -> Option<Cow<'a, str>> {
    if !messages.is_empty() {
        let mut words = messages.iter().filter_map(|message| message.text());
        return match (words.next(), words.next()) {
            (Some(only), None) => Some(only),
            (Some(first), Some(second)) => {
                let rest = words.fold(format!("{first}\n{second}"), |all, more| all + "\n" + &more);
                Some(rest.into())
            }
            (None, _) => {
                let copies: Vec<ChatMessage> = messages
                    .iter()
                    .map(|message| ChatMessage::clone(message))
                    .collect();
                answered(&copies).map(Cow::from)
            }
        };
    }
    other.map(decoded)
}

/// Returns a JSON string as its text, and any other JSON as it stands.
pub(crate) fn decoded(json: &JsonText) -> Cow<'_, str> {
    let text = json.as_str();
    match text.starts_with('"') {
        true => serde_json::from_str::<String>(text).map_or(Cow::from(text), Cow::from),
        false => Cow::from(text),
    }
}

impl TraceView {
    /// Returns the view of a trace.
    pub fn of(trace: ToldTrace) -> Self {
        let ToldTrace {
            row,
            status,
            horizon,
            spans,
            reference,
        } = trace;
        let spans = placed(spans, horizon);
        let of_type = |span_type: SpanType| {
            let all = (0u32..).zip(&spans);
            let chosen = all.filter(|(_, span)| span.is(span_type));
            chosen.map(|(at, _)| at).collect::<Vec<_>>()
        };
        Self {
            functions: of_type(SpanType::Function),
            generations: of_type(SpanType::Generation),
            handoffs: of_type(SpanType::Handoff),
            guardrails: of_type(SpanType::Guardrail),
            user_input: user_input(&spans).or_else(|| whole(row.input_preview.as_deref())),
            final_output: final_output(&spans).or_else(|| whole(row.output_preview.as_deref())),
            row,
            status,
            spans,
            reference,
        }
    }

    /// Returns the spans at these places.
    pub fn at<'a>(&'a self, places: &'a [u32]) -> impl DoubleEndedIterator<Item = &'a SpanView> {
        places.iter().map(|at| &self.spans[*at as usize])
    }

    /// Returns whether the sender gave texts to read.
    pub fn has_content(&self) -> bool {
        self.row.content != Content::None || self.final_output.is_some()
    }

    /// Returns the nearest span of this type that encloses the one at `at`.
    pub fn enclosing(&self, at: u32, span_type: SpanType) -> Option<u32> {
        let above = |at: &u32| self.spans[*at as usize].parent;
        std::iter::successors(above(&at), above).find(|at| self.spans[*at as usize].is(span_type))
    }
}

/// A preview that was not cut is the text.
fn whole(preview: Option<&str>) -> Option<String> {
    let preview = preview?;
    (preview.chars().count() < PREVIEW_CHARS_MAX).then(|| preview.to_owned())
}

/// Returns the counted spans in order, each in its place.
fn placed(told: Vec<ToldSpan>, horizon: Time) -> Vec<SpanView> {
    let spans: Vec<&Span> = told.iter().map(|told| &told.span).collect();
    let all = places(&spans);
    let agents = model::shared_names(&all.agents);
    let mut order: Vec<usize> = (0..spans.len())
        .filter(|at| spans[*at].is_counted())
        .collect();
    let moment = |at: usize| {
        let span = spans[at];
        let known = span.started_at.or(span.ended_at);
        known.unwrap_or(Time::from_micros(i64::MAX))
    };
    order.sort_by(|a, b| {
        let key = |at: usize| (moment(at), all.depths[at], spans[at].span_id.as_str());
        key(*a).cmp(&key(*b))
    });
    let mut new_places: Vec<Option<u32>> = vec![None; spans.len()];
    (0u32..)
        .zip(&order)
        .for_each(|(to, from)| new_places[*from] = Some(to));
    let above: Vec<Option<usize>> = all
        .parents
        .iter()
        .map(|parent| parent.map(|at| at as usize))
        .collect();
    let parents: Vec<Option<u32>> = order
        .iter()
        .map(|at| std::iter::successors(above[*at], |at| above[*at]).find_map(|at| new_places[at]))
        .collect();
    let mut told: Vec<Option<ToldSpan>> = told.into_iter().map(Some).collect();
    let mut views: Vec<SpanView> = order
        .iter()
        .zip(parents)
        .map(|(at, parent)| SpanView {
            told: told[*at].take().expect("each span has one place"),
            agent: agents[*at].clone(),
            parent,
            depth: 0,
            duration_ms: None,
            self_ms: None,
            made: Made::default(),
        })
        .collect();
    measure(&mut views, horizon);
    deepen(&mut views);
    views
}

/// Fills in depths. A parent may start after its child, so each chain is climbed to what is known.
fn deepen(views: &mut [SpanView]) {
    let mut known = vec![false; views.len()];
    for at in 0..views.len() {
        let mut chain = vec![at];
        while let Some(parent) = views[chain[chain.len() - 1]].parent {
            if known[parent as usize] {
                break;
            }
            chain.push(parent as usize);
        }
        for at in chain.into_iter().rev() {
            let above = views[at]
                .parent
                .map(|parent| views[parent as usize].depth + 1);
            views[at].depth = above.unwrap_or(0);
            known[at] = true;
        }
    }
}

/// Fills in durations.
fn measure(views: &mut [SpanView], horizon: Time) {
    let mut children: Vec<Vec<(i64, i64)>> = vec![Vec::new(); views.len()];
    let interval = |span: &Span| {
        let start = span.started_at?.as_micros();
        let end = span
            .ended_at
            .filter(|_| span.has_ended())
            .unwrap_or(horizon);
        Some((start, end.as_micros().max(start)))
    };
    for view in &*views {
        if let (Some(parent), Some(lasted)) = (view.parent, interval(view.span())) {
            children[parent as usize].push(lasted);
        }
    }
    for (view, mut children) in views.iter_mut().zip(children) {
        let Some((start, end)) = interval(&view.told.span) else {
            continue;
        };
        children.sort_unstable();
        let (mut covered, mut until) = (0, start);
        for (from, to) in children {
            let (from, to) = (from.max(until), to.min(end));
            covered += (to - from).max(0);
            until = until.max(to);
        }
        view.duration_ms = Some((end - start) as f64 / 1e3);
        view.self_ms = Some((end - start - covered) as f64 / 1e3);
    }
}

fn user_input(spans: &[SpanView]) -> Option<String> {
    let talkers = |span_type: SpanType| spans.iter().filter(move |span| span.is(span_type));
    let ordered = talkers(SpanType::Generation).chain(talkers(SpanType::Agent));
    let mut messages = ordered.flat_map(|span| &span.told.input);
    messages.find_map(|message| {
        let is_user = message.role == "user";
        is_user.then(|| message.words()).flatten()
    })
}

fn final_output(spans: &[SpanView]) -> Option<String> {
    let words = |span: &SpanView| span.told.output.iter().rev().find_map(|said| said.words());
    let answers = spans
        .iter()
        .rev()
        .filter(|span| span.is(SpanType::Generation) && span.requested_calls().next().is_none());
    let agents = spans.iter().rev().filter(|span| span.is(SpanType::Agent));
    answers.chain(agents).find_map(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Received, Source, TraceId, TraceItem, derive};

    fn span(id: &str, parent: Option<&str>, span_type: SpanType, from: i64, to: i64) -> ToldSpan {
        let trace = TraceId::new("t").unwrap();
        let mut span = Span::new(trace, SpanId::new(id).unwrap(), span_type, Source::Openai);
        span.parent_id = parent.map(|id| SpanId::new(id).unwrap());
        span.started_at = Some(Time::from_micros(from * 1_000));
        span.ended_at = Some(Time::from_micros(to * 1_000));
        span.status = SpanStatus::Success;
        ToldSpan::silent(span)
    }

    fn view(spans: Vec<ToldSpan>) -> TraceView {
        let item = TraceItem::new(TraceId::new("t").unwrap(), Source::Openai);
        let at = Time::from_micros(0);
        let received = Received {
            first_received_at: at,
            last_received_at: at,
            first_seq: 1,
            seq: 1,
        };
        let rows: Vec<&Span> = spans.iter().map(|told| &told.span).collect();
        let row = derive(&item, &rows, received);
        TraceView::of(ToldTrace {
            row,
            status: TraceStatus::Success,
            horizon: Time::from_micros(1_000_000),
            spans,
            reference: None,
        })
    }

    fn said(role: &str, words: &str) -> Arc<ChatMessage> {
        Arc::new(ChatMessage::of_text(role, words))
    }

    #[test]
    fn what_hangs_below_plumbing_hangs_below_the_nearest_span_that_counts() {
        let mut plumbing = span("http", Some("agent"), SpanType::Custom, 10, 90);
        plumbing.span.noise = true;
        let view = view(vec![
            span("tool", Some("http"), SpanType::Function, 20, 50),
            plumbing,
            span("agent", None, SpanType::Agent, 0, 100),
            span("tool2", Some("agent"), SpanType::Function, 40, 60),
        ]);
        let told: Vec<_> = view
            .spans
            .iter()
            .map(|s| (s.id().as_str(), s.parent, s.depth, s.duration_ms, s.self_ms))
            .collect();
        assert_eq!(
            told,
            [
                ("agent", None, 0, Some(100.0), Some(60.0)),
                ("tool", Some(0), 1, Some(30.0), Some(30.0)),
                ("tool2", Some(0), 1, Some(20.0), Some(20.0)),
            ]
        );
        assert_eq!(view.functions, [1, 2]);
    }

    #[test]
    fn a_chain_that_starts_from_below_has_its_depths_in_one_pass() {
        let id = |n: i64| format!("s{n:06}");
        let count = 50_000;
        let chain = (0..count).map(|n| {
            let parent = (n > 0).then(|| id(n - 1));
            span(
                &id(n),
                parent.as_deref(),
                SpanType::Custom,
                count - n,
                count,
            )
        });
        let view = view(chain.collect());
        let depth_of_first = view.spans[0].depth;
        assert_eq!(i64::from(depth_of_first), count - 1);
    }

    #[test]
    fn the_first_words_of_the_user_and_the_last_answer_without_a_tool_call() {
        let mut first = span("g1", None, SpanType::Generation, 0, 10);
        first.input = vec![
            said("system", "be kind"),
            said("user", "hello"),
            said("user", "again"),
        ];
        first.output = vec![said("assistant", "the answer")];
        let mut last = span("g2", None, SpanType::Generation, 20, 30);
        let mut asks = ChatMessage::of_text("assistant", "let me look");
        asks.parts.push(Part::ToolCall {
            id: None,
            name: "look".to_owned(),
            arguments: None,
        });
        last.output = vec![Arc::new(asks)];
        let view = view(vec![first, last]);
        assert_eq!(view.user_input.as_deref(), Some("hello"));
        assert_eq!(view.final_output.as_deref(), Some("the answer"));
        let input = view.spans[0].input_text();
        assert_eq!(input.as_deref(), Some("be kind\nhello\nagain"));
    }
}
