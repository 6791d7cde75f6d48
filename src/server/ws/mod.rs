//! The WebSocket: who gets in, and what one connection does.
//!
//! [`route`] is the handshake; [`connection`] the one task that reads and writes a socket; [`inbox`] its commands, one after the
//! other; [`subscribe`] and [`follow`] its subscriptions; [`heartbeat`] and [`close`] how it ends. Promises: every command gets
//! exactly one reply; a connection is written the entries of a channel it may read, each once and in order, or is closed with a
//! code that says why; every refusal and close is logged.

mod close;
mod connection;
mod follow;
mod gateway;
mod heartbeat;
mod inbox;
mod limits;
mod route;
mod subscribe;

pub use gateway::Gateway;
pub use route::routes;
