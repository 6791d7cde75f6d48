//! Every route of the server, in one place.

use axum::{
    Router,
    http::{HeaderName, HeaderValue, header},
    middleware::map_response,
    response::Response,
};
use tower_http::{compression::CompressionLayer, trace::TraceLayer};

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
        .layer(TraceLayer::new_for_http())
        .with_state(state)
}

async fn secured(mut response: Response) -> Response {
    response.headers_mut().extend(SECURITY);
    response
}
