//! The agents by id, who may use them, and the limits of their runs.

use std::{fmt, sync::Arc};

use parking_lot::RwLock;
use tokio::sync::Notify;

use super::Agent;
use crate::{
    protocol::{
        ErrorCode,
        http::{AgentInfo, AgentSource, Health, Role, User},
        limits::MAX_AGENT_ID_BYTES,
    },
    server::{
        config::agents::{Access, AgentEntry, AgentLimits},
        error::{Error, Result},
        usage::DayAllowance,
    },
};

/// An agent and who may use it.
#[derive(Clone)]
pub struct Registered {
    /// The agent's description, with the reason if it cannot be used.
    pub info: AgentInfo,
    /// Who may use it.
    pub access: Access,
    /// The limits of its runs.
    pub limits: AgentLimits,
    /// Where it was configured.
    pub source: AgentSource,
    /// Its configuration; empty for a built-in agent without one.
    pub entry: AgentEntry,
    /// Its id in the store, if an administrator added it. It differs from its own id if that one was taken.
    pub stored: Option<String>,
    pub(crate) agent: Option<Arc<dyn Agent>>,
}

impl Registered {
    pub(crate) fn built_in(agent: Arc<dyn Agent>) -> Self {
        let (access, limits, entry, stored) = Default::default();
        Self { info: agent.info(), access, limits, source: AgentSource::BuiltIn, entry, stored, agent: Some(agent) }
    }

    /// The agent, if it can be used.
    #[must_use]
    pub fn agent(&self) -> Option<Arc<dyn Agent>> {
        self.agent.clone()
    }

    /// The state of what it depends on, if anything.
    #[must_use]
    pub fn health(&self) -> Option<Health> {
        self.agent.as_ref().and_then(|agent| agent.health())
    }
}

impl Registered {
    /// Why its runs would fail now, if they would. Administrators get the details: an error may contain an address.
    fn unavailable(&self, user: &User) -> Option<String> {
        let health = self.health().filter(|health| !health.ok)?;
        Some(if user.role == Role::Admin { health.about } else { "it does not respond at the moment".to_owned() })
    }
}

/// The agents, in order; the first is the default.
pub struct Agents {
    all: RwLock<Arc<[Registered]>>,
    allowance: Arc<DayAllowance>,
    /// Notified when the store may hold other agents.
    pub(crate) changed: Notify,
}

impl fmt::Debug for Agents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.read().iter().map(|agent| &agent.info.id)).finish()
    }
}

impl Agents {
    pub(crate) fn new(agents: Vec<Registered>, allowance: Arc<DayAllowance>) -> Self {
        Self { all: RwLock::new(agents.into()), allowance, changed: Notify::new() }
    }

    /// Replaces all agents. Active runs keep their agent.
    pub(crate) fn replace(&self, agents: Vec<Registered>) {
        *self.all.write() = agents.into();
    }

    /// The remaining budgets of users with active runs.
    #[must_use]
    pub fn allowance(&self) -> &DayAllowance {
        &self.allowance
    }

    /// All agents, whoever may use them.
    #[must_use]
    pub fn all(&self) -> Arc<[Registered]> {
        self.all.read().clone()
    }

    /// The id of the requested agent, or of the first that the user may use.
    ///
    /// # Errors
    /// `not_found`, listing the available agents; `unavailable` if the agent cannot be used now.
    pub fn resolve(&self, asked: Option<&str>, user: &User) -> Result<String> {
        let all = self.all();
        let mut allowed = all.iter().filter(|known| known.access.allows(user));
        let found = match asked {
            Some(id) => allowed.find(|known| known.info.id == id),
            None => allowed.find(|known| known.agent.is_some()),
        };
        let Some(found) = found else {
            let known: Vec<_> = self.list(user).into_iter().map(|info| format!("`{}`", info.id)).collect();
            let asked: String = asked.unwrap_or_default().chars().take(MAX_AGENT_ID_BYTES).collect();
            let message = format!("there is no agent `{asked}`; there are {}", known.join(", "));
            return Err(Error::refused(ErrorCode::NotFound, message));
        };
        match &found.info.disabled {
            None => Ok(found.info.id.clone()),
            Some(reason) => {
                let (name, about) =
                    (&found.info.name, if user.role == Role::Admin { reason } else { "ask an administrator" });
                Err(Error::refused(ErrorCode::Unavailable, format!("{name} cannot be used now: {about}")))
            }
        }
    }

    /// The agents that a user may choose from. Administrators also get those that cannot be used, with the reason.
    #[must_use]
    pub fn list(&self, user: &User) -> Vec<AgentInfo> {
        let shown =
            |known: &&Registered| known.access.allows(user) && (known.agent.is_some() || user.role == Role::Admin);
        let info = |known: &Registered| AgentInfo { unavailable: known.unavailable(user), ..known.info.clone() };
        self.all().iter().filter(shown).map(info).collect()
    }

    /// The id in the store of an agent that is listed under another id.
    #[must_use]
    pub fn stored_id(&self, id: &str) -> Option<String> {
        self.get(id).and_then(|known| known.stored)
    }

    /// An agent by id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Registered> {
        self.all().iter().find(|known| known.info.id == id).cloned()
    }

    /// The ids of the agents that read messages during their runs.
    #[must_use]
    pub fn that_read_messages(&self) -> Vec<String> {
        let reads = |known: &&Registered| known.agent.as_ref().is_some_and(|agent| agent.reads_messages());
        self.all().iter().filter(reads).map(|known| known.info.id.clone()).collect()
    }

    /// The limits of an agent's runs.
    #[must_use]
    pub fn limits(&self, id: &str) -> AgentLimits {
        self.all().iter().find(|known| known.info.id == id).map(|known| known.limits.clone()).unwrap_or_default()
    }
}
