//! The calls of administrators: agents, tool sources and everyone's usage. Also `GET /api/usage`, with which all users read their own usage.

use axum::{
    Json as JsonResponse,
    extract::{FromRequestParts, Path, Query, State},
    http::{StatusCode, request::Parts},
};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::{Caller, extract::Json};
use crate::{
    protocol::{
        Author,
        http::{
            AdminAgent, AdminAgents, AdminTools, AgentCheck, CheckAgent, OwnUsage, Problem, Role, UsageReport, User,
        },
    },
    server::{
        agents::{check, stored},
        config::agents::{AgentEntry, masked, unmasked},
        error::Error,
        problem::problem,
        runs::{Registered, last_failure},
        state::AppState,
        threads, usage,
    },
};

/// The maximum length of a message that an agent is checked with, in bytes.
const MAX_CHECK_BYTES: usize = 4_096;
/// How many agents may be checked at the same time on this node.
static CHECKS: Semaphore = Semaphore::const_new(2);

type Result<T> = std::result::Result<T, Problem>;

/// The caller, an administrator. Anyone else is refused with 403.
pub(super) struct Admin(User);

impl FromRequestParts<AppState> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let Caller(identity) = Caller::from_request_parts(parts, state).await?;
        match identity.user.role {
            Role::Admin => Ok(Self(identity.user)),
            Role::Member => Err(problem(StatusCode::FORBIDDEN, "forbidden", "this is for administrators")),
        }
    }
}

/// `GET /api/admin/agents`.
pub(super) async fn agents(State(state): State<AppState>, _: Admin) -> Result<JsonResponse<AdminAgents>> {
    let mut agents = Vec::new();
    for agent in state.runner.agents().all().iter() {
        agents.push(admin_agent(&state, agent).await?);
    }
    Ok(JsonResponse(AdminAgents { agents }))
}

/// `GET /api/admin/tools`.
pub(super) async fn tools(State(state): State<AppState>, _: Admin) -> JsonResponse<AdminTools> {
    JsonResponse(AdminTools { sources: state.registry.tools().status() })
}

/// `PUT /api/admin/agents/<id>`. A secret that is sent back masked, as `GET` shows it, keeps its value if it stays under the same key, and
/// the agent's kind, provider and origin (scheme, host and port) stay the same. Otherwise the call is refused. A URL with a mask
/// keeps its value only if it is otherwise unchanged.
pub(super) async fn put_agent(
    State(state): State<AppState>,
    Admin(user): Admin,
    Path(id): Path<String>,
    Json(entry): Json<AgentEntry>,
) -> Result<JsonResponse<AdminAgent>> {
    let invalid = |detail| problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload", detail);
    let before = stored::entry(state.channels.store(), &id).await?;
    let entry = unmasked(entry, before.as_ref()).map_err(invalid)?;
    let config = state.registry.check(&entry)?;
    if config.common.id != id {
        return Err(invalid(format!("id: the URL has `{id}`, the entry has `{}`", config.common.id)));
    }
    stored::put(state.channels.store(), &id, &entry).await?;
    tracing::info!(agent = id, by = %user.id, "an agent was set");
    reload(&state).await?;
    let agent = state.runner.agents().get(&id).ok_or_else(|| Error::not_found("agent"))?;
    Ok(JsonResponse(admin_agent(&state, &agent).await?))
}

/// `POST /api/admin/agents/<id>/check`: a short conversation with the agent, and what it found.
pub(super) async fn check_agent(
    State(state): State<AppState>,
    Admin(user): Admin,
    Path(id): Path<String>,
    Json(request): Json<CheckAgent>,
) -> Result<JsonResponse<AgentCheck>> {
    let known = state.runner.agents().get(&id).ok_or_else(|| Error::not_found("agent"))?;
    let agent = known.agent().ok_or_else(|| {
        let why = known.info.disabled.unwrap_or_default();
        problem(StatusCode::CONFLICT, "conflict", format!("the agent `{id}` cannot be used: {why}"))
    })?;
    let text = request.text.filter(|text| !text.trim().is_empty()).unwrap_or_else(|| CheckAgent::GREETING.into());
    if text.len() > MAX_CHECK_BYTES {
        let detail = format!("text: at most {MAX_CHECK_BYTES} bytes");
        return Err(problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload", detail));
    }
    let Ok(_permit) = CHECKS.try_acquire() else {
        let detail = "other agents are being checked; check this one in a moment";
        return Err(problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail));
    };
    tracing::info!(agent = id, by = %user.id, "an agent is checked");
    let author = Author { id: user.id, name: user.name };
    Ok(JsonResponse(check::check(&*agent, &author, &text).await))
}

/// `DELETE /api/admin/agents/<id>`.
pub(super) async fn remove_agent(
    State(state): State<AppState>,
    Admin(user): Admin,
    Path(id): Path<String>,
) -> Result<StatusCode> {
    // An agent whose id is taken by one of the configuration file is listed under another id.
    let id = state.runner.agents().stored_id(&id).unwrap_or(id);
    if !stored::remove(state.channels.store(), &id).await? {
        let detail =
            format!("no agent `{id}` was added here; agents of the configuration file are changed in the file");
        return Err(problem(StatusCode::NOT_FOUND, "not_found", detail));
    }
    tracing::info!(agent = id, by = %user.id, "an agent was removed");
    reload(&state).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reloads the agents on every node.
async fn reload(state: &AppState) -> Result<()> {
    stored::load(state.channels.store(), &state.registry).await?;
    state.nodes.agents_changed();
    Ok(())
}

/// The query of `GET /api/admin/usage`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UsageQuery {
    /// For how many days, up to today.
    #[serde(default = "default_days")]
    days: u16,
    /// How many rows, and how many sums, to skip: the `next` of the previous page.
    #[serde(default)]
    skip: u32,
}

fn default_days() -> u16 {
    7
}

/// `GET /api/admin/usage?days=7&skip=0`.
pub(super) async fn usage(
    State(state): State<AppState>,
    _: Admin,
    Query(UsageQuery { days, skip }): Query<UsageQuery>,
) -> Result<JsonResponse<UsageReport>> {
    Ok(JsonResponse(usage::report(&state.channels, days.clamp(1, 366), skip).await?))
}

/// `GET /api/usage`.
pub(super) async fn own_usage(
    State(state): State<AppState>,
    Caller(identity): Caller,
) -> Result<JsonResponse<OwnUsage>> {
    let id = identity.user.id;
    let today = usage::today(&state.channels, id).await?.plus(state.runner.agents().allowance().of_open_runs(id));
    Ok(JsonResponse(OwnUsage { today, budget: state.config.runs.budget() }))
}

async fn admin_agent(state: &AppState, agent: &Registered) -> Result<AdminAgent> {
    let Registered { info, source, entry, .. } = agent;
    let last_failure = last_failure(state.channels.store(), &info.id).await?;
    let (entry, health) = (masked(entry.clone()).0, agent.health());
    let feedback = threads::feedback_counts(&state.channels, &info.id).await?;
    Ok(AdminAgent { info: info.clone(), source: *source, entry, health, feedback, last_failure })
}
