//! Answers to interrupts as front ends of LangGraph send them: in `forwardedProps.command.resume`.

use serde_json::Value;

use super::{MAX_EXTERNAL_ID_BYTES, id_for};
use crate::{
    protocol::{
        AnswerStatus, ErrorCode, MessageId, ThreadId,
        agui::{Interrupt, Message, Resume, RunAgentInput},
        http::User,
    },
    server::{
        access::Access,
        agents::is_answered_by_command,
        error::{Error, Result},
        state::AppState,
        threads,
    },
    thread::{Item, RunState, ThreadView},
};

/// Moves such an answer to `resume`, where AG-UI has it, if a run of the thread waits for it. If none does, it stays a forwarded
/// property.
///
/// # Errors
/// `invalid_payload` if it answers only some of the interrupts; the store fails.
pub(super) async fn to_resume(state: &AppState, user: &User, input: &mut RunAgentInput) -> Result<()> {
    let is_resumed = input.resume.as_ref().is_some_and(|resume| !resume.is_empty());
    let command = input.forwarded_props.get("command").and_then(|command| command.get("resume"));
    let Some(payload) = command.filter(|payload| !payload.is_null() && !is_resumed).cloned() else { return Ok(()) };
    if input.thread_id.is_empty() || input.thread_id.len() > MAX_EXTERNAL_ID_BYTES {
        return Ok(());
    }
    let thread_id: ThreadId = id_for(user.id, &input.thread_id);
    match threads::authorise(&state.channels, user.id, thread_id, Access::Write).await {
        Err(Error::Refused(_)) => return Ok(()),
        known => known.map(drop)?,
    }
    let (_, view) = state.channels.thread(thread_id).await?;
    let last_message = input.messages.iter().rev().find_map(|message| match message {
        Message::User { id, .. } => Some(id_for::<MessageId>(thread_id, id)),
        _ => None,
    });
    let Some(interrupts) = interrupts_to_answer(&view, last_message) else { return Ok(()) };
    let payload_for =
        |interrupt: &Interrupt| if interrupts.len() > 1 { payload.get(&interrupt.id) } else { Some(&payload) };
    let answers: Vec<Resume> = interrupts
        .iter()
        .filter_map(|interrupt| {
            let (interrupt_id, payload) = (interrupt.id.clone(), Some(payload_for(interrupt)?.clone()));
            Some(Resume { interrupt_id, status: AnswerStatus::Resolved, payload, metadata: None })
        })
        .collect();
    if answers.len() < interrupts.len() {
        let ids: Vec<&str> = interrupts.iter().map(|interrupt| interrupt.id.as_str()).collect();
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

/// The interrupts of the thread's newest run. If that run resumed another one, the other's: the same answer again is the same run
/// again. None if the conversation ends with a newer message than the run's.
fn interrupts_to_answer(view: &ThreadView, last_message: Option<MessageId>) -> Option<&[Interrupt]> {
    let newest = view.items.iter().rev().find_map(|item| if let Item::Run(run) = item { Some(run) } else { None })?;
    let run = match (newest.open_interrupts(), newest.resumes) {
        ([], Some(resumed)) => view.run(resumed)?,
        _ => newest,
    };
    let RunState::Interrupted { interrupts } = &run.state else { return None };
    let is_last = last_message.is_none() || run.message_id == last_message;
    Some(interrupts.as_slice()).filter(|all| is_last && all.iter().all(is_answered_by_command))
}
