//! `[[agents]]` of kind `model`.

use std::num::NonZeroU32;

use serde::{Deserialize, Deserializer, de};

use super::Secret;
use crate::{analyst::pricing::Price, server::config::bounds::within};

/// A model behind an API, with tools.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The API of the model's server.
    #[serde(default)]
    pub provider: Provider,
    /// The model's name at the provider.
    pub model: String,
    /// Base URL of the API, such as `http://127.0.0.1:11434/v1/`; absent: the provider's own.
    #[serde(default, deserialize_with = "base_url")]
    pub base_url: Option<String>,
    /// API key, best as `${VARIABLE}`; absent: none is sent.
    #[serde(default)]
    pub api_key: Option<Secret>,
    /// Whether it may be on this host or in a private network; absent: yes for an entry of the configuration file, no for one of the
    /// administrators' page.
    #[serde(default)]
    pub allow_private_network: Option<bool>,
    /// System prompt, placed before the instructions that every model agent gets.
    #[serde(default)]
    pub system: String,
    /// Most requests to the model in one run.
    #[serde(default = "max_steps", deserialize_with = "within::<1, 100, _, _>")]
    pub max_steps: u32,
    /// Sampling temperature, 0 to 2; absent: the provider's default.
    #[serde(default, deserialize_with = "temperature")]
    pub temperature: Option<f64>,
    /// Most tokens of one response; absent: the provider's default.
    #[serde(default)]
    pub max_output_tokens: Option<NonZeroU32>,
    /// Reasoning effort, for models that reason; absent: the provider's default.
    #[serde(default)]
    pub reasoning_effort: Option<ReasoningEffort>,
    /// Whether responses begin with reasoning that ends with `</think>`: some chat templates already contain the opening tag.
    #[serde(default)]
    pub starts_with_reasoning: bool,
    /// Ids of the `[[tools]]` that it may use.
    #[serde(default)]
    pub tools: Vec<String>,
    /// Its prices; absent: those of the price table, if the model is in it.
    #[serde(default)]
    pub prices: Option<ModelPrices>,
    /// Milliseconds to wait for the first token.
    #[serde(default = "first_token_timeout", deserialize_with = "within::<100, 3_600_000, _, _>")]
    pub first_token_timeout_ms: u64,
    /// Milliseconds to wait for each further token.
    #[serde(default = "silence_timeout", deserialize_with = "within::<100, 3_600_000, _, _>")]
    pub silence_timeout_ms: u64,
    /// Milliseconds to spend on retries, in all, while the provider is busy or unreachable; 0: no retries.
    #[serde(default = "max_retry_wait", deserialize_with = "within::<0, 300_000, _, _>")]
    pub max_retry_wait_ms: u64,
    /// Most bytes of the conversation that are sent; the oldest turns are left out.
    #[serde(default = "max_history", deserialize_with = "within::<1_024, 16_777_216, _, _>")]
    pub max_history_bytes: u64,
    /// Context window of the model in tokens, its response included: determines how much of the conversation and its files is sent.
    #[serde(default = "context_tokens", deserialize_with = "within::<1_024, 16_777_216, _, _>")]
    pub context_tokens: u64,
    /// Types of files that it receives; images and PDFs only if the model reads them.
    #[serde(default = "attachments")]
    pub attachments: Vec<FileType>,
    /// Whether it is offered a tool to read text files that do not fit; not for models without tool calls.
    #[serde(default = "file_tool")]
    pub file_tool: bool,
    /// Whether it makes the titles of threads that begin with it.
    #[serde(default = "titles")]
    pub titles: bool,
    /// Seconds in which the user must allow a tool call; absent: no limit.
    #[serde(default)]
    pub consent_timeout_s: Option<NonZeroU32>,
}

const fn max_steps() -> u32 {
    8
}

const fn first_token_timeout() -> u64 {
    120_000
}

const fn silence_timeout() -> u64 {
    60_000
}

const fn max_retry_wait() -> u64 {
    20_000
}

const fn max_history() -> u64 {
    256 * 1024
}

const fn context_tokens() -> u64 {
    65_536
}

const fn file_tool() -> bool {
    true
}

const fn titles() -> bool {
    true
}

fn attachments() -> Vec<FileType> {
    vec![FileType::Text]
}

impl ModelConfig {
    /// Whether the model receives files of this type. Ollama's own API accepts no PDFs.
    #[must_use]
    pub fn accepts(&self, what: FileType) -> bool {
        self.attachments.contains(&what) && !(what == FileType::Pdf && self.provider == Provider::Ollama)
    }

    /// The configured prices per token.
    #[must_use]
    pub fn price(&self) -> Option<Price> {
        let ModelPrices { input, output, cached_input } = self.prices?;
        let cached = cached_input.unwrap_or(input);
        let per_token = |per_million: f64| per_million / 1e6;
        let (input, output, cached) = (per_token(input), per_token(output), per_token(cached));
        Some(Price::simple(&self.model, input, output, cached, input))
    }
}

fn base_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    let url = reqwest::Url::parse(&text).ok();
    let fits = url.is_some_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none()
    });
    if fits {
        return Ok(Some(text));
    }
    // The value is not repeated: it may hold a password.
    Err(de::Error::custom(
        "expected \"http://\" or \"https://\", a host and maybe a path, such as \"http://127.0.0.1:11434/v1/\"; a key belongs in api_key",
    ))
}

