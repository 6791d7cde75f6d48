//! A remote agent through the runner, over a real store and real sockets: whatever the endpoint does, the run's log ends in
//! order, with a code that says what happened.

mod application;
mod attached;
mod breaker;
mod check;
mod configured;
mod growing;
pub(crate) mod house;
mod refusals;
mod restating;
mod resuming;
pub(crate) mod server;
mod sharing;
mod stopping;
mod streams;

use std::time::Duration;

/// Long enough for any of this on a busy machine; what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(30);
