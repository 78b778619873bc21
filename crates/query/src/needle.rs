//! Does a text hold what somebody looks for?
//!
//! A needle is a piece of text, found wherever it stands and whatever the case of its letters. In JSON
//! it is looked for in the values as a person reads them: escapes are decoded, a match does not reach
//! from one string into the next, and keys are not text. Neither are the values of `role` and `type`,
//! or else `user` would be everywhere.
//!
//! Most texts do not hold the needle, so the raw JSON is tried first: of a needle that no short escape
//! stands for, what is not there raw is not there decoded, but where its letters are written as numbers.
//! Those of other alphabets often are (`Z\u00fcrich`); ASCII hardly ever is. The raw text is searched for
//! the needle's rarest letter, for most texts are full of its common ones.

use std::borrow::Cow;

use memchr::memmem;

/// Characters shown on either side of a match.
const AROUND_CHARS: usize = 60;

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Needle {
    /// In lower case.
    text: String,
    /// Whether JSON writes every character of it as it is, or as a number.
    is_plain: bool,
    /// Of ASCII: where its rarest letter stands.
    rarest: usize,
}

impl Needle {
    /// Returns a needle; `None` if there is nothing to look for.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim().to_lowercase();
        // A colon may stand where a mark of ours is taken out.
        let is_plain = text
            .bytes()
            .all(|byte| (b' '..0x7f).contains(&byte) && !b"\"\\/:".contains(&byte));
        let rarest = rarest(text.as_bytes())?;
        Some(Self {
            text,
            is_plain,
            rarest,
        })
    }

    /// Returns where the needle stands in a plain text, in bytes.
    fn find(&self, text: &str) -> Option<(usize, usize)> {
        match self.text.is_ascii() {
            true => {
                let at = self.find_ascii(text.as_bytes())?;
                Some((at, at + self.text.len()))
            }
            false => self.find_folded(text),
        }
    }

    /// Returns where the needle, ASCII in lower case, stands in `text`.
    fn find_ascii(&self, text: &[u8]) -> Option<usize> {
        let needle = self.text.as_bytes();
        let last = text.len().checked_sub(needle.len())?;
        let rare = *needle.get(self.rarest)?;
        let places = &text[self.rarest..=last + self.rarest];
        let candidates = memchr::memchr2_iter(rare, rare.to_ascii_uppercase(), places);
        candidates
            .into_iter()
            .find(|&at| text[at..at + needle.len()].eq_ignore_ascii_case(needle))
    }

    /// Lower case may be longer than what it is made from, so places are kept beside the letters.
    fn find_folded(&self, text: &str) -> Option<(usize, usize)> {
        let mut folded = String::with_capacity(text.len());
        let mut places = Vec::with_capacity(text.len());
        for (at, c) in text.char_indices() {
            for lower in c.to_lowercase() {
                places.extend(std::iter::repeat_n(
                    (at, at + c.len_utf8()),
                    lower.len_utf8(),
                ));
                folded.push(lower);
            }
        }
        let at = folded.find(&self.text)?;
        Some((places[at].0, places[at + self.text.len() - 1].1))
    }

    /// Returns whether a plain text holds the needle.
    pub fn is_in(&self, text: &str) -> bool {
        self.find(text).is_some()
    }

    /// Returns whether a JSON text holds the needle in one of its values.
    pub fn is_in_json(&self, json: &str) -> bool {
        self.in_json(json, &|_| ()).is_some()
    }

    /// Returns the first match in a plain text with a little of what is around it.
    pub fn snippet(&self, text: &str) -> Option<String> {
        let (from, to) = self.find(text)?;
        let start = text[..from]
            .char_indices()
            .rev()
            .nth(AROUND_CHARS - 1)
            .map_or(0, |(at, _)| at);
        let end = text[to..]
            .char_indices()
            .nth(AROUND_CHARS)
            .map_or(text.len(), |(at, _)| to + at);
        Some(text[start..end].to_owned())
    }

    /// Returns the first match in a JSON text with a little of what is around it.
    pub fn snippet_of_json(&self, json: &str) -> Option<String> {
        self.in_json(json, &|text| self.snippet(text))?
    }

    fn in_json<T>(&self, json: &str, found: &dyn Fn(&str) -> T) -> Option<T> {
        if self.is_plain && !self.is_in(json) && !has_ascii_as_number(json.as_bytes()) {
            return None;
        }
        let mut key: Option<&str> = None;
        for part in Parts(json) {
            match part {
                Part::Key(name) => key = Some(name),
                Part::Text(text) => {
                    let is_word = matches!(key.take(), Some("role" | "type"));
                    let text = if is_word { None } else { readable(text) };
                    let Some(text) = text else {
                        continue;
                    };
                    if self.is_in(&text) {
                        return Some(found(&text));
                    }
                    // The arguments of a tool are JSON in a string, with escapes of their own.
                    if is_escaped_json(&text)
                        && let Some(found) = self.in_json(&text, found)
                    {
                        return Some(found);
                    }
                }
            }
        }
        None
    }
}

