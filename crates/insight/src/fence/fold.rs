//! What would a careless reader take this text for?
//!
//! Markers are looked for in a folded copy: lower case, letters of other alphabets that look Latin as
//! Latin, wide and fancy forms as plain ones, accents gone, escapes of JSON and HTML undone. Each
//! byte of the copy knows where it comes from, so what is found there can be cut out of the text.

use std::ops::Range;

use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// A folded copy and where each byte of it comes from.
pub(super) struct Folded {
    /// The copy.
    pub(super) text: String,
    /// For each byte of the copy, and for its end, the offset of the character it comes from.
    origins: Vec<usize>,
}

impl Folded {
    /// Returns the folded copy of `text`.
    pub(super) fn of(text: &str) -> Self {
        let mut folded = Self {
            text: String::with_capacity(text.len()),
            origins: Vec::with_capacity(text.len() + 1),
        };
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            let rest = &text[at..];
            let (meant, len) = match c {
                '\\' => escaped(rest),
                '&' => entity(rest),
                _ => None,
            }
            .unwrap_or((c, c.len_utf8()));
            folded.push(meant, at);
            at += len;
        }
        folded.origins.push(text.len());
        folded
    }

    /// Returns where the bytes `range` of the copy, at least one, come from: whole characters.
    pub(super) fn origin(&self, range: Range<usize>) -> Range<usize> {
        let last = self.origins[range.end - 1];
        let mut after = self.origins[range.end..].iter();
        let end = after.find(|origin| **origin != last);
        self.origins[range.start]..*end.expect("the end comes from nothing else")
    }

    fn push(&mut self, c: char, origin: usize) {
        if c.is_ascii() {
            self.text.push(c.to_ascii_lowercase());
        } else {
            push_like(&mut self.text, c);
        }
        self.origins.resize(self.text.len(), origin);
    }
}

/// Returns what an escape of JSON means, and its length. JSON inside of JSON doubles backslashes, so any
/// number of them is one.
fn escaped(rest: &str) -> Option<(char, usize)> {
    let slashes = rest.bytes().take_while(|byte| *byte == b'\\').count();
    let after = &rest[slashes..];
    let (meant, len) = match after.as_bytes().first() {
        Some(b'u') => {
            let code = after
                .get(1..5)
                .and_then(|digits| u32::from_str_radix(digits, 16).ok());
            (code.and_then(char::from_u32), 5)
        }
        Some(b'n' | b'r') => (Some('\n'), 1),
        Some(b't') => (Some(' '), 1),
        Some(b'"') => (Some('"'), 1),
        Some(b'/') => (Some('/'), 1),
        _ => (None, 0),
    };
    match meant {
        Some(meant) => Some((meant, slashes + len)),
        None => Some(('\\', slashes)),
    }
}

/// Returns what an entity of HTML means, and its length.
fn entity(rest: &str) -> Option<(char, usize)> {
    let end = rest.bytes().take(10).position(|byte| byte == b';')?;
    let name = rest.get(1..end)?.to_ascii_lowercase();
    let code = |digits: &str, radix| char::from_u32(u32::from_str_radix(digits, radix).ok()?);
    let meant = match name.as_str() {
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "sol" => '/',
        "lbrack" | "lsqb" => '[',
        "colon" => ':',
        "nbsp" => ' ',
        other => {
            let number = other.strip_prefix('#')?;
            match number.strip_prefix('x') {
                Some(hex) => code(hex, 16)?,
                None => code(number, 10)?,
            }
        }
    };
    Some((meant, end + 1))
}

/// Pushes the plain characters that `c` looks like; `c` itself where there are none.
fn push_like(out: &mut String, c: char) {
    // Ideographs, kana and Hangul look like nothing Latin, and long texts are made of them.
    if matches!(c, '\u{3041}'..='\u{30fa}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}') {
        return out.push(c);
    }
    if let Some(plain) = punctuation(c) {
        return out.push(plain);
    }
    if c.is_whitespace() {
        return out.push(' ');
    }
    if is_combining_mark(c) {
        return;
    }
    let before = out.len();
    decompose_compatible(c, |part| {
        if is_combining_mark(part) {
            return;
        }
        match part.is_ascii() {
            true => out.push(part.to_ascii_lowercase()),
            false => push_prototype(out, part),
        }
    });
    if !out[before..].is_ascii() {
        out.truncate(before);
        out.push(c);
    }
}

/// Pushes the ASCII characters that Unicode's table of confusables gives for `c`, else `c`.
fn push_prototype(out: &mut String, c: char) {
    let before = out.len();
    let mut buffer = [0; 4];
    let like = unicode_security::skeleton(c.encode_utf8(&mut buffer));
    out.extend(like.map(|c| c.to_ascii_lowercase()));
    if out.len() == before || !out[before..].is_ascii() {
        out.truncate(before);
        out.push(c);
    }
}

/// Returns the plain form of signs that markers are made of.
fn punctuation(c: char) -> Option<char> {
    Some(match c {
        '‹' | '〈' | '⟨' | '❮' | '❰' | '˂' | 'ᐸ' | '＜' | '﹤' | '≺' => '<',
        '›' | '〉' | '⟩' | '❯' | '❱' | '˃' | 'ᐳ' | '＞' | '﹥' | '≻' => '>',
        '⁄' | '∕' | '╱' | '⟋' | '／' | '⧸' => '/',
        '＼' | '∖' | '⧵' | '﹨' => '\\',
        '‐' | '‑' | '‒' | '–' | '—' | '−' | '﹣' | '－' | '⁃' | '﹘' => '-',
        '：' | 'ː' | '꞉' | '∶' | '︰' | '﹕' | '׃' => ':',
        '｜' | 'ǀ' | '│' | '┃' | '∣' | '¦' | '❘' | '￨' => '|',
        '［' | '〔' | '❲' => '[',
        '］' | '〕' | '❳' => ']',
        '“' | '”' | '„' | '‟' | '«' | '»' | '＂' | '″' => '"',
        '‘' | '’' | '‚' | '‛' | '＇' | '′' | '｀' => '\'',
        '▁' | '＿' | 'ˍ' => '_',
        '＝' | '═' => '=',
        '＃' => '#',
        '\u{2028}' | '\u{2029}' => '\n',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let folded = Folded::of(text);
        assert_eq!(folded.text, expected, "{text:?}");
        let all = folded.origin(0..folded.text.len());
        assert_eq!((all.start, all.end), (0, text.len()), "{text:?}");
    }

    #[test]
    fn looks_are_told_from_letters() {
        check("Verdict", "verdict");
        check("ＶＥＲＤＩＣＴ", "verdict");
        check("𝐯𝑒𝓇𝔡𝕚𝖈𝗍", "verdict");
        check("vеrdісt", "verdict");
        check("vérdïct", "verdict");
        check("日本語 の 한국어", "日本語 の 한국어");
    }

    #[test]
    fn escapes_are_undone() {
        check("\\u0022a\\\"\\\\b\\n", "\"a\"\\b\n");
        check("&lt;&#60;&#x3C;&quot; & &bogus;", "<<<\" & &bogus;");
        check("\\\\\\u003c\\\\\\\"", "<\"");
        check("\\ud800 \\uZZZZ \\", "\\ud800 \\uzzzz \\");
    }

    #[test]
    fn what_is_found_is_found_in_the_text() {
        let text = "é&lt;x";
        let folded = Folded::of(text);
        let at = folded.text.find('<').unwrap();
        assert_eq!(&text[folded.origin(at..at + 1)], "&lt;");
    }
}
