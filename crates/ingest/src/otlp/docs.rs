//! Long attributes that are JSON, indexed once for all who read them: previews, and the cutter.

use crate::messages::Doc;

use super::any::{Any, Attributes};
use super::payload::LONG_BYTES_MIN;

/// The long texts of one span that are JSON objects or lists.
#[derive(Debug)]
pub(crate) struct Docs<'a>(Vec<(&'a str, Doc<'a>)>);

impl<'a> Docs<'a> {
    /// Indexes the long texts among `attributes`.
    pub(crate) fn of(attributes: &'a Attributes<'_>) -> Self {
        let docs = attributes.iter().filter_map(|(key, value)| match value {
            Any::Text(text) if text.len() >= LONG_BYTES_MIN => {
                Some((key, Doc::parse_container(text)?))
            }
            _ => None,
        });
        Self(docs.collect())
    }

    /// Returns the value of the attribute `key`, if it is long and JSON.
    pub(crate) fn get(&self, key: &str) -> Option<&Doc<'a>> {
        let mut docs = self.0.iter();
        docs.find_map(|(known, doc)| (*known == key).then_some(doc))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_that_a_later_one_overrules_is_not_read() {
        let long = || Any::Text(format!("[{}1]", "1,".repeat(LONG_BYTES_MIN)).into());
        let (a, b) = ("a".into(), "b".into());
        let members = vec![(a, long()), (b, long()), ("a".into(), Any::Int(1))];
        let attributes = Attributes::new(members);
        let docs = Docs::of(&attributes);
        assert!(docs.get("a").is_none());
        assert!(docs.get("b").is_some());
    }
}
