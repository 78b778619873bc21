//! Random rules over random traces: the compiled rule and the naive interpreter say the same.

use std::fmt::Write as _;

use model::{Outcome, SpanStatus, SpanType, UnscoredReason};
use proptest::prelude::*;

use super::naive::{Interpreter, Naive};
use super::traces::{But, Told, handoff, span};
use crate::rule::{Rule, RuleValue, parse};
use crate::view::ToldSpan;

/// A source of choices: bytes that proptest draws and shrinks; behind their end every choice is the first.
struct Choices<'b>(std::slice::Iter<'b, u8>);

impl Choices<'_> {
    fn below(&mut self, limit: usize) -> usize {
        self.0.next().map_or(0, |byte| usize::from(*byte) % limit)
    }

    fn one<'c>(&mut self, choices: &[&'c str]) -> &'c str {
        choices[self.below(choices.len())]
    }
}

/// Writes rules that make sense, with variables `v0`, `v1`, … for spans.
struct Writer<'b> {
    choices: Choices<'b>,
    variables: usize,
}

impl Writer<'_> {
    fn variable(&mut self) -> Option<String> {
        let count = self.variables;
        (count > 0).then(|| format!("v{}", self.choices.below(count)))
    }

    fn condition(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.comparison(0);
        }
        let next = depth - 1;
        match self.choices.below(17) {
            0..=3 => self.comparison(next),
            4 | 5 => {
                let joins = self.choices.one(&["&&", "||"]);
                format!(
                    "({} {joins} {})",
                    self.condition(next),
                    self.condition(next)
                )
            }
            6 => format!("!({})", self.condition(next)),
            7..=9 => self.quantified(next),
            10 => format!("{}.any()", self.spans(next)),
            11 => {
                let (condition, then) = (self.condition(next), self.condition(next));
                format!("({condition} ? {then} : {})", self.condition(next))
            }
            12 => format!("before({}, {})", self.spans(next), self.spans(next)),
            13 => match self.variable() {
                Some(variable) => {
                    let field = ["model", "ended_at", "triggered", "error", "parent"];
                    format!("has({variable}.{})", self.choices.one(&field))
                }
                None => "has(user_id)".to_owned(),
            },
            14 => match self.variable() {
                Some(variable) => format!("{variable}.triggered"),
                None => "cost_complete".to_owned(),
            },
            // It has no value where the divisor is 0.
            15 => match self.variable() {
                Some(variable) => format!("1 / {variable}.depth > 0"),
                None => "1 / tool_errors > 0".to_owned(),
            },
            _ => format!(
                "{} in [{}, {}]",
                self.text(next),
                self.text(0),
                self.text(0)
            ),
        }
    }

    fn quantified(&mut self, depth: usize) -> String {
        let list = self.spans(depth);
        if self.variables == 4 {
            return format!("{list}.any()");
        }
        let which = self.choices.one(&["all", "exists", "exists_one"]);
        let variable = format!("v{}", self.variables);
        self.variables += 1;
        let body = self.condition(depth);
        self.variables -= 1;
        format!("{list}.{which}({variable}, {body})")
    }

    fn comparison(&mut self, depth: usize) -> String {
        let compare = self.choices.one(&["==", "!=", "<", "<=", ">", ">="]);
        match self.choices.below(5) {
            0 | 1 => format!("{} {compare} {}", self.number(depth), self.number(depth)),
            2 => format!("{} {compare} {}", self.text(depth), self.text(depth)),
            3 => format!("{} {compare} {}", self.time(), self.time()),
            _ => {
                let equality = self.choices.one(&["==", "!="]);
                let names = format!("{}.map(x, x.model)", self.spans(depth));
                format!("{names} {equality} [{}]", self.text(0))
            }
        }
    }

    fn number(&mut self, depth: usize) -> String {
        let small = self.choices.one(&[
            "0",
            "1",
            "2",
            "3",
            "1.5",
            "2.0",
            "-1",
            "9223372036854775807",
        ]);
        match (self.choices.below(12), self.variable(), depth) {
            (0 | 1, ..) | (_, None, 0) => small.to_owned(),
            (2..=5, Some(variable), _) | (_, Some(variable), 0) => {
                let field = ["duration_ms", "input_tokens", "depth"];
                format!("{variable}.{}", self.choices.one(&field))
            }
            (6, _, 1..) => {
                let operation = self.choices.one(&["+", "-", "*", "/"]);
                format!(
                    "({} {operation} {})",
                    self.number(depth - 1),
                    self.number(depth - 1)
                )
            }
            (7, _, 1..) => format!("{}.size()", self.spans(depth - 1)),
            (8, _, 1..) => {
                let function = self.choices.one(&["sum", "min", "max"]);
                let field = self.choices.one(&["duration_ms", "input_tokens", "depth"]);
                format!("{}.map(x, x.{field}).{function}()", self.spans(depth - 1))
            }
            (9, _, 1..) => {
                let end = self.choices.one(&["first", "last"]);
                format!("{}.{end}().duration_ms", self.spans(depth - 1))
            }
            (10, _, 1..) => format!("{}.returns()", self.spans(depth - 1)),
            _ => {
                let fields = [
                    "duration_ms",
                    "tool_errors",
                    "span_count",
                    "input_tokens",
                    "tokens()",
                ];
                self.choices.one(&fields).to_owned()
            }
        }
    }

    fn text(&mut self, depth: usize) -> String {
        let written = self.choices.one(&["\"a\"", "\"b\"", "\"\"", "'ab'"]);
        match (self.choices.below(6), self.variable()) {
            (0..=2, Some(variable)) => {
                let field = self.choices.one(&["name", "agent", "model"]);
                format!("{variable}.{field}")
            }
            (3, _) => "user_id".to_owned(),
            (4, _) if depth > 0 => format!("({} + {})", self.text(depth - 1), self.text(0)),
            (5, _) if depth > 0 => format!("{}.first().name", self.spans(depth - 1)),
            _ => written.to_owned(),
        }
    }

    fn time(&mut self) -> String {
        match self.variable() {
            Some(variable) => {
                let field = self
                    .choices
                    .one(&["started_at", "ended_at", "parent.ended_at"]);
                format!("{variable}.{field}")
            }
            None => {
                let end = self.choices.one(&["first().started_at", "last().ended_at"]);
                format!("spans.{end}")
            }
        }
    }

    fn spans(&mut self, depth: usize) -> String {
        let list = self
            .choices
            .one(&["spans", "calls", "gens", "handoffs", "guards"]);
        if depth == 0 {
            return list.to_owned();
        }
        match self.choices.below(8) {
            0 | 1 => list.to_owned(),
            2 => {
                let term = [
                    "type=function",
                    "type=tool",
                    "name~\"a*\"",
                    "name!~\"?\"",
                    "status!=success",
                    "duration_ms>2",
                    "depth=0",
                    "model!=b",
                    "within(spans[type=agent])",
                ];
                let mut terms = self.choices.one(&term).to_owned();
                if self.choices.below(2) == 1 {
                    let _ = write!(terms, ", {}", self.choices.one(&term));
                }
                format!("{}[{terms}]", self.spans(depth - 1))
            }
            3 => format!("calls({})", self.text(depth - 1)),
            4 => format!("within({})", self.spans(depth - 1)),
            5 => format!("{}.distinct()", self.spans(depth - 1)),
            _ if self.variables < 4 => {
                let list = self.spans(depth - 1);
                let variable = format!("v{}", self.variables);
                self.variables += 1;
                let body = self.condition(depth - 1);
                self.variables -= 1;
                format!("{list}.filter({variable}, {body})")
            }
            _ => list.to_owned(),
        }
    }
}

