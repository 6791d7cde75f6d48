//! Commands about messages while a run is active: how a message is sent then, and changing and moving messages that wait.

use serde::{Deserialize, Serialize};

use super::{FileId, MessageId, ThreadId};

/// What happens to a message if a run of its thread is active.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SendMode {
    /// It waits behind the messages that were sent before.
    #[default]
    Queue,
    /// An agent that reads messages during its run reads it before its next step; if the run ends before, the message is answered next. The
    /// run of another agent is stopped, as with `stop`.
    Steer,
    /// The active run is stopped, and the message is answered next.
    Stop,
}

impl SendMode {
    /// Whether it is `queue`, the default.
    #[must_use]
    pub fn is_queue(&self) -> bool {
        *self == Self::Queue
    }
}

/// `edit_queued`: changes a message whose run has not begun. Succeeds too if the message is already as given; `conflict` if its run has
/// begun or it was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EditQueued {
    /// The thread.
    pub thread_id: ThreadId,
    /// The message.
    pub message_id: MessageId,
    /// The new content: plain text, at most [`super::limits::MAX_MESSAGE_BYTES`] bytes.
    pub text: String,
    /// The attached files, uploaded to this thread before; absent: the same as now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachments: Option<Vec<FileId>>,
}

/// `move_queued`: changes when a message is answered whose run has not begun. `conflict` if its run, or that of `before`, has begun, or
/// one of the two was taken back. No effect if the message is there already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MoveQueued {
    /// The thread.
    pub thread_id: ThreadId,
    /// The message.
    pub message_id: MessageId,
    /// The waiting message before which it is answered; absent: it is answered last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<MessageId>,
}
