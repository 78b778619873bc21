//! What is taken out of a text, and what stands there instead.
//!
//! Recognisers know what keys, cards, addresses and the like look like; rules of the people who run
//! the server say the rest. In the place of what was found stands `[redacted:email]`, or, where a
//! secret for it was set, `[email:…]` with a keyed hash, so that equal values can still be told to be
//! equal. What already is such a mark is left alone: to process a text twice changes nothing.

pub(super) mod paths;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use model::{MessageHash, Recognisers, Secret};
use regex::Regex;

pub use model::Recogniser;

use paths::Paths;

use super::rules::{Action, NAME_BYTES_MAX, RuleError, RuleErrorKind, RuleSettings};

/// Rules beyond the recognisers; their names are counted, so there must be an end to them.
const RULES_MAX: usize = 100;

/// A rule's expression may take so much memory once it is compiled.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// The marks that stand for what was taken out.
static MARKS: LazyLock<Regex> = LazyLock::new(|| {
    let marks = r"\[(?:redacted:[a-z0-9_-]+(?: [0-9]+ bytes)?|[a-z0-9_-]+:[a-p]{16})\]";
    Regex::new(marks).expect("is a regular expression")
});

/// What is counted besides what recognisers and rules find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Attributes that the lists do not let through.
    Attribute,
    /// Content that the project does not keep.
    Content,
    /// Audio that the project does not keep.
    Audio,
    /// Texts that cannot be read and so cannot be let through.
    Unreadable,
}

impl Step {
    const ALL: [&'static str; 4] = ["attribute", "content", "audio", "unreadable"];

    /// Returns the number of its name.
    pub(super) fn kind(self) -> usize {
        Recogniser::ALL.len() + self as usize
    }
}

/// A stretch of a text, and the number of the name of what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) start: usize,
    pub(super) end: usize,
    kind: usize,
}

impl From<Secret> for Hit {
    fn from(secret: Secret) -> Self {
        Self {
            start: secret.start,
            end: secret.end,
            kind: secret.kind as usize,
        }
    }
}

/// How much was taken out, by the number of the name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally(BTreeMap<usize, u64>);

impl Tally {
    pub(super) fn add(&mut self, kind: usize) {
        *self.0.entry(kind).or_default() += 1;
    }

    pub(super) fn add_all(&mut self, other: &Tally) {
        for (kind, count) in &other.0 {
            *self.0.entry(*kind).or_default() += count;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Debug)]
struct Pattern {
    kind: usize,
    regex: Regex,
    /// Whether a text that holds a match goes as a whole.
    drops: bool,
}

#[derive(Debug)]
struct PathRule {
    kind: usize,
    drops: bool,
}

/// Recognisers and rules, ready for work.
#[derive(Debug, Default)]
pub(super) struct Redactor {
    kinds: Recognisers,
    patterns: Vec<Pattern>,
    paths: Paths,
    path_rules: Vec<PathRule>,
    /// Of recognisers, steps and rules.
    names: Vec<String>,
    secret: Option<String>,
}

impl Redactor {
    /// Returns the recognisers and rules of the settings.
    pub(super) fn compile(
        kinds: &[Recogniser],
        rules: &[RuleSettings],
        secret: Option<&str>,
    ) -> Result<Self, RuleError> {
        let fixed = Recogniser::ALL.iter().map(|kind| kind.as_str());
        let mut redactor = Self {
            kinds: Recognisers::of(kinds),
            names: fixed.chain(Step::ALL).map(str::to_owned).collect(),
            secret: secret
                .filter(|secret| !secret.is_empty())
                .map(str::to_owned),
            ..Self::default()
        };
        for (at, rule) in rules.iter().enumerate() {
            redactor.add(rule).map_err(|kind| RuleError {
                rule: rule.name.clone(),
                number: at + 1,
                kind,
            })?;
        }
        Ok(redactor)
    }

    fn add(&mut self, rule: &RuleSettings) -> Result<(), RuleErrorKind> {
        let is_word =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        if rule.name.is_empty()
            || rule.name.len() > NAME_BYTES_MAX
            || !rule.name.bytes().all(is_word)
        {
            return Err(RuleErrorKind::BadName);
        }
        if self.names.contains(&rule.name) || rule.name == "redacted" {
            return Err(RuleErrorKind::NameTaken);
        }
        if self.patterns.len() + self.path_rules.len() >= RULES_MAX {
            return Err(RuleErrorKind::TooMany {
                rules_max: RULES_MAX,
            });
        }
        let kind = self.names.len();
        let drops = rule.action == Action::Drop;
        match (&rule.regex, &rule.path) {
            (Some(regex), None) => {
                let regex = regex::RegexBuilder::new(regex)
                    .size_limit(REGEX_BYTES_MAX)
                    .build()
                    .map_err(RuleErrorKind::BadRegex)?;
                if regex.is_match("") {
                    return Err(RuleErrorKind::MatchesNothing);
                }
                self.patterns.push(Pattern { kind, regex, drops });
            }
            (None, Some(path)) => {
                self.paths.add(path, self.path_rules.len())?;
                self.path_rules.push(PathRule { kind, drops });
            }
            _ => return Err(RuleErrorKind::NotOne),
        }
        self.names.push(rule.name.clone());
        Ok(())
    }

