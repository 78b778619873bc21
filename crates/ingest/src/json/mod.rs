//! JSON that is read in place: one pass checks a value and notes where its parts begin and end.
//!
//! Decoding needs a few fields of each item, and the bytes of the rest exactly as sent. Typed
//! deserialisers walk the bytes once for each layer of raw text; a tree copies them. Here the walk
//! happens once: [`Reader::index`] writes a flat [`Tape`] of positions (twelve bytes a value, reused
//! from item to item), and a [`Value`] is a place on that tape. Nothing recurses, so no depth of
//! brackets can exhaust the stack.

mod reader;
mod text;

use std::borrow::Cow;

pub(crate) use reader::{Fault, Reader};
pub(crate) use text::{TextBuilder, json_string, push_json_string};

/// Values nested deeper than this are refused, unless a tape says otherwise.
pub(crate) const DEPTH_MAX: usize = 256;

/// Items of more values than this are refused: the tape of one item stays under 100 MB.
pub(crate) const VALUES_MAX: usize = 8_000_000;

/// Where the values of one item lie in its text.
#[derive(Debug)]
pub(crate) struct Tape {
    nodes: Vec<Node>,
    /// The containers that are open while the text is read; kept for its memory.
    open: Vec<Open>,
    /// Values nested deeper are refused.
    depth_max: usize,
}

impl Default for Tape {
    fn default() -> Self {
        Self::with_depth(DEPTH_MAX)
    }
}

/// A container that is being read.
#[derive(Debug, Clone, Copy)]
struct Open {
    node: u32,
    is_object: bool,
}

/// One value (or key), in bytes from the start of the item.
#[derive(Debug, Clone, Copy)]
struct Node {
    start: u32,
    end: u32,
    /// A container: the node behind its last part. A string: 1 if it has escapes. Else 0.
    link: u32,
}

impl Tape {
    /// Returns an empty tape for values nested up to `depth_max` levels.
    pub(crate) fn with_depth(depth_max: usize) -> Self {
        Self {
            nodes: Vec::new(),
            open: Vec::new(),
            depth_max,
        }
    }

    /// Returns an empty tape with room for the values of a usual text of `bytes`.
    pub(crate) fn with_room(bytes: usize) -> Self {
        Self {
            nodes: Vec::with_capacity(bytes / 32 + 4),
            ..Self::default()
        }
    }

    /// Returns the indexed value, whose checked text is `text`.
    pub(crate) fn root<'b, 't>(&'t self, text: &'b str) -> Value<'b, 't> {
        Value {
            text,
            nodes: &self.nodes,
            place: 0,
        }
    }
}

/// What a value is, as its first byte tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

impl Kind {
    /// Returns the kind in words, for people who sent another.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Kind::Object => "an object",
            Kind::Array => "a list",
            Kind::String => "a string",
            Kind::Number => "a number",
            Kind::Bool => "a boolean",
            Kind::Null => "null",
        }
    }
}

/// One value of an indexed item: `'b` is the life of the body, `'t` that of the tape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value<'b, 't> {
    text: &'b str,
    nodes: &'t [Node],
    place: usize,
}

impl<'b, 't> Value<'b, 't> {
    fn node(self) -> Node {
        self.nodes[self.place]
    }

    fn at(self, place: usize) -> Self {
        Value { place, ..self }
    }

    /// Returns the place of the value that follows this one: behind the last part of a container,
    /// whose link is that place; the link of anything else is 1 at most.
    fn behind(self) -> usize {
        (self.node().link as usize).max(self.place + 1)
    }

    /// Returns where the value starts in its item.
    pub(crate) fn start(self) -> usize {
        self.node().start as usize
    }

    /// Returns where the value ends in its item.
    pub(crate) fn end(self) -> usize {
        self.node().end as usize
    }

