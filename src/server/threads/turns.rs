//! Messages and answers of people: each requests a run, which begins when the runs before it are over.

use serde_json::{Map, Value};

use super::{
    NewRun, RunOrder, UNTITLED, admission,
    checks::{check_answers, check_message, check_results},
    lock_thread, model_title,
    queries::{self, RequestedBy},
    queued::{Place, RunnerState},
    title::title_for,
};
use crate::{
    protocol::{
        Answer, Attachment, Author, ErrorCode, FileId, MessageAccepted, MessageId, RunAnswer, RunId, RunPhase,
        SendMessage, TakeBack, ThreadEntry, ThreadId, UserEntry, UserId, UserMessage, UserRole, http::User,
    },
    server::{
        access::{Access, ThreadRow},
        channel::{Channels, CommandTransaction, FeedEntries},
        error::{Error, Result},
        quotas::{self, Quotas, unsent},
    },
    thread::ThreadView,
};

/// The run that a message or answer requested.
#[derive(Debug)]
pub struct RequestedRun {
    /// The reply to the command, with the run's id.
    pub accepted: MessageAccepted,
    /// The run, to be started; `None` if the command was repeated, because its run was started then.
    pub run: Option<NewRun>,
    /// The run that is to be stopped: see [`SendMode`](crate::protocol::SendMode).
    pub stops: Option<RunId>,
}

/// Sends a message to a thread. Interrupts of earlier runs that wait for an answer are abandoned.
///
/// `caller_input` is JSON that the run gets along with the message. `choose_agent` gets the thread's agent and returns the agent that
/// answers, or why no run can be requested now; it is not called for a repeated message.
///
/// # Errors
/// `not_found`, `conflict`, `too_large`, `invalid_payload`, `quota_exceeded`; errors of `choose_agent`.
pub async fn send(
    channels: &Channels,
    user: &User,
    command: &SendMessage,
    caller_input: Option<String>,
    choose_agent: impl FnOnce(&str) -> Result<String>,
) -> Result<RequestedRun> {
    send_with(channels, user, command, caller_input, choose_agent, &RunnerState::default()).await
}

/// As [`send`]; `runner` decides what the message's mode does.
///
/// # Errors
/// As [`send`].
pub async fn send_with(
    channels: &Channels,
    user: &User,
    command: &SendMessage,
    caller_input: Option<String>,
    choose_agent: impl FnOnce(&str) -> Result<String>,
    runner: &RunnerState,
) -> Result<RequestedRun> {
    check_message(command)?;
    let request = serde_json::to_string(command)?;
    let admission = admission(channels, user.id, command.thread_id).await?;
    let mut tx = channels.begin().await?;
    let thread = lock_thread(&mut tx, user.id, command.thread_id, Access::Write).await?;
    if let Some(accepted) = repeated(&mut tx, (user.id, command.thread_id), command.message_id, &request).await? {
        return Ok(RequestedRun { accepted, run: None, stops: None });
    }
    // Only checks that these messages exist in this thread.
    for message in command.after.iter().chain(&command.replaces) {
        queries::run_of_message(tx.sql(), command.thread_id, *message).await?;
    }
    let bytes = request.len() + caller_input.as_ref().map_or(0, String::len);
    admission.admit(bytes)?;
    let agent = choose_agent(&thread.info.agent)?;
    let place = Place::find(&mut tx, command, &agent, runner).await?;
    let (steers, stops) = (place.steers, place.stops);
    let message = UserMessage {
        id: command.message_id,
        role: UserRole::User,
        author: Author { id: user.id, name: user.name.clone() },
        content: command.text.clone(),
        run_id: RunId::new(),
        agent: agent.clone(),
        attachments: attach(&mut tx, channels.quotas(), (user.id, command.thread_id), &command.attachments).await?,
        after: command.after,
        replaces: command.replaces,
        external_id: command.external_id.clone(),
        steer: steers,
        edited_answer: false,
    };
    let mut feeds = FeedEntries::default();
    title_and_unarchive(&mut tx, &thread, &message, &mut feeds).await?;
    let (thread_id, run_id) = (command.thread_id, message.run_id);
    let seq = tx.append_to_thread(thread_id, &[ThreadEntry::Message { message: message.clone() }]).await?;
    let order = place.take(&mut tx, &message, thread_id, RunOrder { turn: seq, seq }).await?;
    let phase = |run_id, phase| UserEntry::Run { thread_id, run_id, phase };
    let abandoned = queries::mark_all_answered(tx.sql(), thread_id).await?;
    abandoned.into_iter().for_each(|run| feeds.add_for_all(&thread, &phase(run, RunPhase::Answered)));
    feeds.add_for_all(&thread, &phase(run_id, RunPhase::Running));
    tx.append_to_feeds(feeds).await?;
    tx.count_bytes(thread_id, bytes);
    let (owner, requested_by) = (thread.owner.id, user.id);
    let run = NewRun { run_id, thread_id, owner, requested_by, agent, resumes: None, order, blocked: false };
    let message = command.message_id;
    let requested = RunRequest { id: message, seq, request, message: Some(message), caller_input, steers };
    Ok(RequestedRun { stops, ..request_run(tx, channels, run, requested).await? })
}

