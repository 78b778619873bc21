//! Where does a call go?
//!
//! `/v1/proxy/NAME/PATH?QUERY` goes to the upstream's URL with the path appended as it was written.
//! OpenAI's clients are given base URLs with and without `/v1` at the end; where the upstream's own
//! URL ends in `/v1`, both lead to the same place.

use axum::http::Uri;
use ingest::openai_api::Api;
use reqwest::Url;

use super::PREFIX;
use crate::config::Upstream;
use crate::error::{ApiError, ErrorCode};

/// Where a call goes.
#[derive(Debug)]
pub(super) struct Target {
    /// The name of the upstream.
    pub(super) upstream: String,
    /// The upstream's own URL.
    pub(super) base: String,
    pub(super) url: Url,
    /// The API that is called, if it is one whose calls are recorded.
    pub(super) api: Option<Api>,
}

impl Target {
    /// Returns where a call to `uri` goes.
    pub(super) fn of(upstreams: &[Upstream], uri: &Uri) -> Result<Self, ApiError> {
        let rest = uri.path().strip_prefix(PREFIX).unwrap_or_default();
        let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
        let upstream = upstreams.iter().find(|upstream| upstream.name == name);
        let Some(upstream) = upstream else {
            let known: Vec<&str> = upstreams.iter().map(|one| one.name.as_str()).collect();
            let message = format!(
                "there is no upstream {name:?}; known: {}. `tracegrade serve --upstream NAME=URL` adds one",
                known.join(", ")
            );
            return Err(ApiError::new(ErrorCode::NotFound, message));
        };
        let base = upstream.base();
        let path = match base.ends_with("/v1") {
            true => path.strip_prefix("v1/").unwrap_or(path),
            false => path,
        };
        let query = uri.query().map(|query| format!("?{query}"));
        let text = format!("{base}/{path}{}", query.unwrap_or_default());
        let url = Url::parse(&text).ok();
        let invalid = || {
            let message = format!("{path:?} is no path below {base}");
            ApiError::invalid("path", message)
        };
        // `..` is resolved by whoever reads a URL, and would leave what the operator has opened.
        let base_path = upstream.url.path().trim_end_matches('/');
        let is_below = |url: &Url| {
            let rest = url.path().strip_prefix(base_path);
            rest.is_some_and(|rest| rest.starts_with('/'))
        };
        let url = url.filter(is_below).ok_or_else(invalid)?;
        Ok(Self {
            upstream: name.to_owned(),
            base: base.to_owned(),
            api: Api::of_path(path),
            url,
        })
    }

    /// Returns the URL as it may be kept: some APIs are told keys in the query.
    pub(super) fn url_without_query(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        url.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, want: Result<(&str, Option<Api>), ErrorCode>) {
        let url = |text: &str| Url::parse(text).unwrap();
        let upstream = |name: &str, at: &str| Upstream {
            name: name.to_owned(),
            url: url(at),
        };
        let upstreams = [
            upstream("openai", "https://api.openai.com/v1"),
            upstream("gw", "http://gw:8000/team-a/"),
        ];
        let got = Target::of(&upstreams, &uri.parse().unwrap());
        let got = got.map(|target| (target.url.to_string(), target.api));
        let want = want.map(|(url, api)| (url.to_owned(), api));
        assert_eq!(got.map_err(|error| error.code()), want, "{uri}");
    }

    #[test]
    fn paths_are_appended_as_they_were_written() {
        let chat = Some(Api::ChatCompletions);
        let there = "https://api.openai.com/v1/chat/completions";
        check("/v1/proxy/openai/chat/completions", Ok((there, chat)));
        check("/v1/proxy/openai/v1/chat/completions", Ok((there, chat)));
        check(
            "/v1/proxy/openai/files/a%2Fb?x=1&y=%20",
            Ok(("https://api.openai.com/v1/files/a%2Fb?x=1&y=%20", None)),
        );
        check(
            "/v1/proxy/gw/v1/responses",
            Ok(("http://gw:8000/team-a/v1/responses", Some(Api::Responses))),
        );
        check("/v1/proxy/other/models", Err(ErrorCode::NotFound));
        for outside in [
            "/v1/proxy/gw/../team-b/models",
            "/v1/proxy/gw/%2e%2e/team-b/models",
            "/v1/proxy/gw/..",
            "/v1/proxy/openai/v1/../../admin",
        ] {
            check(outside, Err(ErrorCode::InvalidParameter));
        }
    }
}
