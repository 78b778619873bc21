//! Names that are let through, and names that are not.

/// A list of names; one with a `*` at its end stands for all that begin so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    whole: Vec<String>,
    begun: Vec<String>,
}

impl Names {
    pub(super) fn new(names: &[String]) -> Self {
        let mut list = Self::default();
        for name in names
            .iter()
            .map(|name| name.trim())
            .filter(|name| !name.is_empty())
        {
            match name.strip_suffix('*') {
                Some(begun) => list.begun.push(begun.to_owned()),
                None => list.whole.push(name.to_owned()),
            }
        }
        list
    }

    pub(super) fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.begun.is_empty()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.whole.iter().any(|whole| whole == name)
            || self
                .begun
                .iter()
                .any(|begun| name.starts_with(begun.as_str()))
    }
}

/// Which attributes are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lists {
    allow: Names,
    deny: Names,
}

impl Lists {
    pub(super) fn new(allow: &[String], deny: &[String]) -> Self {
        Self {
            allow: Names::new(allow),
            deny: Names::new(deny),
        }
    }

    /// Returns whether everything is kept.
    pub(super) fn is_idle(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// Returns whether an attribute is kept. What is denied is not, whatever is allowed.
    pub(super) fn keep(&self, name: &str) -> bool {
        (self.allow.is_empty() || self.allow.has(name)) && !self.deny.has(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(allow: &[&str], deny: &[&str], kept: &[&str], not_kept: &[&str]) {
        let owned = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let lists = Lists::new(&owned(allow), &owned(deny));
        for name in kept {
            assert!(lists.keep(name), "{name}");
        }
        for name in not_kept {
            assert!(!lists.keep(name), "{name}");
        }
    }

    #[test]
    fn denied_is_denied_and_an_empty_list_allows_all() {
        check(&[], &[], &["a"], &[]);
        check(
            &[],
            &["http.*", "user.id"],
            &["user.ids", "a.http.b"],
            &["http.", "http.url", "user.id"],
        );
        check(
            &["gen_ai.*", " a "],
            &["gen_ai.prompt*"],
            &["gen_ai.system", "a"],
            &["gen_ai.prompt.0", "b"],
        );
        check(&["*"], &[""], &["a", ""], &[]);
    }
}
