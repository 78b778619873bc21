//! Rust text without its comments and without the insides of its literals, so that a rule about code is
//! not broken by a sentence about it.
//!
//! Blanked bytes become spaces, line ends stay: offsets and line numbers are those of the original. This
//! knows the lexical grammar (nested comments, raw strings, lifetimes) and nothing above it.

/// Returns `text`, of the same length, with spaces for comments and for what stands between quotes.
pub(super) fn without_comments_and_literals(text: &str) -> String {
    let mut blanker = Blanker {
        rest: text,
        out: String::with_capacity(text.len()),
    };
    while !blanker.rest.is_empty() {
        blanker.step();
    }
    blanker.out
}

/// Returns each identifier or keyword with its offset.
pub(super) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    code.split_inclusive(|c| !is_word(c))
        .filter_map(move |piece| {
            let start = at;
            at += piece.len();
            let word = piece.trim_end_matches(|c| !is_word(c));
            (!word.is_empty()).then_some((start, word))
        })
}

/// Returns what stands inside each `#[…]` and `#![…]` with the offset of the `#`.
pub(super) fn attributes(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.match_indices('#').filter_map(|(at, _)| {
        let after = &code[at + 1..];
        let inside = after.strip_prefix('!').unwrap_or(after).strip_prefix('[')?;
        let mut depth = 1;
        let end = inside.find(|c| {
            match c {
                '[' => depth += 1,
                ']' => depth -= 1,
                _ => {}
            }
            depth == 0
        })?;
        Some((at, &inside[..end]))
    })
}

/// Returns whether a character can stand in an identifier.
pub(super) fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

struct Blanker<'a> {
    rest: &'a str,
    out: String,
}

impl Blanker<'_> {
    /// Consumes one comment, one literal or one character.
    fn step(&mut self) {
        if self.rest.starts_with("//") {
            self.blank(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.blank(block_comment_len(self.rest));
        } else if self.rest.starts_with('"') {
            self.quoted('"');
        } else if self.rest.starts_with('\'') {
            self.char_or_lifetime();
        } else if let Some(hashes) = self.raw_string_hashes() {
            self.raw_string(hashes);
        } else {
            self.keep(1);
        }
    }

    fn keep(&mut self, chars: usize) {
        let len = self.rest.chars().take(chars).map(char::len_utf8).sum();
        let (kept, rest) = self.rest.split_at(len);
        self.out.push_str(kept);
        self.rest = rest;
    }

    fn blank(&mut self, len: usize) {
        let (gone, rest) = self.rest.split_at(len);
        self.out.extend(
            gone.bytes()
                .map(|byte| if byte == b'\n' { '\n' } else { ' ' }),
        );
        self.rest = rest;
    }

    /// Blanks up to the closing quote; a backslash takes the next character with it.
    fn quoted(&mut self, quote: char) {
        self.keep(1);
        let mut escaped = false;
        let end = self.rest.find(|c| {
            let closes = c == quote && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        });
        self.blank(end.unwrap_or(self.rest.len()));
        self.keep(1);
    }

    /// `'a'` and `'\n'` are literals, `'a` is a lifetime.
    fn char_or_lifetime(&mut self) {
        let mut next = self.rest.chars().skip(1);
        let (first, second) = (next.next(), next.next());
        if first == Some('\\') || second == Some('\'') {
            self.quoted('\'');
        } else {
            self.keep(1);
        }
    }

    /// Returns the number of `#` where a raw string begins: `r"`, `r#"`, `br##"`…
    fn raw_string_hashes(&self) -> Option<usize> {
        let after = self.rest.strip_prefix('r')?;
        // `br"` and `cr"` are raw strings, `for"` is not
        let before = self.out.strip_suffix(['b', 'c']).unwrap_or(&self.out);
        if before.ends_with(is_word) {
            return None;
        }
        let quote = after.find(|c| c != '#')?;
        after[quote..].starts_with('"').then_some(quote)
    }

    fn raw_string(&mut self, hashes: usize) {
        self.keep("r".len() + hashes + 1);
        let close = format!("\"{}", "#".repeat(hashes));
        self.blank(self.rest.find(&close).unwrap_or(self.rest.len()));
        self.keep(close.len());
    }
}

/// Returns the length of a block comment with those inside it; all the rest where it is not closed.
fn block_comment_len(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text.as_bytes()[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if text.as_bytes()[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
        } else {
            at += 1;
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::{attributes, without_comments_and_literals, words};

    /// `expected` is the code with runs of spaces shortened to one.
    fn check(text: &str, expected: &str) {
        let code = without_comments_and_literals(text);
        assert_eq!(code.len(), text.len(), "{text}");
        let short: Vec<&str> = code.split_whitespace().collect();
        assert_eq!(short.join(" "), expected, "{text}");
    }

    #[test]
    fn comments() {
        check("a // b\nc", "a c");
        check("a /* b /* c */ d */ e", "a e");
        check("a /* b", "a");
        check("/* é */ x", "x");
        check("a / b /// \"c\n'd'", "a / b ' '");
    }

    #[test]
    fn strings() {
        check(r#"f("a // b", c)"#, r#"f(" ", c)"#);
        check(r#"f("\"x\\", y)"#, r#"f(" ", y)"#);
        check(r###"f(r#"a " b"#, c)"###, r###"f(r#" "#, c)"###);
        check(r#"f(br"\", c)"#, r#"f(br" ", c)"#);
        check("r#type = var\"x\"", "r#type = var\" \"");
        check("\"never closed", "\"");
    }

    #[test]
    fn characters_and_lifetimes() {
        check("f('\"', x)", "f(' ', x)");
        check(r"f('\'', b'\\', '\u{1F600}', x)", "f(' ', b' ', ' ', x)");
        check(
            "fn f<'a>(x: &'a str, y: 'é')",
            "fn f<'a>(x: &'a str, y: ' ')",
        );
    }

    #[test]
    fn words_have_offsets() {
        let found: Vec<_> = words("let a_1=b::c!(2)").collect();
        assert_eq!(
            found,
            [(0, "let"), (4, "a_1"), (8, "b"), (11, "c"), (14, "2")]
        );
    }

    #[test]
    fn attributes_end_at_their_own_bracket() {
        let found: Vec<_> = attributes("#![a] x #[b(c[0])] fn #raw").collect();
        assert_eq!(found, [(0, "a"), (8, "b(c[0])")]);
    }
}
