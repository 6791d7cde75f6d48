//! Decodes the entries of a connection on `netra.v1.compact`: the counterpart of the server's encoder.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::protocol::{
    ChannelName, Epoch, EventPush,
    compact::{CompactEntry, SLOTS},
};

/// The channels of the current connection, by their numbers.
#[derive(Debug, Default)]
pub(super) struct CompactDecoder(BTreeMap<u32, NumberedChannel>);

#[derive(Debug)]
struct NumberedChannel {
    name: ChannelName,
    epoch: Epoch,
    /// The `seq` and the time of the last entry.
    last: Option<(u64, i64)>,
    /// The entries in the slots.
    slots: BTreeMap<u32, Value>,
}

/// An entry that cannot be decoded, although its channel is known.
#[derive(Debug, PartialEq)]
pub(super) struct Undecodable {
    pub(super) channel: ChannelName,
    pub(super) reason: &'static str,
}

impl CompactDecoder {
    /// The reply to `subscribe` gave the channel this number.
    pub(super) fn begin(&mut self, number: u32, name: ChannelName, epoch: Epoch) {
        self.remove(name);
        self.0.insert(number, NumberedChannel { name, epoch, last: None, slots: BTreeMap::new() });
    }

    /// The channel is not followed any more.
    pub(super) fn remove(&mut self, name: ChannelName) {
        self.0.retain(|_, channel| channel.name != name);
    }

    /// The connection was lost: numbers have no meaning on the next one.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Decodes the next entry. `None` if its number is unknown: it belongs to a subscription that was ended.
    ///
    /// # Errors
    /// If it does not fit what was sent before. The number is unknown from then on: further deltas would be counted wrongly.
    pub(super) fn decode(&mut self, entry: CompactEntry) -> Result<Option<EventPush>, Undecodable> {
        let (CompactEntry::Whole { channel_number, .. } | CompactEntry::Delta { channel_number, .. }) = entry;
        let Some(channel) = self.0.get_mut(&channel_number) else { return Ok(None) };
        let decoded = channel.decode(entry).map_err(|reason| Undecodable { channel: channel.name, reason });
        if decoded.is_err() {
            self.0.remove(&channel_number);
        }
        decoded.map(Some)
    }
}

impl NumberedChannel {
    fn decode(&mut self, entry: CompactEntry) -> Result<EventPush, &'static str> {
        let (seq, at, entry) = match entry {
            CompactEntry::Whole { seq, at, entry, slot, .. } => {
                if let Some(slot) = slot {
                    if slot >= SLOTS {
                        return Err("the server named a slot that does not exist");
                    }
                    self.slots.insert(slot, entry.clone());
                }
                (seq, at, entry)
            }
            CompactEntry::Delta { slot, elapsed, delta, .. } => {
                let (seq, at) = self.last.ok_or("the server sent a delta before an entry")?;
                let mut entry = self.slots.get(&slot).cloned().ok_or("the server named an empty slot")?;
                let place = entry.pointer_mut("/event/delta").ok_or("the entry in the slot has no delta")?;
                *place = Value::String(delta);
                (seq + 1, at.saturating_add(elapsed), entry)
            }
        };
        self.last = Some((seq, at));
        Ok(EventPush { channel: self.name, epoch: self.epoch.clone(), seq: Some(seq), at, entry })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn push(seq: u64, at: i64, delta: &str) -> EventPush {
        let entry = json!({"kind": "agent", "event": {"delta": delta}});
        EventPush { channel: ChannelName::User, epoch: Epoch("e".into()), seq: Some(seq), at, entry }
    }

    fn whole(seq: u64, at: i64, delta: &str, slot: u32) -> CompactEntry {
        CompactEntry::Whole { channel_number: 1, seq, at, entry: push(seq, at, delta).entry, slot: Some(slot) }
    }

    fn delta(slot: u32, elapsed: i64, delta: &str) -> CompactEntry {
        CompactEntry::Delta { channel_number: 1, slot, elapsed, delta: delta.into() }
    }

    #[test]
    fn a_delta_follows_the_last_entry_and_equals_the_one_in_its_slot() {
        let mut decoder = CompactDecoder::default();
        decoder.begin(1, ChannelName::User, Epoch("e".into()));
        assert_eq!(decoder.decode(whole(7, 100, "a", 0)), Ok(Some(push(7, 100, "a"))));
        assert_eq!(decoder.decode(whole(8, 110, "b", 1)), Ok(Some(push(8, 110, "b"))));
        assert_eq!(decoder.decode(delta(0, 5, "c")), Ok(Some(push(9, 115, "c"))));
        assert_eq!(decoder.decode(delta(1, -20, "d")), Ok(Some(push(10, 95, "d"))));
    }

    #[test]
    fn entries_of_an_unknown_number_are_ignored() {
        let mut decoder = CompactDecoder::default();
        assert_eq!(decoder.decode(whole(7, 100, "a", 0)), Ok(None));
        decoder.begin(1, ChannelName::User, Epoch("e".into()));
        decoder.begin(2, ChannelName::User, Epoch("e".into()));
        assert_eq!(decoder.decode(whole(7, 100, "a", 0)), Ok(None), "the number of the former subscription");
        decoder.clear();
        decoder.begin(1, ChannelName::User, Epoch("e".into()));
        decoder.remove(ChannelName::User);
        assert_eq!(decoder.decode(whole(7, 100, "a", 0)), Ok(None));
    }

    #[test]
    fn after_an_entry_that_does_not_fit_the_number_is_unknown() {
        for (before, wrong) in [
            (None, delta(0, 5, "before any entry")),
            (Some(whole(7, 100, "a", 0)), delta(1, 5, "an empty slot")),
            (Some(whole(7, 100, "a", 0)), whole(8, 100, "no such slot", SLOTS)),
        ] {
            let mut decoder = CompactDecoder::default();
            decoder.begin(1, ChannelName::User, Epoch("e".into()));
            if let Some(entry) = before {
                decoder.decode(entry).expect("the entry is decoded");
            }
            assert_eq!(decoder.decode(wrong).map_err(|error| error.channel), Err(ChannelName::User));
            assert_eq!(decoder.decode(delta(0, 5, "c")), Ok(None));
        }
    }
}
