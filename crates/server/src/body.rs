//! How does a body come in without taking more than it may?
//!
//! Before bytes are read, their memory is reserved in the ledger's share for bodies: at once if the
//! sender says how many will come, else as they come; inflating reserves as it goes, and lets go of
//! what was compressed. The compressed and the inflated body have a limit each, so a small bomb ends at
//! the second one. A body that would not fit if it were alone is refused for good: "come back later"
//! would be heard for ever. Whoever is refused has the rest of the body read and dropped, up to a point:
//! a sender that is still writing would see a broken connection instead of the answer.

use std::io::{self, Read};
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use store::{Ledger, Reservation, Share};

use crate::config::Config;
use crate::error::{ApiError, ErrorCode};

/// Memory is reserved in steps of this size where the length is not known.
const STEP_BYTES: usize = 256 << 10;

/// What a body becomes once it is read: the bytes, the rows decoded from them, the record for the log.
/// Measured under a flood of large bodies, where counting the bytes alone let memory double. A body
/// that is still compressed is there once.
pub(crate) const COPIES: usize = 3;

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

impl Encoding {
    /// Returns the name of it in HTTP.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        }
    }

    /// Returns what a name of it in HTTP means.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "" | "identity" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
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
    /// What the same body holds elsewhere.
    beside: usize,
}

