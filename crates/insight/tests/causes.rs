//! Why real runs of the Agents SDK fail, in Python and in JavaScript: the words that name their failures.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::fmt::Write as _;
use std::path::PathBuf;

use insight::drain::Templates;
use insight::failures::{About, Knowledge, Observed, analyze, cases};
use insight::rule::Rule;
use insight::{Context, Detectors, TraceView};
use model::{Outcome, SpanError};
use support::{repository, views};

/// Returns the captures of both SDKs, by their names.
fn captures() -> Vec<PathBuf> {
    let folders = ["testdata/openai-agents", "testdata/openai-agents-js"];
    let files = folders.iter().flat_map(|folder| {
        std::fs::read_dir(repository().join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
    });
    let mut files: Vec<PathBuf> = files
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    files
}

/// Returns the traces of a capture.
fn traces(path: &PathBuf) -> Vec<TraceView> {
    let file: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let bodies = file["requests"].as_array().unwrap().iter();
    let lines: Vec<String> = bodies.map(|request| request["body"].to_string()).collect();
    views(lines.join("\n").into_bytes())
}

#[test]
fn failures_of_real_runs_are_named_by_what_went_wrong() {
    let views: Vec<TraceView> = captures().iter().flat_map(traces).collect();
    let has_failed = |view: &TraceView| view.spans.iter().any(|span| span.has_failed());
    assert!(views.iter().filter(|view| has_failed(view)).count() >= 20);
    let observed = views.iter().map(|view| {
        let findings = Detectors::only([]).run(view, &Context::default());
        Observed::of(view, &findings, has_failed(view), Vec::new())
    });
    let (cases, templates) = cases(observed.collect());
    let mut page = String::new();
    for template in templates.iter() {
        writeln!(page, "{:>3} {}", template.count, template.words()).unwrap();
    }
    let groups = analyze(cases, &knowledge(&templates)).groups;
    for group in &groups {
        let (count, issue) = (group.affected_traces, &group.issue);
        writeln!(
            page,
            "\n{count:>3} {issue}\n    {}\n    {}",
            group.rule, group.suggestion
        )
        .unwrap();
        let rule = Rule::parse(&group.rule).unwrap();
        let found = views
            .iter()
            .filter(|view| rule.grade(view, &()).outcome == Outcome::Pass);
        assert!(found.count() as u64 >= count, "{}", group.rule);
    }
    assert!(groups.len() > 3);
    insta::assert_snapshot!(page);
}

#[test]
fn a_sentence_of_the_runner_names_no_template_where_data_tell_more() {
    for view in captures().iter().flat_map(traces) {
        for span in view.spans.iter().filter(|span| span.has_failed()) {
            let error = span.span().error.as_ref().unwrap();
            let data = error.data.as_ref().map_or("", |data| data.as_str());
            let tells = ["\"error\"", "\"guardrail\"", "\"tool_name\""];
            if SpanError::is_sentence(&error.message) && tells.iter().any(|key| data.contains(key))
            {
                assert_ne!(error.cause(), error.message, "{data}");
            }
        }
    }
}

fn knowledge(templates: &Templates) -> Knowledge<'_> {
    Knowledge {
        templates,
        detector: &|_| None::<About>,
        pass_from: &|_| 1.0,
        interval: &|_| None,
    }
}
