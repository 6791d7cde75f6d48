//! Bodies that report to the connection's deadlines when they end.
//!
//! If a handler does not read a request's body to its end, the rest is read and discarded in the background, up to a limit of bytes and
//! time. Otherwise TCP would reset the connection, and a client that is still sending would not receive the answer.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::{runtime::Handle, time::timeout};

use super::stream::Shared;

/// How long the client may send nothing while a body is discarded.
pub(super) const DISCARD_IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// How much of an unread body is discarded, at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Discard {
    pub(super) bytes: u64,
    pub(super) timeout: Duration,
}

/// The body of a request.
#[derive(Debug)]
pub(super) struct RequestBody {
    /// None once it has ended.
    body: Option<Incoming>,
    /// Whether the client waits for `100 Continue` before it sends the body.
    expects_continue: bool,
    shared: Arc<Shared>,
    discard: Discard,
}

impl RequestBody {
    pub(super) fn new(body: Incoming, expects_continue: bool, shared: Arc<Shared>, discard: Discard) -> Self {
        Self { body: Some(body), expects_continue, shared, discard }
    }

    fn ended(&mut self) {
        if self.body.take().is_some() {
            self.shared.deadlines.lock().request_read(Instant::now());
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        // Polling makes hyper send `100 Continue`.
        self.expects_continue = false;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(cx);
        if let Poll::Ready(None | Some(Err(_))) = &frame {
            self.ended();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        // Without `100 Continue` the client does not send the body.
        if self.is_end_stream() || self.expects_continue {
            return self.ended();
        }
        let (Some(body), Ok(runtime)) = (self.body.take(), Handle::try_current()) else { return };
        runtime.spawn(discard(body, self.shared.clone(), self.discard));
    }
}

async fn discard(mut body: Incoming, shared: Arc<Shared>, limits: Discard) {
    let rest = async {
        let mut bytes = 0;
        while bytes < limits.bytes {
            let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
            match timeout(DISCARD_IDLE_TIMEOUT, frame).await {
                Ok(Some(Ok(frame))) => bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
                Ok(None) => return true,
                _ => return false,
            }
        }
        false
    };
    // If it did not end, dropping the body makes hyper close the connection.
    if timeout(limits.timeout, rest).await == Ok(true) {
        shared.deadlines.lock().request_read(Instant::now());
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct AnswerBody {
    body: Body,
    shared: Arc<Shared>,
}

impl AnswerBody {
    pub(super) fn new(body: Body, shared: Arc<Shared>) -> Self {
        Self { body, shared }
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.shared.deadlines.lock().answer_taken(Instant::now());
    }
}
