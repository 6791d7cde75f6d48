//! Agents, as people and administrators see them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An agent that the caller may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AgentInfo {
    /// Its id, for `create_thread` and `send_message`.
    pub id: String,
    /// Its display name.
    pub name: String,
    /// What it does, in one sentence.
    pub description: String,
    /// Example prompts.
    pub examples: Vec<String>,
    /// What the message field shows while it is empty; empty for the page's own text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// The kind of agent.
    #[serde(default)]
    pub kind: AgentKind,
    /// The types of files that it accepts, as in a file input's `accept` (`.csv`, `image/png`); empty for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Why its runs would fail now, as what it depends on does not respond; absent if they would not, or that is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
    /// Why it cannot be used. Only administrators see such agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<String>,
}

impl AgentInfo {
    /// An enabled built-in agent without examples.
    #[must_use]
    pub fn new(id: impl Into<String>, name: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            description: description.into(),
            examples: Vec::new(),
            hint: String::new(),
            kind: AgentKind::Builtin,
            files: Vec::new(),
            unavailable: None,
            disabled: None,
        }
    }
}

/// The kind of an agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum AgentKind {
    /// Part of this server.
    #[default]
    Builtin,
    /// A model; this server runs its loop and tools.
    Model,
    /// A remote AG-UI endpoint.
    AgUi,
    /// A recorded run, replayed at a steady rate.
    Replay,
}

/// The response to `GET /api/admin/agents`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AdminAgents {
    /// All agents, also those that cannot be used.
    pub agents: Vec<AdminAgent>,
}

/// An agent, as administrators see it; also the response to `PUT /api/admin/agents/<id>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AdminAgent {
    /// The agent, and why it cannot be used if that is so.
    pub info: AgentInfo,
    /// Where it is configured.
    pub source: AgentSource,
    /// Its configuration, in the format of the file's `[[agents]]`, without secrets.
    pub entry: Map<String, Value>,
    /// Whether what it depends on is reachable; absent if it depends on nothing or was not used yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// How its answers were rated.
    #[serde(default)]
    pub feedback: FeedbackCounts,
    /// The failure of its newest run; absent if that did not fail or there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<LastFailure>,
}

/// How many answers were rated good and bad, by all users.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FeedbackCounts {
    /// Rated good.
    pub good: u64,
    /// Rated bad.
    pub bad: u64,
}

/// The failure of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LastFailure {
    /// When it ended, in milliseconds since 1970.
    pub at: i64,
    /// The error, for a person.
    pub message: String,
}

/// Where an agent is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AgentSource {
    /// It is part of this server.
    BuiltIn,
    /// In the configuration file.
    File,
    /// On the administrators' page.
    Page,
}

/// Whether what an agent depends on is reachable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Health {
    /// Whether it can be used now.
    pub ok: bool,
    /// The details, in one sentence.
    pub about: String,
}
