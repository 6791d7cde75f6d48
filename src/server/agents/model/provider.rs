//! The interface to a model: a request in, a stream of events out, and typed errors.
//!
//! The loop only uses [`ModelProvider`]. [`super::http_provider`] implements it; tests have implementations of their own.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, stream::BoxStream};
use serde_json::Value;

use super::{
    error::ModelError,
    usage::{Tokens, prompt_tokens},
};
use crate::protocol::agui;

/// One request to a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelRequest {
    /// Instructions.
    pub system: String,
    /// The conversation, oldest first. The results of calls follow right after the message with the calls.
    pub messages: Vec<ModelMessage>,
    /// The tools that the model may call.
    pub tools: Vec<ModelTool>,
    /// How the model is to answer.
    pub options: ModelOptions,
}

/// How a model is to answer. `None` is the provider's default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelOptions {
    /// The sampling temperature.
    pub temperature: Option<f64>,
    /// The most tokens of one answer.
    pub max_output_tokens: Option<u32>,
    /// Whether the answer is to be one JSON value. The instructions must say so, too.
    pub json: bool,
}

/// A message of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelMessage {
    /// A message of a person, with files.
    User {
        /// The text.
        text: String,
        /// Files that the model reads itself.
        media: Vec<Media>,
    },
    /// An answer of the model: text, calls, or both.
    Assistant {
        /// Its text.
        text: String,
        /// Its calls.
        calls: Vec<ModelCall>,
        /// What the next requests of the same turn must repeat for its provider, such as signed thoughts. Only the provider can read it.
        provider_state: Option<Value>,
    },
    /// The result of a call.
    Tool {
        /// The call's id.
        call_id: String,
        /// The tool's name.
        name: String,
        /// The result.
        text: String,
    },
}

impl ModelMessage {
    /// A message of a person without files.
    pub fn user(text: impl Into<String>) -> Self {
        Self::User { text: text.into(), media: Vec::new() }
    }
}

/// A file that a model reads itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// What kind of file it is.
    pub kind: MediaKind,
    /// Its media type.
    pub mime_type: String,
    /// Its name.
    pub name: String,
    /// Its bytes, in base64.
    pub data: Arc<str>,
}

/// Kinds of files that models read themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    /// An image.
    Image,
    /// A PDF file.
    Pdf,
}

/// A complete tool call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCall {
    /// Its id, unique in the conversation.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments as the model wrote them, which should be JSON.
    pub arguments: String,
}

/// A tool that a model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelTool {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// The JSON Schema of its arguments.
    pub parameters: Value,
}

/// A part of a streamed answer.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelEvent {
    /// More of the answer's text.
    Text(String),
    /// More of its reasoning.
    Reasoning(String),
    /// More of a call.
    Call {
        /// The position of the call in this answer, from 0.
        index: usize,
        /// The provider's id, if it gave one; only in the first piece.
        id: Option<String>,
        /// The tool's name; only in the first piece.
        name: Option<String>,
        /// A piece of the arguments' text, to append.
        arguments: String,
    },
    /// The last event: the answer is complete. A stream that ends without it was cut off.
    End(ModelEnd),
}

/// How an answer ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelEnd {
    /// Why it ended.
    pub reason: EndReason,
    /// The tokens it took, if the provider reports them.
    pub usage: Option<agui::Usage>,
    /// See [`ModelMessage::Assistant::provider_state`].
    pub provider_state: Option<Value>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EndReason {
    /// It was complete.
    #[default]
    Stop,
    /// The model calls tools.
    ToolCalls,
    /// It reached the limit of output tokens.
    Length,
    /// The provider's content filter held it back.
    Filtered,
}

/// A streamed answer.
pub type ModelStream = BoxStream<'static, Result<ModelEvent, ModelError>>;

/// A model that answers requests.
#[async_trait]
pub trait ModelProvider: Send + Sync + 'static {
    /// The provider's name in the usage of runs.
    fn provider(&self) -> &str;

    /// The model's name.
    fn model(&self) -> &str;

    /// Sends a request to the model. Dropping the stream closes the connection. There is no timeout: the caller has to set one.
    ///
    /// # Errors
    /// If the request cannot be made. Errors of the connection and the provider come through the stream.
    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError>;
}

/// The most bytes of an answer's text that [`answer`] takes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The whole text of an answer, and the tokens it took, for callers that do not stream it.
///
/// # Errors
/// Those of the stream; [`ModelError::Timeout`] if the answer is not complete `within` that time.
pub async fn answer(
    provider: &dyn ModelProvider,
    request: ModelRequest,
    within: Duration,
) -> Result<(String, Tokens), ModelError> {
    let prompt = prompt_tokens(&request);
    let read_all = async {
        let (mut stream, mut text) = (provider.stream(request).await?, String::new());
        while let Some(event) = stream.next().await {
            match event? {
                ModelEvent::Text(more) if text.len() + more.len() <= MAX_ANSWER_BYTES => text.push_str(&more),
                ModelEvent::Text(_) => return Err(ModelError::TooLong { what: "64 KiB of text".into() }),
                ModelEvent::Reasoning(_) | ModelEvent::Call { .. } => {}
                ModelEvent::End(end) => {
                    let tokens = Tokens::new(provider, end.usage, prompt, text.len());
                    return Ok((text, tokens));
                }
            }
        }
        Err(ModelError::Cut)
    };
    tokio::time::timeout(within, read_all).await.unwrap_or(Err(ModelError::Timeout { first: true, waited: within }))
}
