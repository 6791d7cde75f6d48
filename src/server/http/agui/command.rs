//! Answers as front ends of LangGraph give them: in `forwardedProps.command.resume`, with the conversation as it was.

use serde_json::Value;

use super::{MAX_ID_BYTES, id_for};
use crate::{
    protocol::{
        AnswerStatus, ThreadId,
        agui::{Interrupt, Resume, RunAgentInput},
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
    if input.thread_id.is_empty() || input.thread_id.len() > MAX_ID_BYTES {
        return Ok(());
    }
    let thread_id: ThreadId = id_for(user.id, &input.thread_id);
    match threads::authorise(&state.channels, user.id, thread_id).await {
        Err(Error::Refused(_)) => return Ok(()),
        known => known.map(drop)?,
    }
    let (_, view) = state.channels.thread(thread_id).await?;
    let Some(interrupts) = newest_interrupts(&view) else { return Ok(()) };
    let each = |asked: &Interrupt| {
        let own = if interrupts.len() > 1 { payload.get(&asked.id) } else { Some(&payload) };
        own.map(|payload| Resume {
            interrupt_id: asked.id.clone(),
            status: AnswerStatus::Resolved,
            payload: Some(payload.clone()),
            metadata: None,
        })
    };
    let answers: Vec<Resume> = interrupts.iter().filter_map(each).collect();
    if answers.len() == interrupts.len() {
        input.resume = Some(answers);
        if let Some(command) = input.forwarded_props.get_mut("command").and_then(Value::as_object_mut) {
            command.remove("resume");
        }
    }
    Ok(())
}

/// What the thread's newest run waits for, or waited for: the same answer again is the same run again.
fn newest_interrupts(view: &ThreadView) -> Option<&[Interrupt]> {
    let runs = view.items.iter().rev().filter_map(|item| if let Item::Run(run) = item { Some(run) } else { None });
    let mut interrupted = runs.filter_map(|run| match &run.state {
        RunState::Interrupted { interrupts } => Some(interrupts.as_slice()),
        _ => None,
    });
    interrupted.next().filter(|interrupts| interrupts.iter().all(is_answered_by_command))
}
