//! Setup, sign-in, sign-out, tokens, tickets, and disconnecting people. Sockets of sessions that end are closed on every node: at once
//! through the bus, or within a second by the session check of open connections.

use axum::{
    Json as JsonResponse,
    extract::{FromRequestParts, Path, Request, State},
    http::{StatusCode, header, request::Parts},
    response::{AppendHeaders, IntoResponse},
};
use serde::Serialize;
use tower_sessions::Session;

use super::{
    Caller, Peer,
    extract::{self, Json, SameOrigin},
};
use crate::{
    protocol::http::{AccessToken, ChangePassword, Problem, Role, Setup, SignIn, SignedIn, Ticket, User},
    server::{
        auth::{NewAccount, begin_session, session_key_of},
        problem::problem,
        state::AppState,
    },
};

type Result<T> = std::result::Result<T, Problem>;

/// For answers that hold a secret.
const NO_STORE: AppendHeaders<[(header::HeaderName, &str); 1]> = AppendHeaders([(header::CACHE_CONTROL, "no-store")]);

/// The response to `GET /api/auth/me`.
#[derive(Serialize)]
pub(super) struct Me {
    user: User,
    /// How many connections the person has to this node.
    connections: usize,
}

pub(super) async fn me(State(state): State<AppState>, Caller(identity): Caller) -> JsonResponse<Me> {
    let connections = state.connections_of(identity.user.id);
    JsonResponse(Me { user: identity.user, connections })
}

pub(super) async fn setup(
    State(state): State<AppState>,
    _: SameOrigin,
    Peer(peer): Peer,
    session: Session,
    Json(body): Json<Setup>,
) -> Result<impl IntoResponse> {
    let account = NewAccount { email: body.email, name: body.name, role: Role::Admin, password: body.password };
    let user = state.auth.setup(&body.setup_token, account, peer).await?;
    tracing::info!(user = %user.id, "the first administrator was created");
    start_session(&state, &session, &user).await?;
    Ok((NO_STORE, JsonResponse(SignedIn { user })))
}

pub(super) async fn sign_in(
    State(state): State<AppState>,
    _: SameOrigin,
    Peer(peer): Peer,
    session: Session,
    Json(body): Json<SignIn>,
) -> Result<impl IntoResponse> {
    let user = check_password(&state, &body, peer).await?;
    start_session(&state, &session, &user).await?;
    tracing::info!(user = %user.id, %peer, "signed in");
    Ok((NO_STORE, JsonResponse(SignedIn { user })))
}

