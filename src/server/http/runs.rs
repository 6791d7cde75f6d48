//! A person's runs, by id.

use axum::{
    Json as JsonResponse,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde::Deserialize;

use super::Caller;
use crate::{
    protocol::{RunId, http::Problem},
    server::{error::Error, problem::problem, raw_events, state::AppState},
};

type RunPath = std::result::Result<Path<RunId>, PathRejection>;

/// The query of `GET /api/runs/<run_id>/raw`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawQuery {
    /// The `next` of the page before; absent for the first page.
    #[serde(default)]
    after: u64,
}

/// `DELETE /api/runs/<run_id>`: stops a run. One that has ended stays as it is.
pub(super) async fn stop(
    State(state): State<AppState>,
    Caller(identity): Caller,
    run: RunPath,
) -> Result<StatusCode, Problem> {
    let Path(run) = run.map_err(|_| Error::not_found("run"))?;
    state.commands.stop_run(identity.user.id, run).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/runs/<run_id>/raw?after=<seq>`: the `RAW` events of a run, page by page.
pub(super) async fn raw(
    State(state): State<AppState>,
    Caller(identity): Caller,
    run: RunPath,
    query: std::result::Result<Query<RawQuery>, QueryRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Path(run) = run.map_err(|_| Error::not_found("run"))?;
    let Query(RawQuery { after }) =
        query.map_err(|why| problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload", why.body_text()))?;
    let page = raw_events::page(&state.channels, identity.user.id, run, after).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], JsonResponse(page)))
}
