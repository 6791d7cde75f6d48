//! All sources of tools, as one: what the configuration names, and the built-in one.
//!
//! Promises: a tool's name is the same whatever other sources there are and whether they are up, so that a call that waited
//! for a person reaches the tool that was asked about. A built-in tool has its own name; a server's is `source__tool`.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    Consent, RunInput, ToolBox, ToolOutput, ToolSpec,
    data::DataTools,
    mcp::McpSource,
    questions::{Called, Resumption},
    text::clip,
};
use crate::{
    analyst::pricing::PriceTable,
    protocol::{
        ThreadId,
        http::{ToolInfo, ToolSource, ToolSourceState},
    },
    server::config::tools::{BuiltinConfig, McpConfig, ToolsConfig, ToolsKind},
};

/// The id of the built-in source where the configuration gives it none.
pub const BUILTIN: &str = "data";
/// The longest name of a tool that models' interfaces take.
const MAX_NAME: usize = 64;
/// Most tools that one agent is offered, as models' interfaces have it.
const MAX_TOOLS: usize = 128;

/// Every source of tools of this server. They are the same for all agents, each of which uses those that it names.
pub struct Tools {
    sources: Vec<Source>,
}

struct Source {
    id: String,
    kind: Kind,
}

enum Kind {
    Data(DataTools),
    Mcp(Arc<McpSource>),
    Disabled(String),
}

impl Tools {
    /// The sources that the configuration names, and the built-in one where it names none of its kind. Nothing is connected
    /// to yet. Each child process gets a folder of its own in `folder`; `variables` are the environment's, for secrets.
    #[must_use]
    pub fn new(
        configured: &[ToolsConfig],
        prices: &Arc<PriceTable>,
        folder: &Path,
        variables: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let data = |id: &str, config: &BuiltinConfig| {
            Kind::Data(DataTools::new(id.to_owned(), config.consent.clone(), Arc::clone(prices)))
        };
        let source = |entry: &ToolsConfig| {
            let kind = match &entry.kind {
                Ok(ToolsKind::Builtin(config)) => data(&entry.id, config),
                Ok(ToolsKind::Mcp(config)) => {
                    let source =
                        McpSource::new(entry.id.clone(), McpConfig::clone(config), &folder.join(&entry.id), &variables);
                    source.map_or_else(Kind::Disabled, |source| Kind::Mcp(Arc::new(source)))
                }
                Err(reason) => Kind::Disabled(reason.clone()),
            };
            Source { id: entry.id.clone(), kind }
        };
        let mut sources: Vec<Source> = configured.iter().map(source).collect();
        let second = sources.iter_mut().filter(|source| matches!(source.kind, Kind::Data(_))).skip(1);
        second.for_each(|source| source.kind = Kind::Disabled("kind: one source is builtin already".into()));
        let builtin = sources.iter().any(|source| matches!(source.kind, Kind::Data(_)) || source.id == BUILTIN);
        if !builtin {
            let kind = data(BUILTIN, &BuiltinConfig::default());
            sources.insert(0, Source { id: BUILTIN.into(), kind });
        }
        for source in &sources {
            if let Kind::Disabled(reason) = &source.kind {
                tracing::warn!(tools = source.id, reason, "a source of tools is disabled");
            }
        }
        Self { sources }
    }

    /// The tools of the sources that an agent names, in its order; a name that no source has is left out.
    #[must_use]
    pub fn select(self: &Arc<Self>, ids: &[String]) -> Arc<dyn ToolBox> {
        let mut chosen = Vec::new();
        for id in ids {
            let at = self.sources.iter().position(|source| source.id == *id);
            chosen.extend(at.filter(|at| !chosen.contains(at)));
        }
        Arc::new(Selected { tools: Arc::clone(self), chosen })
    }

    /// Whether there is a source with this id.
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        self.sources.iter().any(|source| source.id == id)
    }

    /// Every source, for administrators.
    #[must_use]
    pub fn status(&self) -> Vec<ToolSource> {
        let state = |source: &Source| match &source.kind {
            Kind::Data(data) => ToolSourceState::Ready { tools: data.list().iter().map(told).collect(), left_out: 0 },
            Kind::Mcp(server) => server.state(),
            Kind::Disabled(reason) => ToolSourceState::Disabled { reason: reason.clone() },
        };
        self.sources.iter().map(|source| ToolSource { id: source.id.clone(), state: state(source) }).collect()
    }

    /// Ends every session; child processes are gone afterwards. Calls that come later fail politely.
    pub async fn close(&self) {
        join_all(self.sources.iter().map(|source| async {
            if let Kind::Mcp(server) = &source.kind {
                server.close().await;
            }
        }))
        .await;
    }
}

