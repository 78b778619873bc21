//! Words to expressions: CEL's grammar without messages and maps, and selectors in brackets.
//!
//! What cannot be read becomes one problem and a hole, and reading goes on behind it, so that a rule
//! with three mistakes has three problems.

use super::problem::{At, Problem};
use super::syntax::{Arithmetic, Compare, Expr, Kind, Literal, Name, Term};
use super::token::{Token, tokens};
use super::{DEPTH_MAX, SOURCE_BYTES_MAX};

/// Returns what the source says.
pub(super) fn parse(source: &str, problems: &mut Vec<Problem>) -> Expr {
    if source.len() > SOURCE_BYTES_MAX {
        let message = format!("a rule has at most {SOURCE_BYTES_MAX} bytes");
        problems.push(Problem::new(At::new(0, 0), message));
        return broken(At::new(0, 0));
    }
    let mut parser = Parser {
        tokens: tokens(source, problems),
        next: 0,
        level: 0,
        is_too_deep: false,
        silent_until: 0,
        source,
        problems,
    };
    let expr = parser.expression();
    parser.expect_end();
    expr
}

fn broken(at: At) -> Expr {
    Expr {
        kind: Kind::Broken,
        at,
        depth: 1,
    }
}

struct Parser<'s, 'p> {
    tokens: Vec<(Token, At)>,
    next: usize,
    level: u32,
    is_too_deep: bool,
    /// Before this place no problem is told again: one mistake is one problem.
    silent_until: u32,
    source: &'s str,
    problems: &'p mut Vec<Problem>,
}

