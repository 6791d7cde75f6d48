//! Deltas: events that append to a text, and which of them may be merged into one.

use super::{Base, Event};

/// The text that a delta appends to, and the sub-agent that wrote it. Deltas with the same key may be merged if no other event of
/// their run is between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaKey {
    kind: &'static str,
    /// The id of the message or tool call.
    id: String,
    subagent: Option<String>,
}

impl DeltaKey {
    /// Whether both append to the same text, even if they name different sub-agents.
    #[must_use]
    pub fn has_same_text(&self, other: &Self) -> bool {
        self.kind == other.kind && self.id == other.id
    }
}

impl Event {
    /// The key of a delta without data that merging would lose (all but its text and timestamp); `None` for any other event.
    #[must_use]
    pub fn delta_key(&self) -> Option<DeltaKey> {
        let id = match self {
            Self::TextMessageContent(e) => &e.message_id,
            Self::ToolCallArgs(e) => &e.tool_call_id,
            Self::ReasoningMessageContent(e) => &e.message_id,
            _ => return None,
        };
        let Base { raw_event, metadata, extra, timestamp: _ } = self.base();
        let plain = raw_event.is_none() && metadata.is_none() && extra.is_empty();
        plain.then(|| DeltaKey { kind: self.kind(), id: id.clone(), subagent: self.subagent().map(str::to_owned) })
    }

    /// The text that a delta appends; `None` for any other event.
    pub fn delta_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::TextMessageContent(e) => Some(&mut e.delta),
            Self::ToolCallArgs(e) => Some(&mut e.delta),
            Self::ReasoningMessageContent(e) => Some(&mut e.delta),
            _ => None,
        }
    }
}
