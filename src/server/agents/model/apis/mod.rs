//! The APIs of model providers: one file each writes requests and decodes answers. [`super::answer_reader`] reads the bytes.

mod anthropic;
mod anthropic_models;
pub(super) mod chat_completions;
mod gemini;
mod ollama;
mod responses;

use std::collections::VecDeque;

use reqwest::Url;
use serde_json::{Value, json};

use super::provider::{EndReason, Media, MediaKind, ModelCall, ModelEnd, ModelEvent, ModelRequest};
use crate::{
    protocol::agui::Usage,
    server::config::agents::{Provider, ReasoningEffort},
};

/// The most tool calls of one answer.
pub(super) const MAX_CALLS: usize = 128;

/// What every request to one model has in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings<'a> {
    /// The provider.
    pub provider: Provider,
    /// The model's name.
    pub model: &'a str,
    /// The address that the API's paths are below.
    pub base_url: &'a Url,
    /// The key.
    pub api_key: Option<&'a str>,
    /// How much the model reasons; `None`: the provider's default.
    pub reasoning_effort: Option<ReasoningEffort>,
}

/// A request over HTTP, always a POST of JSON.
#[derive(Debug)]
pub(super) struct ApiRequest {
    /// Where it goes.
    pub url: Url,
    /// Its headers in addition to the content type.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: Value,
}

/// Writes a request for a streamed answer. `is_signed`: whether the newest calls still have the reasoning that their provider signed.
pub(super) fn request(settings: Settings<'_>, request: &ModelRequest, is_signed: bool) -> ApiRequest {
    match settings.provider {
        Provider::OpenAiResponses => responses::request(settings, request),
        // Anthropic's models continue to reason only if the request contains their signed reasoning.
        Provider::Anthropic if !is_signed => {
            anthropic::request(Settings { reasoning_effort: None, ..settings }, request)
        }
        Provider::Anthropic => anthropic::request(settings, request),
        Provider::Gemini => gemini::request(settings, request),
        Provider::Ollama => ollama::request(settings, request),
        _ => chat_completions::request(settings, request),
    }
}

/// Decodes one answer of a provider.
pub(super) fn decoder(provider: Provider) -> Box<dyn AnswerDecoder> {
    match provider {
        Provider::OpenAiResponses => Box::<responses::Decoder>::default(),
        Provider::Anthropic => Box::<anthropic::Decoder>::default(),
        Provider::Gemini => Box::<gemini::Decoder>::default(),
        Provider::Ollama => Box::<ollama::Decoder>::default(),
        _ => Box::new(chat_completions::Decoder::new(provider)),
    }
}

/// Decodes the JSON values of one answer, in their order: events, lines, or a whole body if the server does not stream.
pub(super) trait AnswerDecoder: Send {
    /// Appends what one value contains. The last one appends [`ModelEvent::End`].
    ///
    /// # Errors
    /// If the value reports an error of the provider, or cannot be read.
    fn decode(&mut self, value: Value, events: &mut VecDeque<ModelEvent>) -> Result<(), DecodeError>;

    /// The end of an answer whose last value appended none; `None` if the answer is incomplete.
    fn end(&mut self, _: InputEnd) -> Option<ModelEnd> {
        None
    }

    /// How the values of a streamed answer are separated.
    fn framing(&self) -> Framing {
        Framing::Events
    }

    /// `None` until the answer has its finish reason, then the number of parts decoded so far. The reader waits only
    /// briefly for what follows. Some servers give a finish reason in every chunk: the wait begins again when the
    /// number grows.
    fn finished_parts(&self) -> Option<usize> {
        None
    }

    /// Whether this body is a complete answer, even if the connection stays open.
    fn is_complete_body(&self, _: &Value) -> bool {
        false
    }
}

/// Why a value of an answer cannot be decoded.
#[derive(Debug)]
pub(super) enum DecodeError {
    /// The provider reports an error.
    Reported(Value),
    /// This is not a part of an answer.
    Malformed(&'static str),
}

/// How the values of a streamed answer are separated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Server-sent events.
    Events,
    /// One value on each line.
    Lines,
}

/// How an answer's values ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InputEnd {
    /// The event `[DONE]` came.
    Done,
    /// The stream ended or broke off.
    Stream,
    /// The body ended, and is complete JSON.
    Body,
}

/// The address of an API's path; the query of the base address stays.
fn endpoint(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

/// The headers of APIs that take the key as OpenAI's does. Local servers ignore it; some gateways refuse requests without one.
fn bearer(api_key: Option<&str>) -> Vec<(&'static str, String)> {
    vec![("authorization", format!("Bearer {}", api_key.unwrap_or("none")))]
}

/// Sets a field if there is a value.
fn set(body: &mut Value, field: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body[field] = value.into();
    }
}

/// The arguments of a call; an empty object if the model did not write JSON.
fn arguments(call: &ModelCall) -> Value {
    serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}))
}

/// A file as a `data:` URL.
fn data_url(file: &Media) -> String {
    format!("data:{};base64,{}", file.mime_type, file.data)
}

fn is_image(file: &Media) -> bool {
    file.kind == MediaKind::Image
}

/// Maps the finish reasons of all providers.
fn end_reason(reason: &str) -> EndReason {
    match reason {
        "length" | "max_tokens" | "MAX_TOKENS" | "incomplete" | "model_context_window_exceeded" | "model_length" => {
            EndReason::Length
        }
        "tool_calls" | "tool_use" | "function_call" => EndReason::ToolCalls,
        "content_filter"
        | "refusal"
        | "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "LANGUAGE" => EndReason::Filtered,
        _ => EndReason::Stop,
    }
}

/// The text of a field that is not empty.
fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value[field].as_str().filter(|text| !text.is_empty())
}

/// A count of tokens in a breakdown. Providers that do not count these tokens send 0.
fn detail(value: &Value, field: &str) -> Option<u64> {
    value[field].as_u64().filter(|count| *count > 0)
}

/// A usage, unless it is empty.
fn non_empty(usage: Usage) -> Option<Usage> {
    (usage != Usage::default()).then_some(usage)
}

/// Whether automatic caching of prompts, which costs extra, has to be turned off: for OpenAI's `gpt-5.6` and later.
fn needs_explicit_cache(model: &str) -> bool {
    let Some(version) = model.strip_prefix("gpt-").and_then(|rest| rest.split('-').next()) else { return false };
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    match (major.parse::<u32>(), minor.parse::<u32>()) {
        (Ok(major), Ok(minor)) => (major, minor) >= (5, 6),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_before_the_query_of_the_base_address() {
        let url = |base: &str| endpoint(&Url::parse(base).expect("a URL"), "chat/completions").to_string();
        assert_eq!(url("http://host:1/v1"), "http://host:1/v1/chat/completions");
        assert_eq!(url("http://host/v1/"), "http://host/v1/chat/completions");
        assert_eq!(url("https://host/a?version=1"), "https://host/a/chat/completions?version=1");
        assert_eq!(url("https://host"), "https://host/chat/completions");
    }

    #[test]
    fn only_new_models_of_openai_have_their_cache_turned_off() {
        for model in ["gpt-5.6", "gpt-5.6-mini", "gpt-5.10", "gpt-6", "gpt-6-astra"] {
            assert!(needs_explicit_cache(model), "{model}");
        }
        for model in ["gpt-5.5", "gpt-5", "gpt-4.1", "gpt-4o", "gpt-oss-120b", "claude-sonnet-4-6"] {
            assert!(!needs_explicit_cache(model), "{model}");
        }
    }
}
