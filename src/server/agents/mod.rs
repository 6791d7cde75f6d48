//! Agents: what answers in a thread.
//!
//! An [`Agent`] is given a question and an [`Emitter`] and says what it does as AG-UI events. The runner does the rest:
//! it begins and ends the run, coalesces deltas, appends every event to the thread's log, stops within a second, and
//! turns a panic, an error or a time-out into `RUN_ERROR` with everything open closed first.

pub mod analyst;
mod coalesce;
pub mod guard;
mod log;
mod registry;
mod replay;
mod run;
mod runner;

use std::path::PathBuf;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::protocol::{Attachment, Author, RunId, ThreadId, agui::Event, http::AgentInfo};

pub use registry::{AgentConfigError, Agents};
pub use replay::{Replay, ReplayError};
pub use runner::{Runner, RunnerOptions};

/// Something that answers in a thread.
#[async_trait]
pub trait Agent: Send + Sync + 'static {
    /// Who it is, for people.
    fn info(&self) -> AgentInfo;

    /// Answers one message. `RUN_STARTED` and the terminal event are the runner's; everything between is the agent's.
    ///
    /// # Errors
    /// Where the run cannot go on: it ends with `RUN_ERROR`, after what is open was closed.
    async fn run(&self, input: RunInput, out: Emitter) -> Result<Option<Value>, AgentError>;
}

/// A file that a run may read.
#[derive(Debug, Clone)]
pub struct InputFile {
    /// Its id, name and size.
    pub attachment: Attachment,
    /// Where its bytes are.
    pub path: PathBuf,
}

/// What a run begins with.
#[derive(Debug, Clone)]
pub struct RunInput {
    /// The run.
    pub run_id: RunId,
    /// Its thread.
    pub thread_id: ThreadId,
    /// Who asked.
    pub author: Author,
    /// What was asked.
    pub text: String,
    /// The message's files; where it has none, the thread's latest.
    pub files: Vec<InputFile>,
    /// Cancelled when the run shall stop. Awaiting the emitter ends by itself; long computations check this.
    pub cancel: CancellationToken,
}

/// Why a run could not go on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AgentError {
    /// The run was stopped.
    #[error("stopped")]
    Stopped,
    /// It failed.
    #[error("{message}")]
    Failed {
        /// For programs, stable: `unreadable_file`, say.
        code: String,
        /// For a person: what happened and what to do.
        message: String,
    },
}

impl AgentError {
    /// A failure with a stable code and a sentence.
    pub fn failed(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Failed { code: code.into(), message: message.into() }
    }
}

/// Where an agent says what it does. Bounded: it waits while the log is behind.
#[derive(Debug, Clone)]
pub struct Emitter {
    events: mpsc::Sender<Event>,
}

impl Emitter {
    /// An emitter and the end that the runner reads; at most `capacity` events wait between them.
    #[must_use]
    pub fn channel(capacity: usize) -> (Self, mpsc::Receiver<Event>) {
        let (events, receiver) = mpsc::channel(capacity);
        (Self { events }, receiver)
    }

    /// Says one thing.
    ///
    /// # Errors
    /// [`AgentError::Stopped`] once the run has been stopped: return it.
    pub async fn emit(&self, event: impl Into<Event> + Send) -> Result<(), AgentError> {
        self.events.send(event.into()).await.map_err(|_| AgentError::Stopped)
    }
}
