//! Do these calls come in this order? A regular expression whose letters are names.
//!
//! `seq("search+ .* book")`: names stand apart, `.` is any name, and `* + ? | ( ) {2} {1,3}` mean what
//! they mean in a regular expression. It is Glushkov's automaton in one machine word a state set, so
//! a match takes one step a call and never more, and the call at which it failed is known.

/// Positions that a pattern can have: one bit each.
const POSITIONS_MAX: usize = 128;

/// Steps that reading a pattern may take: repetitions of repetitions multiply.
const STEPS_MAX: u32 = 10_000;

/// Which names stand at a position of a pattern.
#[derive(Debug, Clone, PartialEq)]
enum Letter {
    Any,
    Named(Box<str>),
}

/// A pattern over names.
#[derive(Debug, Clone)]
pub(super) struct Sequence {
    letters: Vec<Letter>,
    /// Which positions may follow each.
    follow: Vec<u128>,
    first: u128,
    last: u128,
    allows_none: bool,
}

/// What came of a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matched {
    Whole,
    /// The last name cannot stand there.
    Failed,
    /// More should have come.
    TooShort,
}

/// What may begin, end and be left out of a part of a pattern.
#[derive(Debug, Clone, Copy)]
struct Part {
    first: u128,
    last: u128,
    allows_none: bool,
}

const NOTHING: Part = Part {
    first: 0,
    last: 0,
    allows_none: true,
};

impl Sequence {
    /// Returns the pattern, or what is wrong with it.
    pub(super) fn parse(pattern: &str) -> Result<Self, String> {
        let mut reader = Reader {
            words: words(pattern)?,
            next: 0,
            level: 0,
            steps: 0,
            letters: Vec::new(),
            follow: Vec::new(),
        };
        let whole = reader.alternatives()?;
        if let Some(word) = reader.peek() {
            return Err(format!("`{}` has no meaning here", word.shown()));
        }
        Ok(Self {
            letters: reader.letters,
            follow: reader.follow,
            first: whole.first,
            last: whole.last,
            allows_none: whole.allows_none,
        })
    }

    /// Begins a match.
    pub(super) fn run(&self) -> Run<'_> {
        Run {
            sequence: self,
            next: self.first,
            is_complete: self.allows_none,
            has_failed: false,
        }
    }
}

/// A match under way: which positions may come next.
#[derive(Debug)]
pub(super) struct Run<'s> {
    sequence: &'s Sequence,
    next: u128,
    is_complete: bool,
    has_failed: bool,
}

impl Run<'_> {
    /// Takes the next name and returns whether it may stand there.
    pub(super) fn take(&mut self, name: &str) -> bool {
        let (mut reached, mut following, mut open) = (0u128, 0u128, self.next);
        while open != 0 {
            let position = open.trailing_zeros() as usize;
            open &= open - 1;
            let fits = match &self.sequence.letters[position] {
                Letter::Any => true,
                Letter::Named(wanted) => **wanted == *name,
            };
            if fits {
                reached |= 1 << position;
                following |= self.sequence.follow[position];
            }
        }
        self.has_failed |= reached == 0;
        self.is_complete = reached & self.sequence.last != 0;
        self.next = following;
        !self.has_failed
    }

    /// Returns what came of it, there being no more names.
    pub(super) fn end(&self) -> Matched {
        match (self.has_failed, self.is_complete) {
            (true, _) => Matched::Failed,
            (false, true) => Matched::Whole,
            (false, false) => Matched::TooShort,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Word {
    Name(String),
    Symbol(char),
    /// `{2}`, `{1,3}`, `{2,}`
    Times(usize, Option<usize>),
}

impl Word {
    fn shown(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Symbol(symbol) => symbol.to_string(),
            Self::Times(..) => "{".to_owned(),
        }
    }
}

fn words(pattern: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = pattern.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '(' | ')' | '|' | '*' | '+' | '?' | '.' => {
                words.push(Word::Symbol(first));
                1
            }
            '{' => {
                let end = rest.find('}').ok_or("`{` has no closing `}`")?;
                words.push(times(&rest[1..end])?);
                end + 1
            }
            '\'' | '"' => {
                let end = rest[1..].find(first);
                let end = end.ok_or_else(|| format!("{first} has no closing {first}"))?;
                words.push(Word::Name(rest[1..=end].to_owned()));
                end + 2
            }
            _ => {
                let is_end = |c: char| c.is_whitespace() || "()|*+?.{}'\"".contains(c);
                let end = rest.find(is_end).unwrap_or(rest.len());
                if end == 0 {
                    return Err(format!("`{first}` has no meaning here"));
                }
                words.push(Word::Name(rest[..end].to_owned()));
                end
            }
        };
        rest = rest[length..].trim_start();
    }
    Ok(words)
}

