//! The handshake: who may open a socket, decided before the upgrade.
//!
//! `GET /ws` with the subprotocol `netra.v1`. Refused, in this order and each with the reason in the log: 503 while
//! draining, 400 what is no WebSocket or has no common protocol, 401 without valid credentials (403 where a cookie came
//! from another origin), 429 when the server is full.

use std::sync::Arc;

use axum::{
    Router,
    extract::{FromRequestParts, Request, State, WebSocketUpgrade},
    http::{HeaderValue, StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::any,
};

use super::{
    connection::serve,
    gateway::{Gateway, Peer},
    inbox::MAX_REPLY_BYTES,
};
use crate::{
    protocol::{PROTOCOL, http::Problem},
    server::{metrics, problem::problem},
};

/// What a socket reads at once: it is held for as long as the socket lives, so it is small.
const READ_BUFFER: usize = 1024;
/// How much is gathered into one write.
const WRITE_BUFFER: usize = 32 * 1024;
/// A frame somewhat larger than allowed is still read, so that its sender gets to read why the socket closes.
const READ_BEYOND: usize = 4;
/// `GET /ws`. Cookies are seen only below the session layer.
pub fn routes<S: Clone + Send + Sync + 'static>(gateway: Arc<Gateway>) -> Router<S> {
    Router::new().route("/ws", any(upgrade)).with_state(gateway)
}

async fn upgrade(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    match admit(gateway, &mut parts).await {
        Ok(response) => response,
        Err(refusal) => {
            tracing::info!(status = refusal.status, code = refusal.code, reason = refusal.detail, "socket refused");
            metrics::handshake_refused(&refusal.code);
            refusal.into_response()
        }
    }
}

async fn admit(gateway: Arc<Gateway>, parts: &mut Parts) -> Result<Response, Problem> {
    gateway.manager.admits()?;
    let mut upgrade = WebSocketUpgrade::from_request_parts(parts, &()).await.map_err(|rejection| {
        problem(StatusCode::BAD_REQUEST, "not_websocket", format!("{}; open a WebSocket", rejection.body_text()))
    })?;
    if !upgrade.requested_protocols().any(|offered| offered.as_bytes() == PROTOCOL.as_bytes()) {
        let detail = format!("no common subprotocol; offer `{PROTOCOL}` in Sec-WebSocket-Protocol");
        return Err(problem(StatusCode::BAD_REQUEST, "no_common_protocol", detail));
    }
    upgrade.set_selected_protocol(HeaderValue::from_static(PROTOCOL));
    let identity = gateway.auth.authenticate_socket(parts).await?;
    let user = identity.user.id;
    gateway.manager.rates().check_call(user)?;
    let handle = gateway.manager.connect(&identity).inspect_err(|_| {
        tracing::info!(%user, "no place for another socket");
    })?;
    let largest = gateway.config.max_frame_bytes.saturating_mul(READ_BEYOND);
    let (id, follower) = (handle.id(), handle.follower());
    let peer = Peer { gateway, identity, id, follower };
    let response = upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MAX_REPLY_BYTES + 2 * WRITE_BUFFER)
        .max_message_size(largest)
        .max_frame_size(largest)
        .on_failed_upgrade(move |error| tracing::info!(%user, connection = %id, %error, "upgrade failed"))
        .on_upgrade(move |socket| serve(socket, handle, peer));
    Ok(response)
}
