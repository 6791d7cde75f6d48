//! What a framework made the events of a run of.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `GET /api/runs/<run_id>/raw?after=<seq>`: the `RAW` events of a run of the caller's, where its agent keeps them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct RawEvents {
    /// In the order in which they came.
    pub events: Vec<RawEvent>,
    /// The `after` of the next page; absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct RawEvent {
    /// Its place among those of its run, from 1.
    pub seq: u64,
    /// When it was kept, in milliseconds since 1970.
    pub at: i64,
    /// The event of AG-UI. Where the framework said it in the `rawEvent` of another event, `source` names that event's type.
    pub event: Value,
}