/// Returns the text of a string, quotes and all, as a person reads it; a reference to a message is
/// none.
fn readable(quoted: &str) -> Option<Cow<'_, str>> {
    let raw = quoted.trim_matches('"');
    if let Some(token) = raw.strip_prefix("$ref:") {
        // A sender's own text of that shape was marked when it was stored.
        return token
            .strip_prefix('=')
            .map(|rest| Cow::Owned(format!("$ref:{rest}")));
    }
    match raw.contains('\\') {
        // Half of a surrogate pair is no text: it is searched as it is written.
        true => Some(serde_json::from_str(quoted).map_or(Cow::Borrowed(raw), Cow::Owned)),
        false => Some(Cow::Borrowed(raw)),
    }
}

/// Returns whether a text is JSON, as it seems, that writes some of its characters otherwise.
fn is_escaped_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[', '"']) && text.contains('\\')
}

/// Returns whether a JSON text, or one in a string of it, writes a character that a plain needle may have as
/// its number.
fn has_ascii_as_number(json: &[u8]) -> bool {
    let mut escapes = memmem::find_iter(json, b"\\u00");
    escapes.any(|at| {
        json.get(at + 4)
            .is_some_and(|high| (b'2'..=b'7').contains(high))
    })
}

/// Returns where the letter stands that is the rarest in most texts; none in no letters.
fn rarest(needle: &[u8]) -> Option<usize> {
    const COMMON_FIRST: &[u8] = b" etaoinsrhldcumpfgwybv\",.";
    let rank = |byte: u8| COMMON_FIRST.iter().position(|common| *common == byte);
    let ranks = needle
        .iter()
        .map(|byte| rank(*byte).unwrap_or(COMMON_FIRST.len()));
    // Of several the first.
    let best = ranks
        .enumerate()
        .max_by_key(|(at, rank)| (*rank, std::cmp::Reverse(*at)));
    best.map(|(at, _)| at)
}

/// A part of a JSON text that may be read.
enum Part<'a> {
    /// A key, without quotes and as written.
    Key(&'a str),
    /// A string with its quotes, or a number.
    Text(&'a str),
}

/// The strings and numbers of a JSON text, left to right.
struct Parts<'a>(&'a str);

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let starts = |byte: &u8| *byte == b'"' || *byte == b'-' || byte.is_ascii_digit();
        let start = self.0.as_bytes().iter().position(starts)?;
        let text = &self.0[start..];
        let end = match text.as_bytes()[0] {
            b'"' => string_end(text),
            _ => text
                .find([',', ']', '}', ' ', '\n', '\r', '\t'])
                .unwrap_or(text.len()),
        };
        let (part, rest) = text.split_at(end);
        self.0 = rest;
        let is_key = part.starts_with('"') && rest.trim_start().starts_with(':');
        Some(if is_key {
            Part::Key(part.trim_matches('"'))
        } else {
            Part::Text(part)
        })
    }
}

