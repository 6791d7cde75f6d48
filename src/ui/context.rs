//! What every page and component may read: the server's configuration, the agents, and why the requested thread was refused.

use leptos::prelude::*;

use crate::{
    protocol::{
        ErrorBody,
        http::{AgentInfo, Config},
    },
    text::escape_invisible,
};

/// The agent with control characters in its name, description and hint made visible.
pub(crate) fn with_visible_text(agent: AgentInfo) -> AgentInfo {
    let [name, description, hint] = [&agent.name, &agent.description, &agent.hint].map(|text| escape_invisible(text));
    AgentInfo { name, description, hint, ..agent }
}

/// The agent that was chosen for a new thread elsewhere than on the page that starts it. From context; that page takes it.
#[derive(Clone, Copy)]
pub(crate) struct RequestedAgent(pub(crate) RwSignal<Option<String>>);

impl RequestedAgent {
    pub(crate) fn provide() {
        provide_context(Self(RwSignal::new(None)));
    }
}

/// The part of [`Boot`](super::boot::Boot) that pages and components read, from context.
#[derive(Clone, Copy)]
pub(crate) struct AppContext {
    pub(crate) config: StoredValue<Option<Config>>,
    pub(crate) agents: StoredValue<Vec<AgentInfo>>,
    /// Why the server did not render the requested page's thread.
    pub(crate) thread_refusal: StoredValue<Option<ErrorBody>>,
}

impl AppContext {
    /// The agent's display name; its id if the agent is unknown.
    pub(crate) fn agent_name(self, id: &str) -> String {
        let find_name =
            |agents: &Vec<AgentInfo>| agents.iter().find(|agent| agent.id == id).map(|agent| agent.name.clone());
        self.agents
            .with_value(find_name)
            .unwrap_or_else(|| if id.is_empty() { "Agent".into() } else { escape_invisible(id) })
    }

    /// Reads something of an agent; `None` if there is no such agent.
    pub(crate) fn of_agent<T>(self, id: Option<&str>, read: impl FnOnce(&AgentInfo) -> T) -> Option<T> {
        self.agents.with_value(|agents| agents.iter().find(|agent| Some(agent.id.as_str()) == id).map(read))
    }

    /// Whether users of this server share threads and prompts with each other.
    pub(crate) fn has_members(self) -> bool {
        self.config.with_value(|config| config.as_ref().is_none_or(|config| config.members))
    }

    /// Whether the server loads images of other hosts.
    pub(crate) fn loads_images(self) -> bool {
        self.config.with_value(|config| config.as_ref().is_some_and(|config| config.images))
    }

    /// Whether the first administrator account is still to be created.
    pub(crate) fn needs_setup(self) -> bool {
        self.config.with_value(|config| config.as_ref().is_some_and(|config| config.auth.needs_setup))
    }
}
