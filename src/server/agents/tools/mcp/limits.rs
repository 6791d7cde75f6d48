//! What a server may send, whichever way it is connected.
//!
//! Promises: a server that asks faster than it reads the answers, or talks without end, loses its session, with a reason,
//! before what it sends piles up here; a server that does not read holds up nobody who ends the session.

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

/// The most requests of a server whose answers it has not read.
const MAX_UNREAD: usize = 64;
/// Messages of a server that are taken at once, after a quiet time.
const BURST: f64 = 10_000.0;
/// Messages of a server that are taken in a second, for as long as it likes.
const PER_SECOND: f64 = 1_000.0;

/// Why a session was ended here.
pub(super) type Broken = Arc<OnceLock<&'static str>>;

/// A transport that keeps a server within its bounds.
pub(super) struct Watched<T> {
    inner: T,
    requests: Arc<Mutex<Requests>>,
    rate: Rate,
    broken: Broken,
    /// Cancelled when the session ends: nobody waits for a server that does not read.
    over: CancellationToken,
}

impl<T> Watched<T> {
    /// Watches a transport; why it ended it, it says in `broken`.
    pub(super) fn new(inner: T, broken: Broken) -> Self {
        let rate = Rate { left: BURST, at: Instant::now() };
        Self { inner, requests: Arc::default(), rate, broken, over: CancellationToken::new() }
    }

    /// Why this message ends the session, if it does.
    fn judge(&mut self, message: &ServerJsonRpcMessage) -> Option<&'static str> {
        if !self.rate.takes(Instant::now()) {
            return Some("it sent more than 1000 messages a second");
        }
        let mut requests = self.requests.lock();
        match message {
            ServerJsonRpcMessage::Request(request) => {
                requests.asked.insert(request.id.clone());
            }
            // It is not answered then.
            ServerJsonRpcMessage::Notification(told) => {
                if let ServerNotification::CancelledNotification(told) = &told.notification
                    && let Some(id) = &told.params.request_id
                {
                    requests.asked.remove(id);
                }
            }
            _ => {}
        }
        let unread = requests.asked.len() + requests.writing;
        (unread > MAX_UNREAD).then_some("it asked for more than 64 answers without reading them")
    }
}

impl<T: Transport<RoleClient>> Transport<RoleClient> for Watched<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let writing = Writing::of(&item, &self.requests);
        let (send, over) = (self.inner.send(item), self.over.clone());
        async move {
            let _writing = writing;
            tokio::select! {
                biased;
                sent = send => sent,
                // Whoever waits for an answer to it learns from the end of the session.
                () = over.cancelled() => Ok(()),
            }
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        let message = self.inner.receive().await.filter(|_| !self.over.is_cancelled())?;
        let Some(reason) = self.judge(&message) else { return Some(message) };
        let _ = self.broken.set(reason);
        self.over.cancel();
        None
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.over.cancel();
        self.inner.close().await
    }
}

/// Requests of a server.
#[derive(Default)]
struct Requests {
    /// Those that have no answer yet.
    asked: HashSet<RequestId>,
    /// Answers that are being written.
    writing: usize,
}

/// An answer that is being written, however that ends.
struct Writing(Arc<Mutex<Requests>>);

impl Writing {
    fn of(item: &TxJsonRpcMessage<RoleClient>, requests: &Arc<Mutex<Requests>>) -> Option<Self> {
        let id = match item {
            TxJsonRpcMessage::<RoleClient>::Response(answer) => Some(&answer.id),
            TxJsonRpcMessage::<RoleClient>::Error(error) => error.id.as_ref(),
            _ => None,
        }?;
        let mut open = requests.lock();
        open.asked.remove(id);
        open.writing += 1;
        Some(Self(Arc::clone(requests)))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.lock().writing -= 1;
    }
}

/// A bucket of messages that fills again.
struct Rate {
    left: f64,
    at: Instant,
}

impl Rate {
    fn takes(&mut self, now: Instant) -> bool {
        self.left = (self.left + now.duration_since(self.at).as_secs_f64() * PER_SECOND).min(BURST);
        self.at = now;
        self.left -= 1.0;
        self.left >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_server_may_talk_much_for_a_while_and_not_for_ever() {
        let start = Instant::now();
        let mut rate = Rate { left: BURST, at: start };
        assert!((0..10_000).all(|_| rate.takes(start)));
        assert!(!rate.takes(start));
        let later = start + Duration::from_secs(2);
        assert!((0..1_990).all(|_| rate.takes(later)));
        assert!((0..20).any(|_| !rate.takes(later)));
    }
}
