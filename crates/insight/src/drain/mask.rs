//! What varies from one message to the next, and what stands in its place.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{NoExpand, Regex};

/// Of a message so much is looked at.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;

/// A form is cut here: the beginning tells which error it is, and what follows is often an excerpt of
/// the input.
pub const FORM_CHARS_MAX: usize = 160;

/// Stands for anything.
pub(super) const ANYTHING: &str = "<*>";

/// What is masked, by what, and an expression that finds what the mark stands for. Earlier ones hide
/// what is inside them from later ones. All run in linear time.
struct Mask {
    mark: &'static str,
    expression: &'static str,
    finds: &'static str,
}

const MASKS: [Mask; 8] = [
    // a message that has our marks in it
    Mask {
        mark: ANYTHING,
        expression: r"<[snhupte*]>",
        finds: ".*?",
    },
    // `\B` keeps the apostrophe of "doesn't" from opening a quotation
    Mask {
        mark: "<s>",
        expression: r#"\B(?:'[^']*'|"[^"]*"|`[^`\n]+`)"#,
        finds: r#"['"`].*?['"`]"#,
    },
    Mask {
        mark: "<u>",
        expression: r#"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s<>"'`]+"#,
        finds: r"\S+?",
    },
    Mask {
        mark: "<e>",
        expression: r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
        finds: r"\S+?",
    },
    Mask {
        mark: "<t>",
        expression: concat!(
            r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z\b|[+-]\d\d:?\d\d)?)?",
            r"|\b\d\d:\d\d:\d\d(?:[.,]\d+)?",
        ),
        finds: r"\d.*?",
    },
    Mask {
        mark: "<h>",
        expression: concat!(
            r"\b(?:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
            r"|0x[0-9a-fA-F]+|[0-9a-fA-F]{8,})\b",
        ),
        finds: r"\S+?",
    },
    Mask {
        mark: "<p>",
        expression: r#"\B(?:~|\.{1,2})?/[\w.@%+~-]+(?:/[\w.@%+~-]*)*|\b[A-Za-z]:\\[^\s:"'<>|]+"#,
        finds: r"\S+?",
    },
    Mask {
        mark: "<n>",
        expression: r"\d+(?:[.,]\d+)*",
        finds: r"\d[\d.,]*",
    },
];

static EXPRESSIONS: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    let compiled = MASKS.iter().map(|mask| {
        let expression = Regex::new(mask.expression).expect("the masks are constants");
        (expression, mask.mark)
    });
    compiled.collect()
});

/// How a Python traceback begins.
const TRACEBACK: &str = "Traceback (most recent call last)";

/// Returns the form of a message: what varies masked, white space as single blanks, cut at
/// [`FORM_CHARS_MAX`]. Of a Python traceback the last line is the message.
pub fn masked(message: &str) -> String {
    let mut text = subject(message).to_owned();
    for (expression, mark) in EXPRESSIONS.iter() {
        if let Cow::Owned(replaced) = expression.replace_all(&text, NoExpand(mark)) {
            text = replaced;
        }
    }
    let mut form = String::with_capacity(text.len().min(FORM_CHARS_MAX));
    for word in text.split_whitespace() {
        if !form.is_empty() {
            form.push(' ');
        }
        form.push_str(word);
        if let Some((end, _)) = form.char_indices().nth(FORM_CHARS_MAX) {
            form.truncate(end);
            break;
        }
    }
    form
}

/// Returns whether a message is a traceback.
pub(super) fn is_traceback(message: &str) -> bool {
    message.trim_start().starts_with(TRACEBACK)
}

/// Returns the part of a message that says what is wrong, in its bounds.
fn subject(message: &str) -> &str {
    let message = message.trim();
    if is_traceback(message) {
        let from = message.len().saturating_sub(TEXT_BYTES_MAX);
        let from = (from..).find(|at| message.is_char_boundary(*at));
        let tail = &message[from.unwrap_or(message.len())..];
        // the lines of the trace itself are indented
        let mut starts = tail.rmatch_indices('\n').map(|(at, _)| at + 1);
        let raised = starts.find(|at| tail[*at..].starts_with(char::is_alphabetic));
        return &tail[raised.unwrap_or(0)..];
    }
    let end = message.len().min(TEXT_BYTES_MAX);
    let end = (0..=end).rev().find(|at| message.is_char_boundary(*at));
    &message[..end.unwrap_or(0)]
}

/// Returns whether a form goes on where it was cut.
pub(super) fn is_cut(form: &str) -> bool {
    form.chars().count() >= FORM_CHARS_MAX
}

/// Returns whether anything in a word was masked.
pub(super) fn has_mark(word: &str) -> bool {
    MASKS.iter().any(|mask| word.contains(mask.mark))
}

