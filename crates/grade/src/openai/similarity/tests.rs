//! The metrics against the libraries that they are taken from.

use std::path::Path;

use serde_json::Value;

use super::*;

fn testdata(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/text-similarity");
    std::fs::read_to_string(folder.join(file)).expect(file)
}

#[track_caller]
fn score(metric: &str, input: &str, reference: &str) -> f64 {
    let Some(Metric::Words(metric)) = Metric::of(metric) else {
        panic!("{metric} is no metric of words");
    };
    metric.score(input, reference).unwrap()
}

#[track_caller]
fn check(metric: &str, input: &str, reference: &str, expected: &Value) {
    let expected = expected.as_f64().unwrap();
    let found = score(metric, input, reference);
    // the references have nine digits
    assert!(
        (found - expected).abs() < 1e-8,
        "{metric} of {input:?} and {reference:?}: {found}, not {expected}"
    );
}

#[test]
fn published_variants_have_the_values_of_the_libraries() {
    let rows: Vec<Value> = serde_json::from_str(&testdata("vectors.json")).unwrap();
    for row in &rows {
        let (input, reference) = (
            row["input"].as_str().unwrap(),
            row["reference"].as_str().unwrap(),
        );
        for (metric, variant) in [
            ("fuzzy_match", "rapidfuzz.fuzz.WRatio default_process /100"),
            ("bleu", "nltk sentence_bleu, whitespace tokens, method1"),
            ("gleu", "nltk sentence_gleu, whitespace tokens, 1..4"),
            (
                "meteor",
                "nltk single_meteor_score, whitespace tokens, lowercased, no WordNet",
            ),
        ] {
            check(metric, input, reference, &row[metric][variant]);
        }
        // the stock tokeniser of ROUGE knows ASCII only; ours knows every script
        if !input.is_ascii() {
            continue;
        }
        let rouge = row["rouge"]["rouge_score f1, no stemmer"]
            .as_object()
            .unwrap();
        for (key, expected) in rouge {
            let n = key.trim_start_matches("rouge").to_lowercase();
            check(&format!("rouge_{n}"), input, reference, expected);
        }
    }
    assert_eq!(rows.len(), 14);
}

#[test]
fn random_texts_have_the_values_of_the_libraries() {
    let metrics = [
        "fuzzy_match",
        "bleu",
        "gleu",
        "meteor",
        "rouge_1",
        "rouge_2",
        "rouge_3",
        "rouge_4",
        "rouge_5",
        "rouge_l",
    ];
    let mut rows = 0;
    for line in testdata("pairs.jsonl").lines() {
        let (input, reference, expected): (String, String, Vec<Value>) =
            serde_json::from_str(line).unwrap();
        for (metric, expected) in metrics.into_iter().zip(&expected) {
            check(metric, &input, &reference, expected);
        }
        rows += 1;
    }
    assert_eq!(rows, 2500);
}

#[test]
fn stems_are_those_of_nltk() {
    let stems = testdata("stems.tsv");
    for line in stems.lines() {
        let (word, stem) = line.split_once('\t').unwrap();
        assert_eq!(stem::stem(word), stem, "{word}");
    }
    assert_eq!(stems.lines().count(), 3000);
}

#[test]
fn texts_of_a_megabyte_are_compared_or_refused_but_not_waited_for() {
    let text = |seed: usize, bytes: usize| -> String {
        let words = [
            "refund", "order", "the", "of", "agent", "was", "ticket", "quickly",
        ];
        let mut state = seed;
        let mut text = String::new();
        while text.len() < bytes {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            text.push_str(words[(state >> 61) % words.len()]);
            text.push(' ');
        }
        text
    };
    // one word of a megabyte
    assert_eq!(
        score("meteor", &"y".repeat(1_000_000), &"ya".repeat(500_000)),
        0.0
    );
    let (a, b) = (text(1, 1_000_000), text(2, 1_000_000));
    for metric in ["bleu", "gleu", "meteor", "rouge_1", "rouge_5"] {
        let score = score(metric, &a, &b);
        assert!(score > 0.0 && score < 1.0, "{metric}: {score}");
    }
    let Some(Metric::Words(fuzzy)) = Metric::of("fuzzy_match") else {
        panic!("a metric of words");
    };
    assert_eq!(fuzzy.score(&a, &b), Err(lcs::TooLong));
    // what is the same costs nothing, and one answer in a long text little
    assert_eq!(fuzzy.score(&a, &a), Ok(1.0));
    assert_eq!(fuzzy.score("refund the order", &a), Ok(0.6));
}
