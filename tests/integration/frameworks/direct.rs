//! The same conversation without Netra: AG-UI's own client calls the application.

use std::path::Path;

use netra::protocol::ThreadId;
use serde_json::{Value, json};
use tokio::{process::Command, task::spawn_blocking};

use crate::{frameworks::conversation::Step, support::npm};

/// Has a conversation with the endpoint at `url`; returns the client's messages and state, and the last run's interrupt.
pub(crate) async fn converse(url: &str, steps: &[Step]) -> Value {
    let installed = || npm::installed("tests/integration/frameworks", "ag-ui-client");
    let folder = spawn_blocking(installed).await.expect("the task does not panic");
    let steps: Vec<Value> = steps.iter().map(Step::to_json).collect();
    let task = json!({"url": url, "threadId": ThreadId::new().to_string(), "steps": steps});
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/frameworks/direct.mjs");
    let mut node = Command::new("node");
    node.arg(script).arg(folder).arg(task.to_string()).kill_on_drop(true);
    let output = node.output().await.expect("Node.js is installed");
    assert!(output.status.success(), "without Netra: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}
