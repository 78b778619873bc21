//! Rules that name places: a small part of JSONPath, followed while a document is walked.
//!
//! `$.input[*].content`, `$..password`, `$['gen_ai.prompt']`, `$.output[0]`, `$..*`. A key with dots may
//! be written as steps, since that is how attributes are named. All rules are followed at once: the
//! steps of all of them stand in one list, and which of them may come next is a set of bits.

use super::super::RuleErrorKind;

/// All rules together have at most this many steps.
pub(super) const STEPS_MAX: usize = 128;

/// The steps that may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Steps(u128);

impl Steps {
    /// Returns whether no rule can be fulfilled further down.
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the steps of both.
    pub(crate) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let at = (left != 0).then(|| left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(at)
        })
    }
}

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Key(String),
    Index(usize),
    Any,
}

#[derive(Debug, Clone)]
struct Step {
    what: What,
    /// Whether any number of levels may come before it.
    is_deep: bool,
    /// The rule that is fulfilled by it.
    ends: Option<usize>,
}

/// What stands one level down: the key of a member or the number of an element.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Child<'k> {
    /// Of an object.
    Key(&'k str),
    /// Of a list.
    Index(usize),
}

/// The steps of all rules.
#[derive(Debug, Clone, Default)]
pub(crate) struct Paths {
    steps: Vec<Step>,
    first: Steps,
}

impl Paths {
    /// Returns the steps that may come first.
    pub(crate) fn root(&self) -> Steps {
        self.first
    }

    /// Adds the path of rule number `rule`.
    pub(super) fn add(&mut self, path: &str, rule: usize) -> Result<(), RuleErrorKind> {
        let mut steps = parse(path)?;
        if self.steps.len() + steps.len() > STEPS_MAX {
            return Err(RuleErrorKind::TooManySteps {
                steps_max: STEPS_MAX,
            });
        }
        if let Some(last) = steps.last_mut() {
            last.ends = Some(rule);
        }
        self.first.0 |= 1 << self.steps.len();
        self.steps.extend(steps);
        Ok(())
    }

    /// Returns what may come below a child, and the first rule that means the child itself.
    pub(crate) fn below(&self, steps: Steps, child: Child<'_>) -> (Steps, Option<usize>) {
        let (mut next, mut fulfilled) = (Steps::default(), None);
        for at in steps.iter() {
            let step = &self.steps[at];
            if step.is_deep {
                next.0 |= 1 << at;
            }
            let Some(last) = self.matched(at, child) else {
                continue;
            };
            match self.steps[last].ends {
                Some(rule) => {
                    fulfilled = Some(fulfilled.map_or(rule, |known: usize| known.min(rule)))
                }
                None => next.0 |= 1 << (last + 1),
            }
        }
        (next, fulfilled)
    }

    /// Returns the last of the steps from `at` on that the child fulfils: a key with dots may take
    /// several.
    fn matched(&self, at: usize, child: Child<'_>) -> Option<usize> {
        match (&self.steps[at].what, child) {
            (What::Any, _) => Some(at),
            (What::Index(wanted), Child::Index(index)) => (*wanted == index).then_some(at),
            (What::Key(wanted), Child::Key(key)) => {
                let (mut rest, mut last) = (key.strip_prefix(wanted.as_str())?, at);
                while !rest.is_empty() {
                    let behind = self.steps.get(last + 1).filter(|next| !next.is_deep)?;
                    // The next rule's first step is none of this one's.
                    if self.steps[last].ends.is_some() {
                        return None;
                    }
                    let What::Key(wanted) = &behind.what else {
                        return None;
                    };
                    rest = rest.strip_prefix('.')?.strip_prefix(wanted.as_str())?;
                    last += 1;
                }
                Some(last)
            }
            _ => None,
        }
    }
}

