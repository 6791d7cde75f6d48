//! Runs, by id, for whoever has access to their thread.

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
    protocol::{
        RunId,
        http::Problem,
        limits::{MAX_RUN_ENTRIES_PAGE, RUN_ENTRIES_PAGE},
    },
    server::{access::Access, error::Error, problem::problem, raw_events, state::AppState, threads},
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

/// The query of `GET /api/runs/<run_id>/entries`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntriesQuery {
    /// The `next` of the page before; absent for the first page.
    #[serde(default)]
    after: u64,
    /// The most entries in the page.
    limit: Option<u32>,
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
    threads::authorise_run(&state.channels, identity.user.id, run, Access::Read).await?;
    let page = raw_events::page(&state.channels, run, after).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], JsonResponse(page)))
}

/// `GET /api/runs/<run_id>/entries?after=<seq>&limit=500`: the entries of a run in its thread's log, page by page.
pub(super) async fn entries(
    State(state): State<AppState>,
    Caller(identity): Caller,
    run: RunPath,
    query: std::result::Result<Query<EntriesQuery>, QueryRejection>,
) -> Result<impl IntoResponse, Problem> {
    let invalid = |detail: String| problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload", detail);
    let Path(run) = run.map_err(|_| Error::not_found("run"))?;
    let Query(EntriesQuery { after, limit }) = query.map_err(|why| invalid(why.body_text()))?;
    let limit = limit.unwrap_or(RUN_ENTRIES_PAGE);
    if !(1..=MAX_RUN_ENTRIES_PAGE).contains(&limit) {
        return Err(invalid(format!("limit: 1 to {MAX_RUN_ENTRIES_PAGE} entries")));
    }
    let page = threads::run_entries(&state.channels, identity.user.id, run, after, limit as usize).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], JsonResponse(page)))
}
