//! The one error of the server: what the caller is told, and what only the log is.

use super::outage::{self, Outage};
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
    /// A step panicked. The caller is told that the server failed; the log has the cause.
    #[error(transparent)]
    Panicked(#[from] super::offload::Panicked),
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

    /// Why the store, or the disk, cannot be used at the moment, where that is what failed: the same may work later.
    #[must_use]
    pub fn outage(&self) -> Option<Outage> {
        match self {
            Self::Store(error) => Outage::of_store(error),
            Self::Io(error) => Outage::of_files(error),
            Self::Shared(error) => error.outage(),
            _ => None,
        }
    }

    /// Whether the store cannot be used at the moment, so that the same may work later.
    #[must_use]
    pub fn is_out_of_reach(&self) -> bool {
        self.outage().is_some()
    }

    /// What the caller is told. A failure of the server's own is logged here, with its cause.
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
    fn a_store_that_is_away_is_told_from_one_that_refuses() {
        let away = [sqlx::Error::PoolTimedOut, sqlx::Error::PoolClosed, std::io::Error::other("cut").into()];
        for error in away {
            let body = Error::Store(error).into_body();
            assert_eq!((body.code, body.retry_after_ms), (ErrorCode::Unavailable, Some(1_000)));
        }
        let full = Error::Io(std::io::ErrorKind::StorageFull.into()).into_body();
        assert_eq!((full.code, full.retry_after_ms), (ErrorCode::Unavailable, Some(5_000)));
        assert!(full.message.contains("disk of the server's files is full"), "{}", full.message);
        assert_eq!(Error::Store(sqlx::Error::RowNotFound).into_body().code, ErrorCode::Internal);
    }
}
