//! Serves pages: reads a page's initial data, then renders the page with it.
//!
//! Guarantees: the answer is a complete page or an error, as HTML if the request accepts it. Pages are rendered on threads that
//! serve no sockets, within the limits of [`Admission`].

mod document;
mod failure;
mod thread_document;

use std::time::Instant;

use axum::{
    Router,
    extract::{FromRequestParts, Request, State},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    response::{Html, IntoResponse, Redirect, Response},
    routing::get,
};
use leptos::nonce::Nonce;
use leptos_axum::{LeptosRoutes, generate_route_list};
use tokio::runtime::Handle;

use self::{
    document::{Document, Source, render_document},
    failure::problem_response,
};
use super::{
    access::Access,
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

/// The sign-in page.
const SIGN_IN: &str = "/sign-in";
/// The page that creates the first administrator.
const SETUP: &str = "/setup";

/// The routes of all pages.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .leptos_routes_with_handler(generate_route_list(App), page)
        .route("/shared/{token}", get(thread_document::shared))
        .route("/threads/{thread_id}/print", get(thread_document::print))
}

/// The answer for unknown addresses: a 404 page, or a problem for calls and other methods.
pub(super) fn missing() -> Router<AppState> {
    Router::new().fallback(async |State(state): State<AppState>, request: Request| {
        let (mut parts, _) = request.into_parts();
        // All API routes begin with this.
        if matches!(parts.uri.path(), "/api" | "/api/") {
            return problem(StatusCode::NOT_FOUND, "not_found", "there is no such route").into_response();
        }
        if parts.method != Method::GET && parts.method != Method::HEAD {
            return problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "pages only support GET and HEAD")
                .into_response();
        }
        let client = anonymous_client(&state, &mut parts).await;
        let answer = async {
            let _admitted = state.pages.admit(client).await.map_err(busy)?;
            render(&state, Boot::default(), &parts).await
        };
        match answer.await {
            Ok(mut response) => {
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
            Err(problem) => problem_response(&parts.headers, problem),
        }
    })
}

async fn page(State(state): State<AppState>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    answer(&state, &mut parts).await.unwrap_or_else(|problem| problem_response(&parts.headers, problem))
}

async fn answer(state: &AppState, parts: &mut Parts) -> Result<Response, Problem> {
    let user = state.auth.visitor(parts).await?.map(|identity| identity.user);
    let client = match &user {
        Some(user) => {
            state.manager.rates().check_call(user.id)?;
            Client::Person(user.id)
        }
        None => anonymous_client(state, parts).await,
    };
    let _admitted = state.pages.admit(client).await.map_err(busy)?;
    match prepare(state, parts, user).await? {
        Prepared::Redirect(path) => Ok(([(header::CACHE_CONTROL, "no-store")], Redirect::to(&path)).into_response()),
        Prepared::Page(boot) => {
            let refused = boot.refused.is_some();
            let mut response = render(state, *boot, parts).await?;
            if refused {
                *response.status_mut() = StatusCode::NOT_FOUND;
            }
            Ok(response)
        }
    }
}

/// The client of a request without a session, by its IP address.
async fn anonymous_client(state: &AppState, parts: &mut Parts) -> Client {
    let Ok(Peer(address)) = Peer::from_request_parts(parts, state).await;
    Client::Address(address)
}

fn busy(_: Busy) -> Problem {
    metrics::page(metrics::Page::Refused);
    let detail = "too many pages are requested at once; try again in a moment";
    let refused = problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail);
    Problem { retry_after_ms: Some(admission::RETRY_MS), ..refused }
}

/// What to answer to a page request.
enum Prepared {
    /// Redirect to this path.
    Redirect(String),
    /// Render the page with this data.
    Page(Box<Boot>),
}

