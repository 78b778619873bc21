//! Why did it fail, and at which spans?
//!
//! A second evaluation that follows only what decided: of `a && b` the part that is false, of a
//! quantifier the elements that made it so. Rules that pass never pay for it.

use model::{SpanId, SpanStatus};

use super::eval::{Fault, FaultKind, Walk};
use super::functions::Built;
use super::node::{Kind, Node, Over, Quantifier};
use super::scope::Eval;
use super::sequence::{Matched, Sequence};
use super::syntax::Compare;
use super::value::{Value, equal};

/// A result points at no more spans than this.
const WITNESSES_MAX: usize = 100;

/// Finds out what decided a result.
pub(super) struct Explainer<'e, 'a> {
    eval: &'e Eval<'a>,
    source: &'a str,
    witnesses: Vec<SpanId>,
    sentence: Option<String>,
}

impl<'e, 'a> Explainer<'e, 'a> {
    pub(super) fn new(eval: &'e Eval<'a>, source: &'a str) -> Self {
        eval.rest();
        Self {
            eval,
            source,
            witnesses: Vec::new(),
            sentence: None,
        }
    }

    /// Returns the spans and a sentence.
    pub(super) fn told(self) -> (Vec<SpanId>, Option<String>) {
        (self.witnesses, self.sentence)
    }

    fn point(&mut self, at: u32) {
        let id = self.eval.span(at).span_id.clone();
        self.point_at(id);
    }

    fn point_at(&mut self, id: SpanId) {
        if self.witnesses.len() < WITNESSES_MAX && !self.witnesses.contains(&id) {
            self.witnesses.push(id);
        }
    }

    fn say(&mut self, sentence: impl FnOnce() -> String) {
        if self.sentence.is_none() {
            self.sentence = Some(sentence());
        }
    }

    /// Finds why a condition holds or does not.
    pub(super) fn why(&mut self, node: &'a Node, holds: bool) -> Result<(), Fault> {
        match &node.kind {
            Kind::And(all) => self.why_joined(all, holds, false),
            Kind::Or(all) => self.why_joined(all, holds, true),
            Kind::Not(of) => self.why(of, !holds),
            Kind::If(three) => match self.eval.truth(&three[0])? {
                Some(is_first) => self.why(&three[if is_first { 1 } else { 2 }], holds),
                None => Ok(()),
            },
            Kind::Quantify(which, over) => self.why_quantified(*which, over, holds),
            Kind::Call(Built::Before, args) => {
                let mut late = Vec::new();
                self.eval.before(args, &mut |at| late.push(at))?;
                late.iter().for_each(|at| self.point(*at));
                let text = node.at.of(self.source);
                self.say(|| format!("`{text}` failed for {}", spans(late.len())));
                Ok(())
            }
            Kind::Call(Built::Detector, args) => {
                if let Value::Text(id) = self.eval.eval(&args[0])? {
                    let hits = self.eval.world.detector_spans(id);
                    self.say(|| match holds {
                        true => format!("detector {id} fired for {}", spans(hits.len())),
                        false => format!("detector {id} did not fire"),
                    });
                    hits.into_iter().for_each(|hit| self.point_at(hit));
                }
                Ok(())
            }
            Kind::Call(Built::Any, args) => {
                let count = self.elements(&args[0])?;
                let text = node.at.of(self.source);
                self.say(|| match holds {
                    true => format!("`{text}` is true: there are {count}"),
                    false => format!("`{text}` is false: there is none"),
                });
                Ok(())
            }
            Kind::Seq(list, sequence) => self.why_sequence(node, list, sequence),
            Kind::Compare(_, two) | Kind::In(two) => self.why_compared(node, &**two, holds),
            Kind::Call(Built::Has, of) => self.why_compared(node, of, holds),
            Kind::Call(_, args) => self.why_compared(node, args, holds),
            Kind::Matches(of, _) => self.why_compared(node, std::slice::from_ref(&**of), holds),
            _ => self.why_compared(node, std::slice::from_ref(node), holds),
        }
    }

