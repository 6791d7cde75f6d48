//! What a model is to us: a request in, a stream of events out, and a typed error for whatever went wrong.
//!
//! [`ModelProvider`] is all that the loop knows. Behind it stands [`super::genai_provider`], or a test's own.

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
    /// The conversation, oldest first. Every call has its result right after the message that made it.
    pub messages: Vec<ModelMessage>,
    /// What the model may call.
    pub tools: Vec<ModelTool>,
    /// How it shall answer.
    pub options: ModelOptions,
}

/// How a model shall answer; what is `None` is the provider's default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelOptions {
    /// How freely it picks words.
    pub temperature: Option<f64>,
    /// The most tokens of one answer.
    pub max_output_tokens: Option<u32>,
    /// Whether the answer shall be one JSON value. The instructions must say so too.
    pub json: bool,
}

/// A message of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelMessage {
    /// A person's words, and files.
    User {
        /// The words.
        text: String,
        /// Files that the model reads itself.
        media: Vec<Media>,
    },
    /// The model's own: words, calls, or both.
    Assistant {
        /// Its words.
        text: String,
        /// Its calls.
        calls: Vec<ModelCall>,
        /// What only its provider reads and wants back within the same turn (signed thoughts, say), opaque.
        provider_state: Option<Value>,
    },
    /// A call's result.
    Tool {
        /// The call.
        call_id: String,
        /// The function's name.
        name: String,
        /// What it said.
        text: String,
    },
}

impl ModelMessage {
    /// A person's words alone.
    pub fn user(text: impl Into<String>) -> Self {
        Self::User { text: text.into(), media: Vec::new() }
    }
}

/// A file that a model reads itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// What it is, to us.
    pub kind: MediaKind,
    /// What it is, as its type says.
    pub mime_type: String,
    /// Its name.
    pub name: String,
    /// Its bytes, in base64.
    pub data: Arc<str>,
}

/// What models read themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    /// An image.
    Image,
    /// A PDF file.
    Pdf,
}

/// A whole tool call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCall {
    /// Its id, unique in the conversation.
    pub id: String,
    /// What is called.
    pub name: String,
    /// The arguments as the model wrote them: JSON text, if it kept to its word.
    pub arguments: String,
}

/// Something a model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelTool {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// The JSON Schema of its arguments.
    pub parameters: Value,
}

/// What a model says, as it says it.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelEvent {
    /// More of the answer.
    Text(String),
    /// More of its reasoning.
    Reasoning(String),
    /// More of a call. The first of each `index` carries the name; `arguments` is a piece to append.
    Call {
        /// Which call of this answer: 0, 1, …
        index: usize,
        /// The provider's id, where it gave one.
        id: Option<String>,
        /// The function's name, in the first piece.
        name: Option<String>,
        /// A piece of the arguments' JSON text.
        arguments: String,
    },
    /// The answer is whole: the last event. A stream that ends without it was cut.
    End(ModelEnd),
}

/// How an answer ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelEnd {
    /// Why.
    pub reason: EndReason,
    /// The tokens it took, where the provider says so.
    pub usage: Option<agui::Usage>,
    /// See [`ModelMessage::Assistant::provider_state`].
    pub provider_state: Option<Value>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EndReason {
    /// It was done.
    #[default]
    Stop,
    /// It wants tools called.
    ToolCalls,
    /// The limit of output tokens.
    Length,
    /// The provider's content filter.
    Filtered,
}

/// An answer as it comes.
pub type ModelStream = BoxStream<'static, Result<ModelEvent, ModelError>>;

/// Something that answers requests.
#[async_trait]
pub trait ModelProvider: Send + Sync + 'static {
    /// Who serves the model, as usage names it.
    fn provider(&self) -> &str;

    /// The model's name.
    fn model(&self) -> &str;

    /// Asks. Dropping the stream closes the connection. Waiting is the caller's to bound.
    ///
    /// # Errors
    /// Where the request cannot even be sent; all that the provider answers comes by the stream.
    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError>;
}

/// The most text that [`answer`] takes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The text of an answer, whole, and the tokens it took: for those who do not show it as it comes.
///
/// # Errors
/// As the stream's; [`ModelError::Timeout`] where the answer is not whole `within` that time.
pub async fn answer(
    provider: &dyn ModelProvider,
    request: ModelRequest,
    within: Duration,
) -> Result<(String, Tokens), ModelError> {
    let prompt = prompt_tokens(&request);
    let whole = async {
        let (mut stream, mut text) = (provider.stream(request).await?, String::new());
        while let Some(event) = stream.next().await {
            match event? {
                ModelEvent::Text(more) if text.len() + more.len() <= MAX_ANSWER_BYTES => text.push_str(&more),
                ModelEvent::Text(_) => return Err(ModelError::TooLong { what: "64 KiB of text".into() }),
                ModelEvent::Reasoning(_) | ModelEvent::Call { .. } => {}
                ModelEvent::End(end) => {
                    let tokens = Tokens::of(provider, end.usage, prompt, text.len());
                    return Ok((text, tokens));
                }
            }
        }
        Err(ModelError::Cut)
    };
    tokio::time::timeout(within, whole).await.unwrap_or(Err(ModelError::Timeout { first: true, waited: within }))
}