/// Returns a small trace; few names and short times make matches likely.
fn trace(choices: &mut Choices<'_>) -> Told {
    let count = choices.below(7);
    let mut spans: Vec<ToldSpan> = Vec::new();
    for number in 0..count {
        let of = [
            SpanType::Function,
            SpanType::Generation,
            SpanType::Agent,
            SpanType::Guardrail,
            SpanType::Handoff,
            SpanType::Function,
        ][choices.below(6)];
        let id = format!("s{number}");
        let name = choices.one(&["a", "b", "ab"]);
        let from = i64::try_from(choices.below(5)).unwrap();
        let length = i64::try_from(choices.below(4)).unwrap();
        let mut one = match of {
            SpanType::Handoff => handoff(&id, name, choices.one(&["a", "b", "ab"]), from),
            of => span(&id, of, name, from, from + length),
        };
        match choices.below(6) {
            0 => one = one.failed(),
            1 => {
                one.span.status = SpanStatus::Open;
                one.span.ended_at = None;
            }
            2 => one.span.started_at = None,
            _ => {}
        }
        one.span.model =
            [None, Some("a".to_owned()), Some("b".to_owned())][choices.below(3)].clone();
        one.span.triggered = [None, Some(true), Some(false)][choices.below(3)];
        one.span.usage.input_tokens = [None, Some(0), Some(2)][choices.below(3)];
        if number > 0 && choices.below(2) == 1 {
            let parent = format!("s{}", choices.below(number));
            one = one.below(&parent);
        }
        spans.push(one);
    }
    Told::of(spans)
}

