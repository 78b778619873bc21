//! May we ship it? Every package in the lock file, on every platform, has a licence that the list allows.
//!
//! Licences are SPDX expressions: `MIT OR (Apache-2.0 WITH LLVM-exception AND ISC)`. The list is of
//! licences that ask for no more than notices and, for MPL-2.0, the source of changed files: what can go
//! into one Apache-2.0 binary.

use anyhow::{Result, bail};

use crate::workspace::{Package, Workspace};

const ALLOWED: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Exceptions only ever add permissions, but one we have not read is not one we rely on.
const ALLOWED_EXCEPTIONS: [&str; 1] = ["LLVM-exception"];

/// Fails with the list of packages whose licence is missing, unreadable or not allowed.
pub(crate) fn run(_: &Workspace) -> Result<()> {
    let all = Workspace::load_with_dependencies()?;
    let refused: Vec<String> = all.packages.iter().filter_map(refusal).collect();
    for line in &refused {
        eprintln!("{line}");
    }
    if !refused.is_empty() {
        bail!(
            "{} of {} packages may not be shipped: replace them, or have their licence discussed and \
             add it to the list in xtask/src/licences.rs",
            refused.len(),
            all.packages.len()
        );
    }
    eprintln!("      {} packages", all.packages.len());
    Ok(())
}

fn refusal(package: &Package) -> Option<String> {
    let reason = match &package.license {
        None => "states no licence".to_owned(),
        Some(text) => match Licence::parse(text) {
            Ok(licence) if licence.allowed() => return None,
            Ok(_) => format!("`{text}` is not allowed"),
            Err(error) => format!("`{text}` cannot be read: {error}"),
        },
    };
    Some(format!("{} {}: {reason}", package.name, package.version))
}

/// An SPDX licence expression.
#[derive(Debug)]
enum Licence<'a> {
    One {
        id: &'a str,
        exception: Option<&'a str>,
    },
    All(Vec<Licence<'a>>),
    Any(Vec<Licence<'a>>),
}

impl<'a> Licence<'a> {
    /// Reads an expression; `/`, cargo's old way of writing `OR`, is understood too.
    fn parse(text: &'a str) -> Result<Self> {
        let mut parser = Parser {
            tokens: tokens(text),
            at: 0,
        };
        let licence = parser.any()?;
        match parser.peek() {
            None => Ok(licence),
            Some(token) => bail!("`{token}` is left over"),
        }
    }

    fn allowed(&self) -> bool {
        match self {
            Self::One { id, exception } => {
                // `X+` leaves the choice of the version to us, so X itself will do
                let id = id.strip_suffix('+').unwrap_or(id);
                listed(&ALLOWED, id) && exception.is_none_or(|it| listed(&ALLOWED_EXCEPTIONS, it))
            }
            Self::All(parts) => parts.iter().all(Self::allowed),
            Self::Any(parts) => parts.iter().any(Self::allowed),
        }
    }
}

fn listed(list: &[&str], id: &str) -> bool {
    list.iter().any(|known| known.eq_ignore_ascii_case(id))
}

/// Splits at blanks and keeps `(`, `)` and `/` as tokens of their own.
fn tokens(text: &str) -> Vec<&str> {
    text.split_whitespace()
        .flat_map(|word| word.split_inclusive(['(', ')', '/']))
        .flat_map(|piece| match piece.char_indices().next_back() {
            Some((at, '(' | ')' | '/')) => [&piece[..at], &piece[at..]],
            _ => [piece, ""],
        })
        .filter(|token| !token.is_empty())
        .collect()
}

/// One method a level of precedence: OR binds weakest, then AND, then WITH.
struct Parser<'a> {
    tokens: Vec<&'a str>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.at).copied()
    }

    fn take(&mut self, wanted: &[&str]) -> bool {
        let found = self.peek().is_some_and(|token| wanted.contains(&token));
        self.at += usize::from(found);
        found
    }

    fn any(&mut self) -> Result<Licence<'a>> {
        let mut parts = vec![self.all()?];
        while self.take(&["OR", "/"]) {
            parts.push(self.all()?);
        }
        Ok(Licence::Any(parts))
    }

    fn all(&mut self) -> Result<Licence<'a>> {
        let mut parts = vec![self.one()?];
        while self.take(&["AND"]) {
            parts.push(self.one()?);
        }
        Ok(Licence::All(parts))
    }

    fn one(&mut self) -> Result<Licence<'a>> {
        if self.take(&["("]) {
            let inner = self.any()?;
            if !self.take(&[")"]) {
                bail!("a parenthesis is not closed");
            }
            return Ok(inner);
        }
        let id = self.id()?;
        let exception = if self.take(&["WITH"]) {
            Some(self.id()?)
        } else {
            None
        };
        Ok(Licence::One { id, exception })
    }

    fn id(&mut self) -> Result<&'a str> {
        match self.peek() {
            None => bail!("a licence is missing at the end"),
            Some(token @ ("AND" | "OR" | "WITH" | "(" | ")" | "/")) => {
                bail!("a licence is missing before `{token}`")
            }
            Some(id) => {
                self.at += 1;
                Ok(id)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Licence;

    /// `None`: the expression cannot be read.
    fn check(expression: &str, expected: Option<bool>) {
        let answer = Licence::parse(expression)
            .ok()
            .map(|licence| licence.allowed());
        assert_eq!(answer, expected, "{expression}");
    }

    #[test]
    fn single_licences() {
        check("MIT", Some(true));
        check("mit", Some(true));
        check("Apache-2.0+", Some(true));
        check("GPL-3.0-only", Some(false));
        check("LicenseRef-ours", Some(false));
        check("MIT-Modern-Variant", Some(false));
    }

    #[test]
    fn or_needs_one_and_needs_all() {
        check("MIT OR GPL-2.0-only", Some(true));
        check("MIT AND GPL-2.0-only", Some(false));
        check("MIT AND BSD-3-Clause", Some(true));
        check("GPL-2.0-only OR LGPL-2.1-or-later", Some(false));
        check("MIT/Apache-2.0", Some(true));
        check("GPL-2.0-only / GPL-3.0-only", Some(false));
    }

    #[test]
    fn and_binds_tighter_than_or() {
        check("MIT OR GPL-2.0-only AND GPL-3.0-only", Some(true));
        check("GPL-2.0-only AND GPL-3.0-only OR MIT", Some(true));
        check("GPL-2.0-only AND (GPL-3.0-only OR MIT)", Some(false));
        check("(MIT OR Apache-2.0) AND Unicode-3.0", Some(true));
        check("((MIT) AND (GPL-2.0-only))", Some(false));
    }

    #[test]
    fn exceptions_are_on_a_list_too() {
        check("Apache-2.0 WITH LLVM-exception", Some(true));
        check("GPL-2.0-only WITH LLVM-exception", Some(false));
        check("Apache-2.0 WITH Unread-exception", Some(false));
        check("Apache-2.0 WITH LLVM-exception OR GPL-2.0-only", Some(true));
    }

    #[test]
    fn broken_expressions_are_not_guessed_at() {
        for broken in [
            "",
            "MIT OR",
            "OR MIT",
            "MIT Apache-2.0",
            "(MIT",
            "MIT)",
            "MIT WITH",
            "()",
        ] {
            check(broken, None);
        }
    }
}
