//! The same language once more, as simply as it can be said: a walk over the syntax, without types,
//! without laziness, with every list built and every field looked up by its name. It shares the parser
//! with the real one and nothing else.

use std::cmp::Ordering;

use model::SpanStatus;

use crate::rule::syntax::{Arithmetic, Compare, Expr, Kind, Literal, Name, Term};
use crate::view::TraceView;

/// A value; `Null` is missing and the third truth value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Naive {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    /// Microseconds.
    Time(i64),
    Span(usize),
    Error,
    List(Vec<Naive>),
}

/// It has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

type Worth = Result<Naive, Broken>;

pub(super) struct Interpreter<'t> {
    pub(super) trace: &'t TraceView,
    pub(super) variables: Vec<(String, Naive)>,
}

use Naive as N;

fn text(text: Option<&str>) -> Naive {
    text.map_or(N::Null, |text| N::Text(text.to_owned()))
}

fn truth(worth: Worth) -> Result<Option<bool>, Broken> {
    match worth? {
        N::Bool(bool) => Ok(Some(bool)),
        N::Null => Ok(None),
        _ => Err(Broken),
    }
}

fn kleene(truth: Option<bool>) -> Naive {
    truth.map_or(N::Null, N::Bool)
}

impl Interpreter<'_> {
    pub(super) fn worth(&mut self, expr: &Expr) -> Worth {
        Ok(match &expr.kind {
            Kind::Broken => return Err(Broken),
            Kind::Literal(literal) => match literal {
                Literal::Null => N::Null,
                Literal::Bool(bool) => N::Bool(*bool),
                Literal::Int(int) => N::Int(*int),
                Literal::Double(double) => N::Double(*double),
                Literal::Text(text) => N::Text(text.clone()),
            },
            Kind::Name(name) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                known.map_or_else(|| self.trace_field(name), |(_, value)| value.clone())
            }
            Kind::Field(of, name) => {
                let of = self.worth(of)?;
                self.field(&of, &name.text)
            }
            Kind::Index(of, by) => match (self.worth(of)?, self.worth(by)?) {
                (N::List(all), N::Int(at)) => {
                    let at = usize::try_from(at).map_err(|_| Broken)?;
                    all.get(at).cloned().ok_or(Broken)?
                }
                (N::Null, _) | (_, N::Null) => N::Null,
                _ => return Err(Broken),
            },
            Kind::Select(of, terms) => return self.select(of, terms),
            Kind::Call(of, name, args) => return self.call(of.as_deref(), &name.text, args),
            Kind::Not(of) => {
                let worth = self.worth(of);
                kleene(truth(worth)?.map(|bool| !bool))
            }
            Kind::Negate(of) => match self.worth(of)? {
                N::Int(int) => N::Int(int.checked_neg().ok_or(Broken)?),
                N::Double(double) => N::Double(-double),
                N::Null => N::Null,
                _ => return Err(Broken),
            },
            Kind::Compare(compare, two) => {
                let (left, right) = (self.worth(&two[0])?, self.worth(&two[1])?);
                kleene(compared(*compare, &left, &right)?)
            }
            Kind::Arithmetic(operation, two) => {
                let (left, right) = (self.worth(&two[0])?, self.worth(&two[1])?);
                return joined(*operation, left, right);
            }
            Kind::In(two) => {
                let (wanted, list) = (self.worth(&two[0])?, self.worth(&two[1])?);
                let N::List(all) = list else {
                    return Ok(N::Null);
                };
                let found: Vec<_> = all.iter().map(|one| equal(&wanted, one)).collect();
                any(&found)
            }
            Kind::And(all) => kleene(all_of(&self.truths(all))?),
            Kind::Or(all) => kleene(one_of(&self.truths(all))?),
            Kind::If(three) => {
                let condition = self.worth(&three[0]);
                match truth(condition)? {
                    Some(true) => self.worth(&three[1])?,
                    Some(false) => self.worth(&three[2])?,
                    None => N::Null,
                }
            }
            Kind::List(all) => {
                let all = all.iter().map(|one| self.worth(one));
                N::List(all.collect::<Result<_, _>>()?)
            }
        })
    }

    fn truths(&mut self, all: &[Expr]) -> Vec<Result<Option<bool>, Broken>> {
        all.iter().map(|one| truth(self.worth(one))).collect()
    }

    fn select(&mut self, of: &Expr, terms: &[Term]) -> Worth {
        let N::List(all) = self.worth(of)? else {
            return Ok(N::Null);
        };
        let mut chosen = Vec::new();
        for span in all {
            let mut fits = true;
            for term in terms {
                fits &= self.fits(&span, term)?;
            }
            if fits {
                chosen.push(span);
            }
        }
        Ok(N::List(chosen))
    }

    fn fits(&mut self, span: &Naive, term: &Term) -> Result<bool, Broken> {
        let of = |me: &Self, path: &[Name]| {
            let first = span.clone();
            path.iter()
                .fold(first, |of, name| me.field(&of, &name.text))
        };
        Ok(match term {
            Term::Compare(path, compare, value) => {
                let field = of(self, path);
                let mut wanted = self.worth(value)?;
                if wanted == N::Text("tool".to_owned()) && path[0].text == "type" {
                    wanted = N::Text("function".to_owned());
                }
                compared(*compare, &field, &wanted)? == Some(true)
            }
            Term::Glob(path, value, is_negated) => match (of(self, path), self.worth(value)?) {
                (N::Text(text), N::Text(glob)) => {
                    let text: Vec<char> = text.chars().collect();
                    let glob: Vec<char> = glob.chars().collect();
                    is_like(&text, &glob) != *is_negated
                }
                _ => false,
            },
            Term::Within(sel) => {
                let sel = self.worth(sel)?;
                self.is_within(span, &sel) == Some(true)
            }
        })
    }

    fn trace_field(&self, name: &str) -> Naive {
        let (trace, row) = (self.trace, &self.trace.row);
        let of = |wanted: &[&str]| {
            let all = trace.spans.iter().enumerate();
            let chosen = all.filter(|(_, span)| {
                wanted.is_empty() || wanted.contains(&span.span().span_type.as_str())
            });
            N::List(chosen.map(|(at, _)| N::Span(at)).collect())
        };
        match name {
            "spans" => of(&[]),
            "calls" => of(&["function"]),
            "gens" => of(&["generation"]),
            "handoffs" => of(&["handoff"]),
            "guards" => of(&["guardrail"]),
            "duration_ms" => row.duration_ms.map_or(N::Null, N::Double),
            "tool_errors" => N::Int(row.tool_errors),
            "span_count" => N::Int(row.span_count),
            "input_tokens" => row.usage.input_tokens.map_or(N::Null, N::Int),
            "cost_complete" => N::Bool(row.cost_complete),
            "user_id" => text(row.item.user_id.as_deref()),
            "status" => N::Text(trace.status.as_str().to_owned()),
            "agents" => N::List(
                row.agents
                    .iter()
                    .map(|name| N::Text(name.clone()))
                    .collect(),
            ),
            other => panic!("{other} is not generated"),
        }
    }

    fn field(&self, of: &Naive, name: &str) -> Naive {
        let N::Span(at) = of else {
            return N::Null;
        };
        let view = &self.trace.spans[*at];
        let span = view.span();
        let has_ended = span.status != SpanStatus::Open;
        match name {
            "type" => N::Text(span.span_type.as_str().to_owned()),
            "name" => N::Text(span.name.clone()),
            "status" => N::Text(span.status.as_str().to_owned()),
            "agent" => text(view.agent.as_deref()),
            "model" => text(span.model.as_deref()),
            "depth" => N::Int(i64::from(view.depth)),
            "duration_ms" => view.duration_ms.map_or(N::Null, N::Double),
            "input_tokens" => span.usage.input_tokens.map_or(N::Null, N::Int),
            "triggered" => span.triggered.map_or(N::Null, N::Bool),
            "started_at" => span.started_at.map_or(N::Null, |t| N::Time(t.as_micros())),
            "ended_at" if has_ended => span.ended_at.map_or(N::Null, |t| N::Time(t.as_micros())),
            "parent" => view.parent.map_or(N::Null, |at| N::Span(at as usize)),
            "error" if span.error.is_some() => N::Error,
            "ended_at" | "error" => N::Null,
            other => panic!("{other} is not generated"),
        }
    }

    fn is_within(&self, span: &Naive, sel: &Naive) -> Option<bool> {
        let (N::Span(at), N::List(outer)) = (span, sel) else {
            return None;
        };
        let mut above = self.trace.spans[*at].parent;
        while let Some(at) = above {
            if outer.contains(&N::Span(at as usize)) {
                return Some(true);
            }
            above = self.trace.spans[at as usize].parent;
        }
        Some(false)
    }

    fn call(&mut self, of: Option<&Expr>, name: &str, args: &[Expr]) -> Worth {
        let is_macro = ["all", "exists", "exists_one", "filter", "map"].contains(&name);
        if let (Some(of), true) = (of, is_macro) {
            return self.over(of, name, args);
        }
        let all = of.into_iter().chain(args).map(|arg| self.worth(arg));
        let all = all.collect::<Result<Vec<_>, _>>()?;
        let first = all.first().cloned().unwrap_or(N::Null);
        Ok(match (name, first) {
            ("has", first) => N::Bool(first != N::Null),
            ("tokens", _) => {
                let usage = self.trace.row.usage;
                let both = usage.input_tokens.zip(usage.output_tokens);
                both.map_or(N::Null, |(input, output)| N::Int(input + output))
            }
            ("calls", wanted) => {
                let N::List(calls) = self.trace_field("calls") else {
                    return Err(Broken);
                };
                let is_it = |span: &Naive| self.field(span, "name") == wanted;
                N::List(calls.into_iter().filter(is_it).collect())
            }
            ("within", N::List(_)) if all.len() == 1 => {
                let N::List(spans) = self.trace_field("spans") else {
                    return Err(Broken);
                };
                let is_it = |span: &Naive| self.is_within(span, &all[0]) == Some(true);
                N::List(spans.into_iter().filter(is_it).collect())
            }
            (_, N::Null) => N::Null,
            ("size", N::List(list)) => N::Int(i64::try_from(list.len()).unwrap()),
            ("size", N::Text(text)) => N::Int(i64::try_from(text.chars().count()).unwrap()),
            ("any", N::List(list)) => N::Bool(!list.is_empty()),
            ("first", N::List(list)) => list.first().cloned().unwrap_or(N::Null),
            ("last", N::List(list)) => list.last().cloned().unwrap_or(N::Null),
            ("sum", N::List(list)) => sum(&list)?,
            ("min" | "max", N::List(list)) => extreme(&list, name == "max")?,
            ("distinct", N::List(list)) => {
                let mut seen: Vec<Naive> = Vec::new();
                for one in list {
                    let is_known = seen.iter().any(|known| {
                        *known == N::Null && one == N::Null || equal(known, &one) == Some(true)
                    });
                    if !is_known {
                        seen.push(one);
                    }
                }
                N::List(seen)
            }
            ("contains", N::Text(text)) => match &all[1] {
                N::Text(part) => N::Bool(text.contains(part.as_str())),
                _ => N::Null,
            },
            ("before", N::List(early)) => self.before(&early, &all[1]),
            ("returns", N::List(list)) => N::Int(self.returns(&list)),
            (name, first) => panic!("{name} of {first:?} is not generated"),
        })
    }

    fn over(&mut self, of: &Expr, name: &str, args: &[Expr]) -> Worth {
        let N::List(list) = self.worth(of)? else {
            return Ok(N::Null);
        };
        let Kind::Name(variable) = &args[0].kind else {
            return Err(Broken);
        };
        let mut worths = Vec::new();
        for one in &list {
            self.variables.push((variable.clone(), one.clone()));
            worths.push(self.worth(&args[1]));
            self.variables.pop();
        }
        if name == "map" {
            return Ok(N::List(worths.into_iter().collect::<Result<_, _>>()?));
        }
        let truths: Vec<_> = worths.into_iter().map(truth).collect();
        Ok(match name {
            "exists" => kleene(one_of(&truths)?),
            "all" => kleene(all_of(&truths)?),
            "filter" => {
                let truths = truths.into_iter().collect::<Result<Vec<_>, _>>()?;
                let chosen = list.into_iter().zip(truths);
                let chosen = chosen.filter(|(_, holds)| *holds == Some(true));
                N::List(chosen.map(|(one, _)| one).collect())
            }
            _ => {
                let truths = truths.into_iter().collect::<Result<Vec<_>, _>>()?;
                let held = truths.iter().filter(|holds| **holds == Some(true)).count();
                match (held, truths.contains(&None)) {
                    (2.., _) => N::Bool(false),
                    (_, true) => N::Null,
                    (held, false) => N::Bool(held == 1),
                }
            }
        })
    }

    fn before(&self, early: &[Naive], late: &Naive) -> Naive {
        let N::List(late) = late else {
            return N::Null;
        };
        let each = late.iter().map(|span| {
            let start = self.field(span, "started_at");
            let others = early.iter().filter(|other| *other != span);
            let ends = others.map(|other| self.field(other, "ended_at"));
            let ends: Vec<_> = ends.filter(|end| *end != N::Null).collect();
            match start {
                N::Null if ends.is_empty() => Ok(Some(false)),
                start => one_of(
                    &ends
                        .iter()
                        .map(|end| compared(Compare::AtMost, end, &start))
                        .collect::<Vec<_>>(),
                ),
            }
        });
        let negated: Vec<_> = each.map(|one| one.map(|t| t.map(|bool| !bool))).collect();
        kleene(one_of(&negated).ok().flatten().map(|bool| !bool))
    }

    fn returns(&self, list: &[Naive]) -> i64 {
        let (mut seen, mut count) = (Vec::new(), 0);
        for one in list {
            let N::Span(at) = one else { continue };
            let span = self.trace.spans[*at].span();
            let Some(to) = &span.handoff_to else { continue };
            seen.extend(span.handoff_from.clone());
            count += i64::from(seen.contains(to));
            seen.push(to.clone());
        }
        count
    }
}

