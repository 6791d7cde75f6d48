//! One answer of a model, told as it comes: text, reasoning and tool calls as AG-UI events.

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

/// The most text, reasoning and arguments of one answer.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// The most calls of one answer.
const MAX_CALLS: usize = 32;
/// The longest arguments of a call that are told: more than any tool takes, so that what is cut here is carried out nowhere.
const MAX_ARGUMENT_BYTES: usize = 256 * 1024;
/// The longest name or id of a call that is taken over.
const MAX_NAME_BYTES: usize = 128;
/// The longest delta: a provider that sends an answer in one piece must not make one giant event.
const MAX_DELTA_BYTES: usize = 16 * 1024;

/// How long to wait for a model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For its first word.
    pub(super) first: Duration,
    /// Between words.
    pub(super) silence: Duration,
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) calls: Vec<ModelCall>,
    pub(super) end: ModelEnd,
}

/// Why there is no whole answer.
#[derive(Debug)]
pub(super) enum Unfinished {
    /// The run itself cannot go on.
    Run(Box<AgentError>),
    /// The model; `shown`: after something of the answer was shown.
    Model { error: ModelError, shown: bool },
}

impl From<AgentError> for Unfinished {
    fn from(error: AgentError) -> Self {
        Self::Run(Box::new(error))
    }
}

/// What is open of the answer, beside its calls.
enum Open {
    Nothing,
    Text(String),
    Reasoning(String),
}

/// Tells an answer. What is open when it fails is the runner's to close.
pub(super) struct Turn<'a> {
    out: &'a Emitter,
    /// Ids that no new call may have; those of this answer are added.
    taken: &'a mut HashSet<String>,
    open: Open,
    /// The message that calls belong to, all of an answer to the same.
    message: Option<String>,
    text: String,
    bytes: usize,
    calls: Vec<ModelCall>,
    shown: bool,
}

impl<'a> Turn<'a> {
    pub(super) fn new(out: &'a Emitter, taken: &'a mut HashSet<String>) -> Self {
        let (open, text, calls) = (Open::Nothing, String::new(), Vec::new());
        Self { out, taken, open, message: None, text, bytes: 0, calls, shown: false }
    }

    /// How many bytes of an answer came so far: text, reasoning and arguments.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Listens until the answer is whole, the model fails or falls silent, or the run is stopped.
    pub(super) async fn listen(
        &mut self,
        mut stream: ModelStream,
        patience: Patience,
        cancel: &CancellationToken,
    ) -> Result<Answer, Unfinished> {
        loop {
            let waited = if self.shown { patience.silence } else { patience.first };
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
            let told = match event {
                Ok(ModelEvent::End(end)) => return self.end(end).await,
                Ok(event) => self.tell(event).await,
                Err(error) => Err(self.failed(error)),
            };
            told?;
        }
    }

    fn failed(&self, error: ModelError) -> Unfinished {
        Unfinished::Model { error, shown: self.shown }
    }

    fn too_long(&self, what: &str) -> Unfinished {
        self.failed(ModelError::TooLong { what: what.into() })
    }

    async fn tell(&mut self, event: ModelEvent) -> Result<(), Unfinished> {
        match event {
            ModelEvent::Text(text) => self.say(&text).await,
            ModelEvent::Reasoning(text) => self.think(&text).await,
            ModelEvent::Call { index, id, name, arguments } => self.call(index, id, name, &arguments).await,
            ModelEvent::End(_) => Ok(()),
        }
    }

    fn count(&mut self, text: &str) -> Result<(), Unfinished> {
        self.bytes += text.len();
        if self.bytes > MAX_ANSWER_BYTES { Err(self.too_long("4 MiB")) } else { Ok(()) }
    }

    async fn say(&mut self, text: &str) -> Result<(), Unfinished> {
        if text.is_empty() {
            return Ok(());
        }
        self.count(text)?;
        let id = match &self.open {
            Open::Text(id) => id.clone(),
            _ => {
                self.close().await?;
                let id = new_id();
                self.out.emit(TextMessageStart::new(id.clone())).await?;
                self.open = Open::Text(id.clone());
                if self.calls.is_empty() {
                    self.message = Some(id.clone());
                }
                id
            }
        };
        self.shown = true;
        self.text.push_str(text);
        for delta in pieces(text) {
            self.out.emit(TextMessageContent::new(id.clone(), delta)).await?;
        }
        Ok(())
    }

