//! What is wrong with a rule, said so that it can be put right: where, what, and what would do.

use std::fmt;

/// A place in the source of a rule, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct At {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl At {
    pub(super) fn new(start: usize, end: usize) -> Self {
        let held = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self {
            start: held(start),
            end: held(end),
        }
    }

    /// Returns the place from here to the end of `last`.
    pub(super) fn to(self, last: Self) -> Self {
        Self {
            start: self.start,
            end: last.end,
        }
    }

    /// Returns what stands here.
    pub(super) fn of(self, source: &str) -> &str {
        source
            .get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }
}

/// One thing that is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it begins, in bytes.
    pub start: usize,
    /// Where it ends, in bytes.
    pub end: usize,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub suggestion: Option<String>,
}

impl Problem {
    pub(super) fn new(at: At, message: impl Into<String>) -> Self {
        Self {
            start: at.start as usize,
            end: at.end as usize,
            message: message.into(),
            suggestion: None,
        }
    }

    pub(super) fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }
}

/// Everything that is wrong with a rule, in the order of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    source: String,
    all: Vec<Problem>,
}

impl Problems {
    pub(super) fn new(source: &str, mut all: Vec<Problem>) -> Self {
        all.sort_by_key(|problem| (problem.start, problem.end));
        all.dedup();
        Self {
            source: source.to_owned(),
            all,
        }
    }

    /// Returns the problems.
    pub fn all(&self) -> &[Problem] {
        &self.all
    }

    /// Returns the line and the column, in characters and from 1, at which a problem begins.
    pub fn position(&self, problem: &Problem) -> (usize, usize) {
        let (line, _, column) = self.line_of(problem.start);
        (line + 1, column + 1)
    }

    /// Returns the number of the line, the line, and how many characters stand before `at` in it.
    fn line_of(&self, at: usize) -> (usize, &str, usize) {
        let mut at = at.min(self.source.len());
        while !self.source.is_char_boundary(at) {
            at -= 1;
        }
        let before = &self.source[..at];
        let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.source[begin..].lines().next().unwrap_or_default();
        let column = before[begin..].chars().count();
        (before.matches('\n').count(), line, column)
    }
}

impl fmt::Display for Problems {
    /// Writes each problem with its line and carets under what it is about.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.all.iter().enumerate() {
            if number > 0 {
                f.write_str("\n\n")?;
            }
            let (line_number, line, column) = self.line_of(problem.start);
            write!(f, "{}:{}: {}", line_number + 1, column + 1, problem.message)?;
            // Nothing can be shown of nothing.
            if !line.trim().is_empty() {
                let about = At::new(problem.start, problem.end).of(&self.source);
                let about = about.lines().next().unwrap_or_default();
                let (shown, carets) = pointed_at(line, column, about.chars().count());
                write!(f, "\n  {shown}\n  {carets}")?;
            }
            if let Some(suggestion) = &problem.suggestion {
                write!(f, "\n  {suggestion}")?;
            }
        }
        Ok(())
    }
}

/// So much of a line is shown, in characters.
const SHOWN_CHARS_MAX: usize = 160;

/// So much of it may stand before what is pointed at.
const BEFORE_CHARS_MAX: usize = 80;

/// Returns the part of a line around `column`, and the carets below it.
fn pointed_at(line: &str, column: usize, length: usize) -> (String, String) {
    let all = line.chars().count();
    let from = match all > SHOWN_CHARS_MAX {
        true => column
            .saturating_sub(BEFORE_CHARS_MAX)
            .min(all - SHOWN_CHARS_MAX),
        false => 0,
    };
    let is_cut = from + SHOWN_CHARS_MAX < all;
    // A control character in a rule must not move what is printed.
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let part = line.chars().skip(from).take(SHOWN_CHARS_MAX).map(plain);
    let (before, behind) = (
        if from > 0 { "…" } else { "" },
        if is_cut { "…" } else { "" },
    );
    let shown = format!("{before}{}{behind}", part.collect::<String>());
    let indent = column - from + before.chars().count();
    let carets = length.clamp(1, SHOWN_CHARS_MAX.saturating_sub(column - from).max(1));
    (shown, " ".repeat(indent) + &"^".repeat(carets))
}

impl std::error::Error for Problems {}

/// Returns the word of `known` that `word` was most likely meant to be, if one is near enough.
pub fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let lower = word.to_lowercase();
    let far = |known: &str| match known.strip_prefix(&lower) {
        // A name without its unit, such as `duration`.
        Some(_) if lower.len() > 2 => 1,
        _ => strsim::damerau_levenshtein(&lower, &known.to_lowercase()),
    };
    let nearest = known.map(|known| (far(known), known)).min()?;
    // Somewhat arbitrary: a third of the letters may be wrong.
    (nearest.0 <= (word.chars().count() / 3).max(1)).then_some(nearest.1)
}
