//! What handlers take out of a request.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicBool, Ordering},
};

use axum::{
    extract::{ConnectInfo, FromRequest, FromRequestParts, Request, rejection::JsonRejection},
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;

use super::{
    client_address::{client_address, is_forwarded},
    problem::problem,
};
use crate::{
    protocol::http::Problem,
    server::{auth::Identity, state::AppState},
};

/// Who calls. Refused with 401 or 403 where nobody may, with 429 where the person asked too much lately.
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

/// Whether the log has it that a proxy is not trusted: once is enough.
static TOLD: AtomicBool = AtomicBool::new(false);

/// Where the call comes from: the other end of the connection, or what a trusted proxy says.
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
            && !TOLD.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                %peer,
                "a call was forwarded by a proxy that is not trusted, so everybody behind it counts as one address; if the \
                 proxy is yours, add its address to server.trusted_proxies"
            );
        }
        Ok(Self(client_address(peer, &parts.headers, server)))
    }
}

/// That a cookie counts here, for calls that hand one out: no page of another origin may sign anybody in.
#[derive(Debug, Clone, Copy)]
pub(super) struct SameOrigin;

impl FromRequestParts<AppState> for SameOrigin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        state.auth.origins().check(&parts.headers)?;
        Ok(Self)
    }
}

/// A JSON body.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<AppState> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(refused(&rejection)),
        }
    }
}

pub(super) fn refused(rejection: &JsonRejection) -> Problem {
    let code = match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media_type",
        StatusCode::UNPROCESSABLE_ENTITY => "invalid_payload",
        _ => "bad_request",
    };
    problem(rejection.status(), code, rejection.body_text())
}
