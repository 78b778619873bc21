//! Words and numbers of texts, for detectors that look for them again.

use std::hash::{BuildHasher, Hash};

use hashbrown::DefaultHashBuilder;

/// Hashes words, each run of the program with a key of its own: nobody can make words that collide.
#[derive(Debug, Default)]
pub(super) struct Words(DefaultHashBuilder);

impl Words {
    /// Returns the words of a text without regard to case, as hashes.
    pub(super) fn of<'t>(&'t self, text: &'t str) -> impl Iterator<Item = (&'t str, u64)> {
        let words = text.split(|char: char| !char.is_alphanumeric());
        words
            .filter(|word| !word.is_empty())
            .map(|word| (word, self.hash(word)))
    }

    pub(super) fn hash(&self, word: &str) -> u64 {
        match word.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => self.0.hash_one(word.to_ascii_lowercase().as_str()),
            false => self.0.hash_one(word),
        }
    }

    /// Returns one hash for several in order.
    pub(super) fn together(&self, hashes: impl Hash) -> u64 {
        self.0.hash_one(hashes)
    }
}

/// A number in a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figure {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) value: f64,
    /// How many digits stand behind the point.
    pub(super) decimals: i32,
}

/// Returns the numbers in a text: `1,234.50` is one, `2024-05-20` are three, and digits inside of a word
/// are none.
pub(super) fn figures(text: &str) -> impl Iterator<Item = Figure> + '_ {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + bytes[at..].iter().position(u8::is_ascii_digit)?;
            let (end, is_word) = figure_end(text, start);
            at = end;
            let before = text[..start].chars().next_back();
            let is_part = is_word || before.is_some_and(|char| char.is_alphabetic() || char == '_');
            if !is_part && let Some(figure) = figure(&text[start..end], start) {
                return Some(figure);
            }
        }
    })
}

/// Returns where a number ends, and whether a word goes on there.
fn figure_end(text: &str, start: usize) -> (usize, bool) {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut end = start;
    let mut has_point = false;
    loop {
        match bytes.get(end) {
            Some(b'0'..=b'9') => end += 1,
            // Groups of three.
            Some(b',')
                if !has_point
                    && end > start
                    && (1..=3).all(|step| digit(end + step))
                    && !digit(end + 4) =>
            {
                end += 4;
            }
            Some(b'.') if !has_point && digit(end + 1) => {
                has_point = true;
                end += 1;
            }
            _ => break,
        }
    }
    let rest = &text[end..];
    // `3rd`, `5kg` and `11am` are numbers all the same; `12ab34` is none.
    let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
    let is_word = rest.starts_with('_')
        || letters > 3
        || (letters > 0 && rest.as_bytes().get(letters).is_some_and(u8::is_ascii_digit));
    (end, is_word)
}

fn figure(text: &str, start: usize) -> Option<Figure> {
    let plain: String = text.chars().filter(|char| *char != ',').collect();
    let decimals = plain.split_once('.').map_or(0, |(_, behind)| behind.len());
    Some(Figure {
        start,
        end: start + text.len(),
        value: plain.parse().ok().filter(|value: &f64| value.is_finite())?,
        decimals: i32::try_from(decimals).unwrap_or(i32::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        let check = |text: &str, want: &[f64]| {
            let got: Vec<f64> = figures(text).map(|figure| figure.value).collect();
            assert_eq!(got, want, "{text}");
        };
        check("$1,234.50, 7 of 12.", &[1234.5, 7.0, 12.0]);
        check(
            "on 2024-05-20 at 11am, the 3rd",
            &[2024.0, 5.0, 20.0, 11.0, 3.0],
        );
        check("HAT083 v2_1 12ab34 x86_64", &[]);
        check("1,2,3 and 1,23", &[1.0, 2.0, 3.0, 1.0, 23.0]);
        check("é5 5é 0.5.1", &[5.0, 0.5, 1.0]);
        check("", &[]);
    }

    proptest! {
        #[test]
        fn any_text_has_an_end(text in "(\\PC|[0-9.,_a]){0,40}") {
            for figure in figures(&text) {
                prop_assert!(figure.start < figure.end && figure.end <= text.len());
            }
        }
    }
}
