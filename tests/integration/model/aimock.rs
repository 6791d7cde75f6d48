//! Against an independent mock of each provider's API: `@copilotkit/aimock` from npm, installed once into the build folder.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use netra::thread::RunState;
use serde_json::json;

use crate::model::{Harness, Model, calls_of, failure, texts};

/// The mock. It stops with the test.
struct Mock {
    child: Child,
    url: String,
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> PathBuf {
    crate::support::npm::installed("tests/integration/model", "aimock")
        .join("node_modules/@copilotkit/aimock/dist/cli.js")
}

fn mock(folder: &Path) -> Mock {
    let fixtures = json!({"fixtures": [
        {"match": {"userMessage": "say hello"}, "response": {"content": "Hello there, all is well."}},
        {
            "match": {"userMessage": "look around", "hasToolResult": false},
            "response": {"toolCalls": [{"name": "look", "arguments": {"at": "home"}}]},
        },
        {"match": {"userMessage": "look around", "hasToolResult": true}, "response": {"content": "It is at home."}},
        {
            "match": {"userMessage": "too much"},
            "response": {"error": {"message": "Rate limited", "type": "rate_limit_error"}, "status": 429},
        },
    ]});
    let file = folder.join("fixtures.json");
    fs::write(&file, fixtures.to_string()).expect("the file is written");
    let mut node = Command::new("node");
    node.arg(program()).args(["--port", "0", "--strict", "--fixtures"]).arg(file);
    let mut child = node.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("Node.js is installed");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let url = lines.find_map(|line| Some(line.ok()?.split_once("listening on ")?.1.trim().to_owned()));
    // Keep reading, so that the mock's output never blocks it.
    std::thread::spawn(move || lines.for_each(drop));
    Mock { child, url: url.expect("the mock's URL") }
}

/// Each provider with the path of its API.
const PROVIDERS: [(&str, &str); 5] =
    [("openai", "/v1"), ("openai_responses", "/v1"), ("anthropic", "/v1"), ("gemini", "/v1beta"), ("ollama", "")];

#[tokio::test]
async fn every_api_answers_and_calls_tools() {
    let folder = tempfile::tempdir().expect("a folder");
    let mock = mock(folder.path());
    let unused = Model::with([]).await;
    for (provider, path) in PROVIDERS {
        let config = json!({"provider": provider, "base_url": format!("{}{path}", mock.url), "model": "gpt-4.1"});
        let harness = Harness::with(&unused, config).await;
        let run = harness.ask("say hello").await;
        assert_eq!((&run.state, texts(&run)), (&RunState::Finished, vec!["Hello there, all is well."]), "{provider}");
        // Of the mock's APIs, only `openai` reports usage.
        let counts = run.usage[0].output_tokens.is_some_and(|tokens| tokens > 0);
        assert!(counts || provider != "openai", "{provider}: {:?}", run.usage);
        let run = harness.ask("look around").await;
        assert_eq!((&run.state, texts(&run)), (&RunState::Finished, vec!["It is at home."]), "{provider}: {run:#?}");
        assert_eq!(calls_of(&run)[0], ("look", "{\"at\":\"home\"}", Some("look {\"at\":\"home\"}")), "{provider}");
    }
}

#[tokio::test]
async fn every_api_reports_a_rate_limit() {
    let folder = tempfile::tempdir().expect("a folder");
    let mock = mock(folder.path());
    let unused = Model::with([]).await;
    for (provider, path) in PROVIDERS {
        let config = json!({"provider": provider, "base_url": format!("{}{path}", mock.url), "model": "gpt-4.1"});
        let run = Harness::with(&unused, config).await.ask("too much").await;
        assert_eq!(failure(&run).0, "model_rate_limited", "{provider}");
    }
}
