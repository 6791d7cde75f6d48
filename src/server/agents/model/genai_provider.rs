//! [`ModelProvider`] through the `genai` crate: any OpenAI-compatible endpoint, and the providers with an API of their own.
//!
//! genai writes the requests and reads the streams. Done here, because it does not: a base address may lack its last
//! slash; a model's name is never taken apart for a reasoning effort (`qwen-max`); pieces of tool calls come by index,
//! whether a provider repeats ids, leaves them out or restates all arguments; a stream without its last event is cut, also
//! where genai makes one up; errors are told apart by what the provider said.

use std::{error::Error as StdError, fmt, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use genai::{
    Client, Error as GenaiError, ModelIden, ServiceTarget,
    adapter::AdapterKind,
    chat::{
        ChatMessage, ChatOptions, ChatRequest, ChatResponseFormat, ChatStream, ChatStreamEvent, ContentPart,
        MessageContent, ReasoningEffort, StopReason, StreamEnd, Tool, ToolCall, ToolResponse, Usage,
    },
    resolver::{AuthData, Endpoint},
};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::json;

use super::{
    error::ModelError,
    passage::{Passage, TOKEN},
    pieces::Calls,
    provider::{
        EndReason, Media, ModelEnd, ModelEvent, ModelMessage, ModelOptions, ModelProvider, ModelRequest, ModelStream,
    },
};
use crate::{
    protocol::agui,
    server::{
        agents::remote::address::{self, PublicOnly, Refused},
        config::agents::{ModelConfig, Provider, ReasoningEffort as Effort},
    },
};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a model is.
#[derive(Clone)]
pub struct Target {
    /// The API it speaks.
    pub provider: Provider,
    /// The model's name there.
    pub model: String,
    /// The API's address; `None`: the provider's own.
    pub base_url: Option<String>,
    /// The key; `None`: none is sent that means anything.
    pub api_key: Option<String>,
    /// How much it shall reason, where it can.
    pub reasoning_effort: Option<Effort>,
    /// Whether it may be on this host or in a private network.
    pub allow_private_network: bool,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("provider", &self.provider).field("model", &self.model).finish_non_exhaustive()
    }
}

/// A model through genai.
#[derive(Debug, Clone)]
pub struct GenaiProvider {
    /// Writes requests and reads answers; it reaches providers by way of a passage.
    client: Client,
    /// Reaches providers.
    http: reqwest::Client,
    kind: AdapterKind,
    target: Target,
}

impl GenaiProvider {
    /// A client for `target`; connects when it is asked something.
    ///
    /// # Errors
    /// When the HTTP client cannot be made or the address may not be used, in a sentence.
    pub fn new(target: Target) -> Result<Self, String> {
        let address = target.base_url.as_deref().and_then(|url| reqwest::Url::parse(url).ok());
        if let Some(address) = address.filter(|_| !target.allow_private_network) {
            address::judge(&address).map_err(|refused| refused.to_string())?;
        }
        // A redirect would take the key along to another place.
        let http =
            reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).redirect(reqwest::redirect::Policy::none());
        // A proxy would resolve names where nobody judges what they resolve to.
        let http = if target.allow_private_network { http } else { http.no_proxy().dns_resolver(PublicOnly) };
        let http = http.build().map_err(|error| error.to_string())?;
        let near =
            reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).redirect(reqwest::redirect::Policy::none());
        let near = near.build().map_err(|error| error.to_string())?;
        let client = Client::builder().with_reqwest(near).build().map_err(|error| error.to_string())?;
        Ok(Self { client, http, kind: target.provider.adapter(), target })
    }

    /// The model that an agent's configuration names; `variables` answers what its key refers to.
    ///
    /// # Errors
    /// The key that is wrong, and why.
    pub fn of(config: &ModelConfig, variables: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let api_key = config.api_key.as_ref().map(|key| key.resolve(variables)).transpose();
        Self::new(Target {
            provider: config.provider,
            model: config.model.clone(),
            base_url: config.base_url.clone(),
            api_key: api_key.map_err(|problem| format!("api_key: {problem}"))?,
            reasoning_effort: config.reasoning_effort,
            allow_private_network: config.allow_private_network.unwrap_or(true),
        })
        .map_err(|error| format!("base_url: {error}"))
    }

    fn secret(&self) -> Option<&str> {
        self.target.api_key.as_deref()
    }

    async fn service(&self) -> Result<ServiceTarget, GenaiError> {
        let model = ModelIden::new(self.kind, self.target.model.clone());
        let endpoint = match &self.target.base_url {
            Some(url) => Endpoint::from_owned(with_slash(url)),
            None => self.client.resolve_service_target(model.clone()).await?.endpoint,
        };
        // Without this, genai would look for a key in variables that nobody named. Local servers ignore what they get.
        let auth = AuthData::from_single(self.secret().unwrap_or("none"));
        Ok(ServiceTarget { endpoint, auth, model })
    }

    async fn passage(&self, base_url: &str) -> Result<Passage, ModelError> {
        let url = reqwest::Url::parse(base_url).map_err(|_| malformed("no address of a provider"))?;
        let by_line = self.kind == AdapterKind::Ollama;
        Passage::open(self.http.clone(), url, by_line).await.map_err(|error| {
            tracing::warn!(%error, "a request to a model cannot be prepared");
            ModelError::Connect
        })
    }

    fn options(&self, options: &ModelOptions, signed: bool) -> ChatOptions {
        let mut chat = ChatOptions::default().with_capture_usage(true);
        chat.temperature = options.temperature;
        chat.max_tokens = options.max_output_tokens;
        chat.response_format = options.json.then_some(ChatResponseFormat::JsonMode);
        chat.reasoning_effort = self.target.reasoning_effort.filter(|_| signed).map(effort);
        if self.target.provider.is_own_api() {
            chat = chat.with_capture_content(true).with_capture_reasoning_content(true).with_capture_tool_calls(true);
        } else if chat.reasoning_effort.is_none() && ReasoningEffort::from_model_name(&self.target.model).0.is_some() {
            chat = chat.with_extra_body(json!({"model": self.target.model, "reasoning_effort": null}));
        }
        chat
    }
}

