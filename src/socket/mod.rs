//! The client of the socket.
//!
//! `machine` is a state machine without I/O (backoff, heartbeat, resume, outbox), so unit tests can try every timing. A driver
//! carries out its outputs: `browser` in the page, `native` in the command line and the tests. `page` keeps the page's signals up
//! to date, and `context` provides them to components.

#[cfg(feature = "hydrate")]
pub(crate) mod browser;
pub mod context;
pub mod feed;
pub mod machine;
#[cfg(feature = "server")]
pub mod native;
#[cfg(feature = "hydrate")]
mod page;
