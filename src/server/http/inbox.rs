//! The caller's runs that wait for an answer.

use axum::{
    Json as JsonResponse,
    extract::{Query, State, rejection::QueryRejection},
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde::Deserialize;

use super::Caller;
use crate::{
    protocol::{http::Problem, limits::INBOX_PAGE},
    server::{
        problem::problem,
        state::AppState,
        threads::{self, InboxPlace},
    },
};

/// The query of `GET /api/inbox`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InboxQuery {
    /// The `older` of the page before; absent for the first page.
    before: Option<String>,
    /// The most runs in the page.
    limit: Option<u32>,
}

/// `GET /api/inbox?before=<older>&limit=50`.
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(identity): Caller,
    query: Result<Query<InboxQuery>, QueryRejection>,
) -> Result<impl IntoResponse, Problem> {
    let invalid = |detail: String| problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload", detail);
    let Query(InboxQuery { before, limit }) = query.map_err(|why| invalid(why.body_text()))?;
    let before = before.map(|text| text.parse::<InboxPlace>()).transpose();
    let before = before.map_err(|why| invalid(format!("before: {why}")))?;
    let limit = limit.unwrap_or(INBOX_PAGE);
    if !(1..=INBOX_PAGE).contains(&limit) {
        return Err(invalid(format!("limit: 1 to {INBOX_PAGE} runs")));
    }
    let page = threads::inbox(&state.channels, identity.user.id, before, limit).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], JsonResponse(page)))
}
