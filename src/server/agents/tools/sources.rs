//! All sources of tools: those in the configuration and the built-in one.
//!
//! Guarantees: a tool's name does not depend on which other sources exist or are available, so a call that waited for a
//! person reaches the tool that the person was asked about. A built-in tool keeps its name; a tool of an MCP server is
//! `source__tool`.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::Value;

use super::{
    Consent, RunInput, ToolBox, ToolOutput, ToolSpec,
    data::DataTools,
    mcp::McpSource,
    questions::{CallOutcome, Resumption},
};
use crate::{
    analyst::pricing::PriceTable,
    protocol::{
        ThreadId,
        http::{ToolInfo, ToolSource, ToolSourceState},
    },
    server::config::tools::{BuiltinConfig, McpConfig, ToolsConfig, ToolsKind},
    text::clip,
};

/// The id of the built-in source if the configuration sets none.
pub const BUILTIN: &str = "data";
/// The most tools offered to one agent: the limit of model APIs.
const MAX_TOOLS: usize = 128;

/// Every source of tools. Agents share them; each agent uses the sources that its configuration names.
pub struct Tools {
    sources: Vec<Source>,
}

struct Source {
    id: String,
    kind: SourceKind,
}

enum SourceKind {
    Data(DataTools),
    Mcp(Arc<McpSource>),
    Disabled(String),
}

impl Tools {
    /// The configured sources, and the built-in one if none is configured. Connects to none of them. Each child process
    /// gets its own subfolder of `folder`; `variables` looks up the environment variables that secrets refer to.
    #[must_use]
    pub fn new(
        configured: &[ToolsConfig],
        prices: &Arc<PriceTable>,
        folder: &Path,
        variables: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let data = |id: &str, config: &BuiltinConfig| {
            SourceKind::Data(DataTools::new(id.to_owned(), config.consent.clone(), Arc::clone(prices)))
        };
        let source = |entry: &ToolsConfig| {
            let kind = match &entry.kind {
                Ok(ToolsKind::Builtin(config)) => data(&entry.id, config),
                Ok(ToolsKind::Mcp(config)) => {
                    let source =
                        McpSource::new(entry.id.clone(), McpConfig::clone(config), &folder.join(&entry.id), &variables);
                    source.map_or_else(SourceKind::Disabled, |source| SourceKind::Mcp(Arc::new(source)))
                }
                Err(reason) => SourceKind::Disabled(reason.clone()),
            };
            Source { id: entry.id.clone(), kind }
        };
        let mut sources: Vec<Source> = configured.iter().map(source).collect();
        let duplicates = sources.iter_mut().filter(|source| matches!(source.kind, SourceKind::Data(_))).skip(1);
        duplicates.for_each(|source| source.kind = SourceKind::Disabled("kind: only one source may be builtin".into()));
        let has_builtin =
            sources.iter().any(|source| matches!(source.kind, SourceKind::Data(_)) || source.id == BUILTIN);
        if !has_builtin {
            let kind = data(BUILTIN, &BuiltinConfig::default());
            sources.insert(0, Source { id: BUILTIN.into(), kind });
        }
        for source in &sources {
            if let SourceKind::Disabled(reason) = &source.kind {
                tracing::warn!(tools = source.id, reason, "a tool source is disabled");
            }
        }
        Self { sources }
    }

    /// The tools of the sources with these ids, in this order; unknown ids are skipped.
    #[must_use]
    pub fn select(self: &Arc<Self>, ids: &[String]) -> Arc<dyn ToolBox> {
        let mut indexes = Vec::new();
        for id in ids {
            let at = self.sources.iter().position(|source| source.id == *id);
            indexes.extend(at.filter(|at| !indexes.contains(at)));
        }
        Arc::new(SelectedSources { tools: Arc::clone(self), indexes })
    }

