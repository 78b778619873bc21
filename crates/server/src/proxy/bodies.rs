//! The bodies of a call on their way through: every byte passes as it came, and is looked at.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};
use ingest::openai_api::Failure;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use super::copy::BodyCopy;
use super::recording::Recording;
use crate::error::chain;

/// A request's body was longer than it may be.
#[derive(Debug, thiserror::Error)]
#[error("the body has more than {bytes_max} bytes")]
struct TooLarge {
    bytes_max: usize,
}

/// A request's body on its way to the upstream.
pub(super) struct Upload {
    /// Nobody else locks it: the client that sends it wants something that threads could share.
    inner: Mutex<Body>,
    copy: Option<Arc<Mutex<BodyCopy>>>,
    sent_bytes: usize,
    bytes_max: usize,
    /// Set when the body is cut off for its length.
    is_too_large: Arc<AtomicBool>,
}

impl Upload {
    pub(super) fn new(
        body: Body,
        copy: Option<Arc<Mutex<BodyCopy>>>,
        bytes_max: usize,
        is_too_large: &Arc<AtomicBool>,
    ) -> Self {
        Self {
            inner: Mutex::new(body),
            copy,
            sent_bytes: 0,
            bytes_max,
            is_too_large: Arc::clone(is_too_large),
        }
    }
}

impl hyper::body::Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(this.inner.get_mut()).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(chunk) = frame.data_ref()
        {
            this.sent_bytes = this.sent_bytes.saturating_add(chunk.len());
            if this.sent_bytes > this.bytes_max {
                this.is_too_large.store(true, Ordering::Relaxed);
                let bytes_max = this.bytes_max;
                return Poll::Ready(Some(Err(TooLarge { bytes_max }.into())));
            }
            if let Some(copy) = &this.copy {
                copy.lock().push(chunk);
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.lock().size_hint()
    }
}

/// An answer's body on its way to the client.
pub(super) struct Download {
    inner: reqwest::Body,
    recording: Option<Recording>,
    /// Held until the body has passed.
    _call: OwnedSemaphorePermit,
}

impl Download {
    pub(super) fn new(
        body: reqwest::Body,
        recording: Option<Recording>,
        call: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            inner: body,
            recording,
            _call: call,
        }
    }
}

impl hyper::body::Body for Download {
    type Data = Bytes;
    type Error = reqwest::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, reqwest::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        match (&mut this.recording, &frame) {
            (None, _) => {}
            (Some(recording), Some(Ok(frame))) => {
                if let Some(chunk) = frame.data_ref() {
                    recording.passes(chunk);
                }
            }
            (Some(recording), Some(Err(error))) => recording.end(Some(broken_off(error))),
            (Some(recording), None) => recording.end(None),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // A body whose length was announced is not asked for its end once it is all there.
        if let Some(recording) = &mut self.recording
            && self.inner.is_end_stream()
        {
            recording.end(None);
        }
    }
}

/// Returns why an answer ended before its time.
pub(super) fn broken_off(error: &reqwest::Error) -> Failure {
    match error.is_timeout() {
        true => Failure {
            kind: "timeout",
            message: "the upstream said nothing for longer than upstream_idle_timeout".to_owned(),
        },
        false => Failure {
            kind: "upstream_cut",
            message: format!("the upstream broke the answer off: {}", causes(error)),
        },
    }
}

/// Returns the causes of an error of the client, without the URL, which may have a key in it.
pub(super) fn causes(error: &reqwest::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => chain(cause),
        None if error.is_timeout() => "timed out".to_owned(),
        None => "no cause is known".to_owned(),
    }
}
