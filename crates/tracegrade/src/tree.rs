//! What does a trace look like as text? Pure: rows in, lines out.
//!
//! A trace may have a hundred thousand spans, most of them alike. So of many children of one span the
//! first are shown, and behind them those that failed; the others are counted, never left out in
//! silence.

use std::fmt::Write as _;

use anstyle::Style;

use crate::output::{BAD, BOLD, DIM, GOOD, OPEN, styled};
use crate::text;

/// The longest name that is shown whole.
const NAME_CHARS_MAX: usize = 60;

/// One span.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    /// The row of its parent; `None` for a root. A parent may stand anywhere in the list.
    pub(crate) parent: Option<usize>,
    /// As it was sent: not safe to print.
    pub(crate) name: String,
    /// The normalised type.
    pub(crate) kind: String,
    /// `success`, `error` or `open`.
    pub(crate) status: String,
    /// How long it took, or so far.
    pub(crate) duration_ms: Option<f64>,
    /// Tokens read and written, of those that tell.
    pub(crate) tokens: Option<u64>,
    /// A guardrail that tripped.
    pub(crate) is_tripped: bool,
}

/// How much of a tree is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// Levels below the roots.
    pub(crate) depth_max: usize,
    /// Children of one span.
    pub(crate) children_max: usize,
}

/// Returns the tree, one line a span.
pub(crate) fn render(rows: &[Row], extent: Extent) -> String {
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); rows.len()];
    let mut roots = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        match row
            .parent
            .filter(|parent| *parent < rows.len() && *parent != at)
        {
            Some(parent) => children[parent].push(at),
            None => roots.push(at),
        }
    }
    let mut tree = Tree {
        rows,
        children,
        extent,
        out: String::new(),
    };
    tree.draw(roots);
    tree.out
}

struct Tree<'a> {
    rows: &'a [Row],
    children: Vec<Vec<usize>>,
    extent: Extent,
    out: String,
}

/// One line to be drawn.
struct Line {
    what: What,
    /// What stands before it: the rails of its ancestors.
    rails: String,
    depth: usize,
    is_last: bool,
}

enum What {
    Span(usize),
    /// Siblings that are not shown.
    More(Vec<usize>),
}

impl Tree<'_> {
    /// Draws spans and all below them. With a stack of its own, since a trace may be deeper than ours.
    fn draw(&mut self, roots: Vec<usize>) {
        let mut stack: Vec<Line> = self.lines(roots, String::new(), 0);
        while let Some(line) = stack.pop() {
            let (elbow, rail) = match (line.depth, line.is_last) {
                (0, _) => ("", ""),
                (_, true) => ("└─ ", "   "),
                (_, false) => ("├─ ", "│  "),
            };
            self.out
                .push_str(&styled(DIM, format_args!("{}{elbow}", line.rails)));
            let at = match line.what {
                What::Span(at) => at,
                What::More(hidden) => {
                    self.out.push_str(&styled(
                        DIM,
                        format_args!("… {} more", text::count(hidden.len() as u64)),
                    ));
                    self.out.push('\n');
                    continue;
                }
            };
            self.span(at);
            let below = std::mem::take(&mut self.children[at]);
            if below.is_empty() {
                self.out.push('\n');
            } else if line.depth >= self.extent.depth_max {
                let count = text::count(self.count_below(below));
                self.out
                    .push_str(&styled(DIM, format_args!("  … {count} below")));
                self.out.push('\n');
            } else {
                self.out.push('\n');
                stack.extend(self.lines(below, format!("{}{rail}", line.rails), line.depth + 1));
            }
        }
    }

    /// Returns the lines of siblings, the first one last, as a stack wants them.
    fn lines(&self, siblings: Vec<usize>, rails: String, depth: usize) -> Vec<Line> {
        let (shown, hidden) = self.choose(siblings);
        let spans = shown.into_iter().map(What::Span);
        let more = (!hidden.is_empty()).then_some(What::More(hidden));
        let mut lines: Vec<Line> = spans
            .chain(more)
            .map(|what| Line {
                what,
                rails: rails.clone(),
                depth,
                is_last: false,
            })
            .collect();
        if let Some(last) = lines.last_mut() {
            last.is_last = true;
        }
        lines.reverse();
        lines
    }

    /// Returns which siblings are shown and which are counted: what failed is shown as long as there
    /// is room for it twice over.
    fn choose(&self, siblings: Vec<usize>) -> (Vec<usize>, Vec<usize>) {
        let max = self.extent.children_max;
        if siblings.len() <= max {
            return (siblings, Vec::new());
        }
        let (mut shown, rest) = (siblings[..max].to_vec(), &siblings[max..]);
        let failed = rest
            .iter()
            .copied()
            .filter(|at| self.rows[*at].status == "error");
        shown.extend(failed.take(max));
        let hidden = rest
            .iter()
            .copied()
            .filter(|at| shown[max..].binary_search(at).is_err())
            .collect();
        (shown, hidden)
    }

    fn count_below(&self, mut open: Vec<usize>) -> u64 {
        let mut count = 0;
        while let Some(at) = open.pop() {
            count += 1;
            open.extend(&self.children[at]);
        }
        count
    }

    fn span(&mut self, at: usize) {
        let row = &self.rows[at];
        let (glyph, style) = glyph(&row.status, row.is_tripped);
        let name = text::short_text(&row.name, NAME_CHARS_MAX);
        let kind = text::safe_text(&row.kind);
        // Writing to a string cannot fail.
        let _ = write!(self.out, "{} {}", styled(style, glyph), styled(BOLD, name));
        let mut facts = vec![kind.into_owned()];
        facts.extend(row.duration_ms.map(text::duration));
        facts.extend(
            row.tokens
                .map(|tokens| format!("{} tokens", text::count(tokens))),
        );
        if row.is_tripped {
            facts.push("tripped".to_owned());
        }
        if row.status == "open" {
            facts.push("open".to_owned());
        }
        let _ = write!(self.out, "  {}", styled(DIM, facts.join(" · ")));
    }
}

