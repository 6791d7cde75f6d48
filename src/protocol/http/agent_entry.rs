//! The keys of an agent's entry in the configuration (`[[agents]]`) and on the administrators' page.
//!
//! The server uses this list to read entries and to mask their secrets; tests compare the page's form and the documentation with
//! it.

use super::AgentKind;

/// The mask that replaces a secret.
pub const MASK: &str = "(set)";

/// A key of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryKey {
    /// Its name.
    pub name: &'static str,
    /// What its value is.
    pub holds: Holds,
    /// Whether every entry needs it.
    pub required: bool,
    /// The kind of agents that has this key; `None` for all kinds.
    pub kind: Option<AgentKind>,
}

/// What the value of a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// A value that is not secret, or a list of such values.
    Public,
    /// A URL, whose user info and query may be secret.
    Url,
    /// A secret.
    Secret,
    /// A table of secrets by name.
    Secrets,
    /// A table with these keys, none of them secret.
    Table(&'static [&'static str]),
}

use AgentKind::{AgUi, Model, Replay};
use Holds::{Public, Secret, Secrets, Table, Url};

/// All keys; those of all kinds of agents come first.
pub const KEYS: &[EntryKey] = &[
    common("id", Public).required(),
    common("name", Public).required(),
    common("description", Public),
    common("examples", Public),
    common("hint", Public),
    common("kind", Public).required(),
    common("access", Table(&["roles", "people"])),
    common("limits", Table(&["max_runs", "max_runs_per_user", "time_limit_ms"])),
    key(Replay, "file", Public).required(),
    key(Replay, "events_per_second", Public),
    key(AgUi, "url", Url).required(),
    key(AgUi, "headers", Secrets),
    key(AgUi, "connect_timeout_ms", Public),
    key(AgUi, "first_event_timeout_ms", Public),
    key(AgUi, "silence_timeout_ms", Public),
    key(AgUi, "allow_private_network", Public),
    key(AgUi, "max_event_bytes", Public),
    key(AgUi, "max_events", Public),
    key(AgUi, "max_file_bytes", Public),
    key(AgUi, "max_request_file_bytes", Public),
    key(AgUi, "keep_raw", Public),
    key(AgUi, "confirm_pending_calls", Public),
    key(AgUi, "strict", Public),
    key(AgUi, "retries", Public),
    key(Model, "provider", Public),
    key(Model, "model", Public).required(),
    key(Model, "base_url", Url),
    key(Model, "api_key", Secret),
    key(Model, "allow_private_network", Public),
    key(Model, "system", Public),
    key(Model, "max_steps", Public),
    key(Model, "temperature", Public),
    key(Model, "max_output_tokens", Public),
    key(Model, "reasoning_effort", Public),
    key(Model, "starts_with_reasoning", Public),
    key(Model, "tools", Public),
    key(Model, "prices", Table(&["input", "output", "cached_input"])),
    key(Model, "first_token_timeout_ms", Public),
    key(Model, "silence_timeout_ms", Public),
    key(Model, "max_retry_wait_ms", Public),
    key(Model, "max_history_bytes", Public),
    key(Model, "context_tokens", Public),
    key(Model, "attachments", Public),
    key(Model, "file_tool", Public),
    key(Model, "titles", Public),
    key(Model, "consent_timeout_s", Public),
];

const fn common(name: &'static str, holds: Holds) -> EntryKey {
    EntryKey { name, holds, required: false, kind: None }
}

const fn key(kind: AgentKind, name: &'static str, holds: Holds) -> EntryKey {
    EntryKey { name, holds, required: false, kind: Some(kind) }
}

impl EntryKey {
    const fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

/// Whether agents of all kinds have a key with this name.
#[must_use]
pub fn is_common(name: &str) -> bool {
    KEYS.iter().any(|key| key.kind.is_none() && key.name == name)
}

/// What the value of the key with this name is; `None` for an unknown key.
#[must_use]
pub fn holds(name: &str) -> Option<Holds> {
    KEYS.iter().find(|key| key.name == name).map(|key| key.holds)
}
