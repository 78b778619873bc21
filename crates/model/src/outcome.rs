//! Did the trace fail, and which span's error says so?
//!
//! The Agents SDK never says that a run failed: its task spans carry no error, a turn may end in
//! error below an agent that does not, and a tool's error is handed to the model, which goes on. So a
//! trace failed where an outermost span ended in error, or where the last thing that happened inside
//! a run was an error and nothing of the run came after it. An error that the run got over decides
//! nothing.

use std::cmp::Ordering;

use crate::forest::Forest;
use crate::{Source, Span, SpanStatus, SpanType, Time};

/// Error types that say only that something further in went wrong.
const ERROR_TYPES_OF_NO_CAUSE: [&str; 3] = ["agent_error", "error", "_OTHER"];

/// Where a span stands among the counted spans above it.
///
/// It also holds what every rule asks of a span: spans are large and lie apart, and a trace may have
/// a hundred thousand of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// How many ancestors it has.
    pub(crate) depth: u32,
    /// The nearest counted ancestor.
    pub(crate) above: Option<u32>,
    /// The outermost task that it is or is in.
    pub(crate) task: Option<u32>,
    /// The outermost agent that it is or is in.
    pub(crate) agent: Option<u32>,
    /// The outermost turn that it is or is in.
    pub(crate) turn: Option<u32>,
    /// Whether a tool call encloses it.
    pub(crate) in_function: bool,
    /// Whether it names no parent at all.
    pub(crate) parentless: bool,
    /// Whether the span counts.
    pub(crate) is_counted: bool,
    /// The span's type.
    pub(crate) span_type: SpanType,
    /// The span's status.
    pub(crate) status: SpanStatus,
    /// The span's start.
    pub(crate) started_at: Option<Time>,
    /// The span's end.
    pub(crate) ended_at: Option<Time>,
    /// Whether the topmost span above it, or itself, names a parent that is not there.
    lost: bool,
    /// How many of itself and its ancestors, without a gap and within its run, start when it does.
    tied: u32,
}

/// Returns the place of each span.
pub(crate) fn places(spans: &[&Span], forest: &Forest) -> Vec<Place> {
    let mut places: Vec<Place> = spans.iter().map(|span| Place::alone(span)).collect();
    for &at in &forest.preorder {
        let mut place = places[at as usize];
        match forest.parents[at as usize] {
            Some(parent) => place.put_below(parent, &places),
            None => place.lost = !place.parentless,
        }
        place.enter(at);
        if let Some(above) = place.above.map(|above| &places[above as usize])
            && above.started_at == place.started_at
            && above.task == place.task
        {
            place.tied = above.tied + 1;
        }
        places[at as usize] = place;
    }
    places
}

impl Place {
    /// Returns the place of a span that has nothing above it.
    fn alone(span: &Span) -> Self {
        Self {
            depth: 0,
            above: None,
            task: None,
            agent: None,
            turn: None,
            in_function: false,
            parentless: span.parent_id.is_none(),
            is_counted: span.is_counted(),
            span_type: span.span_type,
            status: span.status,
            started_at: span.started_at,
            ended_at: span.ended_at,
            lost: false,
            tied: 1,
        }
    }

    fn put_below(&mut self, parent: u32, places: &[Place]) {
        let over = &places[parent as usize];
        self.depth = over.depth + 1;
        self.above = if over.is_counted {
            Some(parent)
        } else {
            over.above
        };
        self.task = over.task;
        self.agent = over.agent;
        self.turn = over.turn;
        self.lost = over.lost;
        self.in_function =
            over.in_function || over.is_counted && over.span_type == SpanType::Function;
    }

    /// Makes the span at `at`, whose place this is, the outermost task, agent or turn if it is one.
    fn enter(&mut self, at: u32) {
        let slot = match self.span_type {
            SpanType::Task => &mut self.task,
            SpanType::Agent => &mut self.agent,
            SpanType::Turn => &mut self.turn,
            _ => return,
        };
        if self.is_counted {
            slot.get_or_insert(at);
        }
    }

    /// Returns whether the span has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.status != SpanStatus::Open
    }
}

