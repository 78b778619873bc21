//! What does the caller hear when something fails?
//!
//! HTTP statuses appear here and nowhere else: [`ErrorCode`] is the one table from what went wrong to
//! status, type and the stable `code`. The body is OpenAI's, since its clients read it. There are two
//! sorts, never mixed: the caller's mistake, told in full, and ours, which is logged with its whole
//! chain of causes and told by the request's id. An error is logged once, when it becomes a response.

use std::error::Error;

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use store::meta::MetaError;
use store::{AppendError, DbError, DeleteError, Limit, Refusal, ShareFull, StoreError};
use utoipa::ToSchema;

/// The longest time that a sender is asked to wait: the Agents SDK caps it there.
const RETRY_AFTER_S_MAX: u32 = 30;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $status:ident, $kind:literal, $code:literal;)+) => {
        /// What went wrong, as a client's program reads it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum ErrorCode { $($(#[$doc])* $variant),+ }

        impl ErrorCode {
            /// Returns the HTTP status.
            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),+ }
            }

            /// Returns OpenAI's class of error.
            pub(crate) const fn kind(self) -> &'static str {
                match self { $(Self::$variant => $kind),+ }
            }

            /// Returns the stable word.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }
        }
    };
}

error_codes! {
    /// The body, or a part of it, is not what it should be.
    InvalidBody = BAD_REQUEST, "invalid_request_error", "invalid_body";
    /// The body does not inflate.
    InvalidEncoding = BAD_REQUEST, "invalid_request_error", "invalid_encoding";
    /// A parameter has a value that it cannot have.
    InvalidParameter = BAD_REQUEST, "invalid_request_error", "invalid_parameter";
    /// A parameter that nobody knows, most likely a typing error.
    UnknownParameter = BAD_REQUEST, "invalid_request_error", "unknown_parameter";
    /// The key opens several projects and the request names none.
    ProjectMissing = BAD_REQUEST, "invalid_request_error", "project_missing";
    /// A query that cannot be run as it is written.
    InvalidQuery = BAD_REQUEST, "invalid_request_error", "invalid_query";
    /// It needs what whoever runs the server has not set up.
    Unconfigured = BAD_REQUEST, "invalid_request_error", "not_configured";
    /// A key is needed and none was given.
    KeyMissing = UNAUTHORIZED, "invalid_request_error", "api_key_missing";
    /// The key is unknown or was revoked.
    KeyInvalid = UNAUTHORIZED, "invalid_request_error", "invalid_api_key";
    /// The key may not do this.
    ScopeMissing = FORBIDDEN, "permission_error", "scope_missing";
    /// A name that is not this machine's leads here: a web page may have been rebound.
    ForeignHost = FORBIDDEN, "permission_error", "foreign_host";
    /// A web page of another origin asks.
    CrossOrigin = FORBIDDEN, "permission_error", "cross_origin";
    /// There is no such route.
    UnknownUrl = NOT_FOUND, "invalid_request_error", "unknown_url";
    /// There is no such project, or this key does not open it.
    ProjectNotFound = NOT_FOUND, "invalid_request_error", "project_not_found";
    /// There is no such object.
    NotFound = NOT_FOUND, "invalid_request_error", "not_found";
    /// The route does not know the method.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "invalid_request_error", "method_not_allowed";
    /// There is one of that name already.
    Exists = CONFLICT, "invalid_request_error", "already_exists";
    /// The change would leave things in a state that cannot be meant.
    Conflict = CONFLICT, "invalid_request_error", "conflict";
    /// The body is too large.
    BodyTooLarge = PAYLOAD_TOO_LARGE, "invalid_request_error", "body_too_large";
    /// The body is compressed in a way that is not known here.
    UnsupportedEncoding = UNSUPPORTED_MEDIA_TYPE, "invalid_request_error", "unsupported_encoding";
    /// The body is of a type that is not known here.
    UnsupportedType = UNSUPPORTED_MEDIA_TYPE, "invalid_request_error", "unsupported_media_type";
    /// Too many requests at the same time.
    Busy = TOO_MANY_REQUESTS, "rate_limit_error", "busy";
    /// A share of the memory is used up.
    MemoryFull = TOO_MANY_REQUESTS, "rate_limit_error", "memory_full";
    /// Rows in memory wait to be written.
    FlushLag = TOO_MANY_REQUESTS, "rate_limit_error", "flush_lag";
    /// The write-ahead log is as large as it may be.
    WalFull = TOO_MANY_REQUESTS, "rate_limit_error", "wal_full";
    /// Merging is behind.
    CompactionLag = TOO_MANY_REQUESTS, "rate_limit_error", "compaction_lag";
    /// Something is wrong on our side.
    Internal = INTERNAL_SERVER_ERROR, "server_error", "internal_error";
    /// The disk is nearly full.
    DiskFull = SERVICE_UNAVAILABLE, "server_error", "disk_full";
    /// The server is shutting down.
    Stopping = SERVICE_UNAVAILABLE, "server_error", "stopping";
    /// The store has stopped after an error of the disk.
    StoreStopped = SERVICE_UNAVAILABLE, "server_error", "store_stopped";
    /// The server that a call is passed on to cannot be reached, or broke off before it answered.
    UpstreamUnreachable = BAD_GATEWAY, "server_error", "upstream_unreachable";
    /// The server that a call is passed on to did not answer in time.
    UpstreamTimeout = GATEWAY_TIMEOUT, "server_error", "upstream_timeout";
    /// The request took too long.
    TimedOut = GATEWAY_TIMEOUT, "server_error", "timed_out";
}

