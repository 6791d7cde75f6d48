//! The agents by id: those built in, then those that the configuration adds.

use std::sync::Arc;

use super::{Agent, replay::Replay};
use crate::{
    protocol::{ErrorCode, http::AgentInfo, limits::MAX_AGENT_ID_BYTES},
    server::{
        config::{AgentConfig, AgentKind},
        error::{Error, Result},
    },
};

/// What is wrong in the configuration of agents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct AgentConfigError {
    /// The key: `agents[0].file`.
    pub key: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

/// The agents, in order; the first is the default.
pub struct Agents(Vec<(AgentInfo, Arc<dyn Agent>)>);

impl std::fmt::Debug for Agents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(info, _)| &info.id)).finish()
    }
}

impl Agents {
    /// The built-in agents, then the configured ones. Reads what those need: recordings.
    ///
    /// # Errors
    /// The first key that is wrong.
    pub fn new(
        built_in: impl IntoIterator<Item = Arc<dyn Agent>>,
        configured: &[AgentConfig],
    ) -> Result<Self, AgentConfigError> {
        let mut agents: Vec<_> = built_in.into_iter().map(|agent| (agent.info(), agent)).collect();
        for (index, config) in configured.iter().enumerate() {
            let wrong = |key: &str, message| AgentConfigError { key: format!("agents[{index}].{key}"), message };
            if agents.iter().any(|(info, _)| info.id == config.id) {
                return Err(wrong("id", format!("there is an agent `{}` already; choose another id", config.id)));
            }
            let info = AgentInfo {
                id: config.id.clone(),
                name: config.name.clone(),
                description: "Plays a recorded run.".into(),
                examples: Vec::new(),
            };
            let agent: Arc<dyn Agent> = match config.kind {
                AgentKind::Replay => {
                    let replay = Replay::open(info.clone(), &config.file, config.events_per_second);
                    Arc::new(replay.map_err(|error| wrong(error.key(), error.to_string()))?)
                }
            };
            agents.push((info, agent));
        }
        if agents.is_empty() {
            return Err(AgentConfigError { key: "agents".into(), message: "there is none; configure one".into() });
        }
        Ok(Self(agents))
    }

    /// The id of the agent asked for; the default where none is.
    ///
    /// # Errors
    /// `not_found`, naming those there are.
    pub fn resolve(&self, asked: Option<&str>) -> Result<&str> {
        let found = self.0.iter().find(|(info, _)| asked.is_none_or(|id| info.id == id));
        found.map(|(info, _)| info.id.as_str()).ok_or_else(|| {
            let known: Vec<_> = self.0.iter().map(|(info, _)| format!("`{}`", info.id)).collect();
            let asked: String = asked.unwrap_or_default().chars().take(MAX_AGENT_ID_BYTES).collect();
            let message = format!("there is no agent `{asked}`; there are {}", known.join(", "));
            Error::refused(ErrorCode::NotFound, message)
        })
    }

    /// All, for people to choose from.
    #[must_use]
    pub fn list(&self) -> Vec<AgentInfo> {
        self.0.iter().map(|(info, _)| info.clone()).collect()
    }

    /// An agent by id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<dyn Agent>> {
        self.0.iter().find(|(info, _)| info.id == id).map(|(_, agent)| agent.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(id: &str) -> AgentConfig {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/replay.jsonl").into();
        AgentConfig { id: id.into(), name: id.to_uppercase(), kind: AgentKind::Replay, file, events_per_second: 20 }
    }

    #[test]
    fn the_first_is_the_default_and_an_unknown_one_is_answered_with_those_there_are() {
        let agents = Agents::new([], &[replay("demo"), replay("fast")]).expect("is right");
        assert_eq!(agents.resolve(None).expect("the default"), "demo");
        assert_eq!(agents.resolve(Some("fast")).expect("known"), "fast");
        let Err(Error::Refused(body)) = agents.resolve(Some("slow")) else { panic!("refused") };
        assert_eq!(body.code, ErrorCode::NotFound);
        assert_eq!(body.message, "there is no agent `slow`; there are `demo`, `fast`");
        assert_eq!(agents.list().iter().map(|info| info.name.as_str()).collect::<Vec<_>>(), ["DEMO", "FAST"]);
    }

    #[test]
    fn a_wrong_configuration_names_its_key_and_what_is_allowed() {
        let cases = [
            (vec![replay("a"), replay("a")], "agents[1].id: there is an agent `a` already"),
            (vec![AgentConfig { events_per_second: 0, ..replay("a") }], "agents[0].events_per_second: 0 is no rate"),
            (
                vec![replay("a"), AgentConfig { file: "none.jsonl".into(), ..replay("b") }],
                "agents[1].file: none.jsonl: ",
            ),
            (vec![], "agents: there is none"),
        ];
        for (configured, expected) in cases {
            let error = Agents::new([], &configured).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error} should say: {expected}");
        }
    }
}
