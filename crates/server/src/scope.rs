//! What may a key do?

use std::fmt;

/// One thing that a key may be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Send traces.
    Ingest,
    /// Read what is kept.
    Read,
    /// Delete, make keys and projects, set prices; and all of the above.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Scope; 3] = [Scope::Ingest, Scope::Read, Scope::Admin];

    /// Returns the word used in JSON and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Ingest => "ingest",
            Scope::Read => "read",
            Scope::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

/// A word names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no scope {0:?}; known: ingest, read, admin")]
pub struct UnknownScope(pub String);

impl Scopes {
    /// Returns the scopes with these names.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownScope> {
        words.into_iter().try_fold(Self::default(), |scopes, word| {
            let named = Scope::ALL.into_iter().find(|scope| scope.as_str() == word);
            let scope = named.ok_or_else(|| UnknownScope(word.to_owned()))?;
            Ok(scopes.with(scope))
        })
    }

    /// Returns this set and one more.
    pub fn with(self, scope: Scope) -> Self {
        Self(self.0 | scope.bit())
    }

    /// Returns what either set holds.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether `scope` is allowed; admin may do everything.
    pub fn allow(self, scope: Scope) -> bool {
        self.0 & (scope.bit() | Scope::Admin.bit()) != 0
    }

    /// Returns the names in this set.
    pub fn words(self) -> Vec<&'static str> {
        let named = Scope::ALL
            .into_iter()
            .filter(|scope| self.0 & scope.bit() != 0);
        named.map(Scope::as_str).collect()
    }
}

impl fmt::Display for Scopes {
    /// Writes the names separated by commas, as they are stored.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], ingest: bool, read: bool, admin: bool) {
        let scopes = Scopes::parse(words.iter().copied()).unwrap();
        let allowed = Scope::ALL.map(|scope| scopes.allow(scope));
        assert_eq!(allowed, [ingest, read, admin], "{words:?}");
        assert_eq!(
            Scopes::parse(scopes.to_string().split(',').filter(|w| !w.is_empty())),
            Ok(scopes)
        );
    }

    #[test]
    fn admin_may_do_everything_and_others_what_they_say() {
        check(&[], false, false, false);
        check(&["ingest"], true, false, false);
        check(&["read"], false, true, false);
        check(&["read", "ingest"], true, true, false);
        check(&["admin"], true, true, true);
        assert_eq!(Scopes::parse(["root"]), Err(UnknownScope("root".into())));
    }
}
