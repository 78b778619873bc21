//! Which words is a rule made of? Those of CEL, and `~` and `=` of selectors.

use super::problem::{At, Problem};
use super::syntax::Literal;

/// One word of a rule.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Literal(Literal),
    /// 2⁶³, which is an integer behind a minus only.
    HugeInt,
    Name(String),
    Symbol(&'static str),
    End,
}

/// Longer ones first: `<=` is not `<` and `=`.
const SYMBOLS: &[&str] = &[
    "&&", "||", "==", "!=", "<=", ">=", "!~", "(", ")", "[", "]", "{", "}", ".", ",", "?", ":",
    "+", "-", "*", "/", "%", "!", "<", ">", "=", "~",
];

/// Returns the words, the last of which is the end. What is no word becomes a problem and is left out.
pub(super) fn tokens(source: &str, problems: &mut Vec<Problem>) -> Vec<(Token, At)> {
    let mut lexer = Lexer {
        source,
        at: 0,
        problems,
    };
    let mut tokens = Vec::new();
    while let Some((token, at)) = lexer.next() {
        tokens.push((token, at));
    }
    tokens.push((Token::End, At::new(source.len(), source.len())));
    tokens
}

struct Lexer<'s, 'p> {
    source: &'s str,
    at: usize,
    problems: &'p mut Vec<Problem>,
}