#[async_trait]
impl ModelProvider for GenaiProvider {
    fn provider(&self) -> &str {
        self.kind.as_lower_str()
    }

    fn model(&self) -> &str {
        &self.target.model
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let signed = is_signed(&request.messages);
        let options = self.options(&request.options, signed || self.kind != AdapterKind::Anthropic);
        let failed = |error| failure(&error, self.secret());
        let mut service = self.service().await.map_err(failed)?;
        let passage = self.passage(service.endpoint.base_url()).await?;
        service.endpoint = Endpoint::from_owned(passage.url.as_str());
        let options = options.with_extra_headers((TOKEN, passage.token.as_str()));
        let response = self.client.exec_chat_stream(service, chat(request), Some(&options)).await.map_err(failed)?;
        let reading = Reading {
            inner: Some(response.stream),
            passage,
            heard: false,
            calls: Calls::new(!self.target.provider.is_own_api()),
            provider: self.clone(),
        };
        Ok(stream::unfold(reading, |mut reading| async move { Some((reading.next().await?, reading)) }).boxed())
    }
}

/// Whether the last calls still have what their provider signed: Anthropic takes reasoning only then.
fn is_signed(messages: &[ModelMessage]) -> bool {
    messages
        .iter()
        .rev()
        .take_while(|message| !matches!(message, ModelMessage::User { .. }))
        .all(|message| !matches!(message, ModelMessage::Assistant { calls, native: None, .. } if !calls.is_empty()))
}

/// A stream being read.
struct Reading {
    /// `None` once it ended or failed.
    inner: Option<ChatStream>,
    passage: Passage,
    /// Whether anything of an answer came.
    heard: bool,
    calls: Calls,
    provider: GenaiProvider,
}

impl Reading {
    async fn next(&mut self) -> Option<Result<ModelEvent, ModelError>> {
        loop {
            let event = match self.inner.as_mut()?.next().await {
                Some(Ok(event)) => event,
                Some(Err(error)) => {
                    let told = self.passage.told().unwrap_or_else(|| failure(&error, self.provider.secret()));
                    return self.end(Err(told));
                }
                None if self.heard => return self.end(Err(ModelError::Cut)),
                None => return self.end(Err(malformed("an empty answer, or none of this kind"))),
            };
            let event = match event {
                ChatStreamEvent::Chunk(chunk) => ModelEvent::Text(chunk.content),
                ChatStreamEvent::ReasoningChunk(chunk) => ModelEvent::Reasoning(chunk.content),
                ChatStreamEvent::ToolCallChunk(chunk) => match self.calls.piece(chunk.tool_call) {
                    Some(event) => event,
                    None => return self.end(Err(malformed("more tool calls than can be told apart"))),
                },
                ChatStreamEvent::End(end) => {
                    let end = self.ended(end);
                    return self.end(end);
                }
                ChatStreamEvent::Start | ChatStreamEvent::ThoughtSignatureChunk(_) | ChatStreamEvent::Heartbeat => {
                    continue;
                }
            };
            self.heard = true;
            return Some(Ok(event));
        }
    }