    /// Returns whether nothing is looked for.
    pub(super) fn is_idle(&self) -> bool {
        self.kinds.is_empty() && self.patterns.is_empty() && self.path_rules.is_empty()
    }

    /// Returns the places that rules name.
    pub(super) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Returns the name behind a number.
    fn name(&self, kind: usize) -> &str {
        &self.names[kind]
    }

    /// Returns the counts under their names.
    pub(super) fn named<'t>(&'t self, tally: &'t Tally) -> impl Iterator<Item = (&'t str, u64)> {
        tally
            .0
            .iter()
            .map(|(kind, count)| (self.name(*kind), *count))
    }

    /// Returns the text without what is to be taken out; `None` if that is nothing.
    pub(super) fn text(&self, text: &str, tally: &mut Tally) -> Option<String> {
        let hits = self.find(text);
        (!hits.is_empty()).then(|| self.replace(text, &hits, tally))
    }

    /// Returns what is to be taken out, front to back and apart from each other.
    pub(super) fn find(&self, text: &str) -> Vec<Hit> {
        let secrets = self.kinds.find(text).into_iter();
        let mut hits: Vec<Hit> = secrets.map(Hit::from).collect();
        for pattern in &self.patterns {
            let whole = |at: regex::Match<'_>| match pattern.drops {
                true => (0, text.len()),
                false => (at.start(), at.end()),
            };
            let found = pattern.regex.find_iter(text).filter(|at| !at.is_empty());
            let (kind, most) = (pattern.kind, if pattern.drops { 1 } else { usize::MAX });
            hits.extend(
                found
                    .map(whole)
                    .map(|(start, end)| Hit { start, end, kind })
                    .take(most),
            );
        }
        if !hits.is_empty() {
            settle(text, &mut hits);
        }
        hits
    }

    /// Returns the text with marks in the places of `hits`.
    pub(super) fn replace(&self, text: &str, hits: &[Hit], tally: &mut Tally) -> String {
        let mut out = String::with_capacity(text.len());
        let mut from = 0;
        for hit in hits {
            out.push_str(&text[from..hit.start]);
            out.push_str(&self.mark(hit.kind, &text[hit.start..hit.end]));
            tally.add(hit.kind);
            from = hit.end;
        }
        out.push_str(&text[from..]);
        out
    }

    /// Returns what stands in the place of a text.
    fn mark(&self, kind: usize, text: &str) -> String {
        let name = self.name(kind);
        let Some(secret) = &self.secret else {
            return format!("[redacted:{name}]");
        };
        // Behind its length the secret cannot run into the text.
        let keyed = format!("{}:{secret}{name}:{text}", secret.len());
        let hash = MessageHash::of(keyed.as_bytes());
        // Letters alone: digits might be taken for a number again.
        let letter = |half: u8| char::from(b'a' + half);
        let letters = hash.0[..8]
            .iter()
            .flat_map(|byte| [letter(byte >> 4), letter(byte & 15)]);
        format!("[{name}:{}]", letters.collect::<String>())
    }

    /// Returns the JSON that stands in the place of a value that a path means; `None` where it stands
    /// there already.
    pub(super) fn value(
        &self,
        rule: usize,
        raw: &str,
        tally: &mut Tally,
    ) -> Option<Cow<'static, str>> {
        let PathRule { kind, drops } = &self.path_rules[rule];
        let inner = raw.trim_matches('"');
        if raw == "null"
            || MARKS
                .find(inner)
                .is_some_and(|mark| mark.len() == inner.len())
        {
            return None;
        }
        tally.add(*kind);
        Some(match drops {
            true => Cow::Borrowed("null"),
            false => format!("\"{}\"", self.mark(*kind, inner)).into(),
        })
    }
}

/// Orders hits, makes one of those that overlap, and lets go of those that are part of a mark.
fn settle(text: &str, hits: &mut Vec<Hit>) {
    let mut marks = MARKS.find_iter(text).peekable();
    if marks.peek().is_some() {
        let marks: Vec<_> = marks.map(|mark| mark.range()).collect();
        hits.retain(|hit| {
            let before = marks.partition_point(|mark| mark.start <= hit.start);
            before == 0 || marks[before - 1].end < hit.end
        });
    }
    hits.sort_unstable_by_key(|hit| (hit.start, std::cmp::Reverse(hit.end)));
    hits.dedup_by(|later, kept| {
        let overlaps = later.start < kept.end;
        if overlaps {
            kept.end = kept.end.max(later.end);
            // A password may be a part of what looks like an address.
            if later.kind == Recogniser::Key as usize {
                kept.kind = later.kind;
            }
        }
        overlaps
    });
}

#[cfg(test)]
mod tests;
