//! A provider's own words about an error: what they mean, and what of them is shown.
//!
//! Most of it no status says: each provider has words of its own for a conversation that is too long, and some for a key or an
//! account that does not serve.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::Value;

/// The most characters of a provider's own words that are shown.
const MAX_EXCERPT: usize = 240;

/// Where providers put their sentence; a gateway's own comes after the one that it passes on.
const SENTENCES: [&str; 8] = [
    "/error/metadata/raw",
    "/error/message",
    "/0/error/message",
    "/message",
    "/error",
    "/detail",
    "/detail/0/msg",
    "/detail/message",
];
const CONTEXT: [&str; 18] = [
    "context_length_exceeded",
    "context length",
    "context window",
    "contextwindowexceeded",
    "context size",
    "exceed_context_size",
    "exceed context limit",
    "maximum prompt length",
    "prompt is too long",
    "prompt too long",
    "input is too long",
    "input tokens exceed",
    "maximum allowed input length",
    "range of input length",
    "reduce the length of the messages",
    "exceeded model token limit",
    "too many tokens",
    "exceeds the maximum number of tokens",
];
/// What stands before a time to wait.
const BEFORE_WAIT: [&str; 3] = ["retry in ", "try again in ", "retry after "];

/// What a provider said.
pub(super) struct Said {
    /// All of it, in lower case, to look into.
    all: String,
    /// When to come back, where a field of its own says so.
    delay: Option<Duration>,
    /// What is shown.
    pub(super) excerpt: String,
}

impl Said {
    /// Reads a body; `secret` is kept out of what is shown.
    pub(super) fn of(body: &str, secret: Option<&str>) -> Self {
        let json: Value = serde_json::from_str(body).unwrap_or_default();
        let message = SENTENCES.iter().find_map(|place| json.pointer(place)?.as_str()).unwrap_or(body);
        let mut message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(secret) = secret.filter(|secret| !secret.is_empty()) {
            message = message.replace(secret, "…");
        }
        let mut excerpt: String = message.chars().take(MAX_EXCERPT).collect();
        if excerpt.len() < message.len() {
            excerpt.push('…');
        }
        if excerpt.is_empty() {
            excerpt = "it gave no reason.".into();
        }
        Self { all: body.to_lowercase(), delay: delay(&json), excerpt }
    }

    pub(super) fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.all.contains(word))
    }

    /// The conversation is longer than the model can read.
    pub(super) fn is_about_context(&self) -> bool {
        self.is_any(&CONTEXT) || self.is_too_large()
    }

    /// This one request is more than its provider takes at all.
    pub(super) fn is_too_large(&self) -> bool {
        self.is_any(&["request too large for", "request_too_large"])
    }

    /// The key is not taken, whatever the status.
    pub(super) fn is_about_key(&self) -> bool {
        self.is_any(&[
            "api_key_invalid",
            "invalid_api_key",
            "api key not valid",
            "invalid api key",
            "incorrect api key",
        ])
    }

    /// The account has nothing left. Words about billing alone say nothing: who sends too much hears them, too.
    pub(super) fn is_used_up(&self) -> bool {
        self.is_any(&["insufficient_quota", "billing_not_active", "billing_hard_limit_reached"])
    }

    /// When to come back, in a field or in words.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let after = |words: &&str| self.all.split_once(*words).map(|(_, after)| after);
        self.delay.or_else(|| BEFORE_WAIT.iter().filter_map(after).find_map(wait))
    }
}

/// Google's `RetryInfo`: `{"error": {"details": [{"retryDelay": "26s"}]}}`, be that the only one of a list.
fn delay(json: &Value) -> Option<Duration> {
    let details = json.pointer("/error/details").or_else(|| json.pointer("/0/error/details"))?.as_array()?;
    wait(details.iter().find_map(|detail| detail.get("retryDelay")?.as_str())?)
}

/// The time that a text begins with: `26s`, `4.77s.`, `7m26.4s`, `20ms`, `30 seconds`.
fn wait(text: &str) -> Option<Duration> {
    let mut words =
        text.split(|c: char| c.is_whitespace() || matches!(c, '"' | ',')).map(|word| word.trim_end_matches('.'));
    let first = words.next()?;
    let said = match first.parse::<f64>() {
        Ok(_) => format!("{first} {}", words.next()?),
        Err(_) => first.to_owned(),
    };
    Duration::try_from(said.parse::<SignedDuration>().ok()?).ok()
}
