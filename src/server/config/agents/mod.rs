//! `[[agents]]`: each entry on its own, so that a wrong one is an agent that cannot be used, and not a server that cannot.
//!
//! An entry is a table of TOML, or the same as a JSON object where an administrator's page wrote it: [`AgentConfig::read`]
//! reads either, and what it refuses names the key and what is allowed.

mod address;
mod ag_ui;
mod model;
mod secret;

pub use address::Address;
pub use ag_ui::AgUiConfig;
pub use model::{ModelConfig, ModelPrices, Provider, ReasoningEffort, Takes};
pub use secret::Secret;
pub(super) use secret::unrepeated;

use std::path::PathBuf;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::bounds::within;
use crate::protocol::{
    http::{AgentInfo, AgentKind, Role, User},
    limits::MAX_AGENT_ID_BYTES,
};

/// One of `[[agents]]`, as it was written.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct AgentEntry(pub Map<String, Value>);

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct AgentProblem {
    /// The key.
    pub key: String,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

impl AgentProblem {
    /// A problem of a key.
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into() }
    }
}

/// An agent, as configured.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// What every agent has.
    pub common: Common,
    /// What it is.
    pub kind: KindConfig,
}

/// What agents of each kind have of their own.
#[derive(Debug, Clone)]
pub enum KindConfig {
    /// An agent of this server: the id says which.
    Builtin,
    /// A recorded run.
    Replay(ReplayConfig),
    /// An AG-UI endpoint.
    AgUi(AgUiConfig),
    /// A model.
    Model(ModelConfig),
}

/// What every agent has.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Common {
    /// What commands name it by.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// What it does, in a sentence.
    #[serde(default)]
    pub description: String,
    /// Prompts to begin with.
    #[serde(default)]
    pub examples: Vec<String>,
    /// What it is.
    pub kind: AgentKind,
    /// Who may use it; nobody named: everyone.
    #[serde(default)]
    pub access: Access,
    /// What its runs may take.
    #[serde(default)]
    pub limits: AgentLimits,
}

/// Who may use an agent: whoever has one of the roles or is one of the people; everyone where neither is named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// Roles: `admin`, `member`.
    pub roles: Vec<Role>,
    /// People, by the address that they sign in with.
    pub people: Vec<String>,
}

impl Access {
    /// Whether a person may.
    #[must_use]
    pub fn allows(&self, user: &User) -> bool {
        let all = self.roles.is_empty() && self.people.is_empty();
        all || self.roles.contains(&user.role) || self.people.iter().any(|who| who.eq_ignore_ascii_case(&user.email))
    }
}

/// What the runs of one agent may take, on one server; absent: as `[runs]` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentLimits {
    /// Runs of this agent that go on at once.
    #[serde(deserialize_with = "some_within::<1, 100_000, _, _>")]
    pub max_runs: Option<usize>,
    /// Runs of one person with this agent that go on at once.
    #[serde(deserialize_with = "some_within::<1, 100_000, _, _>")]
    pub max_runs_per_user: Option<usize>,
    /// Milliseconds that one run may take.
    #[serde(deserialize_with = "some_within::<1, 604_800_000, _, _>")]
    pub time_limit_ms: Option<u64>,
}

fn some_within<'de, const MIN: u64, const MAX: u64, T, D>(from: D) -> Result<Option<T>, D::Error>
where
    T: TryFrom<u64>,
    D: serde::Deserializer<'de>,
{
    within::<MIN, MAX, T, D>(from).map(Some)
}

/// A recorded run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayConfig {
    /// JSON Lines, one AG-UI event each.
    pub file: PathBuf,
    /// How fast it is played.
    #[serde(default = "default_rate", deserialize_with = "within::<1, 1_000_000, _, _>")]
    pub events_per_second: u32,
}

fn default_rate() -> u32 {
    50
}

/// Nothing of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl AgentConfig {
    /// Reads an entry.
    ///
    /// # Errors
    /// The key that is wrong, and what is allowed.
    pub fn read(entry: &AgentEntry) -> Result<Self, AgentProblem> {
        const COMMON: [&str; 7] = ["id", "name", "description", "examples", "kind", "access", "limits"];
        let (common, own): (Map<_, _>, Map<_, _>) =
            entry.0.clone().into_iter().partition(|(key, _)| COMMON.contains(&key.as_str()));
        let common: Common = part(common)?;
        if !is_agent_id(&common.id) {
            let allowed = format!("invalid value `{}`, expected 1 to 64 of a-z, 0-9, `-` and `_`", common.id);
            return Err(AgentProblem::new("id", allowed));
        }
        let kind = match common.kind {
            AgentKind::Builtin => part(own).map(|Nothing {}| KindConfig::Builtin)?,
            AgentKind::Replay => KindConfig::Replay(part(own)?),
            AgentKind::AgUi => KindConfig::AgUi(part(own)?),
            AgentKind::Model => KindConfig::Model(part(own)?),
        };
        Ok(Self { common, kind })
    }

    /// Who it is, for people.
    #[must_use]
    pub fn info(&self) -> AgentInfo {
        let Common { id, name, description, examples, kind, .. } = self.common.clone();
        AgentInfo { examples, kind, ..AgentInfo::new(id, name, description) }
    }
}

fn part<T: DeserializeOwned>(table: Map<String, Value>) -> Result<T, AgentProblem> {
    serde_path_to_error::deserialize(Value::Object(table)).map_err(|error| {
        let key = error.path().to_string();
        AgentProblem::new(if key == "." { "entry".into() } else { key }, unrepeated(&error.into_inner().to_string()))
    })
}

/// Whether commands and addresses can name an agent so.
#[must_use]
pub fn is_agent_id(id: &str) -> bool {
    let fits = (1..=MAX_AGENT_ID_BYTES).contains(&id.len());
    fits && id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}
