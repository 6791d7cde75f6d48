//! How the analyst speaks: steps, reasoning, tool calls and text as AG-UI events, opened and closed in pairs.

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

type Said = Result<(), AgentError>;

/// Speaks for the supervisor, or for one of its sub-agents.
pub(super) struct Voice<'a> {
    out: &'a Emitter,
    subagent: Option<String>,
}

/// A tool call that waits for its result.
#[must_use = "a call is answered with `Voice::answer`"]
pub(super) struct Call(String);

impl<'a> Voice<'a> {
    /// The supervisor's.
    pub(super) fn supervisor(out: &'a Emitter) -> Self {
        Self { out, subagent: None }
    }

    /// Begins a sub-agent.
    pub(super) async fn subagent(out: &'a Emitter, name: &str, description: &str) -> Result<Self, AgentError> {
        let id = new_id();
        out.emit(SubagentStarted { description: Some(description.into()), ..SubagentStarted::new(id.clone(), name) })
            .await?;
        Ok(Self { out, subagent: Some(id) })
    }

    /// Ends it, with what came of it.
    pub(super) async fn finish(self, result: Value) -> Said {
        match self.subagent {
            Some(id) => self.out.emit(SubagentFinished { result: Some(result), ..SubagentFinished::new(id) }).await,
            None => Ok(()),
        }
    }

    /// Ends it as failed.
    pub(super) async fn fail(self, code: &str, message: &str) -> Said {
        match self.subagent {
            Some(id) => {
                self.out.emit(SubagentError { code: Some(code.into()), ..SubagentError::new(id, message) }).await
            }
            None => Ok(()),
        }
    }

    pub(super) async fn step(&self, name: &str) -> Said {
        self.emit(StepStarted::new(name)).await
    }

    pub(super) async fn step_done(&self, name: &str) -> Said {
        self.emit(StepFinished::new(name)).await
    }

    /// A thought, sentence by sentence.
    pub(super) async fn think(&self, sentences: &[String]) -> Said {
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

    /// Calls a tool; the caller then does the work and answers.
    pub(super) async fn call(&self, tool: &str, arguments: &Value) -> Result<Call, AgentError> {
        let id = new_id();
        self.emit(ToolCallStart::new(id.clone(), tool)).await?;
        self.emit(ToolCallArgs::new(id.clone(), arguments.to_string())).await?;
        self.emit(ToolCallEnd::new(id.clone())).await?;
        Ok(Call(id))
    }

    /// The tool's result.
    pub(super) async fn answer(&self, call: Call, result: &Value) -> Said {
        self.emit(ToolCallResult::new(new_id(), call.0, ToolContent::Text(result.to_string()))).await
    }

    /// A chart or table as data.
    pub(super) async fn show(&self, name: &str, value: Value) -> Said {
        self.emit(Custom::new(name, value)).await
    }

    /// A text message, line by line.
    pub(super) async fn say(&self, markdown: &str) -> Said {
        let id = new_id();
        self.emit(TextMessageStart::new(id.clone())).await?;
        for line in markdown.split_inclusive('\n') {
            self.emit(TextMessageContent::new(id.clone(), line)).await?;
        }
        self.emit(TextMessageEnd::new(id)).await
    }

    async fn emit(&self, event: impl Into<Event>) -> Said {
        self.out.emit(event.into().with_subagent(self.subagent.as_deref())).await
    }
}

fn new_id() -> String {
    Uuid::now_v7().to_string()
}
