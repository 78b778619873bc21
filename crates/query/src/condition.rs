//! A [`Condition`] as an expression over the stored columns of `traces`.
//!
//! It is built, never written as SQL and read again: a text is a literal whatever stands in it, and a
//! moment has the type of its column, so that files can be ruled out by it. It must say what
//! [`Condition::holds`] says; a test holds the two against each other.

use datafusion::logical_expr::{Expr, col, lit};
use model::{ColumnKind, Comparison, Condition, Operand, Operation};

use crate::tables::time_lit;

/// Returns a condition as an expression, where `status` is the one at the moment of asking.
pub(crate) fn condition_expr(condition: &Condition, status: &Expr) -> Expr {
    let one = |condition: &Condition| condition_expr(condition, status);
    match condition {
        Condition::Compare(left, comparison, right) => {
            let (left, right) = (value(left, status), value(right, status));
            match comparison {
                Comparison::Equal => left.eq(right),
                Comparison::Unequal => left.not_eq(right),
                Comparison::Less => left.lt(right),
                Comparison::AtMost => left.lt_eq(right),
                Comparison::Greater => left.gt(right),
                Comparison::AtLeast => left.gt_eq(right),
            }
        }
        Condition::Is(operand) => value(operand, status),
        Condition::And(all) => balanced(all.iter().map(one).collect(), Expr::and, true),
        Condition::Or(all) => balanced(all.iter().map(one).collect(), Expr::or, false),
        Condition::Not(of) => !one(of),
        Condition::Known(operand) => value(operand, status).is_not_null(),
    }
}

/// Joins expressions pair by pair: planners walk down trees, and a list of two thousand names must not be
/// as deep as it is long.
fn balanced(mut all: Vec<Expr>, join: fn(Expr, Expr) -> Expr, none: bool) -> Expr {
    match all.len() {
        0 => lit(none),
        1 => all.remove(0),
        length => {
            let rest = all.split_off(length / 2);
            join(balanced(all, join, none), balanced(rest, join, none))
        }
    }
}

fn value(operand: &Operand, status: &Expr) -> Expr {
    match operand {
        Operand::Column(column) if column.name == "status" => status.clone(),
        Operand::Column(column) => col(column.name),
        Operand::Int(int) => lit(*int),
        Operand::Double(double) => lit(*double + 0.0),
        Operand::Text(text) => lit(text.as_str()),
        Operand::Bool(bool) => lit(*bool),
        Operand::Time(time) => time_lit(*time),
        Operand::Arithmetic(left, operation, right) => {
            let (left, right) = (value(left, status), value(right, status));
            let joined = match operation {
                Operation::Add => left + right,
                Operation::Subtract => left - right,
                Operation::Multiply => left * right,
                Operation::Divide => left / right,
            };
            match operand.kind() {
                // Arrow tells -0 from 0; nothing else does.
                ColumnKind::Double => joined + lit(0.0),
                _ => joined,
            }
        }
    }
}
