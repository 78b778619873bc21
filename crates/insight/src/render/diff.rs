//! How do two texts differ?

use similar::{ChangeTag, TextDiff};

/// Of longer texts only the beginning is compared: comparing takes the square of the lines.
const LINES_MAX: usize = 1_000;

/// Lines that are the same on both sides are shown up to this far from one that is not.
const CONTEXT_LINES: usize = 2;

/// Returns the lines that differ, marked `- ` and `+ `, with some around them.
pub(super) fn lines(a: &str, b: &str) -> String {
    let (a, b) = (beginning(a), beginning(b));
    if a == b {
        return "no difference".to_owned();
    }
    let diff = TextDiff::from_lines(a, b);
    let mut out = String::new();
    for group in diff.grouped_ops(CONTEXT_LINES) {
        if !out.is_empty() {
            out.push_str("…\n");
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            out.push_str(match change.tag() {
                ChangeTag::Delete => "- ",
                ChangeTag::Insert => "+ ",
                ChangeTag::Equal => "  ",
            });
            out.push_str(change.value().trim_end_matches('\n'));
            out.push('\n');
        }
    }
    out
}

fn beginning(text: &str) -> &str {
    let mut ends = text.match_indices('\n').map(|(at, _)| at);
    ends.nth(LINES_MAX - 1).map_or(text, |end| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn what_differs_is_marked() {
        assert_eq!(lines("a\nb\nc", "a\nB\nc"), "  a\n- b\n+ B\n  c\n");
        assert_eq!(lines("same", "same"), "no difference");
        assert_eq!(lines("", "new"), "+ new\n");
        let long = "x\n".repeat(5_000);
        assert_eq!(lines(&long, &(long.clone() + "y")), "no difference");
    }
}
