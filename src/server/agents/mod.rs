//! The kinds of agents: the built-in analyst, remote AG-UI agents, models with tools, and recordings.
//!
//! Each implements [`crate::server::runs::Agent`]. [`AgentRegistry`] builds them from configuration.

mod attached;
mod builder;
pub mod builtin;
pub mod check;
pub mod model;
mod registry;
pub mod remote;
mod replay;
pub mod stored;
pub mod tools;

pub use builder::{AgentBuilder, Variables};
pub use registry::AgentRegistry;
pub(crate) use remote::custom_interrupts::is_answered_by_command;
pub use replay::{Replay, ReplayError};
