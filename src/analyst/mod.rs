//! The built-in workload analyst: reads the usage log of an AI service and answers what its owner asks, by fixed rules.
//!
//! Pure computation, without a model, network, runtime or database. Floors, low to high: `ingest` (reads a file into a
//! [`dataset::Dataset`]); `pricing` and `profile` (the log in numbers); `goals` (what the question asks for); `optimize` and
//! `forecast` (what could change); `analysis` (all of it together); `answer`, `report`, `charts` and `telling` (words, tables
//! and pictures). The agent `server/agents/builtin` presents it in a thread.
//!
//! Every figure is computed from the log and stands beside its assumption; the answer says what the log cannot show.

pub mod analysis;
pub mod answer;
pub mod caching;
pub mod charts;
pub mod dataset;
pub mod figures;
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
pub mod telling;
pub mod words;

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
