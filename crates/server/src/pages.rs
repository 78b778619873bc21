//! Lists as OpenAI's clients page through them, and the pairs that people hang on things.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use store::meta::{Page, PageAsked};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::read::{Direction, Params};

const PAIRS_MAX: usize = 16;
const KEY_CHARS_MAX: usize = 64;
const VALUE_CHARS_MAX: usize = 512;

/// Pairs that people hang on an eval or a run.
pub(crate) type Metadata = BTreeMap<String, String>;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListPage<T: ToSchema> {
    /// `list`.
    object: &'static str,
    /// What it holds.
    data: Vec<T>,
    /// The first entry; null on an empty page.
    first_id: Option<String>,
    /// The last entry, which `after` of the next page names; null on an empty page.
    last_id: Option<String>,
    /// Whether others come behind it.
    has_more: bool,
}

impl<T: ToSchema> ListPage<T> {
    /// Returns the page as it is sent.
    pub(crate) fn of(page: Page<T>, id: fn(&T) -> &str) -> Self {
        let named = |entry: Option<&T>| entry.map(|entry| id(entry).to_owned());
        Self {
            object: "list",
            first_id: named(page.entries.first()),
            last_id: named(page.entries.last()),
            has_more: page.has_more,
            data: page.entries,
        }
    }
}

/// Takes what says which page is asked for.
pub(crate) fn take_page(params: &mut Params, default: Direction) -> Result<PageAsked, ApiError> {
    Ok(PageAsked {
        after: params.take("after")?,
        limit: params.take_limit()?,
        is_descending: params.take_order(default)? == Direction::Descending,
    })
}

/// Takes a parameter that is one of some words.
pub(crate) fn take_word<T: std::str::FromStr<Err: std::fmt::Display>>(
    params: &mut Params,
    name: &str,
) -> Result<Option<T>, ApiError> {
    let Some(text) = params.take(name)? else {
        return Ok(None);
    };
    let word = text.parse();
    word.map(Some)
        .map_err(|error: T::Err| ApiError::invalid(name, error.to_string()))
}

/// Returns metadata as it is stored, if it is within OpenAI's limits.
pub(crate) fn metadata_text(metadata: &Metadata) -> Result<String, ApiError> {
    let refuse = |message: String| Err(ApiError::invalid("metadata", message));
    if metadata.len() > PAIRS_MAX {
        return refuse(format!(
            "{} pairs are more than {PAIRS_MAX}",
            metadata.len()
        ));
    }
    for (key, value) in metadata {
        if key.chars().count() > KEY_CHARS_MAX {
            return refuse(format!(
                "the key {key:?} has more than {KEY_CHARS_MAX} characters"
            ));
        }
        if value.chars().count() > VALUE_CHARS_MAX {
            let message =
                format!("the value of {key:?} has more than {VALUE_CHARS_MAX} characters");
            return refuse(message);
        }
    }
    serde_json::to_string(metadata).map_err(ApiError::internal)
}

/// Returns a stored JSON text as it is sent.
pub(crate) fn raw(text: String) -> Result<Box<RawValue>, ApiError> {
    RawValue::from_string(text).map_err(ApiError::internal)
}

/// Returns a moment as OpenAI writes it: seconds since 1970.
pub(crate) fn seconds(time: model::Time) -> i64 {
    time.as_micros().div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(&str, &str)], is_taken: bool) {
        let pairs = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let metadata: Metadata = pairs.collect();
        assert_eq!(metadata_text(&metadata).is_ok(), is_taken, "{metadata:?}");
    }

    #[test]
    fn metadata_is_sixteen_short_pairs_at_most() {
        check(&[], true);
        check(&[(&"ä".repeat(64), &"ä".repeat(512))], true);
        check(&[(&"k".repeat(65), "")], false);
        check(&[("k", &"v".repeat(513))], false);
        let keys: Vec<String> = (0..17).map(|n| n.to_string()).collect();
        let pairs: Vec<(&str, &str)> = keys.iter().map(|key| (&**key, "")).collect();
        check(&pairs[..16], true);
        check(&pairs, false);
    }
}
