//! The runs that wait for a person's answer.

use serde::{Deserialize, Serialize};

use crate::protocol::{RunView, ThreadInfo};

/// The response to `GET /api/inbox?before=<older>&limit=50`: a page of the caller's runs that wait for an answer, latest first, of all
/// threads, also archived ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InboxPage {
    /// The runs.
    pub items: Vec<InboxItem>,
    /// The `before` for the next page; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older: Option<String>,
}

/// A run that waits for an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InboxItem {
    /// Its thread.
    pub thread: ThreadInfo,
    /// When it ended with interrupts, in milliseconds since 1970.
    pub asked_at: i64,
    /// The run. Of its nodes, only the tool calls that its interrupts are about; without usage, shared state and result.
    pub run: RunView,
}
