//! Real frameworks with their AG-UI adapters from PyPI, asked through Netra, over a model that takes tool messages only in the
//! order that OpenAI does. What reaches the model is compared with the same conversation held without Netra.
//!
//! The two whose environments install quickly are part of `make test`; `make frameworks` runs all.
#![cfg(feature = "ssr")]
#![allow(unreachable_pub, reason = "parts of other tests are used here")]

mod adk;
mod ag2;
mod agno;
mod application;
#[path = "../support/attach.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod attach;
mod conversation;
mod crewai;
mod direct;
#[path = "../remote/house.rs"]
#[allow(dead_code, reason = "the remote agents' own tests use more of it")]
mod house;
mod langgraph;
mod llamaindex;
mod model;
#[path = "../support/npm.rs"]
mod npm;
#[path = "../support/owner.rs"]
mod owner;
mod pydantic_ai;
mod recorded;
mod scenario;
#[path = "../remote/server.rs"]
#[allow(dead_code, reason = "the remote agents' own tests use more of it")]
mod server;
mod strands;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

/// Long enough for any of this on a busy machine; what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);
