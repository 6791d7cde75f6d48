//! Stored entries on their way to the followers of their channels.

use std::ops::Range;

use axum::extract::ws::Utf8Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

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
    /// The `event` push, for connections on `netra.v1`.
    pub frame: Utf8Bytes,
    /// Where the entry's JSON begins in `frame`.
    entry_start: u32,
    /// Where the JSON of the event's text delta is in `frame`; empty if it has none.
    delta: Range<u32>,
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
        Self::encoded(channel, seq, at, frame.into(), entry_start)
    }

    fn encoded(channel: Channel, seq: u64, at: i64, frame: Utf8Bytes, entry_start: usize) -> Self {
        let entry = &frame[entry_start..frame.len() - FRAME_END.len()];
        let delta = delta(entry).map_or(0..0, |delta| entry_start + delta.start..entry_start + delta.end);
        // A frame has less than 4 GiB: an entry is bounded by the limits of commands and events.
        let offset = |at: usize| u32::try_from(at).unwrap_or_default();
        let (entry_start, delta) = (offset(entry_start), offset(delta.start)..offset(delta.end));
        Self { channel, seq, at, frame, entry_start, delta }
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
        Some(Self::encoded(channel, seq, at, frame, start.len()))
    }

    /// The entry's JSON.
    #[must_use]
    pub fn entry(&self) -> &str {
        &self.frame[self.entry_start as usize..self.frame.len() - FRAME_END.len()]
    }

    /// The JSON of the entry around the event's text delta: before it, the delta, and after it.
    #[must_use]
    pub fn around_delta(&self) -> Option<[&str; 3]> {
        let (start, end) = (self.delta.start as usize, self.delta.end as usize);
        let entry_end = self.frame.len() - FRAME_END.len();
        let parts =
            || [&self.frame[self.entry_start as usize..start], &self.frame[start..end], &self.frame[end..entry_end]];
        (start < end).then(parts)
    }
}

/// Where the JSON of an event's text delta is in the JSON of an entry.
fn delta(entry: &str) -> Option<Range<usize>> {
    #[derive(Deserialize)]
    struct Entry<'a> {
        #[serde(borrow)]
        event: Event<'a>,
    }
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        delta: &'a RawValue,
    }
    // Spares most entries without a text delta the parsing.
    if !entry.contains(r#""delta":""#) {
        return None;
    }
    let delta = serde_json::from_str::<Entry<'_>>(entry).ok()?.event.delta.get();
    let start = delta.as_ptr() as usize - entry.as_ptr() as usize;
    delta.starts_with('"').then_some(start..start + delta.len())
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
