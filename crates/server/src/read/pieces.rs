//! How does an answer of any size leave? Piece by piece, made on the blocking pool only as fast as
//! the client takes them: nothing is held for a slow reader, and a reader that leaves ends the work.
//!
//! The first pieces are made before the status is sent, so that most failures are told as what they
//! are; a later one breaks the transfer off, which no client can take for the end.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use model::TraceId;
use tokio::task::spawn_blocking;

use crate::error::{ApiError, chain};
use crate::objects::Fault;

/// So many bytes are sent at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// A part of an answer.
pub(super) type Piece = Result<Vec<u8>, PieceError>;

/// Why an answer stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum PieceError {
    /// Rows could not be read.
    #[error("failed to read more of the answer")]
    Read(#[from] store::ReadError),
    /// A payload could not be put together again, and the answer has no place to say so.
    #[error("failed to restore the payloads of trace {trace_id}")]
    Payload {
        /// The trace.
        trace_id: TraceId,
        /// What is wrong.
        #[source]
        source: Fault,
    },
    /// A bug: making a piece panicked.
    #[error("failed to make more of the answer")]
    Panicked(#[from] tokio::task::JoinError),
}

impl From<PieceError> for ApiError {
    fn from(error: PieceError) -> Self {
        match error {
            PieceError::Read(error) => error.into(),
            _ => Self::internal(error),
        }
    }
}

/// Runs something that reads disks or takes long.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    spawn_blocking(work).await.map_err(ApiError::internal)
}

/// Returns the answer that the pieces make up.
pub(super) async fn respond(
    media_type: &'static str,
    pieces: impl Iterator<Item = Piece> + Send + 'static,
) -> Result<Response, ApiError> {
    let (first, rest) = chunk(pieces).await?;
    let body = match rest {
        None => Body::from(first),
        Some(rest) => {
            let later = stream::try_unfold(Some(rest), |rest| async {
                let Some(rest) = rest else { return Ok(None) };
                let (bytes, rest) = chunk(rest).await.inspect_err(log)?;
                Ok::<_, PieceError>(Some((bytes, rest)))
            });
            let first = stream::once(async { Ok(first) });
            Body::from_stream(futures::StreamExt::chain(first, later))
        }
    };
    let media_type = HeaderValue::from_static(media_type);
    Ok(([(header::CONTENT_TYPE, media_type)], body).into_response())
}

fn log(error: &PieceError) {
    tracing::error!(cause = %chain(error), "an answer was broken off");
}

/// Returns the next bytes, and the pieces behind them if there are any.
async fn chunk<P>(mut pieces: P) -> Result<(Bytes, Option<P>), PieceError>
where
    P: Iterator<Item = Piece> + Send + 'static,
{
    let work = move || {
        let mut bytes = Vec::new();
        while bytes.len() < CHUNK_BYTES {
            match pieces.next() {
                Some(piece) => bytes.append(&mut piece?),
                None => return Ok((bytes.into(), None)),
            }
        }
        Ok((bytes.into(), Some(pieces)))
    };
    spawn_blocking(work).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(pieces: usize, bytes: usize) -> Response {
        respond(
            "text/plain",
            (0..pieces).map(move |n| Ok(vec![b'a' + (n % 26) as u8; bytes])),
        )
        .await
        .unwrap()
    }

    #[tokio::test]
    async fn pieces_arrive_whole_and_in_order() {
        for (pieces, bytes) in [(0, 0), (1, 5), (3, CHUNK_BYTES), (50, 30_000)] {
            let got = axum::body::to_bytes(body(pieces, bytes).await.into_body(), usize::MAX)
                .await
                .unwrap();
            let want: Vec<u8> = (0..pieces)
                .flat_map(|n| vec![b'a' + (n % 26) as u8; bytes])
                .collect();
            assert!(got == want, "{pieces} of {bytes}");
        }
    }

    #[tokio::test]
    async fn a_failure_is_told_or_breaks_the_transfer_off() {
        let wrong = || store::Columns::named(store::Table::Traces, &["no"]).unwrap_err();
        let failed = respond(
            "text/plain",
            std::iter::once_with(move || Err(store::ReadError::from(wrong()).into())),
        )
        .await;
        assert!(failed.is_err());
        let large = std::iter::once_with(|| Ok(vec![0; CHUNK_BYTES]));
        let broken = respond(
            "text/plain",
            large.chain(std::iter::once_with(move || {
                Err(store::ReadError::from(wrong()).into())
            })),
        )
        .await;
        let body = broken.unwrap().into_body();
        assert!(axum::body::to_bytes(body, usize::MAX).await.is_err());
    }
}
