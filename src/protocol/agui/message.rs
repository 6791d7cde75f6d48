//! Messages, as AG-UI restates a conversation, and the request that begins a run.
//!
//! Read leniently: what a newer version adds is ignored.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ToolContent;
use crate::protocol::AnswerStatus;

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(tag = "role", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Message {
    /// A person's words.
    User {
        /// Its id.
        id: String,
        /// Text, or parts with text among them.
        content: ToolContent,
        /// Who said it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// The agent's words, its tool calls, or both.
    Assistant {
        /// Its id.
        id: String,
        /// What was said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<String>,
        /// Who said it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The calls it made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tool_calls: Option<Vec<ToolCall>>,
        /// What only the agent can read of it, to be given back as it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        encrypted_value: Option<String>,
        /// The sub-agent it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subagent_run_id: Option<String>,
    },
    /// A tool's answer.
    Tool {
        /// Its id.
        id: String,
        /// The answer.
        content: ToolContent,
        /// The call.
        tool_call_id: String,
        /// Why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// What only the agent can read of it, to be given back as it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        encrypted_value: Option<String>,
        /// The sub-agent it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subagent_run_id: Option<String>,
    },
    /// Instructions of the system.
    System {
        /// Its id.
        id: String,
        /// The instructions.
        content: String,
    },
    /// Instructions of a developer.
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
        /// What was thought.
        #[serde(default)]
        content: String,
        /// What only the agent can read of it, to be given back as it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        encrypted_value: Option<String>,
        /// The sub-agent it belongs to.
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

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct ToolCall {
    /// Its id.
    pub id: String,
    /// Always a function.
    #[serde(rename = "type", default)]
    pub kind: ToolCallKind,
    /// What is called.
    pub function: FunctionCall,
    /// What only the agent can read of it, to be given back as it is.
    #[serde(default, rename = "encryptedValue", skip_serializing_if = "Option::is_none")]
    pub encrypted_value: Option<String>,
}

/// What is called: always a function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ToolCallKind {
    /// A function.
    #[default]
    Function,
}

/// A function and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct FunctionCall {
    /// The function.
    pub name: String,
    /// Its arguments: JSON text.
    pub arguments: String,
}

/// A tool that the caller carries out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does.
    #[serde(default)]
    pub description: String,
    /// The JSON Schema of its arguments.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub parameters: Value,
    /// Anything more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// Something that the agent may want to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct Context {
    /// What it is.
    pub description: String,
    /// The thing.
    pub value: String,
}

/// An answer to an interrupt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Resume {
    /// The interrupt.
    pub interrupt_id: String,
    /// Whether it was answered.
    pub status: AnswerStatus,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// Anything more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// What begins a run over AG-UI's HTTP binding.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RunAgentInput {
    /// The thread.
    pub thread_id: String,
    /// The run.
    pub run_id: String,
    /// The AG-UI version of the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol_version: Option<String>,
    /// The run that this one goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_run_id: Option<String>,
    /// The conversation, the newest message last.
    pub messages: Vec<Message>,
    /// The state that caller and agent share. The protocol's own models want it said, so it is, as `null` where there is none.
    #[serde(default)]
    pub state: Value,
    /// Tools that the caller carries out.
    #[serde(default)]
    pub tools: Vec<Tool>,
    /// What the agent may want to know.
    #[serde(default)]
    pub context: Vec<Context>,
    /// What the caller passes on, whatever it is.
    #[serde(default)]
    pub forwarded_props: Value,
    /// Answers to what the run before waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Vec<Resume>>,
}
