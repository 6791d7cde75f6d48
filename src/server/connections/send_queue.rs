//! What waits to be sent on one connection: a queue bounded in bytes, filled by any task, emptied by the connection's own.
//!
//! Frames are encoded before they are queued, and shared by all their receivers. Guarantee: an item that does not fit closes the
//! connection as too slow; nothing is skipped silently.

use std::{
    collections::VecDeque,
    future::poll_fn,
    task::{Context, Poll, Waker},
};

use axum::extract::ws::Utf8Bytes;
use parking_lot::Mutex;

use crate::{
    protocol::CloseCode,
    server::channel::{Channel, Delivery},
};

/// What an item counts beside the bytes of its frame, so that items without a frame are bounded too.
const ITEM_OVERHEAD: usize = 64;

/// Why a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Close {
    /// The code on the wire.
    pub(crate) code: CloseCode,
    /// The reason in the close frame, at most 123 bytes.
    pub(crate) reason: Utf8Bytes,
}

impl Close {
    /// A close with a constant reason.
    pub(crate) fn new(code: CloseCode, reason: &'static str) -> Self {
        Self { code, reason: Utf8Bytes::from_static(reason) }
    }
}

/// A queued item.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    /// An entry of a channel, written if it is the next one that the connection expects.
    Entry(Delivery),
    /// A frame to write.
    Frame(Utf8Bytes),
    /// The log of the channel has entries up to this `seq`; those that are missing are read from the store.
    Head(Channel, u64),
    /// The channel may not be followed any more, or was deleted.
    Revoked(Channel),
}

impl Item {
    fn cost(&self) -> usize {
        ITEM_OVERHEAD
            + match self {
                Self::Entry(delivery) => delivery.frame.len(),
                Self::Frame(frame) => frame.len(),
                Self::Head(..) | Self::Revoked(_) => 0,
            }
    }
}

/// A queue with many producers and one consumer.
#[derive(Debug)]
pub(crate) struct SendQueue {
    state: Mutex<State>,
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    /// The bytes of `items` and of the batch that was taken last, which may still be being written.
    bytes: usize,
    /// The bytes of that batch.
    taken: usize,
    close: Option<Close>,
    waker: Option<Waker>,
}

impl SendQueue {
    /// An empty queue that holds at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), limit }
    }

    /// Queues an item. After a close it is dropped.
    pub(crate) fn push(&self, item: Item) {
        self.push_all([item]);
    }

    /// Queues items, and wakes the connection's task once.
    pub(crate) fn push_all(&self, items: impl IntoIterator<Item = Item>) {
        let mut state = self.state.lock();
        for item in items {
            if state.close.is_some() {
                break;
            }
            let cost = item.cost();
            if state.bytes + cost > self.limit {
                state.items = VecDeque::new();
                state.close = Some(Close::new(CloseCode::TooSlow, "reads too slowly: reconnect and resume"));
            } else {
                state.bytes += cost;
                state.items.push_back(item);
            }
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Closes the connection; the first close counts. What is queued is dropped, as the client may not read it any more or cannot
    /// keep up; except when the server restarts: then it is written, as it contains the time to reconnect.
    pub(crate) fn close(&self, close: Close) {
        let mut state = self.state.lock();
        if state.close.is_some() {
            return;
        }
        if close.code != CloseCode::Restarting {
            state.items = VecDeque::new();
        }
        state.close = Some(close);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Moves all items into `batch`, which must be empty, and returns the close, if there is one. The batch that was taken before
    /// counts as written from now on.
    pub(crate) fn take(&self, batch: &mut VecDeque<Item>) -> Option<Close> {
        let mut state = self.state.lock();
        state.bytes -= state.taken;
        state.taken = state.bytes;
        std::mem::swap(&mut state.items, batch);
        state.close.clone()
    }

    /// How many bytes are queued or being written.
    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }

    /// Waits until there is an item or a close to take.
    pub(crate) async fn ready(&self) {
        poll_fn(|cx| self.poll(cx, |state| !state.items.is_empty() || state.close.is_some())).await;
    }

    /// Waits until the connection is closed.
    pub(crate) async fn closed(&self) {
        poll_fn(|cx| self.poll(cx, |state| state.close.is_some())).await;
    }

    fn poll(&self, cx: &Context<'_>, done: impl Fn(&State) -> bool) -> Poll<()> {
        let mut state = self.state.lock();
        if done(&state) {
            return Poll::Ready(());
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn frame(bytes: usize) -> Item {
        Item::Frame("x".repeat(bytes).into())
    }

    fn take(queue: &SendQueue) -> (usize, Option<CloseCode>) {
        let mut batch = VecDeque::new();
        let close = queue.take(&mut batch);
        (batch.len(), close.map(|close| close.code))
    }

    #[test]
    fn one_byte_too_many_closes_and_nothing_is_skipped_before() {
        let queue = SendQueue::new(2 * (ITEM_OVERHEAD + 10));
        queue.push(frame(10));
        queue.push(frame(10));
        assert_eq!(take(&queue), (2, None), "exactly full is not too full");
        queue.push(frame(1));
        assert_eq!(take(&queue), (0, Some(CloseCode::TooSlow)), "what is being written counts");
        queue.push(frame(1));
        assert_eq!(take(&queue), (0, Some(CloseCode::TooSlow)), "nothing gets in after a close");
    }

    #[test]
    fn what_was_written_frees_its_bytes() {
        let queue = SendQueue::new(ITEM_OVERHEAD + 10);
        for _ in 0..5 {
            queue.push(frame(10));
            assert_eq!(take(&queue), (1, None));
            assert_eq!(take(&queue), (0, None), "the batch before counts as written");
        }
    }

    #[test]
    fn the_first_close_counts_and_only_a_restart_keeps_what_is_queued() {
        let queue = SendQueue::new(1024);
        queue.push(frame(1));
        queue.close(Close::new(CloseCode::SessionEnded, "signed out"));
        queue.close(Close::new(CloseCode::Restarting, "restarting"));
        assert_eq!(take(&queue), (0, Some(CloseCode::SessionEnded)));

        let restarting = SendQueue::new(1024);
        restarting.push(frame(1));
        restarting.close(Close::new(CloseCode::Restarting, "restarting"));
        assert_eq!(take(&restarting), (1, Some(CloseCode::Restarting)));
    }

    #[tokio::test]
    async fn a_waiting_task_is_woken_by_an_item_and_by_a_close() {
        let queue = Arc::new(SendQueue::new(1024));
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move {
                queue.ready().await;
                take(&queue);
                queue.closed().await;
                take(&queue).1
            }
        });
        tokio::task::yield_now().await;
        queue.push(frame(1));
        tokio::task::yield_now().await;
        queue.close(Close::new(CloseCode::Disconnected, "by an administrator"));
        assert_eq!(waiting.await.expect("the task ends"), Some(CloseCode::Disconnected));
    }
}
