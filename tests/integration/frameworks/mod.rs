//! Real frameworks with their AG-UI adapters from PyPI, asked through Netra, over a model that takes tool messages only in the
//! order that OpenAI does. What reaches the model is compared with the same conversation held without Netra.
//!
//! The two whose environments install quickly are part of `make test`; `make frameworks` runs all.

mod adk;
mod ag2;
mod agno;
mod application;
mod conversation;
mod crewai;
mod direct;
mod langgraph;
mod llamaindex;
mod model;
mod pydantic_ai;
mod recorded;
mod scenario;
mod strands;

use std::time::Duration;

/// Long enough for any of this on a busy machine; what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);