/// Decides whether to redirect, and reads the page's initial data.
async fn prepare(state: &AppState, parts: &Parts, user: Option<User>) -> error::Result<Prepared> {
    let config = discovery(state, &parts.headers, user.is_some()).await?;
    let path = parts.uri.path();
    let public = matches!(path, SIGN_IN | SETUP);
    let redirect = match &user {
        None if config.auth.needs_setup => (path != SETUP).then(|| SETUP.to_owned()),
        None if path == SETUP => Some(SIGN_IN.to_owned()),
        None => (!public).then(|| sign_in_url(parts)),
        Some(_) => public.then(|| "/".to_owned()),
    };
    if let Some(path) = redirect {
        return Ok(Prepared::Redirect(path));
    }
    let mut boot = Boot { config: Some(config), ..Boot::default() };
    if let Some(user) = user {
        boot.agents = state.agents(&user);
        let thread = path.strip_prefix("/threads/").and_then(|id| id.parse().ok());
        (boot.seed, boot.refused) = seed(state, user, thread).await?;
    }
    Ok(Prepared::Page(Box::new(boot)))
}

/// Reads the user's feed and the page's thread. If the thread cannot be shown, returns why.
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
    match threads::authorise(&state.channels, user.id, id, Access::Read).await {
        Ok(_) => {
            let (cursor, state) = state.channels.thread_for_people(id).await?;
            seed.thread = Some((id, StateAt { cursor, state }));
            Ok((seed, None))
        }
        Err(error::Error::Refused(body)) => Ok((seed, Some(body))),
        Err(error) => Err(error),
    }
}

/// The address of the sign-in page, which leads back to the requested page.
fn sign_in_url(parts: &Parts) -> String {
    match parts.uri.path_and_query().map(axum::http::uri::PathAndQuery::as_str) {
        None | Some("/") => SIGN_IN.to_owned(),
        Some(requested) => format!("{SIGN_IN}?next={}", percent_encode(requested)),
    }
}

/// Encodes a text as a value in a query string.
fn percent_encode(text: &str) -> String {
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

/// Renders a page on a thread that serves no sockets.
async fn render(state: &AppState, boot: Boot, parts: &Parts) -> Result<Response, Problem> {
    let started = Instant::now();
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
        assert!(!panics, "a test makes this component panic");
        shell(options)
    };
    let runtime = Handle::current();
    let rendered = offload::run(move || runtime.block_on(render_document(source, view))).await;
    let Document { html, status } = rendered.map_err(|panicked| {
        metrics::page(metrics::Page::Failed);
        tracing::error!(path = parts.uri.path(), error = %panicked, "rendering a page failed");
        let detail = "the server failed to render this page; its log has the cause";
        problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    })?;
    metrics::page(metrics::Page::Rendered(started.elapsed()));
    let mut response = (status.unwrap_or_default(), Html(html)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    Ok(response)
}

/// The Content-Security-Policy: the page may load its own files, run the one script with this answer's nonce, and WebAssembly.
/// Inline styles are forbidden; charts use SVG attributes for sizes.
fn content_policy(nonce: &str, socket: Option<&str>) -> String {
    let socket = socket.and_then(|url| url.strip_suffix("/ws")).unwrap_or_default();
    let reload =
        if std::env::var_os("LEPTOS_WATCH").is_some() { "ws://localhost:3001 ws://127.0.0.1:3001" } else { "" };
    format!(
        "default-src 'self'; script-src 'self' 'nonce-{nonce}' 'wasm-unsafe-eval'; style-src 'self'; \
         img-src 'self' data: blob:; connect-src 'self' {socket} {reload}; object-src 'none'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sign_in_address_leads_back_to_the_requested_page() {
        let request = Request::get("/threads/a?b=c&d=%C3").body(()).expect("a request").into_parts().0;
        assert_eq!(sign_in_url(&request), "/sign-in?next=/threads/a%3Fb%3Dc%26d%3D%25C3");
        let request = Request::get("/").body(()).expect("a request").into_parts().0;
        assert_eq!(sign_in_url(&request), "/sign-in");
    }
}
