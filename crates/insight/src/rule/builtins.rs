//! What the functions do.

use std::cmp::Ordering;

use model::Time;

use super::eval::{Fault, FaultKind, Found, Walk};
use super::functions::Built;
use super::node::Node;
use super::scope::Eval;
use super::sequence::{Matched, Sequence};
use super::value::{Order, Value, equal, order};

/// The moment at which a span of a list ended first, without and with one span left out.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FirstEnds {
    first: Option<(Time, u32)>,
    second: Option<Time>,
}

impl FirstEnds {
    /// Returns when a span other than the one at `at` ended first.
    pub(super) fn without(self, at: u32) -> Option<Time> {
        match self.first {
            Some((_, first)) if first == at => self.second,
            first => first.map(|(end, _)| end),
        }
    }
}

impl<'a> Eval<'a> {
    /// Returns what a function gives.
    pub(super) fn call(&self, node: &'a Node, built: Built, args: &'a [Node]) -> Found<'a> {
        match built {
            Built::Size => self.size(node, &args[0]),
            Built::Any => {
                let walk = self.each(&args[0], &mut |_| Ok(false))?;
                Ok(match walk {
                    Walk::Missing => Value::Null,
                    walk => Value::Bool(walk == Walk::Stopped),
                })
            }
            Built::Sum => self.sum(node, &args[0]).map(|(sum, _)| sum),
            Built::Avg => self.avg(node, &args[0]),
            Built::Min => self.extreme(node, &args[0], Ordering::Less),
            Built::Max => self.extreme(node, &args[0], Ordering::Greater),
            Built::Pct => self.pct(node, args),
            Built::First | Built::Last => {
                let mut found = Value::Null;
                self.each(&args[0], &mut |value| {
                    found = value;
                    Ok(built == Built::Last)
                })?;
                Ok(found)
            }
            Built::Distinct => self.distinct(&args[0]),
            Built::Before => self.before(args, &mut |_| {}),
            Built::CountBetween => self.count_between(args),
            Built::Within => {
                let mut spans = Vec::new();
                let walk = self.each(node, &mut |span| {
                    spans.push(span);
                    Ok(true)
                })?;
                Ok(match walk {
                    Walk::Missing => Value::Null,
                    _ => self.kept_list(spans),
                })
            }
            Built::IsWithin => {
                let span = self.eval(&args[0])?;
                self.is_within(span, &args[1])
            }
            Built::Path => self.path(&args[0]),
            Built::Returns => self.returns(&args[0], &mut |_| {}),
            Built::Contains | Built::IContains | Built::StartsWith | Built::EndsWith => {
                self.compare_texts(node, built, args)
            }
            _ => self.call_outside(node, built, args),
        }
    }

    /// What is asked of texts and of the surroundings.
    fn call_outside(&self, node: &'a Node, built: Built, args: &'a [Node]) -> Found<'a> {
        let first = match args.first() {
            Some(first) if built != Built::Has => self.eval(first)?,
            _ => Value::Null,
        };
        Ok(match (built, first) {
            (Built::Has, _) => Value::Bool(!self.eval(&args[0])?.is_null()),
            (Built::Tokens, _) => {
                let usage = self.trace.row.usage;
                Value::int(usage.input_tokens.zip(usage.output_tokens).map(total))
            }
            (_, Value::Null) => Value::Null,
            (Built::SpanTokens, Value::Span(at)) => {
                let usage = self.span(at).usage;
                Value::int(usage.input_tokens.zip(usage.output_tokens).map(total))
            }
            (Built::Json, Value::Text(text)) => self.parsed(text),
            (Built::Valid, Value::Text(text)) => {
                self.charge_search(text.len());
                match self.eval(&args[1])? {
                    Value::Text(schema) => Value::bool(self.world.is_valid(text, schema)),
                    _ => Value::Null,
                }
            }
            (Built::Detector, Value::Text(id)) => Value::bool(self.world.detector(id)),
            (Built::Score, Value::Text(grader)) => Value::double(self.world.score(grader)),
            (Built::Baseline, Value::Text(key)) => Value::double(self.world.baseline(key)),
            _ => return Err(FaultKind::Mixed.at(node)),
        })
    }

    fn size(&self, node: &'a Node, of: &'a Node) -> Found<'a> {
        use super::node::Kind;
        if matches!(of.kind, Kind::Filter(_) | Kind::Map(_)) {
            let mut count = 0;
            let walk = self.each(of, &mut |_| {
                count += 1;
                Ok(true)
            })?;
            return Ok(match walk {
                Walk::Missing => Value::Null,
                _ => Value::Int(count),
            });
        }
        let of = self.eval(of)?;
        match of {
            Value::Null => Ok(Value::Null),
            Value::Text(text) => {
                self.charge_search(text.len());
                Ok(count_of(text.chars().count()))
            }
            Value::Json(serde_json::Value::Object(object)) => Ok(count_of(object.len())),
            list => list.len().map(count_of).ok_or(FaultKind::Mixed.at(node)),
        }
    }

    /// Returns the sum and how many numbers there were; a missing number makes it unknown.
    fn sum(&self, node: &'a Node, list: &'a Node) -> Result<(Value<'a>, u32), Fault> {
        let (mut whole, mut broken, mut count) = (Some(0i64), None::<f64>, 0);
        let (mut is_known, mut is_beyond) = (true, false);
        let walk = self.each(list, &mut |value| {
            count += 1;
            match value {
                Value::Int(int) => match broken.as_mut() {
                    Some(sum) => *sum += int as f64,
                    None => {
                        whole = whole.and_then(|sum| sum.checked_add(int));
                        is_beyond |= whole.is_none();
                    }
                },
                Value::Double(double) => {
                    let so_far = broken.or(whole.map(|sum| sum as f64)).unwrap_or_default();
                    broken = Some(so_far + double);
                }
                Value::Null => is_known = false,
                _ => return Err(FaultKind::Mixed.at(node)),
            }
            Ok(true)
        })?;
        if walk == Walk::Missing || !is_known {
            return Ok((Value::Null, count));
        }
        match (broken, whole) {
            _ if is_beyond => Err(FaultKind::Overflow.at(node)),
            (Some(sum), _) => Ok((Value::Double(sum), count)),
            (None, whole) => Ok((Value::int(whole), count)),
        }
    }

    fn avg(&self, node: &'a Node, list: &'a Node) -> Found<'a> {
        let (sum, count) = self.sum(node, list)?;
        let mean = sum.as_double().map(|sum| sum / f64::from(count));
        Ok(Value::double(mean.filter(|_| count > 0)))
    }

    /// Returns the least or the greatest value.
    fn extreme(&self, node: &'a Node, list: &'a Node, wanted: Ordering) -> Found<'a> {
        let (mut best, mut is_known) = (None::<Value<'a>>, true);
        let walk = self.each(list, &mut |value| {
            if value.is_null() {
                is_known = false;
                return Ok(true);
            }
            match best.map_or(Order::Known(wanted), |best| order(value, best)) {
                Order::Known(order) if order == wanted => best = Some(value),
                Order::Mixed => return Err(FaultKind::Mixed.at(node)),
                _ => {}
            }
            Ok(true)
        })?;
        let is_there = walk != Walk::Missing && is_known;
        Ok(best.filter(|_| is_there).unwrap_or(Value::Null))
    }

    fn pct(&self, node: &'a Node, args: &'a [Node]) -> Found<'a> {
        let (mut numbers, mut is_known) = (Vec::new(), true);
        let walk = self.each(&args[0], &mut |value| {
            match value.as_double() {
                Some(number) => numbers.push(number),
                None if value.is_null() => is_known = false,
                None => return Err(FaultKind::Mixed.at(node)),
            }
            Ok(true)
        })?;
        let percent = self.eval(&args[1])?;
        if walk == Walk::Missing || !is_known || numbers.is_empty() || percent.is_null() {
            return Ok(Value::Null);
        }
        let percent = percent.as_double().filter(|q| (0.0..=100.0).contains(q));
        let percent = percent.ok_or(FaultKind::Mixed.at(node))?;
        numbers.sort_by(f64::total_cmp);
        let place = percent / 100.0 * (numbers.len() - 1) as f64;
        let (below, above) = (
            numbers[place.floor() as usize],
            numbers[place.ceil() as usize],
        );
        Ok(Value::Double(below + (above - below) * place.fract()))
    }

    fn distinct(&self, list: &'a Node) -> Found<'a> {
        let mut seen: Vec<Value<'a>> = Vec::new();
        let walk = self.each(list, &mut |value| {
            for one in &seen {
                self.step(list)?;
                let are_missing = one.is_null() && value.is_null();
                if are_missing || equal(*one, value, self.steps_taken()) == Some(true) {
                    return Ok(true);
                }
            }
            seen.push(value);
            Ok(true)
        })?;
        Ok(match walk {
            Walk::Missing => Value::Null,
            _ => self.kept_list(seen),
        })
    }

    /// Returns the place of a span; `None` for a missing one.
    fn place(&self, node: &Node, value: Value<'a>) -> Result<Option<u32>, Fault> {
        match value {
            Value::Span(at) => Ok(Some(at)),
            Value::Null => Ok(None),
            _ => Err(FaultKind::Mixed.at(node)),
        }
    }

    fn end_of(&self, at: u32) -> Option<Time> {
        let span = self.span(at);
        span.ended_at.filter(|_| span.has_ended())
    }

    /// Returns when the spans of a list ended first; `None` for a missing list.
    fn first_ends(&self, list: &'a Node) -> Result<Option<FirstEnds>, Fault> {
        let mut ends = FirstEnds::default();
        let walk = self.each(list, &mut |value| {
            let at = self.place(list, value)?;
            let Some((at, end)) = at.and_then(|at| self.end_of(at).map(|end| (at, end))) else {
                return Ok(true);
            };
            match ends.first {
                Some((first, _)) if first <= end => {
                    ends.second = Some(ends.second.map_or(end, |second| second.min(end)));
                }
                first => {
                    ends.second = first.map(|(first, _)| first);
                    ends.first = Some((end, at));
                }
            }
            Ok(true)
        })?;
        Ok((walk != Walk::Missing).then_some(ends))
    }

    /// Returns whether every span of the second list starts after one of the first has ended, and tells
    /// which do not.
    pub(super) fn before(&self, args: &'a [Node], late: &mut dyn FnMut(u32)) -> Found<'a> {
        let Some(ends) = self.first_ends(&args[0])? else {
            return Ok(Value::Null);
        };
        let (mut count, mut is_known, mut holds) = (0, true, true);
        let walk = self.each(&args[1], &mut |value| {
            count += 1;
            let Some(at) = self.place(&args[1], value)? else {
                is_known = false;
                return Ok(true);
            };
            match (ends.without(at), self.span(at).started_at) {
                (Some(end), Some(start)) if end <= start => {}
                (Some(_), None) => is_known = false,
                _ => {
                    holds = false;
                    late(at);
                }
            }
            Ok(true)
        })?;
        if count == 0 && walk != Walk::Missing {
            self.saw_nothing.set(true);
        }
        Ok(match (walk, holds) {
            (Walk::Missing, _) => Value::Null,
            (_, false) => Value::Bool(false),
            _ => Value::bool(is_known.then_some(true)),
        })
    }

    fn count_between(&self, args: &'a [Node]) -> Found<'a> {
        let Some((begin, opening)) = self.first_ends(&args[0])?.and_then(|ends| ends.first) else {
            return Ok(Value::Null);
        };
        let mut closing: Option<(Time, u32)> = None;
        self.each(&args[1], &mut |value| {
            let at = self.place(&args[1], value)?.filter(|at| *at != opening);
            if let Some((start, at)) = at.and_then(|at| Some((self.span(at).started_at?, at)))
                && start >= begin
                && closing.is_none_or(|(first, _)| start < first)
            {
                closing = Some((start, at));
            }
            Ok(true)
        })?;
        let Some((end, closing)) = closing else {
            return Ok(Value::Null);
        };
        let mut count = 0;
        let walk = self.each(&args[2], &mut |value| {
            let at = self.place(&args[2], value)?;
            let at = at.filter(|at| *at != opening && *at != closing);
            let start = at.and_then(|at| self.span(at).started_at);
            count += i64::from(start.is_some_and(|start| begin <= start && start < end));
            Ok(true)
        })?;
        Ok(match walk {
            Walk::Missing => Value::Null,
            _ => Value::Int(count),
        })
    }

    /// Returns whether a span lies below one of a list.
    pub(super) fn is_within(&self, span: Value<'a>, list: &'a Node) -> Found<'a> {
        let Some(at) = self.place(list, span)? else {
            return Ok(Value::Null);
        };
        let walk = self.each(list, &mut |value| match self.place(list, value)? {
            Some(outer) => Ok(!self.encloses(list, outer, at)?),
            None => Ok(true),
        })?;
        Ok(match walk {
            Walk::Missing => Value::Null,
            walk => Value::Bool(walk == Walk::Stopped),
        })
    }

    fn encloses(&self, node: &Node, outer: u32, inner: u32) -> Result<bool, Fault> {
        let depth = self.view(outer).depth;
        let mut above = self.view(inner).parent;
        while let Some(at) = above {
            if at == outer {
                return Ok(true);
            }
            if self.view(at).depth <= depth {
                break;
            }
            self.step(node)?;
            above = self.view(at).parent;
        }
        Ok(false)
    }

    /// Calls `visit` with each handoff that succeeded: its place, who handed over, and to whom.
    fn each_handoff(
        &self,
        list: &'a Node,
        visit: &mut dyn FnMut(u32, Option<&'a str>, &'a str),
    ) -> Result<Walk, Fault> {
        self.each(list, &mut |value| {
            if let Some(at) = self.place(list, value)? {
                let span = self.span(at);
                if let Some(to) = &span.handoff_to {
                    visit(at, span.handoff_from.as_deref(), to);
                }
            }
            Ok(true)
        })
    }

    fn path(&self, list: &'a Node) -> Found<'a> {
        let mut path: Vec<&'a str> = Vec::new();
        let walk = self.each_handoff(list, &mut |_, from, to| {
            path.extend(from.filter(|from| path.last() != Some(from)));
            path.push(to);
        })?;
        Ok(match walk {
            Walk::Missing => Value::Null,
            _ => self.kept_list(path.into_iter().map(Value::Text)),
        })
    }

    /// Returns how many handoffs go to an agent that had control before, and tells which.
    pub(super) fn returns(&self, list: &'a Node, back: &mut dyn FnMut(u32)) -> Found<'a> {
        let (mut count, mut before) = (0, Vec::new());
        let walk = self.each_handoff(list, &mut |at, from, to| {
            before.extend(from.filter(|from| !before.contains(from)));
            if before.contains(&to) {
                count += 1;
                back(at);
            } else {
                before.push(to);
            }
        })?;
        Ok(match walk {
            Walk::Missing => Value::Null,
            _ => Value::Int(count),
        })
    }

    /// Returns whether the names of a list are as a pattern says.
    pub(super) fn seq(&self, list: &'a Node, sequence: &Sequence) -> Result<Option<bool>, Fault> {
        let matched = self.matched(list, sequence)?;
        Ok(matched.map(|(matched, _)| matched == Matched::Whole))
    }

    /// Returns what came of the match and the span at which it failed (the last, if more should come).
    pub(super) fn matched(
        &self,
        list: &'a Node,
        sequence: &Sequence,
    ) -> Result<Option<(Matched, Option<u32>)>, Fault> {
        let mut run = sequence.run();
        let mut last = None;
        let walk = self.each(list, &mut |value| {
            let Some(at) = self.place(list, value)? else {
                return Ok(true);
            };
            last = Some(at);
            Ok(run.take(&self.span(at).name))
        })?;
        Ok((walk != Walk::Missing).then(|| (run.end(), last)))
    }

    fn compare_texts(&self, node: &'a Node, built: Built, args: &'a [Node]) -> Found<'a> {
        let (text, part) = match (self.eval(&args[0])?, self.eval(&args[1])?) {
            (Value::Text(text), Value::Text(part)) => (text, part),
            (Value::Null, _) | (_, Value::Null) => return Ok(Value::Null),
            _ => return Err(FaultKind::Mixed.at(node)),
        };
        self.charge_search(text.len());
        Ok(Value::Bool(match built {
            Built::Contains => memchr::memmem::find(text.as_bytes(), part.as_bytes()).is_some(),
            Built::StartsWith => text.starts_with(part),
            Built::EndsWith => text.ends_with(part),
            _ => contains_folded(text, part),
        }))
    }
}

fn total((input, output): (i64, i64)) -> i64 {
    input.saturating_add(output)
}

fn count_of(count: usize) -> Value<'static> {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

/// Longer parts are not looked for byte by byte: a text may begin like them everywhere.
const FOLDED_BYTES_MAX: usize = 64;

/// Letters beyond ASCII whose small letters are in it: the Kelvin sign, and I with a dot.
const FOLD_INTO_ASCII: [&str; 2] = ["\u{212a}", "\u{130}"];

/// Returns whether a text holds a part, whatever the case of the letters.
fn contains_folded(text: &str, part: &str) -> bool {
    let strange = |letter: &str| memchr::memmem::find(text.as_bytes(), letter.as_bytes()).is_some();
    let is_plain = part.is_ascii()
        && part.len() <= FOLDED_BYTES_MAX
        && (text.is_ascii() || !FOLD_INTO_ASCII.into_iter().any(strange));
    if !is_plain {
        return text.to_lowercase().contains(&part.to_lowercase());
    }
    let (text, part) = (text.as_bytes(), part.as_bytes());
    let Some(first) = part.first() else {
        return true;
    };
    let (lower, upper) = (first.to_ascii_lowercase(), first.to_ascii_uppercase());
    let begins = memchr::memchr2_iter(lower, upper, text);
    begins
        .map_while(|at| text.get(at..at + part.len()))
        .any(|found| found.eq_ignore_ascii_case(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn case_makes_no_difference_in_any_script() {
        for (text, part, holds) in [
            ("Straße NACH Zürich", "nach z", true),
            ("ÄRGER", "ärger", true),
            ("5 \u{212a}", "k", true),
            ("\u{130}stanbul", "i", true),
            ("été", "E", false),
            ("été", "", true),
        ] {
            assert_eq!(contains_folded(text, part), holds, "{text} {part}");
        }
        let long = format!("{}B", "a".repeat(100));
        assert!(contains_folded(&long.repeat(1_000), &long.to_uppercase()));
        assert!(!contains_folded(&"a".repeat(1 << 20), &long));
    }

    proptest! {
        #[test]
        fn a_part_is_held_as_in_small_letters(text in "[abAB\u{212a}éÉ\u{130}iIkK]{0,9}", part in "[abABkKiIé]{0,3}") {
            let folded = text.to_lowercase().contains(&part.to_lowercase());
            prop_assert_eq!(contains_folded(&text, &part), folded);
        }
    }
}
