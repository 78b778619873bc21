//! The rules of the house that neither rustc nor clippy knows.
//!
//! Each rule is a pure function from text or manifests to violations, with tests that show it failing.
//! A violation says where, which rule, and what to do about it: nobody should have to read this to
//! obey it.

mod code;
mod invariants;
mod manifests;
mod paths;
mod sources;

use std::fmt;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

/// One place where a rule is broken.
#[derive(Debug, PartialEq)]
struct Violation {
    /// The rule's id, as in `[arrows]`.
    rule: &'static str,
    path: String,
    line: usize,
    /// What is wrong and what to do.
    message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rule,
            path,
            line,
            message,
        } = self;
        write!(f, "{path}:{line}: [{rule}] {message}")
    }
}

/// Checks the whole repository and fails with the list of what is wrong.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let files = workspace.text_files()?;
    let mut violations = manifests::check(workspace, &files);
    for file in &files {
        violations.extend(paths::check(file));
        if file.path.ends_with(".rs") {
            violations.extend(sources::check(file));
        }
    }
    violations.extend(invariants::check(&files));
    for violation in &violations {
        eprintln!("{violation}");
    }
    if !violations.is_empty() {
        bail!("{} violations", violations.len());
    }
    eprintln!("      {} files", files.len());
    Ok(())
}

/// Returns the number of the line in which the byte at `offset` stands.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
}
