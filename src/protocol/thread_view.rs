//! The view of a thread: its messages and runs in order. Each run is a flat list of nodes, which form a tree.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Author, InterruptAnswer, MessageId, RunFeedback, RunId, ThreadInfo, ThreadMembers, UserMessage,
    agui::{EncryptedSubtype, Interrupt, TextRole, Usage},
};

/// A thread, folded from its log. Cheap to clone: parts are shared and copied only when they change.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ThreadView {
    /// The title, agent and time of creation; absent before the log's first entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<ThreadInfo>,
    /// The owner and the members; absent if it never had members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<ThreadMembers>,
    /// The messages and runs, in order.
    pub items: Vec<Item>,
}

/// A message or run of a thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum Item {
    /// A person's message.
    Message(Arc<MessageItem>),
    /// A run of an agent.
    Run(Arc<RunView>),
}

/// A person's message and when it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
// The definition in the schema has this name, which clients may refer to.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Said"))]
pub struct MessageItem {
    /// Milliseconds since 1970.
    pub at: i64,
    /// The message.
    pub message: UserMessage,
    /// The message that it follows in the tree of messages; absent for the first of a branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<MessageId>,
}

/// How a run's interrupts were resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
// The definition in the schema has this name, which clients may refer to.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Answered"))]
#[serde(tag = "is")]
pub enum Resolution {
    /// A person answered them.
    #[serde(rename = "by")]
    Answered {
        /// Who answered.
        author: Author,
        /// When, in milliseconds since 1970.
        at: i64,
        /// The answers.
        answers: Vec<InterruptAnswer>,
        /// The run in which the agent continued.
        resumed_by: RunId,
    },
    /// Another message was sent in the thread instead: they can no longer be answered.
    #[serde(rename = "given_up")]
    Abandoned,
}

/// The state of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum RunState {
    /// Accepted, not begun yet.
    #[default]
    Waiting,
    /// Begun, not ended.
    Running,
    /// It succeeded.
    Finished,
    /// It was stopped.
    Cancelled,
    /// It ended with interrupts, which wait for a person's answer.
    Interrupted {
        /// The interrupts.
        interrupts: Vec<Interrupt>,
    },
    /// It failed.
    Failed {
        /// The error, for a person.
        message: String,
        /// The error's code, for programs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
    },
}

/// One run of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunView {
    /// The run's id.
    pub run_id: RunId,
    /// The agent's id; empty if no message announced the run.
    pub agent: String,
    /// The message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// The name of the person whose text it has in place of the agent's answer; absent if the agent ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_by: Option<String>,
    /// The interrupted run that it continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumes: Option<RunId>,
    /// The run's state.
    pub state: RunState,
    /// If the run ended with interrupts or client tool calls: how they were resolved; absent while they are open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<Resolution>,
    /// The ids of the tool calls that the run left to the client, as its end lists them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<String>,
    /// When it was requested, in milliseconds since 1970; it may have waited before it began.
    pub started_at: i64,
    /// When it ended, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<i64>,
    /// Its texts, calls, steps and so on, in the order in which they began. A node's index never changes.
    pub nodes: Vec<Arc<Node>>,
    /// If the run first cancelled the interrupts of the previous run: how many nodes it produced before the agent was given the run's
    /// own message. Absent if it cancelled nothing, or the agent was not given the message yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_before_message: Option<usize>,
    /// The messages that its agent read while it was active, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<ReadMessage>,
    /// Encrypted values that only the run's agent can read, oldest first. Never sent to people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub encrypted: Vec<Arc<Encrypted>>,
    /// The latest feedback of a user who may write in the thread; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<RunFeedback>,
    /// The tokens it used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub usage: Vec<Usage>,
    /// The cost in US dollars, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// The agent's shared state, as last set. Absent: the state that the runs before it left, with `shared_changes` applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<Arc<Value>>,
    /// The run's changes to a large state that an earlier run set: deltas (RFC 6902), each applied completely or not at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared_changes: Vec<Arc<Vec<Value>>>,
    /// The `result` of its `RUN_FINISHED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

/// A message that a run's agent read while the run was active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReadMessage {
    /// How many nodes the run had then.
    pub nodes_before: usize,
    /// The message.
    pub item: Arc<MessageItem>,
}

/// The content of a `REASONING_ENCRYPTED_VALUE`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encrypted {
    /// Whether it belongs to a tool call or a message.
    pub subtype: EncryptedSubtype,
    /// The id of the call or message.
    pub entity_id: String,
    /// The value.
    pub value: String,
}

/// The state of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Begun, not ended.
    Open,
    /// A tool call with complete arguments and no result yet.
    Called,
    /// Ended.
    Done,
    /// Ended with an error.
    Failed,
}

/// A part of a run: a text, a tool call, a step, a sub-agent ...
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Node {
    /// The id that the agent gave it; unique only among the run's nodes of the same kind.
    pub id: String,
    /// The sub-agent that it belongs to; absent for the run itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// The node's state.
    pub state: NodeState,
    /// When it began, in milliseconds since 1970.
    pub started_at: i64,
    /// When it ended, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<i64>,
    /// Whether it came in `*_CHUNK` events, which have no end event.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub chunked: bool,
    /// The kind of node, and its content.
    pub body: NodeBody,
}

/// The kind of a node, and its content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum NodeBody {
    /// A text message.
    Text {
        /// The role of the author.
        role: TextRole,
        /// The text so far: Markdown.
        text: String,
    },
    /// A span of reasoning; its messages are separate nodes.
    ReasoningSpan,
    /// A reasoning message.
    Reasoning {
        /// The text so far.
        text: String,
    },
    /// A step; the node's `id` is its name.
    Step,
    /// A tool call.
    Tool {
        /// The tool's name.
        name: String,
        /// The arguments so far: JSON text.
        args: String,
        /// The id of the message that contains the call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// The result, as text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<String>,
        /// The id that the agent gave the result's message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result_id: Option<String>,
        /// The result's parts, if it is not plain text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parts: Option<Vec<Value>>,
        /// Why the call failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A sub-agent. Its nodes have its id in `within`.
    Subagent {
        /// Its name.
        name: String,
        /// Its task.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// Why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// An activity.
    Activity {
        /// Its kind.
        activity_type: String,
        /// Its content.
        content: Map<String, Value>,
    },
    /// A custom event that the agent and the page agreed on, such as a chart.
    Custom {
        /// Its name.
        name: String,
        /// Its content.
        value: Value,
    },
    /// A node that the agent left out of a later `MESSAGES_SNAPSHOT`. Only its index remains.
    Withdrawn,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::UserId;

    #[test]
    fn a_resolution_keeps_its_names_on_the_wire() {
        let (user, run) = (UserId::new(), RunId::new());
        let author = json!({"id": user, "name": "Ada"});
        let answered = json!({"is": "by", "author": author, "at": 5, "answers": [], "resumed_by": run});
        let author = Author { id: user, name: "Ada".into() };
        let expected = Resolution::Answered { author, at: 5, answers: Vec::new(), resumed_by: run };
        assert_eq!(serde_json::from_value::<Resolution>(answered.clone()).expect("the JSON has this type"), expected);
        assert_eq!(serde_json::to_value(expected).expect("the value is serialized"), answered);
        let abandoned = serde_json::to_value(Resolution::Abandoned).expect("the value is serialized");
        assert_eq!(abandoned, json!({"is": "given_up"}));
    }
}
