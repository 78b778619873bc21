//! How is a query string read? Every parameter is known by name or refused by name: one that is
//! passed over in silence answers another question than was asked.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use model::{Time, TraceFilter};

use crate::error::{ApiError, ErrorCode};
use crate::objects::Detail;

use super::rules;

/// The entries of a page if nothing is asked.
const LIMIT_DEFAULT: usize = 20;

/// The most entries of a page.
const LIMIT_MAX: usize = 1_000;

/// The parameters of a request that were not read yet.
#[derive(Debug)]
pub(crate) struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let Query(pairs) =
            query.map_err(|error| ApiError::new(ErrorCode::InvalidParameter, error.to_string()))?;
        Ok(Self(pairs))
    }
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Ascending,
    Descending,
}

/// What else comes with a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Include {
    /// On lists: the spans of each trace.
    pub(crate) spans: bool,
    /// Spans that tell of a model call which another span tells of better.
    pub(crate) merged: bool,
    /// On skeletons: the ids of the spans.
    pub(crate) ids: bool,
    /// On one trace: what graders and people say of it.
    pub(crate) grades: bool,
}

impl Params {
    /// Takes a parameter that may be given once.
    pub(crate) fn take(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        let mut taken = self.take_all(name);
        let first = taken.pop();
        match taken.is_empty() {
            true => Ok(first),
            false => Err(ApiError::invalid(name, "it is given twice")),
        }
    }

    fn take_all(&mut self, name: &str) -> Vec<String> {
        let (taken, rest) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(field, _)| field == name);
        self.0 = rest;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// Takes what says which traces are meant, where nothing but the storage is asked. Dates are reckoned
    /// from `now`.
    pub(crate) fn take_filter(&mut self, now: Time) -> Result<TraceFilter, ApiError> {
        let rule = self.take("rule")?;
        let filter = self.take_fields(now)?;
        let rule = rule.as_deref().map(rules::stored).transpose()?;
        Ok(TraceFilter { rule, ..filter })
    }

    /// Takes what says which traces are meant, besides a rule.
    pub(super) fn take_fields(&mut self, now: Time) -> Result<TraceFilter, ApiError> {
        let pairs = std::mem::take(&mut self.0);
        let texts = pairs
            .iter()
            .map(|(field, value)| (field.as_str(), value.as_str()));
        let (filter, unread) = TraceFilter::from_pairs(texts, now)?;
        self.0 = unread
            .into_iter()
            .map(|(field, value)| (field.to_owned(), value.to_owned()))
            .collect();
        Ok(filter)
    }

    /// Takes `limit`.
    pub(crate) fn take_limit(&mut self) -> Result<usize, ApiError> {
        self.take_limit_within(LIMIT_DEFAULT, LIMIT_MAX)
    }

    /// Takes `limit` of a list that has other limits.
    pub(crate) fn take_limit_within(
        &mut self,
        default: usize,
        max: usize,
    ) -> Result<usize, ApiError> {
        let Some(text) = self.take("limit")? else {
            return Ok(default);
        };
        let limit = text.parse().ok().filter(|limit| (1..=max).contains(limit));
        limit.ok_or_else(|| {
            let message = format!("{text:?} is not a number from 1 to {max}");
            ApiError::invalid("limit", message)
        })
    }

    /// Takes `order`.
    pub(crate) fn take_order(&mut self, default: Direction) -> Result<Direction, ApiError> {
        match self.take("order")?.as_deref() {
            None => Ok(default),
            Some("asc") => Ok(Direction::Ascending),
            Some("desc") => Ok(Direction::Descending),
            Some(other) => Err(ApiError::invalid(
                "order",
                format!("{other:?} is not asc or desc"),
            )),
        }
    }

    /// Takes a switch, which is off if it is not given.
    pub(crate) fn take_flag(&mut self, name: &str) -> Result<bool, ApiError> {
        match self.take(name)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => {
                let message = format!("{other:?} is neither true nor false");
                Err(ApiError::invalid(name, message))
            }
        }
    }

    /// Takes `payload`.
    pub(crate) fn take_payload(&mut self) -> Result<Option<Detail>, ApiError> {
        let Some(word) = self.take("payload")? else {
            return Ok(None);
        };
        let detail = Detail::parse(&word);
        detail.map(Some).ok_or_else(|| {
            ApiError::invalid("payload", format!("{word:?} is not none, preview or full"))
        })
    }

    /// Takes `include`, of which only `known` words are meant here.
    pub(crate) fn take_include(&mut self, known: &[&str]) -> Result<Include, ApiError> {
        let mut include = Include::default();
        // OpenAI's clients write lists with brackets.
        let lists = [self.take_all("include"), self.take_all("include[]")].concat();
        for word in lists.iter().flat_map(|list| list.split(',')).map(str::trim) {
            if !known.contains(&word) {
                let message = format!(
                    "{word:?} cannot be included here; known: {}",
                    known.join(", ")
                );
                return Err(ApiError::invalid("include", message));
            }
            match word {
                "spans" => include.spans = true,
                "merged" => include.merged = true,
                "grades" => include.grades = true,
                _ => include.ids = true,
            }
        }
        Ok(include)
    }

    /// Refuses what was not taken.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        match self.0.first() {
            None => Ok(()),
            Some((field, _)) => {
                let field: String = field.chars().take(64).collect();
                let message = format!("there is no parameter {field:?} here");
                Err(ApiError::new(ErrorCode::UnknownParameter, message).of_param(field))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        let uri = format!("/?{query}").parse().unwrap();
        Params(
            Query::<Vec<(String, String)>>::try_from_uri(&uri)
                .unwrap()
                .0,
        )
    }

    /// Reads every parameter there is, and returns what is wrong and with which.
    fn check(query: &str, want: Result<(), (ErrorCode, &str)>) {
        let read = || {
            let mut params = params(query);
            params.take_filter(Time::from_micros(0))?;
            params.take_limit()?;
            params.take_order(Direction::Descending)?;
            params.take_payload()?;
            params.take_include(&["spans", "merged"])?;
            params.take("after")?;
            params.finish()
        };
        match (read(), want) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err((code, field))) => {
                assert_eq!(error.code(), code, "{query}");
                assert!(
                    format!("{error:?}").contains(&format!("param: Some({field:?})")),
                    "{query}: {error:?}"
                );
            }
            (got, _) => panic!("{query}: {got:?}"),
        }
    }

    #[test]
    fn a_parameter_is_known_or_refused_by_name() {
        use ErrorCode::{InvalidParameter, UnknownParameter};
        check("", Ok(()));
        check(
            "tool=a&tool=b%2Cc&status=error&limit=1000&order=asc&after=x&payload=none",
            Ok(()),
        );
        check(
            "include=spans,merged&include[]=spans&metadata.key=1",
            Ok(()),
        );
        check("toool=a", Err((UnknownParameter, "toool")));
        check("limit=0", Err((InvalidParameter, "limit")));
        check("limit=1001", Err((InvalidParameter, "limit")));
        check("limit=1&limit=2", Err((InvalidParameter, "limit")));
        check("order=up", Err((InvalidParameter, "order")));
        check("payload=all", Err((InvalidParameter, "payload")));
        check("include=ids", Err((InvalidParameter, "include")));
        check("status=ok", Err((InvalidParameter, "status")));
        check("rule=duration_ms%3C5", Ok(()));
        check("rule=true&rule=true", Err((InvalidParameter, "rule")));
        check("rule=duration%3C5", Err((InvalidParameter, "rule")));
        check("rule=calls.any()", Err((InvalidParameter, "rule")));
    }
}
