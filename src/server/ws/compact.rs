//! Encodes the entries of one connection on `netra.v1.compact`. No I/O.
//!
//! A delta's frame has only what differs from an entry that this connection was sent before, so each connection encodes its own: a
//! comparison and a copy of some bytes, which is less than what writing a frame to a socket costs.

use std::collections::HashMap;

use axum::extract::ws::Utf8Bytes;

use crate::{
    protocol::compact::{SLOTS, encode_delta, encode_whole},
    server::channel::{Channel, Delivery},
};

/// The most bytes around a delta that are kept in a slot, to bound the memory of a connection.
const MAX_SLOT_BYTES: usize = 1024;

/// Encodes the entries of the channels that a connection follows, by what its client was sent before. Public for the benchmarks.
#[derive(Debug, Default)]
pub struct CompactEncoder {
    channels: HashMap<Channel, ChannelEncoder>,
    /// The number of the last subscription.
    last_number: u32,
}

#[derive(Debug)]
struct ChannelEncoder {
    number: u32,
    /// When the last entry was appended, in milliseconds since 1970.
    last_at: i64,
    /// What is in the slots.
    slots: Vec<Slot>,
    /// How many entries were put into slots.
    stored: u32,
}

/// The JSON of an entry around its text delta; a copy, as the entry may be part of a larger buffer.
#[derive(Debug)]
struct Slot {
    before: Box<str>,
    after: Box<str>,
}

impl CompactEncoder {
    /// A subscription begins; returns the number that stands for the channel from now on.
    pub fn begin(&mut self, channel: Channel) -> u32 {
        self.last_number += 1;
        let number = self.last_number;
        self.channels.insert(channel, ChannelEncoder { number, last_at: 0, slots: Vec::new(), stored: 0 });
        number
    }

    /// The channel is not followed any more.
    pub fn remove(&mut self, channel: Channel) {
        self.channels.remove(&channel);
    }

    /// Encodes the next entry of a channel that is followed.
    pub fn encode(&mut self, entry: &Delivery) -> Utf8Bytes {
        let Some(channel) = self.channels.get_mut(&entry.channel) else { return entry.frame.clone() };
        channel.encode(entry).into()
    }
}

impl ChannelEncoder {
    fn encode(&mut self, entry: &Delivery) -> String {
        let elapsed = entry.at - self.last_at;
        self.last_at = entry.at;
        let Some([before, delta, after]) = entry.around_delta() else {
            return encode_whole(self.number, entry.seq, entry.at, entry.entry(), None);
        };
        let is_equal = |slot: &Slot| *slot.before == *before && *slot.after == *after;
        if let Some((slot, _)) = (0..).zip(&self.slots).find(|(_, slot)| is_equal(slot)) {
            return encode_delta(self.number, slot, elapsed, delta);
        }
        let is_small = before.len() + after.len() <= MAX_SLOT_BYTES;
        let slot = is_small.then(|| self.store(Slot { before: before.into(), after: after.into() }));
        encode_whole(self.number, entry.seq, entry.at, entry.entry(), slot)
    }

