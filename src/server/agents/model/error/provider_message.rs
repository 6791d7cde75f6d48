//! A provider's own words about an error: what they mean, and what of them is shown.
//!
//! Most of it no status says: each provider has words of its own for a conversation that is too long, and some for a key or an
//! account that does not serve.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::Value;

/// The most characters of a provider's own words that are shown.
const MAX_EXCERPT: usize = 240;
/// The most characters of a web page's title that are shown.
const MAX_TITLE: usize = 80;

/// Where providers put their sentence; a gateway's own comes after the one that it passes on.
const SENTENCES: [&str; 12] = [
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
pub(super) struct ProviderMessage {
    /// All of it, in lower case, to look into; nothing of a web page, which is written for people.
    all: String,
    /// When to come back, where a field of its own says so.
    delay: Option<Duration>,
    /// Its sentence, in short, where there is one.
    pub(super) words: Option<String>,
    /// What it sent in place of a sentence.
    rest: String,
}

impl ProviderMessage {
    /// Reads a body; `secret` is kept out of what is shown.
    pub(super) fn of(body: &str, secret: Option<&str>) -> Self {
        if body.trim_start().starts_with('<') {
            return Self { all: String::new(), delay: None, words: None, rest: web_page(body) };
        }
        let json: Value = serde_json::from_str(body).unwrap_or_default();
        let sentence = SENTENCES.iter().find_map(|place| json.pointer(place)?.as_str()).or(json.as_str());
        let sentence = sentence.or((json.is_null() && body.trim() != "null").then_some(body));
        let shown = |text: &str| shortened(text, secret, MAX_EXCERPT);
        Self {
            all: body.to_lowercase(),
            delay: delay(&json),
            words: sentence.map(shown).filter(|words| !words.is_empty()),
            rest: shown(body),
        }
    }

    /// What is shown of it: its sentence, or what there is.
    pub(super) fn excerpt(self) -> String {
        let some = |text: &String| !text.is_empty();
        self.words.or(Some(self.rest).filter(some)).unwrap_or_else(|| "it gave no reason.".into())
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

/// A text in one line and at most so many characters, without the secret.
fn shortened(text: &str, secret: Option<&str>, most: usize) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(secret) = secret.filter(|secret| !secret.is_empty()) {
        line = line.replace(secret, "…");
    }
    let mut short: String = line.chars().take(most).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}

/// What is said of a page that a proxy or a wrong address sends: that it is one, and its title.
fn web_page(page: &str) -> String {
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