/// The comparison below is worth something only if every outcome is common.
#[test]
fn random_rules_come_to_every_outcome() {
    let mut seed = 1_u32;
    let mut bytes = |count: usize| -> Vec<u8> {
        let next = |_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        };
        (0..count).map(next).collect()
    };
    let mut counts = [0; Outcome::ALL.len()];
    for _ in 0..2_000 {
        let (rule_bytes, trace_bytes) = (bytes(120), bytes(90));
        let mut writer = Writer {
            choices: Choices(rule_bytes.iter()),
            variables: 0,
        };
        let rule = Rule::parse(&writer.condition(4));
        let told = trace(&mut Choices(trace_bytes.iter()));
        if let Ok(rule) = rule {
            counts[rule.grade(&told.view, &()).outcome as usize] += 1;
        }
    }
    for outcome in [
        Outcome::Pass,
        Outcome::Fail,
        Outcome::NotApplicable,
        Outcome::Unscored,
    ] {
        assert!(counts[outcome as usize] > 20, "{outcome}: {counts:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_compiled_rule_says_what_the_naive_one_says(
        rule_bytes in prop::collection::vec(any::<u8>(), 1..120),
        trace_bytes in prop::collection::vec(any::<u8>(), 0..90),
    ) {
        let mut writer = Writer { choices: Choices(rule_bytes.iter()), variables: 0 };
        let source = writer.condition(4);
        prop_assume!(source.len() <= crate::rule::SOURCE_BYTES_MAX);
        let rule = Rule::parse(&source).unwrap_or_else(|bad| panic!("{source}\n{bad}"));
        let told = trace(&mut Choices(trace_bytes.iter()));
        let result = rule.grade(&told.view, &());
        let expr = parse::parse(&source, &mut Vec::new());
        let mut naive = Interpreter { trace: &told.view, variables: Vec::new() };
        let wanted = match naive.worth(&expr) {
            Ok(Naive::Bool(true)) => Outcome::Pass,
            Ok(Naive::Bool(false)) => Outcome::Fail,
            Ok(Naive::Null) => Outcome::NotApplicable,
            Ok(other) => panic!("{source} is {other:?}"),
            Err(_) => Outcome::Unscored,
        };
        // A filter is walked together with what asks it, which may have its answer before all is looked at:
        // what would break behind that is not seen. The reference says so.
        let may_end_before = source.contains(".filter(") && wanted == Outcome::Unscored;
        prop_assume!(!may_end_before || result.outcome == wanted);
        prop_assert_eq!(result.outcome, wanted, "{}", source);
        if wanted == Outcome::Unscored {
            prop_assert_eq!(result.unscored_reason, Some(UnscoredReason::Code));
        }
    }

    /// Of a quantifier the witnesses are the elements that decided, and no others.
    #[test]
    fn the_witnesses_are_the_elements_that_decided(
        rule_bytes in prop::collection::vec(any::<u8>(), 1..60),
        trace_bytes in prop::collection::vec(any::<u8>(), 0..90),
    ) {
        let mut writer = Writer { choices: Choices(rule_bytes.iter()), variables: 1 };
        let body = writer.condition(2);
        let told = trace(&mut Choices(trace_bytes.iter()));
        let result = Rule::parse(&format!("spans.all(v0, {body})")).unwrap().grade(&told.view, &());
        if result.outcome != Outcome::Fail {
            return Ok(());
        }
        let expr = parse::parse(&body, &mut Vec::new());
        let failing = (0..told.view.spans.len()).filter(|at| {
            let variables = vec![("v0".to_owned(), Naive::Span(*at))];
            let mut naive = Interpreter { trace: &told.view, variables };
            naive.worth(&expr) == Ok(Naive::Bool(false))
        });
        let failing: Vec<_> = failing.map(|at| told.view.spans[at].id().clone()).collect();
        prop_assert_eq!(result.witnesses, failing);
    }

    /// Any text is a rule or has problems that can be shown.
    #[test]
    fn any_text_is_a_rule_or_has_problems(text in ".{0,60}") {
        if let Err(problems) = Rule::parse(&text) {
            prop_assert!(!problems.all().is_empty());
            prop_assert!(!problems.to_string().is_empty());
        }
    }

    /// Words of the language in any order.
    #[test]
    fn any_words_are_a_rule_or_have_problems(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        const WORDS: &[&str] = &[
            "spans", "[", "]", "(", ")", ".", ",", "type", "=", "function", "all", "s", "==", "&&", "!",
            "\"x\"", "1", "0.5", "calls", "size", "?", ":", "in", "-", "~", "within", "ref", "json", "name",
            "filter", "map", "error", "null", "has", "{", "'", "\\", "é", "<", "max", "seq", "first",
        ];
        let mut choices = Choices(bytes.iter());
        let words: Vec<&str> = (0..bytes.len()).map(|_| choices.one(WORDS)).collect();
        for text in [words.join(" "), words.concat()] {
            match Rule::parse(&text) {
                Ok(rule) => {
                    let told = trace(&mut Choices(bytes.iter()));
                    let result = rule.grade(&told.view, &());
                    prop_assert!(!matches!(result.value, Some(RuleValue::Number(n)) if n.is_nan()) || text.contains('/'));
                }
                Err(problems) => prop_assert!(!problems.to_string().is_empty()),
            }
        }
    }
}
