//! What the words of a text are: each library has its own idea.

use std::sync::LazyLock;

use regex::Regex;

/// What is neither a letter nor a number.
static OTHERS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[^\p{L}\p{N}]").expect("the pattern is well formed"));

/// A word of a script that is written with spaces, or a sign of one that is not.
static WORDS: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"[\p{Han}\p{Hiragana}\p{Katakana}&&[\p{L}\p{N}]]|[[\p{L}\p{M}\p{N}]--[\p{Han}\p{Hiragana}\p{Katakana}]]+";
    Regex::new(pattern).expect("the pattern is well formed")
});

/// Returns a text as rapidfuzz's `default_process` does: what is neither letter nor number becomes a
/// space, letters become small, spaces around are cut off.
pub(super) fn plain(text: &str) -> String {
    let spaced = OTHERS.replace_all(text, " ");
    // letter by letter: no final sigma, and a dotted capital I becomes one letter
    let small = spaced.chars().map(|c| c.to_lowercase().next().unwrap_or(c));
    let small: String = small.collect();
    small.trim_matches(' ').to_owned()
}

/// Returns the words between white space, as Python's `str.split` does, which counts the four
/// separators of ASCII among it.
pub(super) fn split(text: &str) -> impl Iterator<Item = &str> {
    let space = |c: char| c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}');
    text.split(space).filter(|word| !word.is_empty())
}

/// Returns the words that ROUGE compares.
///
/// The library's are runs of ASCII letters and digits, so that most of the world's texts have none. Here
/// they are runs of letters and digits of any script, and single signs where words are written without
/// spaces. For ASCII it is the same.
pub(super) fn of_any_script(lowercase: &str) -> impl Iterator<Item = &str> {
    WORDS.find_iter(lowercase).map(|word| word.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_texts_have_small_letters_numbers_and_spaces() {
        assert_eq!(plain("  Hello, World_42!\n"), "hello  world 42");
        assert_eq!(plain("ΣΑΣ İx ²"), "σασ ix ²");
        // vowel signs are no letters
        assert_eq!(plain("हिन्दी"), "ह न द");
        assert_eq!(plain(" \t–"), "");
    }

    #[test]
    fn words_of_any_script() {
        let words = |text| of_any_script(text).collect::<Vec<_>>();
        assert_eq!(
            words("it's 3.14 o_clock"),
            ["it", "s", "3", "14", "o", "clock"]
        );
        assert_eq!(
            words("naïve हिन्दी 日本語テキスト、ok"),
            [
                "naïve",
                "हिन्दी",
                "日",
                "本",
                "語",
                "テ",
                "キ",
                "ス",
                "ト",
                "ok"
            ]
        );
        assert_eq!(
            split("a\u{1f}b\u{a0}c\n d").collect::<Vec<_>>(),
            ["a", "b", "c", "d"]
        );
    }
}
