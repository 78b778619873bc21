//! A report as JUnit's XML, which every pipeline can show.
//!
//! Names and ids are what somebody sent, so every text is escaped and what XML cannot hold is replaced.

use std::fmt::Write as _;

use super::{GateGrader, GateReport, GateVerdict};
use crate::results::value;

pub(super) fn written(report: &GateReport) -> String {
    let count = |verdict| {
        report
            .graders
            .iter()
            .filter(|it| it.verdict == verdict)
            .count()
    };
    // an error before any grader was asked is a case of its own
    let alone = usize::from(report.graders.is_empty());
    let numbers = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\"",
        report.graders.len() + alone,
        count(GateVerdict::Fail),
        count(GateVerdict::Error) + alone,
        count(GateVerdict::Inconclusive),
    );
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(xml, "<testsuites name=\"tracegrade gate\" {numbers}>");
    let _ = writeln!(xml, "  <testsuite name=\"tracegrade gate\" {numbers}>");
    for grader in &report.graders {
        case(&mut xml, grader);
    }
    if report.graders.is_empty() {
        let message = escaped(&report.sentence);
        let _ = writeln!(
            xml,
            "    <testcase classname=\"tracegrade.gate\" name=\"gate\">"
        );
        let _ = writeln!(xml, "      <error message=\"{message}\"/>\n    </testcase>");
    }
    if !report.examples.is_empty() {
        xml.push_str("    <system-out>");
        let told = report.examples.iter().map(|it| {
            let from = it
                .baseline
                .map_or_else(String::new, |from| format!("{} → ", value(from)));
            let to = value(it.candidate);
            format!("{}: {from}{to} in trace {}", it.grader, it.trace_id)
        });
        xml.push_str(&escaped(&told.collect::<Vec<_>>().join("\n")));
        xml.push_str("</system-out>\n");
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

fn case(xml: &mut String, grader: &GateGrader) {
    let (name, message) = (escaped(&grader.grader), escaped(&grader.sentence));
    let method = escaped(&grader.method);
    let _ = write!(
        xml,
        "    <testcase classname=\"tracegrade.gate\" name=\"{name}\""
    );
    let _ = match grader.verdict {
        GateVerdict::Pass => writeln!(
            xml,
            ">\n      <system-out>{message}</system-out>\n    </testcase>"
        ),
        GateVerdict::Fail => writeln!(
            xml,
            ">\n      <failure type=\"regression\" message=\"{message}\">{method}</failure>\n    </testcase>"
        ),
        GateVerdict::Error => writeln!(
            xml,
            ">\n      <error message=\"{message}\"/>\n    </testcase>"
        ),
        GateVerdict::Inconclusive => {
            writeln!(
                xml,
                ">\n      <skipped message=\"{message}\"/>\n    </testcase>"
            )
        }
    };
}

/// Returns a text that can stand in an element and in an attribute.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&apos;"),
            // attributes fold line ends into spaces unless they are written so
            '\n' => safe.push_str("&#10;"),
            '\t' => safe.push_str("&#9;"),
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => {
                safe.push(char::REPLACEMENT_CHARACTER);
            }
            c => safe.push(c),
        }
    }
    safe
}