    /// Puts an entry into the slot that was filled the longest time ago.
    fn store(&mut self, slot: Slot) -> u32 {
        let number = self.stored % SLOTS;
        self.stored = self.stored.wrapping_add(1);
        match self.slots.get_mut(number as usize) {
            Some(oldest) => *oldest = slot,
            None => self.slots.push(slot),
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{
        Epoch, RunId, ThreadEntry, ThreadId,
        agui::{Event, TextMessageContent, TextMessageEnd, ToolCallArgs},
        compact::CompactEntry,
    };

    struct Log {
        channel: Channel,
        run: RunId,
        seq: u64,
    }

    impl Log {
        fn new() -> Self {
            Self { channel: Channel::Thread(ThreadId::new()), run: RunId::new(), seq: 0 }
        }

        /// The next entry, 40 ms after the one before.
        fn next(&mut self, event: impl Into<Event>) -> Delivery {
            self.seq += 1;
            let entry = ThreadEntry::Agent { run_id: self.run, event: Box::new(event.into()) };
            let entry = serde_json::to_string(&entry).expect("the entry is serialized");
            let at = 1_767_225_600_000 + 40 * i64::try_from(self.seq).expect("a small number");
            Delivery::new(&Epoch("0a1b2c3d".into()), self.channel, self.seq, at, &entry)
        }
    }

    fn kind(frame: &str) -> String {
        match CompactEntry::decode(frame).expect("a compact entry") {
            CompactEntry::Whole { slot: None, .. } => "whole".into(),
            CompactEntry::Whole { slot: Some(slot), .. } => format!("into {slot}"),
            CompactEntry::Delta { slot, delta, .. } => format!("{slot} {delta}"),
        }
    }

    #[test]
    fn an_entry_that_differs_only_in_its_delta_is_sent_as_a_delta() {
        let (mut encoder, mut log) = (CompactEncoder::default(), Log::new());
        encoder.begin(log.channel);
        let events: [Event; 8] = [
            TextMessageContent::new("a", "1").into(),
            TextMessageContent::new("a", "\"2\",\"delta\":\"").into(),
            TextMessageContent::new("b", "3").into(),
            ToolCallArgs::new("a", "4").into(),
            TextMessageContent::new("a", "5").into(),
            Event::from(TextMessageContent::new("a", "6")).with_subagent(Some("s")),
            TextMessageEnd::new("a").into(),
            TextMessageContent::new("b", "7").into(),
        ];
        let sent: Vec<_> = events.into_iter().map(|event| kind(&encoder.encode(&log.next(event)))).collect();
        let expected = ["into 0", "0 \"2\",\"delta\":\"", "into 1", "into 2", "0 5", "into 3", "whole", "1 7"];
        assert_eq!(sent, expected);
    }

    #[test]
    fn the_slot_that_was_filled_first_is_filled_again() {
        let (mut encoder, mut log) = (CompactEncoder::default(), Log::new());
        encoder.begin(log.channel);
        let mut send = |message: &str| kind(&encoder.encode(&log.next(TextMessageContent::new(message, "x"))));
        let sent: Vec<_> = ["a", "b", "c", "d", "e", "a", "c", "b"].map(&mut send).into();
        assert_eq!(sent, ["into 0", "into 1", "into 2", "into 3", "into 0", "into 1", "2 x", "into 2"]);
        let long = "m".repeat(MAX_SLOT_BYTES);
        assert_eq!([send(&long), send(&long)], ["whole", "whole"], "its memory is bounded");
    }

    #[test]
    fn a_new_subscription_has_a_new_number_and_begins_with_a_whole_entry() {
        let (mut encoder, mut log) = (CompactEncoder::default(), Log::new());
        assert_eq!(encoder.begin(log.channel), 1);
        let entry = log.next(TextMessageContent::new("a", "x"));
        assert_eq!([kind(&encoder.encode(&entry)), kind(&encoder.encode(&entry))], ["into 0", "0 x"]);
        assert_eq!(encoder.begin(log.channel), 2);
        assert_eq!(kind(&encoder.encode(&entry)), "into 0");
    }

    /// The bytes of a 10,000-token answer on the socket, in relation to its text. A token has about 4 characters, and the deltas of
    /// 40 ms are merged.
    #[test]
    fn a_long_answer_costs_little_more_than_its_text() {
        for (tokens_per_second, most) in [(100, 2.0), (1_000, 1.3)] {
            let (mut encoder, mut log) = (CompactEncoder::default(), Log::new());
            encoder.begin(log.channel);
            let tokens = tokens_per_second * 40 / 1_000;
            let (mut text, mut sent) = (0, 0);
            for _ in 0..10_000 / tokens {
                let delta = "word".repeat(tokens);
                text += delta.len();
                let frame =
                    encoder.encode(&log.next(TextMessageContent::new("019b76da-a800-7000-8000-000000000001", delta)));
                // A frame's header has 2 bytes, or 4 from 126 bytes on.
                sent += frame.len() + if frame.len() < 126 { 2 } else { 4 };
            }
            let ratio = sent as f64 / text as f64;
            assert!(ratio <= most, "{ratio:.2} at {tokens_per_second} tokens a second");
        }
    }
}
