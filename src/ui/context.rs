//! What every page and component may read: the server's configuration, the agents, and why the first page was refused.

use leptos::prelude::*;

use crate::{
    protocol::{
        ErrorBody,
        http::{AgentInfo, Config},
    },
    text::visible,
};

/// The part of [`Boot`](super::boot::Boot) that pages and components read, from context.
#[derive(Clone, Copy)]
pub(crate) struct AppContext {
    pub(crate) config: StoredValue<Option<Config>>,
    pub(crate) agents: StoredValue<Vec<AgentInfo>>,
    /// Why the server could not show the first page's thread.
    pub(crate) refused: StoredValue<Option<ErrorBody>>,
}

impl AppContext {
    /// The agent's display name; its id if the agent is unknown.
    pub(crate) fn agent_name(self, id: &str) -> String {
        let named =
            |agents: &Vec<AgentInfo>| agents.iter().find(|agent| agent.id == id).map(|agent| agent.name.clone());
        self.agents.with_value(named).unwrap_or_else(|| if id.is_empty() { "Agent".into() } else { visible(id) })
    }

    /// Whether the first administrator account is still to be created.
    pub(crate) fn needs_setup(self) -> bool {
        self.config.with_value(|config| config.as_ref().is_some_and(|config| config.auth.needs_setup))
    }
}
