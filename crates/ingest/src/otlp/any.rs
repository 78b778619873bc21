//! Attribute values, whichever encoding they came in, and their JSON text.
//!
//! One text for both encodings: a request means the same in protobuf and in JSON, so both must be
//! stored alike. Integers keep their digits, also those that no 64 bits hold (JavaScript sends
//! `1e+21`); doubles are written as the shortest text that reads back as the same number. What JSON
//! has no word for is a string as proto3 JSON writes it: `"NaN"`, `"Infinity"`, base64.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::json::push_json_string;

/// Values nested deeper than this are kept as the text of their JSON: what reads JSON has limits.
pub(super) const JSON_DEPTH_MAX: usize = 64;

/// Values nested deeper than this refuse their span: reading them would exhaust the stack.
pub(super) const VALUE_DEPTH_MAX: usize = 400;

/// An attribute value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Any<'b> {
    /// No value, or one of a kind that we do not know.
    Empty,
    /// A text.
    Text(Cow<'b, str>),
    /// A boolean.
    Bool(bool),
    /// An integer of 64 bits.
    Int(i64),
    /// An integer that was sent as a number no 64 bits hold: JSON number text.
    Number(Cow<'b, str>),
    /// A floating point number.
    Double(f64),
    /// Bytes.
    Bytes(Cow<'b, [u8]>),
    /// A list.
    List(Vec<Any<'b>>),
    /// A map; of equal keys the last counts.
    Map(Vec<(Cow<'b, str>, Any<'b>)>),
}

impl<'b> Any<'b> {
    /// Returns a text.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Any::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns a text that is not empty, or a number or boolean as text.
    pub(crate) fn scalar(&self) -> Option<Cow<'_, str>> {
        match self {
            Any::Text(text) if !text.is_empty() => Some(Cow::Borrowed(text)),
            Any::Number(text) => Some(Cow::Borrowed(text)),
            Any::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
            Any::Int(value) => Some(Cow::Owned(value.to_string())),
            Any::Double(value) => Some(Cow::Owned(value.to_string())),
            _ => None,
        }
    }

    /// Returns a number, also one that was sent as a text.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Any::Int(value) => Some(*value as f64),
            Any::Double(value) => Some(*value),
            Any::Number(text) | Any::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
        .filter(|number: &f64| number.is_finite())
    }

    /// Returns a count: a whole number that is not negative.
    pub(crate) fn count(&self) -> Option<i64> {
        let count = match self {
            Any::Int(value) => Some(*value),
            _ => self
                .number()
                .filter(|number| number.fract() == 0.0 && number.abs() < 9e15)
                .map(|number| number as i64),
        };
        count.filter(|count| *count >= 0)
    }

    /// Returns a boolean, also one that was sent as a text.
    pub(crate) fn bool(&self) -> Option<bool> {
        match self {
            Any::Bool(value) => Some(*value),
            Any::Text(text) => text.to_ascii_lowercase().parse().ok(),
            _ => None,
        }
    }

    /// Returns the value as JSON text.
    pub(crate) fn to_json(&self) -> String {
        let mut out = String::new();
        self.push_json(&mut out, 0);
        out
    }

    /// Appends the value as JSON text, `depth` levels inside another.
    pub(super) fn push_json(&self, out: &mut String, depth: usize) {
        match self {
            Any::Empty => out.push_str("null"),
            Any::Text(text) => push_json_string(out, text),
            Any::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Any::Int(value) => {
                let _ = write!(out, "{value}");
            }
            Any::Number(text) => out.push_str(text),
            Any::Double(value) => push_double(out, *value),
            Any::Bytes(bytes) => {
                out.push('"');
                STANDARD.encode_string(bytes, out);
                out.push('"');
            }
            Any::List(_) | Any::Map(_) if depth == JSON_DEPTH_MAX => {
                let mut inner = String::new();
                // Beyond the limit nothing is a string of a string: the depth starts anew once.
                self.push_container(&mut inner, JSON_DEPTH_MAX + 1);
                push_json_string(out, &inner);
            }
            Any::List(_) | Any::Map(_) => self.push_container(out, depth),
        }
    }

    fn push_container(&self, out: &mut String, depth: usize) {
        match self {
            Any::List(items) => {
                out.push('[');
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    item.push_json(out, depth + 1);
                }
                out.push(']');
            }
            Any::Map(members) => push_object(out, members, depth),
            _ => {}
        }
    }
}

/// Appends the members as a JSON object; of equal keys only the last is written.
pub(super) fn push_object(out: &mut String, members: &[(Cow<'_, str>, Any<'_>)], depth: usize) {
    let mut is_first = true;
    out.push('{');
    let last = LastOfEqual::of(members);
    for (n, (key, value)) in members.iter().enumerate() {
        if last.is_overruled(members, n) {
            continue;
        }
        if !is_first {
            out.push(',');
        }
        is_first = false;
        push_json_string(out, key);
        out.push(':');
        value.push_json(out, depth + 1);
    }
    out.push('}');
}

