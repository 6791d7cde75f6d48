//! The socket over real TCP: each refusal, each close code, each error code, and what a connection hears.

pub(crate) mod bench;
mod closing;
mod commands;
mod following;
mod handshake;
mod isolation;
