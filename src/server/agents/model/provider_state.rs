//! The parts of an answer that only its provider can read (signed or encrypted thoughts), as the log keeps them while a run waits
//! for a person or a caller.
//!
//! Guarantees: it is sent back only to the provider and the model that sent it; a state that is too large for an event
//! is not kept, and [`event`] returns `None`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::provider::ModelProvider;
use crate::{
    json_size::extent,
    protocol::agui::{EncryptedSubtype, Event, ReasoningEncryptedValue},
    server::runs::guard::MAX_EVENT_BYTES,
};

/// The parts of an answer, other than text and calls, that a provider needs in the next request.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ProviderState {
    /// Signed or encrypted thoughts, in their order; they come before the rest of the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<StatePart>,
    /// The signatures of each call, from providers that sign calls separately (Gemini). Empty: no call has a signature.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Option<Vec<String>>>,
}

/// A part of a [`ProviderState`]. The log keeps these names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum StatePart {
    /// A signature, or an encrypted thought.
    ThoughtSignature(String),
    /// The thought that the signature before it signs.
    ReasoningContent(String),
    /// A block that is sent back unchanged.
    Custom {
        /// The block.
        data: Value,
    },
}

impl ProviderState {
    /// As a value that the rest of the server does not read.
    pub(super) fn to_value(&self) -> Option<Value> {
        serde_json::to_value(self).ok()
    }

    /// As [`Self::to_value`]; `None` if there is nothing to send back.
    pub(super) fn to_value_unless_empty(&self) -> Option<Value> {
        if self.parts.is_empty() && self.calls.is_empty() { None } else { self.to_value() }
    }

    /// Reads a value of [`ProviderState::to_value`]; an invalid one is read as an empty state.
    pub(super) fn from_value(value: Option<&Value>) -> Self {
        value.and_then(|value| Self::deserialize(value).ok()).unwrap_or_default()
    }

    /// The signatures among the parts.
    pub(super) fn signatures(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            StatePart::ThoughtSignature(signature) => Some(signature.as_str()),
            StatePart::ReasoningContent(_) | StatePart::Custom { .. } => None,
        })
    }
}

/// The value of an event that keeps a state.
#[derive(Serialize, Deserialize)]
struct KeptState {
    provider: String,
    model: String,
    #[serde(rename = "native")]
    state: Value,
}

/// The event that keeps the state of the answer with the call `call_id`; `None` if it is too large for an event.
pub(super) fn event(provider: &dyn ModelProvider, call_id: &str, state: &Value) -> Option<Event> {
    let kept = KeptState { provider: provider.provider().into(), model: provider.model().into(), state: state.clone() };
    let value = serde_json::to_string(&kept).ok()?;
    let event = ReasoningEncryptedValue::new(EncryptedSubtype::ToolCall, call_id, value).into();
    (extent(&event).bytes <= MAX_EVENT_BYTES).then_some(event)
}

/// The state in an event's value, if it is from this provider and model.
pub(super) fn read(provider: &dyn ModelProvider, value: &str) -> Option<Value> {
    let KeptState { provider: from, model, state } = serde_json::from_str(value).ok()?;
    (from == provider.provider() && model == provider.model()).then_some(state)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn states_of_earlier_versions_are_read() {
        let kept = json!({
            "parts": [
                {"ThoughtSignature": "one"},
                {"ReasoningContent": "hm"},
                {"Custom": {"model_iden": null, "data": {"type": "redacted_thinking", "data": "x"}}},
            ],
            "calls": [null, ["two"]],
        });
        let state = ProviderState::from_value(Some(&kept));
        assert_eq!(state.signatures().collect::<Vec<_>>(), ["one"]);
        assert_eq!(state.calls, [None, Some(vec!["two".to_owned()])]);
        assert_eq!(state.parts[2], StatePart::Custom { data: json!({"type": "redacted_thinking", "data": "x"}) });
        assert_eq!(ProviderState::from_value(state.to_value().as_ref()), state);
    }

    #[test]
    fn an_invalid_state_is_read_as_empty() {
        for value in [json!("x"), json!({"parts": [{"Image": "x"}]}), json!({})] {
            assert_eq!(ProviderState::from_value(Some(&value)), ProviderState::default());
        }
        assert_eq!(ProviderState::default().to_value(), Some(json!({})));
        assert_eq!(ProviderState::default().to_value_unless_empty(), None);
    }
}
