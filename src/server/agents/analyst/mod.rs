//! The built-in workload analyst: reads the usage log of an AI service and answers what its owner asks, by fixed rules.
//!
//! Needs no model and no network, and says so; given a model, it lets that word things and computes as before. Floors, low to high: `ingest` (a file into a [`dataset::Dataset`]);
//! `pricing` and `profile` (the log in numbers); `goals` (what the question asks); `optimize` and `forecast` (what could
//! be); `analysis` (all of it together); `answer`, `report`, `charts` (in words, tables and pictures); `agent` (how it
//! tells, as AG-UI events) with `wording` (a model at its side). All but those two is pure.
//!
//! Promises: every figure is computed from the log, with its assumption beside it; what the log cannot show is said.

pub mod agent;
pub mod analysis;
pub mod answer;
pub mod caching;
pub mod charts;
pub mod dataset;
mod figures;
pub mod forecast;
pub mod goals;
pub mod ingest;
pub mod optimize;
pub mod peaks;
pub mod pricing;
pub mod profile;
pub mod report;
pub mod sample;
pub mod stats;
pub(crate) mod telling;
mod voice;
pub mod wording;
pub mod words;

pub use agent::Analyst;
pub use wording::Writer;

/// What the owner of an AI service asks: prompts to begin with, each with a checked answer in `tests/analyst.rs`.
pub const EXAMPLES: [&str; 10] = [
    "Where do my tokens go, and what should I change?",
    "Cut our cost by 20 % at the same quality.",
    "Make it three times faster at the same spend.",
    "We expect 50 % growth. What will it cost, and does the peak still fit?",
    "Audit our caching: what does it save, and what does it miss?",
    "Compare gpt-4.1 with gpt-4.1-mini for this traffic.",
    "When are our peaks, and which rate limit do we need?",
    "Which small requests could use a cheaper model, and what would that save?",
    "What would batch prices save us?",
    "Cut cost, keep the latency, and prepare for 2x traffic within $80 a month.",
];
