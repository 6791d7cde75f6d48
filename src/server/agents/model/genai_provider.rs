//! [`ModelProvider`] through the `genai` crate: any OpenAI-compatible endpoint, and the providers with an API of their own.
//!
//! genai writes the requests and reads the streams. Done here, because it does not: a base address may lack its last
//! slash; a model's name is never taken apart for a reasoning effort (`qwen-max`); chat completions are read in the shapes that
//! different servers give them; pieces of tool calls come by index, whether a provider repeats ids, leaves them out or restates
//! all arguments; a stream without its last event is cut, also where genai makes one up; thoughts written into the answer are
//! told apart; errors are, by what the provider said.

mod failure;
mod request;

use std::{collections::VecDeque, fmt, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use genai::{
    Client, Error as GenaiError, ModelIden, ServiceTarget,
    adapter::AdapterKind,
    chat::{
        ChatOptions, ChatResponseFormat, ChatStream, ChatStreamEvent, ReasoningEffort, StopReason, StreamEnd, Usage,
    },
    resolver::{AuthData, Endpoint},
};
use serde_json::json;

pub(super) use self::failure::unreachable;
use self::{
    failure::{failure, malformed},
    request::{chat, is_signed, native},
};
use super::{
    error::ModelError,
    passage::{Format, Passage, TOKEN},
    pieces::Calls,
    provider::{EndReason, ModelEnd, ModelEvent, ModelOptions, ModelProvider, ModelRequest, ModelStream},
    thoughts::Thoughts,
};
use crate::{
    protocol::agui,
    server::{
        config::agents::{ModelConfig, Provider, ReasoningEffort as Effort},
        outbound::address::{self, PublicOnly},
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
    /// Whether its answers begin inside a thought.
    pub starts_with_reasoning: bool,
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
            starts_with_reasoning: config.starts_with_reasoning,
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

    /// Whether thoughts may stand in the text: of the APIs whose models sign theirs, none do.
    const fn writes_thoughts(&self) -> bool {
        !matches!(self.kind, AdapterKind::Anthropic | AdapterKind::Gemini | AdapterKind::OpenAIResp)
    }

    async fn passage(&self, base_url: &str) -> Result<Passage, ModelError> {
        let url = reqwest::Url::parse(base_url).map_err(|_| malformed("no address of a provider"))?;
        let format = match self.kind {
            AdapterKind::Ollama => Format::Lines,
            AdapterKind::OpenAIResp => Format::Responses,
            AdapterKind::Gemini => Format::Gemini,
            _ if self.target.provider.is_own_api() => Format::Events,
            _ => Format::ChatCompletions,
        };
        Passage::open(self.http.clone(), url, format).await.map_err(|error| {
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
            thoughts: self.writes_thoughts().then(|| Thoughts::new(self.target.starts_with_reasoning)),
            ready: VecDeque::new(),
            provider: self.clone(),
        };
        Ok(stream::unfold(reading, |mut reading| async move { Some((reading.next().await?, reading)) }).boxed())
    }
}

/// A stream being read.
struct Reading {
    /// `None` once it ended or failed.
    inner: Option<ChatStream>,
    passage: Passage,
    /// Whether anything of an answer came.
    heard: bool,
    calls: Calls,
    /// Finds thoughts in the text. `None`: the provider tells them apart, and wants its text back as it was.
    thoughts: Option<Thoughts>,
    /// What comes next.
    ready: VecDeque<Result<ModelEvent, ModelError>>,
    provider: GenaiProvider,
}

impl Reading {
    async fn next(&mut self) -> Option<Result<ModelEvent, ModelError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let event = self.read().await?;
            match (&mut self.thoughts, event) {
                (Some(thoughts), Ok(ModelEvent::Text(text))) => {
                    self.ready.extend(thoughts.read(&text).into_iter().map(Ok));
                }
                (thoughts, event) => {
                    self.ready.extend(thoughts.as_mut().and_then(Thoughts::rest).map(Ok));
                    self.ready.push_back(event);
                }
            }
        }
    }

    async fn read(&mut self) -> Option<Result<ModelEvent, ModelError>> {
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
        let answer = end.captured_content.filter(|_| self.provider.target.provider.is_own_api());
        // Anthropic goes on reasoning only on what it gets back, be that without a thought.
        let native = answer.and_then(|answer| native(answer, self.provider.kind == AdapterKind::Anthropic));
        Ok(ModelEvent::End(ModelEnd { reason, usage, native }))
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

const fn effort(effort: Effort) -> ReasoningEffort {
    match effort {
        Effort::None => ReasoningEffort::Zero,
        Effort::Low => ReasoningEffort::Low,
        Effort::Medium => ReasoningEffort::Medium,
        Effort::High => ReasoningEffort::High,
    }
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
}
