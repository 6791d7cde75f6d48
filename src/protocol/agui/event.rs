//! The 31 events, with their fields.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    EncryptedSubtype, ReasoningRole, RunOutcome, SubagentOutcome, TextRole, ToolContent, ToolRole, Usage,
    event_macro::events,
};

/// The fields that every event may have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Base {
    /// When it happened, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
    /// The framework's own event from which this one was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_event: Option<Value>,
    /// Further data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// Fields that AG-UI 1.0 does not define: kept, and without effect.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

events! {
    /// A run begins.
    RunStarted = "RUN_STARTED" run {
        /// The thread's id.
        thread_id: String,
        /// The run's id.
        run_id: String,
        ;
        /// The AG-UI version that the agent speaks.
        protocol_version: String,
        /// The run that this one continues.
        parent_run_id: String,
        /// The `RunAgentInput` that started it.
        input: Value,
    }
    /// A run ends without an error.
    RunFinished = "RUN_FINISHED" run {
        /// The thread's id.
        thread_id: String,
        /// The run's id.
        run_id: String,
        ;
        /// The result.
        result: Value,
        /// How it ended; absent means success.
        outcome: RunOutcome,
        /// The tokens it used.
        usage: Vec<Usage>,
    }
    /// A run failed.
    RunError = "RUN_ERROR" run {
        /// The error, for a person.
        message: String,
        ;
        /// The error's code, for programs.
        code: String,
        /// The tokens it used.
        usage: Vec<Usage>,
    }
    /// A step begins.
    StepStarted = "STEP_STARTED" tagged {
        /// Its name, unique within its sub-agent or run.
        step_name: String,
        ;
    }
    /// A step ends.
    StepFinished = "STEP_FINISHED" tagged {
        /// Its name.
        step_name: String,
        ;
    }
    /// A text message begins.
    TextMessageStart = "TEXT_MESSAGE_START" tagged {
        /// The message's id.
        message_id: String,
        ;
        /// The role of the author; absent: assistant.
        role: TextRole,
        /// The author's name.
        name: String,
    }
    /// Appends to a text message.
    TextMessageContent = "TEXT_MESSAGE_CONTENT" tagged {
        /// The message's id.
        message_id: String,
        /// The text to append.
        delta: String,
        ;
    }
    /// A text message ends.
    TextMessageEnd = "TEXT_MESSAGE_END" tagged {
        /// The message's id.
        message_id: String,
        ;
    }
    /// Begins a text message, appends to it, or both. No end event follows.
    TextMessageChunk = "TEXT_MESSAGE_CHUNK" tagged {
        ;
        /// The message's id; required in the first chunk.
        message_id: String,
        /// The role of the author.
        role: TextRole,
        /// The text to append.
        delta: String,
        /// The author's name.
        name: String,
    }
    /// A tool call begins.
    ToolCallStart = "TOOL_CALL_START" tagged {
        /// The call's id.
        tool_call_id: String,
        /// The tool's name.
        tool_call_name: String,
        ;
        /// The id of the message that contains the call.
        parent_message_id: String,
    }
    /// Appends to a call's arguments.
    ToolCallArgs = "TOOL_CALL_ARGS" tagged {
        /// The call's id.
        tool_call_id: String,
        /// The JSON text to append.
        delta: String,
        ;
    }
    /// A call's arguments are complete.
    ToolCallEnd = "TOOL_CALL_END" tagged {
        /// The call's id.
        tool_call_id: String,
        ;
    }
    /// Begins a tool call, appends to its arguments, or both. No end event follows.
    ToolCallChunk = "TOOL_CALL_CHUNK" tagged {
        ;
        /// The call's id; required in the first chunk.
        tool_call_id: String,
        /// The tool's name; required in the first chunk.
        tool_call_name: String,
        /// The id of the message that contains the call.
        parent_message_id: String,
        /// The JSON text to append.
        delta: String,
    }
    /// The result of a tool call.
    ToolCallResult = "TOOL_CALL_RESULT" tagged {
        /// The id of the result's message.
        message_id: String,
        /// The call's id.
        tool_call_id: String,
        /// The result.
        content: ToolContent,
        ;
        /// Always `tool`.
        role: ToolRole,
    }
    /// The complete shared state.
    StateSnapshot = "STATE_SNAPSHOT" tagged {
        /// The state.
        snapshot: Value,
        ;
    }
    /// A change of the shared state.
    StateDelta = "STATE_DELTA" tagged {
        /// RFC 6902 operations.
        delta: Vec<Value>,
        ;
    }
    /// The complete messages of the conversation.
    MessagesSnapshot = "MESSAGES_SNAPSHOT" run {
        /// The messages.
        messages: Vec<Value>,
        ;
    }
    /// The complete content of an activity.
    ActivitySnapshot = "ACTIVITY_SNAPSHOT" tagged {
        /// The id of the message that shows it.
        message_id: String,
        /// Its kind.
        activity_type: String,
        /// Its content.
        content: Map<String, Value>,
        ;
        /// Whether it replaces content that is there already; absent means yes.
        replace: bool,
    }
    /// A change of an activity.
    ActivityDelta = "ACTIVITY_DELTA" tagged {
        /// The id of the message that shows it.
        message_id: String,
        /// Its kind.
        activity_type: String,
        /// RFC 6902 operations.
        patch: Vec<Value>,
        ;
    }
    /// A span of reasoning begins.
    ReasoningStart = "REASONING_START" tagged {
        /// The span's id.
        message_id: String,
        ;
    }
    /// A reasoning message begins.
    ReasoningMessageStart = "REASONING_MESSAGE_START" tagged {
        /// The message's id.
        message_id: String,
        /// Always `reasoning`.
        role: ReasoningRole,
        ;
    }
    /// Appends to a reasoning message.
    ReasoningMessageContent = "REASONING_MESSAGE_CONTENT" tagged {
        /// The message's id.
        message_id: String,
        /// The text to append.
        delta: String,
        ;
    }
    /// A reasoning message ends.
    ReasoningMessageEnd = "REASONING_MESSAGE_END" tagged {
        /// The message's id.
        message_id: String,
        ;
    }
    /// Begins a reasoning message, appends to it, or both. No end event follows.
    ReasoningMessageChunk = "REASONING_MESSAGE_CHUNK" tagged {
        ;
        /// The message's id; required in the first chunk.
        message_id: String,
        /// The text to append.
        delta: String,
    }
    /// A span of reasoning ends.
    ReasoningEnd = "REASONING_END" tagged {
        /// The span's id.
        message_id: String,
        ;
    }
    /// Encrypted reasoning that only the model's provider can read.
    ReasoningEncryptedValue = "REASONING_ENCRYPTED_VALUE" tagged {
        /// Whether it belongs to a tool call or a message.
        subtype: EncryptedSubtype,
        /// The id of the call or message.
        entity_id: String,
        /// The encrypted value.
        encrypted_value: String,
        ;
    }
    /// A sub-agent begins.
    SubagentStarted = "SUBAGENT_STARTED" run {
        /// The id of the sub-agent's run, unique within the run.
        subagent_run_id: String,
        /// Its name.
        name: String,
        ;
        /// Its task.
        description: String,
        /// The sub-agent that started it.
        parent_subagent_run_id: String,
        /// The tool call that started it.
        parent_tool_call_id: String,
        /// The message that started it.
        parent_message_id: String,
    }
    /// A sub-agent ends without an error.
    SubagentFinished = "SUBAGENT_FINISHED" run {
        /// The id of the sub-agent's run.
        subagent_run_id: String,
        ;
        /// The result.
        result: Value,
        /// How it ended; absent means success.
        outcome: SubagentOutcome,
    }
    /// A sub-agent failed.
    SubagentError = "SUBAGENT_ERROR" run {
        /// The id of the sub-agent's run.
        subagent_run_id: String,
        /// The error, for a person.
        message: String,
        ;
        /// The error's code, for programs.
        code: String,
    }
    /// A framework's event without an equivalent in AG-UI.
    Raw = "RAW" tagged {
        /// The event.
        event: Value,
        ;
        /// The framework that it comes from.
        source: String,
    }
    /// An event that an agent and its front end agreed on.
    Custom = "CUSTOM" tagged {
        /// Its name.
        name: String,
        /// Its content.
        value: Value,
        ;
    }
}
