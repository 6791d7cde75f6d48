//! Answers that people edited: each is the answer of another version of its message, in a run without an agent.

use super::{
    NewRun, RunOrder, admission,
    checks::check_text,
    lock_thread, queries,
    turns::{repeated, used_before},
};
use crate::{
    protocol::{
        Author, EditAnswer, ErrorCode, MessageAccepted, MessageId, RunId, RunPhase, ThreadEntry, UserEntry,
        UserMessage,
        agui::{Event, RunFinished, RunStarted, TextMessageContent, TextMessageEnd, TextMessageStart},
        http::User,
    },
    server::{
        access::Access,
        channel::{Channels, FeedEntries},
        error::{Error, Result},
    },
    thread::ThreadView,
};

/// Adds a version of a run's message whose answer is a person's text. Interrupts of earlier runs that wait for an answer are abandoned, as
/// by a message.
///
/// # Errors
/// `not_found`; `conflict` if the run has not ended or the id was used before; `too_large`; `invalid_payload` for a text that is empty;
/// `quota_exceeded`.
pub async fn edit_answer(channels: &Channels, user: &User, command: &EditAnswer) -> Result<MessageAccepted> {
    check_text(&command.text, &[])?;
    let (thread_id, request) = (command.thread_id, serde_json::to_string(command)?);
    super::authorise(channels, user.id, thread_id, Access::Write).await?;
    // An ended run and its message never change, so they can be read before the thread is locked.
    let (_, view) = channels.thread(thread_id).await?;
    let original = answered_message(&view, command.run_id)?;
    let admission = admission(channels, user.id, thread_id).await?;
    let mut tx = channels.begin().await?;
    let thread = lock_thread(&mut tx, user.id, thread_id, Access::Write).await?;
    if let Some(accepted) = repeated(&mut tx, (user.id, thread_id), command.message_id, &request).await? {
        return Ok(accepted);
    }
    let message = UserMessage {
        id: command.message_id,
        author: Author { id: user.id, name: user.name.clone() },
        run_id: RunId::new(),
        after: None,
        replaces: Some(original.id),
        external_id: None,
        steer: false,
        edited_answer: true,
        ..original
    };
    admission.admit(message.content.len() + request.len())?;
    let (run_id, agent) = (message.run_id, message.agent.clone());
    let seq = tx.append_to_thread(thread_id, &[ThreadEntry::Message { message }]).await?;
    let answer = answer_events(command, run_id).map(|event| ThreadEntry::Agent { run_id, event: Box::new(event) });
    tx.append_to_thread(thread_id, &answer).await?;
    let abandoned = queries::mark_all_answered(tx.sql(), thread_id).await?;
    let mut feeds = FeedEntries::default();
    for run_id in abandoned {
        feeds.add_for_all(&thread, &UserEntry::Run { thread_id, run_id, phase: RunPhase::Answered });
    }
    tx.append_to_feeds(feeds).await?;
    let (order, owner, requested_by) = (RunOrder { turn: seq, seq }, thread.owner.id, user.id);
    let run = NewRun { run_id, thread_id, owner, requested_by, agent, resumes: None, order, blocked: false };
    queries::insert_run(tx.sql(), &run, Some(command.message_id), channels.node(), (None, false)).await?;
    queries::mark_ended(tx.sql(), run_id).await?;
    tx.count_bytes(thread_id, request.len());
    if !queries::insert_accepted(tx.sql(), command.message_id, request, &run, seq).await? {
        return Err(used_before());
    }
    tx.commit().await?;
    Ok(MessageAccepted { run_id, seq })
}

/// The message that an ended run answered.
fn answered_message(view: &ThreadView, run_id: RunId) -> Result<UserMessage> {
    let run = view.run(run_id).ok_or_else(|| Error::not_found("run in this thread"))?;
    if !run.state.is_over() {
        let message = "the answer has not ended yet; wait for it, or stop it";
        return Err(Error::refused(ErrorCode::Conflict, message));
    }
    let message = run.message_id.and_then(|id: MessageId| view.message(id));
    message.map(|item| item.message.clone()).ok_or_else(|| Error::not_found("message of this run"))
}

/// The log of the run that has the edited text.
fn answer_events(command: &EditAnswer, run_id: RunId) -> [Event; 5] {
    // The message of the answer has the id of its run: unique, and replaced by a fork.
    let (thread, message_id) = (command.thread_id.to_string(), run_id.to_string());
    [
        RunStarted::new(&thread, run_id).into(),
        TextMessageStart::new(&message_id).into(),
        TextMessageContent::new(&message_id, &command.text).into(),
        TextMessageEnd::new(&message_id).into(),
        RunFinished::new(&thread, run_id).into(),
    ]
}
