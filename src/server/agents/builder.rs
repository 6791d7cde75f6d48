//! Builds agents from their configuration, with what all agents share.

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
use crate::{
    analyst::pricing::PriceTable,
    protocol::http::AgentSource,
    server::{
        config::agents::{AgUiConfig, AgentConfig, KindConfig, ModelConfig, PAGE_VAR_PREFIX},
        runs::Agent,
        usage::DayAllowance,
    },
};

/// Looks up an environment variable.
pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Builds agents. Clones share the tools, the budgets and the circuit breakers.
#[derive(Clone)]
pub struct AgentBuilder {
    /// The folder that relative paths are resolved against.
    pub folder: PathBuf,
    /// The environment variables that secrets refer to.
    pub variables: Variables,
    /// Prices of models.
    pub prices: Arc<PriceTable>,
    /// All sources of tools.
    pub tools: Arc<Tools>,
    /// The daily budgets of users.
    pub allowance: Arc<DayAllowance>,
    /// The circuit breakers of remote agents, by endpoint.
    pub breakers: Breakers,
}

impl Default for AgentBuilder {
    fn default() -> Self {
        let variables: Variables = Arc::new(|name| std::env::var(name).ok());
        let prices = Arc::new(PriceTable::shipped());
        let tools = Tools::new(&[], &prices, Path::new("tools"), &*variables);
        let (folder, tools, allowance, breakers) =
            (PathBuf::new(), Arc::new(tools), Arc::default(), Breakers::default());
        Self { folder, variables, prices, tools, allowance, breakers }
    }
}

impl AgentBuilder {
    /// Builds the agent of a configuration entry.
    ///
    /// # Errors
    /// Names the wrong key and what is allowed.
    pub fn build(&self, config: &AgentConfig, source: AgentSource) -> Result<Arc<dyn Agent>, String> {
        match &config.kind {
            KindConfig::Builtin => Err("kind: built-in agents are configured in the file".into()),
            KindConfig::Replay(_) if source == AgentSource::Page => {
                Err("kind: only the configuration file may name a recording, which is a file of the server".into())
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
                Err("allow_private_network: only the configuration file may allow the host's own network".into())
            }
            KindConfig::AgUi(endpoint) => {
                let variables = |name: &str| self.variable(name, source);
                let remote = Remote::new(config.info(), endpoint, variables, RemoteOptions::default());
                Ok(Arc::new(remote.map_err(|error| error.to_string())?.with_shared_breaker(&self.breakers)))
            }
            KindConfig::Model(model) => Ok(Arc::new(self.model(config, model, source)?)),
        }
    }

    fn model(&self, config: &AgentConfig, model: &ModelConfig, source: AgentSource) -> Result<ModelAgent, String> {
        if let Some(id) = model.tools.iter().find(|id| !self.tools.contains(id)) {
            return Err(format!("tools: there is no source of tools `{id}`"));
        }
        let mut model = model.clone();
        // The file is written by the operator of the server, who may use models on its network.
        model.allow_private_network.get_or_insert(source != AgentSource::Page);
        let tools = model.tools.clone();
        let agent = ModelAgent::new(config.info(), model, |name| self.variable(name, source), &self.prices)?
            .with_allowance(self.allowance.clone());
        Ok(if tools.is_empty() { agent } else { agent.with_tools(self.tools.select(&tools)) })
    }

    /// The value of an environment variable, if entries of this source may refer to it.
    fn variable(&self, name: &str, source: AgentSource) -> Option<String> {
        let is_allowed = source != AgentSource::Page || name.starts_with(PAGE_VAR_PREFIX);
        is_allowed.then(|| (self.variables)(name)).flatten()
    }
}