/// Returns the sign for a status of a span or a trace.
pub(crate) fn glyph(status: &str, is_tripped: bool) -> (&'static str, Style) {
    match status {
        _ if is_tripped => ("▲", OPEN),
        "success" => ("✓", GOOD),
        "error" | "timeout" => ("✗", BAD),
        "open" | "running" => ("●", OPEN),
        _ => ("○", DIM),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(parent: Option<usize>, name: &str, status: &str) -> Row {
        Row {
            parent,
            name: name.into(),
            kind: "function".into(),
            status: status.into(),
            duration_ms: Some(1_500.0),
            ..Row::default()
        }
    }

    fn check(rows: &[Row], depth_max: usize, children_max: usize, want: &str) {
        let text = render(
            rows,
            Extent {
                depth_max,
                children_max,
            },
        );
        let text = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(text.trim_end(), want.trim_matches('\n'));
    }

    #[test]
    fn a_tree_has_rails() {
        let mut rows = vec![
            row(None, "run", "success"),
            row(Some(0), "first", "success"),
            row(Some(1), "inner", "error"),
            row(Some(0), "guard", "success"),
            row(Some(3), "last", "open"),
            row(None, "other", "success"),
        ];
        rows[3].is_tripped = true;
        rows[2].tokens = Some(1_234);
        check(
            &rows,
            9,
            9,
            "
✓ run  function · 1.5 s
├─ ✓ first  function · 1.5 s
│  └─ ✗ inner  function · 1.5 s · 1,234 tokens
└─ ▲ guard  function · 1.5 s · tripped
   └─ ● last  function · 1.5 s · open
✓ other  function · 1.5 s
",
        );
        check(&rows[..3], 0, 9, "✓ run  function · 1.5 s  … 2 below");
    }

    #[test]
    fn of_many_the_first_and_the_failed_are_shown_and_the_others_counted() {
        let mut rows = vec![row(None, "run", "success")];
        rows.extend((1..=1_500).map(|n| {
            row(
                Some(0),
                &format!("call {n}"),
                if n == 900 { "error" } else { "success" },
            )
        }));
        check(
            &rows,
            9,
            2,
            "
✓ run  function · 1.5 s
├─ ✓ call 1  function · 1.5 s
├─ ✓ call 2  function · 1.5 s
├─ ✗ call 900  function · 1.5 s
└─ … 1,497 more
",
        );
    }

    #[test]
    fn a_name_cannot_draw_and_depth_does_not_matter() {
        check(
            &[row(None, "a\n\x1b[2Jb", "success")],
            9,
            9,
            r"✓ a\n\u{1b}[2Jb  function · 1.5 s",
        );
        let deep: Vec<Row> = (0..5_000)
            .map(|n: usize| row(n.checked_sub(1), "x", "success"))
            .collect();
        assert_eq!(
            render(
                &deep,
                Extent {
                    depth_max: usize::MAX,
                    children_max: 9
                }
            )
            .lines()
            .count(),
            5_000
        );
    }
}
