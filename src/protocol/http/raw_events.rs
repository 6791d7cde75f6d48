//! The framework's own events from which an agent made the events of a run.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The response to `GET /api/runs/<run_id>/raw?after=<seq>`: the `RAW` events of one of the caller's runs, if its agent is
/// configured to keep them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RawEvents {
    /// The events, in the order in which they arrived.
    pub events: Vec<RawEvent>,
    /// The `after` for the next page; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// A stored `RAW` event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RawEvent {
    /// Its place among the run's `RAW` events, from 1.
    pub seq: u64,
    /// When it was stored, in milliseconds since 1970.
    pub at: i64,
    /// The AG-UI event. If it came as the `rawEvent` of another event, `source` is that event's type.
    pub event: Value,
}