/// Returns whether all of them are true: whether none is false.
fn all_of(truths: &[Result<Option<bool>, Broken>]) -> Result<Option<bool>, Broken> {
    let negated = truths
        .iter()
        .map(|one| one.map(|truth| truth.map(|bool| !bool)));
    Ok(one_of(&negated.collect::<Vec<_>>())?.map(|bool| !bool))
}

/// Returns whether one of them is true; a fault counts if none is.
fn one_of(truths: &[Result<Option<bool>, Broken>]) -> Result<Option<bool>, Broken> {
    if truths.contains(&Ok(Some(true))) {
        return Ok(Some(true));
    }
    if truths.contains(&Err(Broken)) {
        return Err(Broken);
    }
    Ok((!truths.contains(&Ok(None))).then_some(false))
}

fn any(found: &[Option<bool>]) -> Naive {
    let found: Vec<_> = found.iter().map(|one| Ok(*one)).collect();
    kleene(one_of(&found).ok().flatten())
}

/// Returns a number as the double nearest to it.
fn number(value: &Naive) -> Option<f64> {
    match value {
        N::Int(int) => Some(*int as f64),
        N::Double(double) => Some(*double),
        _ => None,
    }
}

fn equal(left: &Naive, right: &Naive) -> Option<bool> {
    match (left, right) {
        (N::Null, _) | (_, N::Null) => None,
        (N::List(left), N::List(right)) => {
            if left.len() != right.len() {
                return Some(false);
            }
            let unequal = left
                .iter()
                .zip(right)
                .map(|(left, right)| equal(left, right));
            let unequal: Vec<_> = unequal.map(|one| Ok(one.map(|bool| !bool))).collect();
            one_of(&unequal).ok().flatten().map(|bool| !bool)
        }
        (N::Int(int), N::Double(double)) | (N::Double(double), N::Int(int)) => {
            Some(exact_order(*int, *double) == Some(Ordering::Equal))
        }
        (left, right) => Some(left == right),
    }
}

