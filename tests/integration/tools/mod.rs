//! Tools end to end: real MCP servers over both transports, servers that misbehave, and the built-in tools.

mod admin;
mod asking;
mod builtin;
mod confined;
mod consent;
mod everything;
mod misbehaving;
mod once;
mod tasks;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use netra::{
    analyst::pricing::PriceTable,
    protocol::{Attachment, Author, FileId, UserId, http::ToolSourceState},
    server::{
        agents::tools::{ToolBox, ToolOutput, Tools},
        config::{Config, tools::ToolsConfig},
        runs::{InputFile, RunInput},
    },
};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{KillOnDrop, TEST_TIMEOUT, npm};

/// Configured tool sources, and the toolbox of an agent that uses all of them.
struct ToolHarness {
    tools: Arc<Tools>,
    toolbox: Arc<dyn ToolBox>,
    /// Holds the folders of the child processes.
    folder: tempfile::TempDir,
}

impl ToolHarness {
    fn new(configured: &str) -> Self {
        Self::with(configured, |_| None)
    }

    fn with(configured: &str, variables: impl Fn(&str) -> Option<String>) -> Self {
        let configured = configured_tools(configured);
        let folder = tempfile::tempdir().expect("a folder");
        let tools = Arc::new(Tools::new(&configured, &Arc::new(PriceTable::shipped()), folder.path(), variables));
        let ids: Vec<String> = tools.status().into_iter().map(|source| source.id).collect();
        let toolbox = tools.select(&ids);
        Self { tools, toolbox, folder }
    }

    async fn names(&self) -> Vec<String> {
        let listed = timeout(TEST_TIMEOUT, self.toolbox.list(&input(&[]))).await.expect("a list in time");
        listed.into_iter().map(|tool| tool.name).filter(|name| name.contains("__")).collect()
    }

    async fn call(&self, name: &str, args: Value) -> ToolOutput {
        timeout(TEST_TIMEOUT, self.toolbox.call(name, args, &input(&[]))).await.expect("an output in time").output()
    }

    fn state(&self, id: &str) -> ToolSourceState {
        self.tools.status().into_iter().find(|source| source.id == id).expect("a source").state
    }

    fn reason(&self, id: &str) -> String {
        match self.state(id) {
            ToolSourceState::Unavailable { reason, .. } | ToolSourceState::Disabled { reason } => reason,
            state => panic!("{id} is {state:?}"),
        }
    }
}

fn configured_tools(text: &str) -> Vec<ToolsConfig> {
    toml::from_str::<Config>(text).expect("a configuration").tools
}

fn input(files: &[&Path]) -> RunInput {
    let file = |path: &&Path| InputFile {
        attachment: Attachment {
            file_id: FileId::new(),
            name: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            bytes: fs::metadata(path).map_or(0, |meta| meta.len()),
        },
        path: path.to_path_buf(),
    };
    let author = Author { id: UserId::new(), name: "Owner".into() };
    RunInput { files: files.iter().map(file).collect(), ..RunInput::alone(author, "") }
}

/// Waits until a condition holds.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + TEST_TIMEOUT;
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not within {TEST_TIMEOUT:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Whether a process exists and is not a zombie.
fn is_alive(id: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let state = state.rsplit_once(')').map_or("", |(_, rest)| rest.trim_start());
    !state.is_empty() && !state.starts_with('Z')
}

/// The program of the reference server, installed once into the build folder.
fn everything() -> PathBuf {
    npm::installed("tests/integration/tools", "mcp")
        .join("node_modules/@modelcontextprotocol/server-everything/dist/index.js")
}

/// The configuration of a server that `node` runs.
fn node(id: &str, program: &Path, args: &[&str], more: &str) -> String {
    let args: Vec<String> = args.iter().map(|arg| format!(", {arg:?}")).collect();
    let program = program.display().to_string();
    format!(
        "[[tools]]\nid = \"{id}\"\nkind = \"mcp\"\ncommand = \"node\"\nargs = [{program:?}{}]\n{more}\n",
        args.concat()
    )
}
