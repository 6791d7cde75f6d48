//! The extractors of the handlers.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicBool, Ordering},
};

use axum::{
    body::Bytes,
    extract::{ConnectInfo, FromRequest, FromRequestParts, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;

use super::client_address::{client_address, is_forwarded};
use crate::{
    protocol::{http::Problem, untrusted},
    server::{auth::Identity, problem::problem, state::AppState},
};

/// The caller. Refused with 401 or 403 without valid credentials, with 429 if the person's rate is exceeded.
#[derive(Debug, Clone)]
pub struct Caller(pub Identity);

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let identity = state.auth.authenticate(parts).await.map_err(|refusal| {
            tracing::info!(path = parts.uri.path(), reason = %refusal, "call refused");
            Problem::from(refusal)
        })?;
        state.manager.rates().check_call(identity.user.id)?;
        Ok(Self(identity))
    }
}

/// Whether the warning about a proxy that is not trusted was logged; it is logged once.
static WARNED: AtomicBool = AtomicBool::new(false);

/// The caller's address: the other end of the connection, or the address that a trusted proxy reports.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

impl FromRequestParts<AppState> for Peer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Self::Rejection> {
        let connection = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let peer = connection.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let server = &state.config.server;
        if !server.trusts_peer(peer.to_canonical())
            && is_forwarded(&parts.headers)
            && !WARNED.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                %peer,
                "a request was forwarded by a proxy that is not trusted, so everybody behind it counts as one address; if the \
                 proxy is yours, add its address to server.trusted_proxies"
            );
        }
        Ok(Self(client_address(peer, &parts.headers, server)))
    }
}

/// Refuses pages of other origins; for calls that set a cookie, so that no other page can sign anybody in.
#[derive(Debug, Clone, Copy)]
pub(super) struct SameOrigin;

impl FromRequestParts<AppState> for SameOrigin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        state.auth.origins().check(&parts.headers)?;
        Ok(Self)
    }
}

/// A JSON body; see [`read_json`].
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<AppState> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        check_json(request.headers())?;
        read_json(&body(request, state).await?).map(Self)
    }
}

/// Reads a whole body, up to the limit of the route.
pub(super) async fn body(request: Request, state: &AppState) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        let code = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE { "too_large" } else { "bad_request" };
        problem(rejection.status(), code, rejection.body_text())
    })
}

/// Parses JSON of a client.
///
/// # Errors
/// 400 if it is not JSON or an object has a key twice, 422 if it does not fit the type; both with the place.
pub(super) fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let value = untrusted::from_slice(bytes).map_err(not_json)?;
    serde_path_to_error::deserialize(value).map_err(|error| {
        let detail = format!("the body has another form than expected: {error}");
        problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload", detail)
    })
}

/// Checks that bytes are JSON in which no object has a key twice.
///
/// # Errors
/// 400 with the place.
pub(super) fn check_bytes(bytes: &[u8]) -> Result<(), Problem> {
    untrusted::check(bytes).map_err(not_json)
}

fn not_json(error: serde_json::Error) -> Problem {
    problem(StatusCode::BAD_REQUEST, "bad_request", format!("the body is not accepted as JSON: {error}"))
}

/// Checks that the content type is JSON or a kind of it (`application/vnd.x+json`).
pub(super) fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json")) {
        return Ok(());
    }
    let detail = "expected a JSON body: `Content-Type: application/json`";
    Err(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail))
}
