//! Stands in for the `mcp` module in builds without the feature `mcp`.

use std::{path::Path, sync::Arc};

use serde_json::Value;

use super::{
    ToolSpec,
    questions::{CallOutcome, Resumption},
};
use crate::{
    protocol::{ThreadId, http::ToolSourceState},
    server::{config::tools::McpConfig, runs::RunInput},
};

/// Never constructed: `new` returns an error.
pub(super) enum McpSource {}

impl McpSource {
    pub(super) fn new(_: String, _: McpConfig, _: &Path, _: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        Err("kind: this build of netra does not support \"mcp\"; build it with the feature `mcp`".into())
    }

    pub(super) fn state(&self) -> ToolSourceState {
        match *self {}
    }

    pub(super) async fn list(self: &Arc<Self>) -> Vec<ToolSpec> {
        match **self {}
    }

    pub(super) async fn call(self: &Arc<Self>, _: &str, _: Value, _: ThreadId) -> CallOutcome {
        match **self {}
    }

    pub(super) async fn resume(self: &Arc<Self>, _: &str, _: Resumption, _: &RunInput) -> CallOutcome {
        match **self {}
    }

    pub(super) fn abandon(&self, _: ThreadId) {
        match *self {}
    }

    pub(super) async fn close(&self) {
        match *self {}
    }
}
