//! Pages: what one begins with is read first, then it is rendered with its content.
//!
//! Promises: a page is answered whole or not at all; it is rendered on a thread that serves no socket, when its turn comes;
//! whatever fails, the answer says so, as HTML to who accepts that.

mod document;
mod failure;

use std::time::Instant;

use axum::{
    Router,
    extract::{FromRequestParts, Request, State},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    response::{Html, IntoResponse, Redirect, Response},
};
use leptos::nonce::Nonce;
use leptos_axum::{LeptosRoutes, generate_route_list};
use tokio::runtime::Handle;

use self::{
    document::{Document, Source, document},
    failure::failure,
};
use super::{
    admission::{self, Busy, Client},
    error,
    http::{Peer, discovery},
    metrics, offload,
    problem::problem,
    state::AppState,
    threads,
};
use crate::{
    protocol::{
        ThreadId,
        http::{Problem, User},
        limits::FEED_PAGE,
    },
    socket::context::{Seed, StateAt},
    ui::{
        app::{App, shell},
        boot::Boot,
    },
};

/// The page for those who have to sign in first.
const SIGN_IN: &str = "/sign-in";
/// The page that makes the first administrator.
const SETUP: &str = "/setup";

/// Every page that the application knows.
pub(super) fn routes() -> Router<AppState> {
    Router::new().leptos_routes_with_handler(generate_route_list(App), page)
}

/// Where nothing is.
pub(super) fn missing() -> Router<AppState> {
    Router::new().fallback(async |State(state): State<AppState>, request: Request| {
        let (mut parts, _) = request.into_parts();
        // The API's routes are below this.
        if matches!(parts.uri.path(), "/api" | "/api/") {
            return problem(StatusCode::NOT_FOUND, "not_found", "there is no such call").into_response();
        }
        if parts.method != Method::GET && parts.method != Method::HEAD {
            return problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "a page is only read")
                .into_response();
        }
        let client = address(&state, &mut parts).await;
        let answer = async {
            let _admitted = state.pages.admit(client).await.map_err(busy)?;
            render(&state, Boot::default(), &parts).await
        };
        match answer.await {
            Ok(mut response) => {
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
            Err(problem) => failure(&parts.headers, problem),
        }
    })
}

async fn page(State(state): State<AppState>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    answer(&state, &mut parts).await.unwrap_or_else(|problem| failure(&parts.headers, problem))
}

async fn answer(state: &AppState, parts: &mut Parts) -> Result<Response, Problem> {
    let user = state.auth.visitor(parts).await?.map(|identity| identity.user);
    let client = match &user {
        Some(user) => {
            state.manager.rates().check_call(user.id)?;
            Client::Person(user.id)
        }
        None => address(state, parts).await,
    };
    let _admitted = state.pages.admit(client).await.map_err(busy)?;
    match begin(state, parts, user).await? {
        Begin::Elsewhere(path) => Ok(([(header::CACHE_CONTROL, "no-store")], Redirect::to(&path)).into_response()),
        Begin::Here(boot) => {
            let refused = boot.refused.is_some();
            let mut response = render(state, *boot, parts).await?;
            if refused {
                *response.status_mut() = StatusCode::NOT_FOUND;
            }
            Ok(response)
        }
    }
}

/// Whoever is not signed in, by where they are.
async fn address(state: &AppState, parts: &mut Parts) -> Client {
    let Ok(Peer(address)) = Peer::from_request_parts(parts, state).await;
    Client::Address(address)
}

fn busy(_: Busy) -> Problem {
    metrics::page(metrics::Page::Refused);
    let detail = "too many pages are asked for at once; try again in a moment";
    let refused = problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail);
    Problem { retry_after_ms: Some(admission::RETRY_MS), ..refused }
}

enum Begin {
    Elsewhere(String),
    Here(Box<Boot>),
}

async fn begin(state: &AppState, parts: &Parts, user: Option<User>) -> error::Result<Begin> {
    let config = discovery(state, &parts.headers, user.is_some()).await?;
    let path = parts.uri.path();
    let public = matches!(path, SIGN_IN | SETUP);
    let elsewhere = match &user {
        None if config.auth.needs_setup => (path != SETUP).then(|| SETUP.to_owned()),
        None if path == SETUP => Some(SIGN_IN.to_owned()),
        None => (!public).then(|| sign_in_first(parts)),
        Some(_) => public.then(|| "/".to_owned()),
    };
    if let Some(path) = elsewhere {
        return Ok(Begin::Elsewhere(path));
    }
    let mut boot = Boot { config: Some(config), ..Boot::default() };
    if let Some(user) = user {
        boot.agents = state.agents(&user);
        let thread = path.strip_prefix("/threads/").and_then(|id| id.parse().ok());
        (boot.seed, boot.refused) = seed(state, user, thread).await?;
    }
    Ok(Begin::Here(Box::new(boot)))
}