/// Gives an untitled thread the title that a message suggests, takes the thread out of all archives, and adds what lists must be told.
async fn title_and_unarchive(
    tx: &mut CommandTransaction,
    thread: &ThreadRow,
    message: &UserMessage,
    feeds: &mut FeedEntries,
) -> Result<()> {
    let mut changed = thread.clone();
    if changed.info.title == UNTITLED {
        let files: Vec<&str> = message.attachments.iter().map(|file| file.name.as_str()).collect();
        changed.info.title = title_for(&message.content, &files);
    }
    changed.info.archived = false;
    changed.members.iter_mut().for_each(|listed| listed.archived = false);
    if changed.info != thread.info {
        queries::update_thread(tx.sql(), &changed.info).await?;
        if changed.info.title != thread.info.title {
            queries::set_title_source(tx.sql(), thread.info.id, model_title::FROM_RULE).await?;
        }
    }
    if changed.info.for_log() != thread.info.for_log() {
        tx.append_to_thread(thread.info.id, &[ThreadEntry::info(&changed.info)]).await?;
    }
    if changed.members != thread.members {
        queries::unarchive_for_members(tx.sql(), thread.info.id).await?;
    }
    feeds.add_change(thread, &changed);
    Ok(())
}

/// Answers all interrupts of a run, or gives the results of the tool calls that a run left pending (with the call's id as
/// interrupt id, and the result as payload). It inserts the run that continues.
///
/// `caller_input` is JSON for that run; without it the run gets the input of the answered one, except for its state and results.
/// `check_agent` gets the agent and returns an error if no run can be requested now.
///
/// # Errors
/// `not_found`; `conflict` if the run was answered, abandoned or has expired; `invalid_payload` if an interrupt is missing or
/// unknown; errors of `check_agent`.
pub async fn answer(
    channels: &Channels,
    user: &User,
    command: &Answer,
    caller_input: Option<String>,
    check_agent: impl FnOnce(&str) -> Result<()>,
) -> Result<RequestedRun> {
    let (thread_id, answered) = (command.thread_id, command.run_id);
    let request = serde_json::to_string(command)?;
    super::authorise(channels, user.id, thread_id, Access::Write).await?;
    // What an ended run waits for does not change, so it can be read before the thread is locked.
    let (_, view) = channels.thread(thread_id).await?;
    let admission = admission(channels, user.id, thread_id).await?;
    let mut tx = channels.begin().await?;
    let thread = lock_thread(&mut tx, user.id, thread_id, Access::Write).await?;
    if let Some(accepted) = repeated(&mut tx, (user.id, thread_id), command.answer_id, &request).await? {
        return Ok(RequestedRun { accepted, run: None, stops: None });
    }
    let row = queries::answerable_run(tx.sql(), thread_id, answered).await?;
    let row = row.ok_or_else(|| Error::not_found("run in this thread"))?;
    check_answer(command, &view, &row)?;
    let bytes = request.len() + caller_input.as_ref().map_or(0, String::len);
    admission.admit(bytes)?;
    check_agent(&row.agent)?;
    let answer = RunAnswer {
        id: command.answer_id,
        run_id: answered,
        resumed_by: RunId::new(),
        agent: row.agent.clone(),
        author: Author { id: user.id, name: user.name.clone() },
        answers: command.answers.clone(),
    };
    let run_id = answer.resumed_by;
    let seq = tx.append_to_thread(thread_id, &[ThreadEntry::Answer { answer }]).await?;
    let phase = |run_id, phase| UserEntry::Run { thread_id, run_id, phase };
    let mut feeds = FeedEntries::default();
    for entry in [phase(answered, RunPhase::Answered), phase(run_id, RunPhase::Running)] {
        feeds.add_for_all(&thread, &entry);
    }
    tx.append_to_feeds(feeds).await?;
    queries::mark_answered(tx.sql(), answered).await?;
    let caller_input = match caller_input {
        Some(caller_input) => Some(caller_input),
        None => row.caller_input.as_deref().map(inherited_input).transpose()?,
    };
    tx.count_bytes(thread_id, request.len() + caller_input.as_ref().map_or(0, String::len));
    let order = RunOrder { turn: row.turn.cast_unsigned(), seq };
    let (owner, requested_by, agent, resumes) = (thread.owner.id, user.id, row.agent, Some(answered));
    let run = NewRun { run_id, thread_id, owner, requested_by, agent, resumes, order, blocked: false };
    let (id, message) = (command.answer_id, row.message_id);
    request_run(tx, channels, run, RunRequest { id, seq, request, message, caller_input, steers: false }).await
}