/// Splits a form at its marks: literal text, then what the mark after it finds.
fn pieces(form: &str) -> Vec<(&str, Option<&'static str>)> {
    let mut pieces = Vec::new();
    let mut rest = form;
    loop {
        let marks = MASKS
            .iter()
            .filter_map(|mask| Some((rest.find(mask.mark)?, mask)));
        match marks.min_by_key(|(at, _)| *at) {
            Some((at, mask)) => {
                pieces.push((&rest[..at], Some(mask.finds)));
                rest = &rest[at + mask.mark.len()..];
            }
            None => {
                pieces.push((rest, None));
                return pieces;
            }
        }
    }
}

/// Returns a form with an ellipsis for each mark.
pub(super) fn without_marks(form: &str) -> String {
    let pieces = pieces(form).into_iter();
    let worded =
        pieces.map(|(literal, mark)| format!("{literal}{}", if mark.is_some() { "…" } else { "" }));
    worded.collect()
}

/// Returns an expression that finds messages of this form, some of which may be tracebacks, or cut. A
/// mark that was cut in two is left out.
pub(super) fn pattern(form: &str, has_tracebacks: bool, is_cut: bool) -> String {
    let whole = match form.rfind('<') {
        Some(at) if is_cut && form.len() - at < ANYTHING.len() => &form[..at],
        _ => form,
    };
    let mut pattern = r"(?s)^\s*".to_owned();
    if has_tracebacks {
        pattern += &format!(r"(?:{}.*\n)?", regex::escape(TRACEBACK));
    }
    for (literal, finds) in pieces(whole) {
        let words: Vec<String> = literal.split(' ').map(regex::escape).collect();
        pattern += &words.join(r"\s+");
        pattern += finds.unwrap_or("");
    }
    if !is_cut {
        pattern += r"\s*$";
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, expected: &str) {
        assert_eq!(masked(message), expected, "{message}");
    }

    #[test]
    fn what_varies_is_masked() {
        check("Table 'a.b' doesn't exist", "Table <s> doesn't exist");
        check(
            "cannot `open` \"x y\", it isn't there",
            "cannot <s> <s>, it isn't there",
        );
        check("line 12, 3.5 of 1,000", "line <n>, <n> of <n>");
        check("GET https://x.io/a?b=1 failed", "GET <u> failed");
        check("ask mia.li@example.com, now", "ask <e>, now");
        check(
            "at 2024-05-01T10:00:00.123Z or 2024-05-01 10:00:00+02:00 or 10:11:12",
            "at <t> or <t> or <t>",
        );
        check(
            "id 550e8400-e29b-41d4-a716-446655440000 at 0xDEADbeef",
            "id <h> at <h>",
        );
        check("commit deadbeef12 is gone", "commit <h> is gone");
        check(
            "open /etc/hosts: no; ~/x/y and C:\\Temp\\x",
            "open <p>: no; <p> and <p>",
        );
        check("use IN/ALL or and/or", "use IN/ALL or and/or");
        check("flight HAT136  \n is\tfull", "flight HAT<n> is full");
        check("raw <s> and <*>", "raw <*> and <*>");
    }

    #[test]
    fn of_a_traceback_the_last_line_counts() {
        let trace = "Traceback (most recent call last):\n  File \"/a.py\", line 3, in f\n    x()\nKeyError: 'id'";
        check(trace, "KeyError: <s>");
    }

    #[test]
    fn a_hostile_text_is_cut_and_masked_in_time() {
        let quotes = "'\"`/<".repeat(1_000_000);
        assert!(masked(&quotes).chars().count() <= FORM_CHARS_MAX);
        let digits = "1.".repeat(2_000_000);
        assert_eq!(masked(&digits), "<n>.");
        let long = format!("é{}", "é ".repeat(1_000_000));
        assert_eq!(masked(&long).chars().count(), FORM_CHARS_MAX);
        let trace = format!(
            "Traceback (most recent call last)\n{}",
            "é".repeat(3_000_000)
        );
        assert!(masked(&trace).chars().count() <= FORM_CHARS_MAX);
    }

    #[test]
    fn a_pattern_finds_what_differs_where_the_form_has_marks() {
        let pattern = |message: &str, has_tracebacks: bool| {
            Regex::new(&pattern(&masked(message), has_tracebacks, false)).unwrap()
        };
        let table = pattern("Table 'a.b' (x) doesn't exist", false);
        assert!(table.is_match(" Table\n\"c\" (x) doesn't exist\n"));
        for other in [
            "Table c (x) doesn't exist",
            "error: Table 'c' (x) doesn't exist",
            "Table 'c' (x) doesn't exist!",
        ] {
            assert!(!table.is_match(other), "{other}");
        }
        let trace = "Traceback (most recent call last):\n  f()\nKeyError: 'id'\n";
        assert!(pattern(trace, true).is_match(trace));
        assert!(pattern(trace, true).is_match("KeyError: 'x'"));
        assert!(!pattern("", false).is_match("anything"));
    }
}
