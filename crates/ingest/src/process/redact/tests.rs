//! What is found in the corpus, and what is left of texts and documents in which something was found.

use super::*;
use proptest::prelude::*;

const CORPUS: &str = include_str!("../../../../../testdata/redaction/corpus.tsv");

fn all() -> Redactor {
    Redactor::compile(&Recogniser::ALL, &[], None).unwrap()
}

/// A line of the corpus: the text, and what is to be found in it.
fn marked(line: &str) -> (String, Vec<(String, String)>) {
    let line = line.replace('␤', "\n");
    let (mut text, mut want) = (String::new(), Vec::new());
    let mut rest = line.as_str();
    while let Some((before, marked)) = rest.split_once('«') {
        let (inside, after) = marked.split_once('»').unwrap();
        let (kind, secret) = inside.split_once('|').unwrap();
        text.push_str(before);
        text.push_str(secret);
        want.push((kind.to_owned(), secret.to_owned()));
        rest = after;
    }
    text.push_str(rest);
    (text, want)
}

#[test]
fn the_corpus_is_found_exactly_and_nothing_else() {
    let redactor = all();
    let (mut lines, mut wrong) = (0, Vec::new());
    let (mut right, mut found, mut wanted) = (0, 0, 0);
    for line in CORPUS.lines() {
        let (_, line) = line.split_once('\t').unwrap();
        let (text, want) = marked(line);
        let hits = redactor.find(&text);
        let got: Vec<(String, String)> = hits
            .iter()
            .map(|hit| {
                (
                    redactor.name(hit.kind).to_owned(),
                    text[hit.start..hit.end].to_owned(),
                )
            })
            .collect();
        lines += 1;
        right += got.iter().filter(|hit| want.contains(hit)).count();
        (found, wanted) = (found + got.len(), wanted + want.len());
        if got != want {
            wrong.push(format!("{text:?}\n  want {want:?}\n  got  {got:?}"));
        }
    }
    println!(
        "{lines} lines: precision {:.4}, recall {:.4}",
        right as f64 / found as f64,
        right as f64 / wanted as f64
    );
    assert!(lines > 500, "{lines} lines");
    assert!(
        wrong.is_empty(),
        "{} of {lines}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn what_was_taken_out_is_not_found_again() {
    for redactor in [
        all(),
        Redactor::compile(&Recogniser::ALL, &[], Some("k")).unwrap(),
    ] {
        for line in CORPUS.lines() {
            let (text, _) = marked(line.split_once('\t').unwrap().1);
            let Some(once) = redactor.text(&text, &mut Tally::default()) else {
                continue;
            };
            assert_eq!(
                redactor.text(&once, &mut Tally::default()),
                None,
                "{text:?} {once:?}"
            );
        }
    }
}

fn rule(name: &str, regex: Option<&str>, path: Option<&str>, action: Action) -> RuleSettings {
    RuleSettings {
        name: name.to_owned(),
        regex: regex.map(str::to_owned),
        path: path.map(str::to_owned),
        action,
    }
}

#[test]
fn marks_say_what_stood_there_and_with_a_secret_whether_it_is_the_same() {
    let check = |secret: Option<&str>, text: &str| {
        let redactor = Redactor::compile(&[Recogniser::Email], &[], secret).unwrap();
        redactor.text(text, &mut Tally::default()).unwrap()
    };
    assert_eq!(
        check(None, "to a@b.co, a@b.co"),
        "to [redacted:email], [redacted:email]"
    );
    let keyed = check(Some("s"), "a@b.co c@d.co a@b.co");
    let marks: Vec<_> = keyed.split(' ').collect();
    assert_eq!(marks[0], marks[2]);
    assert_ne!(marks[0], marks[1]);
    assert_ne!(check(Some("t"), "a@b.co"), marks[0]);
    assert!(
        marks[0].starts_with("[email:") && marks[0].len() == "[email:]".len() + 16,
        "{keyed}"
    );
}

#[test]
fn rules_find_what_they_say_and_drop_the_text_if_asked() {
    let rules = [
        rule("customer", Some(r"CUST-\d{4}"), None, Action::Redact),
        rule("diagnosis", Some("(?i)diagnosis"), None, Action::Drop),
    ];
    let redactor = Redactor::compile(&[], &rules, None).unwrap();
    let check = |text: &str, want: &str| {
        let mut tally = Tally::default();
        assert_eq!(redactor.text(text, &mut tally).as_deref(), Some(want));
        redactor
            .named(&tally)
            .map(|(name, count)| format!("{name} {count}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        check(
            "a CUST-1234, CUST-5678",
            "a [redacted:customer], [redacted:customer]"
        ),
        ["customer 2"]
    );
    assert_eq!(
        check(
            "the Diagnosis of CUST-1234 is diagnosis",
            "[redacted:diagnosis]"
        ),
        ["diagnosis 1"]
    );
    assert_eq!(redactor.text("nothing", &mut Tally::default()), None);
}

#[test]
fn a_rule_that_cannot_be_used_is_named() {
    let check = |rule: RuleSettings, want: &str| {
        let error = Redactor::compile(&[], &[rule], None).unwrap_err();
        let source = std::error::Error::source(&error).unwrap();
        let text = format!("{error}: {source}");
        assert!(
            text.starts_with("failed to understand rule 1 of redact_rules, "),
            "{text}"
        );
        assert!(text.contains(want), "{text}");
    };
    check(
        rule("A", Some("x"), None, Action::Redact),
        "a name has 1 to 32",
    );
    check(
        rule("email", Some("x"), None, Action::Redact),
        "has this name",
    );
    check(
        rule("content", Some("x"), None, Action::Redact),
        "has this name",
    );
    check(
        rule("a", None, None, Action::Redact),
        "either a regex or a path",
    );
    check(
        rule("a", Some("x"), Some("$.a"), Action::Redact),
        "either a regex or a path",
    );
    check(
        rule("a", Some("("), None, Action::Redact),
        "its regex cannot be used",
    );
    check(
        rule("a", Some("x*"), None, Action::Redact),
        "matches the empty text",
    );
    check(
        rule("a", Some("(?:x{1000}){1000}"), None, Action::Redact),
        "its regex cannot be used",
    );
    check(
        rule("a", None, Some("a.b"), Action::Redact),
        "from character 0 on",
    );
    let many: Vec<_> = (0..=RULES_MAX)
        .map(|n| rule(&format!("r{n}"), Some("x"), None, Action::Redact))
        .collect();
    let error = Redactor::compile(&[], &many, None).unwrap_err();
    assert!(matches!(error.kind, RuleErrorKind::TooMany { .. }) && error.number == RULES_MAX + 1);
}

#[test]
fn hostile_texts_take_their_time_once() {
    let redactor = all();
    // Each would take hours if every beginning were followed to the end again.
    for unit in [
        "sk-",
        "ask-",
        "eyJ",
        "-----BEGIN PRIVATE KEY-----",
        "a@",
        "1 ",
        "12:",
        "+1 ",
        "://a:b",
        "0123456789 ",
        "Bearer ",
        "\\n",
    ] {
        let text = unit.repeat((4 << 20) / unit.len());
        redactor.find(&text);
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_fault(text in "([0-9]{1,5}|[-@:.+%(){}\\\\ n/]|sk-|eyJ|-----BEGIN PRIVATE KEY-----|é|電|[a-zA-Z]{1,6}){0,40}") {
        let redactor = all();
        let mut end = 0;
        for hit in redactor.find(&text) {
            prop_assert!(hit.start >= end && hit.start < hit.end);
            prop_assert!(text.is_char_boundary(hit.start) && text.is_char_boundary(hit.end));
            end = hit.end;
        }
        if let Some(once) = redactor.text(&text, &mut Tally::default()) {
            prop_assert!(once != text);
        }
    }
}
