//! The HTTP API beside the WebSocket: discovery, sign-in, files, notices, runs for other front ends ([`agui`]), administration, and
//! health for machines.
//!
//! JSON in, JSON out. Every error, also for an unknown route or method, is an RFC 9457 problem with a stable `code`. Calls with a
//! cookie are refused if they come from a page of another origin.

mod accounts;
mod admin;
mod agui;
mod client_address;
mod export;
mod extract;
pub mod files;
mod form;
pub(crate) mod health;
mod images;
mod imports;
mod inbox;
mod info;
mod members;
mod prompts;
mod runs;
mod search;
pub(crate) mod session_cookie;
mod sharing;
mod threads;

use std::panic::AssertUnwindSafe;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{Method, StatusCode, header},
    middleware::{Next, from_fn, map_response},
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use futures_util::FutureExt;
use tower_http::cors::{AllowOrigin, CorsLayer};

pub use extract::{Caller, Peer};
pub use info::discovery;

use super::{config::Config, headers, problem, state::AppState};

/// The largest JSON body, in bytes; the largest is an administrator's entry for an agent.
const MAX_JSON_BYTES: usize = 64 * 1024;
/// The largest JSON body of a call without credentials, in bytes: an e-mail address and a password, each character escaped.
const MAX_SIGN_IN_BYTES: usize = 16 * 1024;

/// The routes under `/api`.
pub fn routes(config: &Config) -> Router<AppState> {
    let files = DefaultBodyLimit::max(usize::try_from(files::max_body_bytes(config)).unwrap_or(usize::MAX));
    Router::new()
        .route("/config", get(info::config))
        .route("/agents", get(info::agents))
        .route("/threads", get(threads::list))
        .route("/tags", get(threads::tags))
        .route("/images", get(images::load))
        .route("/prompts", get(prompts::list))
        .route("/prompts/{prompt_id}", get(prompts::read))
        .route("/import", post(imports::import).layer(DefaultBodyLimit::disable()))
        .route("/search", get(search::search))
        .route("/inbox", get(inbox::list))
        .route("/usage", get(admin::own_usage))
        .route("/admin/agents", get(admin::agents))
        .route("/admin/agents/{agent}/check", post(admin::check_agent))
        .route("/admin/agents/{agent}", put(admin::put_agent).delete(admin::remove_agent))
        .route("/admin/tools", get(admin::tools))
        .route("/admin/usage", get(admin::usage))
        .route("/notices", post(info::notice))
        .route("/users/{user_id}/disconnect", post(accounts::disconnect))
        .route("/auth/me", get(accounts::me))
        .route("/auth/setup", post(accounts::setup).layer(DefaultBodyLimit::max(MAX_SIGN_IN_BYTES)))
        .route("/auth/sign-in", post(accounts::sign_in).layer(DefaultBodyLimit::max(MAX_SIGN_IN_BYTES)))
        .route("/auth/sign-out", post(accounts::sign_out))
        .route("/auth/password", post(accounts::password).layer(DefaultBodyLimit::max(MAX_SIGN_IN_BYTES)))
        .route("/auth/sign-out-everywhere", post(accounts::sign_out_everywhere))
        .route("/auth/token", post(accounts::token).layer(DefaultBodyLimit::max(MAX_SIGN_IN_BYTES)))
        .route("/auth/ticket", post(accounts::ticket))
        .layer(DefaultBodyLimit::max(MAX_JSON_BYTES))
        .route("/threads/{thread_id}/export", get(export::export))
        .route("/threads/{thread_id}/links", get(sharing::links))
        .route("/threads/{thread_id}/members", get(members::list))
        .route("/people", get(members::people))
        .route("/runs/{run_id}", delete(runs::stop))
        .route("/threads/{thread_id}", delete(threads::remove))
        .route("/runs/{run_id}/raw", get(runs::raw))
        .route("/runs/{run_id}/entries", get(runs::entries))
        .route("/agents/{agent_id}/agui", post(agui::run).layer(DefaultBodyLimit::disable()))
        .route("/threads/{thread_id}/files", post(files::upload).layer(files))
        .route("/files", post(files::upload_unsent).layer(files))
        .route("/files/{file_id}", delete(files::remove_unsent))
        .route("/threads/{thread_id}/files/{file_id}", get(files::download))
        .fallback(async || problem::problem(StatusCode::NOT_FOUND, "not_found", "there is no such route"))
        .method_not_allowed_fallback(async || {
            problem::problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", problem::METHOD_NOT_ALLOWED)
        })
        .layer(from_fn(catch_panics))
        .layer(map_response(headers::forbid_caching))
        .layer(cors(config))
}

/// Answers 500 if a handler panics; without this the connection would be closed without an answer.
async fn catch_panics(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    // Unwind safe: shared state is behind locks that a panic does not poison, or in the store.
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!(path, "a call panicked");
            let detail = "the server failed; its log has the cause";
            problem::problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).into_response()
        }
    }
}

/// CORS: pages of the allowed origins may make every call, with a token of their own.
fn cors(config: &Config) -> CorsLayer {
    let origins = config.auth.allowed_origins.iter().filter_map(|origin| origin.parse().ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .expose_headers([&[header::RETRY_AFTER], &agui::HEADERS[..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, http::Request};
    use tower::ServiceExt;

    #[tokio::test]
    async fn a_call_that_panics_is_answered_with_a_problem() {
        let panics = async || -> StatusCode { panic!("of the test") };
        let router = Router::<()>::new().route("/", get(panics)).layer(from_fn(catch_panics));
        let answer =
            router.oneshot(Request::get("/").body(Body::empty()).expect("a request")).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], problem::CONTENT_TYPE);
    }
}
