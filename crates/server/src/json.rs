//! JSON bodies of small requests, refused in our own words.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use serde::de::DeserializeOwned;

use crate::error::{ApiError, ErrorCode};

/// The largest body that is read this way.
const BYTES_MAX: usize = 1 << 20;

/// A body that is JSON.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
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
        let bytes: Bytes = axum::body::to_bytes(request.into_body(), BYTES_MAX)
            .await
            .map_err(|_| {
                let message =
                    format!("the body cannot be read, or has more than {BYTES_MAX} bytes");
                ApiError::new(ErrorCode::BodyTooLarge, message)
            })?;
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            ApiError::new(
                ErrorCode::InvalidBody,
                format!("the body cannot be used: {error}"),
            )
        })?;
        Ok(Self(value))
    }
}
