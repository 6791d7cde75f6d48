//! Limits on what an MCP server sends, over any transport.
//!
//! Guarantees: a session ends, with a reason, before messages of its server fill the memory: if the server sends requests
//! without reading the responses, or sends too many messages. A server that does not read cannot delay the end of its
//! session.

use std::{
    collections::HashSet,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use rmcp::{
    RoleClient,
    model::{RequestId, ServerJsonRpcMessage, ServerNotification},
    service::{RxJsonRpcMessage, TxJsonRpcMessage},
    transport::Transport,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The most requests of a server whose responses it has not read.
const MAX_UNREAD_RESPONSES: usize = 64;
/// The most messages of a server in a burst.
const MAX_BURST: f64 = 10_000.0;
/// The most messages of a server per second, over a longer time.
const MAX_PER_SECOND: f64 = 1_000.0;

/// The limit that a server violated, for which its session was ended; unset while it keeps to all limits.
pub(super) type Violation = Arc<OnceLock<&'static str>>;

/// A transport that enforces the limits on the server.
pub(super) struct LimitedTransport<T> {
    inner: T,
    requests: Arc<Mutex<ServerRequests>>,
    rate: TokenBucket,
    violation: Violation,
    /// Cancelled when the session ends, which also ends writes to a server that does not read.
    ended: CancellationToken,
}

impl<T> LimitedTransport<T> {
    /// Wraps a transport. Sets `violation` when it ends the session.
    pub(super) fn new(inner: T, violation: Violation) -> Self {
        let rate = TokenBucket { tokens: MAX_BURST, updated: Instant::now() };
        Self { inner, requests: Arc::default(), rate, violation, ended: CancellationToken::new() }
    }

    /// The limit that the server violates with this message, if any.
    fn violation_by(&mut self, message: &ServerJsonRpcMessage) -> Option<&'static str> {
        if !self.rate.try_take(Instant::now()) {
            return Some("it sent more than 1000 messages a second");
        }
        let mut requests = self.requests.lock();
        match message {
            ServerJsonRpcMessage::Request(request) => {
                requests.unanswered.insert(request.id.clone());
            }
            // A cancelled request gets no response.
            ServerJsonRpcMessage::Notification(message) => {
                if let ServerNotification::CancelledNotification(cancelled) = &message.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    requests.unanswered.remove(id);
                }
            }
            _ => {}
        }
        let unread = requests.unanswered.len() + requests.writing;
        (unread > MAX_UNREAD_RESPONSES).then_some("it sent more than 64 requests without reading the responses")
    }
}

impl<T: Transport<RoleClient>> Transport<RoleClient> for LimitedTransport<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let writing = ResponseInProgress::for_message(&item, &self.requests);
        let (send, ended) = (self.inner.send(item), self.ended.clone());
        async move {
            let _writing = writing;
            tokio::select! {
                biased;
                sent = send => sent,
                // A caller that waits for a response to this message gets an error from the end of the session.
                () = ended.cancelled() => Ok(()),
            }
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        let message = self.inner.receive().await.filter(|_| !self.ended.is_cancelled())?;
        let Some(reason) = self.violation_by(&message) else { return Some(message) };
        let _ = self.violation.set(reason);
        self.ended.cancel();
        None
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.ended.cancel();
        self.inner.close().await
    }
}

/// Requests of a server.
#[derive(Default)]
struct ServerRequests {
    /// Those without a response.
    unanswered: HashSet<RequestId>,
    /// Responses that are being written.
    writing: usize,
}

/// Counts a response as being written until it is dropped.
struct ResponseInProgress(Arc<Mutex<ServerRequests>>);

impl ResponseInProgress {
    fn for_message(item: &TxJsonRpcMessage<RoleClient>, requests: &Arc<Mutex<ServerRequests>>) -> Option<Self> {
        let id = match item {
            TxJsonRpcMessage::<RoleClient>::Response(response) => Some(&response.id),
            TxJsonRpcMessage::<RoleClient>::Error(error) => error.id.as_ref(),
            _ => None,
        }?;
        let mut locked = requests.lock();
        locked.unanswered.remove(id);
        locked.writing += 1;
        Some(Self(Arc::clone(requests)))
    }
}

impl Drop for ResponseInProgress {
    fn drop(&mut self) {
        self.0.lock().writing -= 1;
    }
}

/// A token bucket: one token for each message.
struct TokenBucket {
    tokens: f64,
    updated: Instant,
}

impl TokenBucket {
    /// Takes a token; `false` if there is none.
    fn try_take(&mut self, now: Instant) -> bool {
        let refill = now.duration_since(self.updated).as_secs_f64() * MAX_PER_SECOND;
        self.tokens = (self.tokens + refill).min(MAX_BURST);
        self.updated = now;
        self.tokens -= 1.0;
        self.tokens >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_allowed_and_the_rate_afterwards_is_limited() {
        let start = Instant::now();
        let mut bucket = TokenBucket { tokens: MAX_BURST, updated: start };
        assert!((0..10_000).all(|_| bucket.try_take(start)));
        assert!(!bucket.try_take(start));
        let later = start + Duration::from_secs(2);
        assert!((0..1_990).all(|_| bucket.try_take(later)));
        assert!((0..20).any(|_| !bucket.try_take(later)));
    }
}
