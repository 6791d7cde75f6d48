//! Tool calls that run as a task on the tool's server, as recorded in the log.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    protocol::extensions::TOOL_TASK,
    thread::{NodeBody, RunView, ThreadView},
};

/// The key of the [`Continuation`] in an interrupt's metadata and in a task's activity.
pub const CONTINUATION: &str = "continuation";

/// How a call is continued. All but [`Continuation::Held`] survive a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Continuation {
    /// The call waits in this process under an id.
    Held(Uuid),
    /// The call is repeated with the answers and the server's state.
    Retry {
        /// The server's opaque state.
        state: Option<String>,
    },
    /// The server runs it as a task with this id.
    Task(String),
}

/// The task in an activity's content or an interrupt's metadata.
#[must_use]
pub fn task_of(content: &Map<String, Value>) -> Option<Continuation> {
    let continuation = serde_json::from_value(content.get(CONTINUATION)?.clone()).ok()?;
    matches!(continuation, Continuation::Task(_)).then_some(continuation)
}

/// Whether a tool's server may still run a task for a run: the log has the task but no result of its call.
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
