//! Is every promise tested, and every tested promise written down?
//!
//! An invariant has an id (`D1`, `T1`, `G1`) that ARCHITECTURE.md names and that begins the name of at
//! least one test (`d1_a_2xx_survives_a_crash`). As long as ARCHITECTURE.md names none, none is asked for.

use std::collections::BTreeMap;

use super::{Violation, code, line_of};
use crate::workspace::TextFile;

const DOCUMENT: &str = "ARCHITECTURE.md";

/// An id, and the file and line that names it first.
type Named = BTreeMap<String, (String, usize)>;

/// Compares ARCHITECTURE.md with the names of the tests.
pub(super) fn check(files: &[TextFile]) -> Vec<Violation> {
    let mut promised = Named::new();
    let mut tested = Named::new();
    for file in files {
        if file.path == DOCUMENT {
            note(&mut promised, file, documented(&file.text));
        } else if file.path.ends_with(".rs") {
            note(&mut tested, file, test_ids(&file.text));
        }
    }
    if promised.is_empty() {
        return Vec::new();
    }
    let untested = missing(&promised, &tested, |id| {
        format!(
            "{id} is promised and not tested: name a test `{}_…`",
            id.to_lowercase()
        )
    });
    let unwritten = missing(&tested, &promised, |id| {
        format!("the test is named after {id}, which {DOCUMENT} does not name: write it down there")
    });
    untested.chain(unwritten).collect()
}

fn note(named: &mut Named, file: &TextFile, ids: Vec<(usize, String)>) {
    for (offset, id) in ids {
        named
            .entry(id)
            .or_insert_with(|| (file.path.clone(), line_of(&file.text, offset)));
    }
}

fn missing(
    from: &Named,
    to: &Named,
    message: impl Fn(&str) -> String,
) -> impl Iterator<Item = Violation> {
    from.iter()
        .filter(|(id, _)| !to.contains_key(*id))
        .map(move |(id, (path, line))| Violation {
            rule: "invariants",
            path: path.clone(),
            line: *line,
            message: message(id),
        })
}

fn documented(text: &str) -> Vec<(usize, String)> {
    code::words(text)
        .filter(|(_, word)| is_id(word))
        .map(|(offset, word)| (offset, word.to_owned()))
        .collect()
}

/// Returns the ids that names of tests begin with; a function without a `test` attribute is no test.
fn test_ids(text: &str) -> Vec<(usize, String)> {
    let code = code::without_comments_and_literals(text);
    let mut is_test = false;
    let mut found = Vec::new();
    let mut offset = 0;
    for line in code.split_inclusive('\n') {
        let trimmed = line.trim();
        if let Some((_, attribute)) = code::attributes(trimmed).next() {
            is_test |= code::words(attribute).any(|(_, word)| word == "test");
        } else if let Some(name) = function_name(trimmed) {
            let id = name.split('_').next().unwrap_or_default().to_uppercase();
            if is_test && name.contains('_') && is_id(&id) {
                found.push((offset, id));
            }
            is_test = false;
        }
        offset += line.len();
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let mut words = code::words(line).map(|(_, word)| word);
    words.find(|word| *word == "fn")?;
    words.next()
}

/// Returns whether a word is a letter of the three and a number without leading zero.
fn is_id(word: &str) -> bool {
    let Some(number) = word.strip_prefix(['D', 'T', 'G']) else {
        return false;
    };
    (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && !number.starts_with('0')
}

#[cfg(test)]
mod tests {
    use super::check as check_files;
    use crate::workspace::TextFile;

    /// `expected`: file and line of each violation.
    fn check(document: &str, source: &str, expected: &[(&str, usize)]) {
        let files = [
            ("ARCHITECTURE.md", document),
            ("crates/store/src/wal.rs", source),
        ]
        .map(|(path, text)| TextFile {
            path: path.into(),
            text: text.into(),
        });
        let found: Vec<_> = check_files(&files)
            .into_iter()
            .map(|it| (it.path, it.line))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(path, line)| ((*path).into(), *line))
            .collect();
        assert_eq!(found, expected, "{document} / {source}");
    }

    const TESTED: &str =
        "#[test]\nfn d1_acked_is_synced() {}\n\n#[tokio::test]\nasync fn t1_x() {}\n";

    #[test]
    fn promised_and_tested() {
        check(
            "**D1** a 2xx means fsynced. **T1** one project.\n",
            TESTED,
            &[],
        );
    }

    #[test]
    fn promised_and_not_tested() {
        check("`D1`, T1\n- D2: once\n", TESTED, &[("ARCHITECTURE.md", 2)]);
        check("D1", "fn d1_is_no_test() {}\n", &[("ARCHITECTURE.md", 1)]);
        check(
            "D1",
            "// #[test]\nfn d1_x() {}\n",
            &[("ARCHITECTURE.md", 1)],
        );
        check(
            "D1",
            "#[test]\nfn x() {}\nfn d1_x() {}\n",
            &[("ARCHITECTURE.md", 1)],
        );
    }

    #[test]
    fn tested_and_not_promised() {
        check("D1", TESTED, &[("crates/store/src/wal.rs", 5)]);
        check("nothing yet", TESTED, &[]);
    }

    #[test]
    fn words_that_only_look_like_ids() {
        check(
            "3D1, D1x, d1, D, D123, T0, MD5, v1",
            "#[test]\nfn d1() {}\n",
            &[],
        );
        check(
            "T1 D1",
            &format!("{TESTED}#[test]\nfn double_t2() {{}}\n"),
            &[],
        );
    }
}
