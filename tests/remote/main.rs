//! A remote agent through the runner, over a real store and real sockets: whatever the endpoint does, the run's log ends in
//! order, with a code that says what happened.
#![cfg(feature = "ssr")]
#![allow(unreachable_pub, reason = "each module uses the others' parts")]

mod application;
#[path = "../support/attach.rs"]
mod attach;
mod attached;
mod breaker;
mod check;
mod configured;
mod growing;
mod house;
#[path = "../support/owner.rs"]
mod owner;
#[path = "../support/python.rs"]
mod python;
mod refusals;
mod restating;
mod resuming;
mod server;
mod sharing;
mod stopping;
mod streams;

use std::time::Duration;

/// Long enough for any of this on a busy machine; what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(30);
