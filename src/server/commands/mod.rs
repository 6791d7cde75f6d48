//! What the commands of people do, whichever way they come in: over a WebSocket (`ws`) or over HTTP (`http`).
//!
//! One file a command. Renaming a thread and marking it as read are one call of [`threads`](super::threads) and have none.
//! Subscriptions belong to a connection, see `ws/subscribe.rs`.

mod answer;
mod create_thread;
mod delete_thread;
mod send_message;
mod set_agent;
mod stop_run;
mod take_back;

use std::path::PathBuf;

use tracing::Instrument;

use super::{
    channel::Channels,
    connections::Nodes,
    error::{Error, Result},
    runs::{Agents, Runner},
    threads::CommandOutcome,
};
use crate::protocol::MessageAccepted;

/// The commands, with the parts of the server that they use; clones share those.
#[derive(Debug, Clone)]
pub struct Commands {
    channels: Channels,
    runner: Runner,
    nodes: Nodes,
    /// The folder of the threads' files.
    files: PathBuf,
}

impl Commands {
    /// Commands on these parts. The files of a thread are in the folder of its id below `files`.
    #[must_use]
    pub fn new(channels: Channels, runner: Runner, nodes: Nodes, files: PathBuf) -> Self {
        Self { channels, runner, nodes, files }
    }

    fn agents(&self) -> &Agents {
        self.runner.agents()
    }

    /// Hands an accepted message's run, if it is new, to the runner.
    fn start(&self, asked: CommandOutcome) -> MessageAccepted {
        asked.run.into_iter().for_each(|run| self.runner.start(run));
        asked.accepted
    }
}

/// Runs a command to its end in a task of its own, though the caller stops waiting.
///
/// For HTTP handlers: axum drops a request's future when its client disconnects. Dropped between the commit and the start of
/// the run, the run would wait until [`Runner::tend`] finds it. A WebSocket's commands have a task each already.
///
/// # Errors
/// What the command answers; [`Error::Corrupt`] where it panics.
pub async fn run_detached<T: Send + 'static>(command: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let panicked = |error| Error::Corrupt(format!("a command did not end: {error}"));
    tokio::spawn(command.in_current_span()).await.map_err(panicked)?
}
