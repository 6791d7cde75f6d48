//! The frames of log entries on `netra.v1.compact`, the subprotocol for clients that want few bytes: arrays in place of `event` pushes.
//!
//! All other frames, also those of signals, are those of `netra.v1`. A small entry with a text delta is sent whole and put into a slot; a
//! later entry that is equal except for the delta is sent as the slot's number and the delta: about 12 bytes around a delta instead of
//! 320. An agent whose events have a `timestamp` or another field that differs each time saves little: only what precedes the entry.

use serde_json::Value;

/// The subprotocol with compact frames of entries.
pub const COMPACT_PROTOCOL: &str = "netra.v1.compact";

/// How many slots a channel has: the deltas of so many messages and calls can alternate without being sent whole.
pub const SLOTS: u32 = 4;

/// An entry of a channel's log, in a frame of `netra.v1.compact`.
#[derive(Debug, Clone, PartialEq)]
pub enum CompactEntry {
    /// A whole entry: `[channel_number, seq, at, entry]`, or `[channel_number, seq, at, entry, slot]`.
    Whole {
        /// The number that the reply to `subscribe` gave the channel.
        channel_number: u32,
        /// The entry's position in the channel's log.
        seq: u64,
        /// When it was appended, in milliseconds since 1970.
        at: i64,
        /// The entry.
        entry: Value,
        /// The slot into which the client puts the entry.
        slot: Option<u32>,
    },
    /// The entry that follows the channel's last one: `[channel_number, slot, elapsed, delta]`. It equals the entry in the slot except
    /// for the event's `delta`.
    Delta {
        /// The number that the reply to `subscribe` gave the channel.
        channel_number: u32,
        /// The slot of the entry that it equals.
        slot: u32,
        /// Milliseconds from the channel's last entry to this one; negative if the server's clock was set back.
        elapsed: i64,
        /// The event's `delta`.
        delta: String,
    },
}

impl CompactEntry {
    /// Decodes a frame that is an array.
    ///
    /// # Errors
    /// If it is not an entry's frame; the message says why.
    pub fn decode(text: &str) -> Result<Self, String> {
        let elements: Vec<Value> =
            serde_json::from_str(text).map_err(|e| format!("the server's frame is not JSON: {e}"))?;
        Self::from_elements(elements).ok_or_else(|| "the server's array is not a compact entry".to_owned())
    }

    fn from_elements(elements: Vec<Value>) -> Option<Self> {
        let small = |value: &Value| u32::try_from(value.as_u64()?).ok();
        let mut elements = elements.into_iter();
        let [channel_number, seq_or_slot, at_or_elapsed, entry_or_delta] =
            [elements.next()?, elements.next()?, elements.next()?, elements.next()?];
        let (channel_number, at_or_elapsed) = (small(&channel_number)?, at_or_elapsed.as_i64()?);
        match entry_or_delta {
            Value::String(delta) => {
                Some(Self::Delta { channel_number, slot: small(&seq_or_slot)?, elapsed: at_or_elapsed, delta })
            }
            entry @ Value::Object(_) => {
                let slot = match elements.next() {
                    Some(slot) => Some(small(&slot)?),
                    None => None,
                };
                Some(Self::Whole { channel_number, seq: seq_or_slot.as_u64()?, at: at_or_elapsed, entry, slot })
            }
            _ => None,
        }
    }
}

/// Encodes a whole entry, given as JSON.
#[must_use]
pub fn encode_whole(channel_number: u32, seq: u64, at: i64, entry: &str, slot: Option<u32>) -> String {
    match slot {
        Some(slot) => format!("[{channel_number},{seq},{at},{entry},{slot}]"),
        None => format!("[{channel_number},{seq},{at},{entry}]"),
    }
}

/// Encodes an entry that equals the one in a slot except for its delta, given as JSON.
#[must_use]
pub fn encode_delta(channel_number: u32, slot: u32, elapsed: i64, delta: &str) -> String {
    format!("[{channel_number},{slot},{elapsed},{delta}]")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn frames_decode_as_they_were_encoded() {
        let whole = |slot| CompactEntry::Whole { channel_number: 3, seq: 7, at: 9, entry: json!({"kind": "x"}), slot };
        assert_eq!(CompactEntry::decode(&encode_whole(3, 7, 9, r#"{"kind":"x"}"#, None)), Ok(whole(None)));
        assert_eq!(CompactEntry::decode(&encode_whole(3, 7, 9, r#"{"kind":"x"}"#, Some(2))), Ok(whole(Some(2))));
        let delta = CompactEntry::Delta { channel_number: 3, slot: 2, elapsed: -4, delta: "a\"b".into() };
        assert_eq!(CompactEntry::decode(&encode_delta(3, 2, -4, r#""a\"b""#)), Ok(delta));
    }

    #[test]
    fn other_arrays_are_refused() {
        for text in [
            "[]",
            "[1,2,3]",
            "[1,2,3,4]",
            r#"["1",2,3,"x"]"#,
            r#"[1,-2,3,{}]"#,
            r#"[1,2,3,{},"slot"]"#,
            r#"[1,4294967296,3,"x"]"#,
            "[1,2",
        ] {
            assert!(CompactEntry::decode(text).is_err(), "{text}");
        }
    }
}