/// Whether an answer gives what its run waits for.
fn check_answer(command: &Answer, view: &ThreadView, row: &queries::AnswerableRun) -> Result<()> {
    let run = view.run(command.run_id);
    let (interrupts, calls) = run.map(|run| (run.open_interrupts(), run.pending_tool_calls())).unwrap_or_default();
    let conflict = |message: &str| Err(Error::refused(ErrorCode::Conflict, message));
    if row.answered_at.is_some() {
        return conflict("this was answered already, or another message was sent since");
    }
    if row.asks_until.is_some() {
        return check_answers(command, interrupts);
    }
    if calls.is_empty() {
        return conflict("this run waits for no answer");
    }
    check_results(command, &calls, run.is_some_and(|run| !run.pending.is_empty()))
}

/// A message or answer that requests a run.
struct RunRequest {
    id: MessageId,
    /// The position of its entry.
    seq: u64,
    /// The command as JSON, by which a repetition is recognised.
    request: String,
    /// The message of the turn.
    message: Option<MessageId>,
    caller_input: Option<String>,
    /// Whether the agent of an active run may read it.
    steers: bool,
}

/// Inserts the run and the message or answer that requests it, and commits.
async fn request_run(
    mut tx: CommandTransaction,
    channels: &Channels,
    mut run: NewRun,
    requested: RunRequest,
) -> Result<RequestedRun> {
    let RunRequest { id, seq, request, message, caller_input, steers } = requested;
    queries::insert_run(tx.sql(), &run, message, channels.node(), (caller_input, steers)).await?;
    run.blocked = queries::is_blocked(tx.sql(), run.thread_id, run.order).await?;
    if !queries::insert_accepted(tx.sql(), id, request, &run, seq).await? {
        return Err(used_before());
    }
    tx.commit().await?;
    let accepted = MessageAccepted { run_id: run.run_id, seq };
    Ok(RequestedRun { accepted, run: Some(run), stops: None })
}

/// The part of a run's input from its caller that the run that resumes it inherits: state and results were given for the first run only.
fn inherited_input(caller_input: &str) -> Result<String> {
    let mut caller_input: Map<String, Value> = serde_json::from_str(caller_input)?;
    for given_once in ["state", "results"] {
        caller_input.remove(given_once);
    }
    Ok(serde_json::to_string(&caller_input)?)
}

