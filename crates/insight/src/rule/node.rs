//! A rule that was checked: every name is a place, every pattern is compiled.

use model::Time;
use regex::Regex;

use super::fields::{SAID_OF_SPAN, SAID_OF_TRACE, SpanField, TraceField};
use super::functions::Built;
use super::problem::At;
use super::sequence::Sequence;
use super::syntax::{Arithmetic, Compare};

/// An expression and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) at: At,
}

/// What is asked of the elements of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantifier {
    All,
    Exists,
    ExistsOne,
}

impl Quantifier {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Exists => "exists",
            Self::ExistsOne => "exists_one",
        }
    }
}

/// An expression over the elements of a list.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) list: Node,
    /// Where the element is kept while the body is evaluated.
    pub(super) slot: u8,
    pub(super) body: Node,
}

/// What an expression is.
#[derive(Debug)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Box<str>),
    Time(Time),
    Trace(&'static TraceField),
    /// A field of a span or of a span's error.
    Span(&'static SpanField, Box<Node>),
    Member(Box<Node>, Box<str>),
    Index(Box<[Node; 2]>),
    Var(u8),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<[Node]>),
    Or(Box<[Node]>),
    If(Box<[Node; 3]>),
    Compare(Compare, Box<[Node; 2]>),
    In(Box<[Node; 2]>),
    Arithmetic(Arithmetic, Box<[Node; 2]>),
    List(Box<[Node]>),
    Filter(Box<Over>),
    Map(Box<Over>),
    Quantify(Quantifier, Box<Over>),
    Matches(Box<Node>, Regex),
    Seq(Box<Node>, Box<Sequence>),
    Call(Built, Box<[Node]>),
}

impl Kind {
    pub(super) fn at(self, at: At) -> Node {
        Node { kind: self, at }
    }
}

impl std::fmt::Debug for super::fields::Field<super::fields::OfTrace> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl std::fmt::Debug for super::fields::Field<super::fields::OfSpan> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Node {
    /// Returns whether it reads what lies apart from the columns.
    pub(super) fn reads_content(&self) -> bool {
        let itself = match &self.kind {
            Kind::Trace(field) => SAID_OF_TRACE.contains(&field.name),
            Kind::Span(field, _) => SAID_OF_SPAN.contains(&field.name),
            _ => false,
        };
        let mut reads = itself;
        self.for_each_part(&mut |part| reads = reads || part.reads_content());
        reads
    }

    /// Returns whether it reads what should have been done.
    pub(super) fn reads_reference(&self) -> bool {
        let mut reads = matches!(&self.kind, Kind::Trace(field) if field.name == "ref");
        self.for_each_part(&mut |part| reads = reads || part.reads_reference());
        reads
    }

    /// Calls `visit` with the nodes directly below this one.
    pub(super) fn for_each_part<'n>(&'n self, visit: &mut dyn FnMut(&'n Node)) {
        match &self.kind {
            Kind::Null
            | Kind::Bool(_)
            | Kind::Int(_)
            | Kind::Double(_)
            | Kind::Text(_)
            | Kind::Time(_)
            | Kind::Trace(_)
            | Kind::Var(_) => {}
            Kind::Span(_, of)
            | Kind::Member(of, _)
            | Kind::Not(of)
            | Kind::Negate(of)
            | Kind::Matches(of, _)
            | Kind::Seq(of, _) => visit(of),
            Kind::Index(two) | Kind::Compare(_, two) | Kind::In(two) | Kind::Arithmetic(_, two) => {
                two.iter().for_each(visit)
            }
            Kind::If(three) => three.iter().for_each(visit),
            Kind::And(all) | Kind::Or(all) | Kind::List(all) | Kind::Call(_, all) => {
                all.iter().for_each(visit);
            }
            Kind::Filter(over) | Kind::Map(over) | Kind::Quantify(_, over) => {
                visit(&over.list);
                visit(&over.body);
            }
        }
    }
}
