//! The agents by id: those built in, then those of the configuration file, then those that administrators added.
//!
//! Promises: an entry that is wrong is an agent that cannot be used, with a reason; the others are as they would be without
//! it. Runs that go on keep the agent that they began with, whatever becomes of the entry.

use std::{fmt, sync::Arc};

use super::{kinds::Kinds, tools::Tools};
use crate::{
    protocol::{
        ErrorBody, ErrorCode,
        http::{AgentInfo, AgentKind, AgentSource},
    },
    server::{
        config::agents::{AgentConfig, AgentEntry, KindConfig, PAGE_VAR_PREFIX, Secret, is_agent_id},
        graphemes::cut,
        runs::{Agent, Agents, Registered},
    },
};

/// Where an entry stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    source: AgentSource,
    index: usize,
    stored: Option<&'a str>,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "agents[{}]", self.index)
    }
}

/// Builds the agents of the configuration file and of administrators, and keeps [`Agents`] up to date.
pub struct AgentRegistry {
    kinds: Kinds,
    /// Built-in agents and those of the configuration file.
    fixed: Vec<Registered>,
    agents: Arc<Agents>,
}

impl fmt::Debug for AgentRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.agents.fmt(f)
    }
}

impl AgentRegistry {
    /// The built-in agents, then the configured ones. Reads what those need: recordings, variables.
    #[must_use]
    pub fn new(built_in: impl IntoIterator<Item = Arc<dyn Agent>>, configured: &[AgentEntry], kinds: Kinds) -> Self {
        let mut fixed: Vec<_> = built_in.into_iter().map(Registered::built_in).collect();
        for (index, entry) in configured.iter().enumerate() {
            take(&mut fixed, &kinds, Place { source: AgentSource::File, index, stored: None }, entry);
        }
        let agents = Arc::new(Agents::new(fixed.clone(), kinds.allowance.clone()));
        Self { kinds, fixed, agents }
    }

    /// The agents by id.
    #[must_use]
    pub fn agents(&self) -> &Arc<Agents> {
        &self.agents
    }

    /// Where the tools of agents come from.
    #[must_use]
    pub fn tools(&self) -> &Arc<Tools> {
        &self.kinds.tools
    }

    /// Takes the entries of administrators, by the ids that the store has them by, in place of those it had. What did not
    /// change stays as it is.
    pub fn set_stored(&self, entries: &[(String, AgentEntry)]) {
        let before = self.agents.all();
        let mut all = self.fixed.clone();
        for (index, (id, entry)) in entries.iter().enumerate() {
            let stored = Some(id.as_str());
            match before.iter().find(|known| known.stored.as_deref() == stored && known.entry == *entry) {
                Some(known) if all.iter().all(|other| other.info.id != known.info.id) => all.push(known.clone()),
                _ => take(&mut all, &self.kinds, Place { source: AgentSource::Page, index, stored }, entry),
            }
        }
        self.agents.replace(all);
    }

    /// Whether an administrator's entry can be used: nothing is kept of it.
    ///
    /// # Errors
    /// `invalid_payload` with the key that is wrong and what is allowed, `conflict` for an id that is taken.
    pub fn check(&self, entry: &AgentEntry) -> Result<AgentConfig, ErrorBody> {
        let invalid = |text: String| ErrorBody::new(ErrorCode::InvalidPayload, text);
        let config = AgentConfig::parse(entry).map_err(|problem| invalid(problem.to_string()))?;
        for (key, value) in &entry.0 {
            let text = value.to_string();
            let named = Secret::from(text.as_str());
            if let Some(name) = named.references().find(|name| !name.starts_with(PAGE_VAR_PREFIX)) {
                let message =
                    format!("{key}: {name} is not allowed here; names of variables begin with {PAGE_VAR_PREFIX}");
                return Err(invalid(message));
            }
        }
        let id = &config.common.id;
        if self.fixed.iter().any(|known| known.info.id == *id) {
            let message = format!("there is an agent `{id}` already, which only the configuration file changes");
            return Err(ErrorBody::new(ErrorCode::Conflict, message));
        }
        self.kinds.build(&config, AgentSource::Page).map_err(invalid)?;
        Ok(config)
    }
}

/// Adds what an entry says, or that it is wrong.
fn take(agents: &mut Vec<Registered>, kinds: &Kinds, place: Place<'_>, entry: &AgentEntry) {
    let config = match AgentConfig::parse(entry) {
        Ok(config) => config,
        Err(problem) => return agents.push(unusable(agents, place, entry, format!("{place}.{problem}"))),
    };
    let (id, access, limits) = (&config.common.id, config.common.access.clone(), config.common.limits.clone());
    let known = agents.iter().position(|known| known.info.id == *id);
    if matches!(config.kind, KindConfig::Builtin) {
        match known.filter(|at| agents[*at].source == AgentSource::BuiltIn) {
            Some(at) => {
                let info = config.info();
                let described = |text: String, own: &String| if text.is_empty() { own.clone() } else { text };
                let own = &agents[at].info;
                let description = described(info.description.clone(), &own.description);
                let examples = if info.examples.is_empty() { own.examples.clone() } else { info.examples.clone() };
                let info = AgentInfo { description, examples, files: own.files.clone(), ..info };
                agents[at] = Registered { info, access, limits, entry: entry.clone(), ..agents[at].clone() };
            }
            None => {
                let reason = format!("{place}.id: there is no built-in agent `{id}`");
                agents.push(unusable(agents, place, entry, reason));
            }
        }
        return;
    }
    if known.is_some() {
        let reason = format!("{place}.id: there is an agent `{id}` already; choose another id");
        return agents.push(unusable(agents, place, entry, reason));
    }
    match kinds.build(&config, place.source) {
        Ok(agent) => agents.push(Registered {
            info: AgentInfo { files: agent.info().files, ..config.info() },
            access,
            limits,
            source: place.source,
            entry: entry.clone(),
            stored: place.stored.map(str::to_owned),
            agent: Some(agent),
        }),
        Err(problem) => {
            let wrong = unusable(agents, place, entry, format!("{place}.{problem}"));
            agents.push(Registered {
                info: AgentInfo { disabled: wrong.info.disabled, ..config.info() },
                access,
                ..wrong
            });
        }
    }
}

/// An entry that is no agent, as far as it can be read.
fn unusable(agents: &[Registered], place: Place<'_>, entry: &AgentEntry, reason: String) -> Registered {
    tracing::warn!(reason, "an agent cannot be used");
    let text = |key| entry.0.get(key).and_then(|value| value.as_str());
    let free = |id: &String| is_agent_id(id) && agents.iter().all(|known| known.info.id != *id);
    let id = text("id").map(str::to_owned).filter(free);
    let id = id.or_else(|| place.stored.map(|id| format!("unusable-{id}")).filter(free));
    let id = id.unwrap_or_else(|| format!("unusable-{}-{}", agents.len(), place.index));
    let kind: AgentKind =
        entry.0.get("kind").and_then(|kind| serde_json::from_value(kind.clone()).ok()).unwrap_or_default();
    let name = cut(text("name").unwrap_or(&id), 80).to_owned();
    let info = AgentInfo { kind, disabled: Some(reason), ..AgentInfo::new(id, name, "") };
    let (access, limits) = Default::default();
    let (source, stored) = (place.source, place.stored.map(str::to_owned));
    Registered { info, access, limits, source, entry: entry.clone(), stored, agent: None }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
