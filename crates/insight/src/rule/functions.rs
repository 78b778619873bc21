//! Which functions are there? The one table of names, what they take, what they give, and what they do.

use super::kinds::Type;

/// A function that the evaluator knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Built {
    // over lists and texts
    Size,
    Sum,
    Min,
    Max,
    Avg,
    Pct,
    First,
    Last,
    Distinct,
    Any,
    // over spans
    Before,
    Seq,
    CountBetween,
    Within,
    IsWithin,
    Calls,
    Path,
    Returns,
    // over texts
    Matches,
    Contains,
    IContains,
    StartsWith,
    EndsWith,
    Json,
    Valid,
    Timestamp,
    // of the trace and its surroundings
    Detector,
    Score,
    Baseline,
    Tokens,
    SpanTokens,
    Has,
    // with a variable
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

/// What a receiver or an argument must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Number,
    Text,
    List,
    ListOrText,
    Numbers,
    /// A list of numbers, texts or times.
    Ordered,
    Span,
    Spans,
    /// A text that is written out, so that it is known before the rule runs.
    Written,
    Anything,
}

impl Shape {
    /// Returns whether a value of this type will do.
    pub(super) fn fits(self, given: Type) -> bool {
        let item = given.item();
        match self {
            Self::Number => given.is_number(),
            Self::Text | Self::Written => given.is_text(),
            Self::List => item.is_some(),
            Self::ListOrText => item.is_some() || given.is_text(),
            Self::Numbers => item.is_some_and(Type::is_number),
            Self::Ordered => {
                item.is_some_and(|item| item.is_number() || item.is_text() || item == Type::Time)
            }
            Self::Span => given == Type::Span || given == Type::Unclear,
            Self::Spans => given.is_spans(),
            Self::Anything => true,
        }
    }

    /// Returns what it is, for a sentence.
    pub(super) fn wanted(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Text => "a text",
            Self::List => "a list",
            Self::ListOrText => "a list or a text",
            Self::Numbers => "a list of numbers",
            Self::Ordered => "a list of numbers, texts or times",
            Self::Span => "a span",
            Self::Spans => "a list of spans",
            Self::Written => "a text that is written out",
            Self::Anything => "a value",
        }
    }
}

/// What a function gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gives {
    Known(Type),
    /// An element of the receiver.
    Item,
    /// A list like the receiver.
    Same,
    /// A list of what the second argument gives.
    Mapped,
    /// An integer for integers, else a number.
    Sum,
}

/// One way of calling a function.
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) built: Built,
    /// What it is a method of; a method may also be called with its receiver as the first argument.
    pub(super) on: Option<Shape>,
    pub(super) takes: &'static [Shape],
    /// Whether the arguments are a variable and an expression over it.
    pub(super) is_macro: bool,
    pub(super) gives: Gives,
    /// How it is written.
    pub(super) form: &'static str,
    pub(super) doc: &'static str,
}

const BOOL: Gives = Gives::Known(Type::Bool);
const INT: Gives = Gives::Known(Type::Int);
const DOUBLE: Gives = Gives::Known(Type::Double);
const SPANS: Gives = Gives::Known(Type::List(&Type::Span));

const fn method(
    name: &'static str,
    built: Built,
    on: Shape,
    takes: &'static [Shape],
    gives: Gives,
) -> Function {
    Function {
        name,
        built,
        on: Some(on),
        takes,
        is_macro: false,
        gives,
        form: "",
        doc: "",
    }
}

const fn function(
    name: &'static str,
    built: Built,
    takes: &'static [Shape],
    gives: Gives,
) -> Function {
    Function {
        name,
        built,
        on: None,
        takes,
        is_macro: false,
        gives,
        form: "",
        doc: "",
    }
}

const fn over(name: &'static str, built: Built, gives: Gives) -> Function {
    Function {
        is_macro: true,
        ..method(name, built, Shape::List, &[], gives)
    }
}

impl Function {
    const fn said(self, form: &'static str, doc: &'static str) -> Self {
        Self { form, doc, ..self }
    }
}

use Shape::{Anything, List, ListOrText, Number, Numbers, Ordered, Span, Spans, Text, Written};

