//! A check of an agent, which administrators ask for.

use serde::{Deserialize, Serialize};

/// `POST /api/admin/agents/<id>/check`: what to ask the agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CheckAgent {
    /// The first message of the check; absent: a greeting. One that makes the agent ask a person shows what that person would see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl CheckAgent {
    /// What is asked where nothing else is wanted.
    pub const GREETING: &str = "Hello! In one sentence: what can you do?";
}

/// What a short conversation with an agent found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct AgentCheck {
    /// In the order in which it was found.
    pub findings: Vec<Finding>,
}

/// One thing that a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct Finding {
    /// How much it matters.
    pub level: FindingLevel,
    /// What was found, and what to do, in sentences.
    pub about: String,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FindingLevel {
    /// It works.
    Good,
    /// It works, and could do better.
    Advice,
    /// It does not work for people.
    Problem,
}

impl Finding {
    /// Something that works.
    pub fn good(about: impl Into<String>) -> Self {
        Self { level: FindingLevel::Good, about: about.into() }
    }

    /// Something that could do better.
    pub fn advice(about: impl Into<String>) -> Self {
        Self { level: FindingLevel::Advice, about: about.into() }
    }

    /// Something that does not work.
    pub fn problem(about: impl Into<String>) -> Self {
        Self { level: FindingLevel::Problem, about: about.into() }
    }
}
