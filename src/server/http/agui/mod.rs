//! AG-UI out: `POST /api/agents/<id>/agui` for any front end or framework that speaks AG-UI over HTTP.
//!
//! The run is a run like any other: in the log of its owner's thread, seen in every tab and device, queued, stopped and answered
//! from there as well. It belongs to the server: a caller that goes away neither stops it nor loses it. The same message id
//! again tells the same run from its beginning; `DELETE /api/runs/<run_id>` stops it.
//!
//! Of `messages` the last is taken, a person's; what was said before is in the thread, and what the caller says about it is
//! not looked at. `resume` answers what an earlier run of the thread waits for. State, tools, context and forwarded properties go to
//! the agent. What is wrong is said before the stream opens.

mod ids;
mod stream;

use std::collections::VecDeque;

use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderName, StatusCode},
    response::Response,
};

use self::{
    ids::id_for,
    stream::{Names, Told},
};
use super::{Caller, extract::Json, problem::problem};
use crate::{
    protocol::{
        Answer, CreateThread, ErrorBody, ErrorCode, InterruptAnswer, MessageAccepted, MessageId, RunId, SendMessage,
        ThreadId,
        agui::{Message, Resume, RunAgentInput, ToolContent},
        http::{Problem, User},
    },
    server::{
        agents,
        channel::Channel,
        error::{Error, Result},
        state::AppState,
        threads,
        ws::{Listener, Runs, turns},
    },
    thread::{Item, RunState, RunView, ThreadView},
};

/// The headers of the answer.
pub(super) const HEADERS: [HeaderName; 3] = [stream::THREAD_ID, stream::RUN_ID, stream::SEQ];
/// The largest input, in bytes: callers send the whole conversation along.
pub(super) const MAX_INPUT_BYTES: usize = 4 * 1024 * 1024;
/// The longest id of a caller's, in bytes.
const MAX_ID_BYTES: usize = 256;

/// `POST /api/agents/<agent_id>/agui`.
pub(super) async fn run(
    State(state): State<AppState>,
    Caller(identity): Caller,
    agent: std::result::Result<Path<String>, PathRejection>,
    Json(input): Json<RunAgentInput>,
) -> Result<Response, Problem> {
    let Path(agent) = agent.map_err(|_| Error::not_found("agent"))?;
    let user = &identity.user;
    let agent = state.runner.resolve(Some(&agent), user)?;
    let asks = Asks::read(user, &input)?;
    let channel = Channel::Thread(asks.thread_id);
    let most = state.config.socket.max_connections_per_user;
    // Before anything is appended: what is appended then, is told.
    let mut listener = Listener::open(&state.manager, &state.channels, &identity, channel, most)?;
    let (asked, accepted) = asks.ask(&state, user, &agent, caller(&input).as_ref()).await?;
    listener.begin_after(accepted.seq);
    tracing::info!(user = %user.id, thread = %asks.thread_id, run = %accepted.run_id, "a run is told over HTTP");
    let told = Told {
        listener,
        channels: state.channels.clone(),
        names: Names { thread_id: input.thread_id.clone(), run_id: input.run_id.clone() },
        thread_id: asks.thread_id,
        run_id: accepted.run_id,
        asked,
        next: VecDeque::new(),
        over: false,
    };
    Ok(told.response(accepted.seq))
}

