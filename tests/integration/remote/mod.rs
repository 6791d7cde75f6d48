//! Remote agents through the runner, over a real store and real sockets: whatever the endpoint does, the run's log is valid, and
//! every error has a code.

mod application;
mod attached;
mod breaker;
mod check;
mod configured;
mod growing;
pub(crate) mod harness;
mod refusals;
mod requests;
mod restating;
mod resuming;
pub(crate) mod server;
mod stopping;
mod streams;
