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

    /// Whether the store cannot be reached at the moment, so that the same may work later: it is away, restarts, or has no
    /// connection left.
    #[must_use]
    pub fn is_out_of_reach(&self) -> bool {
        match self {
            Self::Store(error) => is_out_of_reach(error),
            Self::Shared(error) => error.is_out_of_reach(),
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
        if self.is_out_of_reach() {
            tracing::error!(error = %self, "the store is out of reach");
            let message = "the store is out of reach; try again in a moment";
            return ErrorBody::new(ErrorCode::Unavailable, message).retry_after(1_000);
        }
        tracing::error!(error = %self, "an operation failed");
        ErrorBody::new(ErrorCode::Internal, "the server failed; its log has the cause")
    }
}

fn is_out_of_reach(error: &sqlx::Error) -> bool {
    use sqlx::Error as E;
    match error {
        E::Io(_) | E::Tls(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed | E::BeginFailed => true,
        // A connection that was cut within a message reads as nonsense.
        E::Protocol(_) => true,
        E::Database(error) => error.code().is_some_and(|code| is_passing(&code)),
        _ => false,
    }
}

/// SQLSTATE: connection exceptions; too many connections; operator intervention (shutting down, crashed, starting up, out of
/// time); a deadlock, a conflict or a lock that came too late, which pass. SQLite: busy and locked, also extended.
fn is_passing(code: &str) -> bool {
    let sqlite = code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6)) && code.len() < 5;
    let postgres = code.len() == 5
        && (code.starts_with("08")
            || code.starts_with("57P0")
            || matches!(code, "53300" | "40001" | "40P01" | "55P03" | "57014"));
    sqlite || postgres
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
        let codes = ["08006", "08001", "53300", "57P01", "57P02", "57P03", "5", "6", "261", "517"];
        assert!(codes.into_iter().all(is_passing));
        assert!(!["23505", "42601", "22P02", "1", "19", "2067", ""].into_iter().any(is_passing));
        assert_eq!(Error::Store(sqlx::Error::RowNotFound).into_body().code, ErrorCode::Internal);
    }
}
