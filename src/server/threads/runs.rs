//! Runs of threads, as commands see them: when they may begin, and how they are stopped.

use super::queries;
use crate::{
    protocol::{RunId, ThreadId, UserId},
    server::{channel::Channels, error::Result},
};

/// The position of a run among those of its thread. Runs begin in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The `seq` of the message that began the turn. A run that resumes another has the other's turn.
    pub turn: u64,
    /// The `seq` of the message or answer that asked for the run.
    pub seq: u64,
}

/// A run that was asked for: committed, not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// The run.
    pub run_id: RunId,
    /// Its thread.
    pub thread_id: ThreadId,
    /// The owner of the thread.
    pub owner: UserId,
    /// The agent that runs.
    pub agent: String,
    /// The run that it resumes.
    pub resumes: Option<RunId>,
    /// Its position among the runs of its thread.
    pub place: Place,
    /// Whether it must wait for an earlier run of the thread that has not ended or waits for an answer.
    pub blocked: bool,
}

/// Whether a run must still wait for another of its thread.
///
/// # Errors
/// If the store fails.
pub async fn is_blocked(channels: &Channels, thread: ThreadId, place: Place) -> Result<bool> {
    let mut reader = channels.store().reader().acquire().await?;
    queries::is_blocked(&mut reader, thread, place).await
}

/// Whether a run exists and has not ended.
///
/// # Errors
/// If the store fails.
pub async fn is_open(channels: &Channels, run: RunId) -> Result<bool> {
    queries::is_open(channels.store().reader(), run).await
}

/// Requests that a run be stopped: the node that owns it stops it, also if this node fails. Returns whether the run has not ended yet.
///
/// # Errors
/// `not_found`.
pub async fn request_stop(channels: &Channels, user: UserId, run: RunId) -> Result<bool> {
    if queries::ended_at(channels.store().reader(), user, run).await?.is_some() {
        return Ok(false);
    }
    let mut tx = channels.begin().await?;
    queries::mark_to_stop(tx.sql(), run).await?;
    tx.commit().await?;
    Ok(true)
}
