//! A report as Markdown for a pull request.
//!
//! Names and ids are what somebody sent. They stand in code, where nothing is a link, a mention or a tag,
//! and cannot leave it.

use std::fmt::Write as _;

use super::{GateReport, GateVerdict, Regression};
use crate::results::{setting, value};

pub(super) fn written(report: &GateReport) -> String {
    let mark = match report.verdict {
        GateVerdict::Pass => "✅",
        GateVerdict::Fail => "❌",
        GateVerdict::Inconclusive => "❔",
        GateVerdict::Error => "⚠️",
    };
    let mut page = format!("### {mark} tracegrade gate: {}\n\n", report.verdict.word());
    if report.graders.is_empty() {
        let _ = writeln!(page, "{}", plain(&report.sentence));
        return page;
    }
    page.push_str("| grader | verdict | baseline | candidate | why |\n|---|---|---|---|---|\n");
    for grader in &report.graders {
        let number = |figure: Option<&crate::results::FigureObject>| {
            figure.map_or_else(
                || "–".to_owned(),
                |it| crate::results::decimal(it.estimate, 3),
            )
        };
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} |",
            // in a cell, and only there, a bar is taken for the end of it even in code
            code(&grader.grader).replace('|', "\\|"),
            grader.verdict.word(),
            number(grader.baseline.as_ref()),
            number(grader.candidate.as_ref()),
            plain(&grader.detail),
        );
    }
    if !report.examples.is_empty() {
        page.push_str("\nTraces that lost most:\n\n");
        for example in &report.examples {
            let _ = writeln!(page, "- {}", told(example));
        }
        // A link would need to know where who reads this reaches the server.
        page.push_str("\n`tracegrade traces show ID` shows one of them.\n");
    }
    let looks = if report.sequential {
        "may be looked at any time"
    } else {
        "looked at once"
    };
    let _ = writeln!(
        page,
        "\n<sub>margin {}, α {}, {looks}</sub>",
        setting(report.margin),
        setting(report.alpha)
    );
    page
}

fn told(example: &Regression) -> String {
    let from = match (example.baseline, &example.baseline_trace_id) {
        (Some(was), Some(id)) => format!(" (was {} in {})", value(was), code(id)),
        _ => String::new(),
    };
    let (id, grader) = (code(&example.trace_id), code(&example.grader));
    format!("{id}: {grader} {}{from}", value(example.candidate))
}

/// Returns a text as code: between more backticks than it has in a row, on one line.
fn code(text: &str) -> String {
    let line = one_line(text);
    let runs = line.split(|c| c != '`').map(str::len);
    let fence = "`".repeat(runs.max().unwrap_or(0) + 1);
    // a space at both ends is taken away again
    format!("{fence} {line} {fence}")
}

/// Returns a text in which nothing is Markdown.
fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '!' | '~' | '#' | '|' | '/' => {
                safe.push('\\');
                safe.push(c);
            }
            // a mention is looked for in the rendered text: nothing that is seen breaks it
            '@' => safe.push_str("@\u{200b}"),
            c => safe.push(c),
        }
    }
    safe.replace("www.", "www\\.")
}

/// Replaces what would end the line, and what turns or hides text.
fn one_line(text: &str) -> String {
    let of = |c: char| match c {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
        '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => char::REPLACEMENT_CHARACTER,
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(of).collect()
}