    /// Returns the text of the whole item that the value is a part of.
    pub(crate) fn item_text(self) -> &'b str {
        self.text
    }

    /// Returns the value's JSON text as sent.
    pub(crate) fn raw(self) -> &'b str {
        &self.text[self.start()..self.end()]
    }

    /// Returns what the value is.
    pub(crate) fn kind(self) -> Kind {
        match self.text.as_bytes()[self.start()] {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::String,
            b't' | b'f' => Kind::Bool,
            b'n' => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// Returns whether this is an object.
    pub(crate) fn is_object(self) -> bool {
        self.kind() == Kind::Object
    }

    /// Returns whether this is an object or list without parts.
    pub(crate) fn is_empty(self) -> bool {
        self.place + 1 == self.behind()
    }

    /// Returns whether this is the string `word`.
    pub(crate) fn is_text(self, word: &str) -> bool {
        let node = self.node();
        // Most that are asked are keys, and most keys differ in length.
        if node.link == 0 && (node.end - node.start) as usize != word.len() + 2 {
            return false;
        }
        match (self.kind(), node.link) {
            (Kind::String, 0) => self.inner() == word,
            (Kind::String, _) => self.text().is_some_and(|text| text == word),
            _ => false,
        }
    }

    /// Returns a string's text between the quotes, still escaped.
    fn inner(self) -> &'b str {
        &self.text[self.start() + 1..self.end() - 1]
    }

    /// Returns the decoded text of a string. An escape of half a surrogate pair, which no text can
    /// hold, becomes U+FFFD.
    pub(crate) fn text(self) -> Option<Cow<'b, str>> {
        if self.kind() != Kind::String {
            return None;
        }
        Some(match self.node().link {
            0 => Cow::Borrowed(self.inner()),
            _ => Cow::Owned(text::unescape(self.inner())),
        })
    }

    /// Returns the decoded text of a string that is not empty.
    pub(crate) fn words(self) -> Option<Cow<'b, str>> {
        self.text().filter(|text| !text.is_empty())
    }

    /// Returns a string's text, or the text of a number or boolean as sent; not the empty one.
    pub(crate) fn scalar(self) -> Option<Cow<'b, str>> {
        match self.kind() {
            Kind::String => self.words(),
            Kind::Number | Kind::Bool => Some(Cow::Borrowed(self.raw())),
            Kind::Object | Kind::Array | Kind::Null => None,
        }
    }

    /// Returns a boolean.
    pub(crate) fn bool(self) -> Option<bool> {
        (self.kind() == Kind::Bool).then(|| self.raw() == "true")
    }

    /// Returns a count: a number that is whole and not negative, however it is written.
    pub(crate) fn count(self) -> Option<i64> {
        if self.kind() != Kind::Number {
            return None;
        }
        let exact = self.raw().parse::<i64>().ok();
        let written_as_float = || {
            let number: f64 = self.raw().parse().ok()?;
            (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
        };
        exact.or_else(written_as_float).filter(|count| *count >= 0)
    }

    /// Returns the parts of a list; nothing if this is no list.
    pub(crate) fn elements(self) -> impl Iterator<Item = Value<'b, 't>> + Clone {
        let end = if self.kind() == Kind::Array {
            self.behind()
        } else {
            0
        };
        let mut place = self.place + 1;
        std::iter::from_fn(move || {
            let element = (place < end).then(|| self.at(place))?;
            place = element.behind();
            Some(element)
        })
    }

    /// Returns the keys and values of an object in their order; nothing if this is no object.
    pub(crate) fn members(self) -> impl Iterator<Item = (Value<'b, 't>, Value<'b, 't>)> {
        let end = if self.is_object() { self.behind() } else { 0 };
        let mut place = self.place + 1;
        std::iter::from_fn(move || {
            let key = (place < end).then(|| self.at(place))?;
            let value = self.at(place + 1);
            place = value.behind();
            Some((key, value))
        })
    }

    /// Returns the value of `key`, of several the last. Senders write null for "not told", so null
    /// is `None`.
    pub(crate) fn get(self, key: &str) -> Option<Value<'b, 't>> {
        let end = if self.is_object() { self.behind() } else { 0 };
        let (mut place, mut found) = (self.place + 1, None);
        // A hundred keys are asked for in a span: most are passed by their length, off the tape.
        while place < end {
            let (name, value) = (self.nodes[place], self.nodes[place + 1]);
            let may_be = name.link != 0 || (name.end - name.start) as usize == key.len() + 2;
            if may_be && self.at(place).is_text(key) {
                found = Some(self.at(place + 1));
            }
            place = (value.link as usize).max(place + 2);
        }
        found.filter(|value| value.kind() != Kind::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index(text: &str) -> Result<Tape, Fault> {
        let mut tape = Tape::default();
        let mut reader = Reader::new(text.as_bytes());
        reader.skip_whitespace();
        reader.index(&mut tape)?;
        reader.skip_whitespace();
        match reader.peek() {
            None => Ok(tape),
            Some(_) => Err(reader.expected("the end")),
        }
    }

    fn rebuild(value: Value<'_, '_>) -> serde_json::Value {
        match value.kind() {
            Kind::Object => serde_json::Value::Object(
                value
                    .members()
                    .map(|(k, v)| (k.text().unwrap().into_owned(), rebuild(v)))
                    .collect(),
            ),
            Kind::Array => value.elements().map(rebuild).collect(),
            Kind::String => value.text().unwrap().into_owned().into(),
            _ => serde_json::from_str(value.raw()).unwrap(),
        }
    }

    fn check(text: &str) {
        let theirs: Result<serde_json::Value, _> = serde_json::from_str(text);
        match (index(text), theirs) {
            (Ok(tape), Ok(theirs)) => assert_eq!(rebuild(tape.root(text.trim())), theirs, "{text}"),
            (Err(_), Err(_)) => {}
            // What a tree cannot hold and a text can: numbers beyond f64, half surrogate pairs.
            (Ok(_), Err(error)) => {
                let error = error.to_string();
                assert!(
                    error.starts_with("number out of range")
                        || error.contains("surrogate")
                        || error.contains("unexpected end of hex escape"),
                    "{text}: {error}"
                );
            }
            (Err(fault), Ok(_)) => panic!("{text}: {fault}"),
        }
    }

    #[test]
    fn agrees_with_serde_json_on_hand_picked_texts() {
        let texts = [
            "{}",
            "[]",
            "null",
            "true",
            "false",
            "0",
            "-0",
            "1.50",
            "1e400",
            "01",
            "1.",
            ".5",
            "-",
            "1e",
            "+1",
            "NaN",
            "Infinity",
            "tru",
            "nulll",
            "\"\"",
            "\"a\\u00e9\\n\\/\"",
            "\"\\ud83e\\udd80\"",
            "\"\\ud800\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"tab\there\"",
            "\"open",
            "{\"a\":1,}",
            "[1,]",
            "[,1]",
            "{\"a\"}",
            "{a:1}",
            "{\"a\":{\"b\":[1,[2,{\"c\":null}],\"x\"]},\"a\":2}",
            " [ 1 , { } , [ ] ] ",
            "[}",
            "{]",
            "[1 2]",
            "",
            "{\"a\" 1}",
            "[1]]",
            "\u{feff}{}",
            "\"\u{7f}é🦀\"",
            "[\"1234567\\\"\",\"12345678\",\"123456789\"]",
        ];
        texts.into_iter().for_each(check);
    }

    #[test]
    fn depth_and_number_of_values_are_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(index(&nested(DEPTH_MAX)).is_ok());
        assert!(matches!(
            index(&nested(DEPTH_MAX + 1)),
            Err(Fault::TooDeep {
                at: DEPTH_MAX,
                depth_max: DEPTH_MAX
            })
        ));
        let many = format!("[{}0]", "0,".repeat(VALUES_MAX));
        assert!(matches!(index(&many), Err(Fault::TooManyValues { .. })));
    }

    #[test]
    fn the_last_of_equal_keys_wins_and_null_is_not_told() {
        let text = r#"{"a":1,"\u0061":2,"b":5,"b":null}"#;
        let tape = index(text).unwrap();
        let root = tape.root(text);
        assert_eq!(root.get("a").unwrap().raw(), "2");
        assert!(root.get("b").is_none());
        assert!(root.get("c").is_none());
    }

    #[test]
    fn counts_are_whole_and_not_negative() {
        let cases = [
            ("7", Some(7)),
            ("7.0", Some(7)),
            ("7.5", None),
            ("-1", None),
            ("1e3", Some(1000)),
            ("1e400", None),
            ("\"7\"", None),
        ];
        for (text, want) in cases {
            assert_eq!(index(text).unwrap().root(text).count(), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_on_any_text(text in "[\\[\\]{},:\"\\\\ \n0-9.eE+tfnu a\u{1}é-]{0,24}") {
            check(&text);
        }

        #[test]
        fn agrees_with_serde_json_on_any_valid_text(value in crate::json::tests::any_value()) {
            check(&value.to_string());
            check(&serde_json::to_string_pretty(&value).unwrap());
        }
    }

    fn any_value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            ".{0,20}".prop_map(Into::into),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                proptest::collection::vec((".{0,6}", inner), 0..6)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }
}
