//! The socket, seen from the server: who gets in, what a connection may do, and who hears what.
//!
//! [`route`] is the handshake; [`connection`] the one task that reads and writes a socket; [`commands`] what a command
//! does; [`manager`] who is connected and who follows what (over [`registry`], which only keeps books); [`outbound`]
//! what waits to be written. Promises: every command gets exactly one reply; a connection hears the entries of a channel
//! it may read, each once and in order, or is closed with a code that says why; every refusal and close is logged.

mod commands;
mod connection;
mod follow;
mod inbox;
mod limits;
mod manager;
mod outbound;
mod pulse;
mod registry;
mod route;

pub use commands::Runs;
pub use manager::{ConnectionManager, Counts};
pub use route::{Gateway, routes};
