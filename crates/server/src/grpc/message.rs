//! How does a message of gRPC stand in a request, and in an answer?
//!
//! In front of it stand a byte that says whether it is compressed and four that say how long it is. A
//! call of ours has one message and no more.

use std::io;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use bytes::{Buf, Bytes, BytesMut};
use futures::{Stream, StreamExt, future, stream};
use http_body_util::{BodyExt, Full};
use tonic::Status;

use crate::error::{ApiError, ErrorCode};

/// The bytes in front of a message.
const PREFIX_BYTES: usize = 5;

/// How the messages of a request are compressed, where they are.
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// The media type of every answer.
pub(super) const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");

/// What stands in front of a message.
#[derive(Debug, PartialEq, Eq)]
struct Prefix {
    is_compressed: bool,
    length: u32,
}

impl Prefix {
    fn read(bytes: [u8; PREFIX_BYTES]) -> Result<Self, ApiError> {
        let [flag, length @ ..] = bytes;
        let is_compressed = match flag {
            0 => false,
            1 => true,
            other => {
                return Err(malformed(format!(
                    "it begins with {other}, not with 0 or 1"
                )));
            }
        };
        Ok(Self {
            is_compressed,
            length: u32::from_be_bytes(length),
        })
    }

    /// Returns the headers that say the same of a body.
    fn to_headers(&self, call: &HeaderMap) -> Result<HeaderMap, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, self.length.into());
        if self.is_compressed {
            let encoding = call.get(ENCODING).filter(|name| *name != "identity");
            let encoding = encoding.ok_or_else(|| {
                malformed("it is said to be compressed, and grpc-encoding does not say how")
            })?;
            headers.insert(header::CONTENT_ENCODING, encoding.clone());
        }
        Ok(headers)
    }
}

/// Returns the message of a call as a request of HTTP would have it: a body, and headers that say how long
/// it is and how it is compressed. Nothing is read beyond the first piece.
pub(super) async fn open(call: &HeaderMap, body: Body) -> Result<(HeaderMap, Body), ApiError> {
    let mut pieces = body
        .into_data_stream()
        .map(|piece| piece.map_err(io::Error::other))
        .boxed();
    let mut front = BytesMut::new();
    while front.len() < PREFIX_BYTES {
        match pieces.next().await {
            Some(Ok(piece)) => front.extend_from_slice(&piece),
            Some(Err(error)) => return Err(malformed(format!("it cannot be read: {error}"))),
            None => return Err(malformed("it ends before its length is told")),
        }
    }
    let mut prefix = [0; PREFIX_BYTES];
    front.copy_to_slice(&mut prefix);
    let prefix = Prefix::read(prefix)?;
    let headers = prefix.to_headers(call)?;
    let first = stream::once(future::ready(Ok(front.freeze())));
    let message = exactly(u64::from(prefix.length), first.chain(pieces));
    Ok((headers, Body::from_stream(message)))
}

/// Passes pieces on that are `length` bytes together, and fails if they are more or fewer.
fn exactly(
    length: u64,
    pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let begin = (Box::pin(pieces), length);
    stream::try_unfold(begin, |(mut pieces, left)| async move {
        match pieces.next().await.transpose()? {
            None if left == 0 => Ok(None),
            None => Err(io::Error::other(format!(
                "{left} bytes of the message are missing"
            ))),
            Some(piece) => match left.checked_sub(piece.len() as u64) {
                Some(left) => Ok(Some((piece, (pieces, left)))),
                None => Err(io::Error::other("the call has more than one message")),
            },
        }
    })
}

/// Returns a message as it is written. It is never compressed: ours are a few words.
pub(super) fn frame(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("our messages are short");
    let mut framed = Vec::with_capacity(PREFIX_BYTES + message.len());
    framed.push(0);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    framed.into()
}

/// Returns the answer to a call that went well.
pub(super) fn answer(message: &[u8]) -> Response {
    let trailers = future::ready(Some(Ok(trailers(&Status::ok("")))));
    whole(Body::new(Full::new(frame(message)).with_trailers(trailers)))
}

/// Returns an answer with this body.
pub(super) fn whole(body: Body) -> Response {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, CONTENT_TYPE);
    response
}

/// Returns what stands at the end of an answer.
pub(super) fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    status
        .add_header(&mut trailers)
        .expect("texts are escaped, so that they make headers");
    trailers
}

fn malformed(why: impl std::fmt::Display) -> ApiError {
    let message = format!("the body is no message of gRPC: {why}");
    ApiError::new(ErrorCode::InvalidBody, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(encoding: &str) -> HeaderMap {
        HeaderMap::from_iter([(ENCODING, encoding.parse().unwrap())])
    }

    /// What is read of `sent`, in pieces of `piece` bytes: the headers and the message, or why not.
    async fn read(encoding: &str, sent: &[u8], piece: usize) -> Result<(String, Vec<u8>), String> {
        let pieces: Vec<_> = sent
            .chunks(piece)
            .map(|piece| io::Result::Ok(Bytes::copy_from_slice(piece)))
            .collect();
        let body = Body::from_stream(stream::iter(pieces));
        let opened = open(&call(encoding), body).await;
        let (headers, body) = opened.map_err(|error| format!("{error:?}"))?;
        let told = |name| {
            headers
                .get(name)
                .map_or("-", |value: &HeaderValue| value.to_str().unwrap())
        };
        let told = format!(
            "{} {}",
            told(header::CONTENT_LENGTH),
            told(header::CONTENT_ENCODING)
        );
        let bytes = axum::body::to_bytes(body, 1 << 20).await;
        let bytes = bytes.map_err(|error| error.to_string())?;
        Ok((told, bytes.to_vec()))
    }

    async fn check(encoding: &str, sent: &[u8], want: Result<(&str, &[u8]), &str>) {
        for piece in [1, 4, 5, 6, 1_000] {
            let got = read(encoding, sent, piece).await;
            match (&got, want) {
                (Ok((told, bytes)), Ok(want)) => assert_eq!((&told[..], &bytes[..]), want),
                (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
                _ => panic!("{sent:?}: {got:?}, not {want:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_call_has_one_message_and_says_how_it_is_written() {
        check("identity", &frame(b"abc"), Ok(("3 -", b"abc"))).await;
        check("gzip", &frame(b""), Ok(("0 -", b""))).await;
        check("gzip", b"\x01\0\0\0\x02ab", Ok(("2 gzip", b"ab"))).await;
        check("", b"", Err("before its length is told")).await;
        check("", b"\0\0\0\0", Err("before its length is told")).await;
        check("", b"\x02\0\0\0\0", Err("it begins with 2")).await;
        check("identity", b"\x01\0\0\0\0", Err("does not say how")).await;
        check(
            "",
            b"\0\0\0\0\x03ab",
            Err("1 bytes of the message are missing"),
        )
        .await;
        check("", b"\0\0\0\0\x01ab", Err("more than one message")).await;
        let huge = Err("4294967293 bytes of the message are missing");
        check("", b"\0\xff\xff\xff\xffab", huge).await;
    }
}
