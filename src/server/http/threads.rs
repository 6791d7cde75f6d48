//! A person's threads, page by page, newest first.

use axum::{
    Json as JsonResponse,
    extract::{Query, State},
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde::Deserialize;

use super::Caller;
use crate::{
    protocol::{
        http::Problem,
        limits::{FEED_PAGE, MAX_FEED_PAGE},
    },
    server::{problem::problem, state::AppState},
    thread::FeedPlace,
};

/// The query of `GET /api/threads`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ThreadsQuery {
    /// The `older` of the page before; absent for the first page.
    before: Option<String>,
    /// The most threads in the page; the first page may have up to 50 more, which wait for the user.
    limit: Option<u32>,
}

/// `GET /api/threads?before=<older>&limit=50`.
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(identity): Caller,
    Query(ThreadsQuery { before, limit }): Query<ThreadsQuery>,
) -> Result<impl IntoResponse, Problem> {
    let invalid = |detail: String| problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload", detail);
    let before = before.map(|text| text.parse::<FeedPlace>()).transpose();
    let before = before.map_err(|why| invalid(format!("before: {why}")))?;
    let limit = limit.unwrap_or(FEED_PAGE);
    if !(1..=MAX_FEED_PAGE).contains(&limit) {
        return Err(invalid(format!("limit: 1 to {MAX_FEED_PAGE} threads")));
    }
    let page = state.channels.threads_of(identity.user.id, before, limit as usize).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], JsonResponse(page)))
}