    fn end(&mut self, last: Result<ModelEvent, ModelError>) -> Option<Result<ModelEvent, ModelError>> {
        self.inner = None;
        Some(last)
    }

    fn ended(&self, end: StreamEnd) -> Result<ModelEvent, ModelError> {
        let reason = match &end.captured_stop_reason {
            // Gemini's stream has no last event of its own; genai makes one up where the stream just ends.
            None if matches!(self.provider.kind, AdapterKind::Gemini) => return Err(ModelError::Cut),
            None | Some(StopReason::Completed(_) | StopReason::StopSequence(_) | StopReason::Other(_)) => {
                EndReason::Stop
            }
            Some(StopReason::ToolCall(_)) => EndReason::ToolCalls,
            Some(StopReason::MaxTokens(_)) => EndReason::Length,
            Some(StopReason::ContentFilter(_)) => EndReason::Filtered,
        };
        if reason == EndReason::ToolCalls && self.calls.is_empty() {
            return Err(malformed("an end for tool calls, and no call that can be read"));
        }
        let usage = end.captured_usage.map(|usage| self.usage(usage));
        let native = end.captured_content.filter(|_| self.provider.target.provider.is_own_api());
        Ok(ModelEvent::End(ModelEnd {
            reason,
            usage,
            native: native.and_then(|native| serde_json::to_value(native).ok()),
        }))
    }

    fn usage(&self, usage: Usage) -> agui::Usage {
        let tokens = |count: Option<i32>| count.and_then(|count| u64::try_from(count).ok());
        let (prompt, completion) = (usage.prompt_tokens_details, usage.completion_tokens_details);
        agui::Usage {
            provider: Some(self.provider.provider().into()),
            model: Some(self.provider.model().into()),
            input_tokens: tokens(usage.prompt_tokens),
            output_tokens: tokens(usage.completion_tokens),
            total_tokens: tokens(usage.total_tokens),
            reasoning_tokens: tokens(completion.and_then(|details| details.reasoning_tokens)),
            cached_input_tokens: tokens(prompt.as_ref().and_then(|details| details.cached_tokens)),
            cache_write_input_tokens: tokens(prompt.and_then(|details| details.cache_creation_tokens)),
        }
    }
}

/// An address below which there are others: with a slash at the end of its path.
fn with_slash(address: &str) -> String {
    match reqwest::Url::parse(address) {
        Ok(mut url) => {
            if !url.path().ends_with('/') {
                url.set_path(&format!("{}/", url.path()));
            }
            url.into()
        }
        Err(_) => address.to_owned(),
    }
}

fn malformed(what: &str) -> ModelError {
    ModelError::Malformed { what: what.into() }
}

const fn effort(effort: Effort) -> ReasoningEffort {
    match effort {
        Effort::None => ReasoningEffort::Zero,
        Effort::Low => ReasoningEffort::Low,
        Effort::Medium => ReasoningEffort::Medium,
        Effort::High => ReasoningEffort::High,
    }
}

fn chat(request: ModelRequest) -> ChatRequest {
    let tools: Vec<Tool> = request
        .tools
        .into_iter()
        .map(|tool| Tool::new(tool.name).with_description(tool.description).with_schema(tool.parameters))
        .collect();
    let mut chat = ChatRequest::new(request.messages.into_iter().map(message).collect());
    chat.system = Some(request.system).filter(|system| !system.is_empty());
    chat.tools = Some(tools).filter(|tools| !tools.is_empty());
    chat
}

