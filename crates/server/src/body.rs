//! How does a body come in without taking more than it may?
//!
//! Before bytes are read, their memory is reserved in the ledger's share for bodies: at once if the
//! sender says how many will come, else as they come; inflating reserves as it goes. The compressed
//! and the inflated body have a limit each, so a small bomb ends at the second one. Whoever is refused
//! has the rest of the body read and dropped, up to a point: a sender that is still writing would see
//! a broken connection instead of the answer.

use std::io::{self, Read};
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use store::{Ledger, Reservation, Share, ShareFull};

use crate::config::Config;
use crate::error::{ApiError, ErrorCode};

/// Memory is reserved in steps of this size where the length is not known.
const STEP_BYTES: usize = 256 << 10;

/// What a body becomes while it is there: the bytes, the rows decoded from them, the record for the
/// log. Measured under a flood of large bodies, where counting the bytes alone let memory double.
const COPIES: usize = 3;

/// The largest window a zstd frame may ask for: what `zstd -19` uses, and four times more.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Deflate,
    Zstd,
}

/// A body as received, with the memory it holds.
#[derive(Debug)]
pub(crate) struct Received {
    bytes: Bytes,
    encoding: Encoding,
    inflated_bytes_max: usize,
    /// Whether the end may be missing: what inflates is then all there is.
    may_be_cut: bool,
    hold: Hold,
}

/// Memory held of the share for bodies, to be kept for as long as the bytes are.
#[derive(Debug)]
pub(crate) struct Hold {
    ledger: Arc<Ledger>,
    parts: Vec<Reservation>,
    bytes: usize,
}

impl Hold {
    /// Holds nothing yet.
    pub(crate) fn new(ledger: &Arc<Ledger>) -> Self {
        Self {
            ledger: Arc::clone(ledger),
            parts: Vec::new(),
            bytes: 0,
        }
    }

    /// Returns another that holds nothing, of the same ledger.
    pub(crate) fn empty(&self) -> Self {
        Self::new(&self.ledger)
    }

    /// Gives everything back.
    pub(crate) fn release(&mut self) {
        *self = self.empty();
    }

    /// Holds room for at least `bytes` of bodies in all.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), ShareFull> {
        if bytes > self.bytes {
            let more = (bytes - self.bytes) * COPIES;
            self.parts.push(self.ledger.reserve(Share::Bodies, more)?);
            self.bytes = bytes;
        }
        Ok(())
    }
}

