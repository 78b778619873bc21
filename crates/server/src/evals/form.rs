//! The one form that OpenAI's clients send: a file and what it is for.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use tokio::task::spawn_blocking;

use crate::body::{self, Hold};
use crate::error::{ApiError, ErrorCode};
use crate::state::AppState;

/// A longer word or name is not meant.
const FIELD_BYTES_MAX: usize = 1_024;

/// What a form brought.
#[derive(Debug)]
pub(super) struct FileForm {
    pub(super) filename: String,
    pub(super) purpose: String,
    pub(super) content: Bytes,
    /// The memory that the content takes.
    pub(super) hold: Hold,
}

/// Reads a form of `purpose` and `file`.
pub(super) async fn read(
    state: &AppState,
    headers: &HeaderMap,
    body: Body,
) -> Result<FileForm, ApiError> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|value| value.to_str().ok()).unwrap_or("");
    let boundary = multer::parse_boundary(kind).map_err(|_| {
        let message =
            format!("the Content-Type {kind:?} is not multipart/form-data with a boundary");
        ApiError::new(ErrorCode::UnsupportedType, message).of_param("content-type")
    })?;
    let received = body::receive(&state.config, state.store.ledger(), headers, body).await?;
    let inflated = spawn_blocking(move || received.inflate()).await;
    let (bytes, hold) = inflated.map_err(ApiError::internal)??;
    let (filename, purpose, content) = fields(bytes, boundary).await?;
    let missing = |name: &str| ApiError::invalid(name, "it is missing from the form");
    Ok(FileForm {
        filename,
        purpose: purpose.ok_or_else(|| missing("purpose"))?,
        content: content.ok_or_else(|| missing("file"))?,
        hold,
    })
}

type Fields = (String, Option<String>, Option<Bytes>);

async fn fields(bytes: Bytes, boundary: String) -> Result<Fields, ApiError> {
    let whole = futures::stream::iter([Ok::<_, std::io::Error>(bytes)]);
    let mut form = multer::Multipart::new(whole, boundary);
    let (mut filename, mut purpose, mut content) = ("file".to_owned(), None, None);
    while let Some(field) = form.next_field().await.map_err(broken)? {
        let name = field.name().unwrap_or_default().to_owned();
        let given = field.file_name().map(str::to_owned);
        let bytes = field.bytes().await.map_err(broken)?;
        match name.as_str() {
            "file" => {
                filename = short("file", given.unwrap_or(filename))?;
                content = Some(bytes);
            }
            "purpose" => {
                let text = String::from_utf8(bytes.to_vec());
                let text = text.map_err(|_| ApiError::invalid("purpose", "it is not text"))?;
                purpose = Some(short("purpose", text)?);
            }
            other => {
                let name: String = other.chars().take(64).collect();
                let message = format!("there is no field {name:?} here; known: file, purpose");
                return Err(ApiError::new(ErrorCode::UnknownParameter, message).of_param(name));
            }
        }
    }
    Ok((filename, purpose, content))
}

fn short(name: &str, text: String) -> Result<String, ApiError> {
    match text.len() <= FIELD_BYTES_MAX {
        true => Ok(text),
        false => Err(ApiError::invalid(name, "it is too long")),
    }
}

fn broken(error: multer::Error) -> ApiError {
    let message = format!("the form cannot be read: {error}");
    ApiError::new(ErrorCode::InvalidBody, message)
}
