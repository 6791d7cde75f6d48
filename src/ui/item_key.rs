//! What identifies an item of a thread on the page.

use serde::{Deserialize, Serialize};

use crate::{
    protocol::{MessageId, RunId},
    thread::Item,
};

/// Identifies an item of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ItemKey {
    /// A message of a person.
    Message(MessageId),
    /// A run of an agent.
    Run(RunId),
}

impl ItemKey {
    pub(crate) fn for_item(item: &Item) -> Self {
        match item {
            Item::Message(item) => Self::Message(item.message.id),
            Item::Run(run) => Self::Run(run.run_id),
        }
    }

    /// A selector of the item's article in the document.
    pub(crate) fn selector(self) -> String {
        match self {
            Self::Message(id) => format!("[data-message-id=\"{id}\"]"),
            Self::Run(id) => format!("[data-run-id=\"{id}\"]"),
        }
    }
}