impl Hold {
    /// Holds nothing yet.
    pub(crate) fn new(ledger: &Arc<Ledger>) -> Self {
        Self {
            ledger: Arc::clone(ledger),
            parts: Vec::new(),
            bytes: 0,
            beside: 0,
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

    /// Returns a hold for what becomes of the bytes that this one is for.
    fn successor(&self) -> Self {
        Self {
            beside: self.bytes,
            ..Self::new(&self.ledger)
        }
    }

    /// Holds at least `bytes` in all.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), ApiError> {
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 {
            return Ok(());
        }
        let (needed, limit) = (
            self.beside.saturating_add(bytes),
            self.ledger.limit(Share::Bodies),
        );
        if needed > limit {
            let message = format!(
                "the body needs {needed} bytes of memory and all bodies together may use {limit}, a \
                 quarter of memory_bytes_max: raise it, or send less at a time (body_bytes_max and \
                 inflated_bytes_max are the limits of one body)"
            );
            return Err(ApiError::new(ErrorCode::BodyTooLarge, message));
        }
        self.parts.push(self.ledger.reserve(Share::Bodies, more)?);
        self.bytes = bytes;
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
        copies: match encoding {
            Encoding::Identity => COPIES,
            _ => 1,
        },
    };
    let mut outcome = read.announce(length(headers));
    while outcome.is_ok() {
        match stream.next().await {
            None => break,
            Some(Ok(chunk)) => outcome = read.take(&chunk),
            Some(Err(error)) => {
                let message = format!("the body cannot be read: {error}");
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
    /// How often what is received will be there.
    copies: usize,
}

impl Reading {
    fn announce(&mut self, length: Option<u64>) -> Result<(), ApiError> {
        let Some(length) = length else { return Ok(()) };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.check(length)?;
        self.hold.grow_to(length.saturating_mul(self.copies))?;
        self.bytes.reserve(length);
        Ok(())
    }

    fn take(&mut self, chunk: &[u8]) -> Result<(), ApiError> {
        let length = self.bytes.len() + chunk.len();
        self.check(length)?;
        if length * self.copies > self.hold.bytes {
            let ahead = length.next_multiple_of(STEP_BYTES).min(self.max);
            self.hold.grow_to(ahead * self.copies)?;
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
    /// Returns a body that was received at another time, for which no memory is held yet.
    pub(crate) fn again(
        config: &Config,
        ledger: &Arc<Ledger>,
        bytes: Bytes,
        encoding: Encoding,
    ) -> Self {
        Self {
            bytes,
            encoding,
            inflated_bytes_max: config.inflated_bytes_max,
            may_be_cut: false,
            hold: Hold::new(ledger),
        }
    }

    /// Returns the body as it was received, and how it is compressed.
    pub(crate) fn as_received(&self) -> (Bytes, Encoding) {
        (self.bytes.clone(), self.encoding)
    }

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
    pub(crate) fn inflate(self) -> Result<(Bytes, Hold), ApiError> {
        let input = &self.bytes[..];
        let (inflated, mut hold) = match self.encoding {
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
        // What was compressed is let go before room is made for the rows.
        drop(self);
        hold.beside = 0;
        hold.grow_to(inflated.len() * COPIES)?;
        Ok((inflated, hold))
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

    fn inflate_from(&self, mut decoder: impl Read) -> Result<(Bytes, Hold), ApiError> {
        let mut hold = self.hold.successor();
        let mut inflated = Vec::new();
        loop {
            hold.grow_to(inflated.len() + STEP_BYTES)?;
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
                return Ok((inflated.into(), hold));
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
    Encoding::parse(&name).ok_or_else(|| {
        ApiError::new(
            ErrorCode::UnsupportedEncoding,
            format!(
                "the Content-Encoding {name:?} is not known; known: gzip, deflate, zstd, identity"
            ),
        )
        .of_param("content-encoding")
    })
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

    /// What becomes of a body where 1 MiB may be received, 4 MiB inflated and `share` bytes used in all,
    /// of which others use `others`.
    async fn read(
        name: &str,
        sent: Vec<u8>,
        share: usize,
        others: usize,
    ) -> Result<usize, ErrorCode> {
        let mut config = Config::default();
        config.body_bytes_max = 1 << 20;
        config.inflated_bytes_max = 4 << 20;
        let ledger = Ledger::new(4 * share.next_multiple_of(100));
        let neighbour = ledger.reserve(Share::Bodies, others).unwrap();
        let headers = HeaderMap::from_iter([(header::CONTENT_ENCODING, name.parse().unwrap())]);
        let chunks = sent
            .chunks(10_000)
            .map(|chunk| io::Result::Ok(Bytes::copy_from_slice(chunk)));
        let body = Body::from_stream(futures::stream::iter(chunks.collect::<Vec<_>>()));
        let outcome = async {
            let received = receive(&config, &ledger, &headers, body).await?;
            let (bytes, hold) = received.inflate()?;
            assert!(
                ledger.used(Share::Bodies) >= others + COPIES * bytes.len(),
                "the body is accounted for"
            );
            drop(hold);
            Ok::<_, ApiError>(bytes.len())
        };
        let outcome = outcome.await.map_err(|error| error.code());
        assert_eq!(ledger.used(Share::Bodies), others, "all is given back");
        drop(neighbour);
        outcome
    }

    async fn check(name: &str, sent: Vec<u8>, want: Result<usize, ErrorCode>) {
        assert_eq!(read(name, sent, 25 << 20, 1).await, want, "{name}");
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
        const SHARE: usize = 3_000_000;
        let check = async |name, sent: Vec<u8>, others, want| {
            let got = read(name, sent, SHARE, others).await;
            assert_eq!(got, want, "{name} beside {others}");
        };
        let text = vec![b'x'; 700_000];
        check("identity", text.clone(), 1, Ok(text.len())).await;
        check(
            "identity",
            text.clone(),
            1_000_000,
            Err(ErrorCode::MemoryFull),
        )
        .await;
        check("gzip", gzip(&text), 1, Ok(text.len())).await;
        check("gzip", gzip(&text), 1_000_000, Err(ErrorCode::MemoryFull)).await;
    }

    #[tokio::test]
    async fn what_would_not_fit_alone_is_refused_for_good() {
        const SHARE: usize = 3_000_000;
        let check = async |name, sent: Vec<u8>, others, want: Result<usize, ErrorCode>| {
            let got = read(name, sent, SHARE, others).await;
            assert_eq!(got, want, "{name} beside {others}");
        };
        // Noise compresses to as many bytes; what is compressed is there once, and only
        // until it is inflated: beside three times itself it would not fit.
        let noise = |bytes: usize| {
            let mut state = 1_u32;
            let next = move |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            (0..bytes).map(next).collect::<Vec<u8>>()
        };
        let fits = noise(900_000);
        assert!(gzip(&fits).len() > 800_000);
        check("gzip", gzip(&fits), 0, Ok(fits.len())).await;
        check("gzip", gzip(&fits), 500_000, Err(ErrorCode::MemoryFull)).await;
        let too_large = || Err(ErrorCode::BodyTooLarge);
        check("identity", vec![b'x'; 1_010_000], 0, too_large()).await;
        check("identity", vec![b'x'; 1_010_000], 500_000, too_large()).await;
        check("gzip", gzip(&[b'x'; 1_010_000]), 0, too_large()).await;
        check("gzip", gzip(&[b'x'; 3_500_000]), 0, too_large()).await;
    }
}
