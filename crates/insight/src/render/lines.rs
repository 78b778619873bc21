//! What is said of a span in one line?
//!
//! `[s12 ← s7] function search_flights 812ms ok`: its name in the prompt, what encloses it, its type, its
//! own name, how long it took, how it ended. Spans that are not shown keep this line; in a trace of very
//! many spans, neighbours share one, so that none is ever left out.

use std::fmt::Write as _;

use hashbrown::HashMap;
use model::{SpanStatus, SpanType};

use super::mask::{MASKED, Mask};
use super::spans::span_name;
use super::told::Told;
use crate::fence::{Fence, is_plain};
use crate::{SpanView, TraceView};

/// Deeper spans are indented no further.
const INDENT_MAX: u32 = 8;

/// Of neighbours that share a line at most this many sorts are named.
const SORTS_MAX: usize = 3;

/// Writes lines about the spans of a trace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines<'a> {
    pub(super) view: &'a TraceView,
    pub(super) fence: &'a Fence,
    pub(super) mask: &'a Mask,
    /// Where the judge can read on: how much there is to read.
    pub(super) sizes: Option<&'a Told<'a>>,
}

impl Lines<'_> {
    /// Returns the line about the trace.
    pub(super) fn of_trace(&self) -> String {
        let row = &self.view.row;
        let workflow = match &row.item.workflow_name {
            Some(name) => format!(" of workflow {}", self.fence.name("", name)),
            None => String::new(),
        };
        let mut line = format!(
            "Trace{workflow}: {} spans, status {}",
            grouped(self.view.spans.len()),
            self.view.status
        );
        if let Some(duration) = row.duration_ms {
            write!(line, ", {duration:.0}ms").expect("a String takes any text");
        }
        line
    }

    /// Returns the line about the span at `at`.
    pub(super) fn of_span(&self, at: u32) -> String {
        let view = &self.view.spans[at as usize];
        let span = view.span();
        let id = span_name(at);
        let indent = " ".repeat(view.depth.min(INDENT_MAX) as usize);
        let parent = view
            .parent
            .map_or(String::new(), |parent| format!(" ← {}", span_name(parent)));
        let mut line = format!("{indent}[{id}{parent}] {}", span.span_type);
        let name = |line: &mut String, name: &str| {
            line.push(' ');
            line.push_str(&match self.mask.has(at) && !is_plain(name) {
                true => MASKED.into(),
                false => self.fence.name(&id, name),
            });
        };
        match (&span.handoff_from, &span.handoff_to) {
            (Some(from), Some(to)) => {
                name(&mut line, from);
                line.push_str(" →");
                name(&mut line, to);
            }
            _ if !span.name.is_empty() => name(&mut line, &span.name),
            _ => {}
        }
        if let Some(duration) = view.duration_ms {
            write!(line, " {duration:.0}ms").expect("a String takes any text");
        }
        line.push(' ');
        line.push_str(status(view));
        if let Some(error) = &span.error
            && is_plain(&error.kind)
        {
            write!(line, " {}", error.kind).expect("a String takes any text");
        }
        match span.triggered {
            Some(true) => line.push_str(", triggered"),
            Some(false) => line.push_str(", not triggered"),
            None => {}
        }
        let stopped = span.finish_reason.as_deref();
        if let Some(reason) = stopped.filter(|reason| is_cut_short(reason) && is_plain(reason)) {
            write!(line, ", finish_reason {reason}").expect("a String takes any text");
        }
        if let Some(told) = self.sizes {
            let said = &told.spans[at as usize];
            for (field, ids) in [("input", &said.input), ("output", &said.output)] {
                if !ids.is_empty() {
                    let chars = grouped(told.chars(ids));
                    write!(line, ", {field} {chars} chars").expect("a String takes any text");
                }
            }
        }
        line
    }

    /// Returns the line that neighbours share.
    pub(super) fn of_run(&self, from: u32, to: u32) -> String {
        if from == to {
            return self.of_span(from);
        }
        let spans = &self.view.spans[from as usize..=to as usize];
        let failed = spans.iter().filter(|span| span.has_failed()).count();
        let is_shared = spans.iter().all(|span| span.parent == spans[0].parent);
        let parent = match spans[0].parent.filter(|_| is_shared) {
            Some(parent) => format!(" ← {}", span_name(parent)),
            None => String::new(),
        };
        let mut line = format!(
            "[{}–{}{parent}] {} spans: {}",
            span_name(from),
            span_name(to),
            grouped(spans.len()),
            sorts(spans)
        );
        if failed > 0 {
            write!(line, "; {} in error", grouped(failed)).expect("a String takes any text");
        }
        line
    }
}

/// Returns whether two spans would have the same line but for numbers.
pub(super) fn are_alike(a: &SpanView, b: &SpanView) -> bool {
    let key = |view: &SpanView| (view.span().span_type, view.span().status, view.parent);
    key(a) == key(b) && a.span().name == b.span().name
}

/// Returns `812 generation gpt-5, 40 function search and 3 others`.
fn sorts(spans: &[SpanView]) -> String {
    let mut counts: HashMap<(SpanType, &str), usize> = HashMap::new();
    for view in spans {
        let span = view.span();
        let name = if is_plain(&span.name) {
            span.name.as_str()
        } else {
            ""
        };
        *counts.entry((span.span_type, name)).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|a, b| (b.1, a.0).cmp(&(a.1, b.0)));
    let named: Vec<String> = counts
        .iter()
        .take(SORTS_MAX)
        .map(|((span_type, name), count)| format!("{} {span_type} {name}", grouped(*count)))
        .map(|sort| sort.trim_end().to_owned())
        .collect();
    let others: usize = counts.iter().skip(SORTS_MAX).map(|(_, count)| count).sum();
    match others {
        0 => named.join(", "),
        _ => format!("{}, {} others", named.join(", "), grouped(others)),
    }
}

fn status(view: &SpanView) -> &'static str {
    match view.span().status {
        SpanStatus::Success => "ok",
        SpanStatus::Error => "error",
        SpanStatus::Open => "open",
    }
}

fn is_cut_short(finish_reason: &str) -> bool {
    !matches!(
        finish_reason,
        "" | "stop" | "tool_calls" | "tool_use" | "end_turn" | "completed" | "function_call"
    )
}

/// Returns `14,210` for 14210.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_set_apart() {
        let all = [0, 7, 999, 1_000, 14_210, 1_234_567].map(grouped);
        assert_eq!(all, ["0", "7", "999", "1,000", "14,210", "1,234,567"]);
    }
}
