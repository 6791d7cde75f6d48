//! The client of the socket.
//!
//! `machine` decides everything (backoff, heartbeat, resume, outbox) without I/O, clock or framework, so every timing bug
//! is a unit test. A transport carries its decisions out: `browser` in the page, `native` in the command line and the
//! tests. `context` puts the one connection of a tab into application state.

#[cfg(feature = "hydrate")]
pub(crate) mod browser;
pub mod context;
pub mod feed;
pub mod machine;
#[cfg(feature = "server")]
pub mod native;
#[cfg(feature = "hydrate")]
mod state;
