//! The members of threads, and the users who can become members.

use axum::{
    Json,
    extract::{Path, Query, State, rejection::PathRejection},
    http::StatusCode,
};
use serde::Deserialize;

use super::Caller;
use crate::{
    protocol::{People, ThreadId, ThreadMembers, http::Problem, limits::MAX_SEARCH_CHARS},
    server::{error::Error, problem::problem, state::AppState, threads},
};

/// `GET /api/threads/<thread_id>/members`.
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(identity): Caller,
    thread: Result<Path<ThreadId>, PathRejection>,
) -> Result<Json<ThreadMembers>, Problem> {
    let Path(thread) = thread.map_err(|_| Error::not_found("thread"))?;
    Ok(Json(threads::members(&state.channels, &identity.user, thread).await?))
}

/// The query of `GET /api/people`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PeopleQuery {
    /// A part of the name.
    q: String,
}

/// `GET /api/people?q=<part of a name>`: ids and names of other users, and nothing else about them.
pub(super) async fn people(
    State(state): State<AppState>,
    Caller(identity): Caller,
    Query(PeopleQuery { q }): Query<PeopleQuery>,
) -> Result<Json<People>, Problem> {
    threads::check_enabled(state.config.server.members)?;
    if q.trim().is_empty() || q.chars().count() > MAX_SEARCH_CHARS {
        let detail = format!("q: a part of a name, 1 to {MAX_SEARCH_CHARS} characters");
        return Err(problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload", detail));
    }
    Ok(Json(People { people: threads::find_people(&state.channels, &identity.user, &q).await? }))
}
