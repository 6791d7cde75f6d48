//! Sources of tools, as administrators see them.

use serde::{Deserialize, Serialize};

/// The response to `GET /api/admin/tools`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AdminTools {
    /// The configured sources of tools, also those that cannot be used.
    pub sources: Vec<ToolSource>,
}

/// A source of tools, as administrators see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ToolSource {
    /// Its id, by which agents refer to it.
    pub id: String,
    /// Its state on this node, as of its last use.
    #[serde(flatten)]
    pub state: ToolSourceState,
}

/// The state of a source of tools.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ToolSourceState {
    /// Not used yet.
    Idle,
    /// Connected.
    Ready {
        /// Its tools.
        tools: Vec<ToolInfo>,
        /// How many of its tools exceed the limit and are not used; further pages of its list count as one tool.
        left_out: u64,
    },
    /// Not reachable, or the connection was lost; tried again at the next use.
    Unavailable {
        /// Why.
        reason: String,
        /// The last output on the child process's standard error.
        #[serde(default, rename = "said", skip_serializing_if = "Option::is_none")]
        last_output: Option<String>,
    },
    /// Its configuration is invalid.
    Disabled {
        /// What is wrong, and what is allowed.
        reason: String,
    },
}

/// A tool, as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ToolInfo {
    /// The name by which a model calls it.
    pub name: String,
    /// Whether a person has to allow its calls.
    pub consent: Consent,
}

/// Whether a person has to allow a tool's calls; stricter values are greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// It is called without asking.
    Automatic,
    /// A person has to allow each call.
    #[default]
    Ask,
    /// It is not offered to models and never called.
    Off,
}
