//! The server's error type: what the caller gets, and what only the log gets.

use super::outage::{self, Outage};
use crate::protocol::{ErrorBody, ErrorCode};

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Refused: the caller gets exactly this.
    #[error(transparent)]
    Refused(#[from] ErrorBody),
    /// The store failed. The caller may try again; the cause is logged.
    #[error("the store failed: {0}")]
    Store(sqlx::Error),
    /// A step failed whose result several callers share.
    #[error(transparent)]
    Shared(std::sync::Arc<Error>),
    /// The disk failed. The caller gets `internal` or `unavailable`; the cause is logged.
    #[error("the disk failed: {0}")]
    Io(#[from] std::io::Error),
    /// A step panicked. The caller gets `internal`; the cause is logged.
    #[error(transparent)]
    Panicked(#[from] super::offload::Panicked),
    /// Stored data cannot be read. The caller gets `internal`; the cause is logged.
    #[error("stored data is not as expected: {0}")]
    Corrupt(String),
}

/// PostgreSQL's code for a text that it cannot store. The only one in valid UTF-8 is U+0000.
const CHARACTER_NOT_IN_REPERTOIRE: &str = "22021";

/// The server's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A refusal with a code and a message.
    pub fn refused(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Refused(ErrorBody::new(code, message))
    }

    /// It does not exist or is not this person's; the answer is the same.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::refused(ErrorCode::NotFound, format!("there is no such {what}"))
    }

    /// Why the store or the disk cannot be used at the moment, if that is the cause: the same operation may work later.
    #[must_use]
    pub fn outage(&self) -> Option<Outage> {
        match self {
            Self::Store(error) => Outage::from_store_error(error),
            Self::Io(error) => Outage::from_io_error(error),
            Self::Shared(error) => error.outage(),
            _ => None,
        }
    }

    /// Whether the store or the disk cannot be used at the moment, so that the same operation may work later.
    #[must_use]
    pub fn is_out_of_reach(&self) -> bool {
        self.outage().is_some()
    }

    /// Whether PostgreSQL ended a statement because of what other transactions held: a lock was not free in time, two waited for each
    /// other, or the statement took too long.
    #[must_use]
    pub fn is_contention(&self) -> bool {
        let Self::Store(sqlx::Error::Database(error)) = self else { return false };
        matches!(error.code().as_deref(), Some("55P03" | "40P01" | "57014"))
    }

    /// What the caller gets. Logs the cause of a failure, except of a refusal.
    #[must_use]
    pub fn into_body(self) -> ErrorBody {
        if let Self::Refused(body) = self {
            return body;
        }
        if matches!(self, Self::Store(_) | Self::Shared(_)) {
            outage::count_store_error();
        }
        if let Some(outage) = self.outage() {
            outage.suspect();
            tracing::error!(error = %self, "{outage}");
            return ErrorBody::new(ErrorCode::Unavailable, outage.to_string()).retry_after(outage.retry_after_ms());
        }
        tracing::error!(error = %self, "an operation failed");
        ErrorBody::new(ErrorCode::Internal, "the server failed; its log has the cause")
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Corrupt(error.to_string()),
            sqlx::Error::Database(error) if error.code().as_deref() == Some(CHARACTER_NOT_IN_REPERTOIRE) => {
                Self::refused(
                    ErrorCode::InvalidPayload,
                    "a text has the character U+0000, which PostgreSQL cannot store",
                )
            }
            error => Self::Store(error),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_of_the_store_is_unavailable_and_any_other_error_internal() {
        let outages = [sqlx::Error::PoolTimedOut, sqlx::Error::PoolClosed, std::io::Error::other("cut").into()];
        for error in outages {
            let body = Error::Store(error).into_body();
            assert_eq!((body.code, body.retry_after_ms), (ErrorCode::Unavailable, Some(1_000)));
        }
        let full = Error::Io(std::io::ErrorKind::StorageFull.into()).into_body();
        assert_eq!((full.code, full.retry_after_ms), (ErrorCode::Unavailable, Some(5_000)));
        assert!(full.message.contains("disk of the server's files is full"), "{}", full.message);
        assert_eq!(Error::Store(sqlx::Error::RowNotFound).into_body().code, ErrorCode::Internal);
    }
}
