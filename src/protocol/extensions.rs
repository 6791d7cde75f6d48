//! What Netra adds to AG-UI's events: metadata keys, marks in their content, and values with a meaning of their own.
//!
//! A text that is too long for one log entry is split into several. In the state, the first `STATE_DELTA` sets the text's first
//! piece and is marked [`FIRST_PIECE`]; each later piece is the only operation of its delta and is marked [`LATER_PIECE`]. A
//! tool's result is split the same way, with the marks in the metadata of `TOOL_CALL_RESULT`. The reducer joins the pieces, and
//! callers over AG-UI's HTTP binding get the whole text.

use serde_json::Value;

/// The key that marks the first piece of a split text.
pub const FIRST_PIECE: &str = "netraBegins";
/// The key that marks each later piece; its value is [`MORE_FOLLOW`] or [`LAST_PIECE`].
pub const LATER_PIECE: &str = "netraContinues";
/// The value of [`LATER_PIECE`] when another piece follows.
pub const MORE_FOLLOW: &str = "more";
/// The value of [`LATER_PIECE`] in the last piece.
pub const LAST_PIECE: &str = "last";

/// Marks a tool message of a `MESSAGES_SNAPSHOT` whose content was left out because the thread already has the call's result.
pub const KNOWN_RESULT: &str = "netraKnown";

/// Metadata key of the events with which a run records the state that its caller sent. They are not sent back to that caller.
pub const CALLER_STATE: &str = "netraGiven";

/// Metadata key: the interrupts of the previous run are cancelled, and from this event on the run answers its own message.
pub const AFTER_CANCELLATION: &str = "afterCancellation";

/// Metadata key of a `STEP_FINISHED` that closes a step of a failed or stopped run: the step did not complete.
pub const UNFINISHED_STEP: &str = "unfinished";

/// The activity type under which an agent records that a tool's server runs a call as a task. The page
/// shows it only as a note that the tool is still running.
pub const TOOL_TASK: &str = "tool_task";

/// Why a run ended when its server stopped: the reason of its interrupt if the run is resumed automatically, otherwise the code
/// of its `RUN_ERROR`.
pub const SERVER_RESTARTED: &str = "server_restarted";

/// The JSON pointer and the text of a `STATE_DELTA` that appends a later piece; `None` for any other delta.
#[must_use]
pub fn continued_text(delta: &[Value]) -> Option<(&str, &str)> {
    match delta {
        [only] if only.get(LATER_PIECE).is_some() => Some((only["path"].as_str()?, only["value"].as_str()?)),
        _ => None,
    }
}
