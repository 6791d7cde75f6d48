//! What an agent is to a run: the [`Agent`] trait, its input, its outcome and the [`Emitter`] of its events.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::new_messages::NewMessages;
use crate::{
    protocol::{
        Attachment, Author, InterruptAnswer, RunId, ThreadId,
        agui::{Base, Context, Event, Interrupt, Message, Resume, RunError, RunFinished, RunOutcome, Tool, Usage},
        http::{AgentInfo, Finding, Health},
    },
    thread::ThreadView,
};

/// Answers messages in a thread.
#[async_trait]
pub trait Agent: Send + Sync + 'static {
    /// The agent's id, name and description, for people.
    fn info(&self) -> AgentInfo;

    /// Answers one message. The runner sends `RUN_STARTED` and the terminal event; the agent sends everything in between.
    ///
    /// # Errors
    /// If the run cannot continue. The runner then closes what is open and ends the run with `RUN_ERROR`.
    async fn run(&self, input: RunInput, out: Emitter) -> Result<Done, AgentError>;

    /// Whether the agent reads messages that are sent during its run ([`RunInput::messages`]).
    fn reads_messages(&self) -> bool {
        false
    }

    /// Whether the agent makes titles of threads: see [`Agent::title`].
    fn makes_titles(&self) -> bool {
        false
    }

    /// Makes a short title of a thread that begins with these texts. The caller has checked the person's budget, and cleans the title.
    ///
    /// # Errors
    /// If it makes no titles, or could not make this one.
    async fn title(&self, _exchange: &Exchange) -> Result<TitleAnswer, AgentError> {
        Err(AgentError::failed("unsupported", "this agent makes no titles"))
    }

    /// Like [`Agent::run`], and also returns findings for the administrators' check.
    async fn probe(&self, input: RunInput, out: Emitter) -> (Result<Done, AgentError>, Vec<Finding>) {
        (self.run(input, out).await, Vec::new())
    }

    /// The state of what the agent depends on; `None` if it depends on nothing.
    fn health(&self) -> Option<Health> {
        None
    }
}

/// The beginning of a thread, shortened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchange {
    /// The first message, with the names of its files.
    pub message: String,
    /// What was answered.
    pub answer: String,
}

/// What an agent answered when it was asked for a title.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TitleAnswer {
    /// Its answer as it is.
    pub text: String,
    /// The tokens it used.
    pub usage: Vec<Usage>,
    /// `costUsd`, as in the metadata of a run's end.
    pub metadata: Option<Map<String, Value>>,
}

/// A file that a run may read.
#[derive(Debug, Clone)]
pub struct InputFile {
    /// The file's id, name and size.
    pub attachment: Attachment,
    /// The path of its bytes.
    pub path: PathBuf,
}

/// What a calling program sent along with a message; the page sends none of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallerInput {
    /// The state that the caller shares with the agent; if absent, the thread's. It becomes the thread's when the run starts.
    pub state: Option<Value>,
    /// With a message: results of client-side tool calls of an earlier run.
    pub results: Vec<InterruptAnswer>,
    /// Tools that the caller executes itself.
    pub tools: Vec<Tool>,
    /// Context for the agent.
    pub context: Vec<Context>,
    /// Values that are passed on unchanged.
    pub forwarded_props: Option<Value>,
}

/// The input of a run.
#[derive(Debug, Clone)]
pub struct RunInput {
    /// The run.
    pub run_id: RunId,
    /// Its thread.
    pub thread_id: ThreadId,
    /// The interrupted run that this one continues.
    pub parent_run_id: Option<RunId>,
    /// The agent's id.
    pub agent: String,
    /// Who sent the message.
    pub author: Author,
    /// The message's text.
    pub text: String,
    /// The message's files; if it has none, the thread's latest file.
    pub files: Vec<InputFile>,
    /// The folder of the thread's files, each named by its id.
    pub folder: PathBuf,
    /// The thread at the start of the run.
    pub thread: ThreadView,
    /// The user's answers to the interrupts of the run before.
    pub resume: Vec<Resume>,
    /// What a calling program sent along.
    pub caller: CallerInput,
    /// The messages that people send for the agent to read during the run.
    pub messages: NewMessages,
    /// Cancelled when the run must stop. Awaiting the emitter then returns an error; long computations have to check this.
    pub cancel: CancellationToken,
    /// Cancelled before `cancel` if a person stopped the run: work that was started for it elsewhere must stop, too. If the run
    /// ends because of its time limit or a shutdown, that work continues for the run that resumes it.
    pub stopped_by_person: CancellationToken,
}