fn times(text: &str) -> Result<Word, String> {
    let bad = || format!("`{{{text}}}` is not a count such as {{2}}, {{1,3}} or {{2,}}");
    let number = |text: &str| text.trim().parse::<usize>().map_err(|_| bad());
    let (least, most) = match text.split_once(',') {
        None => (number(text)?, Some(number(text)?)),
        Some((least, "")) => (number(least)?, None),
        Some((least, most)) => (number(least)?, Some(number(most)?)),
    };
    let is_sound = most.is_none_or(|most| most >= least && most > 0);
    is_sound.then_some(Word::Times(least, most)).ok_or_else(bad)
}

struct Reader {
    words: Vec<Word>,
    next: usize,
    level: u32,
    steps: u32,
    letters: Vec<Letter>,
    follow: Vec<u128>,
}

impl Reader {
    fn peek(&self) -> Option<&Word> {
        self.words.get(self.next)
    }

    fn sees(&self, symbol: char) -> bool {
        self.peek() == Some(&Word::Symbol(symbol))
    }

    fn alternatives(&mut self) -> Result<Part, String> {
        self.level += 1;
        if self.level > super::DEPTH_MAX {
            return Err("parentheses are nested too deep".to_owned());
        }
        let mut all = self.row()?;
        while self.sees('|') {
            self.next += 1;
            let other = self.row()?;
            all.first |= other.first;
            all.last |= other.last;
            all.allows_none |= other.allows_none;
        }
        self.level -= 1;
        Ok(all)
    }

    fn row(&mut self) -> Result<Part, String> {
        let mut row = NOTHING;
        while self.peek().is_some() && !self.sees('|') && !self.sees(')') {
            let next = self.repeated()?;
            row = self.joined(row, next);
        }
        Ok(row)
    }

    /// Lets `right` follow `left`.
    fn joined(&mut self, left: Part, right: Part) -> Part {
        self.link(left.last, right.first);
        Part {
            first: left.first | if left.allows_none { right.first } else { 0 },
            last: right.last | if right.allows_none { left.last } else { 0 },
            allows_none: left.allows_none && right.allows_none,
        }
    }

    fn link(&mut self, from: u128, to: u128) {
        for (position, follow) in self.follow.iter_mut().enumerate() {
            if from & (1 << position) != 0 {
                *follow |= to;
            }
        }
    }

    fn repeated(&mut self) -> Result<Part, String> {
        let begin = self.next;
        let mut part = self.single()?;
        let end = self.next;
        let mut is_repeated = false;
        while let Some(word) = self.peek().cloned() {
            let (least, most) = match word {
                Word::Symbol('*') => (0, None),
                Word::Symbol('+') => (1, None),
                Word::Symbol('?') => (0, Some(1)),
                Word::Times(least, most) => (least, most),
                _ => break,
            };
            self.next += 1;
            if is_repeated {
                return Err("a part is repeated twice: put it into parentheses".to_owned());
            }
            is_repeated = true;
            let after = self.next;
            part = self.times(part, (begin, end), least, most)?;
            self.next = after;
        }
        Ok(part)
    }

    /// Repeats a part; its words stand in `words`, and each copy has positions of its own.
    fn times(
        &mut self,
        part: Part,
        words: (usize, usize),
        least: usize,
        most: Option<usize>,
    ) -> Result<Part, String> {
        let copies = most.unwrap_or(least).max(1);
        let mut all: Option<Part> = None;
        let mut copy = part;
        for number in 1..=copies {
            if number > 1 {
                self.next = words.0;
                copy = self.single()?;
                debug_assert_eq!(self.next, words.1);
            }
            let is_last = number == copies;
            if is_last && most.is_none() {
                self.link(copy.last, copy.first);
            }
            copy.allows_none |= number > least;
            all = Some(match all {
                None => copy,
                Some(all) => self.joined(all, copy),
            });
        }
        Ok(all.unwrap_or(NOTHING))
    }