/// Takes a message back whose run has not begun: one's own, or any in one's own thread. Returns the run, to be stopped; `None` if the message
/// was taken back before.
///
/// # Errors
/// `not_found`, `forbidden`; `conflict` if the run has begun.
pub async fn take_back(channels: &Channels, user: &User, command: &TakeBack) -> Result<Option<RunId>> {
    let TakeBack { thread_id, message_id } = *command;
    let mut tx = channels.begin().await?;
    let thread = lock_thread(&mut tx, user.id, thread_id, Access::Write).await?;
    let RequestedBy { run_id, author } = queries::run_of_message(tx.sql(), thread_id, message_id).await?;
    if author != user.id {
        thread.access(user.id).require(Access::Own)?;
    }
    if !queries::take_back_run(tx.sql(), run_id).await? {
        if queries::is_taken_back(tx.sql(), run_id).await? {
            return Ok(None);
        }
        return Err(Error::refused(ErrorCode::Conflict, "the answer has begun; stop it instead"));
    }
    queries::delete_from_search(tx.sql(), thread_id, message_id).await?;
    tx.append_to_thread(thread_id, &[ThreadEntry::TakenBack { message_id }]).await?;
    let mut feeds = FeedEntries::default();
    feeds.add_for_all(&thread, &UserEntry::Run { thread_id, run_id, phase: RunPhase::TakenBack });
    tx.append_to_feeds(feeds).await?;
    tx.commit().await?;
    Ok(Some(run_id))
}

/// The reply that the same command got before. The thread is locked, so of two equal commands at the same time the second waits; the
/// key of `messages` prevents that an author uses an id in two threads.
///
/// # Errors
/// `conflict` if the id was used for something else, or by another author of the thread.
pub(super) async fn repeated(
    tx: &mut CommandTransaction,
    (user, thread): (UserId, ThreadId),
    id: MessageId,
    request: &str,
) -> Result<Option<MessageAccepted>> {
    match queries::accepted(tx.sql(), user, id).await? {
        None if queries::has_message(tx.sql(), thread, id).await? => Err(used_before()),
        None => Ok(None),
        Some(before) if before.request != request => Err(used_before()),
        Some(before) => Ok(Some(MessageAccepted { run_id: before.run_id, seq: before.seq.cast_unsigned() })),
    }
}

/// Whether a person's message or answer with this id was accepted before.
///
/// # Errors
/// If the store fails.
pub async fn was_accepted(channels: &Channels, user: UserId, id: MessageId) -> Result<bool> {
    Ok(queries::accepted(channels.store().reader(), user, id).await?.is_some())
}

pub(super) fn used_before() -> Error {
    Error::refused(ErrorCode::Conflict, "this id was used before for something else; create another")
}

/// The files that a new message names, which must be of its thread, or uploaded by its author and not sent yet: those become files of the
/// thread.
async fn attach(
    tx: &mut CommandTransaction,
    quotas: &Quotas,
    (owner, thread): (UserId, ThreadId),
    files: &[FileId],
) -> Result<Vec<Attachment>> {
    let engine = tx.engine();
    for file in files {
        unsent::move_to_thread(quotas, tx.sql(), engine, (owner, *file), thread).await?;
    }
    attachments(tx, thread, files).await
}

/// The files that a message names, which must be of its thread.
pub(super) async fn attachments(
    tx: &mut CommandTransaction,
    thread: ThreadId,
    files: &[FileId],
) -> Result<Vec<Attachment>> {
    let mut found = Vec::with_capacity(files.len());
    for file_id in files {
        let file = quotas::file(tx.sql(), thread, *file_id).await?;
        let (name, bytes) = file.ok_or_else(|| Error::not_found("file in this thread"))?;
        found.push(Attachment { file_id: *file_id, name, bytes });
    }
    Ok(found)
}
