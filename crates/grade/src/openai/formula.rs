//! `0.5 * name + max(email, phone) ^ 2`: what a `multi` makes of its parts' scores.
//!
//! A formula is read once into a program for a stack, so that evaluating one cannot recurse. Precedence
//! is that of school: `^` binds strongest and to the right, `-2 ^ 2` is -4.

use std::str::FromStr as _;

/// A formula that was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Formula {
    program: Vec<Op>,
}

/// One step: takes its operands from the stack and leaves its value.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Op {
    Number(f64),
    /// The score of the part with this index.
    Score(usize),
    Negate,
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
    /// A function of so many arguments.
    Call(Function, usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Min,
    Max,
    Abs,
    Floor,
    Ceil,
    Exp,
    Sqrt,
    Log,
}

/// Why a formula cannot be read or has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormulaError {
    /// Something stands where something else should.
    #[error("{expected} is missing at character {at}, where {found} stands")]
    Unexpected {
        expected: &'static str,
        at: usize,
        found: String,
    },
    /// A name that is no part's.
    #[error("`{name}` is no key of `graders`: {known}")]
    Unknown { name: String, known: String },
    /// A function that does not exist.
    #[error(
        "`{0}` is no function: there are `min`, `max`, `abs`, `floor`, `ceil`, `exp`, `sqrt`, `log`"
    )]
    NoFunction(String),
    /// `abs(1, 2)`.
    #[error("`{function}` takes one argument and was given {given}")]
    Arguments { function: String, given: usize },
    /// Too much of it.
    #[error("is longer than {FORMULA_BYTES_MAX} bytes or nested deeper than {DEPTH_MAX}")]
    TooLarge,
    /// Division by zero, the logarithm of a negative number and the like.
    #[error("the formula has no finite value for these scores")]
    NoValue,
}

/// The longest formula.
const FORMULA_BYTES_MAX: usize = 10_000;
/// How deep parentheses, signs and powers may nest.
const DEPTH_MAX: usize = 100;

impl Formula {
    /// Reads a formula over these keys.
    pub(crate) fn parse(text: &str, keys: &[&str]) -> Result<Self, FormulaError> {
        if text.len() > FORMULA_BYTES_MAX {
            return Err(FormulaError::TooLarge);
        }
        let mut parser = Parser {
            text,
            at: 0,
            depth: 0,
            keys,
            program: Vec::new(),
        };
        parser.sum()?;
        match parser.peek() {
            None => Ok(Self {
                program: parser.program,
            }),
            Some(_) => Err(parser.unexpected("an operator or the end")),
        }
    }

    /// Returns whether the score with this index counts in it.
    pub(crate) fn uses(&self, index: usize) -> bool {
        self.program.contains(&Op::Score(index))
    }

    /// Returns the value for these scores, which stand in the order of the keys.
    pub(crate) fn value(&self, scores: &[f64]) -> Result<f64, FormulaError> {
        let mut stack: Vec<f64> = Vec::new();
        for op in &self.program {
            let value = match *op {
                Op::Number(number) => Some(number),
                Op::Score(index) => scores.get(index).copied(),
                Op::Negate => stack.pop().map(|value| -value),
                Op::Call(function, given) => {
                    let arguments = stack.split_off(stack.len().saturating_sub(given));
                    function.value(&arguments)
                }
                Op::Add => binary(&mut stack, |a, b| a + b),
                Op::Subtract => binary(&mut stack, |a, b| a - b),
                Op::Multiply => binary(&mut stack, |a, b| a * b),
                Op::Divide => binary(&mut stack, |a, b| a / b),
                Op::Power => binary(&mut stack, f64::powf),
            };
            // every step must be finite, or `1 / (1 / 0)` would be 0
            let finite = value.filter(|value| value.is_finite());
            stack.push(finite.ok_or(FormulaError::NoValue)?);
        }
        stack.pop().ok_or(FormulaError::NoValue)
    }
}

/// Takes two operands and returns what `of` makes of them.
fn binary(stack: &mut Vec<f64>, of: fn(f64, f64) -> f64) -> Option<f64> {
    let b = stack.pop()?;
    let a = stack.pop()?;
    Some(of(a, b))
}

impl Function {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "min" => Self::Min,
            "max" => Self::Max,
            "abs" => Self::Abs,
            "floor" => Self::Floor,
            "ceil" => Self::Ceil,
            "exp" => Self::Exp,
            "sqrt" => Self::Sqrt,
            "log" => Self::Log,
            _ => return None,
        })
    }

    /// Returns whether it takes any number of arguments.
    fn variadic(self) -> bool {
        matches!(self, Self::Min | Self::Max)
    }

    fn value(self, arguments: &[f64]) -> Option<f64> {
        let first = *arguments.first()?;
        Some(match self {
            Self::Min => arguments.iter().copied().fold(first, f64::min),
            Self::Max => arguments.iter().copied().fold(first, f64::max),
            Self::Abs => first.abs(),
            Self::Floor => first.floor(),
            Self::Ceil => first.ceil(),
            Self::Exp => first.exp(),
            Self::Sqrt => first.sqrt(),
            Self::Log => first.ln(),
        })
    }
}

