//! The handshake: who may open a socket, decided before the upgrade.
//!
//! `GET /ws` with the subprotocol `netra.v1` or `netra.v1.compact`; if both are offered, the latter is chosen. Refused, in this order and each with the reason in the log: 503 while draining; 400
//! if it is not a WebSocket handshake or offers no common subprotocol; 401 without valid credentials, 403 with a cookie from
//! another origin; 429 if the person's rate is exceeded or the server is full.

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
    execute::MAX_REPLY_BYTES,
    gateway::{ConnectionContext, Gateway},
};
use crate::{
    protocol::{OFFERED_PROTOCOLS, PROTOCOL, compact::COMPACT_PROTOCOL, http::Problem},
    server::{metrics, problem::problem},
};

/// The read buffer of a socket, in bytes. Small, as each open socket has one.
const READ_BUFFER_BYTES: usize = 512;
/// How many bytes are buffered before they are written to the socket.
const WRITE_BUFFER_BYTES: usize = 32 * 1024;
/// A frame up to this many times the limit is still read, so that its sender receives the close frame with the reason.
const OVERSIZE_FACTOR: usize = 4;

/// `GET /ws`. Without the session layer around this route, cookies have no effect.
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
    gateway.manager.check_admission()?;
    let mut upgrade = WebSocketUpgrade::from_request_parts(parts, &()).await.map_err(|rejection| {
        problem(StatusCode::BAD_REQUEST, "not_websocket", format!("{}; open a WebSocket", rejection.body_text()))
    })?;
    let chosen = OFFERED_PROTOCOLS
        .into_iter()
        .rfind(|known| upgrade.requested_protocols().any(|offered| offered.as_bytes() == known.as_bytes()));
    let Some(chosen) = chosen else {
        let detail = format!("no common subprotocol; offer `{PROTOCOL}` in Sec-WebSocket-Protocol");
        return Err(problem(StatusCode::BAD_REQUEST, "no_common_protocol", detail));
    };
    upgrade.set_selected_protocol(HeaderValue::from_static(chosen));
    let identity = gateway.auth.authenticate_socket(parts).await?;
    let user = identity.user.id;
    gateway.manager.rates().check_call(user)?;
    let guard = gateway.manager.connect(&identity)?;
    let max_message_size = gateway.config.max_frame_bytes.saturating_mul(OVERSIZE_FACTOR);
    let (id, follower) = (guard.id(), guard.follower());
    let context = ConnectionContext { gateway, identity, id, follower, is_compact: chosen == COMPACT_PROTOCOL };
    let response = upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(MAX_REPLY_BYTES + 2 * WRITE_BUFFER_BYTES)
        .max_message_size(max_message_size)
        .max_frame_size(max_message_size)
        .on_failed_upgrade(move |error| tracing::info!(%user, connection = %id, %error, "upgrade failed"))
        // In a task of its own: that of axum keeps the memory of the upgrade, several copies of the socket, until it ends.
        .on_upgrade(async move |socket| {
            tokio::spawn(serve(socket, guard, context));
        });
    Ok(response)
}
