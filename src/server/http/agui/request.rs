//! Converts a caller's request into one of Netra's commands.

use std::collections::HashSet;

use serde_json::{Map, json};

use super::{
    history::History,
    id_for, invalid,
    parts::{self, InlineFile},
};
use crate::{
    json_size::extent,
    protocol::{
        Answer, AnswerStatus, CreateThread, ErrorBody, ErrorCode, InterruptAnswer, MessageAccepted, MessageId,
        SendMessage, ThreadId,
        agui::{Message, Resume, RunAgentInput},
        http::{Problem, User},
        limits::MAX_EXTERNAL_ID_BYTES,
    },
    server::{
        access::Access,
        commands::run_detached,
        error::{Error, Result},
        runs::CallerInput,
        state::AppState,
        threads,
    },
    thread::{RunState, RunView, ThreadView},
};

/// From this size on, in bytes, a state that equals the thread's is not stored with the run.
const LARGE_STATE_BYTES: usize = 16 * 1024;

/// A request for a run.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) thread_id: ThreadId,
    pub(super) kind: RequestKind<'a>,
}

#[derive(Debug)]
pub(super) enum RequestKind<'a> {
    /// A person's message.
    Message(PersonMessage<'a>),
    /// Answers to the interrupts of a run.
    Resume { id: MessageId, answers: &'a [Resume] },
    /// Results of calls that a run left to the caller.
    Results { id: MessageId, results: Vec<InterruptAnswer> },
}

#[derive(Debug)]
pub(super) struct PersonMessage<'a> {
    id: MessageId,
    /// The caller's id, if it is another.
    external_id: Option<&'a str>,
    text: String,
    files: Vec<InlineFile>,
    /// Results before it, which are used as far as runs of the thread wait for them.
    pub(super) results: Vec<InterruptAnswer>,
}

impl<'a> Request<'a> {
    /// Reads a request.
    ///
    /// # Errors
    /// 422 if an id, the last message or a file in it is not as it must be; 413 if a file is too large.
    pub(super) fn parse(user: &User, input: &'a RunAgentInput, max_file_bytes: u64) -> Result<Self, Problem> {
        for (name, id) in [("threadId", &input.thread_id), ("runId", &input.run_id)] {
            if id.is_empty() || id.len() > MAX_EXTERNAL_ID_BYTES {
                return Err(invalid(format!("`{name}` has 1 to {MAX_EXTERNAL_ID_BYTES} bytes")));
            }
        }
        let thread_id = id_for(user.id, &input.thread_id);
        let kind = match (input.resume.as_deref(), input.messages.last()) {
            (Some(answers @ [_, ..]), _) => RequestKind::Resume { id: id_for(thread_id, &input.run_id), answers },
            (_, Some(Message::User { id, content, .. })) => {
                let (text, files) = parts::read(content, max_file_bytes)?;
                let since = input.messages.iter().rposition(|message| matches!(message, Message::Assistant { .. }));
                let results = input.messages[since.unwrap_or(0)..].iter().filter_map(result).collect();
                let external_id = Some(id.as_str()).filter(|id| (1..=MAX_EXTERNAL_ID_BYTES).contains(&id.len()));
                let id: MessageId = id_for(thread_id, id);
                let external_id = external_id.filter(|external| *external != id.to_string());
                RequestKind::Message(PersonMessage { id, external_id, text, files, results })
            }
            (_, Some(Message::Tool { id, .. })) => {
                RequestKind::Results { id: id_for(thread_id, id), results: trailing_results(&input.messages) }
            }
            _ => {
                let detail = "the last of `messages` is neither a person's nor a tool's: add what to answer, or `resume` what a run waits for";
                return Err(invalid(detail));
            }
        };
        Ok(Self { thread_id, kind })
    }

    /// The id of the message or answer; the same id again is the same request.
    pub(super) fn id(&self) -> MessageId {
        match self.kind {
            RequestKind::Message(PersonMessage { id, .. })
            | RequestKind::Resume { id, .. }
            | RequestKind::Results { id, .. } => id,
        }
    }

    /// Executes the command, or finds the run that it started before. Returns the run, and the conversation before it if the
    /// caller may need that.
    pub(super) async fn submit(
        &self,
        state: &AppState,
        user: &User,
        agent: &str,
        caller: CallerInput,
    ) -> Result<(MessageAccepted, Option<History>)> {
        match &self.kind {
            RequestKind::Message(message) => Ok((self.send_message(state, user, agent, message, caller).await?, None)),
            RequestKind::Resume { answers, .. } => {
                let has_interrupt = |run: &RunView, id: &str| match &run.state {
                    RunState::Interrupted { interrupts } => interrupts.iter().any(|interrupt| interrupt.id == id),
                    _ => false,
                };
                let answers = answers.iter().map(interrupt_answer).collect();
                let (accepted, view) = self.answer(state, user, agent, answers, has_interrupt, caller).await?;
                let history = History::before(&view, accepted.run_id);
                Ok((accepted, history))
            }
            RequestKind::Results { results, .. } => {
                let has_call = |run: &RunView, id: &str| run.client_tool_calls().any(|call| call == id);
                let (accepted, _) = self.answer(state, user, agent, results.clone(), has_call, caller).await?;
                Ok((accepted, None))
            }
        }
    }

