//! Calls that a tool's server works on as a task, as the log has them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    protocol::extensions::TOOL_TASK,
    thread::{NodeBody, RunView, ThreadView},
};

/// In an interrupt's metadata and a task's activity: how the call goes on.
pub const CONTINUATION: &str = "continuation";

/// How a call goes on. What is not held in this process survives it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Continuation {
    /// The call waits in this process, under an id.
    Held(Uuid),
    /// The call is made again, with the answers and with what the server wants back.
    Retry {
        /// The server's own state, opaque here.
        state: Option<String>,
    },
    /// The server works on it as a task with this id.
    Task(String),
}

/// The task that the log keeps, in an activity or in an interrupt's metadata.
#[must_use]
pub fn task_of(content: &Map<String, Value>) -> Option<Continuation> {
    let continuation = serde_json::from_value(content.get(CONTINUATION)?.clone()).ok()?;
    matches!(continuation, Continuation::Task(_)).then_some(continuation)
}

/// Whether a server works on a task for a run, as far as the log knows: its call has no result.
pub(crate) fn has_open_task(thread: &ThreadView, run: &RunView) -> bool {
    let is_open = |id: &str| {
        let mut nodes = thread.runs().flat_map(|run| &run.nodes);
        nodes.any(|node| node.id == id && matches!(node.body, NodeBody::Tool { result: None, .. }))
    };
    run.nodes.iter().any(|node| match &node.body {
        NodeBody::Activity { activity_type, content } if activity_type == TOOL_TASK => {
            task_of(content).is_some() && content.get("toolCallId").and_then(Value::as_str).is_some_and(is_open)
        }
        _ => false,
    })
}
