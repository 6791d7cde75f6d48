//! What waits to be written to one socket: bounded in bytes, filled from anywhere, emptied by the connection's task.
//!
//! Frames are encoded before they get here and shared by all their receivers. Promise: what does not fit closes the
//! connection as too slow a consumer; nothing is ever skipped silently.

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

/// What an item costs beside its bytes, so that empty ones are bounded too.
const ITEM_OVERHEAD: usize = 64;

/// Why a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Close {
    /// The code on the wire.
    pub(crate) code: CloseCode,
    /// One short sentence (at most 123 bytes) for whoever reads the close frame.
    pub(crate) reason: Utf8Bytes,
}

impl Close {
    /// A close with a constant sentence.
    pub(crate) fn new(code: CloseCode, reason: &'static str) -> Self {
        Self { code, reason: Utf8Bytes::from_static(reason) }
    }
}

/// One thing that waits.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    /// An entry of a channel, written where it is the next one of a channel that the connection follows.
    Entry(Delivery),
    /// A frame, written as it is.
    Frame(Utf8Bytes),
    /// The channel has come so far: what is missing is in the store.
    Head(Channel, u64),
    /// The channel may not be followed any more.
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

/// The queue. Many push, one takes.
#[derive(Debug)]
pub(crate) struct Outbound {
    state: Mutex<State>,
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    /// What waits here, and what was taken last and is being written.
    bytes: usize,
    taken: usize,
    close: Option<Close>,
    waker: Option<Waker>,
}

impl Outbound {
    /// An empty queue that holds at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), limit }
    }

    /// Puts an item in. After a close nothing gets in any more.
    pub(crate) fn push(&self, item: Item) {
        let mut state = self.state.lock();
        if state.close.is_some() {
            return;
        }
        let cost = item.cost();
        if state.bytes + cost > self.limit {
            state.items = VecDeque::new();
            state.close = Some(Close::new(CloseCode::TooSlow, "reads too slowly: reconnect and resume"));
        } else {
            state.bytes += cost;
            state.items.push_back(item);
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Closes the connection; the first reason counts. What waits is still written where the server restarts: it holds
    /// the word when to come back. Otherwise it is dropped, for whoever lost the right to it or cannot take it.
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

    /// Moves everything that waits into `batch`, which must be empty, and answers why to close, if so. What was taken
    /// before counts as written now.
    pub(crate) fn take(&self, batch: &mut VecDeque<Item>) -> Option<Close> {
        let mut state = self.state.lock();
        state.bytes -= state.taken;
        state.taken = state.bytes;
        std::mem::swap(&mut state.items, batch);
        state.close.clone()
    }

    /// How many bytes wait, or are being written.
    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }

    /// Waits until there is something to take.
    pub(crate) async fn ready(&self) {
        poll_fn(|cx| self.poll(cx, |state| !state.items.is_empty() || state.close.is_some())).await;
    }

    /// Waits until the connection shall close.
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

    fn take(outbound: &Outbound) -> (usize, Option<CloseCode>) {
        let mut batch = VecDeque::new();
        let close = outbound.take(&mut batch);
        (batch.len(), close.map(|close| close.code))
    }

    #[test]
    fn one_byte_too_many_closes_and_nothing_is_skipped_before() {
        let outbound = Outbound::new(2 * (ITEM_OVERHEAD + 10));
        outbound.push(frame(10));
        outbound.push(frame(10));
        assert_eq!(take(&outbound), (2, None), "exactly full is not too full");
        outbound.push(frame(1));
        assert_eq!(take(&outbound), (0, Some(CloseCode::TooSlow)), "what is being written counts");
        outbound.push(frame(1));
        assert_eq!(take(&outbound), (0, Some(CloseCode::TooSlow)), "nothing gets in after a close");
    }

    #[test]
    fn what_was_written_makes_room() {
        let outbound = Outbound::new(ITEM_OVERHEAD + 10);
        for _ in 0..5 {
            outbound.push(frame(10));
            assert_eq!(take(&outbound), (1, None));
            assert_eq!(take(&outbound), (0, None), "taking again says that the batch before is written");
        }
    }

    #[test]
    fn the_first_close_counts_and_only_a_restart_lets_the_rest_out() {
        let outbound = Outbound::new(1024);
        outbound.push(frame(1));
        outbound.close(Close::new(CloseCode::SessionEnded, "signed out"));
        outbound.close(Close::new(CloseCode::Restarting, "restarting"));
        assert_eq!(take(&outbound), (0, Some(CloseCode::SessionEnded)));

        let restarting = Outbound::new(1024);
        restarting.push(frame(1));
        restarting.close(Close::new(CloseCode::Restarting, "restarting"));
        assert_eq!(take(&restarting), (1, Some(CloseCode::Restarting)));
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_by_an_item_and_by_a_close() {
        let outbound = Arc::new(Outbound::new(1024));
        let waiting = tokio::spawn({
            let outbound = outbound.clone();
            async move {
                outbound.ready().await;
                take(&outbound);
                outbound.closed().await;
                take(&outbound).1
            }
        });
        tokio::task::yield_now().await;
        outbound.push(frame(1));
        tokio::task::yield_now().await;
        outbound.close(Close::new(CloseCode::Disconnected, "by an administrator"));
        assert_eq!(waiting.await.expect("ends"), Some(CloseCode::Disconnected));
    }
}
