//! The check of an agent: a short test conversation that an administrator starts.

use serde::{Deserialize, Serialize};

/// The body of `POST /api/admin/agents/<id>/check`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CheckAgent {
    /// The first message of the check; absent: a greeting. A message that makes the agent ask a question shows what a person would see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl CheckAgent {
    /// The message that is sent if `text` is absent.
    pub const GREETING: &str = "Hello! In one sentence: what can you do?";
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AgentCheck {
    /// The findings, in the order in which they were made.
    pub findings: Vec<Finding>,
}

/// One finding of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finding {
    /// How serious it is.
    pub level: FindingLevel,
    /// What was found and what to do, in sentences.
    pub about: String,
}

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FindingLevel {
    /// It works.
    Good,
    /// It works, but could be improved.
    Advice,
    /// It does not work.
    Problem,
}

impl Finding {
    /// A finding that something works.
    pub fn good(about: impl Into<String>) -> Self {
        Self { level: FindingLevel::Good, about: about.into() }
    }

    /// A finding that something could be improved.
    pub fn advice(about: impl Into<String>) -> Self {
        Self { level: FindingLevel::Advice, about: about.into() }
    }

    /// A finding that something does not work.
    pub fn problem(about: impl Into<String>) -> Self {
        Self { level: FindingLevel::Problem, about: about.into() }
    }
}
