//! The built-in workload analyst: reads the usage log of an AI service and answers questions about it by fixed rules.
//!
//! Pure computation, without a model, network, runtime or database. Layers, low to high: `ingest` (reads a file into a
//! [`dataset::Dataset`]); `pricing` and `profile` (sums, percentiles and costs); `goals` (what the question asks for);
//! `optimize` and `forecast` (possible changes and their effect); `analysis` (all results together); `answer`, `report`,
//! `charts` and `narration` (text, tables and charts). The agent `server/agents/builtin` presents it in a thread.
//!
//! Every number is computed from the log and shown with its assumption; answers say what the log cannot show.

pub mod analysis;
pub mod answer;
pub mod caching;
pub mod charts;
pub mod dataset;
pub mod forecast;
pub mod format;
pub mod goals;
pub mod ingest;
pub mod narration;
pub mod numbers;
pub mod optimize;
pub mod peaks;
pub mod pricing;
pub mod profile;
pub mod report;
pub mod sample;
pub mod stats;

/// Example questions, offered as prompts; `tests/integration/analyst` checks the answer to each.
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
