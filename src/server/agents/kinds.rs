//! What makes agents of entries: the kinds there are, and what all of them share.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    model::ModelAgent,
    remote::{Breakers, Remote, RemoteOptions},
    replay::Replay,
    tools::Tools,
};
use crate::{analyst::pricing::PriceTable, server::runs::Agent};
use crate::{
    protocol::http::AgentSource,
    server::{
        config::agents::{AgUiConfig, AgentConfig, KindConfig, ModelConfig},
        usage::DayAllowance,
    },
};

/// Answers what a variable holds.
pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The only variables that an entry of an administrator's page may name: an administrator is not whoever runs the machine,
/// and could otherwise have any variable sent to an address of their own.
pub const PAGE_VARIABLES: &str = "NETRA_AGENT_";

/// What agents are made with.
#[derive(Clone)]
pub struct Kinds {
    /// The folder that relative paths begin in.
    pub folder: PathBuf,
    /// What secrets refer to.
    pub variables: Variables,
    /// What models cost.
    pub prices: Arc<PriceTable>,
    /// Where tools come from.
    pub tools: Arc<Tools>,
    /// What models may be used for while a run goes on.
    pub allowance: Arc<DayAllowance>,
    /// The breakers of the endpoints of remote agents.
    pub breakers: Breakers,
}

impl Default for Kinds {
    fn default() -> Self {
        let variables: Variables = Arc::new(|name| std::env::var(name).ok());
        let prices = Arc::new(PriceTable::shipped());
        let tools = Tools::new(&[], &prices, Path::new("tools"), &*variables);
        let (folder, tools, allowance, breakers) =
            (PathBuf::new(), Arc::new(tools), Arc::default(), Breakers::default());
        Self { folder, variables, prices, tools, allowance, breakers }
    }
}

impl Kinds {
    /// The agent that an entry describes.
    ///
    /// # Errors
    /// The key that is wrong, and what is allowed.
    pub fn build(&self, config: &AgentConfig, source: AgentSource) -> Result<Arc<dyn Agent>, String> {
        match &config.kind {
            KindConfig::Builtin => Err("kind: a built-in agent is configured in the file".into()),
            KindConfig::Replay(_) if source == AgentSource::Page => {
                Err("kind: a recording is a file of the server, which only the configuration file names".into())
            }
            KindConfig::Replay(replay) => {
                let file = self.folder.join(&replay.file);
                let replay = Replay::open(config.info(), &file, replay.events_per_second);
                Ok(Arc::new(replay.map_err(|error| format!("{}: {error}", error.key()))?))
            }
            KindConfig::AgUi(AgUiConfig { allow_private_network: true, .. })
            | KindConfig::Model(ModelConfig { allow_private_network: Some(true), .. })
                if source == AgentSource::Page =>
            {
                Err("allow_private_network: only the configuration file opens the host's own network".into())
            }
            KindConfig::AgUi(endpoint) => {
                let variables = |name: &str| self.variable(name, source);
                let remote = Remote::new(config.info(), endpoint, variables, RemoteOptions::default());
                Ok(Arc::new(remote.map_err(|error| error.to_string())?.sharing(&self.breakers)))
            }
            KindConfig::Model(model) => Ok(Arc::new(self.model(config, model, source)?)),
        }
    }

    fn model(&self, config: &AgentConfig, model: &ModelConfig, source: AgentSource) -> Result<ModelAgent, String> {
        if let Some(id) = model.tools.iter().find(|id| !self.tools.contains(id)) {
            return Err(format!("tools: there is no source of tools `{id}`"));
        }
        let mut model = model.clone();
        // Models of one's own are what the file is for; an administrator is not whoever runs the machine.
        model.allow_private_network.get_or_insert(source != AgentSource::Page);
        let tools = model.tools.clone();
        let agent = ModelAgent::new(config.info(), model, |name| self.variable(name, source), &self.prices)?
            .with_allowance(self.allowance.clone());
        Ok(if tools.is_empty() { agent } else { agent.with_tools(self.tools.select(&tools)) })
    }

    /// What a variable holds that an entry from there may name.
    fn variable(&self, name: &str, source: AgentSource) -> Option<String> {
        let may = source != AgentSource::Page || name.starts_with(PAGE_VARIABLES);
        may.then(|| (self.variables)(name)).flatten()
    }
}
