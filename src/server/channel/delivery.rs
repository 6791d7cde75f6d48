//! Stored entries on their way to the followers of their channels.

use axum::extract::ws::Utf8Bytes;

use super::Channel;
use crate::protocol::Epoch;

/// A stored entry, encoded once as the `event` push that goes to the sockets; clones share the encoding.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The channel.
    pub channel: Channel,
    /// The entry's place in the channel's log.
    pub seq: u64,
    /// When the entry was appended, in milliseconds since 1970.
    pub at: i64,
    /// The `event` push.
    pub frame: Utf8Bytes,
    /// Where the entry's JSON begins in `frame`.
    entry_start: usize,
}

/// What follows the entry's JSON in a frame.
const FRAME_END: &str = "}}";

/// What precedes the entry's JSON in a frame.
fn frame_start(epoch: &Epoch, channel: Channel, seq: u64, at: i64) -> String {
    let (channel, epoch) = (channel.name(), &epoch.0);
    format!(r#"{{"type":"event","payload":{{"channel":"{channel}","epoch":"{epoch}","seq":{seq},"at":{at},"entry":"#)
}

impl Delivery {
    /// The delivery of an entry, given as JSON, that was appended to a channel `at` a time (milliseconds since 1970).
    #[must_use]
    pub fn new(epoch: &Epoch, channel: Channel, seq: u64, at: i64, entry: &str) -> Self {
        let mut frame = frame_start(epoch, channel, seq, at);
        let entry_start = frame.len();
        frame.reserve_exact(entry.len() + FRAME_END.len());
        frame.push_str(entry);
        frame.push_str(FRAME_END);
        Self { channel, seq, at, frame: frame.into(), entry_start }
    }

    /// The delivery that another node encoded; `None` if the frame is not that of this channel, `seq` and time.
    #[cfg(any(test, feature = "nats"))]
    pub(in crate::server) fn from_frame(
        epoch: &Epoch,
        channel: Channel,
        seq: u64,
        at: i64,
        frame: Utf8Bytes,
    ) -> Option<Self> {
        let start = frame_start(epoch, channel, seq, at);
        frame.strip_prefix(start.as_str())?.strip_suffix(FRAME_END)?;
        Some(Self { channel, seq, at, frame, entry_start: start.len() })
    }

    /// The entry's JSON.
    #[must_use]
    pub fn entry(&self) -> &str {
        &self.frame[self.entry_start..self.frame.len() - FRAME_END.len()]
    }
}

/// Hands deliveries to the connections that follow their channels. Its functions must not block.
pub trait Hub: Send + Sync + 'static {
    /// Delivers one entry. Called after its commit, mostly in the order of `seq` per channel.
    fn deliver(&self, delivery: &Delivery);

    /// Delivers the entries of one commit. Those of a channel stand next to each other, in the order of `seq`.
    fn deliver_all(&self, deliveries: &[Delivery]) {
        deliveries.iter().for_each(|delivery| self.deliver(delivery));
    }

    /// A commit failed in a way that leaves open whether it happened: the channel's followers read the store.
    fn uncertain(&self, channel: Channel) {
        let _ = channel;
    }
}
