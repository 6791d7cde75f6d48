//! `[[agents]]` of kind `model`: a model behind an API, and what it may do.

use std::num::NonZeroU32;

use serde::{Deserialize, Deserializer, de};

use super::Secret;
use crate::{analyst::pricing::Price, server::config::bounds::within};

/// An agent that is a model with tools.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The API that the model's server speaks.
    #[serde(default)]
    pub provider: Provider,
    /// The model's name there.
    pub model: String,
    /// The API's address, such as `http://127.0.0.1:11434/v1/`; absent: the provider's own.
    #[serde(default, deserialize_with = "base_url")]
    pub base_url: Option<String>,
    /// The key, best as `${VARIABLE}`; absent for servers that want none.
    #[serde(default)]
    pub api_key: Option<Secret>,
    /// Whether it may be on this host or in a private network; absent: as whoever wrote the entry may, which is yes in the
    /// configuration file and no on the administrators' page.
    #[serde(default)]
    pub allow_private_network: Option<bool>,
    /// Instructions, before those that every model agent gets.
    #[serde(default)]
    pub system: String,
    /// The most requests to the model in one run.
    #[serde(default = "steps", deserialize_with = "within::<1, 100, _, _>")]
    pub max_steps: u32,
    /// How freely it picks words, 0 to 2; absent: the provider's default.
    #[serde(default, deserialize_with = "temperature")]
    pub temperature: Option<f64>,
    /// The most tokens of one answer; absent: the provider's default.
    #[serde(default)]
    pub max_output_tokens: Option<NonZeroU32>,
    /// How much it reasons, where it can; absent: the provider's default.
    #[serde(default)]
    pub reasoning_effort: Option<ReasoningEffort>,
    /// Whether its answers begin inside a thought that ends with `</think>`, as the chat templates of some models open it.
    #[serde(default)]
    pub starts_with_reasoning: bool,
    /// The ids of the `[[tools]]` it may use.
    #[serde(default)]
    pub tools: Vec<String>,
    /// Its prices; absent: those of the price table, if it is there.
    #[serde(default)]
    pub prices: Option<ModelPrices>,
    /// How long to wait for the first word, in milliseconds.
    #[serde(default = "first_token", deserialize_with = "within::<100, 3_600_000, _, _>")]
    pub first_token_timeout_ms: u64,
    /// How long it may be silent after that, in milliseconds.
    #[serde(default = "silence", deserialize_with = "within::<100, 3_600_000, _, _>")]
    pub silence_timeout_ms: u64,
    /// The most that is waited, all in all, for a provider that is busy or away, in milliseconds; 0: fail at once.
    #[serde(default = "retry", deserialize_with = "within::<0, 300_000, _, _>")]
    pub max_retry_wait_ms: u64,
    /// The most of the conversation that is sent along, in bytes; what is older is left out.
    #[serde(default = "history", deserialize_with = "within::<1_024, 16_777_216, _, _>")]
    pub max_history_bytes: u64,
    /// The tokens that the model reads at once, its answer among them: what fits of the conversation and its files follows from
    /// it.
    #[serde(default = "context", deserialize_with = "within::<1_024, 16_777_216, _, _>")]
    pub context_tokens: u64,
    /// Which files of the conversation it is given; images and PDFs only where the model reads them.
    #[serde(default = "attachments")]
    pub attachments: Vec<Takes>,
    /// Whether it is offered a tool that reads text files which do not fit; not for models that take no tools.
    #[serde(default = "file_tool")]
    pub file_tool: bool,
    /// How long a person may take to allow a tool call, in seconds; absent: as long as they like.
    #[serde(default)]
    pub consent_timeout_s: Option<NonZeroU32>,
}

const fn steps() -> u32 {
    8
}

const fn first_token() -> u64 {
    120_000
}

const fn silence() -> u64 {
    60_000
}

const fn retry() -> u64 {
    20_000
}

const fn history() -> u64 {
    256 * 1024
}

const fn context() -> u64 {
    65_536
}

const fn file_tool() -> bool {
    true
}

fn attachments() -> Vec<Takes> {
    vec![Takes::Text]
}

impl ModelConfig {
    /// Whether the model is given such files. Ollama's own API has no place for a PDF.
    #[must_use]
    pub fn takes(&self, what: Takes) -> bool {
        self.attachments.contains(&what) && !(what == Takes::Pdf && self.provider == Provider::Ollama)
    }

    /// The configured prices, for one token.
    #[must_use]
    pub fn price(&self) -> Option<Price> {
        let ModelPrices { input, output, cached_input } = self.prices?;
        let cached = cached_input.unwrap_or(input);
        let of = |million: f64| million / 1e6;
        let (input, output, cached) = (of(input), of(output), of(cached));
        Some(Price { model: self.model.clone(), input, output, cached, cache_write: input, batch: None })
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
    // It is not repeated: it may hold a password.
    Err(de::Error::custom(
        "expected \"http://\" or \"https://\", a host and maybe a path, such as \"http://127.0.0.1:11434/v1/\"; a key belongs into api_key",
    ))
}

fn temperature<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    let value = f64::deserialize(from)?;
    let fits = (0.0..=2.0).contains(&value);
    fits.then_some(Some(value))
        .ok_or_else(|| de::Error::invalid_value(de::Unexpected::Float(value), &"a number from 0 to 2"))
}

/// What a model costs, in US dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelPrices {
    /// Input.
    pub input: f64,
    /// Output.
    pub output: f64,
    /// Input that a cache had; absent: as input.
    #[serde(default)]
    pub cached_input: Option<f64>,
}

/// Files that a model may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Takes {
    /// Text files, as text.
    Text,
    /// PNG, JPEG, GIF and WebP.
    Image,
    /// PDF.
    Pdf,
}

/// How much a model reasons before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningEffort {
    /// Not at all.
    None,
    /// A little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
}

/// The APIs that models are reached by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Chat completions as OpenAI has them, and all who offer the same: Ollama, llama.cpp, vLLM, most hosted ones.
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

    /// The address of its API, where `base_url` names no other.
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

    /// Whether it has an API of its own; the others speak OpenAI's chat completions.
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
    fn a_model_needs_no_more_than_its_name() {
        let config = read(json!({"model": "llama3.2"})).expect("a model");
        assert_eq!((config.provider, config.max_steps, config.first_token_timeout_ms), (Provider::OpenAi, 8, 120_000));
        assert_eq!([Takes::Text, Takes::Image, Takes::Pdf].map(|what| config.takes(what)), [true, false, false]);
        assert!(config.base_url.is_none() && config.tools.is_empty() && config.price().is_none());
    }

    #[test]
    fn prices_are_for_a_million_tokens() {
        let config = read(json!({"model": "m", "prices": {"input": 2, "output": 8.0}})).expect("a model");
        let cost = config.price().expect("a price").cost(1_000_000.0, 500_000.0, 0.0, 250_000.0);
        assert!((cost - 4.0).abs() < 1e-9, "{cost}");
    }

    #[test]
    fn what_is_wrong_is_said_without_repeating_secrets() {
        for (entry, said) in [
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
            let error = read(entry).expect_err("refused");
            assert!(error.contains(said), "{error}");
        }
        let error = read(json!({"model": "m", "base_url": "https://me:pass@host"})).expect_err("refused");
        assert!(!error.contains("pass@") && error.contains("api_key"), "{error}");
    }
}
