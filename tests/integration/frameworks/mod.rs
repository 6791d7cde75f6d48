//! Real frameworks with their AG-UI adapters from PyPI as remote agents, over a model that requires tool messages in the order that
//! OpenAI does. What reaches the model is compared with the same conversation without Netra.
//!
//! `make test` runs the two whose packages install quickly; `make frameworks` runs all.

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
