//! The analyst's AG-UI events: steps, reasoning, tool calls and text, each start with its end.

use serde_json::Value;
use uuid::Uuid;

use crate::{
    protocol::agui::{
        Custom, Event, ReasoningEnd, ReasoningMessageContent, ReasoningMessageEnd, ReasoningMessageStart,
        ReasoningRole, ReasoningStart, StepFinished, StepStarted, SubagentError, SubagentFinished, SubagentStarted,
        TextMessageContent, TextMessageEnd, TextMessageStart, ToolCallArgs, ToolCallEnd, ToolCallResult, ToolCallStart,
        ToolContent,
    },
    server::runs::{AgentError, Emitter},
};

/// `Ok` once the events are sent.
type EmitResult = Result<(), AgentError>;

/// Emits the events of the supervisor, or of one sub-agent.
pub(super) struct EventWriter<'a> {
    out: &'a Emitter,
    /// The sub-agent's id; `None` for the supervisor.
    subagent: Option<String>,
}

/// The id of a tool call without a result yet.
#[must_use = "a call needs its result: `EventWriter::finish_call`"]
pub(super) struct PendingCall(String);

impl<'a> EventWriter<'a> {
    /// Creates the supervisor's writer.
    pub(super) fn supervisor(out: &'a Emitter) -> Self {
        Self { out, subagent: None }
    }

    /// Starts a sub-agent.
    pub(super) async fn start_subagent(out: &'a Emitter, name: &str, description: &str) -> Result<Self, AgentError> {
        let id = new_id();
        out.emit(SubagentStarted { description: Some(description.into()), ..SubagentStarted::new(id.clone(), name) })
            .await?;
        Ok(Self { out, subagent: Some(id) })
    }

    /// Ends the sub-agent with its result.
    pub(super) async fn finish_subagent(self, result: Value) -> EmitResult {
        match self.subagent {
            Some(id) => self.out.emit(SubagentFinished { result: Some(result), ..SubagentFinished::new(id) }).await,
            None => Ok(()),
        }
    }

    /// Ends the sub-agent with an error.
    pub(super) async fn fail_subagent(self, code: &str, message: &str) -> EmitResult {
        match self.subagent {
            Some(id) => {
                self.out.emit(SubagentError { code: Some(code.into()), ..SubagentError::new(id, message) }).await
            }
            None => Ok(()),
        }
    }

    pub(super) async fn start_step(&self, name: &str) -> EmitResult {
        self.emit(StepStarted::new(name)).await
    }

    pub(super) async fn finish_step(&self, name: &str) -> EmitResult {
        self.emit(StepFinished::new(name)).await
    }

    /// Emits a reasoning message, one delta for each sentence.
    pub(super) async fn emit_reasoning(&self, sentences: &[String]) -> EmitResult {
        if sentences.is_empty() {
            return Ok(());
        }
        let (span, message) = (new_id(), new_id());
        self.emit(ReasoningStart::new(span.clone())).await?;
        self.emit(ReasoningMessageStart::new(message.clone(), ReasoningRole::Reasoning)).await?;
        for (n, sentence) in sentences.iter().enumerate() {
            let space = if n == 0 { "" } else { " " };
            self.emit(ReasoningMessageContent::new(message.clone(), format!("{space}{sentence}"))).await?;
        }
        self.emit(ReasoningMessageEnd::new(message)).await?;
        self.emit(ReasoningEnd::new(span)).await
    }

    /// Starts a tool call; the caller does the work, then calls [`Self::finish_call`].
    pub(super) async fn start_call(&self, tool: &str, arguments: &Value) -> Result<PendingCall, AgentError> {
        let id = new_id();
        self.emit(ToolCallStart::new(id.clone(), tool)).await?;
        self.emit(ToolCallArgs::new(id.clone(), arguments.to_string())).await?;
        self.emit(ToolCallEnd::new(id.clone())).await?;
        Ok(PendingCall(id))
    }

    /// Emits the tool's result.
    pub(super) async fn finish_call(&self, call: PendingCall, result: &Value) -> EmitResult {
        self.emit(ToolCallResult::new(new_id(), call.0, ToolContent::Text(result.to_string()))).await
    }

    /// Emits a chart or table as a custom event.
    pub(super) async fn emit_custom(&self, name: &str, value: Value) -> EmitResult {
        self.emit(Custom::new(name, value)).await
    }

    /// Emits a text message, one delta for each line.
    pub(super) async fn emit_text(&self, markdown: &str) -> EmitResult {
        let id = new_id();
        self.emit(TextMessageStart::new(id.clone())).await?;
        for line in markdown.split_inclusive('\n') {
            self.emit(TextMessageContent::new(id.clone(), line)).await?;
        }
        self.emit(TextMessageEnd::new(id)).await
    }

    async fn emit(&self, event: impl Into<Event>) -> EmitResult {
        self.out.emit(event.into().with_subagent(self.subagent.as_deref())).await
    }
}

fn new_id() -> String {
    Uuid::now_v7().to_string()
}
