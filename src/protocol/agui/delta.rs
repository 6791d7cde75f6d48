//! Deltas: the events that carry a piece of something longer, and which of them may become one.

use super::{Base, Event};

/// Deltas with the same key, with no other event of their run between them, may be put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaKey {
    kind: &'static str,
    id: String,
    subagent: Option<String>,
}

impl DeltaKey {
    /// Whether both speak of the same thing, whichever sub-agent they name.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.kind == other.kind && self.id == other.id
    }
}

impl Event {
    /// What it belongs to, where it is a delta that carries nothing but its text.
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

    /// A delta's text.
    pub fn delta_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::TextMessageContent(e) => Some(&mut e.delta),
            Self::ToolCallArgs(e) => Some(&mut e.delta),
            Self::ReasoningMessageContent(e) => Some(&mut e.delta),
            _ => None,
        }
    }
}