fn parse(path: &str) -> Result<Vec<Step>, RuleErrorKind> {
    let bad = |rest: &str| RuleErrorKind::BadPath {
        at: path.len() - rest.len(),
    };
    let mut rest = path.strip_prefix('$').ok_or_else(|| bad(path))?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let here = rest;
        let is_deep = rest.starts_with("..");
        if let Some(below) = rest.strip_prefix("..") {
            rest = below;
        } else if let Some(below) = rest.strip_prefix('.') {
            rest = below;
        } else if !rest.starts_with('[') {
            return Err(bad(here));
        }
        let (what, below) = match rest.strip_prefix('[') {
            Some(inside) => bracket(inside).ok_or_else(|| bad(rest))?,
            None => {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                let what = match &rest[..end] {
                    "" => return Err(bad(rest)),
                    "*" => What::Any,
                    key => What::Key(key.to_owned()),
                };
                (what, &rest[end..])
            }
        };
        // `$.[0]` is a slip of the pen, `$..[0]` is not.
        if here.starts_with('.') && !is_deep && rest.starts_with('[') {
            return Err(bad(here));
        }
        steps.push(Step {
            what,
            is_deep,
            ends: None,
        });
        rest = below;
    }
    match steps.is_empty() {
        true => Err(bad("")),
        false => Ok(steps),
    }
}

/// Returns what stands behind `[`, and what follows the closing bracket.
fn bracket(inside: &str) -> Option<(What, &str)> {
    for quote in ['\'', '"'] {
        if let Some(quoted) = inside.strip_prefix(quote) {
            let (key, rest) = quoted.split_once(quote)?;
            return Some((What::Key(key.to_owned()), rest.strip_prefix(']')?));
        }
    }
    let (text, rest) = inside.split_once(']')?;
    let what = match text {
        "*" => What::Any,
        number => What::Index(number.parse().ok()?),
    };
    Some((what, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks which of the places, written as keys and numbers separated by spaces, the rules mean.
    fn check(path: &str, fulfilled: &[&str], others: &[&str]) {
        let mut paths = Paths::default();
        paths.add(path, 0).unwrap();
        paths.add("$.never.there", 1).unwrap();
        let means = |place: &str| {
            let mut steps = paths.root();
            let mut found = None;
            for part in place.split(' ') {
                let child = part.parse().map_or(Child::Key(part), Child::Index);
                (steps, found) = paths.below(steps, child);
            }
            found == Some(0)
        };
        for place in fulfilled {
            assert!(means(place), "{path} means {place}");
        }
        for place in others {
            assert!(!means(place), "{path} does not mean {place}");
        }
    }

    #[test]
    fn rules_mean_their_places_and_no_others() {
        check(
            "$.input[*].content",
            &["input 0 content", "input 7 content"],
            &["input content", "content", "input 0"],
        );
        check(
            "$..password",
            &["password", "a password", "a 0 b password"],
            &["passwords", "password a"],
        );
        check("$.output[0]", &["output 0"], &["output 1", "output"]);
        check("$['gen_ai.prompt']", &["gen_ai.prompt"], &["gen_ai prompt"]);
        check(
            "$.gen_ai.prompt.0",
            &["gen_ai.prompt.0", "gen_ai prompt.0"],
            &["gen_ai.prompt", "gen_ai.prompt.1"],
        );
        check(
            "$.gen_ai.input.messages[*].parts",
            &["gen_ai.input.messages 3 parts"],
            &["gen_ai.input 3 parts"],
        );
        check(
            "$..user['e.mail']",
            &["a user e.mail", "x user.e.mail"],
            &["user mail"],
        );
        check("$..[1]", &["a 1", "1"], &["a 2"]);
        check("$.*.b", &["a b", "0 b"], &["b", "a a b"]);
        check("$..*", &["a", "a b", "0"], &[]);
        check("$[\"a b\"]", &[], &["a"]);
    }

    #[test]
    fn slips_of_the_pen_are_told_where_they_are() {
        for (path, at) in [
            ("input", 0),
            ("$", 1),
            ("$.", 2),
            ("$.a[", 3),
            ("$.a[x]", 3),
            ("$.a['b]", 3),
            ("$a", 1),
            ("$.a..", 5),
            ("$.[0]", 1),
        ] {
            match parse(path) {
                Err(RuleErrorKind::BadPath { at: found }) => assert_eq!(found, at, "{path}"),
                other => panic!("{path}: {other:?}"),
            }
        }
        let mut paths = Paths::default();
        let long = format!("${}", ".a".repeat(STEPS_MAX + 1));
        assert!(matches!(
            paths.add(&long, 0),
            Err(RuleErrorKind::TooManySteps { .. })
        ));
    }
}
