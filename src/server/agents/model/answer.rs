//! One answer of a model as AG-UI events: text, reasoning and tool calls, emitted as they arrive.

use std::{collections::HashSet, time::Duration};

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    error::ModelError,
    provider::{ModelCall, ModelEnd, ModelEvent, ModelStream},
};
use crate::{
    protocol::agui::{
        ReasoningEnd, ReasoningMessageContent, ReasoningMessageEnd, ReasoningMessageStart, ReasoningRole,
        ReasoningStart, TextMessageContent, TextMessageEnd, TextMessageStart, ToolCallArgs, ToolCallEnd, ToolCallStart,
    },
    server::runs::{AgentError, Emitter},
};

/// The most bytes of text, reasoning and arguments in one answer.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// The most calls in one answer.
const MAX_CALLS: usize = 32;
/// The most bytes of a call's arguments that are emitted. No tool takes as many, so a call whose arguments are cut here is never
/// carried out.
const MAX_ARGUMENT_BYTES: usize = 256 * 1024;
/// The most bytes of a call's name, and of a provider's id for a call that is kept.
const MAX_NAME_BYTES: usize = 128;
/// The most bytes of a delta, so that a provider that sends an answer in one piece does not make one giant event.
const MAX_DELTA_BYTES: usize = 16 * 1024;

/// How long to wait for a model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    /// For the first event of its answer.
    pub(super) first_event: Duration,
    /// For each further event.
    pub(super) next_event: Duration,
}

/// A complete answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) calls: Vec<ModelCall>,
    pub(super) end: ModelEnd,
}

/// Why an answer is not complete.
#[derive(Debug)]
pub(super) enum Incomplete {
    /// The run was stopped, or its events cannot be emitted.
    Run(Box<AgentError>),
    /// The model failed. `shown`: whether a part of the answer had been shown.
    Model { error: ModelError, shown: bool },
}

impl From<AgentError> for Incomplete {
    fn from(error: AgentError) -> Self {
        Self::Run(Box::new(error))
    }
}

/// The open message of an answer, by its id.
enum OpenMessage {
    None,
    Text(String),
    Reasoning(String),
}

/// Emits an answer. If it fails, the runner closes what is open.
pub(super) struct AnswerEmitter<'a> {
    out: &'a Emitter,
    /// The ids of earlier calls, which no new call may have. Those of this answer are added.
    used_ids: &'a mut HashSet<String>,
    open: OpenMessage,
    /// The message that all calls of the answer belong to.
    parent_message: Option<String>,
    text: String,
    bytes: usize,
    calls: Vec<ModelCall>,
    shown: bool,
}

impl<'a> AnswerEmitter<'a> {
    pub(super) fn new(out: &'a Emitter, used_ids: &'a mut HashSet<String>) -> Self {
        let (open, text, calls) = (OpenMessage::None, String::new(), Vec::new());
        Self { out, used_ids, open, parent_message: None, text, bytes: 0, calls, shown: false }
    }

