//! A person's threads: pages of them, newest first, and deleting one. A person's tags.

use axum::{
    Json as JsonResponse,
    extract::{Path, Query, State, rejection::PathRejection},
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde::Deserialize;

use super::Caller;
use crate::{
    protocol::{
        DeleteThread, TagId, ThreadId,
        http::Problem,
        limits::{FEED_PAGE, MAX_FEED_PAGE},
    },
    server::{commands::run_detached, error::Error, problem::problem, state::AppState, threads},
    thread::FeedPlace,
};

/// The query of `GET /api/threads`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ThreadsQuery {
    /// The `older` of the page before; absent for the first page.
    before: Option<String>,
    /// The most threads in the page; the first page has further threads that are pinned or wait for the user.
    limit: Option<u32>,
    /// Whether to list the archived threads, instead of the others.
    #[serde(default)]
    archived: bool,
    /// The tag that the threads have; absent: any or none.
    tag: Option<TagId>,
}

/// `GET /api/threads?before=<older>&limit=50&archived=false&tag=<tag_id>`.
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(identity): Caller,
    Query(ThreadsQuery { before, limit, archived, tag }): Query<ThreadsQuery>,
) -> Result<impl IntoResponse, Problem> {
    let invalid = |detail: String| problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload", detail);
    let before = before.map(|text| text.parse::<FeedPlace>()).transpose();
    let before = before.map_err(|why| invalid(format!("before: {why}")))?;
    let limit = limit.unwrap_or(FEED_PAGE);
    if !(1..=MAX_FEED_PAGE).contains(&limit) {
        return Err(invalid(format!("limit: 1 to {MAX_FEED_PAGE} threads")));
    }
    let (user, limit) = (identity.user.id, limit as usize);
    let page = match (tag, archived) {
        (Some(tag), archived) => state.channels.tagged_threads_of(user, (tag, archived), before, limit).await?,
        (None, true) => state.channels.archived_threads_of(user, before, limit).await?,
        (None, false) => state.channels.threads_of(user, before, limit).await?,
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], JsonResponse(page)))
}

/// `GET /api/tags`.
pub(super) async fn tags(
    State(state): State<AppState>,
    Caller(identity): Caller,
) -> Result<impl IntoResponse, Problem> {
    let tags = threads::tags(&state.channels, identity.user.id).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], JsonResponse(tags)))
}

/// `DELETE /api/threads/<thread_id>`: the command `delete_thread`, for pages that end before a socket can send it.
pub(super) async fn remove(
    State(state): State<AppState>,
    Caller(identity): Caller,
    thread: Result<Path<ThreadId>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path(thread_id) = thread.map_err(|_| Error::not_found("thread"))?;
    let commands = state.commands.clone();
    run_detached(async move { commands.delete_thread(&identity.user, &DeleteThread { thread_id }).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
