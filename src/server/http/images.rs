//! Images of other hosts in answers.

use axum::{
    body::Body,
    extract::{Query, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{Caller, files::SHOWN_FILE_POLICY};
use crate::{
    protocol::http::Problem,
    server::{outbound::images::ImageError, problem::problem, state::AppState},
};

/// A browser may keep an image for a day.
const CACHE: HeaderValue = HeaderValue::from_static("private, max-age=86400");
const RETRY_AFTER_MS: u64 = 2_000;

/// The query of `GET /api/images`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageQuery {
    /// The image's address.
    url: String,
}

/// `GET /api/images?url=<address>`: an image of another host. That host learns the server's address, and nothing about the caller.
pub(super) async fn load(
    State(state): State<AppState>,
    Caller(_): Caller,
    Query(ImageQuery { url }): Query<ImageQuery>,
) -> Result<Response, Problem> {
    let image = state.images.load(&url).await?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(image.media_type)),
        (header::CACHE_CONTROL, CACHE),
        (header::CONTENT_SECURITY_POLICY, SHOWN_FILE_POLICY),
    ];
    Ok((headers, Body::from_stream(image.bytes)).into_response())
}

impl From<ImageError> for Problem {
    fn from(error: ImageError) -> Self {
        let (status, code) = match error {
            ImageError::Off | ImageError::Private => (StatusCode::FORBIDDEN, "forbidden"),
            ImageError::Address | ImageError::NoImage => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload"),
            ImageError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            ImageError::Unreachable => (StatusCode::BAD_GATEWAY, "unavailable"),
            ImageError::TooLarge => (StatusCode::BAD_GATEWAY, "too_large"),
        };
        let retry_after_ms = (error == ImageError::Busy).then_some(RETRY_AFTER_MS);
        Self { retry_after_ms, ..problem(status, code, error.to_string()) }
    }
}
