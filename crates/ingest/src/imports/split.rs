//! A document that is too large for one request, as several that say the same.
//!
//! What makes documents large is one long list in them: spans, samples, traces of a page. Each piece has
//! a part of the list. What stands around the list is in the first piece, or in every piece where the
//! parts would not be understood without it.

use bytes::Bytes;

use crate::json::{Kind, Tape, Value};

use super::record::Object;

/// Lists whose elements are records by themselves.
const RECORDS: [&str; 5] = ["data", "runs", "traces", "spans", "observations"];

/// Lists that are understood with what stands around them.
const PARTS: [&str; 3] = ["resourceSpans", "resourceLogs", "samples"];

/// Sums that are told once.
const SUMS: [&str; 2] = ["results", "reductions"];

/// Returns the pieces of a document, of about `piece_bytes` each; `None`: it cannot be taken apart.
pub fn split(document: &Bytes, piece_bytes: usize) -> Option<Vec<Bytes>> {
    let mut tape = Tape::default();
    let root = super::root(document, &mut tape).ok()?;
    if root.kind() == Kind::Array {
        let chunks = chunks(root, piece_bytes).into_iter();
        return Some(chunks.map(|chunk| list(&chunk).into()).collect());
    }
    let is_long = |value: &Value<'_, '_>| value.raw().len() > document.len() / 2;
    let members = || root.members();
    let (key, long) = members().find(|(_, value)| value.kind() == Kind::Array && is_long(value))?;
    let key = key.text()?;
    let stays_together = PARTS.contains(&&*key);
    if !stays_together && !RECORDS.contains(&&*key) {
        return None;
    }
    let mut pieces = Vec::new();
    for chunk in chunks(long, piece_bytes) {
        if !stays_together && !pieces.is_empty() {
            pieces.push(list(&chunk).into());
            continue;
        }
        let mut piece = Object::default();
        for (name, value) in members() {
            let name = name.text()?;
            if name == key {
                piece.raw(&name, &list(&chunk));
            } else if pieces.is_empty() || !SUMS.contains(&&*name) {
                piece.raw(&name, value.raw());
            }
        }
        pieces.push(Bytes::from(piece.finish()?.as_str().to_owned()));
    }
    Some(pieces)
}

fn list(elements: &[&str]) -> String {
    format!("[{}]", elements.join(","))
}

/// Returns the elements of a list in runs of about `bytes`.
fn chunks<'b>(list: Value<'b, '_>, bytes: usize) -> Vec<Vec<&'b str>> {
    let (mut all, mut filled) = (vec![Vec::new()], 0);
    for element in list.elements() {
        if filled >= bytes {
            all.push(Vec::new());
            filled = 0;
        }
        filled += element.raw().len();
        all.last_mut()
            .expect("it begins with one")
            .push(element.raw());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(document: &str, want: Option<&[&str]>) {
        let pieces = split(&Bytes::from(document.to_owned()), 6);
        let pieces = pieces.as_deref().map(|all| {
            let texts = all.iter().map(|piece| std::str::from_utf8(piece).unwrap());
            texts.collect::<Vec<_>>()
        });
        assert_eq!(pieces.as_deref(), want, "{document}");
    }

    #[test]
    fn pieces_say_what_the_whole_says() {
        check(
            "[{\"a\":1},{\"a\":2}]",
            Some(&["[{\"a\":1}]", "[{\"a\":2}]"]),
        );
        let trace = r#"{"trace":{"id":1},"spans":[{"id":22},{"id":33},{"id":44}]}"#;
        let want = [
            r#"{"trace":{"id":1},"spans":[{"id":22}]}"#,
            r#"[{"id":33}]"#,
            r#"[{"id":44}]"#,
        ];
        check(trace, Some(&want));
        let log = r#"{"v":2,"results":0,"samples":[{"i":11},{"i":22},{"i":333333333}]}"#;
        let want = [
            r#"{"v":2,"results":0,"samples":[{"i":11}]}"#,
            r#"{"v":2,"samples":[{"i":22}]}"#,
            r#"{"v":2,"samples":[{"i":333333333}]}"#,
        ];
        check(log, Some(&want));
        check(r#"{"input":["aaaaaaaaaaaaaa","bbbbbbbbbb"]}"#, None);
        check(r#"{"a":1}"#, None);
        check("{", None);
        check("[]", Some(&["[]"]));
    }
}