/// Ends the access token that was shown, or else the cookie's session with its tokens and tickets. Without either there is nothing to
/// end.
pub(super) async fn sign_out(
    State(state): State<AppState>,
    _: SameOrigin,
    session: Session,
    mut parts: Parts,
) -> Result<StatusCode> {
    if parts.headers.contains_key(header::AUTHORIZATION) {
        let Caller(identity) = Caller::from_request_parts(&mut parts, &state).await?;
        state.auth.end_session(identity.session()).await?;
        state.nodes.end_session(identity.session());
        return Ok(StatusCode::NO_CONTENT);
    }
    let ended = match session_key_of(&session) {
        Some(key) => state.auth.session_family(&key).await?,
        None => Vec::new(),
    };
    flush(&session).await?;
    for key in &ended {
        state.nodes.end_session(key);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Ends all sessions of the caller, with their tokens and tickets.
pub(super) async fn sign_out_everywhere(
    State(state): State<AppState>,
    Caller(identity): Caller,
    session: Session,
) -> Result<StatusCode> {
    let ended = state.auth.end_sessions(identity.user.id).await?;
    tracing::info!(user = %identity.user.id, ended, "signed out everywhere");
    flush(&session).await?;
    state.nodes.recheck();
    Ok(StatusCode::NO_CONTENT)
}

/// Changes the caller's password, if the current one is right. Their other sessions and all their tokens end.
pub(super) async fn password(
    State(state): State<AppState>,
    Caller(identity): Caller,
    Peer(peer): Peer,
    Json(body): Json<ChangePassword>,
) -> Result<StatusCode> {
    if !state.auth.change_password(&identity, &body.password, &body.new_password, peer).await? {
        return Err(problem(StatusCode::FORBIDDEN, "forbidden", "the current password is wrong"));
    }
    tracing::info!(user = %identity.user.id, "a person changed their password");
    state.nodes.recheck();
    Ok(StatusCode::NO_CONTENT)
}

/// Ends the cookie's session and removes the cookie.
async fn flush(session: &Session) -> Result<()> {
    session.flush().await.map_err(|error| {
        tracing::error!(%error, "a session could not be ended");
        problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the session could not be ended; try again")
    })
}

pub(super) async fn token(
    State(state): State<AppState>,
    Peer(peer): Peer,
    request: Request,
) -> Result<impl IntoResponse> {
    let (mut parts, sent) = request.into_parts();
    let body = extract::body(Request::from_parts(parts.clone(), sent), &state).await?;
    let (access_token, expires_in) = if body.is_empty() {
        let Caller(identity) = Caller::from_request_parts(&mut parts, &state).await?;
        state.auth.mint_session_token(&identity).await?
    } else {
        let body: SignIn = extract::read_json(&body)?;
        let user = check_password(&state, &body, peer).await?;
        state.auth.mint_token(user.id).await?
    };
    Ok((NO_STORE, JsonResponse(AccessToken { access_token, token_type: "Bearer".into(), expires_in })))
}

pub(super) async fn ticket(State(state): State<AppState>, Caller(identity): Caller) -> Result<impl IntoResponse> {
    let (ticket, expires_in) = state.auth.mint_ticket(&identity).await?;
    Ok((NO_STORE, JsonResponse(Ticket { ticket, expires_in })))
}

/// The response to `POST /api/users/{user_id}/disconnect`; `user_id` may also be an e-mail address.
#[derive(Serialize)]
pub(super) struct Disconnected {
    /// How many connections were closed on this node; other nodes close theirs, too.
    connections: usize,
}

pub(super) async fn disconnect(
    State(state): State<AppState>,
    Caller(identity): Caller,
    Path(user): Path<String>,
) -> Result<JsonResponse<Disconnected>> {
    if identity.user.role != Role::Admin {
        return Err(problem(StatusCode::FORBIDDEN, "forbidden", "only administrators may disconnect people"));
    }
    let user_id = state.auth.find(&user).await?;
    let user_id = user_id.ok_or_else(|| problem(StatusCode::NOT_FOUND, "not_found", "there is no such person"))?;
    // First, so that connections are closed with this reason. Those opened before the sessions end are closed by the recheck.
    let connections = state.nodes.disconnect(user_id);
    let sessions = state.auth.end_sessions(user_id).await?;
    state.nodes.recheck();
    tracing::info!(user = %user_id, by = %identity.user.id, connections, sessions, "an administrator disconnected a person");
    Ok(JsonResponse(Disconnected { connections }))
}

/// The person whose e-mail address and password these are.
async fn check_password(state: &AppState, body: &SignIn, peer: std::net::IpAddr) -> Result<User> {
    let found = state.auth.sign_in(&body.email, &body.password, peer).await?;
    found.ok_or_else(|| {
        tracing::info!(%peer, "a sign-in failed");
        problem(StatusCode::UNAUTHORIZED, "unauthorized", "the e-mail address or the password is wrong")
    })
}

/// Starts a person's session. The session that the browser had before ends, with its tokens and sockets.
async fn start_session(state: &AppState, session: &Session, user: &User) -> Result<()> {
    let before = match session_key_of(session) {
        Some(key) => state.auth.session_family(&key).await?,
        None => Vec::new(),
    };
    begin_session(session, user.id).await?;
    for key in &before {
        state.nodes.end_session(key);
    }
    Ok(())
}
