//! The server's router: the routes of the other modules, and the layers around them.

use axum::{
    Router,
    extract::Request,
    middleware::{from_fn_with_state, map_response},
    response::Response,
};
use tower_http::{compression::CompressionLayer, trace::TraceLayer};
use tracing::Span;

use std::sync::Arc;

use super::{
    auth::cookie_name,
    headers,
    http::{self, session_cookie::only_session_cookie},
    page, problem,
    state::AppState,
    ws,
};

/// What the paths of share links begin with. A token follows.
const SHARED: &str = "/shared/";

/// The server's routes.
pub fn router(state: AppState) -> Router {
    // Only the routes that authenticate need sessions, not the page's files.
    let sessions = state.auth.sessions().layer(&state.config);
    let routes = Router::new()
        .nest("/api", http::routes(&state.config))
        .merge(page::routes())
        .layer(map_response(problem::as_problem))
        .layer(CompressionLayer::new())
        // Merged after the compression layer, so that it does not apply: an upgrade has no body.
        .merge(ws::routes(Arc::new(state.gateway())))
        .layer(sessions)
        .layer(from_fn_with_state(cookie_name(&state.config), only_session_cookie));
    let router = routes.merge(http::health::routes(&state.config.server.metrics));
    let security_headers = headers::security_headers(&state.config);
    let missing = page::missing().layer(CompressionLayer::new());
    state
        .site
        .serve(router, missing.with_state(state.clone()))
        .layer(map_response(problem::as_problem))
        .layer(map_response(move |mut response: Response| {
            for (name, value) in &security_headers {
                response.headers_mut().entry(name).or_insert_with(|| value.clone());
            }
            std::future::ready(response)
        }))
        // Failures are logged where they happen; a 503 of `/readyz` is none.
        .layer(TraceLayer::new_for_http().make_span_with(span).on_failure(()))
        .with_state(state)
}

/// The span of a request for logs and traces: without what may hold secrets, which are the query and the tokens of share links.
fn span(request: &Request) -> Span {
    tracing::info_span!("request", otel.kind = "server", method = %request.method(), path = logged_path(request.uri().path()))
}

fn logged_path(path: &str) -> &str {
    if path.starts_with(SHARED) { SHARED } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_of_a_share_link_is_not_logged() {
        assert_eq!(logged_path("/shared/0199.secret"), "/shared/");
        assert_eq!(logged_path("/threads/0199"), "/threads/0199");
    }
}
