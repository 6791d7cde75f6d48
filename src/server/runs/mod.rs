//! Runs: an agent answers a message, and its events become entries of the thread's log.
//!
//! An [`Agent`] receives a [`RunInput`] and sends AG-UI events through an [`Emitter`]. The [`Runner`] does the rest: it queues
//! the run, writes `RUN_STARTED` and the terminal event, checks and coalesces events, appends them to the log, stops a run
//! within a second, and turns a panic, an error or a timeout into `RUN_ERROR` after closing what is open.
//!
//! Layers, low to high: [`agent`], `new_messages` and `agents` (who can answer); [`guard`], [`verifier`] and [`verify`] (AG-UI's rules);
//! `chunks`, `coalesce`, `condense` (events before they are stored); `failures`, `tool_tasks` and `restart` (runs that were cut off
//! when their node stopped); `run_log` (appending); `prepare` (what a run starts with); `titles` (what
//! a finished run's agent calls its thread); `run`; `queue`; `runner`.

mod agent;
mod agents;
mod chunks;
mod coalesce;
mod condense;
mod failures;
pub mod guard;
mod new_messages;
mod prepare;
mod queue;
mod restart;
mod run;
mod run_log;
mod runner;
mod titles;
pub(crate) mod tool_tasks;
pub mod verifier;
pub mod verify;

pub use agent::{Agent, AgentError, CallerInput, Done, Emitter, Exchange, InputFile, Outcome, RunInput, TitleAnswer};
pub use agents::{Agents, Registered};
pub(crate) use condense::{SINCE_MESSAGE, check_state};
pub use failures::last_failure;
pub use new_messages::NewMessages;
pub use runner::{Runner, RunnerOptions};
