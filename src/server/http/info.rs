//! Discovery, agents, and notices.

use std::sync::Once;

use axum::{
    Json as JsonResponse,
    extract::State,
    http::{HeaderMap, StatusCode, header, request::Parts, uri::Authority},
    response::IntoResponse,
};
use serde::{Deserialize, Serialize};

use super::{Caller, extract::Json};
use crate::{
    protocol::{
        Notice, NoticeId, PROTOCOL,
        http::{AgentInfo, AuthConfig, Config, Problem, Role, SocketConfig},
    },
    server::{clock::now_ms, error, problem::problem, state::AppState},
};

/// The longest notice, in bytes.
const MAX_NOTICE_BYTES: usize = 2_000;

/// The response to `GET /api/config`: what a client needs first. `signed_in`: whether the caller is.
///
/// # Errors
/// If the store fails.
pub async fn discovery(state: &AppState, headers: &HeaderMap, signed_in: bool) -> error::Result<Config> {
    let needs_setup = !signed_in && state.auth.needs_setup().await?;
    Ok(Config {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        socket: SocketConfig {
            url: socket_url(state, headers),
            protocol: PROTOCOL.to_owned(),
            heartbeat_ms: state.config.socket.heartbeat_ms,
            max_frame_bytes: state.config.socket.max_frame_bytes,
        },
        auth: AuthConfig { signed_in, methods: vec!["password".to_owned()], needs_setup },
        members: state.config.server.members,
        images: state.images.are_loaded(),
    })
}

/// The absolute URL of the WebSocket, from `server.public_url` or else from the request.
fn socket_url(state: &AppState, headers: &HeaderMap) -> String {
    if let Some(public) = &state.config.server.public_url {
        // `http` becomes `ws` and `https` becomes `wss`.
        return format!("{}/ws", public.replacen("http", "ws", 1));
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if text("x-forwarded-proto") == Some("https") && !state.config.server.is_behind_proxy() {
        static WARNED: Once = Once::new();
        WARNED.call_once(|| {
            tracing::warn!(
                "a proxy forwards requests that came over HTTPS, but server.public_url is not set: pages will connect without TLS, and \
                 browsers refuse that; set server.public_url to the address that people open"
            );
        });
    }
    let secure = state.config.server.is_behind_proxy() && text("x-forwarded-proto") == Some("https");
    let host = text("host").and_then(|host| host.parse::<Authority>().ok());
    let host = host.map_or_else(|| state.config.server.listen.to_string(), |host| host.to_string());
    format!("{}://{host}/ws", if secure { "wss" } else { "ws" })
}

pub(super) async fn config(State(state): State<AppState>, parts: Parts) -> Result<impl IntoResponse, Problem> {
    let signed_in = match parts.headers.contains_key(header::AUTHORIZATION) {
        true => state.auth.authenticate(&parts).await.is_ok(),
        false => state.auth.visitor(&parts).await?.is_some(),
    };
    let config = discovery(&state, &parts.headers, signed_in).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], JsonResponse(config)))
}

pub(super) async fn agents(State(state): State<AppState>, Caller(identity): Caller) -> JsonResponse<Vec<AgentInfo>> {
    JsonResponse(state.agents(&identity.user))
}

/// The body of `POST /api/notices`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewNotice {
    text: String,
}

/// The response to `POST /api/notices`.
#[derive(Serialize)]
pub(super) struct NoticeSent {
    notice: Notice,
    /// To how many connections of this node it was sent.
    connections: usize,
}

pub(super) async fn notice(
    State(state): State<AppState>,
    Caller(identity): Caller,
    Json(body): Json<NewNotice>,
) -> Result<impl IntoResponse, Problem> {
    if identity.user.role != Role::Admin {
        return Err(problem(StatusCode::FORBIDDEN, "forbidden", "only administrators may send notices"));
    }
    let text = body.text.trim();
    if text.is_empty() || text.len() > MAX_NOTICE_BYTES {
        let detail = format!("a notice has 1 to {MAX_NOTICE_BYTES} bytes");
        return Err(problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload", detail));
    }
    let notice = Notice { id: NoticeId::new(), text: text.to_owned(), at: now_ms() };
    tracing::info!(user = %identity.user.id, notice = %notice.id, "a notice was sent to everyone");
    let connections = state.nodes.notice(notice.clone());
    Ok((StatusCode::CREATED, JsonResponse(NoticeSent { notice, connections })))
}
