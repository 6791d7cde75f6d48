//! What machines ask about the server: whether it lives, whether to send it people, and its metrics.
//!
//! `/healthz` never looks further than this process: whoever restarts what does not answer shall not restart it because
//! the store is away. `/readyz` does, in bounded time. `/metrics` is there only where `server.metrics` says so: who asks from this
//! machine may be a proxy that asks for the world, so no address is taken for a right.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use crate::server::{
    bus::Status,
    config::MetricsAccess,
    metrics::{self, CurrentValues},
    outage::Outage,
    state::AppState,
};

/// How long the store may take to answer `/readyz`.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether to send people here, and each thing that this depends on.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    store: Part,
    bus: Part,
    server: Part,
}

/// One thing that readiness depends on.
#[derive(Debug, Serialize)]
struct Part {
    ok: bool,
    /// What is the matter, or in what state it is; no addresses and no secrets.
    state: &'static str,
}

/// `/healthz`, `/readyz`, and `/metrics` where it is served beside the rest.
pub(crate) fn routes(access: &MetricsAccess) -> Router<AppState> {
    let router = Router::new().route("/healthz", get(alive)).route("/readyz", get(ready));
    match access {
        MetricsAccess::Off | MetricsAccess::Listen(_) => router,
        MetricsAccess::Public => router.route("/metrics", get(async |State(state)| exposition(&state))),
    }
}

/// The same with `/metrics` for everyone: for an address of their own.
pub(crate) fn own_routes(state: AppState) -> Router {
    routes(&MetricsAccess::Public).with_state(state)
}

/// `GET /healthz`: 200 as long as the process answers.
async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: 200 while people can be served here, else 503; in both cases with each part's state.
async fn ready(State(state): State<AppState>) -> Response {
    let server = match state.manager.is_draining() {
        true => Part { ok: false, state: "draining" },
        false => Part { ok: true, state: "serving" },
    };
    let (store, bus) = (store(&state).await, bus(&state));
    let ready = store.ok && bus.ok && server.ok;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(Readiness { ready, store, bus, server })).into_response()
}

async fn store(state: &AppState) -> Part {
    let store = state.channels.store();
    let asked = sqlx::query("SELECT 1").execute(store.reader());
    match tokio::time::timeout(PATIENCE, asked).await {
        // Whether it can be written is known from the node's lease, which is renewed every few seconds: nobody who asks here
        // makes it write.
        Ok(Ok(_)) => match store.broken() {
            None => Part { ok: true, state: "answers" },
            Some(Outage::OutOfReach | Outage::FilesFull) => Part { ok: false, state: "takes no writes" },
            Some(Outage::StoreFull) => Part { ok: false, state: "takes no writes: its disk is full" },
            Some(Outage::StoreReadOnly) => Part { ok: false, state: "takes no writes: it is read-only" },
            Some(Outage::StoreDisk) => Part { ok: false, state: "takes no writes: its disk fails" },
        },
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: the store failed");
            Part { ok: false, state: "failed" }
        }
        Err(_) => Part { ok: false, state: "does not answer in time" },
    }
}

fn bus(state: &AppState) -> Part {
    match state.nodes.bus().status() {
        Status::Local => Part { ok: true, state: "local" },
        Status::Connected => Part { ok: true, state: "connected" },
        Status::Degraded { .. } => Part { ok: false, state: "degraded" },
    }
}

fn exposition(state: &AppState) -> impl IntoResponse + use<> {
    let counts = state.manager.counts();
    let values = CurrentValues {
        users: counts.users,
        channels: counts.channels,
        queue_bytes: state.manager.queue_bytes(),
        runs: state.runner.active(),
        draining: state.manager.is_draining(),
    };
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics::render(values))
}
