//! Questions that nobody answered in time: each is given up with `{"expired": true}`, and the agent goes on.

use std::sync::LazyLock;

use serde_json::{Value, json};
use sqlx::Row;

use super::{NewRun, answer};
use crate::{
    protocol::{Answer, AnswerStatus, ErrorCode, InterruptAnswer, MessageId, RunId, ThreadId, UserId, http::User},
    server::{
        channel::Channels,
        clock::now_ms,
        error::{Error, Result},
    },
    thread::Resolution,
};

/// The most that are looked at in one turn.
const MAX_AT_ONCE: i64 = 1_024;

/// What each answer says that nobody gave.
static EXPIRED: LazyLock<Value> = LazyLock::new(|| json!({"expired": true}));

/// A run that waited for a person, and whose last question has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unanswered {
    /// The run.
    pub run_id: RunId,
    /// Its thread.
    pub thread_id: ThreadId,
    /// Whose thread it is.
    pub owner: UserId,
}

/// Runs that waited long enough, on whatever node they were: those first that have waited longest.
///
/// # Errors
/// Where the store fails.
pub async fn unanswered(channels: &Channels) -> Result<Vec<Unanswered>> {
    let sql = "SELECT id, thread_id, owner FROM runs WHERE asks_until <= $1 AND answered_at IS NULL \
               ORDER BY asks_until LIMIT $2";
    let rows = sqlx::query(sql).bind(now_ms()).bind(MAX_AT_ONCE).fetch_all(channels.store().reader()).await?;
    let read = |row: &sqlx::any::AnyRow| -> Result<Unanswered> {
        let [run, thread, owner] = [0, 1, 2].map(|at| row.try_get::<String, _>(at));
        Ok(Unanswered { run_id: run?.parse()?, thread_id: thread?.parse()?, owner: owner?.parse()? })
    };
    rows.iter().map(read).collect()
}

/// What became of silence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// The run in which the agent goes on.
    pub run: NewRun,
    /// Whether the one that waited went on from silence itself: nobody is there, and it should not go on asking.
    pub again: bool,
}

/// Gives up what a run asked, in the name of `user`, whose thread it is. Answers the run that comes of it, which the caller
/// starts; nothing where somebody was faster: a person, another node.
///
/// # Errors
/// Where the store fails.
pub async fn expire(channels: &Channels, user: &User, silent: Unanswered) -> Result<Option<Silence>> {
    let Unanswered { run_id, thread_id, .. } = silent;
    let view = match channels.thread(thread_id).await {
        Ok((_, view)) => view,
        Err(error @ (Error::Store(_) | Error::Shared(_))) => return Err(error),
        Err(error) => {
            tracing::error!(thread = %thread_id, %error, "a thread cannot be read; what it asked is dropped");
            Default::default()
        }
    };
    let given_up = |id: &str| InterruptAnswer {
        interrupt_id: id.into(),
        status: AnswerStatus::Cancelled,
        payload: Some(EXPIRED.clone()),
        metadata: None,
    };
    let waits = view.run(run_id);
    let before = waits.and_then(|run| run.resumes).and_then(|before| view.run(before));
    // A run that its server's end cut asked nobody.
    let again = before.is_some_and(|before| match &before.answered {
        Some(Resolution::Answered { answers, .. }) => {
            let is_silence = answers.iter().all(|answer| answer.payload.as_ref() == Some(&*EXPIRED));
            is_silence && !before.was_cut_by_restart() && waits.is_some_and(|run| !run.was_cut_by_restart())
        }
        _ => false,
    });
    let asks = waits.map(|run| run.open_interrupts()).unwrap_or_default();
    let answers: Vec<_> = asks.iter().map(|interrupt| given_up(&interrupt.id)).collect();
    if answers.is_empty() {
        // No longer kept, or answered a moment ago.
        let mut tx = channels.begin().await?;
        let sql = "UPDATE runs SET answered_at = $2 WHERE id = $1 AND answered_at IS NULL";
        sqlx::query(sql).bind(run_id.to_string()).bind(now_ms()).execute(tx.sql()).await?;
        tx.commit().await?;
        return Ok(None);
    }
    let command = Answer { answer_id: MessageId::new(), thread_id, run_id, answers };
    match answer(channels, user, &command, None, |_| Ok(())).await {
        Ok(asked) => Ok(asked.run.map(|run| Silence { run, again })),
        Err(Error::Refused(body)) if matches!(body.code, ErrorCode::Conflict | ErrorCode::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}
