//! Which characters cannot be seen?
//!
//! Those of no width, those that turn the direction of the text round, those that mean something to a
//! terminal only, and the two alphabets in which a whole message can be hidden: tags and variation
//! selectors. An emoji or a Persian word may lose a joiner by it; a judge reads it all the same.

use std::borrow::Cow;

/// Returns `text` without invisible characters, and how many there were.
pub(super) fn without_hidden(text: &str) -> (Cow<'_, str>, usize) {
    let Some(first) = text.find(is_hidden) else {
        return (text.into(), 0);
    };
    let mut seen = String::with_capacity(text.len());
    seen.push_str(&text[..first]);
    let mut hidden = 0;
    for c in text[first..].chars() {
        match is_hidden(c) {
            true => hidden += 1,
            false => seen.push(c),
        }
    }
    (seen.into(), hidden)
}

fn is_hidden(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => false,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => true,
        '\0'..='\u{ff}' => c == '\u{ad}',
        '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' => true,
        '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' => true,
        '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' => true,
        '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' => true,
        '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}' => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_seen_is_not_copied() {
        let (text, hidden) = without_hidden("plain\ttext\r\n日本語 é");
        assert!(matches!(text, Cow::Borrowed(_)) && hidden == 0);
    }

    #[test]
    fn each_family_is_found() {
        let hostile = "a\u{200d}\u{2066}\u{1b}\u{ad}\u{fe0f}\u{e0049}\u{feff}\u{85}b";
        assert_eq!(without_hidden(hostile), ("ab".into(), 8));
    }
}
