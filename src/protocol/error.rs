//! What a refused command or HTTP call answers.

use serde::{Deserialize, Serialize};

/// A stable name for what went wrong: what programs decide by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The frame itself is wrong: no JSON object, no valid id, binary.
    BadFrame,
    /// No command has this type.
    UnknownType,
    /// The payload breaks its type or a bound; the message says where.
    InvalidPayload,
    /// It does not exist, or not for this person.
    NotFound,
    /// The person may not do this.
    Forbidden,
    /// The id was used before, with other content; or the state does not allow it now.
    Conflict,
    /// Larger than the bound that the message names.
    TooLarge,
    /// More than one person, or this server, keeps; the message says which limit it is and what to do, `details` say it to
    /// programs (`limit`, `of`, `max`, `used`).
    QuotaExceeded,
    /// Too often; `retry_after_ms` says when again.
    RateLimited,
    /// Not possible at the moment; `retry_after_ms` says when to try again.
    Unavailable,
    /// The server failed; the log has the cause.
    #[serde(other)]
    Internal,
}

/// The payload of an `error` reply or push.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[error("{message}")]
pub struct ErrorBody {
    /// What programs decide by.
    pub code: ErrorCode,
    /// One sentence for a person: what is wrong and what to do.
    pub message: String,
    /// Milliseconds to wait before the same thing may work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// More for programs, by code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
}

impl ErrorBody {
    /// An error with a code and a sentence.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_ms: None, details: None }
    }

    /// The same, with the time after which to try again, in milliseconds.
    #[must_use]
    pub fn retry_after(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }
}