async fn seed(
    state: &AppState,
    user: User,
    thread: Option<ThreadId>,
) -> error::Result<(Seed, Option<crate::protocol::ErrorBody>)> {
    let (cursor, mut feed, shown) = state.channels.newest(user.id, FEED_PAGE as usize, thread).await?;
    if let Some(shown) = shown {
        feed.insert(shown);
    }
    let mut seed = Seed { feed: Some(StateAt { cursor, state: feed }), thread: None, user: Some(user.clone()) };
    let Some(id) = thread else { return Ok((seed, None)) };
    match threads::authorise(&state.channels, user.id, id).await {
        Ok(_) => {
            let (cursor, state) = state.channels.shown(id).await?;
            seed.thread = Some((id, StateAt { cursor, state }));
            Ok((seed, None))
        }
        Err(error::Error::Refused(body)) => Ok((seed, Some(body))),
        Err(error) => Err(error),
    }
}

/// The sign-in page, which leads back here.
fn sign_in_first(parts: &Parts) -> String {
    match parts.uri.path_and_query().map(axum::http::uri::PathAndQuery::as_str) {
        None | Some("/") => SIGN_IN.to_owned(),
        Some(here) => format!("{SIGN_IN}?next={}", encoded(here)),
    }
}

/// As a value in a query.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}

/// Renders a page, on a thread that serves no socket.
async fn render(state: &AppState, boot: Boot, parts: &Parts) -> Result<Response, Problem> {
    let began = Instant::now();
    let socket = boot.config.as_ref().map(|config| config.socket.url.clone());
    let nonce = Nonce::new();
    let policy = content_policy(&nonce.to_string(), socket.as_deref());
    let options = state.site.options.clone();
    let address = parts.uri.path_and_query().map_or("/", axum::http::uri::PathAndQuery::as_str);
    let source = Source { address: format!("http://leptos.dev{address}"), boot, nonce };
    #[cfg(debug_assertions)]
    let panics = super::fault_injection::panics_in_page(address);
    let view = move || {
        #[cfg(debug_assertions)]
        assert!(!panics, "a component panics, as a test wants it");
        shell(options)
    };
    let runtime = Handle::current();
    let rendered = offload::run(move || runtime.block_on(document(source, view))).await;
    let Document { html, status } = rendered.map_err(|panicked| {
        metrics::page(metrics::Page::Failed);
        tracing::error!(path = parts.uri.path(), error = %panicked, "a page could not be rendered");
        let detail = "the server failed to make this page; its log has the cause";
        problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    })?;
    metrics::page(metrics::Page::Rendered(began.elapsed()));
    let mut response = (status.unwrap_or_default(), Html(html)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    Ok(response)
}

/// What the page may load and run: its own files, the one script with this answer's nonce, WebAssembly. Inline styles are not
/// among it: charts are sized by attributes of SVG.
fn content_policy(nonce: &str, socket: Option<&str>) -> String {
    let socket = socket.and_then(|url| url.strip_suffix("/ws")).unwrap_or_default();
    let watch = if std::env::var_os("LEPTOS_WATCH").is_some() { "ws://localhost:3001 ws://127.0.0.1:3001" } else { "" };
    format!(
        "default-src 'self'; script-src 'self' 'nonce-{nonce}' 'wasm-unsafe-eval'; style-src 'self'; \
         img-src 'self' data:; connect-src 'self' {socket} {watch}; object-src 'none'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_one_wanted_to_go_is_kept_through_sign_in() {
        let request = Request::get("/threads/a?b=c&d=%C3").body(()).expect("a request").into_parts().0;
        assert_eq!(sign_in_first(&request), "/sign-in?next=/threads/a%3Fb%3Dc%26d%3D%25C3");
        let request = Request::get("/").body(()).expect("a request").into_parts().0;
        assert_eq!(sign_in_first(&request), "/sign-in");
    }
}
