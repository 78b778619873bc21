//! What can be asked of the columns of a trace?
//!
//! A small tree of comparisons, for whoever has a condition to say and for whoever can answer it: a rule
//! is made into one where it asks nothing else, and the storage answers it without reading a span. It has
//! three truth values, as SQL has: a missing column is NULL, and what is joined with it may be unknown.
//!
//! [`Condition::holds`] is the plain meaning, over one row; what a query makes of it is held against it
//! in tests. Whoever makes one keeps numbers finite, integers below 2^63 and divisors other than zero,
//! so that no two ways to reckon differ.

use std::cmp::Ordering;
use std::fmt::{self, Display, Formatter};

use crate::{GroupId, SpanId, Time, TraceRow, TraceStatus};

/// A condition on the columns of `traces`.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// One value against another.
    Compare(Operand, Comparison, Operand),
    /// A truth value itself.
    Is(Operand),
    /// All of them hold.
    And(Vec<Condition>),
    /// One of them holds.
    Or(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
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
    /// What a column holds.
    Column(&'static Column),
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
    /// Two numbers joined: an integer if both are, as a quotient too.
    Arithmetic(Box<Operand>, Operation, Box<Operand>),
}

/// An operation on two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
}

/// What a column holds where it holds anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Integers.
    Int,
    /// Numbers.
    Double,
    /// Texts.
    Text,
    /// Truth values.
    Bool,
    /// Moments.
    Time,
}

/// A column of `traces` that holds one value a row.
pub struct Column {
    /// Its name in SQL. That of the status is `status`, and means the one at the moment of asking.
    pub name: &'static str,
    /// What it holds.
    pub kind: ColumnKind,
    read: for<'a> fn(&'a TraceRow, TraceStatus) -> Cell<'a>,
}

impl fmt::Debug for Column {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Column {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// What stands in a column of a row.
#[derive(Debug, Clone, Copy)]
enum Cell<'a> {
    Null,
    Int(i64),
    Double(f64),
    Text(&'a str),
    Bool(bool),
    Time(Time),
}

impl<'a> Cell<'a> {
    fn int(int: Option<i64>) -> Self {
        int.map_or(Self::Null, Self::Int)
    }

    fn text(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }

    fn time(time: Option<Time>) -> Self {
        time.map_or(Self::Null, Self::Time)
    }

    fn as_double(self) -> Option<f64> {
        match self {
            Self::Int(int) => Some(int as f64),
            Self::Double(double) => Some(double),
            _ => None,
        }
    }

    /// Returns the order of two values; `None` where one is missing or they have none.
    fn order(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(left), Self::Int(right)) => Some(left.cmp(&right)),
            (Self::Text(left), Self::Text(right)) => Some(left.cmp(right)),
            (Self::Bool(left), Self::Bool(right)) => Some(left.cmp(&right)),
            (Self::Time(left), Self::Time(right)) => Some(left.cmp(&right)),
            _ => self.as_double()?.partial_cmp(&other.as_double()?),
        }
    }
}

macro_rules! columns {
    ($($name:ident: $kind:ident, $read:expr;)+) => {
        /// The columns that can be asked about.
        pub static COLUMNS: &[Column] = &[$(Column {
            name: stringify!($name),
            kind: ColumnKind::$kind,
            read: $read,
        }),+];
    };
}

columns! {
    trace_id: Text, |row, _| Cell::Text(row.item.trace_id.as_str());
    workflow_name: Text, |row, _| Cell::text(row.item.workflow_name.as_deref());
    group_id: Text, |row, _| Cell::text(row.item.group_id.as_ref().map(GroupId::as_str));
    user_id: Text, |row, _| Cell::text(row.item.user_id.as_deref());
    agent_id: Text, |row, _| Cell::text(row.item.agent_id.as_deref());
    version: Text, |row, _| Cell::text(row.item.version.as_deref());
    environment: Text, |row, _| Cell::text(row.item.environment.as_deref());
    started_at: Time, |row, _| Cell::time(row.started_at);
    ended_at: Time, |row, _| Cell::time(row.ended_at);
    duration_ms: Double, |row, _| row.duration_ms.map_or(Cell::Null, Cell::Double);
    status: Text, |_, status| Cell::Text(status.as_str());
    error_type: Text, |row, _| Cell::text(row.error_type.as_deref());
    error_message: Text, |row, _| Cell::text(row.error_message.as_deref());
    error_span_id: Text, |row, _| Cell::text(row.error_span_id.as_ref().map(SpanId::as_str));
    llm_ms: Double, |row, _| Cell::Double(row.llm_ms);
    tool_ms: Double, |row, _| Cell::Double(row.tool_ms);
    overhead_ms: Double, |row, _| Cell::Double(row.overhead_ms);
    span_count: Int, |row, _| Cell::Int(row.span_count);
    generation_count: Int, |row, _| Cell::Int(row.generation_count);
    tool_call_count: Int, |row, _| Cell::Int(row.tool_call_count);
    tool_errors: Int, |row, _| Cell::Int(row.tool_errors);
    handoff_count: Int, |row, _| Cell::Int(row.handoff_count);
    guardrail_trips: Int, |row, _| Cell::Int(row.guardrail_trips);
    open_spans: Int, |row, _| Cell::Int(row.open_spans);
    lost_spans: Int, |row, _| Cell::Int(row.lost_spans);
    input_tokens: Int, |row, _| Cell::int(row.usage.input_tokens);
    cached_tokens: Int, |row, _| Cell::int(row.usage.cached_tokens);
    output_tokens: Int, |row, _| Cell::int(row.usage.output_tokens);
    reasoning_tokens: Int, |row, _| Cell::int(row.usage.reasoning_tokens);
    tokens_source: Text, |row, _| Cell::text(row.tokens_source.as_deref());
    cost_nano_usd: Int, |row, _| Cell::int(row.cost.map(|cost| cost.0));
    cost_complete: Bool, |row, _| Cell::Bool(row.cost_complete);
    input_preview: Text, |row, _| Cell::text(row.input_preview.as_deref());
    output_preview: Text, |row, _| Cell::text(row.output_preview.as_deref());
    content: Text, |row, _| Cell::Text(row.content.as_str());
    source: Text, |row, _| Cell::Text(row.item.source.as_str());
}