impl RunInput {
    /// An input with a single message and an empty thread, for calling an agent without a runner.
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
            messages: NewMessages::default(),
            cancel: CancellationToken::new(),
            stopped_by_person: CancellationToken::new(),
        }
    }

    /// The conversation on this branch up to and including the message, as AG-UI messages with tool calls and results.
    #[must_use]
    pub fn history(&self) -> Vec<Message> {
        self.thread.history(self.run_id)
    }

    /// The state that agent and front end share, at the start of the run.
    #[must_use]
    pub fn state(&self) -> Option<Arc<Value>> {
        let given = self.caller.state.clone().map(Arc::new);
        given.or_else(|| self.thread.state_before(self.run_id))
    }
}

/// The end of a run that did not fail.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Done {
    /// The result.
    pub result: Option<Value>,
    /// How it ended.
    pub outcome: Outcome,
    /// The tokens it used.
    pub usage: Vec<Usage>,
    /// Metadata of the terminal event: `costUsd`, in US dollars.
    pub metadata: Option<Map<String, Value>>,
    /// The other fields of a remote agent's terminal event.
    pub base: Base,
}

impl Done {
    /// From a remote agent's terminal event.
    #[must_use]
    pub fn from_event(end: RunFinished) -> Self {
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

    /// A success with a result.
    #[must_use]
    pub fn with_result(result: Value) -> Self {
        Self { result: Some(result), ..Self::default() }
    }
}

/// How a run ended that did not fail.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It succeeded.
    Success {
        /// Tool calls that the caller has to execute.
        pending_tool_call_ids: Vec<String>,
    },
    /// It waits for a person's answer to at least one interrupt.
    Interrupt(Vec<Interrupt>),
    /// It was stopped at its endpoint.
    Cancelled,
}

impl Default for Outcome {
    fn default() -> Self {
        Self::Success { pending_tool_call_ids: Vec::new() }
    }
}

/// Why a run could not continue.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AgentError {
    /// The run was stopped.
    #[error("stopped")]
    Stopped,
    /// It failed.
    #[error("{message}")]
    Failed {
        /// Stable code for programs, such as `unreadable_file`.
        code: String,
        /// For people: what happened and what to do.
        message: String,
        /// The tokens it used.
        usage: Vec<Usage>,
        /// Metadata of the terminal event.
        metadata: Option<Map<String, Value>>,
    },
    /// It failed with a terminal event of a remote agent.
    #[error("{}", .0.message)]
    Reported(Box<RunError>),
}

impl AgentError {
    /// From a remote agent's terminal event.
    #[must_use]
    pub fn from_event(end: RunError) -> Self {
        Self::Reported(Box::new(end))
    }

    /// A failure with a stable code and a message for people.
    pub fn failed(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Failed { code: code.into(), message: message.into(), usage: Vec::new(), metadata: None }
    }
}

/// Sends an agent's events to the runner. Bounded: sending waits while the log is behind.
#[derive(Debug, Clone)]
pub struct Emitter {
    events: mpsc::Sender<Event>,
}

impl Emitter {
    /// An emitter and the receiver that the runner reads; at most `capacity` events wait in between.
    #[must_use]
    pub fn channel(capacity: usize) -> (Self, mpsc::Receiver<Event>) {
        let (events, receiver) = mpsc::channel(capacity);
        (Self { events }, receiver)
    }

    /// Sends an event.
    ///
    /// # Errors
    /// [`AgentError::Stopped`] when the run was stopped: return it.
    pub async fn emit(&self, event: impl Into<Event> + Send) -> Result<(), AgentError> {
        self.events.send(event.into()).await.map_err(|_| AgentError::Stopped)
    }

    /// Waits until the runner has received all events sent so far, for agents that send many at once.
    ///
    /// # Errors
    /// [`AgentError::Stopped`] when the run was stopped: return it.
    pub(crate) async fn flush(&self) -> Result<(), AgentError> {
        let all = self.events.reserve_many(self.events.max_capacity()).await;
        all.map(drop).map_err(|_| AgentError::Stopped)
    }
}
