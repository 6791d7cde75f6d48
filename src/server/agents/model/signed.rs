//! What only its provider can read of an answer, as the log keeps it while a person or a caller is waited for.
//!
//! Promises: it goes back to the provider and the model that it came from, and to no other; one that no event can hold is not
//! kept, and whoever asks is told so.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::provider::ModelProvider;
use crate::{
    json_size::extent,
    protocol::agui::{EncryptedSubtype, Event, ReasoningEncryptedValue},
    server::runs::guard::MAX_EVENT_BYTES,
};

#[derive(Serialize, Deserialize)]
struct Signed {
    provider: String,
    model: String,
    native: Value,
}

/// The event that keeps what belongs to the answer with that call; `None` where it is too large for one.
pub(super) fn event(provider: &dyn ModelProvider, call: &str, native: &Value) -> Option<Event> {
    let signed =
        Signed { provider: provider.provider().into(), model: provider.model().into(), native: native.clone() };
    let value = serde_json::to_string(&signed).ok()?;
    let event = ReasoningEncryptedValue::new(EncryptedSubtype::ToolCall, call, value).into();
    (extent(&event).bytes <= MAX_EVENT_BYTES).then_some(event)
}

/// What was kept, where it came from this very model.
pub(super) fn read(provider: &dyn ModelProvider, value: &str) -> Option<Value> {
    let Signed { provider: from, model, native } = serde_json::from_str(value).ok()?;
    (from == provider.provider() && model == provider.model()).then_some(native)
}
