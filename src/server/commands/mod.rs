//! Executes the commands of people, for the WebSocket (`ws`) and the HTTP API (`http`).
//!
//! A file for each command; `temporary.rs` also deletes expired threads. `rename_thread`, `pin_thread`, `archive_thread`, `keep_thread`,
//! `mark_read`, `edit_queued`, `give_feedback`, `share_thread`, `withdraw_link`, `set_member_role` and `delete_prompt` are a single call of [`threads`](super::threads) or
//! [`prompts`](super::prompts), so they have none; subscriptions belong to a connection, see `ws/subscribe.rs`.

mod answer;
mod create_thread;
mod delete_thread;
mod fork_thread;
mod members;
mod move_queued;
mod prompts;
mod second_path;
mod send_message;
mod set_agent;
mod stop_run;
mod take_back;
mod temporary;

use std::path::PathBuf;

use tracing::Instrument;

use super::{
    channel::Channels,
    connections::Nodes,
    error::{Error, Result},
    runs::{Agents, Runner},
    threads::{RequestedRun, TemporaryLimits},
};
use crate::protocol::MessageAccepted;

/// Executes commands; clones share the parts of the server that they use.
#[derive(Debug, Clone)]
pub struct Commands {
    channels: Channels,
    runner: Runner,
    nodes: Nodes,
    /// The folder of the threads' files.
    files: PathBuf,
    /// When temporary threads are deleted.
    temporary: TemporaryLimits,
    /// Whether users may share threads with each other.
    has_members: bool,
}

impl Commands {
    /// Commands over these parts. The files of a thread are in a folder named by its id, below `files`.
    #[must_use]
    pub fn new(channels: Channels, runner: Runner, nodes: Nodes, files: PathBuf) -> Self {
        Self { channels, runner, nodes, files, temporary: TemporaryLimits::default(), has_members: true }
    }

    /// With limits for temporary threads.
    #[must_use]
    pub fn with_temporary_limits(self, temporary: TemporaryLimits) -> Self {
        Self { temporary, ..self }
    }

    /// With or without sharing threads between users.
    #[must_use]
    pub fn with_members(self, has_members: bool) -> Self {
        Self { has_members, ..self }
    }

    fn agents(&self) -> &Agents {
        self.runner.agents()
    }

    /// Passes the run of an accepted message to the runner, unless the command was repeated.
    fn start(&self, requested: RequestedRun) -> MessageAccepted {
        requested.run.into_iter().for_each(|run| self.runner.start(run));
        requested.accepted
    }
}

/// Runs a command to its end in a task of its own, even if the caller stops waiting.
///
/// For HTTP handlers: axum drops a request's future when its client disconnects. If that happened between the commit and the start of
/// the run, the run would wait until [`Runner::tend`] finds it. The commands of a WebSocket have a task each already.
///
/// # Errors
/// Those of the command; [`Error::Corrupt`] if it panics.
pub async fn run_detached<T: Send + 'static>(command: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let panicked = |error| Error::Corrupt(format!("a command failed: {error}"));
    tokio::spawn(command.in_current_span()).await.map_err(panicked)?
}
