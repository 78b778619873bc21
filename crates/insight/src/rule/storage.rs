//! Which rules can the storage answer without reading a trace?
//!
//! A rule over scalar fields of the trace alone becomes a [`Condition`] on the columns of `traces`. It has
//! the same three truth values. What could fail in one place and not in the other (a division by a field,
//! a remainder), or come out otherwise (numbers that grow beyond what is exact), is left to the
//! evaluator. Counts, times and costs are taken to be at most 2^50, as all real ones are.

use model::{Column, ColumnKind, Condition, Operand, Operation};

use super::fields::{TRACE_FIELDS, TraceField, find};
use super::functions::Built;
use super::kinds::Type;
use super::node::{Kind, Node};
use super::syntax::{Arithmetic, Compare};

/// No column holds a larger number.
const COLUMN_MAX: f64 = 1_125_899_906_842_624.0;

/// A double tells every integer up to here from its neighbours.
const EXACT_MAX: f64 = 9_007_199_254_740_991.0;

/// Returns the condition that a rule is, if the storage can answer it.
pub(super) fn condition(node: &Node) -> Option<Condition> {
    let all_of = |all: &[Node]| all.iter().map(condition).collect::<Option<Vec<_>>>();
    Some(match &node.kind {
        Kind::And(all) => Condition::And(all_of(all)?),
        Kind::Or(all) => Condition::Or(all_of(all)?),
        Kind::Not(of) => Condition::Not(Box::new(condition(of)?)),
        Kind::Compare(compare, two) => {
            compared(operand(&two[0])?, comparison(*compare), operand(&two[1])?)?
        }
        Kind::In(two) => {
            let Kind::List(all) = &two[1].kind else {
                return None;
            };
            let wanted = operand(&two[0])?;
            let equals = all.iter().map(|one| {
                let one = operand(one)?;
                compared(wanted.clone(), model::Comparison::Equal, one)
            });
            Condition::Or(equals.collect::<Option<Vec<_>>>()?)
        }
        Kind::Call(Built::Has, of) => match &of[0].kind {
            Kind::Trace(field) if field.name == "error" => {
                let known = |name| Some(Condition::Known(of_field(find(TRACE_FIELDS, name)?)?));
                Condition::Or(vec![known("error_type")?, known("error_message")?])
            }
            _ => Condition::Known(operand(&of[0])?),
        },
        Kind::Bool(bool) => Condition::Is(Operand::Bool(*bool)),
        Kind::Trace(field) if field.field_type == Type::Bool => Condition::Is(operand(node)?),
        _ => return None,
    })
}

/// Returns what the storage can answer of a rule, so that it holds wherever the rule does.
pub(super) fn necessary(node: &Node) -> Option<Condition> {
    let Kind::And(all) = &node.kind else {
        return condition(node);
    };
    let mut known: Vec<Condition> = all.iter().filter_map(necessary).collect();
    match known.len() {
        0 => None,
        1 => known.pop(),
        _ => Some(Condition::And(known)),
    }
}

/// Returns the smallest part of a rule for which the storage is no use.
pub(super) fn beyond(node: &Node) -> &Node {
    let is_condition = |node: &&Node| condition(node).is_none();
    let is_operand = |node: &&Node| operand(node).is_none();
    match &node.kind {
        Kind::And(all) | Kind::Or(all) => all.iter().find(is_condition).map_or(node, beyond),
        Kind::Not(of) => beyond(of),
        Kind::Compare(_, two) | Kind::Arithmetic(_, two) => {
            two.iter().find(is_operand).map_or(node, beyond)
        }
        Kind::In(two) if is_operand(&&two[0]) => beyond(&two[0]),
        Kind::In(two) => match &two[1].kind {
            Kind::List(all) => all.iter().find(is_operand).map_or(node, beyond),
            _ => &two[1],
        },
        Kind::Negate(of) => beyond(of),
        _ => node,
    }
}

