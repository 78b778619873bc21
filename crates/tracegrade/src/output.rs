//! What does a person or a program see? The only file that prints.
//!
//! Results go to stdout, everything else to stderr. Colours are dropped where nobody would see them
//! (anstream). A reader who has seen enough, such as `head`, closes the pipe: that is no failure.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;

use crate::client::ClientError;

/// As it is.
pub(crate) const PLAIN: Style = Style::new();
/// Dim: what is less important.
pub(crate) const DIM: Style = Style::new().dimmed();
/// Bold: what to read first.
pub(crate) const BOLD: Style = Style::new().bold();
/// What went well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What failed.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
/// What is not over.
pub(crate) const OPEN: Style = AnsiColor::Yellow.on_default();

/// Returns `text` in a style.
pub(crate) fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Prints a line of a result.
pub(crate) fn line(text: impl AsRef<str>) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_ref().as_bytes())?;
    out.write_all(b"\n")
}

/// Prints text of many lines at once.
pub(crate) fn block(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes bytes as they are: JSON, CSV, Parquet.
pub(crate) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Prints a line that is no part of the result.
pub(crate) fn note(text: impl AsRef<str>) {
    // Without a stderr there is nobody to tell.
    let _written = writeln!(anstream::stderr().lock(), "{}", text.as_ref());
}

/// Returns a bar over `total` bytes or pieces; it shows on a terminal only.
pub(crate) fn bar(total: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(total).with_message(what);
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent}% {eta}");
    bar.with_style(style.expect("the template is fixed and valid"))
}

/// Returns a bar over the traces of a run, with room for what was spent; it shows on a terminal only.
pub(crate) fn traces_bar() -> ProgressBar {
    let style =
        ProgressStyle::with_template("grading {wide_bar} {human_pos}/{human_len} {msg} {eta}");
    ProgressBar::new(0).with_style(style.expect("the template is fixed and valid"))
}

/// Returns a counter without an end; it shows on a terminal only.
pub(crate) fn counter(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::no_length().with_message(what);
    let style = ProgressStyle::with_template("{spinner} {msg} {human_pos} in {elapsed}");
    bar.with_style(style.expect("the template is fixed and valid"))
}

/// Tells why a command failed, to a program as JSON, and returns its exit code.
pub(crate) fn fail(error: &anyhow::Error, json: bool) -> ExitCode {
    // Only our own writing: a pipe that broke on the way to a server is a failure like others.
    let io = error.downcast_ref::<io::Error>();
    if io.is_some_and(|io| io.kind() == ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    let client = error.downcast_ref::<ClientError>();
    let hint = client.and_then(ClientError::hint);
    if json {
        note(failure(&Failure {
            message: &chain(error),
            code: client.map_or("failed", ClientError::code),
            param: client.and_then(ClientError::param),
            hint,
        }));
    } else {
        note(format!("{} {}", styled(BAD, "error:"), chain(error)));
        if let Some(hint) = hint {
            note(format!("{} {hint}", styled(BOLD, "hint:")));
        }
    }
    match client {
        Some(ClientError::Unreachable { .. }) => ExitCode::from(3),
        _ => ExitCode::FAILURE,
    }
}

/// Why a command failed, as a program reads it.
#[derive(Debug, Serialize)]
pub(crate) struct Failure<'a> {
    /// For people.
    pub(crate) message: &'a str,
    /// A word that does not change.
    pub(crate) code: &'a str,
    /// The parameter or the field at fault.
    pub(crate) param: Option<&'a str>,
    /// What to do about it.
    pub(crate) hint: Option<&'a str>,
}

/// Returns a failure on one line, in the shape of the API's errors.
pub(crate) fn failure(failure: &Failure<'_>) -> String {
    json!({ "error": failure }).to_string()
}

/// Returns an error with its causes, each told once.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text.split('\n')
        .map(crate::text::safe_text)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Where a column's cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A cell: what is shown, and how.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Returns a cell in a style. The text must be safe.
    pub(crate) fn styled(style: Style, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            style,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            style: Style::new(),
        }
    }
}

/// Returns rows in columns under their names.
pub(crate) fn table(columns: &[(&str, Align)], rows: &[Vec<Cell>]) -> String {
    let width = |at: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(at))
            .map(|cell| cell.text.chars().count());
        cells
            .chain([columns[at].0.chars().count()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let head: Vec<Cell> = columns
        .iter()
        .map(|(name, _)| Cell::styled(BOLD, *name))
        .collect();
    let mut out = String::new();
    for row in std::iter::once(&head).chain(rows) {
        // What is empty at the end of a line is not padded.
        let told = row.iter().rposition(|cell| !cell.text.is_empty());
        let told = told.map_or(0, |last| last + 1);
        for (at, cell) in row[..told].iter().enumerate() {
            let padding = " ".repeat(widths[at] - cell.text.chars().count());
            let text = styled(cell.style, &cell.text);
            match columns[at].1 {
                Align::Right => out.extend([padding.as_str(), &text]),
                Align::Left if at + 1 == told => out.push_str(&text),
                Align::Left => out.extend([text.as_str(), &padding]),
            }
            if at + 1 < told {
                out.push_str("  ");
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_in_line() {
        let rows = vec![
            vec![Cell::from("a"), Cell::from("1"), Cell::from("x")],
            vec![Cell::from("späße"), Cell::from("1,000"), Cell::from("yy")],
        ];
        let columns = [
            ("name", Align::Left),
            ("n", Align::Right),
            ("what", Align::Left),
        ];
        let text = anstream::adapter::strip_str(&table(&columns, &rows)).to_string();
        assert_eq!(
            text,
            "name       n  what\na          1  x\nspäße  1,000  yy\n"
        );
    }

    #[test]
    fn no_line_ends_in_blanks() {
        let rows = vec![vec![Cell::from("a"), Cell::styled(DIM, ""), Cell::from("")]];
        let columns = ["name", "n", ""].map(|name| (name, Align::Left));
        let text = anstream::adapter::strip_str(&table(&columns, &rows)).to_string();
        assert_eq!(text, "name  n\na\n");
    }

    #[test]
    fn a_program_reads_a_failure_as_one_object() {
        let told = failure(&Failure {
            message: "limit: \"x\" is\nno number",
            code: "invalid_parameter",
            param: Some("limit"),
            hint: None,
        });
        assert_eq!(told.lines().count(), 1);
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(
            told,
            json!({"error": {"message": "limit: \"x\" is\nno number", "code": "invalid_parameter", "param": "limit", "hint": null}})
        );
    }

    #[test]
    fn an_error_tells_each_cause_once_and_nothing_to_the_terminal() {
        let error =
            anyhow::anyhow!("cannot \x1b[2J read").context("failed to open x: cannot \x1b[2J read");
        assert_eq!(chain(&error), r"failed to open x: cannot \u{1b}[2J read");
        let error = anyhow::anyhow!("b").context("a");
        assert_eq!(chain(&error), "a: b");
    }
}
