//! Answers as front ends of LangGraph give them: in `forwardedProps.command.resume`, with the conversation as it was.

use serde_json::Value;

use super::{MAX_EXTERNAL_ID_BYTES, id_for};
use crate::{
    protocol::{
        AnswerStatus, ErrorCode, MessageId, ThreadId,
        agui::{Interrupt, Message, Resume, RunAgentInput},
        http::User,
    },
    server::{
        agents::is_answered_by_command,
        error::{Error, Result},
        state::AppState,
        threads,
    },
    thread::{Item, RunState, ThreadView},
};

/// Puts such an answer where AG-UI has it, for the run of the thread that waits for it. Where none does it stays what it is:
/// something that the agent is given along.
pub(super) async fn to_resume(state: &AppState, user: &User, input: &mut RunAgentInput) -> Result<()> {
    let is_resumed = input.resume.as_ref().is_some_and(|resume| !resume.is_empty());
    let command = input.forwarded_props.get("command").and_then(|command| command.get("resume"));
    let Some(payload) = command.filter(|payload| !payload.is_null() && !is_resumed).cloned() else { return Ok(()) };
    if input.thread_id.is_empty() || input.thread_id.len() > MAX_EXTERNAL_ID_BYTES {
        return Ok(());
    }
    let thread_id: ThreadId = id_for(user.id, &input.thread_id);
    match threads::authorise(&state.channels, user.id, thread_id).await {
        Err(Error::Refused(_)) => return Ok(()),
        known => known.map(drop)?,
    }
    let (_, view) = state.channels.thread(thread_id).await?;
    let asked = input.messages.iter().rev().find_map(|message| match message {
        Message::User { id, .. } => Some(id_for::<MessageId>(thread_id, id)),
        _ => None,
    });
    let Some(interrupts) = waiting(&view, asked) else { return Ok(()) };
    let own = |asked: &Interrupt| if interrupts.len() > 1 { payload.get(&asked.id) } else { Some(&payload) };
    let answers: Vec<Resume> = interrupts
        .iter()
        .filter_map(|asked| {
            let (interrupt_id, payload) = (asked.id.clone(), Some(own(asked)?.clone()));
            Some(Resume { interrupt_id, status: AnswerStatus::Resolved, payload, metadata: None })
        })
        .collect();
    if answers.len() < interrupts.len() {
        let ids: Vec<&str> = interrupts.iter().map(|asked| asked.id.as_str()).collect();
        let message = format!(
            "`command.resume` answers {} of {}; give an answer for each of these ids: {}",
            answers.len(),
            interrupts.len(),
            ids.join(", ")
        );
        return Err(Error::refused(ErrorCode::InvalidPayload, message));
    }
    input.resume = Some(answers);
    if let Some(command) = input.forwarded_props.get_mut("command").and_then(Value::as_object_mut) {
        command.remove("resume");
    }
    Ok(())
}

/// What the thread's newest run waits for, or what the run waited for from which it goes on: the same answer again is the same
/// run again. Only where the conversation ends with the message that it is about: what is said now is no answer to that.
fn waiting(view: &ThreadView, asked: Option<MessageId>) -> Option<&[Interrupt]> {
    let newest = view.items.iter().rev().find_map(|item| if let Item::Run(run) = item { Some(run) } else { None })?;
    let run = match (newest.open_interrupts(), newest.resumes) {
        ([], Some(resumed)) => view.run(resumed)?,
        _ => newest,
    };
    let RunState::Interrupted { interrupts } = &run.state else { return None };
    let is_about = asked.is_none() || run.message_id == asked;
    Some(interrupts.as_slice()).filter(|all| is_about && all.iter().all(is_answered_by_command))
}
