//! Builds all agents: the built-in ones, those of the configuration file, and those that administrators added, in this order.
//!
//! An invalid entry becomes an agent that cannot be used, with the reason, and does not affect the others. Active runs keep the
//! agent that they started with when its entry changes.

use std::{fmt, sync::Arc};

use super::{builder::AgentBuilder, tools::Tools};
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

/// Where an entry comes from.
#[derive(Clone, Copy)]
struct Origin<'a> {
    source: AgentSource,
    index: usize,
    /// Its id in the store, if it comes from the page.
    stored: Option<&'a str>,
}

impl Origin<'_> {
    /// Says where a problem is: an entry of the file by its place there, an administrator's by its id.
    fn locate(&self, problem: impl fmt::Display) -> String {
        match self.stored {
            None => format!("agents[{}].{problem}", self.index),
            Some(id) => format!("agent `{id}`: {problem}"),
        }
    }
}

/// Builds the agents of the configuration file and of administrators, and keeps [`Agents`] up to date.
pub struct AgentRegistry {
    builder: AgentBuilder,
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
    /// Builds the built-in and the configured agents. Reads their recordings and variables.
    #[must_use]
    pub fn new(
        built_in: impl IntoIterator<Item = Arc<dyn Agent>>,
        configured: &[AgentEntry],
        builder: AgentBuilder,
    ) -> Self {
        let mut fixed: Vec<_> = built_in.into_iter().map(Registered::built_in).collect();
        for (index, entry) in configured.iter().enumerate() {
            add(&mut fixed, &builder, Origin { source: AgentSource::File, index, stored: None }, entry);
        }
        let agents = Arc::new(Agents::new(fixed.clone(), builder.allowance.clone()));
        Self { builder, fixed, agents }
    }

    /// The agents.
    #[must_use]
    pub fn agents(&self) -> &Arc<Agents> {
        &self.agents
    }

    /// The tools of agents.
    #[must_use]
    pub fn tools(&self) -> &Arc<Tools> {
        &self.builder.tools
    }

    /// Replaces the entries of administrators, given with their ids in the store. Unchanged agents are kept.
    pub fn set_stored(&self, entries: &[(String, AgentEntry)]) {
        let before = self.agents.all();
        let mut all = self.fixed.clone();
        for (index, (id, entry)) in entries.iter().enumerate() {
            let stored = Some(id.as_str());
            match before.iter().find(|known| known.stored.as_deref() == stored && known.entry == *entry) {
                Some(known) if all.iter().all(|other| other.info.id != known.info.id) => all.push(known.clone()),
                _ => add(&mut all, &self.builder, Origin { source: AgentSource::Page, index, stored }, entry),
            }
        }
        self.agents.replace(all);
    }

    /// Checks an administrator's entry without adding it.
    ///
    /// # Errors
    /// `invalid_payload`, which names the wrong key and what is allowed; `conflict` if a built-in or configured agent has the id.
    pub fn check(&self, entry: &AgentEntry) -> Result<AgentConfig, ErrorBody> {
        let invalid = |text: String| ErrorBody::new(ErrorCode::InvalidPayload, text);
        let config = AgentConfig::parse(entry).map_err(|problem| invalid(problem.to_string()))?;
        for (key, value) in &entry.0 {
            let text = value.to_string();
            let secret = Secret::from(text.as_str());
            if let Some(name) = secret.references().find(|name| !name.starts_with(PAGE_VAR_PREFIX)) {
                let message = format!(
                    "{key}: {name} is not allowed here; the names of its variables must start with {PAGE_VAR_PREFIX}"
                );
                return Err(invalid(message));
            }
        }
        let id = &config.common.id;
        if self.fixed.iter().any(|known| known.info.id == *id) {
            let message = format!("there is an agent `{id}` already; only the configuration file can change it");
            return Err(ErrorBody::new(ErrorCode::Conflict, message));
        }
        self.builder.build(&config, AgentSource::Page).map_err(invalid)?;
        Ok(config)
    }
}

/// Adds the agent of an entry, or an unusable one if the entry is invalid.
fn add(agents: &mut Vec<Registered>, builder: &AgentBuilder, origin: Origin<'_>, entry: &AgentEntry) {
    let config = match AgentConfig::parse(entry) {
        Ok(config) => config,
        Err(problem) => return agents.push(unusable(agents, origin, entry, origin.locate(problem))),
    };
    let (id, access, limits) = (&config.common.id, config.common.access.clone(), config.common.limits.clone());
    let known = agents.iter().position(|known| known.info.id == *id);
    if matches!(config.kind, KindConfig::Builtin) {
        match known.filter(|at| agents[*at].source == AgentSource::BuiltIn) {
            Some(at) => {
                let info = config.info();
                let own = &agents[at].info;
                let description =
                    if info.description.is_empty() { own.description.clone() } else { info.description.clone() };
                let examples = if info.examples.is_empty() { own.examples.clone() } else { info.examples.clone() };
                let hint = if info.hint.is_empty() { own.hint.clone() } else { info.hint.clone() };
                let info = AgentInfo { description, examples, hint, files: own.files.clone(), ..info };
                agents[at] = Registered { info, access, limits, entry: entry.clone(), ..agents[at].clone() };
            }
            None => {
                let reason = origin.locate(format_args!("id: there is no built-in agent `{id}`"));
                agents.push(unusable(agents, origin, entry, reason));
            }
        }
        return;
    }
    if known.is_some() {
        let reason = origin.locate(format_args!("id: there is an agent `{id}` already; choose another id"));
        return agents.push(unusable(agents, origin, entry, reason));
    }
    match builder.build(&config, origin.source) {
        Ok(agent) => agents.push(Registered {
            info: AgentInfo { files: agent.info().files, ..config.info() },
            access,
            limits,
            source: origin.source,
            entry: entry.clone(),
            stored: origin.stored.map(str::to_owned),
            agent: Some(agent),
        }),
        Err(problem) => {
            let disabled = unusable(agents, origin, entry, origin.locate(problem));
            agents.push(Registered {
                info: AgentInfo { disabled: disabled.info.disabled, ..config.info() },
                access,
                ..disabled
            });
        }
    }
}

/// An agent that cannot be used, with as much of the entry as can be parsed.
fn unusable(agents: &[Registered], origin: Origin<'_>, entry: &AgentEntry, reason: String) -> Registered {
    tracing::warn!(reason, "an agent cannot be used");
    let text = |key| entry.0.get(key).and_then(|value| value.as_str());
    let is_valid = |id: &String| is_agent_id(id) && agents.iter().all(|known| known.info.id != *id);
    let id = text("id").map(str::to_owned).filter(is_valid);
    let id = id.or_else(|| origin.stored.map(|id| format!("unusable-{id}")).filter(is_valid));
    let id = id.unwrap_or_else(|| format!("unusable-{}-{}", agents.len(), origin.index));
    let kind: AgentKind =
        entry.0.get("kind").and_then(|kind| serde_json::from_value(kind.clone()).ok()).unwrap_or_default();
    let name = cut(text("name").unwrap_or(&id), 80).to_owned();
    let info = AgentInfo { kind, disabled: Some(reason), ..AgentInfo::new(id, name, "") };
    let (access, limits) = Default::default();
    let (source, stored) = (origin.source, origin.stored.map(str::to_owned));
    Registered { info, access, limits, source, entry: entry.clone(), stored, agent: None }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