/// Reads a body.
pub(crate) async fn receive(
    config: &Config,
    ledger: &Arc<Ledger>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Received, ApiError> {
    let encoding = encoding(headers)?;
    let mut stream = body.into_data_stream();
    let mut read = Reading {
        hold: Hold::new(ledger),
        bytes: BytesMut::new(),
        max: config.body_bytes_max,
    };
    let mut outcome = read.announce(length(headers));
    while outcome.is_ok() {
        match stream.next().await {
            None => break,
            Some(Ok(chunk)) => outcome = read.take(&chunk),
            Some(Err(error)) => {
                let message = format!("the body ended before its time: {error}");
                return Err(ApiError::new(ErrorCode::InvalidBody, message));
            }
        }
    }
    if let Err(error) = outcome {
        drop(read);
        discard(&mut stream, config.body_bytes_max).await;
        return Err(error);
    }
    Ok(Received {
        bytes: read.bytes.freeze(),
        encoding,
        inflated_bytes_max: config.inflated_bytes_max,
        may_be_cut: false,
        hold: read.hold,
    })
}

struct Reading {
    hold: Hold,
    bytes: BytesMut,
    max: usize,
}

impl Reading {
    fn announce(&mut self, length: Option<u64>) -> Result<(), ApiError> {
        let Some(length) = length else { return Ok(()) };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.check(length)?;
        self.hold.grow_to(length)?;
        self.bytes.reserve(length);
        Ok(())
    }

    fn take(&mut self, chunk: &[u8]) -> Result<(), ApiError> {
        let length = self.bytes.len() + chunk.len();
        self.check(length)?;
        if length > self.hold.bytes {
            self.hold.grow_to(length.next_multiple_of(STEP_BYTES))?;
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    fn check(&self, length: usize) -> Result<(), ApiError> {
        match length <= self.max {
            true => Ok(()),
            false => Err(too_large("received", self.max, "body_bytes_max")),
        }
    }
}

impl Received {
    /// Returns the copy of a body that was passed on, with the memory held for it.
    pub(crate) fn copied(
        config: &Config,
        headers: &HeaderMap,
        bytes: Bytes,
        hold: Hold,
        may_be_cut: bool,
    ) -> Result<Self, ApiError> {
        Ok(Self {
            bytes,
            encoding: encoding(headers)?,
            inflated_bytes_max: config.inflated_bytes_max,
            may_be_cut,
            hold,
        })
    }

    /// Returns the body as it was before it was compressed. Blocks the thread for as long as that
    /// takes.
    pub(crate) fn inflate(mut self) -> Result<(Bytes, Hold), ApiError> {
        let bytes = self.bytes.clone();
        let input = &bytes[..];
        let inflated = match self.encoding {
            Encoding::Identity => return self.plain(),
            Encoding::Gzip => self.inflate_from(flate2::read::MultiGzDecoder::new(input)),
            Encoding::Deflate => self.inflate_from(flate2::read::ZlibDecoder::new(input)),
            Encoding::Zstd => {
                let mut decoder = zstd::Decoder::new(input).map_err(ApiError::internal)?;
                decoder
                    .window_log_max(ZSTD_WINDOW_LOG_MAX)
                    .map_err(ApiError::internal)?;
                self.inflate_from(decoder)
            }
        }?;
        Ok((inflated, self.hold))
    }

    fn plain(self) -> Result<(Bytes, Hold), ApiError> {
        match self.bytes.len() <= self.inflated_bytes_max {
            true => Ok((self.bytes, self.hold)),
            false => Err(self.bomb()),
        }
    }

    fn bomb(&self) -> ApiError {
        too_large("inflated", self.inflated_bytes_max, "inflated_bytes_max")
    }

    fn inflate_from(&mut self, mut decoder: impl Read) -> Result<Bytes, ApiError> {
        let received = self.bytes.len();
        let mut inflated = Vec::new();
        loop {
            let filled = inflated.len();
            self.hold.grow_to(received + filled + STEP_BYTES)?;
            inflated.reserve(STEP_BYTES);
            let mut step = decoder.by_ref().take(STEP_BYTES as u64);
            let got = step.read_to_end(&mut inflated);
            if inflated.len() > self.inflated_bytes_max {
                return Err(self.bomb());
            }
            let got = match got {
                Err(_) if self.may_be_cut => 0,
                got => got.map_err(broken)?,
            };
            if got < STEP_BYTES {
                return Ok(inflated.into());
            }
        }
    }
}

/// Reads and drops what the sender still has to say, up to `bytes_max`.
async fn discard(stream: &mut axum::body::BodyDataStream, bytes_max: usize) {
    let mut dropped = 0;
    while let Some(Ok(chunk)) = stream.next().await {
        dropped += chunk.len();
        if dropped > bytes_max {
            return;
        }
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(Encoding::Identity);
    };
    let name = value.to_str().unwrap_or("?").trim().to_ascii_lowercase();
    match name.as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        "deflate" => Ok(Encoding::Deflate),
        "zstd" => Ok(Encoding::Zstd),
        _ => Err(ApiError::new(
            ErrorCode::UnsupportedEncoding,
            format!(
                "the Content-Encoding {name:?} is not known; known: gzip, deflate, zstd, identity"
            ),
        )
        .of_param("content-encoding")),
    }
}

fn broken(error: io::Error) -> ApiError {
    let message = format!("the body does not inflate: {error}");
    ApiError::new(ErrorCode::InvalidEncoding, message).of_param("content-encoding")
}

fn too_large(how: &str, max: usize, setting: &str) -> ApiError {
    let message =
        format!("the body has more than {max} bytes {how}; the setting {setting} is the limit");
    ApiError::new(ErrorCode::BodyTooLarge, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// What becomes of a body where 1 MiB may be received, 4 MiB inflated and 100 MiB used in all.
    async fn read(name: &str, sent: Vec<u8>, budget: usize) -> Result<usize, ErrorCode> {
        let mut config = Config::default();
        config.body_bytes_max = 1 << 20;
        config.inflated_bytes_max = 4 << 20;
        let ledger = Ledger::new(budget);
        // A neighbour, so that nothing passes only because it is alone.
        let neighbour = ledger.reserve(Share::Bodies, 1).unwrap();
        let headers = HeaderMap::from_iter([(header::CONTENT_ENCODING, name.parse().unwrap())]);
        let chunks = sent
            .chunks(10_000)
            .map(|chunk| io::Result::Ok(Bytes::copy_from_slice(chunk)));
        let body = Body::from_stream(futures::stream::iter(chunks.collect::<Vec<_>>()));
        let outcome = async {
            let received = receive(&config, &ledger, &headers, body).await?;
            let (bytes, hold) = received.inflate()?;
            assert!(
                ledger.used(Share::Bodies) > bytes.len(),
                "the body is accounted for"
            );
            drop(hold);
            Ok::<_, ApiError>(bytes.len())
        };
        let outcome = outcome.await.map_err(|error| error.code());
        assert_eq!(ledger.used(Share::Bodies), 1, "all is given back");
        drop(neighbour);
        outcome
    }

    async fn check(name: &str, sent: Vec<u8>, want: Result<usize, ErrorCode>) {
        assert_eq!(read(name, sent, 100 << 20).await, want, "{name}");
    }

    #[tokio::test]
    async fn each_encoding_is_read_and_each_bomb_is_stopped() {
        let text = vec![b'x'; 3_000_000];
        let bomb = vec![0; 16 << 20];
        let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
        check("identity", vec![b'x'; 1 << 20], Ok(1 << 20)).await;
        check("gzip", gzip(&text), Ok(text.len())).await;
        check("deflate", deflate(&text), Ok(text.len())).await;
        check("zstd", zstd(&text), Ok(text.len())).await;
        for (name, sent) in [
            ("gzip", gzip(&bomb)),
            ("deflate", deflate(&bomb)),
            ("zstd", zstd(&bomb)),
        ] {
            assert!(sent.len() < 1 << 20);
            check(name, sent, Err(ErrorCode::BodyTooLarge)).await;
        }
        check(
            "identity",
            vec![b'x'; (1 << 20) + 1],
            Err(ErrorCode::BodyTooLarge),
        )
        .await;
        check("br", Vec::new(), Err(ErrorCode::UnsupportedEncoding)).await;
        check(
            "gzip, zstd",
            Vec::new(),
            Err(ErrorCode::UnsupportedEncoding),
        )
        .await;
        let mut cut = gzip(b"some text that is long enough to be cut");
        cut.truncate(cut.len() - 9);
        check("gzip", cut, Err(ErrorCode::InvalidEncoding)).await;
        check(
            "zstd",
            b"not zstd".to_vec(),
            Err(ErrorCode::InvalidEncoding),
        )
        .await;
    }

    #[tokio::test]
    async fn a_full_share_refuses_before_memory_is_taken() {
        // 25 % of 12 MiB, for three copies each: 1 MiB of bodies, three steps fit.
        assert_eq!(
            read("identity", vec![b'x'; 1_500_000], 12 << 20).await,
            Err(ErrorCode::MemoryFull)
        );
        assert_eq!(
            read("gzip", gzip(&[b'x'; 1_500_000]), 12 << 20).await,
            Err(ErrorCode::MemoryFull)
        );
        assert_eq!(
            read("identity", vec![b'x'; 700_000], 12 << 20).await,
            Ok(700_000)
        );
    }
}