/// Returns a comparison, if it is exact wherever it is made.
fn compared(left: Operand, by: model::Comparison, right: Operand) -> Option<Condition> {
    let (left_kind, right_kind) = (left.kind(), right.kind());
    let is_exact = match (left_kind, right_kind) {
        (ColumnKind::Int, ColumnKind::Double) => greatest(&left) <= EXACT_MAX,
        (ColumnKind::Double, ColumnKind::Int) => greatest(&right) <= EXACT_MAX,
        _ => left_kind == right_kind,
    };
    is_exact.then_some(Condition::Compare(left, by, right))
}

fn comparison(compare: Compare) -> model::Comparison {
    match compare {
        Compare::Equal => model::Comparison::Equal,
        Compare::Unequal => model::Comparison::Unequal,
        Compare::Less => model::Comparison::Less,
        Compare::AtMost => model::Comparison::AtMost,
        Compare::Greater => model::Comparison::Greater,
        Compare::AtLeast => model::Comparison::AtLeast,
    }
}

fn of_field(field: &'static TraceField) -> Option<Operand> {
    let column = Operand::Column(Column::named(field.column?)?);
    let is_money = field.column == Some("cost_nano_usd");
    Some(match is_money {
        // Money is stored in whole billionths of a dollar.
        true => Operand::Arithmetic(
            Box::new(column),
            Operation::Divide,
            Box::new(Operand::Double(1e9)),
        ),
        false => column,
    })
}

fn operand(node: &Node) -> Option<Operand> {
    Some(match &node.kind {
        Kind::Bool(bool) => Operand::Bool(*bool),
        Kind::Int(int) => Operand::Int(*int),
        Kind::Double(double) => Operand::Double(*double),
        Kind::Text(text) => Operand::Text(text.to_string()),
        Kind::Time(time) => Operand::Time(*time),
        Kind::Trace(field) => return of_field(field),
        Kind::Call(Built::Tokens, _) => {
            let tokens = |name| of_field(find(TRACE_FIELDS, name)?);
            return joined(
                tokens("input_tokens")?,
                Operation::Add,
                tokens("output_tokens")?,
            );
        }
        Kind::Negate(of) => return joined(Operand::Int(0), Operation::Subtract, operand(of)?),
        Kind::Arithmetic(operation, two) => {
            let right = operand(&two[1])?;
            let operation = match operation {
                Arithmetic::Add => Operation::Add,
                Arithmetic::Subtract => Operation::Subtract,
                Arithmetic::Multiply => Operation::Multiply,
                Arithmetic::Divide => match right {
                    Operand::Int(divisor) if divisor > 0 => Operation::Divide,
                    Operand::Double(divisor) if divisor != 0.0 => Operation::Divide,
                    _ => return None,
                },
                Arithmetic::Remainder => return None,
            };
            return joined(operand(&two[0])?, operation, right);
        }
        _ => return None,
    })
}

/// Returns two numbers joined, if that cannot leave the integers or become infinite.
fn joined(left: Operand, operation: Operation, right: Operand) -> Option<Operand> {
    let is_number = |of: &Operand| matches!(of.kind(), ColumnKind::Int | ColumnKind::Double);
    if !is_number(&left) || !is_number(&right) {
        return None;
    }
    let joined = Operand::Arithmetic(Box::new(left), operation, Box::new(right));
    let greatest = greatest(&joined);
    let is_held = match joined.kind() {
        ColumnKind::Int => greatest < i64::MAX as f64,
        _ => greatest.is_finite(),
    };
    is_held.then_some(joined)
}

/// Returns how far from zero a number can be.
fn greatest(of: &Operand) -> f64 {
    match of {
        Operand::Column(_) => COLUMN_MAX,
        Operand::Int(int) => (*int as f64).abs(),
        Operand::Double(double) => double.abs(),
        Operand::Arithmetic(left, operation, right) => match operation {
            Operation::Add | Operation::Subtract => greatest(left) + greatest(right),
            Operation::Multiply => greatest(left) * greatest(right),
            Operation::Divide => greatest(left) / greatest(right),
        },
        Operand::Text(_) | Operand::Bool(_) | Operand::Time(_) => 0.0,
    }
}
