//! Which words mean the same? WordNet 3.0 says, of single English words, in 330 kB.
//!
//! `wordnet/generate.py` makes the table from Princeton's database; its licence stands beside it. It is
//! unpacked when it is first asked for.

use std::collections::{BTreeSet, HashMap};
use std::io::Read as _;
use std::sync::LazyLock;

static PACKED: &[u8] = include_bytes!("wordnet/synonyms.txt.zst");

static TEXT: LazyLock<String> = LazyLock::new(|| {
    let mut text = String::new();
    let unpacked =
        zstd::Decoder::new(PACKED).and_then(|mut decoder| decoder.read_to_string(&mut text));
    unpacked.expect("the table was packed by us");
    text
});

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::read(&TEXT));

/// Endings by part of speech, and what takes their place: WordNet's own rules.
const ENDINGS: [(char, &[(&str, &str)]); 4] = [
    (
        'n',
        &[
            ("s", ""),
            ("ses", "s"),
            ("ves", "f"),
            ("xes", "x"),
            ("zes", "z"),
            ("ches", "ch"),
            ("shes", "sh"),
            ("men", "man"),
            ("ies", "y"),
        ],
    ),
    (
        'v',
        &[
            ("s", ""),
            ("ies", "y"),
            ("es", "e"),
            ("es", ""),
            ("ed", "e"),
            ("ed", ""),
            ("ing", "e"),
            ("ing", ""),
        ],
    ),
    ('a', &[("er", ""), ("est", ""), ("er", "e"), ("est", "e")]),
    ('r', &[]),
];

/// A word in small letters as one part of speech.
type Key = (char, String);

#[derive(Debug, Default)]
struct Table {
    /// The synsets of a word: for each its words.
    synsets: HashMap<Key, Vec<&'static str>>,
    /// The base forms of irregular ones.
    irregular: HashMap<Key, Vec<&'static str>>,
}

impl Table {
    fn read(text: &'static str) -> Self {
        let mut table = Self::default();
        for line in text.lines() {
            let mut chars = line.chars();
            let (Some(part), words) = (chars.next(), chars.as_str().trim_start()) else {
                continue;
            };
            if part.is_ascii_uppercase() {
                let mut words = words.split(' ');
                let form = words.next().unwrap_or_default().to_owned();
                let key = (part.to_ascii_lowercase(), form);
                table.irregular.insert(key, words.collect());
            } else {
                for word in words.split(' ') {
                    let key = (part, word.to_lowercase());
                    table.synsets.entry(key).or_default().push(words);
                }
            }
        }
        table
    }

    /// Returns the words that share a synset with this one in any of its base forms.
    fn synonyms(&self, word: &str) -> BTreeSet<&'static str> {
        let mut synonyms = BTreeSet::new();
        for (part, endings) in ENDINGS {
            let key = (part, word.to_owned());
            let mut forms = match self.irregular.get(&key) {
                Some(bases) => bases.iter().map(|base| (*base).to_owned()).collect(),
                None => without_endings(word, endings),
            };
            forms.push(word.to_owned());
            for form in forms {
                let synsets = self.synsets.get(&(part, form));
                for words in synsets.into_iter().flatten() {
                    synonyms.extend(words.split(' '));
                }
            }
        }
        synonyms
    }
}

/// Returns what a word may be a form of.
fn without_endings(word: &str, endings: &[(&str, &str)]) -> Vec<String> {
    let base =
        |(ending, instead): &(&str, &str)| Some(format!("{}{instead}", word.strip_suffix(ending)?));
    endings.iter().filter_map(base).collect()
}

/// Returns the words that mean the same as this one, which is in small letters.
pub(super) fn of(word: &str) -> Vec<&'static str> {
    TABLE.synonyms(word).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_forms_are_found_by_rule_and_by_exception() {
        assert!(of("car").contains(&"automobile"));
        assert!(of("boxes").contains(&"loge"));
        // a form of its own and of `goose`
        assert!(of("geese").contains(&"goose"));
        assert!(of("bought").contains(&"purchase"));
        // a proper name finds what is written small, and is not found itself by small letters
        assert!(of("paris").is_empty());
        assert!(of("xyzzy").is_empty() && of("").is_empty());
    }
}
