//! CEL's own conformance cases, as far as the subset reaches.
//!
//! A case whose expression is no rule lies outside. Of the others each must come out as CEL says, but for
//! those that [`DIFFERENT`] names with the reason.

use std::collections::BTreeMap;

use model::{Outcome, UnscoredReason};
use serde_json::Value;

use super::traces::Told;
use crate::rule::Rule;

const CASES: &str = include_str!("../../../../../testdata/cel/conformance.jsonl");

/// Cases that come out otherwise than in CEL, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("comparisons/eq_literal/eq_list_null", NULL),
    ("comparisons/eq_literal/not_eq_list_null", NULL),
    ("comparisons/eq_literal/not_eq_list_elem_null", NULL),
    (
        "timestamps/timestamp_range/from_string_under",
        "times of traces have no earliest year",
    ),
];

const NULL: &str = "null is missing data here, and nothing is known of what is compared with it";

/// What came of a case.
enum Fared {
    /// It is no rule.
    Outside,
    Alike,
    /// It came out like this.
    Otherwise(String),
}

#[test]
fn cases_in_the_subset_come_out_as_in_cel() {
    let mut inside: BTreeMap<String, usize> = BTreeMap::new();
    let mut otherwise = Vec::new();
    for line in CASES.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let suite = case["suite"].as_str().unwrap();
        let name = format!("{suite}/{}", case["name"].as_str().unwrap());
        match fared(&case) {
            Fared::Outside => continue,
            Fared::Alike => {}
            Fared::Otherwise(told) => otherwise.push((name, told)),
        }
        let section = suite.split('/').next().unwrap_or(suite);
        *inside.entry(section.to_owned()).or_default() += 1;
    }
    let unexplained: Vec<_> = otherwise
        .iter()
        .filter(|(name, _)| DIFFERENT.iter().all(|(known, _)| known != name))
        .collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    let gone: Vec<_> = DIFFERENT
        .iter()
        .filter(|(known, _)| otherwise.iter().all(|(name, _)| name != known))
        .collect();
    assert!(gone.is_empty(), "come out as in CEL by now: {gone:#?}");
    insta::assert_debug_snapshot!("cases_in_the_subset", inside);
}

fn fared(case: &Value) -> Fared {
    let expression = case["expr"].as_str().unwrap();
    let source = match case.get("value") {
        None => format!("({expression}) == ({expression})"),
        Some(value) => match literal(value) {
            Some(literal) => format!("({expression}) == {literal}"),
            None => return Fared::Outside,
        },
    };
    let Ok(rule) = Rule::parse(&source) else {
        return Fared::Outside;
    };
    let trace = Told::of(vec![]);
    let result = rule.grade(&trace.view, &trace.world);
    let is_fault =
        (result.outcome, result.unscored_reason) == (Outcome::Unscored, Some(UnscoredReason::Code));
    let is_alike = match case.get("value") {
        Some(_) => result.outcome == Outcome::Pass,
        None => is_fault,
    };
    if is_alike {
        return Fared::Alike;
    }
    Fared::Otherwise(format!("{source}: {result:?}"))
}

/// Returns a value of the cases in the words of the language.
fn literal(value: &Value) -> Option<String> {
    let (kind, value) = value.as_object()?.iter().next()?;
    Some(match kind.as_str() {
        "int" => value.as_str()?.to_owned(),
        "double" => format!("{:?}", value.as_f64()?),
        "bool" => value.as_bool()?.to_string(),
        "string" => quoted(value.as_str()?),
        "list" => {
            let items: Option<Vec<String>> = value.as_array()?.iter().map(literal).collect();
            format!("[{}]", items?.join(", "))
        }
        _ => return None,
    })
}

fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        c if (' '..='~').contains(&c) => c.to_string(),
        c => format!("\\U{:08x}", u32::from(c)),
    });
    format!("\"{}\"", escaped.collect::<String>())
}
