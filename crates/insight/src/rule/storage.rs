//! Which rules can the storage answer without reading a trace?
//!
//! A rule over scalar fields of the trace alone becomes a small tree that a query can hold against the
//! columns of `traces`. It has the same three truth values: a missing column is NULL, and SQL's logic
//! is Kleene's. What could fail in one place and not in the other (a division by a field, a remainder)
//! is left to the evaluator. Counts are taken to be less than 2^53, as all real ones are; integers that
//! could then be too large together are left to the evaluator, too.

use std::fmt::Write as _;

use model::Time;

use super::fields::{TRACE_FIELDS, TraceField, find};
use super::functions::Built;
use super::kinds::Type;
use super::node::{Kind, Node};
use super::syntax::{Arithmetic, Compare};

/// No count is larger.
const COUNT_MAX: f64 = 9_007_199_254_740_992.0;

/// A condition on the columns of `traces`.
#[derive(Debug, Clone, PartialEq)]
pub enum StoragePredicate {
    /// One value against another.
    Compare(Operand, Comparison, Operand),
    /// A column or literal that is true, false or NULL itself.
    Is(Operand),
    /// All of them hold.
    And(Vec<StoragePredicate>),
    /// One of them holds.
    Or(Vec<StoragePredicate>),
    /// It does not hold.
    Not(Box<StoragePredicate>),
    /// The value is not NULL.
    Known(Operand),
}

/// A comparison of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// A field of the trace.
    Field(StorageField),
    /// An integer.
    Int(i64),
    /// A number.
    Double(f64),
    /// A text.
    Text(String),
    /// A truth value.
    Bool(bool),
    /// A moment.
    Time(Time),
    /// Two numbers joined.
    Arithmetic(Box<Operand>, NumberOperation, Box<Operand>),
}

/// An operation on two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberOperation {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
}

/// A scalar field of the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageField {
    /// Its name in rules.
    pub name: &'static str,
    /// What it is in SQL over the table `traces`.
    pub sql: &'static str,
}

impl StoragePredicate {
    /// Returns the predicate of a condition, if the storage can answer it.
    pub(super) fn of(node: &Node) -> Option<Self> {
        let all_of = |all: &[Node]| all.iter().map(Self::of).collect::<Option<Vec<_>>>();
        Some(match &node.kind {
            Kind::And(all) => Self::And(all_of(all)?),
            Kind::Or(all) => Self::Or(all_of(all)?),
            Kind::Not(of) => Self::Not(Box::new(Self::of(of)?)),
            Kind::Compare(compare, two) => Self::Compare(
                Operand::of(&two[0])?,
                Comparison::of(*compare),
                Operand::of(&two[1])?,
            ),
            Kind::In(two) => {
                let Kind::List(all) = &two[1].kind else {
                    return None;
                };
                let wanted = Operand::of(&two[0])?;
                let equals = all.iter().map(|one| {
                    let one = Operand::of(one)?;
                    Some(Self::Compare(wanted.clone(), Comparison::Equal, one))
                });
                Self::Or(equals.collect::<Option<Vec<_>>>()?)
            }
            Kind::Call(Built::Has, of) => match &of[0].kind {
                Kind::Trace(field) if field.name == "error" => {
                    let known =
                        |name| Some(Self::Known(Operand::of_field(find(TRACE_FIELDS, name)?)?));
                    Self::Or(vec![known("error_type")?, known("error_message")?])
                }
                _ => Self::Known(Operand::of(&of[0])?),
            },
            Kind::Bool(bool) => Self::Is(Operand::Bool(*bool)),
            Kind::Trace(_) => Self::Is(Operand::of(node)?),
            _ => return None,
        })
    }

    /// Returns it as a boolean expression of SQL over the columns of `traces`.
    pub fn to_sql(&self) -> String {
        let mut sql = String::new();
        self.write(&mut sql);
        sql
    }

    fn write(&self, sql: &mut String) {
        match self {
            Self::Compare(left, comparison, right) => {
                left.write(sql);
                let _ = write!(sql, " {} ", comparison.sql());
                right.write(sql);
            }
            Self::Is(operand) => operand.write(sql),
            Self::And(all) => Self::write_joined(all, " AND ", "TRUE", sql),
            Self::Or(all) => Self::write_joined(all, " OR ", "FALSE", sql),
            Self::Not(of) => {
                sql.push_str("NOT (");
                of.write(sql);
                sql.push(')');
            }
            Self::Known(operand) => {
                operand.write(sql);
                sql.push_str(" IS NOT NULL");
            }
        }
    }

    fn write_joined(all: &[Self], word: &str, none: &str, sql: &mut String) {
        if all.is_empty() {
            sql.push_str(none);
        }
        for (number, one) in all.iter().enumerate() {
            sql.push_str(if number > 0 { word } else { "" });
            sql.push('(');
            one.write(sql);
            sql.push(')');
        }
    }
}