    fn single(&mut self) -> Result<Part, String> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err("the pattern repeats too much".to_owned());
        }
        let word = self.peek().cloned();
        self.next += 1;
        match word {
            Some(Word::Name(name)) => self.letter(Letter::Named(name.into())),
            Some(Word::Symbol('.')) => self.letter(Letter::Any),
            Some(Word::Symbol('(')) => {
                let inner = self.alternatives()?;
                if !self.sees(')') {
                    return Err("`(` has no closing `)`".to_owned());
                }
                self.next += 1;
                Ok(inner)
            }
            Some(word) => Err(format!("`{}` stands behind nothing", word.shown())),
            None => Err("the pattern ends too early".to_owned()),
        }
    }

    fn letter(&mut self, letter: Letter) -> Result<Part, String> {
        if self.letters.len() == POSITIONS_MAX {
            return Err(format!("a pattern has at most {POSITIONS_MAX} names"));
        }
        let bit = 1 << self.letters.len();
        self.letters.push(letter);
        self.follow.push(0);
        Ok(Part {
            first: bit,
            last: bit,
            allows_none: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns what came of a match and how many names it took.
    fn matched(pattern: &str, names: &str) -> (Matched, usize) {
        let sequence = Sequence::parse(pattern).unwrap();
        let (mut run, mut count) = (sequence.run(), 0);
        for name in names.split_whitespace() {
            count += 1;
            if !run.take(name) {
                break;
            }
        }
        (run.end(), count)
    }

    #[test]
    fn patterns_mean_what_they_mean_over_letters() {
        use Matched::{Failed, TooShort, Whole};
        for (pattern, names, wanted, taken) in [
            ("search+ .* book", "search search pay book", Whole, 4),
            ("search+ .* book", "pay book", Failed, 1),
            ("search+ .* book", "search book pay", TooShort, 3),
            ("search (details)* book", "search book", Whole, 2),
            (
                "search (details)* book",
                "search details pay book",
                Failed,
                3,
            ),
            ("a|b c", "a", Whole, 1),
            ("(a|b) c", "b c", Whole, 2),
            ("a{2,3}", "a", TooShort, 1),
            ("a{2,3}", "a a a", Whole, 3),
            ("a{2,3}", "a a a a", Failed, 4),
            ("(a b){2,}", "a b a b a b", Whole, 6),
            ("a{0,1} b", "b", Whole, 1),
            ("", "", Whole, 0),
            ("", "a", Failed, 1),
            ("'get user'? get.user*", "get x user user", Whole, 4),
        ] {
            let found = matched(pattern, names);
            assert_eq!(found, (wanted, taken), "{pattern} over {names}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        for bad in [
            "(a", "a)", "*", "a**", "a{", "a{3,2}", "a{x}", "'a", "a{999}", "}",
        ] {
            assert!(Sequence::parse(bad).is_err(), "{bad}");
        }
        assert!(Sequence::parse(&"(".repeat(4_000)).is_err());
        let nothing_often = format!("{}(){}", "(".repeat(9), "{99})".repeat(9));
        assert!(Sequence::parse(&nothing_often).is_err());
    }

    proptest! {
        /// Over names of one letter it is a regular expression, and the crate knows those.
        #[test]
        fn it_agrees_with_a_regular_expression(
            pattern in r"([ab.]|\([ab](\||)[ab.]\*?\)|\(a b\))([*+?]|\{[01],2\}|\{2\}|)(\|[abc]|) ?([bc](\+|\?|)|)",
            names in "[abc]{0,6}",
        ) {
            let regex = format!("^(?:{})$", pattern.replace(' ', ""));
            let wanted = regex::Regex::new(&regex).unwrap().is_match(&names);
            let names: Vec<String> = names.chars().map(String::from).collect();
            // Letters that stand together are one name here.
            let apart: String = pattern.chars().map(|c| format!("{c} ")).collect();
            let apart = apart.replace("{ ", "{").replace(" }", "}").replace(" , ", ",");
            let (found, _) = matched(&apart, &names.join(" "));
            prop_assert_eq!(found == Matched::Whole, wanted);
        }
    }
}
