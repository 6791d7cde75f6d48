//! The messages of a conversation, and the request that starts a run. Decoded leniently: unknown fields are ignored.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ToolContent;
use crate::protocol::AnswerStatus;

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "role", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Message {
    /// A person's message.
    User {
        /// Its id.
        id: String,
        /// The content: text or parts.
        content: ToolContent,
        /// The author's name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// The agent's text, its tool calls, or both.
    Assistant {
        /// Its id.
        id: String,
        /// The text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<String>,
        /// The author's name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The tool calls.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tool_calls: Option<Vec<ToolCall>>,
        /// An encrypted value that only the agent can read; it is returned unchanged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        encrypted_value: Option<String>,
        /// The sub-agent that it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subagent_run_id: Option<String>,
    },
    /// The result of a tool call.
    Tool {
        /// Its id.
        id: String,
        /// The result.
        content: ToolContent,
        /// The call's id.
        tool_call_id: String,
        /// The error, if the call failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// An encrypted value that only the agent can read; it is returned unchanged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        encrypted_value: Option<String>,
        /// The sub-agent that it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subagent_run_id: Option<String>,
    },
    /// System instructions.
    System {
        /// Its id.
        id: String,
        /// The instructions.
        content: String,
    },
    /// Developer instructions.
    Developer {
        /// Its id.
        id: String,
        /// The instructions.
        content: String,
    },
    /// The agent's reasoning.
    Reasoning {
        /// Its id.
        id: String,
        /// The text.
        #[serde(default)]
        content: String,
        /// An encrypted value that only the agent can read; it is returned unchanged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        encrypted_value: Option<String>,
        /// The sub-agent that it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subagent_run_id: Option<String>,
    },
    /// An activity.
    Activity {
        /// Its id.
        id: String,
        /// Its kind.
        activity_type: String,
        /// Its content.
        content: Map<String, Value>,
    },
}

impl Message {
    /// The sub-agent that it belongs to.
    #[must_use]
    pub fn subagent(&self) -> Option<&str> {
        match self {
            Self::Assistant { subagent_run_id, .. }
            | Self::Tool { subagent_run_id, .. }
            | Self::Reasoning { subagent_run_id, .. } => subagent_run_id.as_deref(),
            _ => None,
        }
    }
}

/// A tool call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ToolCall {
    /// Its id.
    pub id: String,
    /// Always a function.
    #[serde(rename = "type", default)]
    pub kind: ToolCallKind,
    /// The function and its arguments.
    pub function: FunctionCall,
    /// An encrypted value that only the agent can read; it is returned unchanged.
    #[serde(default, rename = "encryptedValue", skip_serializing_if = "Option::is_none")]
    pub encrypted_value: Option<String>,
}

/// The kind of a tool call: always a function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ToolCallKind {
    /// A function.
    #[default]
    Function,
}

/// A function and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FunctionCall {
    /// The function's name.
    pub name: String,
    /// The arguments, as JSON text.
    pub arguments: String,
}

/// A tool that the client executes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does.
    #[serde(default)]
    pub description: String,
    /// The JSON Schema of its arguments.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub parameters: Value,
    /// Further data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// Context for the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Context {
    /// What it is.
    pub description: String,
    /// The content.
    pub value: String,
}

/// An answer to an interrupt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Resume {
    /// The interrupt's id.
    pub interrupt_id: String,
    /// Whether it was answered.
    pub status: AnswerStatus,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// Further data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// The request body that starts a run over AG-UI's HTTP binding.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RunAgentInput {
    /// The thread's id.
    pub thread_id: String,
    /// The run's id.
    pub run_id: String,
    /// The AG-UI version that the client speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol_version: Option<String>,
    /// The run that this one continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_run_id: Option<String>,
    /// The conversation, newest message last.
    pub messages: Vec<Message>,
    /// The shared state. Required by the protocol's own models, so it is `null` if there is none.
    #[serde(default)]
    pub state: Value,
    /// Tools that the client executes.
    #[serde(default)]
    pub tools: Vec<Tool>,
    /// Context for the agent.
    #[serde(default)]
    pub context: Vec<Context>,
    /// Arbitrary data that the client passes to the agent.
    #[serde(default)]
    pub forwarded_props: Value,
    /// Answers to the interrupts of the previous run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Vec<Resume>>,
}
