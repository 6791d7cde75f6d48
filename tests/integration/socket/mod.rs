//! The socket over real TCP: each refusal, each close code, each error code, and what a connection receives.

pub(crate) mod client;
mod closing;
mod commands;
mod compact;
mod following;
mod handshake;
mod isolation;
pub(crate) mod server;
