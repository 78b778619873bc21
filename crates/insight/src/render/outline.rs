//! How is every span kept in sight where there is no room for a line each?
//!
//! Neighbours share a line: first those that are alike, then any, in ever larger groups.

use super::lines::{Lines, are_alike};
use super::page::{Full, Page};

/// The first size of groups of neighbours.
const GROUP_MIN: u32 = 4;

/// Which neighbours share a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    /// None do.
    Nothing,
    /// Those of one type, name, end and parent.
    Alike,
    /// Any, up to so many.
    Groups(u32),
}

impl Fold {
    /// Returns the next way to take fewer lines. After the last one all spans are one group.
    pub(super) fn more(self) -> Self {
        match self {
            Self::Nothing => Self::Alike,
            Self::Alike => Self::Groups(GROUP_MIN),
            Self::Groups(size) => Self::Groups(size.saturating_mul(4)),
        }
    }

    /// Returns the end of the run of spans that starts at `from` and ends before `to` at the latest.
    fn run_end(self, lines: Lines<'_>, from: u32, to: u32) -> u32 {
        match self {
            Self::Nothing => from + 1,
            Self::Groups(size) => to.min((from / size + 1).saturating_mul(size)),
            Self::Alike => {
                let spans = &lines.view.spans;
                let first = &spans[from as usize];
                let is_alike = |at: &u32| are_alike(first, &spans[*at as usize]);
                let alike = (from + 1..to).take_while(is_alike).count();
                match u32::try_from(alike) {
                    Ok(alike) if alike >= 2 => from + alike + 1,
                    _ => from + 1,
                }
            }
        }
    }
}

/// Writes the lines of the spans from `from` up to `to`.
pub(super) fn write(
    page: &mut Page,
    lines: Lines<'_>,
    fold: Fold,
    from: u32,
    to: u32,
) -> Result<(), Full> {
    let mut at = from;
    while at < to {
        let end = fold.run_end(lines, at, to);
        page.line(&lines.of_run(at, end - 1))?;
        at = end;
    }
    Ok(())
}
