//! JSON bodies of small requests, refused in our own words.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use serde::de::DeserializeOwned;

use crate::error::{ApiError, ErrorCode};

/// The largest body that is read this way, unless an endpoint says otherwise.
const BYTES_MAX: usize = 1 << 20;

/// A body that is JSON, of so many bytes at most.
#[derive(Debug)]
pub(crate) struct JsonBody<T, const MAX: usize = BYTES_MAX>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync, const MAX: usize> FromRequest<S> for JsonBody<T, MAX> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind
            .and_then(|value| value.to_str().ok())
            .unwrap_or("application/json");
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") && !kind.ends_with("+json") {
            let message = format!("the Content-Type {kind:?} is not application/json");
            return Err(ApiError::new(ErrorCode::UnsupportedType, message).of_param("content-type"));
        }
        let bytes: Bytes = axum::body::to_bytes(request.into_body(), MAX)
            .await
            .map_err(|_| {
                let message = format!("the body cannot be read, or has more than {MAX} bytes");
                ApiError::new(ErrorCode::BodyTooLarge, message)
            })?;
        read(&bytes).map(Self)
    }
}

/// Reads a body that is JSON.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut read = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut read).map_err(|error| {
        let path = error.path().to_string();
        let message = format!("the body cannot be used: {}", in_our_words(error.inner()));
        let error = ApiError::new(ErrorCode::InvalidBody, message);
        match path.as_str() {
            "." => error,
            path => error.of_param(path),
        }
    })?;
    read.end().map_err(|error| {
        let message = format!("the body cannot be used: {}", in_our_words(&error));
        ApiError::new(ErrorCode::InvalidBody, message)
    })?;
    Ok(value)
}

/// Returns what is wrong with a text that is to be JSON, without the words of the language it is read in.
pub(crate) fn in_our_words(error: &serde_json::Error) -> String {
    let words = error.to_string();
    let Some((before, expected)) = words.split_once("expected ") else {
        return words;
    };
    let place = expected.find(" at line ").unwrap_or(expected.len());
    let (kind, place) = expected.split_at(place);
    let kind = match kind {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        kind if kind.starts_with("struct ") => "an object",
        kind => kind,
    };
    format!("{before}expected {kind}{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Asked {
        #[serde(rename = "limit")]
        _limit: usize,
    }

    #[test]
    fn what_is_wrong_is_said_without_words_of_rust() {
        let check = |body: &str, want: &str| {
            let error = serde_json::from_str::<Asked>(body).unwrap_err();
            assert_eq!(in_our_words(&error), want);
        };
        check(
            "3",
            "invalid type: integer `3`, expected an object at line 1 column 1",
        );
        check(
            r#"{"limit":"x"}"#,
            r#"invalid type: string "x", expected a whole number that is not negative at line 1 column 12"#,
        );
        check("{", "EOF while parsing an object at line 1 column 1");
    }
}