/// Returns the span whose error decides that the trace failed; `None` if it did not.
pub(crate) fn deciding_span(spans: &[&Span], forest: &Forest, places: &[Place]) -> Option<u32> {
    let story = Story {
        spans,
        places,
        latest: latest_starts(places),
    };
    if !story.counted().any(|at| story.has_failed(at)) {
        return None;
    }
    let outermost = story
        .counted()
        .filter(|at| story.has_failed(*at) && story.is_outermost(*at));
    let last_inside = story
        .last_inside()
        .filter(|at| story.has_failed(*at) && !story.went_on(*at));
    let decider = outermost
        .chain(last_inside)
        .max_by(|a, b| story.by_end(*a, *b))?;
    Some(story.cause(decider, forest).unwrap_or(decider))
}

/// The spans of a trace as a course of events.
struct Story<'a> {
    spans: &'a [&'a Span],
    places: &'a [Place],
    /// The latest start of each run: of the whole trace, then of what is in the task at each index.
    latest: Vec<Option<LatestStart>>,
}

/// The moment something last started in a run, and how many things started then.
#[derive(Clone, Copy)]
struct LatestStart {
    at: Time,
    spans: u32,
}

/// Returns where the latest start of a run is kept, which is that of a task, else the whole trace.
fn run_slot(task: Option<u32>) -> usize {
    task.map_or(0, |task| task as usize + 1)
}

fn latest_starts(places: &[Place]) -> Vec<Option<LatestStart>> {
    let mut latest: Vec<Option<LatestStart>> = vec![None; places.len() + 1];
    let mut note = |slot: usize, start: Time| {
        let known = latest[slot].filter(|known| known.at >= start);
        let known = known.unwrap_or(LatestStart {
            at: start,
            spans: 0,
        });
        let spans = known.spans + u32::from(known.at == start);
        latest[slot] = Some(LatestStart { spans, ..known });
    };
    for place in places.iter().filter(|place| place.is_counted) {
        let Some(start) = place.started_at else {
            continue;
        };
        note(run_slot(None), start);
        if place.task.is_some() {
            note(run_slot(place.task), start);
        }
    }
    latest
}

