//! The built-in workload analyst: reads the usage log of an AI service and answers questions about it by fixed rules.
//!
//! Pure computation, without a model, network, runtime or database. Layers, low to high: `ingest` (reads a file into a
//! [`dataset::Dataset`]); `pricing` and `profile` (sums, percentiles and costs); `goals` (what the question asks for);
//! `figures` (the figures that it asks for); `optimize` and `forecast` (possible changes and their effect);
//! `analysis` (all results together); `answer`, `report`, `charts` and `narration` (text, tables and charts). The
//! agent `server/agents/builtin` presents it in a thread.
//!
//! Every number is computed from the log and shown with its assumption; answers say what the log cannot show.

pub mod analysis;
pub mod answer;
pub mod caching;
pub mod charts;
pub mod dataset;
pub mod figures;
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
pub mod zones;

/// Example questions, offered as prompts; `tests/integration/analyst` checks the answer to each.
pub const EXAMPLES: [&str; 10] = [
    "Where do my tokens go, and what should I change?",
    "Which day was dearest, and which model costs the most?",
    "Cut our cost by 20 % at the same quality.",
    "Halve latency without paying more.",
    "We expect 50 % growth. What will it cost, and does the peak still fit?",
    "Audit our caching: what does it save, and what does it miss?",
    "What would it cost on claude-sonnet-4-5?",
    "When are our peaks, and which rate limit do we need?",
    "What would batch prices save us?",
    "Can we stay within $80 a month if our traffic doubles every quarter?",
];
