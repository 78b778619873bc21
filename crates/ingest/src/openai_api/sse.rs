//! Server-sent events, as far as model APIs use them: the data of each event, and where it ends.
//!
//! A stream is read once it is over, as a whole, so that nothing depends on how it was cut into
//! chunks. It may have been cut off anywhere: what stands behind the last blank line is an event too,
//! if it can be read.

use std::borrow::Cow;

/// The events of a stream.
#[derive(Debug)]
pub(super) struct Events<'a> {
    text: &'a str,
    at: usize,
}

/// One event that carries data.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event<'a> {
    /// Its data; several lines of it are joined by line feeds.
    pub(super) data: Cow<'a, str>,
    /// Where it ends in the stream, in bytes.
    pub(super) end: usize,
}

impl<'a> Events<'a> {
    /// Returns the events of a whole stream.
    pub(super) fn new(text: &'a str) -> Self {
        let at = if text.starts_with('\u{feff}') { 3 } else { 0 };
        Self { text, at }
    }

    /// Returns the next line without its end, which may be CR, LF or both.
    fn line(&mut self) -> Option<&'a str> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let end = memchr::memchr2(b'\n', b'\r', rest.as_bytes());
        let length = end.unwrap_or(rest.len());
        self.at += match (end, &rest.as_bytes()[length..]) {
            (None, _) => length,
            (_, [b'\r', b'\n', ..]) => length + 2,
            _ => length + 1,
        };
        Some(&rest[..length])
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        let mut data: Option<Cow<'a, str>> = None;
        while let Some(line) = self.line() {
            if line.is_empty() {
                match data.take() {
                    Some(data) => return Some(Event { data, end: self.at }),
                    None => continue,
                }
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            if field != "data" {
                continue;
            }
            let value = value.strip_prefix(' ').unwrap_or(value);
            data = Some(match data {
                None => Cow::Borrowed(value),
                Some(before) => {
                    let mut lines = before.into_owned();
                    lines.push('\n');
                    lines.push_str(value);
                    Cow::Owned(lines)
                }
            });
        }
        data.map(|data| Event { data, end: self.at })
    }
}

/// Returns whether a body is a stream of events: its first line is a field of one or a comment. JSON
/// begins with a bracket.
pub(super) fn is_stream(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}').trim_ascii_start();
    ["data:", "event:", "id:", "retry:", ":"]
        .iter()
        .any(|field| text.starts_with(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &[&str]) {
        let events: Vec<Event<'_>> = Events::new(text).collect();
        let got: Vec<&str> = events.iter().map(|event| &*event.data).collect();
        assert_eq!(got, want, "{text:?}");
        assert!(events.is_sorted_by_key(|event| event.end));
        assert!(events.last().is_none_or(|last| last.end <= text.len()));
    }

    #[test]
    fn lines_end_in_three_ways_and_only_data_counts() {
        check("data: a\n\ndata: b\n\n", &["a", "b"]);
        check("data:a\r\n\r\ndata: b\r\rdata:  c\n\n", &["a", "b", " c"]);
        check(
            "\u{feff}: hello\nevent: x\nid: 7\ndata: a\ndata: b\ndata\n\n",
            &["a\nb\n"],
        );
        check("event: ping\n\n\n\n", &[]);
        check("data: cut {", &["cut {"]);
        check("", &[]);
    }

    #[test]
    fn a_stream_is_known_by_its_first_line() {
        for stream in ["data: 1", "\n event: x", ": ping", "\u{feff}id:1"] {
            assert!(is_stream(stream), "{stream:?}");
        }
        for other in ["{\"data\":1}", "", "<html>", "[]", "database: gone"] {
            assert!(!is_stream(other), "{other:?}");
        }
    }
}
