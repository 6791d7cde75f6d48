//! AG-UI out: `POST /api/agents/<id>/agui` for any front end or framework that speaks AG-UI over HTTP.
//!
//! The run is a run like any other: in the log of its owner's thread, seen in every tab and device, queued, stopped and answered
//! from there as well. It belongs to the server: a caller that goes away neither stops it nor loses it. The same message id
//! again tells the same run from its beginning; `DELETE /api/runs/<run_id>` stops it.
//!
//! Of `messages` the last is taken: a person's, whose files become those of the message in the thread, or the results of tools that
//! the caller carried out, which may also stand before a person's words. What was said before is in the thread, and what the
//! caller says about it is not looked at. `resume` answers what an earlier run waits for. State, tools, context and forwarded
//! properties go to the agent. What is wrong is said before the stream opens.

mod command;
mod ids;
mod input;
mod parts;
mod pieces;
mod stream;

use std::collections::{HashSet, VecDeque};

use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderName, StatusCode},
    response::Response,
};
use serde_json::{Map, Value, json};

use self::{
    ids::id_for,
    input::Input,
    parts::Carried,
    pieces::Pieces,
    stream::{MessageIds, Names, Told},
};
use super::Caller;
use crate::{
    json_size::{Extent, extent},
    protocol::{
        Answer, AnswerStatus, CreateThread, ErrorBody, ErrorCode, InterruptAnswer, MessageAccepted, MessageId, RunId,
        SendMessage, ThreadId,
        agui::{Message, Resume, RunAgentInput},
        http::{Problem, User},
        limits::{MAX_DEPTH, MAX_EXTERNAL_ID_BYTES},
    },
    server::{
        channel::Channel,
        commands::run_detached,
        connections::Listener,
        error::{Error, Result},
        problem::problem,
        runs::{self, CallerInput},
        state::AppState,
        threads,
    },
    thread::{RunState, RunView, ThreadView},
};

/// The headers of the answer.
pub(super) const HEADERS: [HeaderName; 3] = [stream::THREAD_ID, stream::RUN_ID, stream::SEQ];
/// The largest state of a caller's, in bytes, and how deep it may be nested: the event that holds it has some around it.
const MAX_STATE_BYTES: usize = 8 * 1024 * 1024;
/// From here on, in bytes, a state is not stored with the run where it is the thread's already.
const LARGE_STATE_BYTES: usize = 16 * 1024;
const MAX_STATE_DEPTH: usize = MAX_DEPTH - 2;
/// The most that `tools`, `context` and `forwardedProps` of a caller's have together, in bytes: they are stored with the run.
const MAX_GIVEN_BYTES: usize = 1 << 20;

/// `POST /api/agents/<agent_id>/agui`.
pub(super) async fn run(
    State(state): State<AppState>,
    Caller(identity): Caller,
    agent: std::result::Result<Path<String>, PathRejection>,
    mut given: Input,
) -> Result<Response, Problem> {
    command::to_resume(&state, &identity.user, &mut given.input).await?;
    let input = &given.input;
    let Path(agent) = agent.map_err(|_| Error::not_found("agent"))?;
    let user = &identity.user;
    let asks = Asks::read(user, input, state.config.analyst.max_file_bytes)?;
    // What was taken before gets its answer again, whatever became of the agent.
    if let Err(refused) = state.runner.agents().resolve(Some(&agent), user)
        && !threads::is_known(&state.channels, user.id, asks.id()).await?
    {
        return Err(refused.into());
    }
    let channel = Channel::Thread(asks.thread_id);
    let most = state.config.socket.max_connections_per_user;
    // First of all: a caller with too many connections is refused before anything is stored.
    let mut listener = Listener::open(&state.manager, &state.channels, &identity, channel, most)?;
    let (asked, accepted, restates) = asks.ask(&state, user, &agent, caller(input)?).await?;
    listener.begin_after(accepted.seq);
    tracing::info!(user = %user.id, thread = %asks.thread_id, run = %accepted.run_id, "a run is told over HTTP");
    let results = match &asks.what {
        What::Say { results, .. } | What::Results { results, .. } => {
            results.iter().map(|result| result.interrupt_id.clone()).collect()
        }
        What::Answer { .. } => HashSet::new(),
    };
    let (_, view) = state.channels.thread(asks.thread_id).await?;
    let message_ids = MessageIds::of(asks.thread_id, &input.messages, &view);
    let mut restated: Vec<Value> = Vec::new();
    if is_none(&input.state) {
        // What the run changes is told as changes of that.
        let shared = view.state_before(accepted.run_id);
        restated.extend(shared.map(|shared| json!({"type": "STATE_SNAPSHOT", "snapshot": shared})));
    }
    restated.extend(restates.map(|history| history.message(&input.messages, || given.messages())));
    restated.iter_mut().for_each(|event| message_ids.restore(event));
    let told = Told {
        listener,
        channels: state.channels.clone(),
        names: Names {
            thread_id: input.thread_id.clone(),
            run_id: input.run_id.clone(),
            parent_run_id: input.parent_run_id.clone(),
        },
        message_ids,
        thread_id: asks.thread_id,
        run_id: accepted.run_id,
        asked,
        given: results,
        gave_state: !is_none(&input.state),
        pieces: Pieces::default(),
        restated,
        next: VecDeque::new(),
        over: false,
    };
    Ok(told.response(accepted.seq))
}

