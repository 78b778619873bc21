//! Where does a pattern match in a trace?

use regex::RegexBuilder;

use super::lines::grouped;
use super::reading::Reading;
use super::told::Field;
use crate::fence::Label;

/// Patterns that compile to more are refused.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// At most so many matches are shown.
const MATCHES_MAX: usize = 20;

/// So many characters are shown on either side of a match.
const AROUND_CHARS: usize = 80;

/// Of a match itself so many characters are shown.
const MATCH_CHARS_MAX: usize = 200;

/// Returns where `pattern` matches in the spans at `places`: each text is searched once, where it is first
/// told.
pub(super) fn search(
    reading: &Reading<'_>,
    pattern: &str,
    places: &[u32],
) -> Result<String, String> {
    let regex = RegexBuilder::new(pattern)
        .size_limit(COMPILED_BYTES_MAX)
        .build()
        .map_err(|error| format!("the regular expression is wrong: {}", reason(&error)))?;
    let told = reading.told();
    let mut out = reading.page();
    let (mut count, mut shown) = (0, 0);
    let mut seen = vec![false; told.text_count];
    let mut hits = Vec::new();
    for at in places {
        for field in Field::ALL {
            for (address, id) in told.of_field(*at, field) {
                let mut before = 0;
                for piece in &told.sayings[id as usize].pieces {
                    let is_new = !std::mem::replace(&mut seen[piece.text_id as usize], true);
                    if is_new {
                        let text = reading.mask.apply(&piece.text);
                        for hit in regex.find_iter(&text) {
                            count += 1;
                            if hits.len() < MATCHES_MAX {
                                let from = before + text[..hit.start()].chars().count();
                                hits.push((address, from, around(&text, hit.range())));
                            }
                        }
                    }
                    before += piece.chars + 1;
                }
            }
        }
    }
    for (address, from, excerpt) in &hits {
        let id = super::span_name(address.at);
        let label = Label {
            id: &id,
            field: &address.field_name(),
            kind: Some("match"),
            ..Label::default()
        };
        let block = reading.fence.wrap(label, excerpt);
        if out
            .line(&format!("{address} at character {from}: {block}"))
            .is_err()
        {
            break;
        }
        shown += 1;
    }
    Ok(format!(
        "{}{} matches, {shown} shown",
        out.into_text(),
        grouped(count)
    ))
}

/// Returns a match with what stands around it.
fn around(text: &str, hit: std::ops::Range<usize>) -> String {
    let before = text[..hit.start].char_indices().rev().nth(AROUND_CHARS - 1);
    let from = before.map_or(0, |(at, _)| at);
    let wanted = MATCH_CHARS_MAX.min(text[hit.clone()].chars().take(MATCH_CHARS_MAX).count());
    let after = text[hit.start..].char_indices().nth(wanted + AROUND_CHARS);
    let to = after.map_or(text.len(), |(at, _)| hit.start + at);
    text[from..to].to_owned()
}

/// Returns what is wrong with a pattern without the pattern.
fn reason(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            let reason = last.strip_prefix("error: ").unwrap_or("it cannot be read");
            reason.to_owned()
        }
    }
}
