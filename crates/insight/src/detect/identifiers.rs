//! D07: an identifier that was made up.
//!
//! All identifiers in arguments are looked for in all texts at once, by one automaton: linear in the
//! texts. Identifiers have a length and there are only so many of them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use regex::Regex;
use serde_json::Value;

use model::Content;

use super::facts::{Call, Facts, quote};
use super::{Found, Severity};

/// No more different identifiers of a trace are looked for.
const IDENTIFIERS_MAX: usize = 10_000;

/// Identifiers that hold each other are found over and over, as in no text that is meant.
const MATCHES_MAX: usize = 50_000_000;

/// Longer arguments are not searched for identifiers.
const ARGUMENTS_BYTES_MAX: usize = 1 << 20;

/// The last word of a key under which identifiers stand.
static KEY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?x)(?:^|[_-])(?i:id|ids|uuid|guid|code|codes|number|numbers|no|ref|reference|sku|handle
        |account|order|ticket|booking|reservation|invoice|customer|user|flight|product|item)s?$
        |(?:Id|Ids|ID|IDs|Number|Code|Ref)$",
    )
    .expect("is a regular expression")
});

/// Dates and times, which models reckon out.
static MOMENT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:\d{4}-?\d{2}-?\d{2}(?:T.*)?|\d{4}-\d{2}|\d{4}-?[QqWwHh]\d{1,2}|\d+(?:am|pm|min|h|s|ms|d|px|p|kb|mb|gb|k|m|g|x\d+))$")
        .expect("is a regular expression")
});

/// An id-like argument that no earlier instruction, user or tool has told.
pub(super) fn invented_identifier(facts: &Facts<'_>) -> Found {
    if facts.view.row.content == Content::None {
        return Err("no content");
    }
    let identifiers = identifiers(facts.calls());
    if identifiers.is_empty() {
        return Err("no arguments that look like identifiers");
    }
    let utterances = facts.utterances().ok_or("too much text")?;
    if !utterances.iter().any(Facts::informs) {
        return Err("nothing that was told to the agent");
    }
    let words: Vec<&String> = identifiers.keys().collect();
    let finder = AhoCorasick::new(&words).map_err(|_| "too many identifiers")?;
    let mut told: Vec<Option<u32>> = vec![None; words.len()];
    let mut matches = 0;
    let mut hear = |text: &str, at: u32| {
        for found in finder.find_overlapping_iter(&folded(text)) {
            matches += 1;
            if matches > MATCHES_MAX {
                return;
            }
            let first = &mut told[found.pattern().as_usize()];
            first.get_or_insert(at);
        }
    };
    for word in of_the_run(facts) {
        hear(word, 0);
    }
    for utterance in utterances.iter().filter(|said| Facts::informs(said)) {
        hear(&utterance.text, utterance.at);
    }
    if matches > MATCHES_MAX {
        return Err("too many places with identifiers");
    }
    let mut hits = Vec::new();
    for ((_, uses), told) in identifiers.iter().zip(told) {
        let is_invented = |at: &u32| told.is_none_or(|told| told >= *at);
        let places: Vec<u32> = uses.places.iter().copied().filter(is_invented).collect();
        let Some(first) = places.first() else {
            continue;
        };
        let evidence = format!(
            "{} was called with {} {}, which nobody had told before",
            facts.span(*first).span().name,
            uses.key,
            quote(&uses.written)
        );
        hits.push((*first, facts.hit(Severity::High, &places, evidence)));
    }
    hits.sort_by_key(|(at, _)| *at);
    Ok(hits.into_iter().map(|(_, hit)| hit).collect())
}

/// Where an identifier is used.
struct Uses {
    key: String,
    written: String,
    places: Vec<u32>,
}

/// Returns the identifiers in arguments, folded, and where they are used.
fn identifiers(calls: &[Call<'_>]) -> BTreeMap<String, Uses> {
    let mut all = BTreeMap::new();
    for call in calls {
        let arguments = call.span.told.arguments.as_ref();
        let short = arguments.filter(|args| args.as_str().len() <= ARGUMENTS_BYTES_MAX);
        if let Some(value) = short.and_then(|_| call.span.arguments_once()) {
            collect(value, "", call.at, &mut all);
        }
    }
    all
}

fn collect(value: &Value, key: &str, at: u32, all: &mut BTreeMap<String, Uses>) {
    let written = match value {
        Value::Object(fields) => {
            fields
                .iter()
                .for_each(|(key, value)| collect(value, key, at, all));
            return;
        }
        Value::Array(items) => {
            items.iter().for_each(|item| collect(item, key, at, all));
            return;
        }
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) if KEY.is_match(key) => number.to_string(),
        _ => return,
    };
    if !is_identifier(key, &written) {
        return;
    }
    let folded = folded(&written);
    if all.len() >= IDENTIFIERS_MAX && !all.contains_key(&folded) {
        return;
    }
    let uses = all.entry(folded).or_insert_with(|| Uses {
        key: key.chars().take(60).collect(),
        written,
        places: Vec::new(),
    });
    if uses.places.last() != Some(&at) {
        uses.places.push(at);
    }
}

/// Returns whether a value is an identifier: five characters or more of one word with a digit, or under
/// a key for identifiers with an underscore.
fn is_identifier(key: &str, text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let is_key = KEY.is_match(key);
    let has_mark = match is_key {
        true => digits > 0 || text.contains('_'),
        // A word with a digit may be anything: `utf-8`, `top_5`.
        false => digits > 1 && text.bytes().any(|byte| byte.is_ascii_alphabetic()),
    };
    (5..=64).contains(&text.len())
        && text.bytes().all(is_part)
        && has_mark
        && !MOMENT.is_match(text)
}

/// Returns a text in which spaces, hyphens, underscores and case make no difference.
fn folded(text: &str) -> String {
    let fold = |char: char| match char {
        '_' | '-' => ' ',
        other => other.to_ascii_lowercase(),
    };
    text.chars().map(fold).collect()
}

/// Returns what is known of the run as a whole, which agents may have been told.
fn of_the_run<'f>(facts: &'f Facts<'_>) -> impl Iterator<Item = &'f str> {
    let item = &facts.view.row.item;
    let ids = [
        item.user_id.as_deref(),
        item.group_id.as_ref().map(|id| id.as_str()),
        item.metadata.as_ref().map(|metadata| metadata.as_str()),
    ];
    ids.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_told_from_other_words() {
        for (key, text) in [
            ("user_id", "mia_li_3668"),
            ("userId", "abc_def"),
            ("order", "#W123".trim_start_matches('#')),
            ("q", "HAT083"),
            ("q", "3f2a-99c1"),
        ] {
            let want = text.len() >= 5;
            assert_eq!(is_identifier(key, text), want, "{key} {text}");
        }
        for (key, text) in [
            ("cabin", "basic_economy"),
            ("date", "2024-05-20"),
            ("encoding", "utf-8"),
            ("query", "select * from t1"),
            ("user_id", "mia"),
            ("size", "1024x768"),
            ("price", "12345"),
            ("period", "2024-Q1"),
        ] {
            assert!(!is_identifier(key, text), "{key} {text}");
        }
    }
}
