//! Does the rule make sense? Every name is looked up and every type compared before anything runs.
//!
//! A mistake is told once: what hangs on it is `Unclear` and fits everywhere, so that the next real
//! mistake is told as well.

use super::VARIABLES_MAX;
use super::environment::Needs;
use super::fields::{
    SPAN_ERROR_FIELDS, SPAN_FIELDS, TRACE_ERROR_FIELDS, TRACE_FIELDS, find, names,
};
use super::functions::FUNCTIONS;
use super::kinds::Type;
use super::node::{Kind, Node};
use super::problem::{At, Problem, nearest};
use super::syntax::{Arithmetic, Compare, Expr, Kind as Said, Literal, Name};

/// A checked expression and its type.
#[derive(Debug)]
pub(super) struct Typed {
    pub(super) node: Node,
    pub(super) given: Type,
}

impl Typed {
    pub(super) fn new(kind: Kind, at: At, given: Type) -> Self {
        Self {
            node: kind.at(at),
            given,
        }
    }

    pub(super) fn unclear(at: At) -> Self {
        Self::new(Kind::Null, at, Type::Unclear)
    }

    pub(super) fn at(&self) -> At {
        self.node.at
    }
}

/// Checks the expressions of one rule.
pub(super) struct Checker<'s, 'p> {
    pub(super) source: &'s str,
    pub(super) problems: &'p mut Vec<Problem>,
    pub(super) needs: Needs,
    /// The variables in scope; the place is the slot.
    scope: Vec<(String, Type)>,
}