    async fn think(&mut self, text: &str) -> Result<(), Unfinished> {
        if text.is_empty() {
            return Ok(());
        }
        self.count(text)?;
        let id = match &self.open {
            Open::Reasoning(id) => id.clone(),
            _ => {
                self.close().await?;
                let id = new_id();
                self.out.emit(ReasoningStart::new(id.clone())).await?;
                self.out.emit(ReasoningMessageStart::new(id.clone(), ReasoningRole::Reasoning)).await?;
                self.open = Open::Reasoning(id.clone());
                id
            }
        };
        self.shown = true;
        for delta in pieces(text) {
            self.out.emit(ReasoningMessageContent::new(id.clone(), delta)).await?;
        }
        Ok(())
    }

    async fn call(
        &mut self,
        index: usize,
        id: Option<String>,
        name: Option<String>,
        arguments: &str,
    ) -> Result<(), Unfinished> {
        if index >= self.calls.len() {
            self.begin_call(id, name.unwrap_or_default()).await?;
        }
        let at = index.min(self.calls.len() - 1);
        self.count(arguments)?;
        let room = MAX_ARGUMENT_BYTES.saturating_sub(self.calls[at].arguments.len());
        let arguments = &arguments[..arguments.floor_char_boundary(room)];
        self.calls[at].arguments.push_str(arguments);
        let id = self.calls[at].id.clone();
        for delta in pieces(arguments) {
            self.out.emit(ToolCallArgs::new(id.clone(), delta)).await?;
        }
        Ok(())
    }

    async fn begin_call(&mut self, id: Option<String>, name: String) -> Result<(), Unfinished> {
        if self.calls.len() == MAX_CALLS {
            return Err(self.too_long("32 tool calls"));
        }
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(self.failed(ModelError::Malformed { what: "a tool call without a usable name".into() }));
        }
        self.close().await?;
        let usable = id.filter(|id| (1..=MAX_NAME_BYTES).contains(&id.len()) && !self.taken.contains(id));
        let id = usable.unwrap_or_else(call_id);
        self.taken.insert(id.clone());
        self.shown = true;
        let message = self.message.get_or_insert_with(new_id).clone();
        let start = ToolCallStart { parent_message_id: Some(message), ..ToolCallStart::new(id.clone(), name.clone()) };
        self.out.emit(start).await?;
        self.calls.push(ModelCall { id, name, arguments: String::new() });
        Ok(())
    }

    async fn end(&mut self, end: ModelEnd) -> Result<Answer, Unfinished> {
        self.close().await?;
        for call in &self.calls {
            self.out.emit(ToolCallEnd::new(call.id.clone())).await?;
        }
        Ok(Answer { text: std::mem::take(&mut self.text), calls: std::mem::take(&mut self.calls), end })
    }

    async fn close(&mut self) -> Result<(), AgentError> {
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing => Ok(()),
            Open::Text(id) => self.out.emit(TextMessageEnd::new(id)).await,
            Open::Reasoning(id) => {
                self.out.emit(ReasoningMessageEnd::new(id.clone())).await?;
                self.out.emit(ReasoningEnd::new(id)).await
            }
        }
    }
}

/// Says something in the agent's own name, as a whole message.
pub(super) async fn remark(out: &Emitter, text: &str) -> Result<(), AgentError> {
    let id = new_id();
    out.emit(TextMessageStart::new(id.clone())).await?;
    out.emit(TextMessageContent::new(id.clone(), text)).await?;
    out.emit(TextMessageEnd::new(id)).await
}

pub(super) fn new_id() -> String {
    Uuid::now_v7().to_string()
}

/// An id for a call whose provider gave none that could be kept: nine letters and digits, which every provider takes.
fn call_id() -> String {
    let mut random = rand::random::<u128>();
    let digit = |_| {
        let digit = char::from_digit((random % 36) as u32, 36).unwrap_or('0');
        random /= 36;
        digit
    };
    (0..9).map(digit).collect()
}

/// A text in pieces that fit an event.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
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
    fn long_texts_come_in_pieces_that_lose_nothing() {
        let text = "é".repeat(20_000);
        assert!(pieces(&text).all(|piece| piece.len() <= MAX_DELTA_BYTES) && pieces(&text).count() == 3);
        assert_eq!(pieces(&text).collect::<String>(), text);
        assert_eq!(pieces("").count(), 0);
    }

    #[test]
    fn ids_of_calls_are_nine_letters_and_digits_and_differ() {
        let (one, two) = (call_id(), call_id());
        assert!(one.len() == 9 && one.bytes().all(|byte| byte.is_ascii_alphanumeric()) && one != two, "{one} {two}");
    }
}
