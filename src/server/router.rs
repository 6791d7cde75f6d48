//! Every route of the server, in one place.

use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::map_response,
    response::Response,
};
use tower_http::{compression::CompressionLayer, trace::TraceLayer};
use tracing::Span;

use std::sync::Arc;

use super::{auth::Sessions, http, page, state::AppState, ws};

/// Said with every answer.
const SECURITY: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
];

/// The server's routes.
pub fn router(state: AppState) -> Router {
    // Sessions belong to what asks who is there; the page's files do not.
    let sessions = Sessions::new(state.channels.store().clone()).layer(&state.config);
    let calls = Router::new()
        .nest("/api", http::routes(&state.config))
        .merge(page::routes())
        .layer(CompressionLayer::new())
        // Frames are not compressed, and an upgrade has no body.
        .merge(ws::routes(Arc::new(state.gateway())))
        .layer(sessions);
    let router = calls.merge(http::health::routes(&state.config.server.metrics));
    let missing = page::missing().layer(CompressionLayer::new());
    state
        .site
        .serve(router, missing, &state)
        .layer(map_response(secured))
        // What fails says so where it does: a 503 of `/readyz` is no error of the log.
        .layer(TraceLayer::new_for_http().make_span_with(span).on_failure(()))
        .with_state(state)
}

/// What a request is called in logs and traces: without the query, which may hold secrets.
fn span(request: &Request) -> Span {
    tracing::info_span!("request", otel.kind = "server", method = %request.method(), path = request.uri().path())
}

async fn secured(mut response: Response) -> Response {
    response.headers_mut().extend(SECURITY);
    response
}
