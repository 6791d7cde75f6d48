//! The 31 events. A macro writes what they share; each line says what is its own.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{EncryptedSubtype, ReasoningRole, RunOutcome, SubagentOutcome, TextRole, ToolContent, ToolRole, Usage};

/// Declares the events: `Name = "TYPE" [tagged] { required; optional }`. All carry `timestamp`, `rawEvent` and `metadata`;
/// those marked `tagged` may belong to a sub-agent. `new` takes the required fields in order.
macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $kind:literal $tagged:ident {
        $($(#[$rdoc:meta])* $req:ident: $rty:ty,)*
        ; $($(#[$odoc:meta])* $opt:ident: $oty:ty,)*
    })*) => {
        /// One event of a run.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
        #[serde(tag = "type")]
        pub enum Event {
            $($(#[$doc])* #[serde(rename = $kind)] $name($name),)*
        }

        impl Event {
            /// Every event's type, in the protocol's order.
            pub const TYPES: &'static [&'static str] = &[$($kind),*];

            /// This event's type on the wire.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$name(_) => $kind,)* }
            }

            /// The fields that an event of a type has or leaves out, as this code names them. None for a type that is unknown.
            #[must_use]
            pub fn optional_fields(kind: &str) -> &'static [&'static str] {
                match kind { $($kind => &[$(stringify!($opt)),*],)* _ => &[] }
            }

            /// Whether events of a type may say that they belong to a sub-agent.
            #[must_use]
            pub fn allows_subagent(kind: &str) -> bool {
                match kind { $($kind => matches!(stringify!($tagged), "tagged"),)* _ => false }
            }

            /// What every event may carry.
            #[must_use]
            pub fn base(&self) -> &Base {
                match self { $(Self::$name(event) => &event.base,)* }
            }

            /// The same, to change.
            pub fn base_mut(&mut self) -> &mut Base {
                match self { $(Self::$name(event) => &mut event.base,)* }
            }

            /// The sub-agent that this event belongs to: for one that may carry such a tag.
            #[must_use]
            pub fn subagent(&self) -> Option<&str> {
                match self { $(Self::$name(event) => event.tag().as_deref(),)* }
            }

            /// The same, said to belong to a sub-agent; unchanged where its type has no such tag.
            #[must_use]
            pub fn with_subagent(mut self, subagent_run_id: Option<&str>) -> Self {
                match &mut self { $(Self::$name(event) => event.set_tag(subagent_run_id),)* }
                self
            }
        }

        $(
            events!(@struct $tagged $(#[$doc])* $name {
                $($(#[$rdoc])* $req: $rty,)*
                ; $($(#[$odoc])* $opt: $oty,)*
            });

            impl From<$name> for Event {
                fn from(event: $name) -> Self {
                    Self::$name(event)
                }
            }
        )*
    };

    (@struct run $(#[$doc:meta])* $name:ident {
        $($(#[$rdoc:meta])* $req:ident: $rty:ty,)* ; $($(#[$odoc:meta])* $opt:ident: $oty:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $($(#[$rdoc])* pub $req: $rty,)*
            $($(#[$odoc])* #[serde(default, skip_serializing_if = "Option::is_none")] pub $opt: Option<$oty>,)*
            /// What every event may carry.
            #[serde(flatten)]
            pub base: Base,
        }

        impl $name {
            /// The event with what it must say.
            #[must_use]
            #[allow(clippy::new_without_default, reason = "the required fields are what an event is")]
            pub fn new($($req: impl Into<$rty>),*) -> Self {
                Self { $($req: $req.into(),)* $($opt: None,)* base: Base::default() }
            }

            #[allow(clippy::unused_self, reason = "the same call on every event")]
            const fn tag(&self) -> &Option<String> { &None }
            #[allow(clippy::unused_self, reason = "the same call on every event")]
            const fn set_tag(&mut self, _: Option<&str>) {}
        }
    };

    (@struct tagged $(#[$doc:meta])* $name:ident {
        $($(#[$rdoc:meta])* $req:ident: $rty:ty,)* ; $($(#[$odoc:meta])* $opt:ident: $oty:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $($(#[$rdoc])* pub $req: $rty,)*
            $($(#[$odoc])* #[serde(default, skip_serializing_if = "Option::is_none")] pub $opt: Option<$oty>,)*
            /// The sub-agent it belongs to.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub subagent_run_id: Option<String>,
            /// What every event may carry.
            #[serde(flatten)]
            pub base: Base,
        }

        impl $name {
            /// The event with what it must say.
            #[must_use]
            #[allow(clippy::new_without_default, reason = "the required fields are what an event is")]
            pub fn new($($req: impl Into<$rty>),*) -> Self {
                Self { $($req: $req.into(),)* $($opt: None,)* subagent_run_id: None, base: Base::default() }
            }

            const fn tag(&self) -> &Option<String> { &self.subagent_run_id }
            fn set_tag(&mut self, id: Option<&str>) { self.subagent_run_id = id.map(str::to_owned); }
        }
    };
}

/// What every event may carry.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Base {
    /// When it happened, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
    /// The framework's own event that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_event: Option<Value>,
    /// Anything more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// Fields that AG-UI 1.0 does not know: kept as they are, and of no meaning here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

events! {
    /// A run begins.
    RunStarted = "RUN_STARTED" run {
        /// The thread.
        thread_id: String,
        /// The run.
        run_id: String,
        ;
        /// The AG-UI version of the emitter.
        protocol_version: String,
        /// The run that this one continues.
        parent_run_id: String,
        /// The `RunAgentInput` that began it.
        input: Value,
    }
    /// A run ends, not by failing.
    RunFinished = "RUN_FINISHED" run {
        /// The thread.
        thread_id: String,
        /// The run.
        run_id: String,
        ;
        /// What came of it.
        result: Value,
        /// How it ended; absent: well.
        outcome: RunOutcome,
        /// The tokens it used.
        usage: Vec<Usage>,
    }
    /// A run failed.
    RunError = "RUN_ERROR" run {
        /// What happened, for a person.
        message: String,
        ;
        /// What happened, for programs.
        code: String,
        /// The tokens it used.
        usage: Vec<Usage>,
    }
    /// A step begins.
    StepStarted = "STEP_STARTED" tagged {
        /// Its name, which is its key within the sub-agent.
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
        /// The message.
        message_id: String,
        ;
        /// Who speaks; absent: the assistant.
        role: TextRole,
        /// The speaker's name.
        name: String,
    }
    /// More of a text message.
    TextMessageContent = "TEXT_MESSAGE_CONTENT" tagged {
        /// The message.
        message_id: String,
        /// What to append.
        delta: String,
        ;
    }
    /// A text message ends.
    TextMessageEnd = "TEXT_MESSAGE_END" tagged {
        /// The message.
        message_id: String,
        ;
    }
    /// A text message in one kind of event: begins it, goes on with it, or both.
    TextMessageChunk = "TEXT_MESSAGE_CHUNK" tagged {
        ;
        /// The message; needed in the first chunk.
        message_id: String,
        /// Who speaks.
        role: TextRole,
        /// What to append.
        delta: String,
        /// The speaker's name.
        name: String,
    }
    /// A tool is called.
    ToolCallStart = "TOOL_CALL_START" tagged {
        /// The call.
        tool_call_id: String,
        /// The tool.
        tool_call_name: String,
        ;
        /// The message that the call belongs to.
        parent_message_id: String,
    }
    /// More of a call's arguments.
    ToolCallArgs = "TOOL_CALL_ARGS" tagged {
        /// The call.
        tool_call_id: String,
        /// What to append: a piece of JSON text.
        delta: String,
        ;
    }
    /// A call's arguments are whole.
    ToolCallEnd = "TOOL_CALL_END" tagged {
        /// The call.
        tool_call_id: String,
        ;
    }
    /// A tool call in one kind of event.
    ToolCallChunk = "TOOL_CALL_CHUNK" tagged {
        ;
        /// The call; needed in the first chunk.
        tool_call_id: String,
        /// The tool; needed in the first chunk.
        tool_call_name: String,
        /// The message that the call belongs to.
        parent_message_id: String,
        /// A piece of the arguments' JSON text.
        delta: String,
    }
    /// A tool answered.
    ToolCallResult = "TOOL_CALL_RESULT" tagged {
        /// The message that the answer is.
        message_id: String,
        /// The call.
        tool_call_id: String,
        /// The answer.
        content: ToolContent,
        ;
        /// Always `tool`.
        role: ToolRole,
    }
    /// The agent's state, whole.
    StateSnapshot = "STATE_SNAPSHOT" tagged {
        /// The state.
        snapshot: Value,
        ;
    }
    /// A change of the agent's state.
    StateDelta = "STATE_DELTA" tagged {
        /// RFC 6902 operations.
        delta: Vec<Value>,
        ;
    }
    /// The thread's messages, restated.
    MessagesSnapshot = "MESSAGES_SNAPSHOT" run {
        /// The messages.
        messages: Vec<Value>,
        ;
    }
    /// An activity, whole.
    ActivitySnapshot = "ACTIVITY_SNAPSHOT" tagged {
        /// The message that shows it.
        message_id: String,
        /// Its kind.
        activity_type: String,
        /// Its content.
        content: Map<String, Value>,
        ;
        /// Whether it replaces what the message showed; absent: yes.
        replace: bool,
    }
    /// A change of an activity.
    ActivityDelta = "ACTIVITY_DELTA" tagged {
        /// The message that shows it.
        message_id: String,
        /// Its kind.
        activity_type: String,
        /// RFC 6902 operations.
        patch: Vec<Value>,
        ;
    }
    /// A span of reasoning begins.
    ReasoningStart = "REASONING_START" tagged {
        /// The span.
        message_id: String,
        ;
    }
    /// A message of reasoning begins.
    ReasoningMessageStart = "REASONING_MESSAGE_START" tagged {
        /// The message.
        message_id: String,
        /// Always `reasoning`.
        role: ReasoningRole,
        ;
    }
    /// More of a message of reasoning.
    ReasoningMessageContent = "REASONING_MESSAGE_CONTENT" tagged {
        /// The message.
        message_id: String,
        /// What to append.
        delta: String,
        ;
    }
    /// A message of reasoning ends.
    ReasoningMessageEnd = "REASONING_MESSAGE_END" tagged {
        /// The message.
        message_id: String,
        ;
    }
    /// A message of reasoning in one kind of event.
    ReasoningMessageChunk = "REASONING_MESSAGE_CHUNK" tagged {
        ;
        /// The message; needed in the first chunk.
        message_id: String,
        /// What to append.
        delta: String,
    }
    /// A span of reasoning ends.
    ReasoningEnd = "REASONING_END" tagged {
        /// The span.
        message_id: String,
        ;
    }
    /// Reasoning that only its provider can read.
    ReasoningEncryptedValue = "REASONING_ENCRYPTED_VALUE" tagged {
        /// What it belongs to.
        subtype: EncryptedSubtype,
        /// The call or message it belongs to.
        entity_id: String,
        /// The value.
        encrypted_value: String,
        ;
    }
    /// A sub-agent begins.
    SubagentStarted = "SUBAGENT_STARTED" run {
        /// The sub-agent's run: never used twice in a run.
        subagent_run_id: String,
        /// Its name.
        name: String,
        ;
        /// What it is for.
        description: String,
        /// The sub-agent that began it.
        parent_subagent_run_id: String,
        /// The tool call that began it.
        parent_tool_call_id: String,
        /// The message that began it.
        parent_message_id: String,
    }
    /// A sub-agent ends, not by failing.
    SubagentFinished = "SUBAGENT_FINISHED" run {
        /// The sub-agent's run.
        subagent_run_id: String,
        ;
        /// What came of it.
        result: Value,
        /// How it ended; absent: well.
        outcome: SubagentOutcome,
    }
    /// A sub-agent failed.
    SubagentError = "SUBAGENT_ERROR" run {
        /// The sub-agent's run.
        subagent_run_id: String,
        /// What happened, for a person.
        message: String,
        ;
        /// What happened, for programs.
        code: String,
    }
    /// An event of a framework that AG-UI has no name for.
    Raw = "RAW" tagged {
        /// The event.
        event: Value,
        ;
        /// Where it comes from.
        source: String,
    }
    /// An event that an application agrees on with its front end.
    Custom = "CUSTOM" tagged {
        /// Its name.
        name: String,
        /// Its content.
        value: Value,
        ;
    }
}