/// Returns the end of the string that `text` begins with, behind its closing quote.
fn string_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while let Some(step) = memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
        at += step;
        match bytes[at] {
            b'"' => return at + 1,
            _ => at += 2,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(needle: &str, json: &str, expected: Option<&str>) {
        let needle = Needle::new(needle).unwrap();
        assert_eq!(needle.snippet_of_json(json).as_deref(), expected, "{json}");
        assert_eq!(needle.is_in_json(json), expected.is_some(), "{json}");
    }

    #[test]
    fn text_is_found_as_a_person_reads_it() {
        check("ZURICH", r#"{"city":"to Zurich"}"#, Some("to Zurich"));
        check("zürich", r#"{"city":"Z\u00dcRICH"}"#, Some("ZÜRICH"));
        check(
            "say \"hi\"",
            r#"["they say \"Hi\" now"]"#,
            Some("they say \"Hi\" now"),
        );
        check("a\nb", r#""A\nB""#, Some("A\nB"));
        let arguments = r#"{"arguments":"{\"to\":\"Z\\u00fcrich\\nHB\",\"from\":\"Bern\"}"}"#;
        check("zürich", arguments, Some("Zürich\nHB"));
        check(
            "from",
            arguments,
            Some(r#"{"to":"Z\u00fcrich\nHB","from":"Bern"}"#),
        );
        // Letters as numbers, of either alphabet, at either depth.
        check("zurich", r#"{"city":"Z\u0075rich"}"#, Some("Zurich"));
        let nested = r#"{"arguments":"{\"to\":\"Z\\u0075rich\"}"}"#;
        check("zurich", nested, Some("Zurich"));
        check("zurich", r#"{"city":"Z\u00fcrich"}"#, None);
        check("rich", r#"{"city":"Z\u00fcRICH"}"#, Some("ZüRICH"));
        check("it's", r#"["it\u0027s"]"#, Some("it's"));
        check("42.5", r#"{"n":[1,42.50]}"#, Some("42.50"));
        check("i\u{307}stanbul", r#""İstanbul""#, Some("İstanbul"));
        check("x", r#""\ud800 x""#, Some(r"\ud800 x"));
    }

    #[test]
    fn syntax_keys_words_and_references_are_no_text() {
        check("city", r#"{"city":"Bern"}"#, None);
        check("user", r#"{"role":"user","content":"hello"}"#, None);
        check(
            "user",
            r#"{"role":"user","content":"a user"}"#,
            Some("a user"),
        );
        check("a\",\"b", r#"["a","b"]"#, None);
        check("i0", r#"{"input":["$ref:i0-3"]}"#, None);
        check("ref:x", r#"["$ref:=x"]"#, Some("$ref:x"));
        check("x", "\"broken \\", None);
        check("n", r#"{"a":null,"b":true}"#, None);
    }

    #[test]
    fn a_needle_is_found_by_its_rarest_letter() {
        assert_eq!(rarest(b"error"), Some(1));
        assert_eq!(rarest(b"xylophone"), Some(0));
        assert_eq!(rarest(b"tax rate"), Some(2));
        assert_eq!(rarest(b"e"), Some(0));
        assert_eq!(rarest(b""), None);
        for needle in ["tax", "tax r", "ate", "e"] {
            let needle = Needle::new(needle).unwrap();
            for text in ["TAX RATE", "a tax rate", "tataxetax rate"] {
                let found = needle.find(text).map(|(from, _)| from);
                assert_eq!(found, text.to_lowercase().find(&needle.text), "{text}");
            }
            assert_eq!(needle.find(""), None);
        }
    }

    #[test]
    fn snippets_are_short_and_end_on_characters() {
        let text = format!("{}needle{}", "ä".repeat(500), "ö".repeat(500));
        let snippet = Needle::new("needle").unwrap().snippet(&text).unwrap();
        assert_eq!(snippet.chars().count(), 2 * AROUND_CHARS + 6);
        assert!(Needle::new("  ").is_none());
    }

    proptest::proptest! {
        #[test]
        fn what_is_found_raw_is_where_it_stands(needle in "[a-e ]{1,4}", text in "[a-eA-E ]{0,30}") {
            if let Some(needle) = Needle::new(&needle) {
                let found = needle.find(&text).map(|(from, _)| from);
                proptest::prop_assert_eq!(found, text.to_lowercase().find(&needle.text));
            }
        }

        #[test]
        fn any_text_is_searched_without_a_panic(needle in "\\PC{1,6}", text in "[\"\\\\{}:,a-cA-CäÄßİ0-9 $refu]{0,60}") {
            if let Some(needle) = Needle::new(&needle) {
                drop(needle.snippet_of_json(&text));
                drop(needle.snippet(&text));
            }
        }

        #[test]
        fn what_is_in_a_value_is_found(before in "\\PC{0,20}", word in "[a-zäß\"\\\\\n]{1,5}", after in "\\PC{0,20}") {
            let json = serde_json::to_string(&[format!("{before}{word}{after}")]).unwrap();
            if let Some(needle) = Needle::new(&word).filter(|_| !before.starts_with("$ref:")) {
                proptest::prop_assert!(needle.is_in_json(&json), "{}", json);
            }
        }
    }
}