/// A failed request.
#[derive(Debug)]
pub(crate) struct ApiError {
    code: ErrorCode,
    message: String,
    param: Option<String>,
    retry_after_s: Option<u32>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl ApiError {
    /// Returns the error `code`, told as `message`.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            param: None,
            retry_after_s: None,
            cause: None,
        }
    }

    /// Returns the error of a parameter that cannot be used, naming it.
    pub(crate) fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidParameter, message).of_param(param)
    }

    /// Returns the error of an object that is not there.
    pub(crate) fn not_found(what: &str, id: &str) -> Self {
        Self::new(ErrorCode::NotFound, format!("there is no {what} {id:?}"))
    }

    /// Returns the error of something that went wrong on our side: logged in full, told in short.
    pub(crate) fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::new(
                ErrorCode::Internal,
                "something went wrong on the server; its log has the cause under this request's x-request-id",
            )
        }
    }

    /// Names the parameter or the field that is at fault.
    pub(crate) fn of_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Says in which field that is at fault which lies.
    pub(crate) fn within(mut self, outer: &str) -> Self {
        self.param = Some(match self.param {
            Some(inner) if inner != outer => format!("{outer}.{inner}"),
            _ => outer.to_owned(),
        });
        self
    }

    /// Asks the caller to come back after `seconds`.
    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds.clamp(1, RETRY_AFTER_S_MAX));
        self
    }

    /// Returns it as one line among others: what is at fault, and why.
    pub(crate) fn told(&self) -> String {
        match &self.param {
            Some(param) if !self.message.contains(&**param) => {
                format!("{param}: {}", self.message)
            }
            _ => self.message.clone(),
        }
    }

    /// Returns what went wrong.
    pub(crate) fn code(&self) -> ErrorCode {
        self.code
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// What a failed request is told, for those who tell it in another form.
#[derive(Debug, Clone)]
pub(crate) struct ErrorText(pub(crate) String);

/// The body of a failed request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct ErrorBody {
    error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorDetail {
    /// For people.
    message: String,
    /// The class of error, such as `invalid_request_error`.
    r#type: &'static str,
    /// The parameter or the field at fault.
    param: Option<String>,
    /// For programs; these words do not change.
    code: &'static str,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let code = self.code;
        match &self.cause {
            Some(cause) => {
                tracing::error!(code = code.as_str(), cause = %chain(&**cause), "request failed")
            }
            None => {
                tracing::debug!(code = code.as_str(), reason = %self.message, "request refused")
            }
        }
        // Many clients log the message and nothing else: it says which parameter it is about.
        let message = match &self.param {
            Some(param)
                if code == ErrorCode::InvalidParameter && !self.message.contains(&**param) =>
            {
                format!("{param}: {}", self.message)
            }
            _ => self.message,
        };
        let text = ErrorText(message.clone());
        let body = ErrorBody {
            error: ErrorDetail {
                message,
                r#type: code.kind(),
                param: self.param,
                code: code.as_str(),
            },
        };
        let mut response = (code.status(), Json(body)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(code);
        response.extensions_mut().insert(text);
        response
    }
}

/// Returns an error and all its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.what {
            Limit::Memory => ErrorCode::MemoryFull,
            Limit::FlushLag => ErrorCode::FlushLag,
            Limit::WalBytes => ErrorCode::WalFull,
            Limit::L0Files => ErrorCode::CompactionLag,
            Limit::Disk => ErrorCode::DiskFull,
            Limit::Stopping => ErrorCode::Stopping,
        };
        Self::new(code, refusal.to_string()).retry_after(refusal.retry_after_s)
    }
}