    /// How many bytes of text, reasoning and arguments came so far.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Emits the answer until it is complete, the model fails or a timeout passes, or the run is stopped.
    pub(super) async fn emit_answer(
        &mut self,
        mut stream: ModelStream,
        timeouts: Timeouts,
        cancel: &CancellationToken,
    ) -> Result<Answer, Incomplete> {
        loop {
            let waited = if self.shown { timeouts.next_event } else { timeouts.first_event };
            let next = tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(AgentError::Stopped.into()),
                next = tokio::time::timeout(waited, stream.next()) => next,
            };
            let event = match next {
                Err(_) => Err(ModelError::Timeout { first: !self.shown, waited }),
                Ok(None) => Err(ModelError::Cut),
                Ok(Some(event)) => event,
            };
            match event {
                Ok(ModelEvent::End(end)) => return self.end(end).await,
                Ok(event) => self.emit(event).await?,
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    fn failed(&self, error: ModelError) -> Incomplete {
        Incomplete::Model { error, shown: self.shown }
    }

    fn too_long(&self, what: &str) -> Incomplete {
        self.failed(ModelError::TooLong { what: what.into() })
    }

    async fn emit(&mut self, event: ModelEvent) -> Result<(), Incomplete> {
        match event {
            ModelEvent::Text(text) => self.emit_text(&text).await,
            ModelEvent::Reasoning(text) => self.emit_reasoning(&text).await,
            ModelEvent::Call { index, id, name, arguments } => self.emit_call(index, id, name, &arguments).await,
            ModelEvent::End(_) => Ok(()),
        }
    }

    fn count(&mut self, text: &str) -> Result<(), Incomplete> {
        self.bytes += text.len();
        if self.bytes > MAX_ANSWER_BYTES { Err(self.too_long("4 MiB")) } else { Ok(()) }
    }

    async fn emit_text(&mut self, text: &str) -> Result<(), Incomplete> {
        if text.is_empty() {
            return Ok(());
        }
        self.count(text)?;
        let id = match &self.open {
            OpenMessage::Text(id) => id.clone(),
            _ => {
                self.close().await?;
                let id = new_id();
                self.out.emit(TextMessageStart::new(id.clone())).await?;
                self.open = OpenMessage::Text(id.clone());
                if self.calls.is_empty() {
                    self.parent_message = Some(id.clone());
                }
                id
            }
        };
        self.shown = true;
        self.text.push_str(text);
        for delta in deltas(text) {
            self.out.emit(TextMessageContent::new(id.clone(), delta)).await?;
        }
        Ok(())
    }

    async fn emit_reasoning(&mut self, text: &str) -> Result<(), Incomplete> {
        if text.is_empty() {
            return Ok(());
        }
        self.count(text)?;
        let id = match &self.open {
            OpenMessage::Reasoning(id) => id.clone(),
            _ => {
                self.close().await?;
                let id = new_id();
                self.out.emit(ReasoningStart::new(id.clone())).await?;
                self.out.emit(ReasoningMessageStart::new(id.clone(), ReasoningRole::Reasoning)).await?;
                self.open = OpenMessage::Reasoning(id.clone());
                id
            }
        };
        self.shown = true;
        for delta in deltas(text) {
            self.out.emit(ReasoningMessageContent::new(id.clone(), delta)).await?;
        }
        Ok(())
    }

    async fn emit_call(
        &mut self,
        index: usize,
        id: Option<String>,
        name: Option<String>,
        arguments: &str,
    ) -> Result<(), Incomplete> {
        if index >= self.calls.len() {
            self.begin_call(id, name.unwrap_or_default()).await?;
        }
        let at = index.min(self.calls.len() - 1);
        self.count(arguments)?;
        let room = MAX_ARGUMENT_BYTES.saturating_sub(self.calls[at].arguments.len());
        let arguments = &arguments[..arguments.floor_char_boundary(room)];
        self.calls[at].arguments.push_str(arguments);
        let id = self.calls[at].id.clone();
        for delta in deltas(arguments) {
            self.out.emit(ToolCallArgs::new(id.clone(), delta)).await?;
        }
        Ok(())
    }

    async fn begin_call(&mut self, id: Option<String>, name: String) -> Result<(), Incomplete> {
        if self.calls.len() == MAX_CALLS {
            return Err(self.too_long("32 tool calls"));
        }
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(self.failed(ModelError::Malformed { what: "a tool call without a usable name".into() }));
        }
        self.close().await?;
        let usable = id.filter(|id| (1..=MAX_NAME_BYTES).contains(&id.len()) && !self.used_ids.contains(id));
        let id = usable.unwrap_or_else(new_call_id);
        self.used_ids.insert(id.clone());
        self.shown = true;
        let message = self.parent_message.get_or_insert_with(new_id).clone();
        let start = ToolCallStart { parent_message_id: Some(message), ..ToolCallStart::new(id.clone(), name.clone()) };
        self.out.emit(start).await?;
        self.calls.push(ModelCall { id, name, arguments: String::new() });
        Ok(())
    }

    async fn end(&mut self, end: ModelEnd) -> Result<Answer, Incomplete> {
        self.close().await?;
        for call in &self.calls {
            self.out.emit(ToolCallEnd::new(call.id.clone())).await?;
        }
        Ok(Answer { text: std::mem::take(&mut self.text), calls: std::mem::take(&mut self.calls), end })
    }

    async fn close(&mut self) -> Result<(), AgentError> {
        match std::mem::replace(&mut self.open, OpenMessage::None) {
            OpenMessage::None => Ok(()),
            OpenMessage::Text(id) => self.out.emit(TextMessageEnd::new(id)).await,
            OpenMessage::Reasoning(id) => {
                self.out.emit(ReasoningMessageEnd::new(id.clone())).await?;
                self.out.emit(ReasoningEnd::new(id)).await
            }
        }
    }
}

/// Emits a message of the agent that is not the model's.
pub(super) async fn emit_message(out: &Emitter, text: &str) -> Result<(), AgentError> {
    let id = new_id();
    out.emit(TextMessageStart::new(id.clone())).await?;
    out.emit(TextMessageContent::new(id.clone(), text)).await?;
    out.emit(TextMessageEnd::new(id)).await
}

pub(super) fn new_id() -> String {
    Uuid::now_v7().to_string()
}

/// An id for a call without a usable one: nine letters and digits, which every provider accepts.
fn new_call_id() -> String {
    let mut random = rand::random::<u128>();
    let digit = |_| {
        let digit = char::from_digit((random % 36) as u32, 36).unwrap_or('0');
        random /= 36;
        digit
    };
    (0..9).map(digit).collect()
}

/// A text in pieces of at most [`MAX_DELTA_BYTES`].
fn deltas(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(MAX_DELTA_BYTES));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_split_without_loss() {
        let text = "é".repeat(20_000);
        assert!(deltas(&text).all(|piece| piece.len() <= MAX_DELTA_BYTES) && deltas(&text).count() == 3);
        assert_eq!(deltas(&text).collect::<String>(), text);
        assert_eq!(deltas("").count(), 0);
    }

    #[test]
    fn new_call_ids_are_nine_letters_and_digits_and_differ() {
        let (one, two) = (new_call_id(), new_call_id());
        assert!(one.len() == 9 && one.bytes().all(|byte| byte.is_ascii_alphanumeric()) && one != two, "{one} {two}");
    }
}