    fn why_joined(&mut self, all: &'a [Node], holds: bool, decides: bool) -> Result<(), Fault> {
        for one in all {
            // What did not decide may be at fault: then another part decided.
            let truth = match self.eval.truth(one) {
                Err(fault) if fault.kind == FaultKind::Budget => return Err(fault),
                truth => truth.ok().flatten(),
            };
            if truth == Some(holds) {
                self.why(one, holds)?;
                if holds == decides {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn why_quantified(
        &mut self,
        which: Quantifier,
        over: &'a Over,
        holds: bool,
    ) -> Result<(), Fault> {
        let deciding = match (which, holds) {
            (Quantifier::All, false) => Some(false),
            (Quantifier::Exists, true) | (Quantifier::ExistsOne, _) => Some(true),
            _ => None,
        };
        let mut all = Vec::new();
        self.walk(&over.list, &mut |value| {
            all.push(value);
            Ok(true)
        })?;
        let mut decided = Vec::new();
        for value in &all {
            self.eval.set(over.slot, *value);
            let truth = self.eval.truth(&over.body).unwrap_or_default();
            if deciding.is_none() || truth == deciding {
                decided.push(*value);
            }
        }
        let list = over.list.at.of(self.source);
        let name = which.name();
        let count = decided.len();
        let are_spans = decided.iter().all(|value| matches!(value, Value::Span(_)));
        let what = if are_spans { "span" } else { "element" };
        self.say(|| match (which, holds) {
            (Quantifier::All, false) => {
                format!("{list}.{name}(...) failed for {}", counted(count, what))
            }
            (Quantifier::Exists, true) => {
                format!("{list}.{name}(...) holds for {}", counted(count, what))
            }
            (Quantifier::ExistsOne, _) => {
                format!(
                    "{list}.{name}(...) holds for {}, not for one",
                    counted(count, what)
                )
            }
            (_, false) => format!(
                "{list}.{name}(...) holds for none of {}",
                counted(count, what)
            ),
            (_, true) => format!(
                "{list}.{name}(...) holds for all of {}",
                counted(count, what)
            ),
        });
        for value in decided {
            match value {
                Value::Span(_) if deciding.is_none() && is_everything(&over.list) => {}
                Value::Span(at) => self.point(at),
                // An element that is no span may have been decided by spans.
                other => {
                    self.eval.set(over.slot, other);
                    if let Some(truth) = self.eval.truth(&over.body).unwrap_or_default() {
                        self.why(&over.body, truth)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn why_sequence(
        &mut self,
        node: &Node,
        list: &'a Node,
        sequence: &'a Sequence,
    ) -> Result<(), Fault> {
        let Some((matched, last)) = self.eval.matched(list, sequence)? else {
            return Ok(());
        };
        let text = node.at.of(self.source);
        let name = last.map(|at| self.eval.span(at).name.as_str());
        self.say(|| match (matched, name) {
            (Matched::Whole, _) => format!("`{text}` is true"),
            (Matched::Failed, Some(name)) => {
                format!("`{text}` failed: {name:?} does not stand where it came")
            }
            (_, Some(name)) => format!("`{text}` failed: more should come after {name:?}"),
            (_, None) => format!("`{text}` failed: nothing came"),
        });
        last.into_iter().for_each(|at| self.point(at));
        Ok(())
    }

    /// Tells the values that were compared and points at the spans they are of.
    fn why_compared(
        &mut self,
        node: &'a Node,
        parts: &'a [Node],
        holds: bool,
    ) -> Result<(), Fault> {
        let text = node.at.of(self.source);
        let mut values = Vec::new();
        for part in parts {
            let is_written = matches!(
                part.kind,
                Kind::Int(_) | Kind::Double(_) | Kind::Text(_) | Kind::Bool(_) | Kind::Time(_)
            );
            let is_list = matches!(part.kind, Kind::List(_) | Kind::Filter(_) | Kind::Map(_));
            if !is_written && !is_list && part.at != node.at {
                let value = self.eval.eval(part)?;
                values.push(format!("{} is {value}", part.at.of(self.source)));
            }
        }
        self.say(|| match values.is_empty() {
            true => format!("`{text}` is {holds}"),
            false => format!("`{text}` is {holds}: {}", values.join(", ")),
        });
        for part in parts {
            self.involve(part)?;
        }
        Ok(())
    }

    /// Points at the spans that a value was made of.
    fn involve(&mut self, node: &'a Node) -> Result<(), Fault> {
        match &node.kind {
            Kind::Span(_, of) => match self.eval.eval(of)? {
                Value::Span(at) | Value::SpanError(at) => self.point(at),
                _ => {}
            },
            Kind::Trace(field) => self.involve_field(field.name),
            Kind::Call(Built::Min | Built::Max, args) => self.involve_extreme(node, &args[0])?,
            Kind::Call(
                Built::Size | Built::Sum | Built::Avg | Built::Pct | Built::Distinct | Built::Any,
                args,
            ) => {
                self.elements(&args[0])?;
            }
            Kind::Call(Built::First | Built::Last, _) | Kind::Index(_) | Kind::Var(_) => {
                if let Value::Span(at) = self.eval.eval(node)? {
                    self.point(at);
                }
            }
            Kind::Call(Built::Returns, args) => {
                let mut back = Vec::new();
                self.eval.returns(&args[0], &mut |at| back.push(at))?;
                back.into_iter().for_each(|at| self.point(at));
            }
            Kind::Call(Built::Path, args) => {
                self.elements(&args[0])?;
            }
            Kind::Call(Built::CountBetween, args) => {
                self.elements(&args[2])?;
            }
            Kind::Filter(_) | Kind::Map(_) => {
                self.elements(node)?;
            }
            Kind::Quantify(_, over) => {
                self.elements(&over.list)?;
            }
            _ => {
                let mut parts = Vec::new();
                node.for_each_part(&mut |part| parts.push(part));
                for part in parts {
                    self.involve(part)?;
                }
            }
        }
        Ok(())
    }

    /// Points at the spans that a count of the trace counts.
    fn involve_field(&mut self, field: &str) {
        let trace = self.eval.trace;
        let all = 0..u32::try_from(trace.spans.len()).unwrap_or(u32::MAX);
        let of = |places: &[u32], is_it: &dyn Fn(u32) -> bool| -> Vec<u32> {
            places.iter().copied().filter(|at| is_it(*at)).collect()
        };
        let eval = self.eval;
        let places = match field {
            "tool_errors" => of(&trace.functions, &|at| eval.view(at).has_failed()),
            "tool_call_count" | "tool_sequence" => trace.functions.clone(),
            "handoff_count" | "handoff_sequence" => trace.handoffs.clone(),
            "guardrail_trips" => of(&trace.guardrails, &|at| {
                eval.span(at).triggered == Some(true)
            }),
            "open_spans" => all
                .filter(|at| eval.span(*at).status == SpanStatus::Open)
                .collect(),
            "status" | "error" | "error_type" | "error_message" | "error_span_id" => {
                let id = trace.row.error_span_id.clone();
                id.into_iter().for_each(|id| self.point_at(id));
                return;
            }
            _ => return,
        };
        places.into_iter().for_each(|at| self.point(at));
    }

    /// Visits the elements of a list up to the first that has no value: what decided stands before it, for
    /// the evaluation looked no further.
    fn walk(
        &self,
        list: &'a Node,
        visit: &mut dyn FnMut(Value<'a>) -> Result<bool, Fault>,
    ) -> Result<Walk, Fault> {
        match self.eval.each(list, visit) {
            Err(fault) if fault.kind != FaultKind::Budget => Ok(Walk::Stopped),
            other => other,
        }
    }

    /// Points at the spans of a list, or those it was made of, and returns how many elements it has.
    fn elements(&mut self, list: &'a Node) -> Result<usize, Fault> {
        let whole = match &list.kind {
            Kind::Map(over) => &over.list,
            _ => list,
        };
        let mut places = Vec::new();
        let mut count = 0;
        let walk = self.walk(whole, &mut |value| {
            count += 1;
            if let Value::Span(at) = value {
                places.push(at);
            }
            Ok(true)
        })?;
        if walk != Walk::Missing && !is_everything(whole) {
            places.into_iter().for_each(|at| self.point(at));
        }
        Ok(count)
    }

    /// Points at the spans whose value is the greatest or the least.
    fn involve_extreme(&mut self, node: &'a Node, list: &'a Node) -> Result<(), Fault> {
        let Kind::Map(over) = &list.kind else {
            return self.elements(list).map(|_| ());
        };
        let extreme = self.eval.eval(node)?;
        let mut places = Vec::new();
        self.eval.each(&over.list, &mut |value| {
            self.eval.set(over.slot, value);
            let given = self.eval.eval(&over.body)?;
            if let (Value::Span(at), Some(true)) =
                (value, equal(given, extreme, self.eval.steps_taken()))
            {
                places.push(at);
            }
            Ok(true)
        })?;
        places.into_iter().for_each(|at| self.point(at));
        Ok(())
    }

    /// Finds what is missing for a value to be known.
    pub(super) fn missing(&mut self, node: &'a Node) -> Result<(), Fault> {
        if let Kind::Quantify(_, over) = &node.kind {
            let mut all = Vec::new();
            if self.eval.each(&over.list, &mut |value| {
                all.push(value);
                Ok(true)
            })? == Walk::Missing
            {
                return self.missing(&over.list);
            }
            for value in all {
                self.eval.set(over.slot, value);
                if self
                    .eval
                    .truth(&over.body)
                    .is_ok_and(|truth| truth.is_none())
                {
                    if let Value::Span(at) = value {
                        self.point(at);
                    }
                    self.missing(&over.body)?;
                }
            }
            return Ok(());
        }
        let mut parts = Vec::new();
        if !matches!(node.kind, Kind::Filter(_) | Kind::Map(_)) {
            node.for_each_part(&mut |part| parts.push(part));
        }
        for part in parts {
            if self.eval.eval(part).is_ok_and(Value::is_null) {
                return self.missing(part);
            }
        }
        let text = node.at.of(self.source);
        self.say(|| format!("not known: `{text}` is missing"));
        Ok(())
    }

    /// Returns whether a condition holds only because there was nothing to look at.
    pub(super) fn is_vacuous(&self, node: &'a Node) -> Result<bool, Fault> {
        let is_empty = |list: &'a Node| -> Result<bool, Fault> {
            Ok(self.eval.each(list, &mut |_| Ok(false))? == Walk::Whole)
        };
        match &node.kind {
            Kind::Quantify(Quantifier::All, over) => is_empty(&over.list),
            Kind::Call(Built::Before, args) => is_empty(&args[1]),
            Kind::And(all) => {
                for one in all {
                    if !self.is_vacuous(one)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Kind::Or(all) => {
                let mut is_vacuous = false;
                for one in all {
                    if self.eval.truth(one).is_ok_and(|truth| truth == Some(true)) {
                        is_vacuous = true;
                        if !self.is_vacuous(one)? {
                            return Ok(false);
                        }
                    }
                }
                Ok(is_vacuous)
            }
            Kind::If(three) => match self.eval.truth(&three[0])? {
                Some(is_first) => self.is_vacuous(&three[if is_first { 1 } else { 2 }]),
                None => Ok(false),
            },
            Kind::Compare(Compare::Equal, two) => match (&two[0].kind, &two[1].kind) {
                (_, Kind::Bool(true)) => self.is_vacuous(&two[0]),
                (Kind::Bool(true), _) => self.is_vacuous(&two[1]),
                _ => Ok(false),
            },
            _ => Ok(false),
        }
    }
}

/// To point at all spans of a trace is to point at none.
fn is_everything(list: &Node) -> bool {
    matches!(&list.kind, Kind::Trace(field) if field.name == "spans")
}

fn spans(count: usize) -> String {
    counted(count, "span")
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}