/// `DELETE /api/runs/<run_id>`: stops a run. One that is over is fine.
pub(super) async fn stop(
    State(state): State<AppState>,
    Caller(identity): Caller,
    run: std::result::Result<Path<RunId>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path(run) = run.map_err(|_| Error::not_found("run"))?;
    if threads::ask_to_stop(&state.channels, identity.user.id, run).await? {
        state.nodes.stop_run(run);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// What a caller asks, in Netra's terms.
#[derive(Debug)]
struct Asks<'a> {
    thread_id: ThreadId,
    what: What<'a>,
}

#[derive(Debug)]
enum What<'a> {
    /// To answer a message.
    Say { id: MessageId, text: String },
    /// To go on from what a run waits for.
    Answer { id: MessageId, resume: &'a [Resume] },
}

impl<'a> Asks<'a> {
    fn read(user: &User, input: &'a RunAgentInput) -> Result<Self, Problem> {
        for (name, id) in [("threadId", &input.thread_id), ("runId", &input.run_id)] {
            if id.is_empty() || id.len() > MAX_ID_BYTES {
                return Err(invalid(format!("`{name}` has 1 to {MAX_ID_BYTES} bytes")));
            }
        }
        let thread_id = id_for(user.id, &input.thread_id);
        let what = match (input.resume.as_deref(), input.messages.last()) {
            (Some(resume @ [_, ..]), _) => What::Answer { id: id_for(thread_id, &input.run_id), resume },
            (_, Some(Message::User { id, content, .. })) => {
                What::Say { id: id_for(thread_id, id), text: text_of(content)? }
            }
            _ => {
                let detail = "the last of `messages` is no person's: add the message to answer, or `resume` what a run waits for";
                return Err(invalid(detail));
            }
        };
        Ok(Self { thread_id, what })
    }

    /// Appends it, or finds what it brought before.
    async fn ask(
        &self,
        state: &AppState,
        user: &User,
        agent: &str,
        caller: Option<&agents::Caller>,
    ) -> Result<(MessageId, MessageAccepted)> {
        let (channels, thread_id) = (&state.channels, self.thread_id);
        Ok(match &self.what {
            What::Say { id, text } => {
                let known = Some(agent.to_owned());
                let message = SendMessage { message_id: *id, agent: known, ..SendMessage::new(thread_id, text) };
                threads::check_message(&message)?;
                ensure_thread(state, user, thread_id, agent).await?;
                (*id, turns::send(channels, &state.runner, user, &message, caller).await?)
            }
            What::Answer { id, resume } => {
                threads::authorise(channels, user.id, thread_id).await?;
                let (_, view) = channels.thread(thread_id).await?;
                let run_id = waiting(&view, resume)?;
                let answers = resume.iter().map(answer).collect();
                let answer = Answer { answer_id: *id, thread_id, run_id, answers };
                (*id, turns::answer(channels, &state.runner, user, &answer, caller).await?)
            }
        })
    }
}

/// The thread, made where this person has none of this id.
async fn ensure_thread(state: &AppState, user: &User, thread_id: ThreadId, agent: &str) -> Result<()> {
    match threads::authorise(&state.channels, user.id, thread_id).await {
        Err(Error::Refused(ErrorBody { code: ErrorCode::NotFound, .. })) => {
            let command = CreateThread { thread_id, title: None, agent: Some(agent.to_owned()) };
            threads::create(&state.channels, user, &command, agent).await.map(drop)
        }
        known => known.map(drop),
    }
}

/// The newest run that waits for answers to all of these; answered before or not.
fn waiting(view: &ThreadView, resume: &[Resume]) -> Result<RunId> {
    let asks = |run: &RunView| match &run.state {
        RunState::Interrupted { interrupts } => {
            resume.iter().all(|entry| interrupts.iter().any(|interrupt| interrupt.id == entry.interrupt_id))
        }
        _ => false,
    };
    let runs = view.items.iter().rev().filter_map(|item| if let Item::Run(run) = item { Some(run) } else { None });
    runs.into_iter().find(|run| asks(run)).map(|run| run.run_id).ok_or_else(|| {
        Error::refused(ErrorCode::Conflict, "no run of this thread waits for an answer to what `resume` names")
    })
}

fn answer(entry: &Resume) -> InterruptAnswer {
    InterruptAnswer { interrupt_id: entry.interrupt_id.clone(), status: entry.status, payload: entry.payload.clone() }
}

/// What the agent is given along, if anything. A client that holds no state yet says `{}`, which is none: the thread's counts.
fn caller(input: &RunAgentInput) -> Option<agents::Caller> {
    let said = |value: &serde_json::Value| match value {
        serde_json::Value::Null => None,
        serde_json::Value::Object(fields) if fields.is_empty() => None,
        value => Some(value.clone()),
    };
    let caller = agents::Caller {
        state: said(&input.state),
        tools: input.tools.clone(),
        context: input.context.clone(),
        forwarded_props: said(&input.forwarded_props),
    };
    Some(caller).filter(|caller| *caller != agents::Caller::default())
}

/// The text of a message; its parts, one line each.
fn text_of(content: &ToolContent) -> Result<String, Problem> {
    let parts = match content {
        ToolContent::Text(text) => return Ok(text.clone()),
        ToolContent::Parts(parts) => parts,
    };
    let texts = parts.iter().map(|part| match (part["type"].as_str(), part["text"].as_str()) {
        (Some("text"), Some(text)) => Ok(text),
        (kind, _) => {
            let kind = kind.unwrap_or("none");
            Err(invalid(format!("a part of type `{kind}` cannot be taken; upload files to the thread instead")))
        }
    });
    Ok(texts.collect::<Result<Vec<_>, _>>()?.join("\n"))
}

fn invalid(detail: impl Into<String>) -> Problem {
    problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload", detail)
}