/// Compares on the number line: no integer is rounded to the double nearest to it.
fn exact_order(int: i64, double: f64) -> Option<Ordering> {
    const BEYOND: f64 = 1e30;
    if double.is_nan() {
        return None;
    }
    let whole = double.clamp(-BEYOND, BEYOND).floor();
    let order = i128::from(int).cmp(&(whole as i128));
    let has_more = double > whole;
    Some(if order == Ordering::Equal && has_more {
        Ordering::Less
    } else {
        order
    })
}

fn compared(compare: Compare, left: &Naive, right: &Naive) -> Result<Option<bool>, Broken> {
    if *left == N::Null || *right == N::Null {
        return Ok(None);
    }
    let order = match (left, right) {
        _ if compare.is_equality() => {
            let is_equal = equal(left, right);
            return Ok(is_equal.map(|is_equal| is_equal == (compare == Compare::Equal)));
        }
        (N::Text(left), N::Text(right)) => Some(left.cmp(right)),
        (N::Time(left), N::Time(right)) => Some(left.cmp(right)),
        (N::Bool(left), N::Bool(right)) => Some(left.cmp(right)),
        (N::Int(left), N::Int(right)) => Some(left.cmp(right)),
        (N::Int(left), N::Double(right)) => exact_order(*left, *right),
        (N::Double(left), N::Int(right)) => exact_order(*right, *left).map(Ordering::reverse),
        (left, right) => match (number(left), number(right)) {
            (Some(left), Some(right)) => left.partial_cmp(&right),
            _ => return Err(Broken),
        },
    };
    Ok(Some(match compare {
        Compare::Less => order == Some(Ordering::Less),
        Compare::Greater => order == Some(Ordering::Greater),
        Compare::AtMost => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }))
}

