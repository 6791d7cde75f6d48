//! What a thread looks like: messages and runs in order, each run a flat list of nodes that form a tree.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Author, InterruptAnswer, MessageId, RunId, ThreadInfo, UserMessage,
    agui::{EncryptedSubtype, Interrupt, TextRole, Usage},
};

/// A thread, folded from its log. Shared parts are cheap to clone and copied only where they change.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct ThreadView {
    /// Title and agent; absent before the thread's first entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<ThreadInfo>,
    /// What was said and done, in order.
    pub items: Vec<Item>,
}

/// One thing in a thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum Item {
    /// A person said something.
    Message(Arc<MessageItem>),
    /// An agent ran.
    Run(Arc<RunView>),
}

/// A person's message and when it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema), schemars(rename = "Said"))]
pub struct MessageItem {
    /// Milliseconds since 1970.
    pub at: i64,
    /// What was said.
    pub message: UserMessage,
    /// The message that it was said after; absent: the first of its branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<MessageId>,
}

/// What became of a run's interrupts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema), schemars(rename = "Answered"))]
#[serde(tag = "is")]
pub enum Resolution {
    /// A person answered them.
    #[serde(rename = "by")]
    Answered {
        /// Who.
        author: Author,
        /// When, in milliseconds since 1970.
        at: i64,
        /// What.
        answers: Vec<InterruptAnswer>,
        /// The run in which the agent went on.
        resumed_by: RunId,
    },
    /// Another message was sent in the thread instead: they can no longer be answered.
    #[serde(rename = "given_up")]
    Abandoned,
}

/// Where a run is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum RunState {
    /// Accepted, not begun.
    #[default]
    Waiting,
    /// It goes on.
    Running,
    /// It did what was asked.
    Finished,
    /// It was stopped.
    Cancelled,
    /// It waits for a person.
    Interrupted {
        /// What it waits for.
        interrupts: Vec<Interrupt>,
    },
    /// It failed.
    Failed {
        /// What happened, for a person.
        message: String,
        /// What happened, for programs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
    },
}

/// One run of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct RunView {
    /// The run.
    pub run_id: RunId,
    /// The agent's id, where the message that began the run told it.
    pub agent: String,
    /// The message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// The interrupted run that it goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumes: Option<RunId>,
    /// Where it is.
    pub state: RunState,
    /// Of an interrupted run, or one with calls pending: what became of what it waited for; absent: it still waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<Resolution>,
    /// Tool calls that it ended with for whoever asked to carry out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<String>,
    /// When it was accepted, in milliseconds since 1970.
    pub started_at: i64,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<i64>,
    /// What happened in it, in the order it began. A node's index never changes.
    pub nodes: Vec<Arc<Node>>,
    /// Where the run first cancelled what the run before waited for: how many of the nodes, from the first, were said to that,
    /// before the agent was told of the run's message. Absent: it cancelled nothing, or the agent was not told of the message yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_before_message: Option<usize>,
    /// What only its agent can read of what it thought, oldest first; never in what people are sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "ssr", schemars(skip))]
    pub encrypted: Vec<Arc<Encrypted>>,
    /// The tokens it used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub usage: Vec<Usage>,
    /// What they cost in US dollars, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// The agent's shared state, as last told. Absent: as the runs before it left it, with `shared_changes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<Arc<Value>>,
    /// What the run changed in a large state that a run before it told: deltas (RFC 6902), each applied as a whole or not at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared_changes: Vec<Arc<Vec<Value>>>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

/// An encrypted value, as `REASONING_ENCRYPTED_VALUE` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encrypted {
    /// What it belongs to.
    pub subtype: EncryptedSubtype,
    /// The id of the call or message.
    pub entity_id: String,
    /// The value.
    pub value: String,
}

/// Where a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Begun, not ended.
    Open,
    /// A tool call whose arguments are whole and whose answer is awaited.
    Called,
    /// Ended.
    Done,
    /// Ended by failing.
    Failed,
}

/// One thing in a run: a text, a call, a step, a sub-agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct Node {
    /// The agent's own id of it; unique in the run only together with the body's kind.
    pub id: String,
    /// The sub-agent it belongs to; absent: the run itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// Where it is.
    pub state: NodeState,
    /// When it began, in milliseconds since 1970.
    pub started_at: i64,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<i64>,
    /// It came in `*_CHUNK` events, which no end event follows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub chunked: bool,
    /// What it is.
    pub body: NodeBody,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum NodeBody {
    /// A text message.
    Text {
        /// Who speaks.
        role: TextRole,
        /// What was said so far: Markdown.
        text: String,
    },
    /// A span of reasoning; its messages are nodes of their own.
    ReasoningSpan,
    /// A message of reasoning.
    Reasoning {
        /// What was thought so far.
        text: String,
    },
    /// A step; `id` is its name.
    Step,
    /// A tool call.
    Tool {
        /// The tool.
        name: String,
        /// The arguments so far: JSON text.
        args: String,
        /// The message that carries the call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// The answer, as text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<String>,
        /// The message that the answer is, by the agent's id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result_id: Option<String>,
        /// The answer's parts, where it is no plain text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parts: Option<Vec<Value>>,
        /// Why the call failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A sub-agent; its nodes are those `within` its id.
    Subagent {
        /// Its name.
        name: String,
        /// What it is for.
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
    /// An event that the agent and its front end agreed on, such as a chart.
    Custom {
        /// Its name.
        name: String,
        /// Its content.
        value: Value,
    },
    /// What the agent left out when it restated the conversation. It keeps its place, and nothing else.
    Withdrawn,
}
