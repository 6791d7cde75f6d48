//! The one error of the server: what the caller is told, and what only the log is.

use super::metrics;
use crate::protocol::{ErrorBody, ErrorCode};

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller is told exactly this.
    #[error(transparent)]
    Refused(#[from] ErrorBody),
    /// The store failed. The caller is told to try again; the log has the cause.
    #[error("the store failed: {0}")]
    Store(#[from] sqlx::Error),
    /// A step failed that several shared.
    #[error(transparent)]
    Shared(std::sync::Arc<Error>),
    /// The disk failed. The caller is told that the server failed; the log has the cause.
    #[error("the disk failed: {0}")]
    Io(#[from] std::io::Error),
    /// Something stored cannot be read. The caller is told that the server failed; the log has the cause.
    #[error("stored data is not as expected: {0}")]
    Corrupt(String),
}

/// The server's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A refusal with a code and a sentence.
    pub fn refused(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Refused(ErrorBody::new(code, message))
    }

    /// It does not exist, or not for this person: the two are not told apart.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::refused(ErrorCode::NotFound, format!("there is no such {what}"))
    }

    /// Whether the store is out of reach: the same may work in a moment.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Store(error) => is_away(error),
            Self::Shared(error) => error.is_unavailable(),
            _ => false,
        }
    }

    /// What the caller is told. A failure of the server's own is logged here, with its cause.
    #[must_use]
    pub fn into_body(self) -> ErrorBody {
        if let Self::Refused(body) = self {
            return body;
        }
        if matches!(self, Self::Store(_) | Self::Shared(_)) {
            metrics::store_failed();
        }
        if self.is_unavailable() {
            tracing::error!(error = %self, "the store is out of reach");
            let message = "the store is out of reach; try again in a moment";
            return ErrorBody::new(ErrorCode::Unavailable, message).retry_after(1_000);
        }
        tracing::error!(error = %self, "an operation failed");
        ErrorBody::new(ErrorCode::Internal, "the server failed; its log has the cause")
    }
}

/// The pool is empty, the connection broke, or the database ends, starts, or chose this transaction to give way.
fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed => true,
        // SQLSTATE classes 08 (connection), 40 (rolled back), 53 (resources), 57 (intervention), and lock_timeout;
        // SQLITE_BUSY and its kin.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            ["08", "40", "53", "57", "55P03"].iter().any(|class| code.len() == 5 && code.starts_with(class))
                || matches!(&*code, "5" | "6" | "261" | "517" | "773")
        }),
        _ => false,
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Corrupt(error.to_string())
    }
}

impl From<crate::protocol::IdError> for Error {
    fn from(error: crate::protocol::IdError) -> Self {
        Self::Corrupt(error.to_string())
    }
}
