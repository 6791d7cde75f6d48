//! Interrupts that nobody answered in time: each is answered with `{"expired": true}`, and a run that resumes is inserted.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::{NewRun, answer, queries};
use crate::{
    protocol::{Answer, AnswerStatus, ErrorCode, InterruptAnswer, MessageId, RunId, ThreadId, UserId, http::User},
    server::{
        channel::Channels,
        error::{Error, Result},
        store::row,
    },
    thread::{Resolution, ThreadView},
};

/// The most runs that [`unanswered`] returns.
const MAX_UNANSWERED: i64 = 1_024;

/// The payload of an answer to an expired interrupt.
static EXPIRED: LazyLock<Value> = LazyLock::new(|| json!({"expired": true}));

row! {
    /// A run that waits for a person, and whose last interrupt has expired.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Unanswered {
        /// The run.
        pub run_id: RunId,
        /// Its thread.
        pub thread_id: ThreadId,
        /// The owner of the thread.
        pub owner: UserId,
        /// Who requested the run; the owner, if that user's account was removed.
        pub requested_by: UserId,
    }
}

/// Runs, on any node, whose interrupts have all expired, in the order in which they expired.
///
/// # Errors
/// If the store fails.
pub async fn unanswered(channels: &Channels) -> Result<Vec<Unanswered>> {
    queries::unanswered(channels.store().reader(), MAX_UNANSWERED).await
}

/// The outcome of expired interrupts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// The run that continues.
    pub run: NewRun,
    /// Whether the expired run itself resumed one whose interrupts had expired. The caller then ends the turn.
    pub repeated: bool,
}

/// Answers an unanswered run's interrupts as expired, in the name of `user`, who may write in the thread. Returns the run that resumes it,
/// which the caller starts; `None` if a person or another node answered first.
///
/// # Errors
/// If the store fails.
pub async fn expire(channels: &Channels, user: &User, unanswered: Unanswered) -> Result<Option<Expired>> {
    let Unanswered { run_id, thread_id, .. } = unanswered;
    let view = match channels.thread(thread_id).await {
        Ok((_, view)) => view,
        Err(error @ (Error::Store(_) | Error::Shared(_))) => return Err(error),
        Err(error) => {
            tracing::error!(thread = %thread_id, %error, "a thread cannot be read; its expired interrupts are dropped");
            ThreadView::default()
        }
    };
    let expired = |id: &str| InterruptAnswer {
        interrupt_id: id.into(),
        status: AnswerStatus::Cancelled,
        payload: Some(EXPIRED.clone()),
        metadata: None,
    };
    let interrupts = view.run(run_id).map(|run| run.open_interrupts()).unwrap_or_default();
    let answers: Vec<_> = interrupts.iter().map(|interrupt| expired(&interrupt.id)).collect();
    if answers.is_empty() {
        // The interrupts are no longer stored, or were answered a moment ago.
        let mut tx = channels.begin().await?;
        queries::mark_answered(tx.sql(), run_id).await?;
        tx.commit().await?;
        return Ok(None);
    }
    let repeated = has_resumed_from_expired(&view, run_id);
    let command = Answer { answer_id: MessageId::new(), thread_id, run_id, answers };
    match answer(channels, user, &command, None, |_| Ok(())).await {
        Ok(outcome) => Ok(outcome.run.map(|run| Expired { run, repeated })),
        Err(Error::Refused(body)) if matches!(body.code, ErrorCode::Conflict | ErrorCode::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a run resumed one whose interrupts had all expired. Runs that a restart cut off do not count: no question was shown.
fn has_resumed_from_expired(view: &ThreadView, run: RunId) -> bool {
    let Some(run) = view.run(run) else { return false };
    let Some(previous) = run.resumes.and_then(|previous| view.run(previous)) else { return false };
    let Some(Resolution::Answered { answers, .. }) = &previous.answered else { return false };
    let all_expired = answers.iter().all(|answer| answer.payload.as_ref() == Some(&*EXPIRED));
    all_expired && !previous.was_cut_by_restart() && !run.was_cut_by_restart()
}