impl<'s> Lexer<'s, '_> {
    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn problem(&mut self, start: usize, message: impl Into<String>) -> &mut Problem {
        let problem = Problem::new(At::new(start, self.at), message);
        self.problems.push(problem);
        self.problems.last_mut().expect("one was pushed")
    }

    fn next(&mut self) -> Option<(Token, At)> {
        loop {
            self.skip_blanks();
            let start = self.at;
            let first = self.rest().chars().next()?;
            let token = self.token(first);
            if let Some(token) = token {
                return Some((token, At::new(start, self.at)));
            }
        }
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn token(&mut self, first: char) -> Option<Token> {
        let second = self.rest().chars().nth(1);
        let begins_fraction = first == '.' && second.is_some_and(|c| c.is_ascii_digit());
        if first.is_ascii_digit() || begins_fraction {
            return self.number();
        }
        if first == '"' || first == '\'' {
            return self.text(false);
        }
        // Letters that no name has are a part of it: a misspelt name is one mistake.
        if first.is_alphabetic() || first == '_' {
            return self.name();
        }
        if let Some(symbol) = SYMBOLS.iter().find(|s| self.rest().starts_with(**s)) {
            self.at += symbol.len();
            return Some(Token::Symbol(symbol));
        }
        self.stray(first)
    }

    /// Tells of what is no word, and takes it for what was meant where that is clear.
    fn stray(&mut self, first: char) -> Option<Token> {
        let start = self.at;
        self.at += first.len_utf8();
        let (suggestion, meant) = match first {
            '&' => ("write `&&`", Some(Token::Symbol("&&"))),
            '|' => ("write `||`", Some(Token::Symbol("||"))),
            '“' | '”' | '„' | '‘' | '’' => {
                let closing = self.rest().find(['“', '”', '‘', '’']);
                let meant = closing.map(|end| {
                    let text = self.rest()[..end].to_owned();
                    self.at += end + '”'.len_utf8();
                    Token::Literal(Literal::Text(text))
                });
                ("write plain quotes: \"…\"", meant)
            }
            ';' => ("a rule is one expression: join conditions with `&&`", None),
            _ => ("texts stand in quotes: \"…\"", None),
        };
        let message = format!("`{first}` has no meaning here");
        self.problem(start, message).suggestion = Some(suggestion.to_owned());
        meant
    }

    fn name(&mut self) -> Option<Token> {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        let word = &rest[..end.unwrap_or(rest.len())];
        let before_quote = rest[word.len()..].starts_with(['"', '\'']);
        match word {
            "r" | "R" if before_quote => {
                self.at += 1;
                return self.text(true);
            }
            "b" | "B" | "br" | "rb" | "bR" | "Rb" if before_quote => {
                let start = self.at;
                self.at += word.len();
                self.problem(start, "bytes are not a part of the language")
                    .suggestion = Some("write the text without `b`".to_owned());
                return None;
            }
            _ => self.at += word.len(),
        }
        Some(match word {
            "true" => Token::Literal(Literal::Bool(true)),
            "false" => Token::Literal(Literal::Bool(false)),
            "null" => Token::Literal(Literal::Null),
            "in" => Token::Symbol("in"),
            _ => Token::Name(word.to_owned()),
        })
    }

    fn number(&mut self) -> Option<Token> {
        let start = self.at;
        let rest = self.rest();
        let digits = |from: usize| {
            let tail = &rest[from..];
            from + tail
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(tail.len())
        };
        let bytes = rest.as_bytes();
        let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
        let is_hex = rest.starts_with("0x") || rest.starts_with("0X");
        let (mut end, mut is_double) = (digits(0), false);
        if is_hex {
            let tail = &rest[2..];
            end = 2 + tail
                .find(|c: char| !c.is_ascii_hexdigit())
                .unwrap_or(tail.len());
        } else {
            if bytes.get(end) == Some(&b'.') && is_digit(end + 1) {
                (end, is_double) = (digits(end + 1), true);
            }
            if matches!(bytes.get(end), Some(b'e' | b'E')) {
                let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
                if is_digit(end + 1 + sign) {
                    (end, is_double) = (digits(end + 1 + sign), true);
                }
            }
        }
        let text = &rest[..end];
        self.at += end;
        let unit = self.rest();
        let unit = &unit[..unit
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(unit.len())];
        if !unit.is_empty() {
            self.at += unit.len();
            let message = format!("a number ends before `{unit}`");
            let suggestion = match unit {
                "u" | "U" => "integers are written without `u`",
                _ => "numbers have no units: durations are in milliseconds, costs in US dollars",
            };
            self.problem(start, message).suggestion = Some(suggestion.to_owned());
        }
        self.number_of(start, text, is_hex, is_double)
    }

    fn number_of(
        &mut self,
        start: usize,
        text: &str,
        is_hex: bool,
        is_double: bool,
    ) -> Option<Token> {
        if is_double {
            let double: f64 = text.parse().unwrap_or(f64::INFINITY);
            if double.is_infinite() {
                self.problem(start, "this number is too large");
            }
            return Some(Token::Literal(Literal::Double(double)));
        }
        let magnitude = match is_hex {
            true => u64::from_str_radix(&text[2..], 16),
            false => text.parse::<u64>(),
        };
        match magnitude.map(|magnitude| (magnitude, i64::try_from(magnitude))) {
            Ok((_, Ok(int))) => Some(Token::Literal(Literal::Int(int))),
            Ok((magnitude, _)) if magnitude == i64::MIN.unsigned_abs() => Some(Token::HugeInt),
            _ => {
                let message = match text {
                    "0x" | "0X" => "a hexadecimal number has digits",
                    _ => "integers end at 9223372036854775807",
                };
                self.problem(start, message);
                Some(Token::Literal(Literal::Int(0)))
            }
        }
    }

    /// Reads a text from its opening quote on.
    fn text(&mut self, is_raw: bool) -> Option<Token> {
        let start = self.at;
        let rest = self.rest();
        let single = &rest[..1];
        let triple = ["\"\"\"", "'''"]
            .into_iter()
            .find(|triple| rest.starts_with(triple));
        let quote = triple.unwrap_or(single);
        self.at += quote.len();
        let mut text = String::new();
        loop {
            let rest = self.rest();
            if rest.starts_with(quote) {
                self.at += quote.len();
                return Some(Token::Literal(Literal::Text(text)));
            }
            match rest.chars().next() {
                None => break,
                Some('\n' | '\r') if triple.is_none() => break,
                Some('\\') if !is_raw => self.escape(&mut text),
                Some(c) => {
                    self.at += c.len_utf8();
                    text.push(c);
                }
            }
        }
        let message = format!("this text has no closing {quote}");
        self.problem(start, message);
        Some(Token::Literal(Literal::Text(text)))
    }

    /// Reads one escape.
    fn escape(&mut self, text: &mut String) {
        let start = self.at;
        let escaped = self.rest()[1..].chars().next();
        self.at += 1 + escaped.map_or(0, char::len_utf8);
        let plain = match escaped {
            Some('a') => Some('\u{7}'),
            Some('b') => Some('\u{8}'),
            Some('f') => Some('\u{c}'),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('v') => Some('\u{b}'),
            Some(c @ ('\\' | '?' | '"' | '\'' | '`')) => Some(c),
            Some('x' | 'X') => self.code(2, 16),
            Some('u') => self.code(4, 16),
            Some('U') => self.code(8, 16),
            Some('0'..='3') => {
                self.at -= 1;
                self.code(3, 8)
            }
            _ => None,
        };
        match plain {
            Some(plain) => text.push(plain),
            None => {
                let problem = self.problem(start, "no such escape");
                problem.suggestion =
                    Some("write `\\\\` for a backslash, or a raw text: r\"…\"".to_owned());
            }
        }
    }

    /// Reads the digits of an escape.
    fn code(&mut self, digits: usize, radix: u32) -> Option<char> {
        let code = self.rest().get(..digits)?;
        let is_number = code.chars().all(|c| c.is_digit(radix));
        let read = is_number
            .then(|| u32::from_str_radix(code, radix).ok())
            .flatten();
        let read = read.and_then(char::from_u32)?;
        self.at += digits;
        Some(read)
    }
}
