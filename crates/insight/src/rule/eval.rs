//! What is a checked rule worth for this trace?
//!
//! A walk over the compiled tree. Lists of spans are never built: whoever asks about a list is called
//! with one element after the other, through all filters between. So a rule over spans allocates
//! nothing unless it makes texts or lists of its own.

use serde_json::Value as Json;

use super::functions::Built;
use super::node::{Kind, Node, Over, Quantifier};
use super::problem::At;
use super::scope::Eval;
use super::syntax::{Arithmetic, Compare};
use super::value::{Order, Value, equal, order};

/// Why an evaluation has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    pub(super) at: At,
}

/// What went wrong in an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// It took too many steps: nothing can make up for it.
    Budget,
    /// A result is beyond the integers.
    Overflow,
    DivisionByZero,
    /// Values of JSON are not of the kind that is asked for.
    Mixed,
    /// A list has no such element.
    NoElement,
}

impl FaultKind {
    pub(super) fn at(self, node: &Node) -> Fault {
        Fault {
            kind: self,
            at: node.at,
        }
    }
}

pub(super) type Found<'a> = Result<Value<'a>, Fault>;

/// Whether all elements of a list were seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walk {
    Whole,
    Stopped,
    /// The list is missing.
    Missing,
}

impl<'a> Eval<'a> {
    /// Returns what an expression is worth.
    pub(super) fn eval(&self, node: &'a Node) -> Found<'a> {
        Ok(match &node.kind {
            Kind::Null => Value::Null,
            Kind::Bool(bool) => Value::Bool(*bool),
            Kind::Int(int) => Value::Int(*int),
            Kind::Double(double) => Value::Double(*double),
            Kind::Text(text) => Value::Text(text),
            Kind::Time(time) => Value::Time(*time),
            Kind::Var(slot) => self.get(*slot),
            Kind::Trace(field) => {
                self.step(node)?;
                (field.read)(self)
            }
            Kind::Span(field, of) => {
                self.step(node)?;
                match self.eval(of)? {
                    Value::Span(at) | Value::SpanError(at) => (field.read)(self, at),
                    Value::Null => Value::Null,
                    _ => return Err(FaultKind::Mixed.at(node)),
                }
            }
            Kind::Call(built, args) => {
                self.step(node)?;
                return self.call(node, *built, args);
            }
            Kind::Compare(..)
            | Kind::Not(_)
            | Kind::And(_)
            | Kind::Or(_)
            | Kind::Quantify(..)
            | Kind::Matches(..)
            | Kind::Seq(..)
            | Kind::In(_) => Value::bool(self.truth(node)?),
            Kind::If(three) => match self.truth(&three[0])? {
                Some(true) => return self.eval(&three[1]),
                Some(false) => return self.eval(&three[2]),
                None => Value::Null,
            },
            _ => return self.eval_rest(node),
        })
    }

    /// Returns an operand. As [`Eval::eval`], for the operands that almost all comparisons have.
    #[inline]
    fn operand(&self, node: &'a Node) -> Found<'a> {
        match &node.kind {
            Kind::Text(text) => Ok(Value::Text(text)),
            Kind::Int(int) => Ok(Value::Int(*int)),
            Kind::Double(double) => Ok(Value::Double(*double)),
            Kind::Span(field, of) => match &of.kind {
                Kind::Var(slot) => match self.get(*slot) {
                    Value::Span(at) => Ok((field.read)(self, at)),
                    _ => self.eval(node),
                },
                _ => self.eval(node),
            },
            _ => self.eval(node),
        }
    }

    /// Returns the truth of a condition; `None` is unknown.
    pub(super) fn truth(&self, node: &'a Node) -> Result<Option<bool>, Fault> {
        self.step(node)?;
        match &node.kind {
            Kind::Compare(compare, two) => {
                let (left, right) = (self.operand(&two[0])?, self.operand(&two[1])?);
                self.compare(node, *compare, left, right)
            }
            Kind::Not(of) => Ok(self.truth(of)?.map(|bool| !bool)),
            Kind::And(all) => self.join(all, false),
            Kind::Or(all) => self.join(all, true),
            Kind::Quantify(which, over) => self.quantify(*which, over),
            Kind::Matches(of, regex) => match self.operand(of)? {
                Value::Text(text) => {
                    self.charge_search(text.len());
                    Ok(Some(regex.is_match(text)))
                }
                Value::Null => Ok(None),
                _ => Err(FaultKind::Mixed.at(node)),
            },
            Kind::Seq(of, sequence) => self.seq(of, sequence),
            Kind::In(two) => self.is_in(node, two),
            _ => match self.eval(node)? {
                Value::Bool(bool) => Ok(Some(bool)),
                Value::Null => Ok(None),
                _ => Err(FaultKind::Mixed.at(node)),
            },
        }
    }

    /// What is not on the way of most rules.
    fn eval_rest(&self, node: &'a Node) -> Found<'a> {
        self.step(node)?;
        match &node.kind {
            Kind::Member(of, name) => match self.eval(of)? {
                Value::Json(Json::Object(object)) => {
                    Ok(object.get(&**name).map_or(Value::Null, Value::of_json))
                }
                Value::Null => Ok(Value::Null),
                _ => Err(FaultKind::Mixed.at(node)),
            },
            Kind::Index(two) => self.index(node, self.eval(&two[0])?, self.eval(&two[1])?),
            Kind::Arithmetic(operation, two) => {
                let (left, right) = (self.eval(&two[0])?, self.eval(&two[1])?);
                self.arithmetic(node, *operation, left, right)
            }
            Kind::Negate(of) => match self.eval(of)? {
                Value::Int(int) => {
                    let negated = int.checked_neg().map(Value::Int);
                    negated.ok_or(FaultKind::Overflow.at(node))
                }
                Value::Double(double) => Ok(Value::Double(-double)),
                Value::Null => Ok(Value::Null),
                _ => Err(FaultKind::Mixed.at(node)),
            },
            Kind::List(all) => {
                let values: Vec<_> = all
                    .iter()
                    .map(|one| self.eval(one))
                    .collect::<Result<_, _>>()?;
                Ok(self.kept_list(values))
            }
            // Lists that are asked for whole.
            _ => {
                let mut values = Vec::new();
                let walk = self.each(node, &mut |value| {
                    values.push(value);
                    Ok(true)
                })?;
                match walk {
                    Walk::Missing => Ok(Value::Null),
                    _ => Ok(self.kept_list(values)),
                }
            }
        }
    }

    /// Joins conditions: `decides` is the truth that one of them gives to the whole. A fault counts
    /// only if no other condition decides, as in CEL.
    fn join(&self, all: &'a [Node], decides: bool) -> Result<Option<bool>, Fault> {
        let (mut is_known, mut fault) = (true, None);
        for one in all {
            match self.truth(one) {
                Ok(Some(bool)) if bool == decides => return Ok(Some(decides)),
                Ok(Some(_)) => {}
                Ok(None) => is_known = false,
                Err(budget) if budget.kind == FaultKind::Budget => return Err(budget),
                Err(other) => fault = fault.or(Some(other)),
            }
        }
        match fault {
            Some(fault) => Err(fault),
            None => Ok(is_known.then_some(!decides)),
        }
    }

    fn quantify(&self, which: Quantifier, over: &'a Over) -> Result<Option<bool>, Fault> {
        let decides = which == Quantifier::Exists;
        let (mut count, mut held) = (0u32, 0u32);
        let (mut is_known, mut fault) = (true, None);
        let walk = self.each_inner(&over.list, |value| {
            count += 1;
            self.set(over.slot, value);
            match self.truth(&over.body) {
                Ok(Some(bool)) => {
                    held += u32::from(bool);
                    return Ok(which == Quantifier::ExistsOne || bool != decides);
                }
                Ok(None) => is_known = false,
                Err(other) if other.kind == FaultKind::Budget => return Err(other),
                Err(other) => fault = fault.or(Some(other)),
            }
            Ok(true)
        })?;
        if walk == Walk::Missing {
            return Ok(None);
        }
        if walk == Walk::Stopped {
            return Ok(Some(decides));
        }
        if let Some(fault) = fault {
            return Err(fault);
        }
        Ok(match which {
            Quantifier::ExistsOne if held > 1 => Some(false),
            _ if !is_known => None,
            Quantifier::ExistsOne => Some(held == 1),
            Quantifier::Exists => Some(false),
            Quantifier::All => {
                if count == 0 {
                    self.saw_nothing.set(true);
                }
                Some(true)
            }
        })
    }

    /// Calls `visit` with the elements of a list until it returns false.
    pub(super) fn each(
        &self,
        list: &'a Node,
        visit: &mut dyn FnMut(Value<'a>) -> Result<bool, Fault>,
    ) -> Result<Walk, Fault> {
        match &list.kind {
            Kind::Filter(over) => self.each_inner(&over.list, |value| {
                self.set(over.slot, value);
                match self.truth(&over.body)? {
                    Some(true) => visit(value),
                    Some(false) | None => Ok(true),
                }
            }),
            Kind::Map(over) => self.each_inner(&over.list, |value| {
                self.set(over.slot, value);
                self.step(list)?;
                visit(self.eval(&over.body)?)
            }),
            Kind::Call(Built::Within, two) => {
                let mut is_missing = false;
                let walk = self.each(
                    &two[0],
                    &mut |value| match self.is_within(value, &two[1])? {
                        Value::Bool(true) => visit(value),
                        Value::Null => {
                            is_missing = true;
                            Ok(false)
                        }
                        _ => Ok(true),
                    },
                )?;
                Ok(if is_missing { Walk::Missing } else { walk })
            }
            _ => self.each_of(list, self.eval(list)?, |value| {
                self.step(list)?;
                visit(value)
            }),
        }
    }

    /// As [`Eval::each`], for a `visit` that counts a step each time: over a list that is there already
    /// it becomes one loop.
    #[inline]
    fn each_inner(
        &self,
        list: &'a Node,
        mut visit: impl FnMut(Value<'a>) -> Result<bool, Fault>,
    ) -> Result<Walk, Fault> {
        match &list.kind {
            Kind::Filter(_) | Kind::Map(_) | Kind::Call(Built::Within, _) => {
                self.each(list, &mut visit)
            }
            _ => self.each_of(list, self.eval(list)?, visit),
        }
    }

    #[inline]
    fn each_of(
        &self,
        node: &Node,
        list: Value<'a>,
        mut visit: impl FnMut(Value<'a>) -> Result<bool, Fault>,
    ) -> Result<Walk, Fault> {
        match list {
            Value::Null => return Ok(Walk::Missing),
            Value::AllSpans(count) => {
                for at in 0..count {
                    if !visit(Value::Span(at))? {
                        return Ok(Walk::Stopped);
                    }
                }
            }
            Value::Spans(places) => {
                for at in places {
                    if !visit(Value::Span(*at))? {
                        return Ok(Walk::Stopped);
                    }
                }
            }
            other => {
                let Some(length) = other.len() else {
                    return Err(FaultKind::Mixed.at(node));
                };
                for at in 0..length {
                    if !visit(other.get(at).unwrap_or(Value::Null))? {
                        return Ok(Walk::Stopped);
                    }
                }
            }
        }
        Ok(Walk::Whole)
    }

    #[inline]
    fn compare(
        &self,
        node: &Node,
        compare: Compare,
        left: Value<'a>,
        right: Value<'a>,
    ) -> Result<Option<bool>, Fault> {
        Ok(match compare {
            Compare::Equal => equal(left, right, self.steps_taken()),
            Compare::Unequal => equal(left, right, self.steps_taken()).map(|is_equal| !is_equal),
            _ => match order(left, right) {
                Order::Known(order) => Some(match compare {
                    Compare::Less => order.is_lt(),
                    Compare::AtMost => order.is_le(),
                    Compare::Greater => order.is_gt(),
                    _ => order.is_ge(),
                }),
                Order::Nowhere => Some(false),
                Order::Unknown => None,
                Order::Mixed => return Err(FaultKind::Mixed.at(node)),
            },
        })
    }

    fn is_in(&self, node: &Node, two: &'a [Node; 2]) -> Result<Option<bool>, Fault> {
        let wanted = self.eval(&two[0])?;
        let mut is_known = true;
        let mut is_another = |value| {
            let is_it = equal(wanted, value, self.steps_taken());
            is_known &= is_it.is_some();
            Ok(is_it != Some(true))
        };
        let walk = match &two[1].kind {
            Kind::Filter(_) | Kind::Map(_) => self.each(&two[1], &mut is_another)?,
            _ => match (self.eval(&two[1])?, wanted) {
                // As in CEL, an object is looked up by its keys.
                (Value::Json(Json::Object(object)), Value::Text(key)) => {
                    return Ok(Some(object.contains_key(key)));
                }
                (Value::Json(Json::Object(_)), Value::Null) => return Ok(None),
                (list, _) => self.each_of(node, list, |value| {
                    self.step(node)?;
                    is_another(value)
                })?,
            },
        };
        Ok(match walk {
            Walk::Stopped => Some(true),
            Walk::Whole if is_known => Some(false),
            _ => None,
        })
    }

    fn index(&self, node: &Node, of: Value<'a>, by: Value<'a>) -> Found<'a> {
        match (of, by) {
            (Value::Null, _) | (_, Value::Null) => Ok(Value::Null),
            (Value::Json(Json::Object(object)), Value::Text(key)) => {
                Ok(object.get(key).map_or(Value::Null, Value::of_json))
            }
            (list, Value::Int(at)) if list.len().is_some() => {
                let element = usize::try_from(at).ok().and_then(|at| list.get(at));
                element.ok_or(FaultKind::NoElement.at(node))
            }
            _ => Err(FaultKind::Mixed.at(node)),
        }
    }

    fn arithmetic(
        &self,
        node: &Node,
        operation: Arithmetic,
        left: Value<'a>,
        right: Value<'a>,
    ) -> Found<'a> {
        use Value as V;
        match (left, right) {
            (V::Null, _) | (_, V::Null) => Ok(V::Null),
            (V::Int(left), V::Int(right)) => {
                integers(operation, left, right).map_err(|kind| kind.at(node))
            }
            (V::Int(_) | V::Double(_), V::Int(_) | V::Double(_)) => {
                let doubles = left.as_double().zip(right.as_double());
                let result = doubles.and_then(|(left, right)| doubles_of(operation, left, right));
                result.map(V::Double).ok_or(FaultKind::Mixed.at(node))
            }
            (V::Time(left), V::Time(right)) if operation == Arithmetic::Subtract => {
                Ok(V::Double(left.millis_since(right)))
            }
            (V::Time(time), V::Int(_) | V::Double(_)) => {
                let micros = right.as_double().unwrap_or_default() * 1e3;
                match operation {
                    Arithmetic::Add => Ok(V::Time(time.plus_micros(micros.round() as i64))),
                    Arithmetic::Subtract => Ok(V::Time(time.plus_micros(-micros.round() as i64))),
                    _ => Err(FaultKind::Mixed.at(node)),
                }
            }
            (V::Text(left), V::Text(right)) if operation == Arithmetic::Add => {
                self.charge_making(left.len() + right.len(), node)?;
                Ok(V::Text(self.kept([left, right].concat())))
            }
            _ if operation == Arithmetic::Add => {
                let (Some(length), Some(more)) = (left.len(), right.len()) else {
                    return Err(FaultKind::Mixed.at(node));
                };
                self.charge(length + more);
                self.step(node)?;
                let of = |list: Value<'a>, length| {
                    (0..length).map(move |at| list.get(at).unwrap_or(V::Null))
                };
                Ok(self.kept_list(of(left, length).chain(of(right, more))))
            }
            _ => Err(FaultKind::Mixed.at(node)),
        }
    }
}

fn integers(operation: Arithmetic, left: i64, right: i64) -> Result<Value<'static>, FaultKind> {
    let result = match operation {
        Arithmetic::Add => left.checked_add(right),
        Arithmetic::Subtract => left.checked_sub(right),
        Arithmetic::Multiply => left.checked_mul(right),
        Arithmetic::Divide | Arithmetic::Remainder if right == 0 => {
            return Err(FaultKind::DivisionByZero);
        }
        Arithmetic::Divide => left.checked_div(right),
        Arithmetic::Remainder => left.checked_rem(right),
    };
    result.map(Value::Int).ok_or(FaultKind::Overflow)
}

fn doubles_of(operation: Arithmetic, left: f64, right: f64) -> Option<f64> {
    Some(match operation {
        Arithmetic::Add => left + right,
        Arithmetic::Subtract => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide => left / right,
        Arithmetic::Remainder => return None,
    })
}
