//! Setup, sign-in, sign-out, tokens, tickets; disconnecting people.

use axum::{
    Json as Answer,
    extract::{FromRequestParts, Path, Request, State},
    http::{StatusCode, header},
    response::{AppendHeaders, IntoResponse},
};
use serde::Serialize;
use tower_sessions::Session;

use super::{
    Caller, Peer,
    extract::{self, Json, SameOrigin},
    problem::problem,
};
use crate::{
    protocol::http::{AccessToken, Problem, Role, Setup, SignIn, SignedIn, Ticket, User},
    server::{
        auth::{NewAccount, begin_session, session_key_of},
        state::AppState,
    },
};

type Result<T> = std::result::Result<T, Problem>;

/// Answers that hold a secret are kept nowhere.
const NO_STORE: AppendHeaders<[(header::HeaderName, &str); 1]> = AppendHeaders([(header::CACHE_CONTROL, "no-store")]);

/// `GET /api/auth/me`.
#[derive(Serialize)]
pub(super) struct Me {
    user: User,
    /// How many sockets the person has open on this server.
    connections: usize,
}

pub(super) async fn me(State(state): State<AppState>, Caller(identity): Caller) -> Answer<Me> {
    let connections = state.connections_of(identity.user.id);
    Answer(Me { user: identity.user, connections })
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
    tracing::info!(user = %user.id, "the first administrator was made");
    enter(&state, &session, &user).await?;
    Ok((NO_STORE, Answer(SignedIn { user })))
}

pub(super) async fn sign_in(
    State(state): State<AppState>,
    _: SameOrigin,
    Peer(peer): Peer,
    session: Session,
    Json(body): Json<SignIn>,
) -> Result<impl IntoResponse> {
    let user = checked(&state, &body, peer).await?;
    enter(&state, &session, &user).await?;
    tracing::info!(user = %user.id, %peer, "signed in");
    Ok((NO_STORE, Answer(SignedIn { user })))
}

pub(super) async fn sign_out(State(state): State<AppState>, _: SameOrigin, session: Session) -> Result<StatusCode> {
    let key = session_key_of(&session);
    session.flush().await.map_err(|error| {
        tracing::error!(%error, "a session could not be ended");
        problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the session could not be ended; try again")
    })?;
    if let Some(key) = key {
        state.nodes.end_session(&key);
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn token(
    State(state): State<AppState>,
    Peer(peer): Peer,
    request: Request,
) -> Result<impl IntoResponse> {
    let (mut parts, sent) = request.into_parts();
    let body = extract::body(Request::from_parts(parts.clone(), sent), &state).await?;
    let user = if body.is_empty() {
        Caller::from_request_parts(&mut parts, &state).await?.0.user
    } else {
        let body: SignIn = extract::read_json(&body)?;
        checked(&state, &body, peer).await?
    };
    let (access_token, expires_in) = state.auth.mint_token(user.id)?;
    Ok((NO_STORE, Answer(AccessToken { access_token, token_type: "Bearer".into(), expires_in })))
}

pub(super) async fn ticket(State(state): State<AppState>, Caller(identity): Caller) -> Result<impl IntoResponse> {
    let (ticket, expires_in) = state.auth.mint_ticket(&identity).await?;
    Ok((NO_STORE, Answer(Ticket { ticket, expires_in })))
}

/// The answer to `POST /api/users/{user_id}/disconnect`; an address does as well as an id.
#[derive(Serialize)]
pub(super) struct Disconnected {
    /// How many sockets were closed on this node; others close theirs, too.
    connections: usize,
}

pub(super) async fn disconnect(
    State(state): State<AppState>,
    Caller(identity): Caller,
    Path(user): Path<String>,
) -> Result<Answer<Disconnected>> {
    if identity.user.role != Role::Admin {
        return Err(problem(StatusCode::FORBIDDEN, "forbidden", "only administrators may disconnect people"));
    }
    let user_id = state.auth.find(&user).await?;
    let user_id = user_id.ok_or_else(|| problem(StatusCode::NOT_FOUND, "not_found", "there is no such person"))?;
    let connections = state.nodes.disconnect(user_id);
    tracing::info!(user = %user_id, by = %identity.user.id, connections, "an administrator disconnected a person");
    Ok(Answer(Disconnected { connections }))
}

async fn checked(state: &AppState, body: &SignIn, peer: std::net::IpAddr) -> Result<User> {
    let found = state.auth.sign_in(&body.email, &body.password, peer).await?;
    found.ok_or_else(|| {
        tracing::info!(%peer, "a sign-in failed");
        problem(StatusCode::UNAUTHORIZED, "unauthorized", "the e-mail address or the password is wrong")
    })
}

/// Begins a person's session. One that the browser had before is over, with its sockets.
async fn enter(state: &AppState, session: &Session, user: &User) -> Result<()> {
    let before = session_key_of(session);
    begin_session(session, user.id).await?;
    if let Some(key) = before {
        state.nodes.end_session(&key);
    }
    Ok(())
}