fn message(message: ModelMessage) -> ChatMessage {
    match message {
        ModelMessage::User { text, media } => {
            let binary = |file: Media| ContentPart::from_binary_base64(file.mime_type, file.data, Some(file.name));
            let parts = std::iter::once(ContentPart::Text(text)).chain(media.into_iter().map(binary));
            ChatMessage::user(MessageContent::from_parts(parts.collect::<Vec<_>>()))
        }
        ModelMessage::Tool { call_id, name, text } => ToolResponse::new(call_id, text).with_fn_name(name).into(),
        ModelMessage::Assistant { text, calls, native } => {
            if let Some(mut native) = native.and_then(|native| serde_json::from_value::<MessageContent>(native).ok()) {
                // A call's id is ours, where the provider's was not unique in the conversation.
                let ours = native.iter_mut().filter_map(|part| match part {
                    ContentPart::ToolCall(call) => Some(&mut call.call_id),
                    _ => None,
                });
                ours.zip(&calls).for_each(|(id, call)| id.clone_from(&call.id));
                return ChatMessage::assistant(native);
            }
            let text = (!text.is_empty()).then_some(ContentPart::Text(text));
            let calls = calls.into_iter().map(|call| {
                ContentPart::ToolCall(ToolCall {
                    call_id: call.id,
                    fn_name: call.name,
                    fn_arguments: serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({})),
                    thought_signatures: None,
                })
            });
            ChatMessage::assistant(MessageContent::from_parts(text.into_iter().chain(calls).collect::<Vec<_>>()))
        }
    }
}

/// What genai's error means to us. genai wraps what the transport said, more than once.
fn failure(error: &GenaiError, secret: Option<&str>) -> ModelError {
    if let GenaiError::HttpError { status, body, headers, .. } = error {
        return ModelError::of_status(status.as_u16(), body, retry_after(headers), secret);
    }
    match error {
        GenaiError::WebStream { error, .. } => transport(&**error, secret),
        GenaiError::WebModelCall { webc_error: genai::webc::Error::Reqwest(error), .. } => transport(error, secret),
        GenaiError::ChatResponse { body, .. } => ModelError::of_event(body, secret),
        GenaiError::Internal(cause) => ModelError::Refused { status: None, excerpt: cause.chars().take(200).collect() },
        other => {
            let what: String = other.to_string().chars().take(200).collect();
            ModelError::Malformed { what: secret.map_or_else(|| what.clone(), |secret| what.replace(secret, "…")) }
        }
    }
}

fn transport(error: &(dyn StdError + Send + Sync + 'static), secret: Option<&str>) -> ModelError {
    if let Some(error) = error.downcast_ref::<GenaiError>() {
        return failure(error, secret);
    }
    match error.downcast_ref::<reqwest::Error>() {
        Some(error) if error.is_body() || error.is_decode() => ModelError::Cut,
        Some(error) => unreachable(error),
        None => malformed(&error.to_string()),
    }
}

/// No answer at all.
pub(super) fn unreachable(error: &reqwest::Error) -> ModelError {
    match causes(error).find_map(|cause| cause.downcast_ref::<Refused>()) {
        Some(refused) => ModelError::Address { refused: refused.to_string() },
        None => ModelError::Connect,
    }
}

/// An error and what it came of.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(Some(error as &(dyn StdError + 'static)), |error| (*error).source())
}

/// `Retry-After` in seconds or as a date, or `retry-after-ms`.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(ms) = text("retry-after-ms").and_then(|ms| ms.parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(ms / 1000.0).ok();
    }
    let said = text(RETRY_AFTER.as_str())?;
    if let Ok(seconds) = said.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = jiff::fmt::rfc2822::parse(said).ok()?;
    Duration::try_from(at.timestamp() - jiff::Timestamp::now()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_ends_with_a_slash_before_its_query() {
        assert_eq!(with_slash("http://host:1/v1"), "http://host:1/v1/");
        assert_eq!(with_slash("http://host/v1/"), "http://host/v1/");
        assert_eq!(with_slash("https://host/a?version=1"), "https://host/a/?version=1");
        assert_eq!(with_slash("https://host"), "https://host/");
    }

    #[test]
    fn a_time_to_come_back_is_read_in_each_form() {
        let of = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().expect("a header"));
            retry_after(&headers)
        };
        assert_eq!(of("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(of("retry-after-ms", "250"), Some(Duration::from_millis(250)));
        assert!(of("retry-after", "Fri, 01 Jan 2100 00:00:00 GMT") > Some(Duration::from_secs(3600)));
        assert_eq!(of("retry-after", "soon"), None);
        assert_eq!(of("retry-after", "-5"), None);
    }
}