fn joined(operation: Arithmetic, left: Naive, right: Naive) -> Worth {
    use Arithmetic::{Add, Divide, Multiply, Remainder, Subtract};
    match (left, right) {
        (N::Null, _) | (_, N::Null) => Ok(N::Null),
        (N::Int(left), N::Int(right)) => {
            let (left, right) = (i128::from(left), i128::from(right));
            let result = match operation {
                Add => left + right,
                Subtract => left - right,
                Multiply => left * right,
                Divide | Remainder if right == 0 => return Err(Broken),
                Divide => left / right,
                Remainder => left % right,
            };
            i64::try_from(result).map(N::Int).map_err(|_| Broken)
        }
        (N::Text(left), N::Text(right)) => Ok(N::Text(left + &right)),
        (left, right) => match (number(&left), number(&right)) {
            (Some(left), Some(right)) => Ok(N::Double(match operation {
                Add => left + right,
                Subtract => left - right,
                Multiply => left * right,
                Divide => left / right,
                Remainder => return Err(Broken),
            })),
            _ => Err(Broken),
        },
    }
}

fn sum(list: &[Naive]) -> Worth {
    if list.contains(&N::Null) {
        return Ok(N::Null);
    }
    list.iter().try_fold(N::Int(0), |sum, one| {
        joined(Arithmetic::Add, sum, one.clone())
    })
}

fn extreme(list: &[Naive], is_greatest: bool) -> Worth {
    if list.contains(&N::Null) {
        return Ok(N::Null);
    }
    let wanted = if is_greatest {
        Compare::Greater
    } else {
        Compare::Less
    };
    let mut best = N::Null;
    for one in list {
        if best == N::Null || compared(wanted, one, &best)? == Some(true) {
            best = one.clone();
        }
    }
    Ok(best)
}

fn is_like(text: &[char], glob: &[char]) -> bool {
    match (glob.first(), text.first()) {
        (None, first) => first.is_none(),
        (Some('*'), _) => (0..=text.len()).any(|skip| is_like(&text[skip..], &glob[1..])),
        (Some(wanted), Some(c)) => {
            (*wanted == '?' || wanted == c) && is_like(&text[1..], &glob[1..])
        }
        (Some(_), None) => false,
    }
}
