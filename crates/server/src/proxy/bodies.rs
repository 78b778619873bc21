//! The bodies of a call on their way through: every byte passes as it came, and is looked at.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

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

/// So long the rest of a body is waited for whose upstream cannot be reached.
const REST_PATIENCE: Duration = Duration::from_secs(1);

/// A request's body was longer than it may be.
#[derive(Debug, thiserror::Error)]
#[error("the body has more than {bytes_max} bytes")]
struct TooLarge {
    bytes_max: usize,
}

/// A request's body on its way to the upstream. Clones are the same body: what an upstream that
/// cannot be reached does not ask for is still wanted for the record.
#[derive(Clone)]
pub(super) struct Upload(Arc<Mutex<Through>>);

struct Through {
    inner: Body,
    copy: Option<Arc<Mutex<BodyCopy>>>,
    sent_bytes: usize,
    bytes_max: usize,
    is_too_large: bool,
}

impl Upload {
    pub(super) fn new(body: Body, copy: Option<Arc<Mutex<BodyCopy>>>, bytes_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Through {
            inner: body,
            copy,
            sent_bytes: 0,
            bytes_max,
            is_too_large: false,
        })))
    }

    /// Returns whether the body was cut off for its length.
    pub(super) fn is_too_large(&self) -> bool {
        self.0.lock().is_too_large
    }

    /// Copies what is left of the body, as far as it comes soon and a copy is wanted.
    pub(super) async fn copy_rest(self) {
        let rest = poll_fn(|cx| {
            let mut through = self.0.lock();
            loop {
                let is_wanted = through
                    .copy
                    .as_ref()
                    .is_some_and(|copy| copy.lock().is_whole());
                if !is_wanted {
                    return Poll::Ready(());
                }
                match ready!(through.poll_frame(cx)) {
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Poll::Ready(()),
                }
            }
        });
        // What is not there by then is missing in the record, which is told where it is made.
        let _late = tokio::time::timeout(REST_PATIENCE, rest).await;
    }
}

impl Through {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(chunk) = frame.data_ref()
        {
            self.sent_bytes = self.sent_bytes.saturating_add(chunk.len());
            if self.sent_bytes > self.bytes_max {
                self.is_too_large = true;
                let bytes_max = self.bytes_max;
                return Poll::Ready(Some(Err(TooLarge { bytes_max }.into())));
            }
            if let Some(copy) = &self.copy {
                copy.lock().push(chunk);
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }
}

impl hyper::body::Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.lock().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().inner.size_hint()
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
