//! The socket, seen from the server: who gets in, what a connection may do, and who hears what.
//!
//! [`route`] is the handshake; [`connection`] the one task that reads and writes a socket; [`commands`] what a command
//! does; [`manager`] who is connected and who follows what (over [`registry`], which only keeps books); [`outbound`]
//! what waits to be written; [`listen`] a channel followed without a socket; [`nodes`] what is done on every node,
//! [`catch_up`], [`audit`] and [`presence`] among it. Promises: every command gets exactly one reply; a connection hears the
//! entries of a channel it may read, each once and in order, or is closed with a code that says why; every refusal and close
//! is logged.

mod audit;
mod catch_up;
mod commands;
mod connection;
mod end;
mod follow;
mod inbox;
mod limits;
mod listen;
mod manager;
mod nodes;
mod outbound;
mod page;
mod presence;
mod pulse;
mod registry;
mod route;
pub mod turns;

pub(crate) use listen::{Listener, Silence};
pub use manager::{ConnectionManager, Counts};
pub use nodes::Nodes;
pub use route::{Gateway, routes};
pub use turns::Runs;
