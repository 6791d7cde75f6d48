//! What can go wrong with a model: for each a stable code, a sentence for people, and whether to retry.

mod provider_message;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::Value;

use self::provider_message::ProviderMessage;
use crate::server::backoff::Backoff;

/// Delays between requests that failed.
const RETRY: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(32));

/// Why a model sent no complete answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The provider does not accept the key (401, or its message says so).
    #[error(
        "The model's provider does not accept this agent's key. An administrator has to check `api_key` in the agent's configuration."
    )]
    Unauthorized,
    /// Too many requests (429).
    #[error("The model's provider accepts no more requests now. Try again {}.{}", after(*retry_after), quoted(message.as_deref()))]
    RateLimited {
        /// How long to wait before the next try, if it says so.
        retry_after: Option<Duration>,
        /// Its message, shortened, if it sent one.
        message: Option<String>,
    },
    /// More than the model can read, or than its provider takes in one request.
    #[error("This conversation is longer than the model can read. Begin a new thread, or ask for less at once.")]
    ContextTooLong,
    /// The provider has a fault (5xx).
    #[error("The model's provider has a fault{}. Try again in a while.{}", status.map_or(String::new(), |status| format!(" (HTTP {status})")), quoted(message.as_deref()))]
    Unavailable {
        /// The HTTP status, if the answer had not begun.
        status: Option<u16>,
        /// How long to wait before the next try, if it says so.
        retry_after: Option<Duration>,
        /// Its message, shortened, if it sent one.
        message: Option<String>,
    },
    /// No connection.
    #[error(
        "The model's provider cannot be reached. Try again in a while; if that does not help, an administrator has to check `base_url` in the agent's configuration."
    )]
    Connect,
    /// The host has an address that may not be connected to.
    #[error(
        "The model's provider is not called: {refused}. An administrator has to check `base_url` in the agent's configuration."
    )]
    Address {
        /// Which host, why, and the configuration key that would allow it.
        refused: String,
    },
    /// The stream ended or broke off before the answer was complete.
    #[error(
        "The connection to the model broke before its answer was complete. What arrived is shown above; ask again."
    )]
    Cut,
    /// The response cannot be read as an answer.
    #[error(
        "The model's provider sent an answer that cannot be read. Ask again; if that does not help, an administrator has to check `provider` and `base_url` in the agent's configuration."
    )]
    Malformed {
        /// What was received, for the log.
        what: String,
    },
    /// The provider refuses the request (other 4xx).
    #[error("The model's provider refused the request{}: {excerpt}{}", status.map_or(String::new(), |status| format!(" (HTTP {status})")), forbidden(*status))]
    Refused {
        /// The HTTP status, if the answer had not begun.
        status: Option<u16>,
        /// Its message, shortened.
        excerpt: String,
    },
    /// Nothing arrived in time.
    #[error("{} Try again in a while.", if *first { format!("The model sent nothing for {} s.", waited.as_secs()) } else { format!("The model sent nothing for {} s in the middle of its answer.", waited.as_secs()) })]
    Timeout {
        /// Whether no part of the answer had arrived.
        first: bool,
        /// How long the server waited.
        waited: Duration,
    },
    /// The answer is longer than an answer may be.
    #[error("The model's answer exceeded the limit of {what} and was cut there. Ask for less at once.")]
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

/// A provider's message, to append to a sentence of ours.
fn quoted(message: Option<&str>) -> String {
    message.map_or(String::new(), |message| format!(" It says: “{message}”"))
}

/// What to add for a 403, which may be about the request (moderation, region) or about the key.
fn forbidden(status: Option<u16>) -> &'static str {
    match status {
        Some(403) => " (If the question is not the reason, an administrator has to check what `api_key` may do.)",
        _ => "",
    }
}

impl ModelError {
    /// The code for programs. It is stable.
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

    /// How long to wait before sending the same request again; `None`: a retry would not help. `attempt` counts from 0.
    /// Callers retry only before any part of the answer was shown.
    #[must_use]
    pub fn retry_in(&self, attempt: u32) -> Option<Duration> {
        let step = RETRY.delay(attempt);
        match self {
            Self::RateLimited { retry_after, .. } | Self::Unavailable { retry_after, .. } => {
                Some(retry_after.unwrap_or(step))
            }
            Self::Connect | Self::Cut => Some(step),
            _ => None,
        }
    }

    /// The error of a response that is not a success. `secret` is kept out of what is shown.
    #[must_use]
    pub fn from_status(status: u16, body: &str, retry_after: Option<Duration>, secret: Option<&str>) -> Self {
        let message = ProviderMessage::parse(body, secret);
        let retry_after = retry_after.or_else(|| message.retry_after());
        match status {
            401 => Self::Unauthorized,
            400 | 403 if message.is_about_key() => Self::Unauthorized,
            // 429 is also the status for a used-up account and for a single request that is too large, where waiting does not help.
            429 if message.is_used_up() => Self::refused(Some(status), message),
            429 if message.is_too_large() => Self::ContextTooLong,
            429 => Self::RateLimited { retry_after, message: message.text },
            400 | 413 | 422 if message.is_about_context() => Self::ContextTooLong,
            408 | 500.. if message.is_about_context() => Self::ContextTooLong,
            408 | 500.. => Self::Unavailable { status: Some(status), retry_after, message: message.text },
            _ => Self::refused(Some(status), message),
        }
    }

    /// An error that is reported within an answer. `secret` is kept out of what is shown.
    #[must_use]
    pub fn from_event(body: &Value, secret: Option<&str>) -> Self {
        let message = ProviderMessage::parse(&body.to_string(), secret);
        let retry_after = message.retry_after();
        if message.is_used_up() {
            Self::refused(None, message)
        } else if message.contains_any(&[
            "rate_limit",
            "rate limit",
            "too many requests",
            "resource_exhausted",
            "\"code\":429",
        ]) {
            Self::RateLimited { retry_after, message: message.text }
        } else if message.is_about_context() {
            Self::ContextTooLong
        } else if message.is_about_key() {
            Self::Unauthorized
        } else if message.contains_any(&[
            "server_error",
            "internal_error",
            "overloaded",
            "unavailable",
            "api_error",
            "\"code\":5",
        ]) {
            Self::Unavailable { status: None, retry_after, message: message.text }
        } else {
            Self::refused(None, message)
        }
    }

    fn refused(status: Option<u16>, message: ProviderMessage) -> Self {
        Self::Refused { status, excerpt: message.excerpt() }
    }
}
