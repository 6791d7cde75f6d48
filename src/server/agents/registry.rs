//! The agents by id: those built in, then those that the configuration adds.

use std::{collections::HashSet, path::PathBuf, sync::Arc};

use serde::Deserialize;

use super::{Agent, replay::Replay};
use crate::{
    protocol::{ErrorCode, http::AgentInfo, limits::MAX_AGENT_ID_BYTES},
    server::error::{Error, Result},
};

/// One `[[agents]]` of the configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// What commands name it by: 1 to 64 of `a-z`, `0-9`, `-` and `_`.
    pub id: String,
    /// Its name for people; absent: its id.
    #[serde(default)]
    pub name: Option<String>,
    /// What it does, in a sentence.
    #[serde(default)]
    pub description: Option<String>,
    /// What kind of agent it is.
    pub kind: AgentKind,
    /// The recording: JSON Lines, one AG-UI event a line.
    pub file: PathBuf,
    /// How fast it streams.
    pub events_per_second: f64,
}

/// The kinds of agents that a configuration may add.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentKind {
    /// Streams a recorded run.
    Replay,
}

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
        let mut ids: HashSet<String> = agents.iter().map(|(info, _)| info.id.clone()).collect();
        for (index, config) in configured.iter().enumerate() {
            let wrong =
                |key: &str, message: String| AgentConfigError { key: format!("agents[{index}].{key}"), message };
            if !is_id(&config.id) {
                let allowed = format!("1 to {MAX_AGENT_ID_BYTES} of a-z, 0-9, - and _");
                return Err(wrong("id", format!("`{}` is no id; allowed are {allowed}", config.id.escape_debug())));
            }
            if !ids.insert(config.id.clone()) {
                return Err(wrong("id", format!("there is another agent `{}`; choose another id", config.id)));
            }
            let agent: Arc<dyn Agent> = match config.kind {
                AgentKind::Replay => {
                    let info = AgentInfo {
                        id: config.id.clone(),
                        name: config.name.clone().unwrap_or_else(|| config.id.clone()),
                        description: config.description.clone().unwrap_or_else(|| "Plays a recorded run.".into()),
                        examples: Vec::new(),
                    };
                    let replay = Replay::open(info, &config.file, config.events_per_second);
                    Arc::new(replay.map_err(|error| wrong(error.key(), error.to_string()))?)
                }
            };
            agents.push((agent.info(), agent));
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

fn is_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    (1..=MAX_AGENT_ID_BYTES).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(text: &str) -> Result<Agents, String> {
        #[derive(Deserialize)]
        struct File {
            agents: Vec<AgentConfig>,
        }
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        Agents::new([], &file.agents).map_err(|error| error.to_string())
    }

    fn replay(id: &str, more: &str) -> String {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/replay.jsonl");
        format!("[[agents]]\nid = \"{id}\"\nkind = \"replay\"\nfile = \"{file}\"\n{more}\n")
    }

    #[test]
    fn the_first_is_the_default_and_an_unknown_one_is_answered_with_those_there_are() {
        let text = replay("demo", "events_per_second = 20") + &replay("fast", "events_per_second = 1000.5");
        let agents = configured(&text).expect("is right");
        assert_eq!(agents.resolve(None).expect("the default"), "demo");
        assert_eq!(agents.resolve(Some("fast")).expect("known"), "fast");
        let Err(Error::Refused(body)) = agents.resolve(Some("slow")) else { panic!("refused") };
        assert_eq!(body.code, ErrorCode::NotFound);
        assert_eq!(body.message, "there is no agent `slow`; there are `demo`, `fast`");
        assert_eq!(agents.list().iter().map(|info| info.name.as_str()).collect::<Vec<_>>(), ["demo", "fast"]);
    }

    #[test]
    fn a_wrong_configuration_names_its_key_and_what_is_allowed() {
        let right = "events_per_second = 20";
        let cases = [
            (replay("a", right) + &replay("a", right), "agents[1].id: there is another agent `a`"),
            (replay("A b", right), "agents[0].id: `A b` is no id"),
            (replay("", right), "agents[0].id: `` is no id"),
            (replay("a", "events_per_second = 0"), "agents[0].events_per_second: 0 is no rate"),
            (replay("a", "events_per_second = nan"), "agents[0].events_per_second: NaN is no rate"),
            (replay("a", right).replace("replay.jsonl", "none.jsonl"), "agents[0].file: "),
            (replay("a", "events_per_second = 20\nspeed = 3"), "unknown field `speed`"),
            (replay("a", right).replace("\"replay\"", "\"model\""), "unknown variant `model`"),
            ("agents = []".into(), "agents: there is none"),
        ];
        for (text, expected) in cases {
            let error = configured(&text).expect_err(expected);
            assert!(error.contains(expected), "{error} should say: {expected}");
        }
    }
}
