//! Which kind of value is an expression? Known before a rule runs, so that mistakes are told then.

use std::fmt;

/// A closed set of words that a text can be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words {
    /// What they are, as in `span type`.
    pub(super) what: &'static str,
    pub(super) all: &'static [&'static str],
}

/// The kind of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// Not known because of a mistake that was told already.
    Unclear,
    Null,
    Bool,
    Int,
    Double,
    Text,
    /// A text out of a closed set.
    Word(&'static Words),
    Time,
    Span,
    SpanError,
    TraceError,
    /// Any value, known when the rule runs.
    Json,
    List(&'static Type),
}

impl Type {
    /// Returns the type of a list of these; what is deeper than a list of lists is known at run time.
    pub(super) fn list(self) -> Self {
        Self::List(match self {
            Self::Bool => &Self::Bool,
            Self::Int => &Self::Int,
            Self::Double => &Self::Double,
            Self::Text | Self::Word(_) => &Self::Text,
            Self::Time => &Self::Time,
            Self::Span => &Self::Span,
            Self::SpanError => &Self::SpanError,
            Self::Unclear => &Self::Unclear,
            Self::TraceError | Self::Null | Self::Json | Self::List(_) => &Self::Json,
        })
    }

    /// Returns whether the kind shows when the rule runs, or never mind.
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Unclear | Self::Json | Self::Null)
    }

    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Double) || self.is_open()
    }

    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Word(_)) || self.is_open()
    }

    pub(super) fn is_bool(self) -> bool {
        self == Self::Bool || self.is_open()
    }

    pub(super) fn is_spans(self) -> bool {
        self.is_open() && self != Self::Json || self.item().is_some_and(|item| item == Self::Span)
    }

    /// Returns the type of the elements, of a list.
    pub(super) fn item(self) -> Option<Self> {
        match self {
            Self::List(item) => Some(*item),
            Self::Json => Some(Self::Json),
            Self::Unclear | Self::Null => Some(Self::Unclear),
            _ => None,
        }
    }

    /// Returns whether values of the two can be equal.
    pub(super) fn compares_with(self, other: Self) -> bool {
        match (self, other) {
            (Self::List(left), Self::List(right)) => left.compares_with(*right),
            (left, right) if left.is_open() || right.is_open() => true,
            (left, right) => {
                left == right
                    || left.is_number() && right.is_number()
                    || left.is_text() && right.is_text()
            }
        }
    }

    /// Returns the type that holds both.
    pub(super) fn join(self, other: Self) -> Self {
        match (self, other) {
            (left, right) if left == right => left,
            (Self::Unclear, other) | (other, Self::Unclear) => other,
            (Self::Null, other) | (other, Self::Null) => other,
            (left, right) if left.is_open() || right.is_open() => Self::Json,
            (left, right) if left.is_text() && right.is_text() => Self::Text,
            (left, right) if left.is_number() && right.is_number() => Self::Double,
            (Self::List(left), Self::List(right)) => left.join(*right).list(),
            _ => Self::Json,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unclear => "unclear",
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Int => "an integer",
            Self::Double => "a number",
            Self::Text => "a text",
            Self::Word(words) => return write!(f, "a {}", words.what),
            Self::Time => "a time",
            Self::Span => "a span",
            Self::SpanError | Self::TraceError => "an error",
            Self::Json => "JSON",
            Self::List(item) => {
                return f.write_str(match item {
                    Self::Bool => "a list of true or false",
                    Self::Int => "a list of integers",
                    Self::Double => "a list of numbers",
                    Self::Text | Self::Word(_) => "a list of texts",
                    Self::Time => "a list of times",
                    Self::Span => "a list of spans",
                    Self::SpanError | Self::TraceError => "a list of errors",
                    _ => "a list",
                });
            }
        })
    }
}
