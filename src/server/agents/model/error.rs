//! What can go wrong with a model: a stable code and one honest sentence for each, and what is worth another try.

use std::time::Duration;

use serde_json::Value;

/// The most characters of a provider's own words that are shown.
const MAX_EXCERPT: usize = 240;

/// Why a model gave no whole answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The provider does not take the key (401, 403).
    #[error(
        "The model's provider does not accept this agent's key. An administrator has to check `api_key` in the agent's configuration."
    )]
    Unauthorized,
    /// Too many requests (429).
    #[error("The model's provider takes no more requests just now. Try again {}.", after(*retry_after))]
    RateLimited {
        /// When it takes some again, if it said so.
        retry_after: Option<Duration>,
    },
    /// More than the model can read.
    #[error("This conversation is longer than the model can read. Begin a new thread, or ask for less at once.")]
    ContextTooLong,
    /// The provider has a fault (5xx).
    #[error("The model's provider has a fault{}. Try again in a while.", status.map_or(String::new(), |status| format!(" (HTTP {status})")))]
    Unavailable {
        /// The HTTP status, where the answer had not begun.
        status: Option<u16>,
        /// When to come back, if it said so.
        retry_after: Option<Duration>,
    },
    /// No connection.
    #[error(
        "The model's provider cannot be reached. Try again in a while; if that does not help, an administrator has to check `base_url` in the agent's configuration."
    )]
    Connect,
    /// Its name stands for an address that may not be connected to.
    #[error(
        "The model's provider is not asked: {refused}. An administrator has to check `base_url` in the agent's configuration."
    )]
    Address {
        /// Which host, why, and the key that would allow it.
        refused: String,
    },
    /// The stream broke off.
    #[error(
        "The connection to the model broke before its answer was whole. What came stands above; ask again for the rest."
    )]
    Cut,
    /// The stream cannot be read.
    #[error(
        "The model's provider sent what cannot be read as an answer. Ask again; if it stays so, an administrator has to check `provider` and `base_url` in the agent's configuration."
    )]
    Malformed {
        /// What it was, for the log.
        what: String,
    },
    /// The provider refuses the request (other 4xx).
    #[error("The model's provider refused the request{}: {excerpt}", status.map_or(String::new(), |status| format!(" (HTTP {status})")))]
    Refused {
        /// The HTTP status, where the answer had not begun.
        status: Option<u16>,
        /// Its own words, in short.
        excerpt: String,
    },
    /// Nothing came in time.
    #[error("{} Try again in a while.", if *first { format!("The model said nothing for {} s.", waited.as_secs()) } else { format!("The model fell silent for {} s in the middle of its answer.", waited.as_secs()) })]
    Timeout {
        /// Whether nothing had come at all.
        first: bool,
        /// How long was waited.
        waited: Duration,
    },
    /// The answer is longer than an answer may be.
    #[error("The model's answer passed the limit of {what}, so it was ended there. Ask for less at once.")]
    TooLong {
        /// The limit.
        what: String,
    },
}

fn after(retry_after: Option<Duration>) -> String {
    match retry_after.map(|wait| wait.as_secs_f64().ceil() as u64) {
        None => "in a minute".into(),
        Some(seconds @ 0..=90) => format!("in {} s", seconds.max(1)),
        Some(seconds) => format!("in {} minutes", seconds.div_ceil(60)),
    }
}

impl ModelError {
    /// For programs, stable.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unauthorized => "model_unauthorized",
            Self::RateLimited { .. } => "model_rate_limited",
            Self::ContextTooLong => "context_too_long",
            Self::Unavailable { .. } => "model_unavailable",
            Self::Connect => "model_unreachable",
            Self::Address { .. } => "address_refused",
            Self::Cut => "model_cut",
            Self::Malformed { .. } => "model_malformed",
            Self::Refused { .. } => "model_refused",
            Self::Timeout { .. } => "model_timeout",
            Self::TooLong { .. } => "model_too_long",
        }
    }

    /// How long to wait before the same request is worth sending again; `attempt` counts from 0. Only before anything of
    /// the answer was shown.
    #[must_use]
    pub fn retry_in(&self, attempt: u32) -> Option<Duration> {
        let step = Duration::from_millis(500) * 2u32.saturating_pow(attempt.min(6));
        match self {
            Self::RateLimited { retry_after } | Self::Unavailable { retry_after, .. } => {
                Some(retry_after.unwrap_or(step))
            }
            Self::Connect | Self::Cut => Some(step),
            _ => None,
        }
    }

    /// An answer that is none: by its status and body. `secret` is kept out of what is shown.
    #[must_use]
    pub fn of_status(status: u16, body: &str, retry_after: Option<Duration>, secret: Option<&str>) -> Self {
        let said = Said::of(body, secret);
        match status {
            401 | 403 => Self::Unauthorized,
            // A used-up account answers 429 as well; waiting does not help there.
            429 if said.is_any(&["insufficient_quota", "billing"]) => Self::refused(Some(status), said),
            429 => Self::RateLimited { retry_after },
            400 | 413 | 422 if said.is_about_context() => Self::ContextTooLong,
            408 | 500.. if said.is_about_context() => Self::ContextTooLong,
            408 | 500.. => Self::Unavailable { status: Some(status), retry_after },
            _ => Self::refused(Some(status), said),
        }
    }

    /// An error that came in the middle of a stream.
    #[must_use]
    pub fn of_event(body: &Value, secret: Option<&str>) -> Self {
        let said = Said::of(&body.to_string(), secret);
        if said.is_about_context() {
            Self::ContextTooLong
        } else if said.is_any(&["rate_limit", "rate limit", "too many requests", "\"code\":429"]) {
            Self::RateLimited { retry_after: None }
        } else if said.is_any(&[
            "server_error",
            "internal_error",
            "overloaded",
            "unavailable",
            "api_error",
            "\"code\":5",
        ]) {
            Self::Unavailable { status: None, retry_after: None }
        } else {
            Self::refused(None, said)
        }
    }

    fn refused(status: Option<u16>, said: Said) -> Self {
        Self::Refused { status, excerpt: said.excerpt }
    }
}