fn temperature<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    let value = f64::deserialize(from)?;
    let fits = (0.0..=2.0).contains(&value);
    fits.then_some(Some(value))
        .ok_or_else(|| de::Error::invalid_value(de::Unexpected::Float(value), &"a number from 0 to 2"))
}

/// Prices in US dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelPrices {
    /// Input tokens.
    pub input: f64,
    /// Output tokens.
    pub output: f64,
    /// Input tokens read from the provider's cache; absent: as `input`.
    #[serde(default)]
    pub cached_input: Option<f64>,
}

/// Types of files that a model may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileType {
    /// Text files.
    Text,
    /// PNG, JPEG, GIF and WebP.
    Image,
    /// PDF.
    Pdf,
}

/// How much a model reasons before it responds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningEffort {
    /// None.
    None,
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
}

/// The APIs of model providers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// OpenAI's chat completions, which many servers offer: Ollama, llama.cpp, vLLM and most hosted ones.
    #[default]
    #[serde(rename = "openai")]
    OpenAi,
    /// OpenAI's Responses API.
    #[serde(rename = "openai_responses")]
    OpenAiResponses,
    /// Anthropic.
    Anthropic,
    /// Google Gemini.
    Gemini,
    /// Ollama's own API.
    Ollama,
    /// Groq.
    Groq,
    /// DeepSeek.
    #[serde(rename = "deepseek")]
    DeepSeek,
    /// Mistral.
    Mistral,
    /// xAI.
    Xai,
    /// Together.
    Together,
    /// Fireworks.
    Fireworks,
    /// OpenRouter.
    #[serde(rename = "openrouter")]
    OpenRouter,
}

impl Provider {
    /// Its name in the usage of runs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::OpenAiResponses => "openai_resp",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Ollama => "ollama",
            Self::Groq => "groq",
            Self::DeepSeek => "deepseek",
            Self::Mistral => "mistral",
            Self::Xai => "xai",
            Self::Together => "together",
            Self::Fireworks => "fireworks",
            Self::OpenRouter => "open_router",
        }
    }

    /// The address of its API, if `base_url` names no other.
    #[must_use]
    pub const fn default_base_url(self) -> &'static str {
        match self {
            Self::OpenAi | Self::OpenAiResponses => "https://api.openai.com/v1/",
            Self::Anthropic => "https://api.anthropic.com/v1/",
            Self::Gemini => "https://generativelanguage.googleapis.com/v1beta/",
            Self::Ollama => "http://localhost:11434/",
            Self::Groq => "https://api.groq.com/openai/v1/",
            Self::DeepSeek => "https://api.deepseek.com/v1/",
            Self::Mistral => "https://api.mistral.ai/v1/",
            Self::Xai => "https://api.x.ai/v1/",
            Self::Together => "https://api.together.xyz/v1/",
            Self::Fireworks => "https://api.fireworks.ai/inference/v1/",
            Self::OpenRouter => "https://openrouter.ai/api/v1/",
        }
    }

    /// Whether it has its own API; the others have OpenAI's chat completions.
    #[must_use]
    pub const fn is_own_api(self) -> bool {
        matches!(self, Self::OpenAiResponses | Self::Anthropic | Self::Gemini | Self::Ollama)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(entry: Value) -> Result<ModelConfig, String> {
        serde_json::from_value(entry).map_err(|error| error.to_string())
    }

    #[test]
    fn the_models_name_is_enough() {
        let config = read(json!({"model": "llama3.2"})).expect("a model");
        assert_eq!((config.provider, config.max_steps, config.first_token_timeout_ms), (Provider::OpenAi, 8, 120_000));
        assert_eq!(
            [FileType::Text, FileType::Image, FileType::Pdf].map(|what| config.accepts(what)),
            [true, false, false]
        );
        assert!(config.base_url.is_none() && config.tools.is_empty() && config.price().is_none());
    }

    #[test]
    fn prices_are_per_million_tokens() {
        let config = read(json!({"model": "m", "prices": {"input": 2, "output": 8.0}})).expect("a model");
        let cost = config.price().expect("a price").cost(1_000_000.0, 500_000.0, 0.0, 250_000.0);
        assert!((cost - 4.0).abs() < 1e-9, "{cost}");
    }

    #[test]
    fn errors_repeat_no_secret() {
        for (entry, expected) in [
            (json!({}), "missing field `model`"),
            (json!({"model": "m", "provider": "closedai"}), "unknown variant `closedai`"),
            (json!({"model": "m", "base_url": "ftp://host"}), "\"http://\""),
            (json!({"model": "m", "max_steps": 0}), "an integer from 1 to 100"),
            (json!({"model": "m", "context_tokens": 512}), "an integer from 1024 to 16777216"),
            (json!({"model": "m", "consent_timeout_s": 0}), "nonzero u32"),
            (
                json!({"model": "m", "attachments": ["film"]}),
                "unknown variant `film`, expected one of `text`, `image`, `pdf`",
            ),
            (json!({"model": "m", "temperature": 3}), "a number from 0 to 2"),
            (json!({"model": "m", "apikey": "x"}), "unknown field `apikey`"),
        ] {
            let error = read(entry).expect_err("a refusal");
            assert!(error.contains(expected), "{error}");
        }
        let error = read(json!({"model": "m", "base_url": "https://me:pass@host"})).expect_err("a refusal");
        assert!(!error.contains("pass@") && error.contains("api_key"), "{error}");
    }
}