/// What a caller asks, in Netra's terms.
#[derive(Debug)]
struct Asks<'a> {
    thread_id: ThreadId,
    what: What<'a>,
}

#[derive(Debug)]
enum What<'a> {
    /// To answer a message. Results before it, of calls that a run still waits for, are taken along.
    Say {
        id: MessageId,
        external_id: Option<&'a str>,
        text: String,
        files: Vec<Carried>,
        results: Vec<InterruptAnswer>,
    },
    /// To go on from what a run waits for.
    Answer { id: MessageId, resume: &'a [Resume] },
    /// To go on with the results of calls that a run left to the caller.
    Results { id: MessageId, results: Vec<InterruptAnswer> },
}

impl<'a> Asks<'a> {
    fn read(user: &User, input: &'a RunAgentInput, max_file_bytes: u64) -> Result<Self, Problem> {
        for (name, id) in [("threadId", &input.thread_id), ("runId", &input.run_id)] {
            if id.is_empty() || id.len() > MAX_EXTERNAL_ID_BYTES {
                return Err(invalid(format!("`{name}` has 1 to {MAX_EXTERNAL_ID_BYTES} bytes")));
            }
        }
        let thread_id = id_for(user.id, &input.thread_id);
        let what = match (input.resume.as_deref(), input.messages.last()) {
            (Some(resume @ [_, ..]), _) => What::Answer { id: id_for(thread_id, &input.run_id), resume },
            (_, Some(Message::User { id, content, .. })) => {
                let (text, files) = parts::read(content, max_file_bytes)?;
                let since = input.messages.iter().rposition(|said| matches!(said, Message::Assistant { .. }));
                let results = input.messages[since.unwrap_or(0)..].iter().filter_map(result).collect();
                let external_id = Some(id.as_str()).filter(|id| (1..=MAX_EXTERNAL_ID_BYTES).contains(&id.len()));
                let id: MessageId = id_for(thread_id, id);
                let external_id = external_id.filter(|external| *external != id.to_string());
                What::Say { id, external_id, text, files, results }
            }
            (_, Some(Message::Tool { id, .. })) => {
                What::Results { id: id_for(thread_id, id), results: results(&input.messages) }
            }
            _ => {
                let detail = "the last of `messages` is neither a person's nor a tool's: add what to answer, or `resume` what a run waits for";
                return Err(invalid(detail));
            }
        };
        Ok(Self { thread_id, what })
    }

    /// By which it is known again.
    fn id(&self) -> MessageId {
        match self.what {
            What::Say { id, .. } | What::Answer { id, .. } | What::Results { id, .. } => id,
        }
    }