/// All functions, in the order of the reference.
pub(super) static FUNCTIONS: &[Function] = &[
    over("all", Built::All, BOOL).said(
        "list.all(x, p)",
        "whether `p` holds for every element; over nothing it holds, and the result is tagged `vacuous`",
    ),
    over("exists", Built::Exists, BOOL).said("list.exists(x, p)", "whether `p` holds for an element"),
    over("any", Built::Exists, BOOL).said("list.any(x, p)", "the same"),
    method("any", Built::Any, List, &[], BOOL).said("list.any()", "whether there is an element"),
    over("exists_one", Built::ExistsOne, BOOL)
        .said("list.exists_one(x, p)", "whether `p` holds for exactly one element"),
    over("filter", Built::Filter, Gives::Same)
        .said("list.filter(x, p)", "the elements for which `p` holds; where that is unknown, it does not"),
    over("map", Built::Map, Gives::Mapped).said("list.map(x, e)", "`e` of every element"),
    method("size", Built::Size, ListOrText, &[], INT)
        .said("list.size(), text.size()", "how many elements, how many characters"),
    method("sum", Built::Sum, Numbers, &[], Gives::Sum)
        .said("list.sum()", "the sum; of nothing 0, and unknown if a number is missing"),
    over("sum", Built::Sum, Gives::Sum).said("list.sum(x, e)", "the sum of `e` of every element"),
    method("min", Built::Min, Ordered, &[], Gives::Item)
        .said("list.min()", "the least; of nothing missing"),
    over("min", Built::Min, Gives::Item).said("list.min(x, e)", "the least `e` of an element"),
    method("max", Built::Max, Ordered, &[], Gives::Item)
        .said("list.max()", "the greatest; of nothing missing"),
    over("max", Built::Max, Gives::Item).said("list.max(x, e)", "the greatest `e` of an element"),
    method("avg", Built::Avg, Numbers, &[], DOUBLE)
        .said("list.avg()", "the mean; of nothing missing"),
    over("avg", Built::Avg, DOUBLE).said("list.avg(x, e)", "the mean of `e` of every element"),
    method("pct", Built::Pct, Numbers, &[Number], DOUBLE).said(
        "list.pct(q)",
        "the value below which `q` percent lie, interpolated between neighbours; of nothing missing",
    ),
    method("first", Built::First, List, &[], Gives::Item)
        .said("list.first()", "the first element, if there is one"),
    method("last", Built::Last, List, &[], Gives::Item)
        .said("list.last()", "the last element, if there is one"),
    method("distinct", Built::Distinct, List, &[], Gives::Same)
        .said("list.distinct()", "each value once, in the order of first appearance"),
    function("calls", Built::Calls, &[Text], SPANS)
        .said("calls(name)", "the calls of a tool: `spans[type=function,name=…]`"),
    function("before", Built::Before, &[Spans, Spans], BOOL).said(
        "before(a, b)",
        "whether every span of `b` starts after one of `a` has ended; vacuous where `b` is empty",
    ),
    function("seq", Built::Seq, &[Written], BOOL).said(
        "seq(pattern)",
        "whether the names of all tool calls, in start order, are as the pattern says",
    ),
    method("seq", Built::Seq, Spans, &[Written], BOOL)
        .said("spans.seq(pattern)", "the same of the names of any spans"),
    function("count_between", Built::CountBetween, &[Spans, Spans, Spans], INT).said(
        "count_between(a, b, sel)",
        "how many of `sel` start after the first of `a` has ended and before the first of `b` that \
         follows it; missing where there are no such two",
    ),
    function("within", Built::Within, &[Spans], SPANS)
        .said("within(sel)", "the spans that one of `sel` encloses"),
    method("within", Built::Within, Spans, &[Spans], SPANS)
        .said("spans.within(sel)", "those of a list that one of `sel` encloses"),
    method("within", Built::IsWithin, Span, &[Spans], BOOL)
        .said("span.within(sel)", "whether one of `sel` encloses it"),
    method("path", Built::Path, Spans, &[], Gives::Known(Type::List(&Type::Text)))
        .said("handoffs.path()", "the agents in the order in which they had control; failed handoffs left out"),
    method("returns", Built::Returns, Spans, &[], INT)
        .said("handoffs.returns()", "how many handoffs go to an agent that had control before"),
    method("matches", Built::Matches, Text, &[Written], BOOL)
        .said("text.matches(pattern)", "whether the regular expression (RE2) matches somewhere in it"),
    method("contains", Built::Contains, Text, &[Text], BOOL)
        .said("text.contains(part)", "whether the part is in it"),
    method("icontains", Built::IContains, Text, &[Text], BOOL)
        .said("text.icontains(part)", "the same without regard to case"),
    method("startsWith", Built::StartsWith, Text, &[Text], BOOL)
        .said("text.startsWith(part)", "whether it begins so"),
    method("endsWith", Built::EndsWith, Text, &[Text], BOOL)
        .said("text.endsWith(part)", "whether it ends so"),
    function("json", Built::Json, &[Text], Gives::Known(Type::Json))
        .said("json(text)", "the JSON it holds; missing if it holds none"),
    function("valid", Built::Valid, &[Text, Written], BOOL)
        .said("valid(text, schema)", "whether it is JSON that the schema of this name allows"),
    function("timestamp", Built::Timestamp, &[Written], Gives::Known(Type::Time))
        .said("timestamp(text)", "the moment that an RFC 3339 text names"),
    function("detector", Built::Detector, &[Written], BOOL)
        .said("detector(id)", "whether the detector found something; missing where it does not apply"),
    function("score", Built::Score, &[Written], DOUBLE)
        .said("score(grader)", "what another grader gave, pass being 1 and fail 0"),
    function("baseline", Built::Baseline, &[Written], DOUBLE).said(
        "baseline(\"p95:duration_ms\")",
        "`min`, `max`, `avg`, `median` or a percentile of a number of last month's traces of the same \
         workflow; missing where fewer than 100 have it",
    ),
    function("tokens", Built::Tokens, &[], INT)
        .said("tokens()", "input and output tokens of the trace"),
    method("tokens", Built::SpanTokens, Span, &[], INT)
        .said("span.tokens()", "input and output tokens of a span"),
    function("has", Built::Has, &[Anything], BOOL)
        .said("has(field)", "whether a value is there: never unknown itself"),
];
