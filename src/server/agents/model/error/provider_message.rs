//! The message in a provider's error: what it means, and how much of it is shown.
//!
//! The status alone does not say that a conversation is too long, nor, with some providers, that a key or an account is not
//! accepted: each has its own phrases for it.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::Value;

use crate::text::clip;

/// The most characters of a message that are shown.
const MAX_EXCERPT: usize = 240;
/// The most characters of a web page's title that are shown.
const MAX_TITLE: usize = 80;

/// Where providers put their message. A gateway's own comes after the one that it passes on.
const MESSAGE_POINTERS: [&str; 12] = [
    "/error/metadata/raw",
    "/error/message",
    "/error/error/message",
    "/0/error/message",
    "/message",
    "/message/message",
    "/error",
    "/msg",
    "/error_description",
    "/detail",
    "/detail/0/msg",
    "/detail/message",
];
/// Phrases that say that a conversation is too long.
const CONTEXT_PHRASES: [&str; 18] = [
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
/// Phrases before a time to wait.
const WAIT_PHRASES: [&str; 3] = ["retry in ", "try again in ", "retry after "];

/// The body of a provider's error.
pub(super) struct ProviderMessage {
    /// All of it in lower case, to search. Empty for a web page, whose text is written for people.
    lowercase: String,
    /// How long to wait before the next try, if a field says so.
    delay: Option<Duration>,
    /// Its message, shortened, if there is one.
    pub(super) text: Option<String>,
    /// What is shown where there is no message.
    fallback: String,
}

impl ProviderMessage {
    /// Reads a body; `secret` is kept out of what is shown.
    pub(super) fn parse(body: &str, secret: Option<&str>) -> Self {
        if body.trim_start().starts_with('<') {
            return Self { lowercase: String::new(), delay: None, text: None, fallback: describe_web_page(body) };
        }
        let json: Value = serde_json::from_str(body).unwrap_or_default();
        let message = MESSAGE_POINTERS.iter().find_map(|place| json.pointer(place)?.as_str()).or(json.as_str());
        let message = message.or((json.is_null() && body.trim() != "null").then_some(body));
        let shown = |text: &str| shortened(text, secret, MAX_EXCERPT);
        Self {
            lowercase: body.to_lowercase(),
            delay: delay(&json),
            text: message.map(shown).filter(|text| !text.is_empty()),
            fallback: shown(body),
        }
    }

    /// What is shown of it: its message, or else the start of the body.
    pub(super) fn excerpt(self) -> String {
        let some = |text: &String| !text.is_empty();
        self.text.or(Some(self.fallback).filter(some)).unwrap_or_else(|| "it gave no reason.".into())
    }

    pub(super) fn contains_any(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.lowercase.contains(phrase))
    }

    /// Whether the conversation is longer than the model can read.
    pub(super) fn is_about_context(&self) -> bool {
        self.contains_any(&CONTEXT_PHRASES) || self.is_too_large()
    }

    /// Whether this single request exceeds the provider's limit.
    pub(super) fn is_too_large(&self) -> bool {
        self.contains_any(&["request too large for", "request_too_large"])
    }

    /// Whether the key is not accepted, whatever the status.
    pub(super) fn is_about_key(&self) -> bool {
        self.contains_any(&[
            "api_key_invalid",
            "invalid_api_key",
            "api key not valid",
            "invalid api key",
            "incorrect api key",
        ])
    }

    /// Whether the account is used up. A mention of billing alone does not say so: messages about rate limits have it, too.
    pub(super) fn is_used_up(&self) -> bool {
        self.contains_any(&["insufficient_quota", "billing_not_active", "billing_hard_limit_reached"])
    }

    /// How long to wait before the next try, from a field or from the text.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let after = |phrase: &&str| self.lowercase.split_once(*phrase).map(|(_, after)| after);
        self.delay.or_else(|| WAIT_PHRASES.iter().filter_map(after).find_map(parse_wait))
    }
}

/// A text on one line with at most `max_chars` characters, without the secret.
fn shortened(text: &str, secret: Option<&str>, max_chars: usize) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(secret) = secret.filter(|secret| !secret.is_empty()) {
        line = line.replace(secret, "…");
    }
    clip(&line, max_chars)
}

/// The sentence for a web page, which a proxy or a wrong address sends.
fn describe_web_page(page: &str) -> String {
    let lower = page.to_ascii_lowercase();
    let title = lower.find("<title").and_then(|at| {
        let from = at + lower[at..].find('>')? + 1;
        page.get(from..from + lower[from..].find("</title")?)
    });
    let title = title.map(|title| shortened(title, None, MAX_TITLE)).filter(|title| !title.is_empty());
    let title = title.map_or(String::new(), |title| format!(" (“{title}”)"));
    format!(
        "it sent a web page{title} in place of an answer. An administrator has to check `base_url` in the agent's configuration."
    )
}

/// Google's `RetryInfo`: `{"error": {"details": [{"retryDelay": "26s"}]}}`, or a list with that.
fn delay(json: &Value) -> Option<Duration> {
    let details = json.pointer("/error/details").or_else(|| json.pointer("/0/error/details"))?.as_array()?;
    parse_wait(details.iter().find_map(|detail| detail.get("retryDelay")?.as_str())?)
}

/// The time that a text begins with: `26s`, `4.77s.`, `7m26.4s`, `20ms`, `30 seconds`.
fn parse_wait(text: &str) -> Option<Duration> {
    let mut words =
        text.split(|c: char| c.is_whitespace() || matches!(c, '"' | ',')).map(|word| word.trim_end_matches('.'));
    let first = words.next()?;
    let wait = match first.parse::<f64>() {
        Ok(_) => format!("{first} {}", words.next()?),
        Err(_) => first.to_owned(),
    };
    Duration::try_from(wait.parse::<SignedDuration>().ok()?).ok()
}