/// Some of the sources, for one agent.
struct Selected {
    tools: Arc<Tools>,
    /// Places in the list of sources.
    chosen: Vec<usize>,
}

impl Selected {
    fn sources(&self) -> impl Iterator<Item = &Source> {
        self.chosen.iter().filter_map(|at| self.tools.sources.get(*at))
    }

    /// The source that has a tool of this name, if one can have it.
    fn source_of(&self, name: &str) -> Option<&Source> {
        let prefix = name.split_once("__").map(|(prefix, _)| prefix);
        self.sources().find(|source| match &source.kind {
            Kind::Data(_) => prefix.is_none(),
            Kind::Mcp(_) => prefix == Some(source.id.as_str()),
            Kind::Disabled(_) => false,
        })
    }
}

#[async_trait]
impl ToolBox for Selected {
    async fn list(&self, input: &RunInput) -> Vec<ToolSpec> {
        let all = join_all(self.sources().map(|source| async {
            match &source.kind {
                Kind::Data(data) => data.list(),
                Kind::Mcp(server) => server.list().await,
                Kind::Disabled(_) => Vec::new(),
            }
        }));
        let all = tokio::select! {
            all = all => all,
            () = input.cancel.cancelled() => return Vec::new(),
        };
        let mut tools: Vec<ToolSpec> = all.into_iter().flatten().filter(|tool| tool.consent != Consent::Off).collect();
        if tools.len() > MAX_TOOLS {
            tracing::warn!(agent_tools = tools.len(), taken = MAX_TOOLS, "an agent has more tools than a model takes");
            tools.truncate(MAX_TOOLS);
        }
        tools
    }

    async fn call(&self, name: &str, args: Value, input: &RunInput) -> Called {
        let call = async {
            match self.source_of(name).map(|source| &source.kind) {
                Some(Kind::Data(data)) => data.call(name, args, input).await.into(),
                Some(Kind::Mcp(server)) => server.call(name, args, input.thread_id).await,
                _ => unknown(name),
            }
        };
        unless_stopped(input, call).await
    }

    async fn resume(&self, name: &str, resumption: Resumption, input: &RunInput) -> Called {
        let call = async {
            match self.source_of(name).map(|source| &source.kind) {
                Some(Kind::Mcp(server)) => server.resume(name, resumption, input).await,
                _ => unknown(name),
            }
        };
        unless_stopped(input, call).await
    }

    fn abandon(&self, thread: ThreadId) {
        for source in self.sources() {
            if let Kind::Mcp(server) = &source.kind {
                server.abandon(thread);
            }
        }
    }
}

fn unknown(name: &str) -> Called {
    ToolOutput::failed(format!("There is no tool `{}`.", clip(name, 100))).into()
}

async fn unless_stopped(input: &RunInput, call: impl Future<Output = Called>) -> Called {
    tokio::select! {
        biased;
        () = input.cancel.cancelled() => ToolOutput::failed("The run was stopped, and the call with it.").into(),
        called = call => called,
    }
}

/// A tool, for administrators.
pub(super) fn told(tool: &ToolSpec) -> ToolInfo {
    ToolInfo { name: tool.name.clone(), consent: tool.consent }
}

/// The name that a model calls a server's tool by: `source__tool`, where that is a name that models' interfaces take; else
/// what is left of it, and a part of its digest, so that no two tools get the same.
pub(super) fn exposed(source: &str, tool: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    let name = format!("{source}__{tool}");
    if name.len() <= MAX_NAME && !tool.is_empty() && tool.chars().all(fits) {
        return name;
    }
    let digest: String = Sha256::digest(tool.as_bytes()).iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    let kept: String = tool.chars().map(|letter| if fits(letter) { letter } else { '_' }).collect();
    let room = MAX_NAME - source.len() - digest.len() - 3;
    format!("{source}__{}_{digest}", &kept[..kept.len().min(room)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_models_interfaces_and_stay_apart() {
        assert_eq!(exposed("files", "read_file"), "files__read_file");
        let odd = ["a/b", "a.b", "a b", "ä", "", &"x".repeat(65), &format!("{}y", "x".repeat(65)), &"é".repeat(99)];
        let names: Vec<String> = odd.iter().map(|tool| exposed("a-source-with-a-long-id0", tool)).collect();
        for name in &names {
            assert!(name.len() <= MAX_NAME && name.starts_with("a-source-with-a-long-id0__"), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)), "{name}");
        }
        assert_eq!(names.iter().collect::<std::collections::HashSet<_>>().len(), names.len(), "{names:?}");
    }
}
