//! Tools: what a model agent may do beside talking, and who must say yes first.
//!
//! A [`ToolBox`] is all that an agent sees: what there is to call, and the call. Behind it stand the sources of tools:
//! servers of the Model Context Protocol and the built-in ones over a thread's files.
//!
//! Promises: a call never fails an agent's run, it says what happened as its output; every output is bounded, untrusted
//! text; a stopped run stops its call; a source that is away leaves the others at work.

pub mod consent;
mod data;
#[cfg(feature = "mcp")]
mod mcp;
#[cfg(not(feature = "mcp"))]
#[path = "no_mcp.rs"]
mod mcp;
pub mod questions;
mod sources;
mod text;

use async_trait::async_trait;
use serde_json::Value;

use self::questions::{Called, Resumption};
use crate::{protocol::ThreadId, server::runs::RunInput};

pub use crate::protocol::http::Consent;
pub use sources::{BUILTIN, Tools};

/// A tool that a model may be offered.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// What a model calls it by: 1 to 64 of `a-z A-Z 0-9 _ -`, once in a [`ToolBox`].
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// The JSON Schema of its arguments: an object's.
    pub parameters: Value,
    /// What must happen before it is called; never [`Consent::Off`] in a list.
    pub consent: Consent,
    /// The id of the source that carries it out, for people.
    pub source: String,
}

/// What a call said. Untrusted text: bounded, shown as such.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolOutput {
    /// The result, or what went wrong, for the model.
    pub text: String,
    /// Whether the call failed.
    pub failed: bool,
}

impl ToolOutput {
    /// A result.
    pub fn done(text: impl Into<String>) -> Self {
        Self { text: text.into(), failed: false }
    }

    /// A failure and what to do about it.
    pub fn failed(text: impl Into<String>) -> Self {
        Self { text: text.into(), failed: true }
    }
}

/// The tools of an agent.
#[async_trait]
pub trait ToolBox: Send + Sync + 'static {
    /// What may be called, in a stable order. A source that cannot be reached is left out.
    async fn list(&self, input: &RunInput) -> Vec<ToolSpec>;

    /// Calls a tool, whose consent is the caller's to have asked for ([`Consent::Off`] is refused here). Arguments that do
    /// not fit the tool's schema, an unknown name, a time-out, a server that died: each is an output that says so.
    /// Ends within a second once the run is stopped.
    async fn call(&self, name: &str, args: Value, input: &RunInput) -> Called;

    /// Goes on with a call that asked a person, or that its server works on. One that waits in this process goes on in its own
    /// thread only; one that is made again needs [`Resumption::allowed`] where its tool asks first. A task goes on at its server
    /// when the run ends, except where a person stopped it ([`RunInput::stopped_by_person`]).
    async fn resume(&self, name: &str, resumption: Resumption, input: &RunInput) -> Called;

    /// Ends the calls of a thread that wait for a person: nobody will answer them.
    fn abandon(&self, thread: ThreadId);
}
