//! The messages of one connection that are to be written.

use std::collections::VecDeque;

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use futures_util::SinkExt;

use super::compact::CompactEncoder;
use crate::server::{
    channel::{Channel, Delivery},
    metrics,
};

/// Queues that grew beyond this capacity in a burst are shrunk to it.
pub(super) const MAX_IDLE_CAPACITY: usize = 64;

/// The messages to write, in order.
#[derive(Debug)]
pub(super) struct Outgoing {
    messages: VecDeque<Message>,
    /// On `netra.v1.compact`.
    compact: Option<Box<CompactEncoder>>,
    /// When one of the entries was appended, in milliseconds since 1970, for the metric of delivery times.
    sampled: Option<i64>,
}

impl Outgoing {
    /// No messages; `is_compact`: entries are encoded for `netra.v1.compact`.
    pub(super) fn new(is_compact: bool) -> Self {
        Self { messages: VecDeque::new(), compact: is_compact.then(Box::default), sampled: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// A subscription begins; returns the number that stands for its channel, if the client knows channels by numbers.
    pub(super) fn begin_channel(&mut self, channel: Channel) -> Option<u32> {
        self.compact.as_mut().map(|compact| compact.begin(channel))
    }

    /// The channel is not followed any more.
    pub(super) fn end_channel(&mut self, channel: Channel) {
        if let Some(compact) = &mut self.compact {
            compact.remove(channel);
        }
    }

    pub(super) fn push(&mut self, message: Message) {
        self.messages.push_back(message);
    }

    pub(super) fn push_frame(&mut self, frame: impl Into<Utf8Bytes>) {
        self.push(Message::Text(frame.into()));
    }

    /// Adds the next entry of a channel that is followed.
    pub(super) fn push_entry(&mut self, entry: Delivery) {
        if metrics::is_sampled(entry.seq) {
            self.sampled = Some(entry.at);
        }
        let frame = match &mut self.compact {
            Some(compact) => compact.encode(&entry),
            None => entry.frame,
        };
        self.push_frame(frame);
    }

    /// Writes all messages with one flush.
    pub(super) async fn write(&mut self, socket: &mut WebSocket) -> Result<(), axum::Error> {
        while let Some(message) = self.messages.pop_front() {
            socket.feed(message).await?;
        }
        socket.flush().await?;
        self.sampled.take().into_iter().for_each(metrics::delivered);
        if self.messages.capacity() > MAX_IDLE_CAPACITY {
            self.messages.shrink_to(MAX_IDLE_CAPACITY);
        }
        Ok(())
    }

    /// The messages that were not written.
    pub(super) fn into_messages(self) -> VecDeque<Message> {
        self.messages
    }
}
