//! The runs of threads: when they may begin, and how they are stopped.

use super::{
    lock_thread,
    queries::{self, RunThread},
};
use crate::{
    protocol::{ErrorCode, RunId, ThreadId, UserId},
    server::{
        access::Access,
        channel::Channels,
        error::{Error, Result},
    },
};

/// Orders the runs of a thread: the lesser begins first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunOrder {
    /// The `seq` of the message that began the turn. A run that resumes another has the other's turn.
    pub turn: u64,
    /// The `seq` of the message or answer that requested the run.
    pub seq: u64,
}

/// A requested run: it is committed, but has not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// The run.
    pub run_id: RunId,
    /// Its thread.
    pub thread_id: ThreadId,
    /// The owner of the thread.
    pub owner: UserId,
    /// Who requested it: the owner, or a member of the thread. Its usage, and its place in the queue, count for this user.
    pub requested_by: UserId,
    /// The agent that runs.
    pub agent: String,
    /// The run that it resumes.
    pub resumes: Option<RunId>,
    /// Its order among the runs of its thread.
    pub order: RunOrder,
    /// Whether it must wait for an earlier run of the thread that has not ended or waits for an answer.
    pub blocked: bool,
}

/// Whether a run must still wait for another of its thread.
///
/// # Errors
/// If the store fails.
pub async fn is_blocked(channels: &Channels, thread: ThreadId, order: RunOrder) -> Result<bool> {
    let mut reader = channels.store().reader().acquire().await?;
    queries::is_blocked(&mut reader, thread, order).await
}

/// Whether a run exists and has not ended.
///
/// # Errors
/// If the store fails.
pub async fn is_open(channels: &Channels, run: RunId) -> Result<bool> {
    queries::is_open(channels.store().reader(), run).await
}

/// Requests that a run be stopped: the node that owns it stops it, even if this node fails. Returns false if the run has ended already.
///
/// # Errors
/// `not_found`, `forbidden`.
pub async fn request_stop(channels: &Channels, user: UserId, run: RunId) -> Result<bool> {
    let RunThread { thread_id, ended_at } = queries::thread_of_run(channels.store().reader(), run).await?;
    if ended_at.is_some() {
        super::authorise_run(channels, user, run, Access::Write).await?;
        return Ok(false);
    }
    let mut tx = channels.begin().await?;
    lock_thread(&mut tx, user, thread_id, Access::Write).await.map_err(|error| match error {
        Error::Refused(body) if body.code == ErrorCode::NotFound => Error::not_found("run"),
        error => error,
    })?;
    queries::mark_to_stop(tx.sql(), run).await?;
    tx.commit().await?;
    Ok(true)
}
