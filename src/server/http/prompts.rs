//! The prompt library.

use axum::{
    Json,
    extract::{Path, Query, State, rejection::PathRejection},
    http::StatusCode,
};
use serde::Deserialize;

use super::Caller;
use crate::{
    protocol::{
        Prompt, PromptId, PromptList,
        http::Problem,
        limits::{MAX_PROMPTS_PAGE, MAX_SEARCH_CHARS, PROMPTS_PAGE},
    },
    server::{error::Error, problem::problem, prompts, state::AppState},
};

/// The query of `GET /api/prompts`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PromptsQuery {
    /// A part of the name; absent: any.
    #[serde(default)]
    q: String,
    /// The most prompts in the list.
    limit: Option<u32>,
}

/// `GET /api/prompts?q=<part of a name>&limit=50`.
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(identity): Caller,
    Query(PromptsQuery { q, limit }): Query<PromptsQuery>,
) -> Result<Json<PromptList>, Problem> {
    let invalid = |detail: String| problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload", detail);
    let limit = limit.unwrap_or(PROMPTS_PAGE);
    if q.chars().count() > MAX_SEARCH_CHARS {
        return Err(invalid(format!("q: a part of a name, at most {MAX_SEARCH_CHARS} characters")));
    }
    if !(1..=MAX_PROMPTS_PAGE).contains(&limit) {
        return Err(invalid(format!("limit: 1 to {MAX_PROMPTS_PAGE} prompts")));
    }
    Ok(Json(prompts::find(state.channels.store(), identity.user.id, &q, limit as usize).await?))
}

/// `GET /api/prompts/<prompt_id>`.
pub(super) async fn read(
    State(state): State<AppState>,
    Caller(identity): Caller,
    prompt: Result<Path<PromptId>, PathRejection>,
) -> Result<Json<Prompt>, Problem> {
    let Path(prompt) = prompt.map_err(|_| Error::not_found("prompt"))?;
    Ok(Json(prompts::read(state.channels.store(), identity.user.id, prompt).await?))
}
