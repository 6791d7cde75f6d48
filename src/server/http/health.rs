//! Liveness, readiness and metrics, for machines.
//!
//! `/healthz` depends on this process alone: a supervisor must not restart it because the store is down. `/readyz` tests the store,
//! within [`STORE_TIMEOUT`]. `/metrics` exists only if `server.metrics` says so; a local address gives no access to it, as a request
//! from this machine may come from a proxy.

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
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether this node can serve people, and each part that this depends on.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    store: Part,
    bus: Part,
    server: Part,
}

/// A part that readiness depends on.
#[derive(Debug, Serialize)]
struct Part {
    ok: bool,
    /// Its state or what is wrong with it, without addresses and secrets.
    state: &'static str,
}

/// `/healthz`, `/readyz`, and `/metrics` if that is public.
pub(crate) fn routes(access: &MetricsAccess) -> Router<AppState> {
    let router = Router::new().route("/healthz", get(alive)).route("/readyz", get(ready));
    match access {
        MetricsAccess::Off | MetricsAccess::Listen(_) => router,
        MetricsAccess::Public => router.route("/metrics", get(async |State(state)| exposition(&state))),
    }
}

/// `/healthz`, `/readyz` and `/metrics`, for a listener of their own.
pub(crate) fn standalone_routes(state: AppState) -> Router {
    routes(&MetricsAccess::Public).with_state(state)
}

/// `GET /healthz`: 200 as long as the process answers.
async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: 200 if this node can serve people, else 503; with the state of each part.
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
    match tokio::time::timeout(STORE_TIMEOUT, asked).await {
        // Whether it can be written is known from the renewal of the node's lease every few seconds, so that requests cause no
        // writes.
        Ok(Ok(_)) => match store.outage() {
            None => Part { ok: true, state: "answers" },
            Some(Outage::OutOfReach | Outage::FilesFull) => Part { ok: false, state: "accepts no writes" },
            Some(Outage::StoreFull) => Part { ok: false, state: "accepts no writes: its disk is full" },
            Some(Outage::StoreReadOnly) => Part { ok: false, state: "accepts no writes: it is read-only" },
            Some(Outage::StoreDisk) => Part { ok: false, state: "accepts no writes: its disk fails" },
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