    /// Appends it, or finds what it brought before.
    async fn ask(
        &self,
        state: &AppState,
        user: &User,
        agent: &str,
        mut caller: CallerInput,
    ) -> Result<(MessageId, MessageAccepted, Option<History>)> {
        let (channels, thread_id) = (&state.channels, self.thread_id);
        let given = |caller: CallerInput| Some(caller).filter(|caller| *caller != CallerInput::default());
        Ok(match &self.what {
            What::Say { id, external_id, text, files, results } => {
                let mut message = SendMessage {
                    message_id: *id,
                    agent: Some(agent.to_owned()),
                    external_id: external_id.map(str::to_owned),
                    ..SendMessage::new(thread_id, text)
                };
                threads::check_message(&message)?;
                ensure_thread(state, user, thread_id, agent).await?;
                message.attachments = parts::keep(state, (user.id, thread_id), *id, files).await?;
                caller.results = awaited(state, thread_id, results).await?;
                if caller.state.as_ref().is_some_and(|given| extent(given).bytes > LARGE_STATE_BYTES) {
                    let (_, view) = channels.thread(thread_id).await?;
                    caller.state = caller.state.filter(|given| view.state().as_deref() != Some(given));
                }
                let (commands, user, caller) = (state.commands.clone(), user.clone(), given(caller));
                let send = async move { commands.send_message(&user, &message, caller.as_ref()).await };
                (*id, run_detached(send).await?, None)
            }
            What::Answer { id, resume } => {
                let asks = |run: &RunView, id: &str| match &run.state {
                    RunState::Interrupted { interrupts } => interrupts.iter().any(|interrupt| interrupt.id == id),
                    _ => false,
                };
                let answers = resume.iter().map(answer).collect();
                let place = (thread_id, *id, agent);
                let (accepted, view) = go_on(state, user, place, answers, asks, given(caller)).await?;
                let history = History::of(&view, accepted.run_id);
                (*id, accepted, history)
            }
            What::Results { id, results } => {
                let asks = |run: &RunView, id: &str| run.left().any(|call| call == id);
                let place = (thread_id, *id, agent);
                let (accepted, _) = go_on(state, user, place, results.clone(), asks, given(caller)).await?;
                (*id, accepted, None)
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

/// Of the results that a caller gives along with a message, those of calls that runs of the thread still wait for.
async fn awaited(state: &AppState, thread_id: ThreadId, given: &[InterruptAnswer]) -> Result<Vec<InterruptAnswer>> {
    if given.is_empty() {
        return Ok(Vec::new());
    }
    let (_, view) = state.channels.thread(thread_id).await?;
    let awaits: HashSet<&str> = view.runs().flat_map(|run| run.awaits()).collect();
    let results = given.iter().filter(|result| awaits.contains(result.interrupt_id.as_str())).cloned();
    let results: Vec<_> = results.collect();
    threads::check_sizes(&results)?;
    Ok(results)
}

/// Answers the newest run of the agent's that asks for all of these; answered before or not.
async fn go_on(
    state: &AppState,
    user: &User,
    (thread_id, answer_id, agent): (ThreadId, MessageId, &str),
    answers: Vec<InterruptAnswer>,
    asks: impl Fn(&RunView, &str) -> bool,
    caller: Option<CallerInput>,
) -> Result<(MessageAccepted, ThreadView)> {
    threads::authorise(&state.channels, user.id, thread_id).await?;
    let (_, view) = state.channels.thread(thread_id).await?;
    let all = |run: &RunView| answers.iter().all(|answer| asks(run, &answer.interrupt_id));
    let Some(run) = view.runs().rev().find(|run| all(run)) else {
        let ids: Vec<&str> = answers.iter().map(|answer| answer.interrupt_id.as_str()).collect();
        let message = format!("no run of this thread waits for an answer to {}", ids.join(", "));
        return Err(Error::refused(ErrorCode::Conflict, message));
    };
    if !run.agent.is_empty() && run.agent != agent {
        let message = format!("the run that waits is one of the agent `{}`; send this to that agent", run.agent);
        return Err(Error::refused(ErrorCode::Conflict, message));
    }
    let answer = Answer { answer_id, thread_id, run_id: run.run_id, answers };
    let (commands, user) = (state.commands.clone(), user.clone());
    let accepted = run_detached(async move { commands.answer(&user, &answer, caller.as_ref()).await }).await?;
    Ok((accepted, state.channels.thread(thread_id).await?.1))
}

/// What was said before a run that goes on from another, whose calls get their results in this one: readers of one run's
/// stream must have been told of the calls.
struct History {
    calls: Vec<String>,
    messages: Vec<Message>,
}

impl History {
    /// Nothing where the run before waited for no calls.
    fn of(view: &ThreadView, run: RunId) -> Option<Self> {
        let RunState::Interrupted { interrupts } = &view.run(view.run(run)?.resumes?)?.state else { return None };
        let calls: Vec<String> = interrupts.iter().filter_map(|asked| asked.tool_call_id.clone()).collect();
        let mut messages = view.history(run);
        // Their results come in this run, also where it is told again.
        messages
            .retain(|message| !matches!(message, Message::Tool { tool_call_id, .. } if calls.contains(tool_call_id)));
        Some(Self { calls, messages }).filter(|history| !history.calls.is_empty())
    }

    /// The conversation as a caller has it that knows of the calls, else as the thread has it.
    fn message(self, known: &[Message], theirs: impl FnOnce() -> Value) -> Value {
        let knows = |call: &String| {
            known.iter().any(|message| match message {
                Message::Assistant { tool_calls: Some(calls), .. } => calls.iter().any(|known| known.id == *call),
                _ => false,
            })
        };
        let messages = if self.calls.iter().all(knows) { theirs() } else { json!(self.messages) };
        json!({"type": "MESSAGES_SNAPSHOT", "messages": messages})
    }
}

/// The result that a message is.
fn result(message: &Message) -> Option<InterruptAnswer> {
    let Message::Tool { id, content, tool_call_id, error, .. } = message else { return None };
    let mut more = Map::from_iter([("messageId".to_owned(), json!(id))]);
    more.extend(error.as_ref().map(|error| ("error".to_owned(), json!(error))));
    Some(InterruptAnswer {
        interrupt_id: tool_call_id.clone(),
        status: AnswerStatus::Resolved,
        payload: Some(json!(content)),
        metadata: Some(more),
    })
}

/// The results that stand at the end of the conversation.
fn results(messages: &[Message]) -> Vec<InterruptAnswer> {
    let mut results: Vec<_> = messages.iter().rev().map_while(result).collect();
    results.reverse();
    results
}

fn answer(entry: &Resume) -> InterruptAnswer {
    let Resume { interrupt_id, status, payload, metadata } = entry.clone();
    InterruptAnswer { interrupt_id, status, payload, metadata }
}

/// Whether a caller gives nothing, as one that has nothing says it.
fn is_none(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty)
}

/// What the agent is given along. A client that holds no state yet says `{}`, which is none: the thread's counts.
fn caller(input: &RunAgentInput) -> Result<CallerInput, Problem> {
    // It becomes an event of the run.
    let Extent { bytes, depth } = extent(&input.state);
    if bytes > MAX_STATE_BYTES {
        let detail = format!("`state` has {bytes} bytes; it has at most {MAX_STATE_BYTES}");
        return Err(problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail));
    }
    if depth > MAX_STATE_DEPTH {
        return Err(invalid(format!("`state` is nested deeper than {MAX_STATE_DEPTH} levels")));
    }
    if let Err(error) = runs::check_state(&input.state) {
        let detail = format!("`state` cannot be kept: {error}");
        return Err(problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail));
    }
    let given = extent(&(&input.tools, &input.context, &input.forwarded_props)).bytes;
    if given > MAX_GIVEN_BYTES {
        let detail = format!(
            "`tools`, `context` and `forwardedProps` have {given} bytes together; they have at most {MAX_GIVEN_BYTES}"
        );
        return Err(problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail));
    }
    let said = |value: &Value| Some(value.clone()).filter(|value| !is_none(value));
    Ok(CallerInput {
        state: said(&input.state),
        results: Vec::new(),
        tools: input.tools.clone(),
        context: input.context.clone(),
        forwarded_props: said(&input.forwarded_props),
    })
}

fn invalid(detail: impl Into<String>) -> Problem {
    problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload", detail)
}
