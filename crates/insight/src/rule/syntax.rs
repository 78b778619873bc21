//! What a rule says, before anything is known of its names.

use super::problem::At;

/// A value that is written out.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Compare {
    pub(super) fn of(symbol: &str) -> Option<Self> {
        Some(match symbol {
            "==" => Self::Equal,
            "!=" => Self::Unequal,
            "<" => Self::Less,
            "<=" => Self::AtMost,
            ">" => Self::Greater,
            ">=" => Self::AtLeast,
            _ => return None,
        })
    }

    /// Returns whether it asks for equality alone, not for an order.
    pub(super) fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::Unequal)
    }
}

/// An operation on numbers; `+` joins texts and lists as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Arithmetic {
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }
}

/// A name where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) at: At,
}

/// One condition of a selector.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Term {
    /// `duration_ms>2000`
    Compare(Vec<Name>, Compare, Expr),
    /// `name~"search*"`, and whether it must not fit
    Glob(Vec<Name>, Expr, bool),
    /// `within(…)`
    Within(Expr),
}

/// An expression where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expr {
    pub(super) kind: Kind,
    pub(super) at: At,
    /// How deep it is nested.
    pub(super) depth: u32,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// What could not be read; its problem is known.
    Broken,
    Literal(Literal),
    Name(String),
    Field(Box<Expr>, Name),
    Index(Box<Expr>, Box<Expr>),
    /// `spans[type=function]`
    Select(Box<Expr>, Vec<Term>),
    /// A function, or a method of the first.
    Call(Option<Box<Expr>>, Name, Vec<Expr>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    Compare(Compare, Box<[Expr; 2]>),
    Arithmetic(Arithmetic, Box<[Expr; 2]>),
    In(Box<[Expr; 2]>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    If(Box<[Expr; 3]>),
    List(Vec<Expr>),
}

impl Kind {
    /// Returns how deep the deepest part of it is nested.
    pub(super) fn depth(&self) -> u32 {
        let deepest = |all: &[Expr]| all.iter().map(|expr| expr.depth).max().unwrap_or(0);
        match self {
            Self::Broken | Self::Literal(_) | Self::Name(_) => 0,
            Self::Field(of, _) | Self::Not(of) | Self::Negate(of) => of.depth,
            Self::Index(of, by) => of.depth.max(by.depth),
            Self::Select(of, terms) => terms.iter().fold(of.depth, |deepest, term| match term {
                Term::Within(expr) => deepest.max(expr.depth),
                Term::Compare(..) | Term::Glob(..) => deepest,
            }),
            Self::Call(of, _, all) => deepest(all).max(of.as_ref().map_or(0, |of| of.depth)),
            Self::Compare(_, two) | Self::Arithmetic(_, two) | Self::In(two) => deepest(&**two),
            Self::If(three) => deepest(&**three),
            Self::And(all) | Self::Or(all) | Self::List(all) => deepest(all),
        }
    }
}
