//! JSON strings as text, decoded only as far as somebody reads.

/// Returns `text` as a JSON string, quotes included.
pub(crate) fn json_string(text: &str) -> String {
    let mut out = String::new();
    push_json_string(&mut out, text);
    out
}

/// Appends `text` as a JSON string, quotes included. Only what must be escaped is.
pub(crate) fn push_json_string(out: &mut String, text: &str) {
    out.reserve(text.len() + 2);
    out.push('"');
    let mut from = 0;
    loop {
        let stop = super::reader::next_stop(text.as_bytes(), from);
        out.push_str(&text[from..stop]);
        let Some(byte) = text.as_bytes().get(stop) else {
            break;
        };
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            control => {
                use std::fmt::Write as _;
                let _ = write!(out, "\\u{control:04x}");
            }
        }
        from = stop + 1;
    }
    out.push('"');
}

/// Returns the text behind the escapes of a checked JSON string (without its quotes).
pub(super) fn unescape(escaped: &str) -> String {
    let mut text = String::with_capacity(escaped.len());
    let mut rest = escaped;
    loop {
        // Only a backslash can stop here: what else would is escaped.
        let stop = super::reader::next_stop(rest.as_bytes(), 0);
        text.push_str(&rest[..stop]);
        let mut characters = Characters {
            rest: &rest[stop..],
        };
        let Some(char) = characters.next() else {
            return text;
        };
        text.push(char);
        rest = characters.rest;
    }
}

/// The characters of a checked JSON string. A lone surrogate reads as U+FFFD.
struct Characters<'a> {
    rest: &'a str,
}

impl Iterator for Characters<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let first = chars.next()?;
        self.rest = chars.as_str();
        if first != '\\' {
            return Some(first);
        }
        let escape = chars.next()?;
        self.rest = chars.as_str();
        Some(match escape {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => self.code_point(),
            other => other,
        })
    }
}

impl Characters<'_> {
    fn code_point(&mut self) -> char {
        let Some(unit) = self.unit(0) else {
            return char::REPLACEMENT_CHARACTER;
        };
        self.rest = &self.rest[4..];
        if !(0xD800..0xDC00).contains(&unit) {
            return char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
        }
        let low = if self.rest.starts_with("\\u") {
            self.unit(2)
        } else {
            None
        };
        match low {
            Some(low @ 0xDC00..0xE000) => {
                self.rest = &self.rest[6..];
                char::from_u32(0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
                    .unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => char::REPLACEMENT_CHARACTER,
        }
    }

    fn unit(&self, at: usize) -> Option<u32> {
        u32::from_str_radix(self.rest.get(at..at + 4)?, 16).ok()
    }
}

/// Collects the first characters of a text that is spread over several JSON values.
#[derive(Debug)]
pub(crate) struct TextBuilder {
    text: String,
    room: usize,
}

impl TextBuilder {
    /// Returns a builder that takes `chars_max` characters and ignores the rest.
    pub(crate) fn new(chars_max: usize) -> Self {
        Self {
            text: String::new(),
            room: chars_max,
        }
    }

    /// Returns whether nothing more fits.
    pub(crate) fn is_full(&self) -> bool {
        self.room == 0
    }

    /// Appends text, which holds no NUL.
    pub(crate) fn push_str(&mut self, text: &str) {
        let end = match text.len() <= self.room {
            true => None,
            false => text.char_indices().nth(self.room),
        };
        let fits = end.map_or(text, |(end, _)| &text[..end]);
        self.text.push_str(fits);
        self.room -= fits.chars().count();
    }

    /// Appends a decoded escape. NUL, which several databases refuse, is written as U+FFFD.
    fn push(&mut self, char: char) {
        if self.room > 0 {
            self.text.push(if char == '\0' {
                char::REPLACEMENT_CHARACTER
            } else {
                char
            });
            self.room -= 1;
        }
    }

    /// Appends the text behind the escapes of a checked JSON string, in which no NUL stands bare.
    fn push_escaped(&mut self, escaped: &str) {
        let mut rest = escaped;
        while !rest.is_empty() && self.room > 0 {
            // No character is longer than four bytes: what lies further on cannot fit.
            let near = &rest.as_bytes()[..rest.len().min(4 * self.room)];
            let plain = memchr::memchr(b'\\', near).unwrap_or(near.len());
            let plain = rest.floor_char_boundary(plain);
            self.push_str(&rest[..plain]);
            let mut characters = Characters {
                rest: &rest[plain..],
            };
            if characters.rest.starts_with('\\')
                && let Some(char) = characters.next()
            {
                self.push(char);
            }
            rest = characters.rest;
        }
    }

    /// Appends a value: a string decoded, anything else as its JSON text.
    pub(crate) fn push_value(&mut self, value: super::Value<'_, '_>) {
        match value.kind() {
            super::Kind::String => self.push_escaped(value.inner()),
            super::Kind::Null => {}
            _ => self.push_str(value.raw()),
        }
    }

    /// Appends a string, decoded; nothing of any other value.
    pub(crate) fn push_string(&mut self, value: super::Value<'_, '_>) {
        if value.kind() == super::Kind::String {
            self.push_value(value);
        }
    }

    /// Returns the text, if there is any.
    pub(crate) fn finish(self) -> Option<String> {
        (!self.text.is_empty()).then_some(self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_string_reads_back() {
        for text in [
            "",
            "plain",
            "a\"b\\c\n\r\t\u{0}\u{1f}é🦀/",
            "\"",
            "12345678\u{7}",
        ] {
            let mut out = String::new();
            push_json_string(&mut out, text);
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
            assert_eq!(unescape(&out[1..out.len() - 1]), text);
        }
    }

    #[test]
    fn escapes_are_decoded_and_halves_replaced() {
        let cases = [
            ("plain é 🦀", "plain é 🦀"),
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r"\u00e9\ud83e\udd80", "é🦀"),
            (r"\ud800", "\u{fffd}"),
            (r"\ud800\ud800x", "\u{fffd}\u{fffd}x"),
            (r"\udc00\ud83e", "\u{fffd}\u{fffd}"),
            (r"\ud83e\n", "\u{fffd}\n"),
            (r"a\u0000b", "a\0b"),
        ];
        for (escaped, want) in cases {
            assert_eq!(unescape(escaped), want, "{escaped}");
        }
    }

    #[test]
    fn a_builder_takes_as_many_characters_as_decoding_it_all_would_give() {
        let texts = [
            r"plain",
            r"\u0000\n\ud83e\udd80",
            r"ééé🦀\té\\🦀🦀x",
            r"",
            r"\ud800\\\\",
        ];
        for (escaped, room) in texts
            .into_iter()
            .flat_map(|text| (0..12).map(move |room| (text, room)))
        {
            let mut text = TextBuilder::new(room);
            text.push_escaped(escaped);
            let want: String = unescape(escaped)
                .replace('\0', "\u{fffd}")
                .chars()
                .take(room)
                .collect();
            assert_eq!(
                text.finish().unwrap_or_default(),
                want,
                "{escaped} in {room}"
            );
        }
    }

    #[test]
    fn a_builder_stops_when_full_and_writes_no_nul() {
        let mut text = TextBuilder::new(4);
        text.push_escaped(r"a\u0000é");
        text.push_str("xyz");
        assert!(text.is_full());
        assert_eq!(text.finish().as_deref(), Some("a\u{fffd}éx"));
    }
}
