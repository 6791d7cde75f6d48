//! Pages: what one begins with is read first, then it is rendered with its content.

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use leptos::{nonce::Nonce, prelude::*};
use leptos_axum::{LeptosRoutes, generate_route_list, render_app_async_with_context};

use super::{error, failure_page::failure_page, http::discovery, http::problem::problem, state::AppState, threads};
use crate::{
    protocol::{ThreadId, http::User},
    socket::context::{At, Seed},
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
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "a page is only read")
                .into_response();
        }
        let mut response = render(state, Boot::default(), request).await;
        *response.status_mut() = StatusCode::NOT_FOUND;
        response
    })
}

async fn page(State(state): State<AppState>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match begin(&state, &parts).await {
        Ok(Begin::Elsewhere(path)) => ([(header::CACHE_CONTROL, "no-store")], Redirect::to(&path)).into_response(),
        Ok(Begin::Here(boot)) => {
            let refused = boot.refused.is_some();
            let mut response = render(state, *boot, Request::from_parts(parts, body)).await;
            if refused {
                *response.status_mut() = StatusCode::NOT_FOUND;
            }
            response
        }
        Err(error) => failure_page(error.into_body()),
    }
}

enum Begin {
    Elsewhere(String),
    Here(Box<Boot>),
}

async fn begin(state: &AppState, parts: &Parts) -> error::Result<Begin> {
    let user = state.auth.visitor(parts).await?.map(|identity| identity.user);
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
    let (cursor, feed) = state.channels.feed(user.id).await?;
    let mut seed = Seed { feed: Some(At { cursor, state: feed }), thread: None, user: Some(user.clone()) };
    let Some(id) = thread else { return Ok((seed, None)) };
    match threads::authorise(&state.channels, user.id, id).await {
        Ok(_) => {
            let (cursor, view) = state.channels.thread(id).await?;
            seed.thread = Some((id, At { cursor, state: view.shown() }));
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

async fn render(state: AppState, boot: Boot, request: Request) -> Response {
    let socket = boot.config.as_ref().map(|config| config.socket.url.clone());
    let nonce = Nonce::new();
    let policy = content_policy(&nonce.to_string(), socket.as_deref());
    let options = state.site.options.clone();
    let context = move || {
        provide_context(nonce.clone());
        provide_context(boot.clone());
    };
    let mut response = render_app_async_with_context(context, move || shell(options.clone()))(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response.into_response()
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