    /// Whether there is a source with this id.
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        self.sources.iter().any(|source| source.id == id)
    }

    /// The state of every source, for administrators.
    #[must_use]
    pub fn status(&self) -> Vec<ToolSource> {
        let state = |source: &Source| match &source.kind {
            SourceKind::Data(data) => {
                ToolSourceState::Ready { tools: data.list().iter().map(tool_info).collect(), left_out: 0 }
            }
            SourceKind::Mcp(server) => server.state(),
            SourceKind::Disabled(reason) => ToolSourceState::Disabled { reason: reason.clone() },
        };
        self.sources.iter().map(|source| ToolSource { id: source.id.clone(), state: state(source) }).collect()
    }

    /// Closes every session. All child processes have ended when this returns; later calls return failed outputs.
    pub async fn close(&self) {
        join_all(self.sources.iter().map(|source| async {
            if let SourceKind::Mcp(server) = &source.kind {
                server.close().await;
            }
        }))
        .await;
    }
}

/// The sources of one agent.
struct SelectedSources {
    tools: Arc<Tools>,
    /// Indexes into the list of sources.
    indexes: Vec<usize>,
}

impl SelectedSources {
    fn sources(&self) -> impl Iterator<Item = &Source> {
        self.indexes.iter().filter_map(|at| self.tools.sources.get(*at))
    }

    /// The source that a tool of this name belongs to.
    fn source_of(&self, name: &str) -> Option<&Source> {
        let prefix = name.split_once("__").map(|(prefix, _)| prefix);
        self.sources().find(|source| match &source.kind {
            SourceKind::Data(_) => prefix.is_none(),
            SourceKind::Mcp(_) => prefix == Some(source.id.as_str()),
            SourceKind::Disabled(_) => false,
        })
    }
}

#[async_trait]
impl ToolBox for SelectedSources {
    async fn list(&self, input: &RunInput) -> Vec<ToolSpec> {
        let lists = join_all(self.sources().map(|source| async {
            match &source.kind {
                SourceKind::Data(data) => data.list(),
                SourceKind::Mcp(server) => server.list().await,
                SourceKind::Disabled(_) => Vec::new(),
            }
        }));
        let lists = tokio::select! {
            lists = lists => lists,
            () = input.cancel.cancelled() => return Vec::new(),
        };
        let mut tools: Vec<ToolSpec> =
            lists.into_iter().flatten().filter(|tool| tool.consent != Consent::Off).collect();
        if tools.len() > MAX_TOOLS {
            tracing::warn!(
                agent_tools = tools.len(),
                offered = MAX_TOOLS,
                "an agent has more tools than a model accepts"
            );
            tools.truncate(MAX_TOOLS);
        }
        tools
    }

    async fn call(&self, name: &str, args: Value, input: &RunInput) -> CallOutcome {
        let call = async {
            match self.source_of(name).map(|source| &source.kind) {
                Some(SourceKind::Data(data)) => data.call(name, args, input).await.into(),
                Some(SourceKind::Mcp(server)) => server.call(name, args, input.thread_id).await,
                _ => unknown_tool(name),
            }
        };
        unless_stopped(input, call).await
    }

    async fn resume(&self, name: &str, resumption: Resumption, input: &RunInput) -> CallOutcome {
        let call = async {
            match self.source_of(name).map(|source| &source.kind) {
                Some(SourceKind::Mcp(server)) => server.resume(name, resumption, input).await,
                _ => unknown_tool(name),
            }
        };
        unless_stopped(input, call).await
    }

    fn abandon(&self, thread: ThreadId) {
        for source in self.sources() {
            if let SourceKind::Mcp(server) = &source.kind {
                server.abandon(thread);
            }
        }
    }
}

fn unknown_tool(name: &str) -> CallOutcome {
    ToolOutput::failed(format!("There is no tool `{}`.", clip(name, 100))).into()
}

async fn unless_stopped(input: &RunInput, call: impl Future<Output = CallOutcome>) -> CallOutcome {
    tokio::select! {
        biased;
        () = input.cancel.cancelled() => ToolOutput::failed("The run was stopped, and so was the call.").into(),
        outcome = call => outcome,
    }
}

/// A tool as shown to administrators.
pub(super) fn tool_info(tool: &ToolSpec) -> ToolInfo {
    ToolInfo { name: tool.name.clone(), consent: tool.consent }
}
