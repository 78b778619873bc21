//! Any text where a rule, a selector, a template, a reply of a judge, an error or a pattern should be:
//! never a panic, and what is taken for one can be used. The same checks are fuzz targets.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use insight::drain::{FORM_CHARS_MAX, Templates, masked};
use insight::fence::{Fence, Nonce};
use insight::judging::{Evidence, Judged, Offered, Reply, Scale, read_answer};
use insight::render::Renderer;
use insight::rule::{Rule, Selector};
use insight::template::{Row, Template};
use insight::{Effects, ToldSpan, ToldTrace, TraceView};
use model::Time;
use proptest::prelude::*;
use testkit::story::{self, Story};

fn view() -> TraceView {
    let told = Story::default().spans().into_iter().map(|said| ToldSpan {
        span: said.span,
        input: said.input,
        output: said.output,
        arguments: said.arguments,
        result: said.result,
        tools: said.tools,
    });
    let spans: Vec<ToldSpan> = told.collect();
    let row = story::row(&spans.iter().map(|told| &told.span).collect::<Vec<_>>());
    TraceView::of(ToldTrace {
        status: row.settled_status,
        row,
        horizon: Time::from_micros(1_000_000),
        spans,
        reference: None,
    })
}

/// Texts of words that mean something to a parser, in any order, and of any characters between.
fn of_words(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => proptest::sample::select(words).prop_map(str::to_owned),
        1 => "\\PC{0,3}",
        1 => Just(" ".to_owned()),
    ];
    proptest::collection::vec(word, 0..24).prop_map(|words| words.concat())
}

const OF_RULES: &[&str] = &[
    "spans",
    "[",
    "]",
    "(",
    ")",
    "type",
    "=",
    "function",
    ".all",
    ".exists",
    "s",
    ", ",
    "s.name",
    " == ",
    "\"x\"",
    "'",
    " && ",
    " || ",
    "!",
    "duration_ms",
    " < ",
    "5",
    "-",
    "0.5",
    "1e9",
    "seq",
    "matches",
    "\\",
    "calls",
    "before",
    "within",
    "json",
    ".",
    "{",
    "}",
    " ? ",
    " : ",
    "//",
    "\n",
    "in",
    "null",
    "has",
    "r\"",
    "\"\"\"",
    "pct",
    "count_between",
    "%",
    "99999999999999999999",
];

const OF_TEMPLATES: &[&str] = &[
    "{{",
    "}}",
    "{",
    "}",
    "item",
    "sample",
    ".",
    "[",
    "]",
    "0",
    "x",
    "trace",
    "spans",
    " ",
    "{{item.x}}",
    "{trace}",
    "\\",
];

const OF_REPLIES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\"verdict\": ",
    "\"pass\"",
    "\"fail\"",
    "\"score\": ",
    "3",
    "0.5",
    "\"label\": ",
    "\"good\"",
    "\"reasoning\": \"so\"",
    "\"evidence\": []",
    "\"evidence\": [{\"span_id\": \"s3\", \"quote\": \"99 USD\"}]",
    "\"confidence\": 2",
    "```",
    "\n",
    "null",
];

const OF_ERRORS: &[&str] = &[
    "Table 'a.b'",
    " doesn't",
    " exist",
    "\"",
    "'",
    "`",
    "/etc/x",
    "https://a.b/c",
    "me@x.io",
    "0xff",
    "2024-05-01T10:00:00Z",
    "12",
    ".",
    ",",
    "<s>",
    "<*>",
    "<",
    "Traceback (most recent call last)",
    "\n",
    "  File",
    "KeyError: ",
    "(",
    "[",
    "\\",
    "é",
    "a word and another word and another word and another word and another word and another word and so on ",
];

/// Checks a text as a rule and as a selector.
fn check_rule(source: &str, view: &TraceView) -> Result<(), TestCaseError> {
    match Rule::parse(source) {
        Ok(rule) => {
            drop(rule.grade(view, &()));
            drop(
                rule.storage_predicate()
                    .map(|predicate| predicate.to_string()),
            );
            prop_assert_eq!(rule.source(), source);
        }
        Err(problems) => {
            prop_assert!(!problems.all().is_empty());
            let shown = problems.to_string();
            for problem in problems.all() {
                prop_assert!(shown.contains(&problem.message), "{}", shown);
                let (line, column) = problems.position(problem);
                prop_assert!(line >= 1 && column >= 1);
            }
        }
    }
    if let Ok(selector) = Selector::parse(source) {
        drop(selector.places(view, &()));
    }
    Ok(())
}

fn check_template(text: &str) {
    let item = serde_json::json!({"x": [1, {"y": "z"}]});
    let row = Row {
        item: &item,
        sample: None,
    };
    let strict = Template::parse_strict(text).ok();
    for template in [Template::parse(text), Template::parse_input(text)]
        .into_iter()
        .chain(strict)
    {
        drop(template.render(&row));
        assert!(template.variables().all(|variable| !variable.is_empty()));
    }
}

fn check_reply(text: &str, view: &TraceView) -> Result<(), TestCaseError> {
    let effects = Effects::default();
    let renderer = Renderer::new(view, &effects);
    let fence = Fence::new(Nonce::new("c0ffee").unwrap());
    let evidence = Evidence::new(&renderer, &fence);
    let labels = vec!["good".to_owned(), "bad".to_owned()];
    let offers = [
        Offered::Verdict,
        Offered::of_scale(Scale::of_range(1.0, 5.0).unwrap(), Some(3.0)),
        Offered::Label {
            passing: labels[..1].to_vec(),
            labels,
        },
    ];
    for offered in &offers {
        match read_answer(Reply::Text(text), offered, &evidence) {
            Judged::Verdict(answer) => {
                let fails = offered.passes(&answer.choice) == Some(false);
                prop_assert!(
                    !fails || !answer.citations.is_empty(),
                    "a fail without evidence"
                );
            }
            Judged::NeedsEvidence(answer) => prop_assert!(answer.citations.is_empty()),
            Judged::Repair(why) => prop_assert!(!why.is_empty()),
        }
    }
    Ok(())
}

fn check_errors(messages: &[String]) -> Result<(), TestCaseError> {
    let templates = Templates::of(messages.iter().map(String::as_str));
    for message in messages {
        prop_assert!(masked(message).chars().count() <= FORM_CHARS_MAX);
        let template = templates.find(message).unwrap();
        let pattern = regex::Regex::new(&template.pattern()).unwrap();
        prop_assert!(pattern.is_match(message), "{:?} {:?}", pattern, message);
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text_as_a_rule(words in of_words(OF_RULES), any in any::<Vec<u8>>()) {
        let view = view();
        check_rule(&words, &view)?;
        check_rule(&String::from_utf8_lossy(&any), &view)?;
    }

    #[test]
    fn any_text_as_a_template(words in of_words(OF_TEMPLATES), any in any::<Vec<u8>>()) {
        check_template(&words);
        check_template(&String::from_utf8_lossy(&any));
    }

    #[test]
    fn any_text_as_a_reply(words in of_words(OF_REPLIES), any in any::<Vec<u8>>()) {
        let view = view();
        check_reply(&words, &view)?;
        check_reply(&String::from_utf8_lossy(&any), &view)?;
    }

    #[test]
    fn any_texts_as_errors(all in proptest::collection::vec(of_words(OF_ERRORS), 1..6)) {
        check_errors(&all)?;
    }
}