impl Parser<'_, '_> {
    fn peek(&self) -> &Token {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> &Token {
        let last = self.tokens.len() - 1;
        match self.is_too_deep {
            true => &self.tokens[last].0,
            false => &self.tokens[(self.next + ahead).min(last)].0,
        }
    }

    fn at(&self) -> At {
        self.tokens[self.next.min(self.tokens.len() - 1)].1
    }

    /// Returns the place of the word that was read last.
    fn last(&self) -> At {
        self.tokens[self.next.saturating_sub(1)].1
    }

    fn skip(&mut self) {
        self.next = (self.next + 1).min(self.tokens.len() - 1);
    }

    fn sees(&self, symbol: &str) -> bool {
        matches!(self.peek(), Token::Symbol(seen) if *seen == symbol)
    }

    fn eat(&mut self, symbol: &str) -> bool {
        let is_there = self.sees(symbol);
        if is_there {
            self.skip();
        }
        is_there
    }

    fn problem(&mut self, problem: Problem) {
        let start = u32::try_from(problem.start).unwrap_or(u32::MAX);
        if !self.is_too_deep && (self.silent_until == 0 || start > self.silent_until) {
            self.silent_until = u32::try_from(problem.end).unwrap_or(u32::MAX).max(1);
            self.problems.push(problem);
        }
    }

    /// Says that `wanted` should stand here.
    fn wanted(&mut self, wanted: &str) {
        let at = self.at();
        let message = match self.peek() {
            Token::End => format!("the rule ends where {wanted} should stand"),
            _ => format!("`{}` stands where {wanted} should", at.of(self.source)),
        };
        self.problem(Problem::new(at, message));
    }

    fn expect(&mut self, symbol: &str) {
        if !self.eat(symbol) {
            self.wanted(&format!("`{symbol}`"));
        }
    }

    fn expect_end(&mut self) {
        if *self.peek() == Token::End {
            return;
        }
        let at = self.at();
        let joined = match self.peek() {
            Token::Name(name) if name.eq_ignore_ascii_case("and") => Some("write `&&`"),
            Token::Name(name) if name.eq_ignore_ascii_case("or") => Some("write `||`"),
            _ => None,
        };
        let message = format!("the rule should end before `{}`", at.of(self.source));
        let problem = Problem::new(at, message);
        self.problem(match joined {
            Some(joined) => problem.suggest(joined),
            None => problem,
        });
    }

    fn make(&mut self, kind: Kind, at: At) -> Expr {
        let depth = kind.depth() + 1;
        if depth > DEPTH_MAX {
            self.too_deep(at);
            return broken(at);
        }
        Expr { kind, at, depth }
    }

    fn too_deep(&mut self, at: At) {
        if !self.is_too_deep {
            let message = format!("a rule is nested at most {DEPTH_MAX} deep");
            self.problems.push(Problem::new(at, message));
            self.is_too_deep = true;
        }
    }

    fn expression(&mut self) -> Expr {
        self.level += 1;
        // One more than the depth: parentheses around a value that is 1 deep are 32 in CEL's own tests.
        if self.level > DEPTH_MAX + 1 {
            self.too_deep(self.at());
        }
        let condition = self.either();
        let expr = if self.eat("?") {
            let then = self.either();
            self.expect(":");
            let otherwise = self.expression();
            let at = condition.at.to(otherwise.at);
            self.make(Kind::If(Box::new([condition, then, otherwise])), at)
        } else {
            condition
        };
        self.level -= 1;
        expr
    }

    fn either(&mut self) -> Expr {
        self.chain("||", "or", Self::both, Kind::Or)
    }

    fn both(&mut self) -> Expr {
        self.chain("&&", "and", Self::relation, Kind::And)
    }

    /// Reads what stands between `symbol`s; SQL's and Python's `word` for it is understood and refused.
    fn chain(
        &mut self,
        symbol: &str,
        word: &str,
        part: fn(&mut Self) -> Expr,
        kind: fn(Vec<Expr>) -> Kind,
    ) -> Expr {
        let mut all = vec![part(self)];
        loop {
            let at = self.at();
            let is_word =
                matches!(self.peek(), Token::Name(name) if name.eq_ignore_ascii_case(word));
            if is_word {
                let message = format!("`{}` is not an operator", at.of(self.source));
                self.problem(Problem::new(at, message).suggest(format!("write `{symbol}`")));
                self.skip();
            } else if !self.eat(symbol) {
                break;
            }
            all.push(part(self));
        }
        if all.len() == 1 {
            return all.remove(0);
        }
        let at = all[0].at.to(all[all.len() - 1].at);
        self.make(kind(all), at)
    }

    fn relation(&mut self) -> Expr {
        let mut left = self.sum();
        loop {
            let at = self.at();
            let Token::Symbol(symbol) = *self.peek() else {
                return left;
            };
            let compare = match symbol {
                "=" => {
                    let message = "`=` belongs into the brackets of a selector";
                    self.problem(Problem::new(at, message).suggest("compare with `==`"));
                    Some(Compare::Equal)
                }
                _ => Compare::of(symbol),
            };
            if compare.is_none() && symbol != "in" {
                return left;
            }
            self.skip();
            let right = self.sum();
            let at = left.at.to(right.at);
            let two = Box::new([left, right]);
            let kind = match compare {
                Some(compare) => Kind::Compare(compare, two),
                None => Kind::In(two),
            };
            left = self.make(kind, at);
        }
    }

    fn sum(&mut self) -> Expr {
        let operations = [("+", Arithmetic::Add), ("-", Arithmetic::Subtract)];
        self.operations(&operations, Self::product)
    }

    fn product(&mut self) -> Expr {
        let operations = [
            ("*", Arithmetic::Multiply),
            ("/", Arithmetic::Divide),
            ("%", Arithmetic::Remainder),
        ];
        self.operations(&operations, Self::unary)
    }

    fn operations(
        &mut self,
        operations: &[(&str, Arithmetic)],
        part: fn(&mut Self) -> Expr,
    ) -> Expr {
        let mut left = part(self);
        while let Some((_, operation)) = operations.iter().find(|(symbol, _)| self.sees(symbol)) {
            self.skip();
            let right = part(self);
            let at = left.at.to(right.at);
            left = self.make(Kind::Arithmetic(*operation, Box::new([left, right])), at);
        }
        left
    }

    /// Reads `!` and `-`; as in CEL two of a kind cancel each other out.
    fn unary(&mut self) -> Expr {
        let start = self.at();
        let symbol = match self.peek() {
            Token::Symbol(symbol @ ("!" | "-")) => *symbol,
            Token::Name(name) if name.eq_ignore_ascii_case("not") => {
                if matches!(self.peek_at(1), Token::Symbol(_) | Token::End) {
                    return self.member();
                }
                let message = "`not` is not an operator";
                self.problem(Problem::new(start, message).suggest("write `!`"));
                self.skip();
                return self.member();
            }
            _ => return self.member(),
        };
        let mut count = 0;
        while self.eat(symbol) {
            count += 1;
        }
        if symbol == "-" && *self.peek() == Token::HugeInt {
            self.skip();
            let at = start.to(self.last());
            return self.make(Kind::Literal(Literal::Int(i64::MIN)), at);
        }
        let operand = match self.peek() {
            // The other sign: `!-x` and `-!x` are for the checker to refuse.
            Token::Symbol("!" | "-") => {
                self.level += 1;
                if self.level > DEPTH_MAX {
                    self.too_deep(start);
                }
                let operand = self.unary();
                self.level -= 1;
                operand
            }
            _ => self.member(),
        };
        if count % 2 == 0 {
            return operand;
        }
        let at = start.to(operand.at);
        let literal = match (&operand.kind, symbol) {
            (Kind::Literal(Literal::Int(int)), "-") => int.checked_neg().map(Literal::Int),
            (Kind::Literal(Literal::Double(double)), "-") => Some(Literal::Double(-double)),
            _ => None,
        };
        let kind = match (literal, symbol) {
            (Some(literal), _) => Kind::Literal(literal),
            (None, "-") => Kind::Negate(Box::new(operand)),
            _ => Kind::Not(Box::new(operand)),
        };
        self.make(kind, at)
    }

    fn member(&mut self) -> Expr {
        let mut expr = self.primary();
        loop {
            if self.eat(".") {
                let Some(name) = self.name() else {
                    self.wanted("the name of a field or function");
                    return expr;
                };
                expr = match self.eat("(") {
                    true => self.call(Some(expr), name),
                    false => {
                        let at = expr.at.to(name.at);
                        self.make(Kind::Field(Box::new(expr), name), at)
                    }
                };
            } else if self.eat("[") {
                expr = match self.begins_selector() {
                    true => self.selector(expr),
                    false => {
                        let by = self.expression();
                        self.expect("]");
                        let at = expr.at.to(self.last());
                        self.make(Kind::Index(Box::new(expr), Box::new(by)), at)
                    }
                };
            } else {
                return expr;
            }
        }
    }

    fn name(&mut self) -> Option<Name> {
        let Token::Name(text) = self.peek().clone() else {
            return None;
        };
        let at = self.at();
        self.skip();
        Some(Name { text, at })
    }

    fn call(&mut self, of: Option<Expr>, name: Name) -> Expr {
        let args = self.list(")");
        let start = of.as_ref().map_or(name.at, |of| of.at);
        let at = start.to(self.last());
        self.make(Kind::Call(of.map(Box::new), name, args), at)
    }

    /// Reads expressions between commas up to the closing `end`.
    fn list(&mut self, end: &str) -> Vec<Expr> {
        let mut all = Vec::new();
        while !self.sees(end) && *self.peek() != Token::End {
            all.push(self.expression());
            if !self.eat(",") {
                break;
            }
        }
        self.expect(end);
        all
    }

    fn primary(&mut self) -> Expr {
        let at = self.at();
        match self.peek().clone() {
            Token::Literal(literal) => {
                self.skip();
                self.make(Kind::Literal(literal), at)
            }
            Token::HugeInt => {
                self.skip();
                self.problem(Problem::new(at, "integers end at 9223372036854775807"));
                broken(at)
            }
            Token::Name(text) => {
                self.skip();
                match self.eat("(") {
                    true => self.call(None, Name { text, at }),
                    false => self.make(Kind::Name(text), at),
                }
            }
            Token::Symbol("(") => {
                self.skip();
                let inner = self.expression();
                self.expect(")");
                Expr {
                    at: at.to(self.last()),
                    ..inner
                }
            }
            Token::Symbol("[") => {
                self.skip();
                let all = self.list("]");
                let at = at.to(self.last());
                self.make(Kind::List(all), at)
            }
            Token::Symbol("{") => {
                self.skip();
                self.problem(Problem::new(at, "maps are not a part of the language"));
                self.skip_to_closing();
                broken(at)
            }
            other => {
                self.wanted("a value");
                // A closing word belongs to whoever waits for it.
                if !matches!(other, Token::End | Token::Symbol(")" | "]" | "," | ":")) {
                    self.skip();
                }
                broken(at)
            }
        }
    }

    /// Skips a map whose opening brace was read.
    fn skip_to_closing(&mut self) {
        let mut open = 1;
        while open > 0 && *self.peek() != Token::End {
            open += i32::from(self.sees("{")) - i32::from(self.sees("}"));
            self.skip();
        }
    }

    /// Returns whether conditions of a selector follow, not an index.
    fn begins_selector(&self) -> bool {
        let Token::Name(name) = self.peek() else {
            return self.sees("]");
        };
        let mut ahead = 1;
        while let (Token::Symbol("."), Token::Name(_)) =
            (self.peek_at(ahead), self.peek_at(ahead + 1))
        {
            ahead += 2;
        }
        match self.peek_at(ahead) {
            Token::Symbol("(") => name == "within" && ahead == 1,
            Token::Symbol("=" | "~" | "!~") => true,
            Token::Symbol(symbol) => Compare::of(symbol).is_some(),
            // No index has two words beside each other.
            Token::Name(_) | Token::Literal(_) | Token::HugeInt => true,
            Token::End => false,
        }
    }

    fn selector(&mut self, of: Expr) -> Expr {
        let (mut terms, mut is_empty) = (Vec::new(), true);
        while !self.sees("]") && *self.peek() != Token::End {
            is_empty = false;
            match self.term() {
                Some(term) => terms.push(term),
                None => self.skip_term(),
            }
            if !self.eat(",") {
                break;
            }
        }
        if is_empty {
            let problem = Problem::new(self.at(), "this selector has no condition");
            self.problem(problem.suggest("write one, as in spans[type=function]"));
        }
        self.expect("]");
        let at = of.at.to(self.last());
        self.make(Kind::Select(Box::new(of), terms), at)
    }

    fn skip_term(&mut self) {
        while !self.sees(",") && !self.sees("]") && *self.peek() != Token::End {
            self.skip();
        }
    }

    fn term(&mut self) -> Option<Term> {
        let Some(first) = self.name() else {
            self.wanted("the name of a field");
            return None;
        };
        if first.text == "within" && self.eat("(") {
            let of = self.expression();
            self.expect(")");
            return Some(Term::Within(of));
        }
        let mut path = vec![first];
        while self.eat(".") {
            let Some(name) = self.name() else {
                self.wanted("the name of a field");
                return None;
            };
            path.push(name);
        }
        let Token::Symbol(symbol) = *self.peek() else {
            self.wanted("`=`, `~` or another comparison");
            return None;
        };
        let compare = match symbol {
            "=" => Some(Compare::Equal),
            _ => Compare::of(symbol),
        };
        if compare.is_none() && symbol != "~" && symbol != "!~" {
            self.wanted("`=`, `~` or another comparison");
            return None;
        }
        self.skip();
        let value = self.term_value()?;
        Some(match compare {
            Some(compare) => Term::Compare(path, compare, value),
            None => Term::Glob(path, value, symbol == "!~"),
        })
    }

    /// Reads what a field is compared with: a literal, or a bare word that stands for itself.
    fn term_value(&mut self) -> Option<Expr> {
        let start = self.at();
        let is_negative = self.eat("-");
        let literal = match (self.peek().clone(), is_negative) {
            (Token::Literal(Literal::Int(int)), true) => Literal::Int(-int),
            (Token::Literal(Literal::Double(double)), true) => Literal::Double(-double),
            (Token::Literal(literal), false) => literal,
            (Token::Name(word), false) => Literal::Text(word),
            _ => {
                self.wanted("a word, a text or a number");
                return None;
            }
        };
        self.skip();
        let at = start.to(self.last());
        if !matches!(self.peek(), Token::Symbol("," | "]") | Token::End) {
            let at = self.at();
            let message = format!("`{}` stands where `,` or `]` should", at.of(self.source));
            self.problem(
                Problem::new(at, message).suggest("a text of several words stands in quotes"),
            );
            self.skip_term();
        }
        Some(self.make(Kind::Literal(literal), at))
    }
}