impl Column {
    /// Returns the column of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        COLUMNS.iter().find(|column| column.name == name)
    }
}

impl Condition {
    /// Returns whether it holds for a row whose status is this one; `None`: nobody knows.
    pub fn holds(&self, row: &TraceRow, status: TraceStatus) -> Option<bool> {
        match self {
            Self::Compare(left, comparison, right) => {
                let (left, right) = (left.cell(row, status), right.cell(row, status));
                if matches!(left, Cell::Null) || matches!(right, Cell::Null) {
                    return None;
                }
                // What has no order is not equal either, and nothing else holds of it.
                Some(
                    left.order(right)
                        .is_some_and(|order| comparison.holds(order)),
                )
            }
            Self::Is(operand) => match operand.cell(row, status) {
                Cell::Bool(bool) => Some(bool),
                _ => None,
            },
            Self::And(all) => joined(all, row, status, false),
            Self::Or(all) => joined(all, row, status, true),
            Self::Not(of) => of.holds(row, status).map(|holds| !holds),
            Self::Known(operand) => Some(!matches!(operand.cell(row, status), Cell::Null)),
        }
    }
}

/// Returns what conditions are worth together, where one that is `decides` decides.
fn joined(all: &[Condition], row: &TraceRow, status: TraceStatus, decides: bool) -> Option<bool> {
    let mut is_known = true;
    for one in all {
        match one.holds(row, status) {
            Some(holds) if holds == decides => return Some(decides),
            Some(_) => {}
            None => is_known = false,
        }
    }
    is_known.then_some(!decides)
}

impl Comparison {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }

    fn sql(self) -> &'static str {
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

impl Operation {
    fn of_integers(self, left: i64, right: i64) -> Option<i64> {
        match self {
            Self::Add => Some(left.wrapping_add(right)),
            Self::Subtract => Some(left.wrapping_sub(right)),
            Self::Multiply => Some(left.wrapping_mul(right)),
            Self::Divide => left.checked_div(right),
        }
    }

    fn of_doubles(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide => left / right,
        }
    }

    fn sql(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
        }
    }
}

impl Operand {
    /// Returns what it is, where it is anything.
    pub fn kind(&self) -> ColumnKind {
        match self {
            Self::Column(column) => column.kind,
            Self::Int(_) => ColumnKind::Int,
            Self::Double(_) => ColumnKind::Double,
            Self::Text(_) => ColumnKind::Text,
            Self::Bool(_) => ColumnKind::Bool,
            Self::Time(_) => ColumnKind::Time,
            Self::Arithmetic(left, _, right) => match (left.kind(), right.kind()) {
                (ColumnKind::Int, ColumnKind::Int) => ColumnKind::Int,
                _ => ColumnKind::Double,
            },
        }
    }

    fn cell<'a>(&'a self, row: &'a TraceRow, status: TraceStatus) -> Cell<'a> {
        match self {
            Self::Column(column) => (column.read)(row, status),
            Self::Int(int) => Cell::Int(*int),
            Self::Double(double) => Cell::Double(*double),
            Self::Text(text) => Cell::Text(text),
            Self::Bool(bool) => Cell::Bool(*bool),
            Self::Time(time) => Cell::Time(*time),
            Self::Arithmetic(left, operation, right) => {
                match (left.cell(row, status), right.cell(row, status)) {
                    (Cell::Int(left), Cell::Int(right)) => {
                        Cell::int(operation.of_integers(left, right))
                    }
                    (left, right) => match left.as_double().zip(right.as_double()) {
                        Some((left, right)) => Cell::Double(operation.of_doubles(left, right)),
                        None => Cell::Null,
                    },
                }
            }
        }
    }
}

/// As SQL over the columns of `traces`.
impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compare(left, comparison, right) => {
                write!(f, "{left} {} {right}", comparison.sql())
            }
            Self::Is(operand) => operand.fmt(f),
            Self::And(all) => write_joined(all, " AND ", "TRUE", f),
            Self::Or(all) => write_joined(all, " OR ", "FALSE", f),
            Self::Not(of) => write!(f, "NOT ({of})"),
            Self::Known(operand) => write!(f, "{operand} IS NOT NULL"),
        }
    }
}

fn write_joined(all: &[Condition], word: &str, none: &str, f: &mut Formatter<'_>) -> fmt::Result {
    if all.is_empty() {
        f.write_str(none)?;
    }
    for (number, one) in all.iter().enumerate() {
        write!(f, "{}({one})", if number > 0 { word } else { "" })?;
    }
    Ok(())
}

impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(column) => f.write_str(column.name),
            Self::Int(int) => int.fmt(f),
            // In full: SQL takes a number without a point or an exponent for an integer.
            Self::Double(double) => write!(f, "{double:e}"),
            Self::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Self::Bool(bool) => f.write_str(if *bool { "TRUE" } else { "FALSE" }),
            Self::Time(time) => write!(f, "TIMESTAMP '{time}'"),
            Self::Arithmetic(left, operation, right) => {
                write!(f, "({left} {} {right})", operation.sql())
            }
        }
    }
}
