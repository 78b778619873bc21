//! Is each Rust file opened by its idea, short enough to read, and free of what is unfinished?

use super::{Violation, code, line_of};
use crate::workspace::TextFile;

const LINES_MAX: usize = 800;
/// A name that says nothing attracts everything.
pub(super) const FORBIDDEN_NAMES: [&str; 6] =
    ["common", "core", "helpers", "misc", "util", "utils"];
const FORBIDDEN_MACROS: [&str; 3] = ["dbg", "todo", "unimplemented"];

/// Checks one `.rs` file.
pub(super) fn check(file: &TextFile) -> Vec<Violation> {
    let code = code::without_comments_and_literals(&file.text);
    let mut found = Vec::new();
    let mut report = |rule, line, message: String| {
        found.push(Violation {
            rule,
            path: file.path.clone(),
            line,
            message,
        });
    };
    if !file.text.starts_with("//!") {
        report(
            "header",
            1,
            "open the file with `//!`: its idea and the reason for it".into(),
        );
    }
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        report(
            "length",
            LINES_MAX + 1,
            format!("{lines} lines: split by reason, {LINES_MAX} at most"),
        );
    }
    for (offset, word) in code::words(&code) {
        let after = &code[offset + word.len()..];
        let line = line_of(&code, offset);
        if FORBIDDEN_MACROS.contains(&word) && after.starts_with('!') && !after.starts_with("!=") {
            report(
                "unfinished",
                line,
                format!("`{word}!` is not for keeps: finish it or take it out"),
            );
        }
        if word == "mod"
            && let Some(name) = module_name(after)
        {
            report(
                "names",
                line,
                format!("`mod {name}` says nothing: name it after what it does"),
            );
        }
    }
    for (offset, attribute) in code::attributes(&code) {
        let line = line_of(&code, offset);
        if has_allow(attribute) {
            report(
                "expect",
                line,
                "use `#[expect(lint, reason = \"…\")]` in place of `allow`".into(),
            );
        }
        if matches!(attribute.trim(), "ignore" | "ignore = \"\"") {
            report("ignore", line, "say why: `#[ignore = \"…\"]`".into());
        }
    }
    found
}

/// Returns the forbidden name, if that is what follows `mod`.
fn module_name(after_mod: &str) -> Option<&str> {
    let (_, name) = code::words(after_mod).next()?;
    FORBIDDEN_NAMES.contains(&name).then_some(name)
}

fn has_allow(attribute: &str) -> bool {
    code::words(attribute)
        .any(|(at, word)| word == "allow" && attribute[at + word.len()..].starts_with('('))
}

#[cfg(test)]
mod tests {
    use super::{LINES_MAX, check as check_file};
    use crate::workspace::TextFile;

    /// `expected`: the rules that are broken, with their lines.
    fn check(text: &str, expected: &[(&str, usize)]) {
        let file = TextFile {
            path: "crates/x/src/y.rs".into(),
            text: text.into(),
        };
        let found: Vec<_> = check_file(&file)
            .into_iter()
            .map(|it| (it.rule, it.line))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_file_opens_with_its_idea() {
        check("//! What it is for.\nfn f() {}\n", &[]);
        check("fn f() {}\n", &[("header", 1)]);
        check("", &[("header", 1)]);
        check("// only a comment\n", &[("header", 1)]);
    }

    #[test]
    fn a_file_has_an_end() {
        check(&format!("//! a\n{}", "\n".repeat(LINES_MAX - 1)), &[]);
        check(
            &format!("//! a\n{}", "\n".repeat(LINES_MAX)),
            &[("length", LINES_MAX + 1)],
        );
    }

    #[test]
    fn nothing_unfinished() {
        check("//! a\nfn f() { todo!() }\n", &[("unfinished", 2)]);
        check(
            "//! a\nfn f() {\n    unimplemented!(\"x\")\n}\n",
            &[("unfinished", 3)],
        );
        check("//! a\nlet x = dbg!(y);\n", &[("unfinished", 2)]);
        check(
            "//! a todo!()\nlet x = \"todo!()\"; // dbg!(x)\nlet y = todo != 1;\n",
            &[],
        );
    }

    #[test]
    fn names_say_something() {
        check(
            "//! a\nmod utils;\npub mod core {}\n",
            &[("names", 2), ("names", 3)],
        );
        check(
            "//! a\nuse core::fmt;\nmod core_dump;\nlet common = 1;\n",
            &[],
        );
    }

    #[test]
    fn lints_are_expected_not_allowed() {
        check("//! a\n#[allow(dead_code)]\nfn f() {}\n", &[("expect", 2)]);
        check("//! a\n#![allow(dead_code)]\n", &[("expect", 2)]);
        check(
            "//! a\n\n#[cfg_attr(\n    test,\n    allow(dead_code)\n)]\n",
            &[("expect", 3)],
        );
        check(
            "//! a\n#[expect(dead_code, reason = \"allow(it)\")]\nfn allow() { x.allow(1) }\n",
            &[],
        );
    }

    #[test]
    fn an_ignored_test_has_a_reason() {
        check("//! a\n#[test]\n#[ignore]\nfn f() {}\n", &[("ignore", 3)]);
        check(
            "//! a\n#[test]\n#[ignore = \"\"]\nfn f() {}\n",
            &[("ignore", 3)],
        );
        check(
            "//! a\n#[test]\n#[ignore = \"needs a disk that fails\"]\nfn f() {}\n",
            &[],
        );
    }
}
