//! Where in a value does a variable point?

use serde_json::Value;

/// A path such as `item.list[0].name`.
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
#[error("not a path: names with dots and [n] between them")]
pub struct BadPath;

impl Path {
    /// Returns the path that is written so.
    pub fn parse(text: &str) -> Result<Self, BadPath> {
        let mut steps = Vec::new();
        for part in text.split('.') {
            let (name, indices) = match part.split_once('[') {
                Some((name, rest)) => (name, Some(rest.strip_suffix(']').ok_or(BadPath)?)),
                None => (part, None),
            };
            let is_key = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
            if name.is_empty() || !name.chars().all(is_key) {
                return Err(BadPath);
            }
            steps.push(Step::Key(name.to_owned()));
            for index in indices.into_iter().flat_map(|indices| indices.split("][")) {
                steps.push(Step::Index(index.parse().map_err(|_| BadPath)?));
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
        for bad in [
            "", ".", "a.", "a[", "a[]", "a[x]", "a[-1]", "a[0]b", "a b", "[0]", "a[0", "a[0]]",
        ] {
            assert_eq!(Path::parse(bad), Err(BadPath), "{bad}");
        }
    }
}
