//! AG-UI over HTTP: `POST /api/agents/<id>/agui`, for any front end or framework that uses it.
//!
//! The run is a run like any other: in the log of its owner's thread, shown in every tab and device, queued, stopped and answered
//! there as well. It does not depend on the request: a caller that disconnects neither stops it nor loses it. The same message id
//! again streams the same run from its beginning; `DELETE /api/runs/<run_id>` stops it.
//!
//! Only the end of `messages` is read: a person's message, whose files become files of the thread, or results of tools that the
//! caller executed, which may also precede a person's message. Everything before that is in the thread already and is ignored.
//! `resume` answers the interrupts of an earlier run. State, tools, context and forwarded properties are passed to the agent. Errors
//! in the request are answered before the stream begins.

mod forwarded;
mod history;
mod ids;
mod input;
mod join_pieces;
mod langgraph_resume;
mod parts;
mod request;
mod stream;

use std::collections::{HashSet, VecDeque};

use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderName, StatusCode},
    response::Response,
};
use serde_json::{Map, Value, json};

use self::{
    forwarded::forwarded,
    history::History,
    ids::id_for,
    input::Input,
    join_pieces::PieceJoiner,
    request::{PersonMessage, Request, RequestKind},
    stream::{ExternalIds, MessageIds, RunStream},
};
use super::Caller;
use crate::{
    protocol::{RunId, http::Problem, limits::MAX_EXTERNAL_ID_BYTES},
    server::{
        access::Access, channel::Channel, connections::ChannelReader, error::Error, problem::problem, state::AppState,
        threads,
    },
    thread::ThreadView,
};

/// The headers of the answer.
pub(super) const HEADERS: [HeaderName; 3] = [stream::THREAD_ID, stream::RUN_ID, stream::SEQ];

/// `POST /api/agents/<agent_id>/agui`.
pub(super) async fn run(
    State(state): State<AppState>,
    Caller(identity): Caller,
    agent: std::result::Result<Path<String>, PathRejection>,
    mut input: Input,
) -> Result<Response, Problem> {
    langgraph_resume::to_resume(&state, &identity.user, &mut input.parsed).await?;
    let parsed = &input.parsed;
    let Path(agent) = agent.map_err(|_| Error::not_found("agent"))?;
    let user = &identity.user;
    let request = Request::parse(user, parsed, state.config.analyst.max_file_bytes)?;
    // A request that was accepted before is answered again even if its agent cannot be used any more.
    if let Err(refused) = state.runner.agents().resolve(Some(&agent), user)
        && !threads::was_accepted(&state.channels, user.id, request.id()).await?
    {
        return Err(refused.into());
    }
    let channel = Channel::Thread(request.thread_id);
    let max_connections = state.config.socket.max_connections_per_user;
    // Before anything is stored: a caller with too many connections is refused.
    let mut reader = ChannelReader::open(&state.manager, &state.channels, &identity, channel, max_connections)?;
    let (accepted, history) = request.submit(&state, user, &agent, forwarded(parsed)?).await?;
    reader.start_after(accepted.seq);
    // A removal from the thread's members that came since ended no subscription: from here on, it does.
    state.channels.access(user.id, request.thread_id).await?.require(Access::Read)?;
    tracing::info!(user = %user.id, thread = %request.thread_id, run = %accepted.run_id, "a run is streamed over HTTP");
    let given_results = match &request.kind {
        RequestKind::Message(PersonMessage { results, .. }) | RequestKind::Results { results, .. } => {
            results.iter().map(|result| result.interrupt_id.clone()).collect()
        }
        RequestKind::Resume { .. } => HashSet::new(),
    };
    let (_, view) = state.channels.thread(request.thread_id).await?;
    let message_ids = MessageIds::new(request.thread_id, &parsed.messages, &view);
    let mut restated = restated_events(&input, &view, accepted.run_id, history);
    restated.iter_mut().for_each(|event| message_ids.restore(event));
    let stream = RunStream {
        reader,
        channels: state.channels.clone(),
        external_ids: ExternalIds {
            thread_id: parsed.thread_id.clone(),
            run_id: parsed.run_id.clone(),
            parent_run_id: parsed.parent_run_id.clone(),
        },
        message_ids,
        thread_id: request.thread_id,
        run_id: accepted.run_id,
        message_id: request.id(),
        given_results,
        gave_state: !is_none(&parsed.state),
        pieces: PieceJoiner::default(),
        restated,
        queue: VecDeque::new(),
        is_over: false,
    };
    Ok(stream.into_response(accepted.seq))
}

/// The state and the conversation before the run, as far as its events build on them and the caller may not have them.
fn restated_events(input: &Input, view: &ThreadView, run: RunId, history: Option<History>) -> Vec<Value> {
    let state = if is_none(&input.parsed.state) { view.state_before(run) } else { None };
    let state = state.map(|state| json!({"type": "STATE_SNAPSHOT", "snapshot": state}));
    let messages = history.map(|history| history.snapshot(&input.parsed.messages, || input.messages()));
    state.into_iter().chain(messages).collect()
}

/// Whether a value is absent: null, or the empty object that a client without a state sends.
fn is_none(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty)
}

fn invalid(detail: impl Into<String>) -> Problem {
    problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload", detail)
}
