//! Why a connection is not accepted, and how a client is told.

use axum::http::StatusCode;

use crate::{protocol::http::Problem, server::problem::problem};

/// When a client whose connection is not accepted should try again.
pub(super) const RETRY_MS: u64 = 5_000;

/// Why a connection is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// The server is about to stop.
    Draining,
    /// It has as many connections as it may have.
    Full,
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let refused = match rejection {
            Rejection::Draining => {
                problem(StatusCode::SERVICE_UNAVAILABLE, "draining", "the server restarts; try again in a moment")
            }
            Rejection::Full => {
                let detail = "the server has as many sockets as it allows; try again in a moment";
                problem(StatusCode::TOO_MANY_REQUESTS, "too_many_connections", detail)
            }
        };
        Self { retry_after_ms: Some(RETRY_MS), ..refused }
    }
}