    async fn send_message(
        &self,
        state: &AppState,
        user: &User,
        agent: &str,
        PersonMessage { id, external_id, text, files, results }: &PersonMessage<'_>,
        mut caller: CallerInput,
    ) -> Result<MessageAccepted> {
        let thread_id = self.thread_id;
        let mut message = SendMessage {
            message_id: *id,
            agent: Some(agent.to_owned()),
            external_id: external_id.map(str::to_owned),
            ..SendMessage::new(thread_id, text)
        };
        threads::check_message(&message)?;
        ensure_thread(state, user, thread_id, agent).await?;
        message.attachments = parts::store(state, (user.id, thread_id), *id, files).await?;
        caller.results = awaited(state, thread_id, results).await?;
        if caller.state.as_ref().is_some_and(|given| extent(given).bytes > LARGE_STATE_BYTES) {
            let (_, view) = state.channels.thread(thread_id).await?;
            caller.state = caller.state.filter(|given| view.state().as_deref() != Some(given));
        }
        let (commands, user, caller) = (state.commands.clone(), user.clone(), non_empty(caller));
        run_detached(async move { commands.send_message(&user, &message, caller.as_ref()).await }).await
    }

    /// Answers the agent's newest run that waits, or waited, for all of `answers`. `waits_for` says whether a
    /// run waits for an id.
    async fn answer(
        &self,
        state: &AppState,
        user: &User,
        agent: &str,
        answers: Vec<InterruptAnswer>,
        waits_for: impl Fn(&RunView, &str) -> bool,
        caller: CallerInput,
    ) -> Result<(MessageAccepted, ThreadView)> {
        let thread_id = self.thread_id;
        threads::authorise(&state.channels, user.id, thread_id, Access::Write).await?;
        let (_, view) = state.channels.thread(thread_id).await?;
        let waits_for_all = |run: &RunView| answers.iter().all(|answer| waits_for(run, &answer.interrupt_id));
        let Some(run) = view.runs().rev().find(|run| waits_for_all(run)) else {
            let ids: Vec<&str> = answers.iter().map(|answer| answer.interrupt_id.as_str()).collect();
            let message = format!("no run of this thread waits for an answer to {}", ids.join(", "));
            return Err(Error::refused(ErrorCode::Conflict, message));
        };
        if !run.agent.is_empty() && run.agent != agent {
            let message = format!("the run that waits is one of the agent `{}`; send this to that agent", run.agent);
            return Err(Error::refused(ErrorCode::Conflict, message));
        }
        let answer = Answer { answer_id: self.id(), thread_id, run_id: run.run_id, answers };
        let (commands, user, caller) = (state.commands.clone(), user.clone(), non_empty(caller));
        let answering = async move { commands.answer(&user, &answer, caller.as_ref()).await };
        let accepted = run_detached(answering).await?;
        Ok((accepted, state.channels.thread(thread_id).await?.1))
    }
}

/// Creates the thread, unless this person may write to one of this id.
async fn ensure_thread(state: &AppState, user: &User, thread_id: ThreadId, agent: &str) -> Result<()> {
    match threads::authorise(&state.channels, user.id, thread_id, Access::Write).await {
        Err(Error::Refused(ErrorBody { code: ErrorCode::NotFound, .. })) => {
            let command = CreateThread { thread_id, title: None, agent: Some(agent.to_owned()) };
            threads::create(&state.channels, user, &command, agent).await.map(drop)
        }
        known => known.map(drop),
    }
}

/// The results among `given` for which runs of the thread still wait.
async fn awaited(state: &AppState, thread_id: ThreadId, given: &[InterruptAnswer]) -> Result<Vec<InterruptAnswer>> {
    if given.is_empty() {
        return Ok(Vec::new());
    }
    let (_, view) = state.channels.thread(thread_id).await?;
    let awaited: HashSet<&str> = view.runs().flat_map(|run| run.pending_tool_calls()).collect();
    let results = given.iter().filter(|result| awaited.contains(result.interrupt_id.as_str())).cloned();
    let results: Vec<_> = results.collect();
    threads::check_sizes(&results)?;
    Ok(results)
}

fn non_empty(caller: CallerInput) -> Option<CallerInput> {
    Some(caller).filter(|caller| *caller != CallerInput::default())
}

/// A message as the result of a call, if it is one.
fn result(message: &Message) -> Option<InterruptAnswer> {
    let Message::Tool { id, content, tool_call_id, error, .. } = message else { return None };
    let mut metadata = Map::from_iter([("messageId".to_owned(), json!(id))]);
    metadata.extend(error.as_ref().map(|error| ("error".to_owned(), json!(error))));
    Some(InterruptAnswer {
        interrupt_id: tool_call_id.clone(),
        status: AnswerStatus::Resolved,
        payload: Some(json!(content)),
        metadata: Some(metadata),
    })
}

/// The results at the end of the conversation.
fn trailing_results(messages: &[Message]) -> Vec<InterruptAnswer> {
    let mut results: Vec<_> = messages.iter().rev().map_while(result).collect();
    results.reverse();
    results
}

fn interrupt_answer(entry: &Resume) -> InterruptAnswer {
    let Resume { interrupt_id, status, payload, metadata } = entry.clone();
    InterruptAnswer { interrupt_id, status, payload, metadata }
}