/// Reads by recursive descent and writes the program as it goes: operands first.
struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    keys: &'a [&'a str],
    program: Vec<Op>,
}

impl Parser<'_> {
    /// `product (("+" | "-") product)*`
    fn sum(&mut self) -> Result<(), FormulaError> {
        self.product()?;
        while let Some(sign @ ('+' | '-')) = self.peek() {
            self.skip(sign);
            self.product()?;
            self.program
                .push(if sign == '+' { Op::Add } else { Op::Subtract });
        }
        Ok(())
    }

    /// `signed (("*" | "/") signed)*`
    fn product(&mut self) -> Result<(), FormulaError> {
        self.signed()?;
        while let Some(sign @ ('*' | '/')) = self.peek() {
            self.skip(sign);
            self.signed()?;
            self.program.push(if sign == '*' {
                Op::Multiply
            } else {
                Op::Divide
            });
        }
        Ok(())
    }

    /// `("+" | "-") signed | power`
    fn signed(&mut self) -> Result<(), FormulaError> {
        let Some(sign @ ('+' | '-')) = self.peek() else {
            return self.power();
        };
        self.skip(sign);
        self.deeper(Self::signed)?;
        if sign == '-' {
            self.program.push(Op::Negate);
        }
        Ok(())
    }

    /// `atom ("^" signed)?`
    fn power(&mut self) -> Result<(), FormulaError> {
        self.atom()?;
        if self.peek() == Some('^') {
            self.skip('^');
            self.deeper(Self::signed)?;
            self.program.push(Op::Power);
        }
        Ok(())
    }

    /// A number, a name, a call, or a sum in parentheses.
    fn atom(&mut self) -> Result<(), FormulaError> {
        match self.peek() {
            Some('(') => {
                self.skip('(');
                self.deeper(Self::sum)?;
                self.expect(')', "`)`")
            }
            Some(digit) if digit.is_ascii_digit() || digit == '.' => self.number(),
            Some(letter) if letter.is_alphabetic() || letter == '_' => self.name(),
            _ => Err(self.unexpected("a number, a name or `(`")),
        }
    }

    fn number(&mut self) -> Result<(), FormulaError> {
        let rest = self.rest();
        let digits =
            |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let mut end = digits(rest);
        if rest[end..].starts_with('.') {
            end += 1 + digits(&rest[end + 1..]);
        }
        if rest[end..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
            let exponent = digits(&rest[end + 1 + sign..]);
            if exponent > 0 {
                end += 1 + sign + exponent;
            }
        }
        let Ok(number) = f64::from_str(&rest[..end]) else {
            return Err(self.unexpected("a number"));
        };
        self.at += end;
        self.program.push(Op::Number(number));
        Ok(())
    }

    fn name(&mut self) -> Result<(), FormulaError> {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        let name = rest[..end.unwrap_or(rest.len())].to_owned();
        self.at += name.len();
        if self.peek() == Some('(') {
            return self.call(&name);
        }
        match self.keys.iter().position(|key| *key == name) {
            Some(index) => self.program.push(Op::Score(index)),
            None => {
                let known = self.keys.join(", ");
                return Err(FormulaError::Unknown { name, known });
            }
        }
        Ok(())
    }

    fn call(&mut self, name: &str) -> Result<(), FormulaError> {
        let function =
            Function::of(name).ok_or_else(|| FormulaError::NoFunction(name.to_owned()))?;
        self.skip('(');
        self.deeper(Self::sum)?;
        let mut given = 1;
        while self.peek() == Some(',') {
            self.skip(',');
            self.deeper(Self::sum)?;
            given += 1;
        }
        self.expect(')', "`,` or `)`")?;
        if given > 1 && !function.variadic() {
            let function = name.to_owned();
            return Err(FormulaError::Arguments { function, given });
        }
        self.program.push(Op::Call(function, given));
        Ok(())
    }

    /// Reads one level deeper, if that is allowed.
    fn deeper(
        &mut self,
        read: fn(&mut Self) -> Result<(), FormulaError>,
    ) -> Result<(), FormulaError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(FormulaError::TooLarge);
        }
        read(self)?;
        self.depth -= 1;
        Ok(())
    }

    /// Returns the next character that is no space, having moved there.
    fn peek(&mut self) -> Option<char> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        self.rest().chars().next()
    }

    /// Moves behind the character that `peek` returned.
    fn skip(&mut self, peeked: char) {
        self.at += peeked.len_utf8();
    }

    fn expect(&mut self, wanted: char, expected: &'static str) -> Result<(), FormulaError> {
        if self.peek() != Some(wanted) {
            return Err(self.unexpected(expected));
        }
        self.skip(wanted);
        Ok(())
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn unexpected(&self, expected: &'static str) -> FormulaError {
        let found = match self.rest().chars().next() {
            Some(character) => format!("`{character}`"),
            None => "the end".to_owned(),
        };
        FormulaError::Unexpected {
            expected,
            at: self.text[..self.at].chars().count() + 1,
            found,
        }
    }
}

#[cfg(test)]
mod tests;
