//! Does any file know the machine it was written on?
//!
//! Data that others sent us (`testdata`) is exempt: what stands in it is theirs, and it is kept as it came.

use super::{Violation, code, line_of};
use crate::workspace::TextFile;

/// Beginnings of paths that exist on a machine of ours only. In two halves, so that this file passes.
const MACHINE_PATHS: [&str; 3] = [
    concat!("/wo", "rk/"),
    concat!("/fa", "rm/"),
    concat!(".lib", "rary"),
];

/// Checks one file of any kind.
pub(super) fn check(file: &TextFile) -> Vec<Violation> {
    let captured =
        file.path.split('/').any(|part| part == "testdata") && !file.path.ends_with(".md");
    if captured {
        return Vec::new();
    }
    MACHINE_PATHS
        .iter()
        .flat_map(|path| occurrences(&file.text, path).map(move |offset| (path, offset)))
        .map(|(path, offset)| Violation {
            rule: "paths",
            path: file.path.clone(),
            line: line_of(&file.text, offset),
            message: format!("`{path}` exists on one machine only: say it without the place"),
        })
        .collect()
}

/// Returns where `path` begins a path: not `https://example.com/…`, not `self.library`.
fn occurrences<'a>(text: &'a str, path: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(path)
        .map(|(offset, _)| offset)
        .filter(move |offset| {
            let before = text[..*offset].chars().next_back();
            let after = text[offset + path.len()..].chars().next();
            let is_begun = before.is_none_or(|c| !code::is_word(c) && !".-~}".contains(c));
            let is_ended = path.ends_with('/') || after.is_none_or(|c| !code::is_word(c));
            is_begun && is_ended
        })
}

#[cfg(test)]
mod tests {
    use super::check as check_file;
    use crate::workspace::TextFile;

    fn check(path: &str, text: &str, expected: &[usize]) {
        let text = text.replace("WORK", "work").replace("LIBRARY", "library");
        let file = TextFile {
            path: path.into(),
            text,
        };
        let lines: Vec<_> = check_file(&file).into_iter().map(|it| it.line).collect();
        assert_eq!(lines, expected, "{}", file.text);
    }

    #[test]
    fn absolute_paths_are_found() {
        check("a.md", "see /WORK/main\n", &[1]);
        check("a.md", "\n\n(/WORK/main), \"/WORK/x\"\n", &[3, 3]);
        check("a.sh", "cat x/.LIBRARY/y .LIBRARY\n", &[1, 1]);
        check("testdata/x/README.md", "/WORK/main\n", &[1]);
    }

    #[test]
    fn other_uses_of_the_words_are_not() {
        check(
            "a.md",
            "https://example.com/WORK/main, ./WORK/x, /homeWORK/, ~/WORK/\n",
            &[],
        );
        check("a.rs", "self.LIBRARY, .LIBRARYx, the LIBRARY\n", &[]);
        check(
            "crates/ingest/testdata/x.json",
            "{\"cwd\":\"/WORK/main\"}\n",
            &[],
        );
    }
}
