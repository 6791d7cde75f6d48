//! Tools that agents of kind `model` can call, and the consent that a call may need.
//!
//! An agent uses a [`ToolBox`]: it lists the tools and calls them. The tools come from sources: MCP servers, and the
//! built-in source, which analyses a thread's files.
//!
//! Guarantees: a call never fails an agent's run, but reports its failure as its output; every output is bounded,
//! untrusted text; stopping a run stops its call; an unavailable source does not affect the others.

pub mod consent;
mod data;
#[cfg(feature = "mcp")]
mod mcp;
#[cfg(not(feature = "mcp"))]
#[path = "no_mcp.rs"]
mod mcp;
pub mod questions;
mod sources;

use async_trait::async_trait;
use serde_json::Value;

use self::questions::{CallOutcome, Resumption};
use crate::{protocol::ThreadId, server::runs::RunInput};

pub use crate::protocol::http::Consent;
pub use sources::{BUILTIN, Tools};

/// A tool that a model may be offered.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// The name that the model uses: 1 to 64 of `a-z A-Z 0-9 _ -`, unique in a [`ToolBox`].
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// The JSON Schema of its arguments, which are an object.
    pub parameters: Value,
    /// The consent that a call needs; never [`Consent::Off`] in a list.
    pub consent: Consent,
    /// The id of its source, shown to people.
    pub source: String,
}

/// The output of a call: bounded, untrusted text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolOutput {
    /// The result or the error, for the model.
    pub text: String,
    /// Whether the call failed.
    pub failed: bool,
}

impl ToolOutput {
    /// A result.
    pub fn done(text: impl Into<String>) -> Self {
        Self { text: text.into(), failed: false }
    }

    /// An error, and what the model can do about it.
    pub fn failed(text: impl Into<String>) -> Self {
        Self { text: text.into(), failed: true }
    }
}

/// The tools of an agent.
#[async_trait]
pub trait ToolBox: Send + Sync + 'static {
    /// The available tools, in a stable order. The tools of a source that cannot be reached are left out.
    async fn list(&self, input: &RunInput) -> Vec<ToolSpec>;

    /// Calls a tool. The caller must have obtained the consent that the tool requires; a tool with [`Consent::Off`] is
    /// refused here. Invalid arguments, an unknown name, a time-out and a dead server are reported as failed outputs.
    /// Returns within a second after the run is stopped.
    async fn call(&self, name: &str, args: Value, input: &RunInput) -> CallOutcome;

    /// Continues a call that asked a person, or that its server runs as a task. A call that is held in this process
    /// continues only in its own thread; a call that is repeated needs [`Resumption::allowed`] if its tool requires
    /// consent. A task continues at its server when the run ends, unless a person stopped the run
    /// ([`RunInput::stopped_by_person`]).
    async fn resume(&self, name: &str, resumption: Resumption, input: &RunInput) -> CallOutcome;

    /// Ends the calls of a thread that wait for a person, because their questions will not be answered.
    fn abandon(&self, thread: ThreadId);
}
