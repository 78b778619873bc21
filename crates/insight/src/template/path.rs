//! Where in a value does a variable point?

use serde_json::Value;

/// A path such as `item.list[0].name` or `item["a name"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The path as written.
    pub written: String,
    /// Its steps, at least one; the first is a name.
    pub steps: Vec<Step>,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into an object.
    Key(String),
    /// Into an array, from 0.
    Index(usize),
}

/// The text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a path: names with dots and [n] or [\"name\"] between them")]
pub struct BadPath;

/// What no name holds that is not quoted: it would look like logic, of which there is none.
const NOT_IN_NAMES: [char; 9] = ['{', '}', '[', ']', '"', '\'', '|', '(', ')'];

impl Path {
    /// Returns the path that is written so.
    pub fn parse(text: &str) -> Result<Self, BadPath> {
        let mut steps = Vec::new();
        let mut rest = text;
        loop {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, behind) = rest.split_at(end);
            let name = name.trim();
            if name.is_empty() || name.contains(NOT_IN_NAMES) {
                return Err(BadPath);
            }
            steps.push(Step::Key(name.to_owned()));
            rest = behind;
            while let Some(inside) = rest.strip_prefix('[') {
                let (step, behind) = bracketed(inside).ok_or(BadPath)?;
                steps.push(step);
                rest = behind;
            }
            match rest.strip_prefix('.') {
                Some(behind) => rest = behind,
                None if rest.is_empty() => break,
                None => return Err(BadPath),
            }
        }
        let written = text.to_owned();
        Ok(Self { written, steps })
    }

    /// Returns the first step.
    pub fn root(&self) -> &str {
        match self.steps.first() {
            Some(Step::Key(name)) => name,
            _ => "",
        }
    }
}

/// Reads what stands behind `[`: a number or a quoted name, and `]`.
fn bracketed(inside: &str) -> Option<(Step, &str)> {
    for quote in ['"', '\''] {
        if let Some(quoted) = inside.strip_prefix(quote) {
            let (name, behind) = quoted.split_once(quote)?;
            return Some((Step::Key(name.to_owned()), behind.strip_prefix(']')?));
        }
    }
    let (digits, behind) = inside.split_once(']')?;
    Some((Step::Index(digits.trim().parse().ok()?), behind))
}

/// Returns what is found in `value` after `steps`.
pub(super) fn walk<'a>(value: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(value, |value, step| match step {
        Step::Key(name) => value.as_object()?.get(name),
        Step::Index(index) => value.as_array()?.get(*index),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        let path = Path::parse("item.a-b[0][12].c").unwrap();
        let key = |name: &str| Step::Key(name.to_owned());
        let steps = [
            key("item"),
            key("a-b"),
            Step::Index(0),
            Step::Index(12),
            key("c"),
        ];
        assert_eq!((path.root(), path.steps.as_slice()), ("item", &steps[..]));
        let quoted = Path::parse("item['d.e'][ 3 ].a b").unwrap().steps;
        assert_eq!(quoted[1..], [key("d.e"), Step::Index(3), key("a b")]);
        for bad in [
            "", ".", "a.", "a[", "a[]", "a[x]", "a[-1]", "a[0]b", "[0]", "a[0", "a[0]]", "a['b]",
            "a | b", "a(b)", "\"a\"",
        ] {
            assert_eq!(Path::parse(bad), Err(BadPath), "{bad}");
        }
    }
}
