//! Checks of messages and answers before they are stored.

use serde_json::Value;

use crate::{
    json_size::{Extent, extent},
    protocol::{
        Answer, AnswerStatus, ErrorCode, FileId, InterruptAnswer, MessageId, SendMessage, agui::Interrupt, limits,
    },
    server::{
        clock::now_ms,
        error::{Error, Result},
        json_schema,
    },
};

fn invalid(message: impl Into<String>) -> Error {
    Error::refused(ErrorCode::InvalidPayload, message.into())
}

/// Checks a message without reading its thread.
///
/// # Errors
/// `invalid_payload`, `too_large`.
pub fn check_message(command: &SendMessage) -> Result<()> {
    check_text(&command.text, &command.attachments)?;
    if command.external_id.as_ref().is_some_and(|id| id.is_empty() || id.len() > limits::MAX_EXTERNAL_ID_BYTES) {
        return Err(invalid(format!("`external_id` must have 1 to {} bytes", limits::MAX_EXTERNAL_ID_BYTES)));
    }
    if command.external_id.as_ref().is_some_and(|id| id.parse::<MessageId>().is_ok_and(|own| own.to_string() == *id)) {
        return Err(invalid("`external_id` has the form of the server's own ids; send it as `message_id`"));
    }
    if command.after.is_some() && command.replaces.is_some() {
        return Err(invalid("`after` and `replaces` exclude each other; send one of them"));
    }
    Ok(())
}

/// Checks the text and the files of a message.
pub(super) fn check_text(text: &str, files: &[FileId]) -> Result<()> {
    if text.trim().is_empty() {
        return Err(invalid("the text is empty; write something"));
    }
    if text.len() > limits::MAX_MESSAGE_BYTES {
        let message = format!("the text has more than {} bytes; attach it as a file", limits::MAX_MESSAGE_BYTES);
        return Err(Error::refused(ErrorCode::TooLarge, message));
    }
    if files.len() > limits::MAX_ATTACHMENTS {
        return Err(invalid(format!("more than {} attachments", limits::MAX_ATTACHMENTS)));
    }
    Ok(())
}

/// Checks that every interrupt is answered once, in time and by its schema, and that nothing else is answered.
pub(super) fn check_answers(command: &Answer, interrupts: &[Interrupt]) -> Result<()> {
    check_sizes(&command.answers)?;
    for answer in &command.answers {
        let id = &answer.interrupt_id;
        if command.answers.iter().filter(|other| other.interrupt_id == *id).count() > 1 {
            return Err(invalid(format!("the interrupt `{id}` is answered twice")));
        }
        let Some(interrupt) = interrupts.iter().find(|interrupt| interrupt.id == *id) else {
            return Err(invalid(format!("the run has no open interrupt `{id}`")));
        };
        if answer.status == AnswerStatus::Resolved && expires_at(interrupt).is_some_and(|at| at <= now_ms()) {
            let message = "the time to answer is over; cancel the interrupt or ask again";
            return Err(Error::refused(ErrorCode::Conflict, message));
        }
        if let Some(schema) = interrupt.response_schema.as_ref().filter(|_| answer.status == AnswerStatus::Resolved) {
            let problems = json_schema::problems(schema, answer.payload.as_ref().unwrap_or(&Value::Null), "the answer");
            if !problems.is_empty() {
                return Err(invalid(format!(
                    "the answer to `{id}` does not match its schema: {}",
                    problems.join("; ")
                )));
            }
        }
    }
    match interrupts.iter().find(|interrupt| command.answers.iter().all(|answer| answer.interrupt_id != interrupt.id)) {
        Some(missing) => Err(invalid(format!("the interrupt `{}` is not answered; answer all at once", missing.id))),
        None => Ok(()),
    }
}

/// Whether an answer cancels or denies every interrupt.
#[must_use]
pub fn is_refusal(command: &Answer) -> bool {
    let denies = |payload: &Value| payload.get("approved") == Some(&Value::Bool(false));
    let refuses =
        |one: &InterruptAnswer| one.status == AnswerStatus::Cancelled || one.payload.as_ref().is_some_and(denies);
    command.answers.iter().all(refuses)
}

/// Checks that each result belongs to one of `calls`, once. If the end of the run named the calls (`named`), all need a result;
/// else the agent may have carried out some of them itself.
pub(super) fn check_results(command: &Answer, calls: &[&str], named: bool) -> Result<()> {
    let ids = || command.answers.iter().map(|answer| answer.interrupt_id.as_str());
    let known = ids().all(|id| calls.contains(&id) && ids().filter(|other| *other == id).count() == 1);
    let all = !named || calls.iter().all(|call| ids().any(|id| id == *call));
    if command.answers.is_empty() || !known || !all {
        let each = if named { "each of" } else { "any of" };
        return Err(invalid(format!("give one result for {each} the calls {}", calls.join(", "))));
    }
    check_sizes(&command.answers)
}

/// Checks that each answer fits into a log entry, in bytes and in depth.
///
/// # Errors
/// `too_large`, `invalid_payload`.
pub fn check_sizes(answers: &[InterruptAnswer]) -> Result<()> {
    for answer in answers {
        let (Extent { bytes, depth }, more) = (extent(&answer.payload), extent(&answer.metadata));
        let (bytes, depth) = (bytes + more.bytes, depth.max(more.depth));
        if bytes > limits::MAX_RESULT_BYTES {
            let message = format!("an answer has more than {} bytes", limits::MAX_RESULT_BYTES);
            return Err(Error::refused(ErrorCode::TooLarge, message));
        }
        if depth > limits::MAX_DEPTH {
            return Err(invalid(format!("an answer is nested deeper than {} levels", limits::MAX_DEPTH)));
        }
    }
    Ok(())
}

/// When an interrupt expires, in milliseconds since 1970; never if its time cannot be parsed.
#[must_use]
pub fn expires_at(interrupt: &Interrupt) -> Option<i64> {
    interrupt.expires_at.as_deref()?.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}