/// Lists longer than this are searched through an index.
const SCAN_MAX: usize = 32;

/// Which member of several with one key counts: the last.
#[derive(Debug)]
pub(super) struct LastOfEqual {
    /// The places by key, later ones first; empty for a short list.
    by_key: Vec<u32>,
}

impl LastOfEqual {
    /// Looks at the keys of `members`.
    pub(super) fn of<V>(members: &[(Cow<'_, str>, V)]) -> Self {
        if members.len() <= SCAN_MAX {
            return Self { by_key: Vec::new() };
        }
        let mut by_key: Vec<u32> = (0..members.len() as u32).collect();
        by_key.sort_by(|a, b| {
            let (key_a, key_b) = (&members[*a as usize].0, &members[*b as usize].0);
            key_a.cmp(key_b).then(b.cmp(a))
        });
        Self { by_key }
    }

    /// Returns the place of the last member with `key`.
    pub(super) fn find<V>(&self, members: &[(Cow<'_, str>, V)], key: &str) -> Option<usize> {
        if self.by_key.is_empty() {
            return members.iter().rposition(|(known, _)| known == key);
        }
        let from = self
            .by_key
            .partition_point(|at| &*members[*at as usize].0 < key);
        let at = *self.by_key.get(from)? as usize;
        (members[at].0 == key).then_some(at)
    }

    /// Returns whether a later member has the key of the one at `at`.
    pub(super) fn is_overruled<V>(&self, members: &[(Cow<'_, str>, V)], at: usize) -> bool {
        let key = &members[at].0;
        if self.by_key.is_empty() {
            return members[at + 1..].iter().any(|(other, _)| other == key);
        }
        self.find(members, key) != Some(at)
    }
}

fn push_double(out: &mut String, value: f64) {
    let _ = if value.is_nan() {
        write!(out, "\"NaN\"")
    } else if value.is_infinite() {
        let sign = if value < 0.0 { "-" } else { "" };
        write!(out, "\"{sign}Infinity\"")
    } else {
        // The debug form has a fraction or an exponent always: 3.0 stays a double.
        write!(out, "{value:?}")
    };
}

/// A list of attributes with a way to find one by its key.
#[derive(Debug)]
pub(crate) struct Attributes<'b> {
    members: Vec<(Cow<'b, str>, Any<'b>)>,
    last: LastOfEqual,
    marks: Marks,
}

/// A bit for every key, and one for its first byte. Some two hundred keys and prefixes are asked for
/// in a span and most are not there, which the bits nearly always tell.
#[derive(Debug, Default)]
struct Marks {
    keys: [u64; 8],
    begins: [u64; 4],
    /// Whether two keys have one bit, as equal keys have.
    has_equal: bool,
}

impl Marks {
    fn of<V>(members: &[(Cow<'_, str>, V)]) -> Self {
        let mut marks = Self::default();
        for (key, _) in members {
            let (word, bit) = Self::place(key);
            marks.has_equal |= marks.keys[word] & bit != 0;
            marks.keys[word] |= bit;
            let (word, bit) = Self::begin(key);
            marks.begins[word] |= bit;
        }
        marks
    }

    /// Returns the bit of a key: keys differ in their lengths and towards their ends.
    fn place(key: &str) -> (usize, u64) {
        let bytes = key.as_bytes();
        let byte = |at: usize| bytes.get(at).map_or(0, |byte| usize::from(*byte));
        let end = bytes.len().saturating_sub(1);
        let mix = bytes.len() * 7 + byte(end) * 31 + byte(end / 2) * 5 + byte(end - end / 4) * 13;
        (mix / 64 % 8, 1 << (mix % 64))
    }

    /// Returns the bit of a key's first byte.
    fn begin(key: &str) -> (usize, u64) {
        let byte = key.as_bytes().first().map_or(0, |byte| usize::from(*byte));
        (byte / 64, 1 << (byte % 64))
    }

    fn may_have(&self, key: &str) -> bool {
        let (word, bit) = Self::place(key);
        self.keys[word] & bit != 0
    }

    fn may_have_under(&self, prefix: &str) -> bool {
        let (word, bit) = Self::begin(prefix);
        prefix.is_empty() || self.begins[word] & bit != 0
    }
}

impl Default for Attributes<'_> {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl<'b> Attributes<'b> {
    /// Takes attributes as sent.
    pub(crate) fn new(members: Vec<(Cow<'b, str>, Any<'b>)>) -> Self {
        let (last, marks) = (LastOfEqual::of(&members), Marks::of(&members));
        Self {
            members,
            last,
            marks,
        }
    }

    /// Returns the value of `key` unless it is empty.
    pub(crate) fn get(&self, key: &str) -> Option<&Any<'b>> {
        if !self.marks.may_have(key) {
            return None;
        }
        let at = self.last.find(&self.members, key)?;
        Some(&self.members[at].1).filter(|value| **value != Any::Empty)
    }

    /// Returns whether `key` has a value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Returns the text of `key`, unless it is empty.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.text().filter(|text| !text.is_empty())
    }

    /// Returns the first of `keys` that has a text.
    pub(crate) fn first_text(&self, keys: &[&str]) -> Option<&str> {
        keys.iter().find_map(|key| self.text(key))
    }

    /// Returns the keys and values as sent, those left out that a later one of the same key overrules.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Any<'b>)> {
        let told = self.members.iter().enumerate();
        let counts = told
            .filter(|(at, _)| !self.marks.has_equal || !self.last.is_overruled(&self.members, *at));
        counts.map(|(_, (key, value))| (&**key, value))
    }

    /// Returns the keys and values under `prefix`, the prefix taken off, in the order sent.
    pub(crate) fn under<'s>(
        &'s self,
        prefix: &'s str,
    ) -> impl Iterator<Item = (&'s str, &'s Any<'b>)> {
        let members = match self.marks.may_have_under(prefix) {
            true => &self.members[..],
            false => &[],
        };
        let members = members.iter();
        members.filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value)))
    }

    /// Returns the attributes with one more.
    pub(crate) fn with(mut self, member: (Cow<'b, str>, Any<'b>)) -> Self {
        self.members.push(member);
        Self::new(self.members)
    }

    /// Returns the attributes but for those whose key is told to go.
    pub(crate) fn without(&self, goes: impl Fn(&str) -> bool) -> Self {
        let members = self.members.iter();
        Self::new(members.filter(|(key, _)| !goes(key)).cloned().collect())
    }

    /// Returns whether any key starts with `prefix`.
    pub(crate) fn has_under(&self, prefix: &str) -> bool {
        self.under(prefix).next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_kind_has_its_json() {
        let cases = [
            (Any::Empty, "null"),
            (Any::Text("a\u{0}\"ü".into()), r#""a\u0000\"ü""#),
            (Any::Bool(false), "false"),
            (Any::Int(i64::MAX), "9223372036854775807"),
            (Any::Number("1e+21".into()), "1e+21"),
            (Any::Double(3.0), "3.0"),
            (Any::Double(0.1), "0.1"),
            (Any::Double(f64::NAN), "\"NaN\""),
            (Any::Double(f64::NEG_INFINITY), "\"-Infinity\""),
            (Any::Bytes(vec![1, 2, 255].into()), "\"AQL/\""),
            (Any::List(vec![Any::Int(1), Any::Empty]), "[1,null]"),
            (
                Any::Map(vec![("n".into(), Any::List(Vec::new()))]),
                r#"{"n":[]}"#,
            ),
        ];
        for (value, want) in cases {
            assert_eq!(value.to_json(), want);
            assert!(model::JsonText::parse(want).is_ok());
        }
    }

    #[test]
    fn the_last_of_equal_keys_counts_in_short_and_long_lists() {
        for extra in [0, SCAN_MAX] {
            let mut members: Vec<(Cow<'_, str>, Any<'_>)> = (0..extra)
                .map(|n| (format!("x{n}").into(), Any::Int(0)))
                .collect();
            members.push(("k".into(), Any::Int(1)));
            members.push(("k".into(), Any::Int(2)));
            let attributes = Attributes::new(members);
            assert_eq!(attributes.get("k"), Some(&Any::Int(2)));
            assert_eq!(attributes.get("nope"), None);
            assert_eq!(attributes.iter().count(), extra + 1);
        }
    }

    proptest! {
        #[test]
        fn every_key_is_found(keys in prop::collection::vec("[ab]{0,3}|.{0,12}", 0..2 * SCAN_MAX), other in "[ab]{0,3}|.{0,12}") {
            let members = keys.iter().enumerate();
            let members = members.map(|(n, key)| (key.into(), Any::Int(n as i64)));
            let attributes = Attributes::new(members.collect());
            for key in keys.iter().chain([&other, &String::new()]) {
                let last = keys.iter().rposition(|known| known == key);
                let last = last.map(|n| Any::Int(n as i64));
                prop_assert_eq!(attributes.get(key), last.as_ref());
                let is_under = |known: &&String| known.starts_with(key.as_str());
                let under = keys.iter().filter(is_under).count();
                prop_assert_eq!(attributes.under(key).count(), under);
            }
            let distinct: std::collections::HashSet<_> = keys.iter().collect();
            prop_assert_eq!(attributes.iter().count(), distinct.len());
        }
    }

    #[test]
    fn deep_values_keep_their_text() {
        let mut value = Any::Int(1);
        for _ in 0..VALUE_DEPTH_MAX {
            value = Any::List(vec![value]);
        }
        let json = value.to_json();
        assert!(model::JsonText::parse(&json).is_ok());
        assert_eq!(json.matches('[').count(), VALUE_DEPTH_MAX);
    }
}
