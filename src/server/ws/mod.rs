//! The WebSocket: who may open one, and what one connection does.
//!
//! [`route`] is the handshake; [`connection`] the one task that reads and writes a socket; [`command_queue`] and [`execute`] its
//! commands, one after the other; [`subscribe`] and [`subscriptions`] the channels that it follows; [`outgoing`] what is to be written, with
//! [`compact`] for entries in few bytes; [`heartbeat`] and [`close`] how it ends. Guarantees: every command gets exactly one reply; a connection receives every entry of the channels that it
//! follows, once and in order, or is closed with a code that says why; every refusal and close is logged.

mod close;
mod command_queue;
mod compact;
mod connection;
mod execute;
mod gateway;
mod heartbeat;
mod limits;
mod outgoing;
mod route;
mod subscribe;
mod subscriptions;

pub use compact::CompactEncoder;
pub use gateway::Gateway;
pub use route::routes;