impl From<ShareFull> for ApiError {
    fn from(full: ShareFull) -> Self {
        Refusal::memory(&full).into()
    }
}

impl From<AppendError> for ApiError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Refused(refusal) => refusal.into(),
            AppendError::TooLarge { .. } => Self::new(ErrorCode::BodyTooLarge, error.to_string()),
            AppendError::Lookup(_) | AppendError::Item(_) => Self::internal(error),
            AppendError::Stopped(_) => Self::stopped(error),
        }
    }
}

impl From<DeleteError> for ApiError {
    fn from(error: DeleteError) -> Self {
        match error {
            DeleteError::Refused(refused) => refused.into(),
            DeleteError::Compared(error) => error.into(),
            DeleteError::NotKept(_) => Self::internal(error),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Stopped(_) => Self::stopped(error),
            StoreError::Meta(error) => error.into(),
            _ => Self::internal(error),
        }
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        Self::internal(error)
    }
}

impl From<MetaError> for ApiError {
    fn from(error: MetaError) -> Self {
        match error {
            MetaError::NotFound { what, id } => Self::not_found(what, &id),
            MetaError::NoVersion { .. } => Self::new(ErrorCode::NotFound, error.to_string()),
            MetaError::NoPlace { .. } => Self::invalid("after", error.to_string()),
            MetaError::Exists { .. } => Self::new(ErrorCode::Exists, error.to_string()),
            MetaError::Db(_) => Self::internal(error),
        }
    }
}

impl ApiError {
    fn stopped(cause: impl Error + Send + Sync + 'static) -> Self {
        let message = "the store has stopped after an error of the disk and must be restarted";
        Self {
            cause: Some(Box::new(cause)),
            ..Self::new(ErrorCode::StoreStopped, message).retry_after(RETRY_AFTER_S_MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(error: ApiError) -> (u16, Option<String>, String) {
        let response = error.into_response();
        let retry = response.headers().get(RETRY_AFTER).cloned();
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        let retry = retry.map(|value| value.to_str().unwrap().to_owned());
        (status, retry, String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn check(error: ApiError, status: u16, retry: Option<&str>, json: &str) {
        assert_eq!(
            body(error).await,
            (status, retry.map(str::to_owned), json.to_owned())
        );
    }

    #[tokio::test]
    async fn callers_are_told_in_openais_words() {
        check(
            ApiError::invalid("limit", "\"x\" is not a number"),
            400,
            None,
            r#"{"error":{"message":"limit: \"x\" is not a number","type":"invalid_request_error","param":"limit","code":"invalid_parameter"}}"#,
        )
        .await;
        let refusal = Refusal {
            what: Limit::Disk,
            message: "the disk is full".to_owned(),
            retry_after_s: 300,
        };
        check(
            refusal.into(),
            503,
            Some("30"),
            r#"{"error":{"message":"the disk is full; try again in 300 s","type":"server_error","param":null,"code":"disk_full"}}"#,
        )
        .await;
    }

    #[tokio::test]
    async fn our_own_faults_are_not_told_to_callers() {
        let (status, _, json) = body(ApiError::internal("/secret/path is broken")).await;
        assert_eq!(status, 500);
        assert!(!json.contains("secret"), "{json}");
    }

    #[test]
    fn refusals_of_the_store_keep_their_word() {
        for what in [
            Limit::Memory,
            Limit::FlushLag,
            Limit::WalBytes,
            Limit::L0Files,
            Limit::Disk,
            Limit::Stopping,
        ] {
            let refusal = Refusal {
                what,
                message: String::new(),
                retry_after_s: 1,
            };
            let error = ApiError::from(refusal);
            assert_eq!(error.code().as_str(), what.as_str());
            let is_retried = matches!(error.code().status().as_u16(), 429 | 503);
            assert!(is_retried, "senders must come back after {what:?}");
        }
    }
}
