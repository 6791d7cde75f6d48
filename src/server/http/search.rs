//! Search over the caller's threads.

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
        TagId,
        http::{Problem, SearchPage},
        limits::{MAX_SEARCH_CHARS, MAX_SEARCH_PAGE, SEARCH_PAGE},
    },
    server::{
        problem::problem,
        search::{self, SearchPlace},
        state::AppState,
    },
};

/// The query of `GET /api/search`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchQuery {
    /// What to search for.
    q: String,
    /// The most hits in the page.
    limit: Option<u32>,
    /// The `next` of the page before; absent for the first page.
    after: Option<String>,
    /// The tag that the threads have; absent: any or none.
    tag: Option<TagId>,
}

/// `GET /api/search?q=<text>&limit=20&after=<next>&tag=<tag_id>`.
pub(super) async fn search(
    State(state): State<AppState>,
    Caller(identity): Caller,
    Query(SearchQuery { q, limit, after, tag }): Query<SearchQuery>,
) -> Result<impl IntoResponse, Problem> {
    let invalid = |detail: String| problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload", detail);
    if q.trim().is_empty() || q.chars().count() > MAX_SEARCH_CHARS {
        return Err(invalid(format!("q: what to search for, 1 to {MAX_SEARCH_CHARS} characters")));
    }
    let limit = limit.unwrap_or(SEARCH_PAGE);
    if !(1..=MAX_SEARCH_PAGE).contains(&limit) {
        return Err(invalid(format!("limit: 1 to {MAX_SEARCH_PAGE} hits")));
    }
    let after = after.map(|text| text.parse::<SearchPlace>()).transpose();
    let after = after.map_err(|why| invalid(format!("after: {why}")))?;
    let page = match search::Query::parse(&q) {
        Some(query) => {
            search::find_tagged(state.channels.store(), identity.user.id, query, tag, limit as usize, after).await?
        }
        // Only punctuation: no text has it as a word.
        None => SearchPage { hits: Vec::new(), next: None },
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], JsonResponse(page)))
}
