//! Usage of tokens and money, and the budget for it.

use serde::{Deserialize, Serialize};

use crate::protocol::Person;

/// The response to `GET /api/admin/usage`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UsageReport {
    /// The sums by person and day, newest day first.
    pub sums: Vec<UsageSum>,
    /// The usage by person, day, agent and model, newest day first.
    pub rows: Vec<UsageRow>,
    /// The `skip` for the next page of both lists; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
}

/// What a person's runs with one agent and model used on a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UsageRow {
    /// The agent's id.
    pub agent: String,
    /// The provider's name of the model; empty if unknown.
    pub model: String,
    /// The usage, with its day and person.
    #[serde(flatten)]
    pub sum: UsageSum,
}

/// What a person's runs used on a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UsageSum {
    /// The day (UTC): `2026-01-31`.
    pub day: String,
    /// The person.
    pub user: Person,
    /// The number of runs. A run with several models counts for the first.
    pub runs: u64,
    /// Input tokens.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// The cost in US dollars, as far as prices are known. A run with several models counts for the first.
    pub cost_usd: f64,
}

/// The response to `GET /api/usage`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OwnUsage {
    /// What the caller's runs used today (UTC).
    pub today: Usage,
    /// What they may use per day.
    pub budget: Budget,
}

/// Used tokens and money.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Usage {
    /// Input and output tokens.
    pub tokens: u64,
    /// The cost in US dollars, as far as prices are known.
    pub usd: f64,
}

/// What may be used per day; an absent field means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Budget {
    /// Input and output tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// The cost in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd: Option<f64>,
}
