//! One row of a log, and which columns the log has.

use serde::Serialize;

/// The service tier that a request was billed at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// The standard price.
    #[default]
    Standard,
    /// A batch: cheaper, within a day.
    Batch,
    /// Cheaper, slower.
    Flex,
    /// Dearer, faster.
    Priority,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Text from a language model.
    #[default]
    Chat,
    /// Vectors of a text.
    Embedding,
    /// Images.
    Image,
    /// Speech or transcription.
    Audio,
    /// Moderation, reranking and all else.
    Other,
}

/// One row as read from the log: a request, or a sum of requests.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row<'a> {
    /// Start, milliseconds since 1970 (or since the start of the log).
    pub time_ms: Option<i64>,
    /// The model's name in the log.
    pub model: Option<&'a str>,
    /// All input tokens, including cached ones; `None` if not logged.
    pub input: Option<u64>,
    /// All output tokens, including reasoning; `None` if not logged.
    pub output: Option<u64>,
    /// Input tokens read from a cache.
    pub cached: Option<u64>,
    /// Input tokens written to a cache, for any time.
    pub cache_write: Option<u64>,
    /// Those of `cache_write` that are kept for an hour.
    pub cache_write_1h: Option<u64>,
    /// Output tokens that are reasoning.
    pub reasoning: Option<u64>,
    /// Input tokens that are audio.
    pub audio_input: Option<u64>,
    /// Output tokens that are audio.
    pub audio_output: Option<u64>,
    /// Milliseconds from request to last token.
    pub latency_ms: Option<f32>,
    /// Milliseconds from request to first token.
    pub first_token_ms: Option<f32>,
    /// Cost as logged.
    pub cost: Option<f64>,
    /// Currency of the cost, as an ISO 4217 code; [`DOLLARS`] if not stated.
    pub currency: Option<&'a str>,
    /// For a sum of requests: their number, 0 if not stated. `None` for a single request.
    pub requests: Option<u64>,
    /// For a sum of requests: the length of its period, in milliseconds.
    pub period_ms: Option<i64>,
    /// The service tier.
    pub tier: Tier,
    /// What is asked for.
    pub kind: Kind,
    /// Whether the request failed.
    pub failed: Option<bool>,
    /// Values to group by: name of the column, value.
    pub groups: &'a [(&'a str, &'a str)],
}

/// Which columns the log has; set when a row first has a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PresentColumns {
    /// Start times.
    pub time: bool,
    /// Model names.
    pub model: bool,
    /// Input tokens. Without them every input is 0, and nothing may be concluded from it.
    pub input: bool,
    /// Output tokens. Without them every output is 0, and nothing may be concluded from it.
    pub output: bool,
    /// Tokens read from a cache.
    pub cached: bool,
    /// Tokens written to a cache.
    pub cache_write: bool,
    /// Those kept for an hour.
    pub cache_write_1h: bool,
    /// Reasoning tokens.
    pub reasoning: bool,
    /// Audio tokens of the input.
    pub audio_input: bool,
    /// Audio tokens of the output.
    pub audio_output: bool,
    /// Latencies.
    pub latency: bool,
    /// Times to the first token.
    pub first_token: bool,
    /// Costs.
    pub cost: bool,
    /// Currencies other than dollars.
    pub currency: bool,
    /// Sums of requests.
    pub sums: bool,
    /// Service tiers other than the standard one.
    pub tier: bool,
    /// Requests that are not chat.
    pub kind: bool,
    /// Whether requests failed.
    pub failed: bool,
}
