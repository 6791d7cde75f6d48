//! Importing conversations from a file.

use axum::{
    Json as JsonResponse,
    body::{Body, to_bytes},
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::Caller;
use crate::{
    protocol::{
        http::{ImportReport, Problem},
        limits::{IMPORT_STEP, MAX_IMPORT_BYTES},
    },
    server::{
        error::Error,
        offload,
        problem::problem,
        state::AppState,
        threads::{self, Export, Imported},
    },
};

/// How many files are imported at once on this node: each is in memory as a whole.
const MAX_IMPORTS: usize = 2;

static IMPORTS: Semaphore = Semaphore::const_new(MAX_IMPORTS);

/// The query of `POST /api/import`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportQuery {
    /// Whether the file is only checked.
    #[serde(default)]
    check: bool,
    /// How many of its conversations are skipped: the `next` of the answer before.
    #[serde(default)]
    skip: usize,
}

/// `POST /api/import?check=false&skip=0`: the body is the file. Imports at most [`IMPORT_STEP`] conversations.
pub(super) async fn import(
    State(state): State<AppState>,
    Caller(identity): Caller,
    query: Result<Query<ImportQuery>, QueryRejection>,
    body: Body,
) -> Result<JsonResponse<ImportReport>, Problem> {
    let invalid = |detail: String| problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload", detail);
    let Query(ImportQuery { check, skip }) =
        query.map_err(|_| invalid("`check` is `true` or `false`, and `skip` a number".into()))?;
    let user = identity.user;
    let agent = state.runner.agents().resolve(None, &user)?;
    let Ok(_permit) = IMPORTS.try_acquire() else {
        let detail = "other files are being imported; try again in a moment";
        return Err(problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail));
    };
    let file = to_bytes(body, MAX_IMPORT_BYTES).await.map_err(|_| {
        let detail = format!("the file has more than {MAX_IMPORT_BYTES} bytes, or was not sent completely");
        problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    })?;
    let read = move || threads::read_export(&file, MAX_IMPORT_BYTES as u64);
    let Export { format, conversations, empty, omitted } =
        offload::run(read).await.map_err(Error::from)?.map_err(invalid)?;
    let count = conversations.len();
    let mut report = ImportReport { format, conversations: count, empty, omitted, imported: 0, known: 0, next: None };
    if check {
        return Ok(JsonResponse(report));
    }
    for conversation in conversations.iter().skip(skip).take(IMPORT_STEP) {
        match threads::import(&state.channels, &user, &agent, format, conversation).await? {
            Imported::New => report.imported += 1,
            Imported::Before => report.known += 1,
        }
    }
    report.next = Some(skip.saturating_add(IMPORT_STEP)).filter(|next| *next < count);
    Ok(JsonResponse(report))
}
