//! The links with which anybody can read a thread.

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};

use super::Caller;
use crate::{
    protocol::{ShareLink, ShareLinks, ThreadId, http::Problem},
    server::{error::Error, state::AppState, threads},
};

/// `GET /api/threads/<thread_id>/links`.
pub(super) async fn links(
    State(state): State<AppState>,
    Caller(identity): Caller,
    thread: Result<Path<ThreadId>, PathRejection>,
) -> Result<Json<ShareLinks>, Problem> {
    let Path(thread) = thread.map_err(|_| Error::not_found("thread"))?;
    let stored = threads::links(&state.channels, &identity.user, thread).await?;
    let links = stored.into_iter().map(|link| {
        let path = format!("/shared/{}", state.auth.share_token(link.id)?);
        Ok(ShareLink { share_id: link.id, path, created_at: link.created_at, expires_at: link.expires_at })
    });
    Ok(Json(ShareLinks { links: links.collect::<Result<_, Error>>()? }))
}
