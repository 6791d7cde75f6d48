//! What an agent is to a run: the [`Agent`] trait, its input, its outcome and the [`Emitter`] of its events.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    protocol::{
        Attachment, Author, InterruptAnswer, RunId, ThreadId,
        agui::{Base, Context, Event, Interrupt, Message, Resume, RunError, RunFinished, RunOutcome, Tool, Usage},
        http::{AgentInfo, Finding, Health},
    },
    thread::ThreadView,
};

/// Something that answers in a thread.
#[async_trait]
pub trait Agent: Send + Sync + 'static {
    /// Who it is, for people.
    fn info(&self) -> AgentInfo;

    /// Answers one message. `RUN_STARTED` and the terminal event are the runner's; everything between is the agent's.
    ///
    /// # Errors
    /// Where the run cannot go on: it ends with `RUN_ERROR`, after what is open was closed.
    async fn run(&self, input: RunInput, out: Emitter) -> Result<Done, AgentError>;

    /// As [`Agent::run`]; also returns findings for the administrators' check.
    async fn probe(&self, input: RunInput, out: Emitter) -> (Result<Done, AgentError>, Vec<Finding>) {
        (self.run(input, out).await, Vec::new())
    }

    /// How what it depends on is; `None` where it depends on nothing.
    fn health(&self) -> Option<Health> {
        None
    }
}

/// A file that a run may read.
#[derive(Debug, Clone)]
pub struct InputFile {
    /// Its id, name and size.
    pub attachment: Attachment,
    /// Where its bytes are.
    pub path: PathBuf,
}

/// What whoever asked gave along, where that was no page but another program.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallerInput {
    /// The state that they share with the agent; absent: the thread's. It is the thread's once the run has begun.
    pub state: Option<Value>,
    /// With a message: results of calls that an earlier run left to them.
    pub results: Vec<InterruptAnswer>,
    /// Tools that they carry out themselves.
    pub tools: Vec<Tool>,
    /// What the agent may want to know.
    pub context: Vec<Context>,
    /// Whatever they pass on.
    pub forwarded_props: Option<Value>,
}

/// What a run begins with.
#[derive(Debug, Clone)]
pub struct RunInput {
    /// The run.
    pub run_id: RunId,
    /// Its thread.
    pub thread_id: ThreadId,
    /// The interrupted run that it goes on from.
    pub parent_run_id: Option<RunId>,
    /// The agent's id.
    pub agent: String,
    /// Who asked.
    pub author: Author,
    /// What was asked.
    pub text: String,
    /// The message's files; where it has none, the thread's latest.
    pub files: Vec<InputFile>,
    /// Where all files of the thread are, by their ids.
    pub folder: PathBuf,
    /// The thread as it was when the run began.
    pub thread: ThreadView,
    /// A person's answers to what the run before waited for.
    pub resume: Vec<Resume>,
    /// What whoever asked gave along.
    pub caller: CallerInput,
    /// Cancelled when the run shall stop. Awaiting the emitter ends by itself; long computations check this.
    pub cancel: CancellationToken,
    /// Cancelled before that where a person stopped the run: what was begun for it elsewhere shall stop, too. A run that ends
    /// for its time limit or because the server ends leaves that to the next.
    pub stopped_by_person: CancellationToken,
}

impl RunInput {
    /// The only question of a thread of its own, for whoever asks an agent without a runner.
    #[must_use]
    pub fn alone(author: Author, text: impl Into<String>) -> Self {
        Self {
            run_id: RunId::new(),
            thread_id: ThreadId::new(),
            parent_run_id: None,
            agent: String::new(),
            author,
            text: text.into(),
            files: Vec::new(),
            folder: PathBuf::new(),
            thread: ThreadView::default(),
            resume: Vec::new(),
            caller: CallerInput::default(),
            cancel: CancellationToken::new(),
            stopped_by_person: CancellationToken::new(),
        }
    }

    /// The conversation on this branch, up to and with what was asked: as AG-UI messages, tool calls and answers among them.
    #[must_use]
    pub fn history(&self) -> Vec<Message> {
        self.thread.history(self.run_id)
    }

    /// The state that agent and front end share, as the run begins.
    #[must_use]
    pub fn state(&self) -> Option<Arc<Value>> {
        let given = self.caller.state.clone().map(Arc::new);
        given.or_else(|| self.thread.state_before(self.run_id))
    }
}

/// How a run ended that did not fail.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Done {
    /// What came of it.
    pub result: Option<Value>,
    /// How.
    pub outcome: Outcome,
    /// The tokens it used.
    pub usage: Vec<Usage>,
    /// What the terminal event says beside: `costUsd`, in US dollars.
    pub metadata: Option<Map<String, Value>>,
    /// What else another's terminal event says, whose metadata stands above.
    pub base: Base,
}

impl Done {
    /// What another's terminal event says.
    #[must_use]
    pub fn of(end: RunFinished) -> Self {
        let outcome = match end.outcome {
            None => Outcome::default(),
            Some(RunOutcome::Success { pending_tool_call_ids }) => {
                Outcome::Success { pending_tool_call_ids: pending_tool_call_ids.unwrap_or_default() }
            }
            Some(RunOutcome::Interrupt { interrupts }) => Outcome::Interrupt(interrupts),
            Some(RunOutcome::Cancelled) => Outcome::Cancelled,
        };
        let mut base = end.base;
        let (usage, metadata) = (end.usage.unwrap_or_default(), base.metadata.take());
        Self { result: end.result, outcome, usage, metadata, base }
    }

    /// It did what was asked, with a result.
    #[must_use]
    pub fn with(result: Value) -> Self {
        Self { result: Some(result), ..Self::default() }
    }
}

/// In which way a run ended that did not fail.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It did what was asked.
    Success {
        /// Tool calls that whoever asked is to carry out.
        pending_tool_call_ids: Vec<String>,
    },
    /// It waits for a person: at least one interrupt.
    Interrupt(Vec<Interrupt>),
    /// It was stopped where it runs.
    Cancelled,
}

impl Default for Outcome {
    fn default() -> Self {
        Self::Success { pending_tool_call_ids: Vec::new() }
    }
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
        /// The tokens it used.
        usage: Vec<Usage>,
        /// What the terminal event says beside.
        metadata: Option<Map<String, Value>>,
    },
    /// It failed, and another's terminal event says so.
    #[error("{}", .0.message)]
    Told(Box<RunError>),
}

impl AgentError {
    /// What another's terminal event says.
    #[must_use]
    pub fn of(end: RunError) -> Self {
        Self::Told(Box::new(end))
    }

    /// A failure with a stable code and a sentence.
    pub fn failed(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Failed { code: code.into(), message: message.into(), usage: Vec::new(), metadata: None }
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

    /// Waits until all that was said is taken to the log: for whoever says much at once.
    ///
    /// # Errors
    /// [`AgentError::Stopped`] once the run has been stopped: return it.
    pub(crate) async fn until_taken(&self) -> Result<(), AgentError> {
        let all = self.events.reserve_many(self.events.max_capacity()).await;
        all.map(drop).map_err(|_| AgentError::Stopped)
    }
}
