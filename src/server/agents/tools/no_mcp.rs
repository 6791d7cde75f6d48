//! In place of the servers of the Model Context Protocol, where this build was made without the feature `mcp`.

use std::{path::Path, sync::Arc};

use serde_json::Value;

use super::{
    ToolSpec,
    questions::{Called, Resumption},
};
use crate::{
    protocol::{ThreadId, http::ToolSourceState},
    server::{config::tools::McpConfig, runs::RunInput},
};

/// There is none.
pub(super) enum McpSource {}

impl McpSource {
    pub(super) fn new(_: String, _: McpConfig, _: &Path, _: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        Err("kind: this build of netra has no \"mcp\"; build it with the feature `mcp`".into())
    }

    pub(super) fn state(&self) -> ToolSourceState {
        match *self {}
    }

    pub(super) async fn list(self: &Arc<Self>) -> Vec<ToolSpec> {
        match **self {}
    }

    pub(super) async fn call(self: &Arc<Self>, _: &str, _: Value, _: ThreadId) -> Called {
        match **self {}
    }

    pub(super) async fn resume(self: &Arc<Self>, _: &str, _: Resumption, _: &RunInput) -> Called {
        match **self {}
    }

    pub(super) fn abandon(&self, _: ThreadId) {
        match *self {}
    }

    pub(super) async fn close(&self) {
        match *self {}
    }
}