impl Comparison {
    fn of(compare: Compare) -> Self {
        match compare {
            Compare::Equal => Self::Equal,
            Compare::Unequal => Self::Unequal,
            Compare::Less => Self::Less,
            Compare::AtMost => Self::AtMost,
            Compare::Greater => Self::Greater,
            Compare::AtLeast => Self::AtLeast,
        }
    }

    /// Returns its symbol in SQL.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "<>",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }
}

impl NumberOperation {
    /// Returns its symbol in SQL.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
        }
    }
}

impl Operand {
    fn of_field(field: &'static TraceField) -> Option<Self> {
        let sql = field.sql?;
        let name = field.name;
        Some(Self::Field(StorageField { name, sql }))
    }

    fn of(node: &Node) -> Option<Self> {
        Some(match &node.kind {
            Kind::Bool(bool) => Self::Bool(*bool),
            Kind::Int(int) => Self::Int(*int),
            Kind::Double(double) => Self::Double(*double),
            Kind::Text(text) => Self::Text(text.to_string()),
            Kind::Time(time) => Self::Time(*time),
            Kind::Trace(field) => return Self::of_field(field),
            Kind::Call(Built::Tokens, _) => {
                let tokens = |name| Some(Box::new(Self::of_field(find(TRACE_FIELDS, name)?)?));
                let (input, output) = (tokens("input_tokens")?, tokens("output_tokens")?);
                Self::Arithmetic(input, NumberOperation::Add, output)
            }
            Kind::Negate(of) => {
                let zero = Box::new(Self::Int(0));
                let of = Self::of(of).filter(Self::is_number)?;
                Self::Arithmetic(zero, NumberOperation::Subtract, Box::new(of))
            }
            Kind::Arithmetic(operation, two) => {
                let (left, right) = (Self::of(&two[0])?, Self::of(&two[1])?);
                if !left.is_number() || !right.is_number() {
                    return None;
                }
                let operation = match operation {
                    Arithmetic::Add => NumberOperation::Add,
                    Arithmetic::Subtract => NumberOperation::Subtract,
                    Arithmetic::Multiply => NumberOperation::Multiply,
                    Arithmetic::Divide => match right {
                        Self::Int(divisor) if divisor > 0 => NumberOperation::Divide,
                        Self::Double(divisor) if divisor != 0.0 => NumberOperation::Divide,
                        _ => return None,
                    },
                    Arithmetic::Remainder => return None,
                };
                let joined = Self::Arithmetic(Box::new(left), operation, Box::new(right));
                return Some(joined).filter(|joined| joined.greatest() < i64::MAX as f64);
            }
            _ => return None,
        })
    }

    /// Returns how large an integer can become, and 0 for what is none.
    fn greatest(&self) -> f64 {
        match self {
            Self::Field(field) => match find(TRACE_FIELDS, field.name) {
                Some(field) if field.field_type == Type::Int => COUNT_MAX,
                _ => 0.0,
            },
            Self::Int(int) => (*int as f64).abs(),
            Self::Arithmetic(left, operation, right) => {
                let (left, right) = (left.greatest(), right.greatest());
                match operation {
                    NumberOperation::Add | NumberOperation::Subtract => left + right,
                    NumberOperation::Multiply => left * right,
                    NumberOperation::Divide => left,
                }
            }
            _ => 0.0,
        }
    }

    fn is_number(&self) -> bool {
        match self {
            Self::Int(_) | Self::Double(_) | Self::Arithmetic(..) => true,
            Self::Field(field) => {
                find(TRACE_FIELDS, field.name).is_some_and(|field| field.field_type.is_number())
            }
            Self::Text(_) | Self::Bool(_) | Self::Time(_) => false,
        }
    }

    fn write(&self, sql: &mut String) {
        match self {
            Self::Field(field) => sql.push_str(field.sql),
            Self::Int(int) => {
                let _ = write!(sql, "{int}");
            }
            // In full: SQL takes a number without a point or an exponent for an integer.
            Self::Double(double) => {
                let _ = write!(sql, "{double:e}");
            }
            Self::Text(text) => {
                let _ = write!(sql, "'{}'", text.replace('\'', "''"));
            }
            Self::Bool(bool) => sql.push_str(if *bool { "TRUE" } else { "FALSE" }),
            Self::Time(time) => {
                let _ = write!(sql, "TIMESTAMP '{time}'");
            }
            Self::Arithmetic(left, operation, right) => {
                sql.push('(');
                left.write(sql);
                let _ = write!(sql, " {} ", operation.sql());
                right.write(sql);
                sql.push(')');
            }
        }
    }
}