impl<'s, 'p> Checker<'s, 'p> {
    pub(super) fn new(source: &'s str, problems: &'p mut Vec<Problem>) -> Self {
        Self {
            source,
            problems,
            needs: Needs::default(),
            scope: Vec::new(),
        }
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Tells a mistake whose consequences are not told.
    pub(super) fn broken(&mut self, at: At, problem: Problem) -> Typed {
        self.problem(problem);
        Typed::unclear(at)
    }

    /// Checks `body` with a variable in scope and returns it and the variable's slot.
    pub(super) fn with_variable<T>(
        &mut self,
        name: &Name,
        given: Type,
        body: impl FnOnce(&mut Self, u8) -> T,
    ) -> T {
        if self.scope.len() == VARIABLES_MAX {
            let message = format!("at most {VARIABLES_MAX} variables stand inside each other");
            self.problem(Problem::new(name.at, message));
        }
        let slot = self.scope.len().min(VARIABLES_MAX - 1);
        self.scope.push((name.text.clone(), given));
        let result = body(self, u8::try_from(slot).unwrap_or(0));
        self.scope.pop();
        result
    }

    /// Checks an expression.
    pub(super) fn check(&mut self, expr: &Expr) -> Typed {
        let at = expr.at;
        match &expr.kind {
            Said::Broken => Typed::unclear(at),
            Said::Literal(literal) => literal_of(literal, at),
            Said::Name(name) => self.name(name, at),
            Said::Field(of, name) => self.field(of, name, at),
            Said::Index(of, by) => self.index(of, by, at),
            Said::Select(of, terms) => self.select(of, terms, at),
            Said::Call(of, name, args) => self.call(of.as_deref(), name, args, at),
            Said::Not(of) => {
                let of = self.condition(of);
                Typed::new(Kind::Not(Box::new(of)), at, Type::Bool)
            }
            Said::Negate(of) => self.negate(of, at),
            Said::Compare(compare, two) => {
                let [left, right] = self.two(two);
                self.compare(*compare, left, right, at)
            }
            Said::Arithmetic(operation, two) => {
                let [left, right] = self.two(two);
                self.arithmetic(*operation, left, right, at)
            }
            Said::In(two) => self.is_in(two, at),
            Said::And(all) => self.join(all, Kind::And, at),
            Said::Or(all) => self.join(all, Kind::Or, at),
            Said::If(three) => {
                let condition = self.condition(&three[0]);
                let (then, otherwise) = (self.check(&three[1]), self.check(&three[2]));
                let given = then.given.join(otherwise.given);
                let three = Box::new([condition, then.node, otherwise.node]);
                Typed::new(Kind::If(three), at, given)
            }
            Said::List(all) => {
                let all: Vec<Typed> = all.iter().map(|one| self.check(one)).collect();
                let item = all
                    .iter()
                    .fold(Type::Unclear, |item, one| item.join(one.given));
                let nodes = all.into_iter().map(|one| one.node).collect();
                Typed::new(Kind::List(nodes), at, item.list())
            }
        }
    }

    fn two(&mut self, two: &[Expr; 2]) -> [Typed; 2] {
        [self.check(&two[0]), self.check(&two[1])]
    }

    fn join(&mut self, all: &[Expr], kind: fn(Box<[Node]>) -> Kind, at: At) -> Typed {
        let all = all.iter().map(|one| self.condition(one)).collect();
        Typed::new(kind(all), at, Type::Bool)
    }

    /// Checks what must be true or false.
    pub(super) fn condition(&mut self, expr: &Expr) -> Node {
        let typed = self.check(expr);
        self.must_be_bool(&typed);
        typed.node
    }

    pub(super) fn must_be_bool(&mut self, typed: &Typed) {
        if typed.given.is_bool() {
            return;
        }
        let text = typed.at().of(self.source);
        let suggestion = match typed.given {
            Type::List(_) => format!("write `{text}.any()` to ask whether there is an element"),
            Type::Int | Type::Double => format!("compare it, as in `{text} > 0`"),
            _ => format!("compare it, or write `has({text})` to ask whether it is there"),
        };
        let message = format!("a condition is true or false, this is {}", typed.given);
        self.problem(Problem::new(typed.at(), message).suggest(suggestion));
    }

    fn name(&mut self, name: &str, at: At) -> Typed {
        let variable = self.scope.iter().rposition(|(known, _)| known == name);
        if let Some(slot) = variable {
            let given = self.scope[slot].1;
            return Typed::new(Kind::Var(u8::try_from(slot).unwrap_or(0)), at, given);
        }
        if let Some(field) = find(TRACE_FIELDS, name) {
            return Typed::new(Kind::Trace(field), at, field.field_type);
        }
        let problem = Problem::new(at, format!("a trace has no field `{name}`"));
        let mut known: Vec<&str> = names(TRACE_FIELDS).collect();
        known.extend(self.scope.iter().map(|(name, _)| name.as_str()));
        let functions = FUNCTIONS.iter().filter(|function| function.name == name);
        let problem = if let Some(function) = functions.clone().next() {
            problem.suggest(format!("call the function: {}", function.form))
        } else if let Some(variable) = self.variable_with(name) {
            problem.suggest(format!(
                "it is a field of a span: write `{variable}.{name}`"
            ))
        } else if find(SPAN_FIELDS, name).is_some() {
            let suggestion = format!("it is a field of a span: write `spans.all(s, s.{name} …)`");
            problem.suggest(suggestion)
        } else if let Some(near) = nearest(name, known.into_iter()) {
            problem.suggest(format!("did you mean `{near}`?"))
        } else {
            problem.suggest("texts stand in quotes: \"…\"")
        };
        self.broken(at, problem)
    }

    /// Returns a variable that stands for a span with a field of this name.
    fn variable_with(&self, field: &str) -> Option<&str> {
        find(SPAN_FIELDS, field)?;
        let mut spans = self.scope.iter().rev();
        let found = spans.find(|(_, given)| *given == Type::Span)?;
        Some(&found.0)
    }

    fn field(&mut self, of: &Expr, name: &Name, at: At) -> Typed {
        // `trace.x` is `x`, wherever no variable has that name.
        let is_trace = matches!(&of.kind, Said::Name(of) if of == "trace");
        if is_trace && !self.scope.iter().any(|(known, _)| known == "trace") {
            let scope = std::mem::take(&mut self.scope);
            let typed = self.name(&name.text, name.at);
            self.scope = scope;
            return typed;
        }
        let of = self.check(of);
        self.field_of(of, name, at)
    }

    /// Returns the field of a value.
    pub(super) fn field_of(&mut self, of: Typed, name: &Name, at: At) -> Typed {
        let text = name.text.as_str();
        match of.given {
            Type::Span => match find(SPAN_FIELDS, text) {
                Some(field) => {
                    Typed::new(Kind::Span(field, Box::new(of.node)), at, field.field_type)
                }
                None => self.no_field("a span", name, names(SPAN_FIELDS), at),
            },
            Type::SpanError => match find(SPAN_ERROR_FIELDS, text) {
                Some(field) => {
                    Typed::new(Kind::Span(field, Box::new(of.node)), at, field.field_type)
                }
                None => self.no_field("an error", name, names(SPAN_ERROR_FIELDS), at),
            },
            Type::TraceError => match find(TRACE_ERROR_FIELDS, text) {
                Some(field) => Typed::new(Kind::Trace(field), at, field.field_type),
                None => self.no_field("an error", name, names(TRACE_ERROR_FIELDS), at),
            },
            Type::Json => Typed::new(Kind::Member(Box::new(of.node), text.into()), at, Type::Json),
            Type::Unclear => Typed::unclear(at),
            other => {
                let problem = Problem::new(name.at, format!("{other} has no fields"));
                let list = of.at().of(self.source);
                let problem = if FUNCTIONS.iter().any(|function| function.name == text) {
                    problem.suggest(format!("call the function: `{list}.{text}(…)`"))
                } else if other.is_spans() {
                    let suggestion =
                        format!("each of its spans has: write `{list}.all(s, s.{text} …)`");
                    problem.suggest(suggestion)
                } else {
                    problem
                };
                self.broken(at, problem)
            }
        }
    }

    fn no_field(
        &mut self,
        what: &str,
        name: &Name,
        known: impl Iterator<Item = &'static str>,
        at: At,
    ) -> Typed {
        let text = name.text.as_str();
        let problem = Problem::new(name.at, format!("{what} has no field `{text}`"));
        let known: Vec<&str> = known.collect();
        let problem = match nearest(text, known.iter().copied()) {
            Some(near) => problem.suggest(format!("did you mean `{near}`?")),
            None if what == "an error" => problem.suggest(format!("known: {}", known.join(", "))),
            None if FUNCTIONS.iter().any(|function| function.name == text) => {
                problem.suggest(format!("call the function: `{text}(…)`"))
            }
            None if what == "a span" && find(TRACE_FIELDS, text).is_some() => {
                problem.suggest(format!("it is a field of the trace: write `{text}`"))
            }
            None => problem,
        };
        self.broken(at, problem)
    }

    fn index(&mut self, of: &Expr, by: &Expr, at: At) -> Typed {
        let (of, by) = (self.check(of), self.check(by));
        let given = match of.given {
            Type::List(item) => *item,
            Type::Json | Type::Unclear | Type::Null => Type::Json,
            other => {
                let message = format!("{other} has no elements");
                return self.broken(at, Problem::new(of.at(), message));
            }
        };
        let fits = by.given == Type::Int
            || by.given.is_open()
            || of.given == Type::Json && by.given.is_text();
        if !fits {
            let message = format!(
                "an element is asked for by its number, this is {}",
                by.given
            );
            let problem = Problem::new(by.at(), message);
            let problem = match by.given {
                Type::Bool => problem.suggest("choose elements with `.filter(x, …)`"),
                _ => problem,
            };
            return self.broken(at, problem);
        }
        Typed::new(Kind::Index(Box::new([of.node, by.node])), at, given)
    }

    fn negate(&mut self, of: &Expr, at: At) -> Typed {
        let of = self.check(of);
        if !of.given.is_number() {
            let message = format!("only a number has a negative, this is {}", of.given);
            let problem = Problem::new(of.at(), message);
            let problem = match of.given {
                Type::Bool => problem.suggest("write `!` for not"),
                _ => problem,
            };
            return self.broken(at, problem);
        }
        let given = of.given;
        Typed::new(Kind::Negate(Box::new(of.node)), at, given)
    }

    /// Returns a comparison.
    pub(super) fn compare(&mut self, compare: Compare, left: Typed, right: Typed, at: At) -> Typed {
        for (literal, other) in [(&right, &left), (&left, &right)] {
            if matches!(literal.node.kind, Kind::Null) && literal.given == Type::Null {
                let other = other.at().of(self.source);
                let suggestion = match compare {
                    Compare::Equal => format!("write `!has({other})`"),
                    _ => format!("write `has({other})`"),
                };
                let message = "a comparison with null is never true, nor is it false";
                self.problem(Problem::new(at, message).suggest(suggestion));
                return Typed::new(Kind::Null, at, Type::Bool);
            }
        }
        let has_order = |given: Type| {
            given.is_number() || given.is_text() || matches!(given, Type::Time | Type::Bool)
        };
        if !left.given.compares_with(right.given) {
            self.unlike(&left, &right, at);
        } else if !(compare.is_equality() || has_order(left.given) && has_order(right.given)) {
            let message = format!("{} is neither more nor less than another", left.given);
            let problem = Problem::new(at, message);
            let problem = match left.given {
                Type::List(_) => {
                    let list = left.at().of(self.source);
                    problem.suggest(format!("write `{list}.size()` for how many there are"))
                }
                _ => problem,
            };
            self.problem(problem);
        }
        self.must_be_word(&left, &right);
        self.must_be_word(&right, &left);
        let two = Box::new([left.node, right.node]);
        Typed::new(Kind::Compare(compare, two), at, Type::Bool)
    }

    fn unlike(&mut self, left: &Typed, right: &Typed, at: At) {
        let message = format!("{} is not compared with {}", left.given, right.given);
        let problem = Problem::new(at, message);
        let suggestion =
            [(left, right), (right, left)]
                .into_iter()
                .find_map(|(one, other)| match (&one.node.kind, other.given) {
                    (Kind::Text(text), Type::Int | Type::Double)
                        if text.trim().parse::<f64>().is_ok() =>
                    {
                        Some(format!("write the number without quotes: {}", text.trim()))
                    }
                    (Kind::Text(text), Type::Bool) if matches!(&**text, "true" | "false") => {
                        Some(format!("write it without quotes: {text}"))
                    }
                    (Kind::Text(_), Type::Time) => {
                        let text = one.at().of(self.source);
                        Some(format!("write `timestamp({text})`"))
                    }
                    (_, Type::List(_)) => {
                        let list = other.at().of(self.source);
                        Some(format!("write `{list}.size()` for how many there are"))
                    }
                    _ => None,
                });
        self.problem(match suggestion {
            Some(suggestion) => problem.suggest(suggestion),
            None => problem,
        });
    }

    /// Tells if `written` is a text that `field`, which holds words of a closed set, never holds.
    fn must_be_word(&mut self, field: &Typed, written: &Typed) {
        let (Type::Word(words), Kind::Text(text)) = (field.given, &written.node.kind) else {
            return;
        };
        if words.all.contains(&&**text) {
            return;
        }
        let message = format!("no {} is called {text:?}", words.what);
        let suggestion = match (&**text, words.what) {
            ("tool" | "tool_call", "span type") => "did you mean \"function\"?".to_owned(),
            ("response" | "llm", "span type") => "did you mean \"generation\"?".to_owned(),
            _ => match nearest(text, words.all.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("known: {}", words.all.join(", ")),
            },
        };
        self.problem(Problem::new(written.at(), message).suggest(suggestion));
    }

    fn is_in(&mut self, two: &[Expr; 2], at: At) -> Typed {
        let [wanted, list] = self.two(two);
        match list.given.item() {
            Some(item) if wanted.given.compares_with(item) => {}
            Some(item) => {
                let message = format!("{} is never among {}", wanted.given, list.given);
                let message = match item {
                    Type::Span => format!("{message}: ask with `.exists(s, s.name == …)`"),
                    _ => message,
                };
                self.problem(Problem::new(at, message));
            }
            None => {
                let problem = Problem::new(
                    list.at(),
                    format!("`in` asks a list, this is {}", list.given),
                );
                let problem = match (list.given.is_text(), wanted.given.is_text()) {
                    (true, true) => {
                        let (text, part) = (list.at().of(self.source), wanted.at().of(self.source));
                        problem.suggest(format!("write `{text}.contains({part})`"))
                    }
                    _ => problem,
                };
                self.problem(problem);
            }
        }
        if let Kind::List(all) = &list.node.kind {
            let words: Vec<(At, Box<str>)> = all
                .iter()
                .filter_map(|one| match &one.kind {
                    Kind::Text(text) => Some((one.at, text.clone())),
                    _ => None,
                })
                .collect();
            for (at, text) in words {
                self.must_be_word(&wanted, &Typed::new(Kind::Text(text), at, Type::Text));
            }
        }
        Typed::new(Kind::In(Box::new([wanted.node, list.node])), at, Type::Bool)
    }

    fn arithmetic(&mut self, operation: Arithmetic, left: Typed, right: Typed, at: At) -> Typed {
        use Arithmetic::{Add, Remainder, Subtract};
        let given = match (left.given, right.given, operation) {
            (Type::Unclear | Type::Null, other, _) | (other, Type::Unclear | Type::Null, _) => {
                Some(other)
            }
            (Type::Int, Type::Int, _) => Some(Type::Int),
            (Type::Time, Type::Time, Subtract) => Some(Type::Double),
            (Type::Time, Type::Int | Type::Double, Add | Subtract) => Some(Type::Time),
            (Type::List(left), Type::List(right), Add) => Some(left.join(*right).list()),
            (Type::Double, _, Remainder) | (_, Type::Double, Remainder) => None,
            (Type::Json, other, _) | (other, Type::Json, _) => {
                let fits = other.is_number() || operation == Add && other.is_text();
                fits.then_some(Type::Json)
            }
            (left, right, _) if left.is_number() && right.is_number() => Some(Type::Double),
            (left, right, Add) if left.is_text() && right.is_text() => Some(Type::Text),
            _ => None,
        };
        let Some(given) = given else {
            let symbol = operation.symbol();
            let message = format!(
                "`{symbol}` does not join {} and {}",
                left.given, right.given
            );
            return self.broken(at, Problem::new(at, message));
        };
        let two = Box::new([left.node, right.node]);
        Typed::new(Kind::Arithmetic(operation, two), at, given)
    }
}

/// Returns a value that is written out.
pub(super) fn literal_of(literal: &Literal, at: At) -> Typed {
    let (kind, given) = match literal {
        Literal::Null => (Kind::Null, Type::Null),
        Literal::Bool(bool) => (Kind::Bool(*bool), Type::Bool),
        Literal::Int(int) => (Kind::Int(*int), Type::Int),
        Literal::Double(double) => (Kind::Double(*double), Type::Double),
        Literal::Text(text) => (Kind::Text(text.as_str().into()), Type::Text),
    };
    Typed::new(kind, at, given)
}
