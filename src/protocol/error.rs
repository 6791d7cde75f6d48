//! The errors of refused commands.

use serde::{Deserialize, Serialize};

/// A stable code for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The frame is invalid: binary, not a JSON object, or without a valid id.
    BadFrame,
    /// There is no command of this type.
    UnknownType,
    /// The payload has a wrong type or exceeds a limit; the message says where.
    InvalidPayload,
    /// It does not exist, or this person may not see it.
    NotFound,
    /// The person may not do this.
    Forbidden,
    /// The id was used before with other content, or the current state does not allow the command.
    Conflict,
    /// Larger than the limit that the message names.
    TooLarge,
    /// A quota of the person or the server is used up. The message names the quota and what to do; `details` has `limit`, `of`, `max`
    /// and `used`.
    QuotaExceeded,
    /// Too many commands; try again after `retry_after_ms`.
    RateLimited,
    /// Temporarily unavailable; try again after `retry_after_ms`.
    Unavailable,
    /// The server failed; its log has the cause.
    #[serde(other)]
    Internal,
}

/// The payload of an `error` reply or push.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[error("{message}")]
pub struct ErrorBody {
    /// The code, for programs.
    pub code: ErrorCode,
    /// One sentence for a person: what is wrong and what to do.
    pub message: String,
    /// Milliseconds after which a retry may succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Further data for programs; depends on `code`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
}

impl ErrorBody {
    /// An error with a code and a message.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_ms: None, details: None }
    }

    /// Sets the time after which to try again, in milliseconds.
    #[must_use]
    pub fn retry_after(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }
}