/// A provider's own words about an error.
struct Said {
    /// All of them, in lower case, to look into.
    all: String,
    /// What is shown.
    excerpt: String,
}

impl Said {
    fn of(body: &str, secret: Option<&str>) -> Self {
        let json: Value = serde_json::from_str(body).unwrap_or_default();
        let places = ["/error/message", "/0/error/message", "/message", "/error", "/detail"];
        let message = places.iter().find_map(|place| json.pointer(place)?.as_str()).unwrap_or(body);
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
        Self { all: body.to_lowercase(), excerpt }
    }

    fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.all.contains(word))
    }

    /// No provider has a status of its own for this; each has its own words.
    fn is_about_context(&self) -> bool {
        self.is_any(&[
            "context_length_exceeded",
            "context length",
            "context window",
            "context size",
            "exceed_context_size",
            "prompt is too long",
            "input is too long",
            "too many tokens",
            "exceeds the maximum number of tokens",
        ])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_status_is_one_error() {
        let of = |status, body: &str| ModelError::of_status(status, body, None, Some("sk-secret"));
        assert_eq!(of(401, "{}"), ModelError::Unauthorized);
        assert_eq!(of(403, "no"), ModelError::Unauthorized);
        assert_eq!(of(429, "{}"), ModelError::RateLimited { retry_after: None });
        assert_eq!(of(503, ""), ModelError::Unavailable { status: Some(503), retry_after: None });
        for body in [
            r#"{"error":{"code":"context_length_exceeded","message":"This model's maximum context length is 8192 tokens."}}"#,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#,
            r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}"#,
        ] {
            assert_eq!(of(400, body), ModelError::ContextTooLong, "{body}");
        }
    }

    #[test]
    fn a_used_up_account_is_refused_and_not_tried_again() {
        let body = r#"{"error":{"code":"insufficient_quota","message":"You exceeded your current quota."}}"#;
        let error = ModelError::of_status(429, body, None, None);
        assert_eq!(error.code(), "model_refused");
        assert_eq!(error.retry_in(0), None);
    }

    #[test]
    fn what_a_provider_says_is_shortened_and_never_repeats_the_key() {
        let body = json!({"error": {"message": format!("bad key sk-secret {}", "x".repeat(1000))}}).to_string();
        let error = ModelError::of_status(404, &body, None, Some("sk-secret")).to_string();
        assert!(error.contains("bad key … x") && !error.contains("sk-secret") && error.len() < 400, "{error}");
    }

    #[test]
    fn errors_within_a_stream_are_told_apart() {
        let of = |body| ModelError::of_event(&body, None).code();
        assert_eq!(of(json!({"message": "Rate limit reached", "code": "rate_limit_exceeded"})), "model_rate_limited");
        assert_eq!(of(json!({"type": "overloaded_error", "message": "Overloaded"})), "model_unavailable");
        assert_eq!(of(json!({"message": "This model's maximum context length is 10"})), "context_too_long");
        assert_eq!(of(json!({"message": "no such voice"})), "model_refused");
    }

    #[test]
    fn a_wait_is_said_in_seconds_or_minutes() {
        for (wait, said) in
            [(Some(0), "in 1 s"), (Some(30), "in 30 s"), (Some(3000), "in 50 minutes"), (None, "in a minute")]
        {
            let error = ModelError::RateLimited { retry_after: wait.map(Duration::from_secs) };
            assert!(error.to_string().ends_with(&format!("{said}.")), "{error}");
        }
    }
}