impl Story<'_> {
    fn span(&self, at: u32) -> &Span {
        self.spans[at as usize]
    }

    fn place(&self, at: u32) -> &Place {
        &self.places[at as usize]
    }

    fn counted(&self) -> impl Iterator<Item = u32> {
        (0..)
            .zip(self.places)
            .filter(|(_, place)| place.is_counted)
            .map(|(at, _)| at)
    }

    fn has_failed(&self, at: u32) -> bool {
        self.place(at).status == SpanStatus::Error
    }

    fn end(&self, at: u32) -> Option<Time> {
        self.place(at).ended_at.max(self.place(at).started_at)
    }

    /// Orders spans by end; of those that end together the outer one is the last.
    fn by_end(&self, a: u32, b: u32) -> Ordering {
        self.end(a)
            .cmp(&self.end(b))
            .then_with(|| self.place(b).depth.cmp(&self.place(a).depth))
            .then_with(|| self.span(a).span_id.cmp(&self.span(b).span_id))
    }

    /// Returns whether the span is an outermost task or agent, or a root.
    ///
    /// A parent that never came makes a root too: of a run whose outer spans were lost with its
    /// process, or of a service that was called by one without traces. But work that happens inside
    /// runs only, such as a tool call, stays judged by whether the run went on. So do model calls that
    /// were seen from outside, one by one: one that failed and was made again is no failed trace.
    fn is_outermost(&self, at: u32) -> bool {
        let place = self.place(at);
        let is_seen_alone = self.span(at).span_type == SpanType::Generation
            && matches!(self.span(at).source, Source::Proxy | Source::Import);
        let holds_runs = matches!(
            self.span(at).span_type,
            SpanType::Task | SpanType::Agent | SpanType::Custom
        );
        place.task == Some(at)
            || place.agent == Some(at)
            || place.above.is_none()
                && (holds_runs || !(place.lost || is_seen_alone) || !self.went_on(at))
    }

    /// Returns whether something of the span's run started when it had ended.
    fn went_on(&self, at: u32) -> bool {
        let (Some(end), place) = (self.end(at), self.place(at)) else {
            return false;
        };
        let Some(latest) = self.latest[run_slot(place.task)] else {
            return false;
        };
        if latest.at != end {
            return latest.at > end;
        }
        // Clocks of a millisecond put the next step into the moment this one ends. A span that took
        // no time shares that moment with itself, and perhaps with those that enclose it.
        let own = if place.started_at == Some(end) {
            place.tied
        } else {
            0
        };
        latest.spans > own
    }

    /// Returns for each outermost agent and turn the last span to end inside it.
    fn last_inside(&self) -> impl Iterator<Item = u32> {
        let mut last: Vec<Option<u32>> = vec![None; self.places.len()];
        for at in self.counted().filter(|at| self.place(*at).has_ended()) {
            let place = self.place(at);
            for scope in [place.agent, place.turn]
                .into_iter()
                .flatten()
                .filter(|s| *s != at)
            {
                let slot = &mut last[scope as usize];
                if slot.is_none_or(|known| self.by_end(known, at) == Ordering::Less) {
                    *slot = Some(at);
                }
            }
        }
        last.into_iter().flatten()
    }

    /// Returns the error below `decider` that it passes on, where its own names no cause.
    fn cause(&self, decider: u32, forest: &Forest) -> Option<u32> {
        let names_a_cause = |at: u32| {
            let kind = self
                .span(at)
                .error
                .as_ref()
                .map(|error| error.kind.as_str());
            kind.is_some_and(|kind| !ERROR_TYPES_OF_NO_CAUSE.contains(&kind))
        };
        if names_a_cause(decider) {
            return None;
        }
        let depth = self.place(decider).depth;
        let inside = forest
            .preorder
            .iter()
            .skip_while(|at| **at != decider)
            .skip(1);
        inside
            .copied()
            .take_while(|at| self.place(*at).depth > depth)
            .filter(|at| self.place(*at).is_counted && self.has_failed(*at))
            .filter(|at| names_a_cause(*at) && !self.went_on(*at))
            .max_by(|a, b| self.by_end(*a, *b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forest::borrowed;
    use crate::sketch;

    /// Checks which span of a sketch decides, if any, in this and in the opposite order.
    fn check(sketch: &str, want: Option<&str>) {
        let mut spans = sketch::spans(sketch);
        for _ in 0..2 {
            let spans_now = borrowed(&spans);
            let forest = Forest::of(&spans_now);
            let places = places(&spans_now, &forest);
            let got = deciding_span(&spans_now, &forest, &places);
            assert_eq!(
                got.map(|at| spans_now[at as usize].span_id.as_str()),
                want,
                "{sketch}"
            );
            spans.reverse();
        }
    }

    #[test]
    fn an_outermost_task_agent_or_root_in_error_is_a_failure() {
        check("root custom - 0..9", None);
        check(
            "root custom - 0..9 !oops\n later custom - 10..11",
            Some("root"),
        );
        check(
            "r custom - 0..9\n t task r 1..8 !oops\n later custom r 8..9",
            Some("t"),
        );
        check(
            "t task - 0..9\n a agent t 1..8 !max_turns\n u turn a 2..7",
            Some("a"),
        );
        check(
            "t task - 0..9\n a agent t 1..4\n b agent t 5..8 !max_turns",
            Some("b"),
        );
    }

    #[test]
    fn a_call_through_the_proxy_that_was_made_again_is_got_over() {
        let failed = "a generation - 0..4 !rate_limit proxy";
        check(failed, Some("a"));
        check(&format!("{failed}\n b generation - 5..8 proxy"), None);
        let again = format!("{failed}\n b generation - 5..8 !rate_limit proxy");
        check(&again, Some("b"));
        check("a generation - 0..4 !oops\n b generation - 5..8", Some("a"));
    }

    #[test]
    fn a_nested_run_that_fails_is_the_tools_affair() {
        let nested = "t task - 0..90\n a agent t 1..80\n f function a 2..50\n it task f 3..40 !x\n ia agent it 4..39 !x";
        check(&format!("{nested}\n u turn a 60..70"), None);
        check(nested, None);
    }

    #[test]
    fn the_last_thing_that_happens_decides() {
        let run = "t task - 0..90\n a agent t 1..80\n u turn a 2..40";
        check(
            &format!("{run}\n g generation u 3..10\n f function u 20..30 !tool_error"),
            Some("f"),
        );
        check(
            &format!("{run} !tool_not_found\n g generation u 3..10"),
            Some("u"),
        );
        // The model got to see the error and went on.
        check(
            &format!(
                "{run}\n f function u 20..30 !tool_error\n v turn a 50..60\n g generation v 51..55"
            ),
            None,
        );
        check(
            &format!("{run}\n f function u 20..30 !tool_error\n g generation u 31..35"),
            None,
        );
        // The first hand-off was taken in spite of its error.
        check(
            &format!("{run}\n h handoff u 20..30 !handoff_conflict\n b agent t 81..85"),
            None,
        );
        // Without tasks and turns the whole trace is the run.
        check(
            "a agent - 0..9\n f function a 1..5 !tool_error\n g generation a 6..8",
            None,
        );
        check(
            "a agent - 0..9\n f function a 1..5 !tool_error\n b agent - 10..12",
            None,
        );
        check(
            "a agent - 0..9\n g generation a 1..3\n f function a 4..5 !tool_error",
            Some("f"),
        );
        // Two runs: what the second one does is not the first one's going on.
        check(
            &format!("{run} !tool_not_found\n s task - 91..99\n b agent s 92..98"),
            Some("u"),
        );
    }

    #[test]
    fn clocks_of_a_millisecond_do_not_hide_the_next_step() {
        let run = "a agent - 0..9\n u turn a 1..5\n f function u 5..5 !tool_error";
        check(run, Some("f"));
        check(
            &format!("{run}\n v turn a 5..7\n g generation v 5..6"),
            None,
        );
        check(
            "a agent - 5..5\n u turn a 5..5\n f function u 5..5 !tool_error",
            Some("f"),
        );
        check(
            "a agent - 5..5\n u turn a 5..5\n f function u 5..5 !tool_error\n v turn a 5..5",
            None,
        );
    }

    #[test]
    fn an_error_that_names_no_cause_gives_way_to_the_one_below() {
        let run = "t task - 0..90 !agent_error\n a agent t 1..80 !agent_error\n u turn a 2..70 !agent_error";
        check(run, Some("t"));
        check(
            &format!("{run}\n g generation u 3..10 !model_error"),
            Some("g"),
        );
        check(
            &format!("{run}\n f function u 3..9 !tool_error\n g generation u 10..20 !timeout"),
            Some("g"),
        );
        check(
            &format!("{run}\n f function u 3..9 !tool_error\n g generation u 10..20"),
            Some("t"),
        );
        check(
            "t task - 0..90 !max_turns\n g generation t 3..10 !model_error",
            Some("t"),
        );
    }

    #[test]
    fn a_parent_that_never_came_makes_a_root() {
        check("t task gone 0..9 !oops", Some("t"));
        check("c custom gone 0..9 !oops\n d custom gone 10..12", Some("c"));
        // What is left of a killed run: the tool's error was got over.
        check(
            "f function gone 0..9 !tool_error\n g generation gone 10..12",
            None,
        );
        check(
            "g generation gone 0..2\n f function gone 3..9 !tool_error",
            Some("f"),
        );
    }

    #[test]
    fn plumbing_decides_nothing() {
        check("h custom - 0..9 !oops noise\n a agent h 1..8", None);
        check("h custom - 0..9 noise\n c custom h 1..8 !oops", Some("c"));
        check(
            "a agent - 0..9\n f function a 1..4 !tool_error\n h custom a 5..6 noise",
            Some("f"),
        );
    }

    #[test]
    fn spans_without_times_are_judged_all_the_same() {
        check("a agent - .. !oops", Some("a"));
        check("a agent - 0..9\n f function a ..5 !tool_error", Some("f"));
        check(
            "a agent - 0..9\n f function a 5..1 !tool_error\n g generation a 4..6",
            None,
        );
    }
}
