//! The workload analyst end to end: questions and files in, AG-UI events out, figures checked.

mod figures;
mod properties;
mod questions;
mod runs;
mod sources;

use std::{
    collections::HashSet,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use netra::{
    analyst::{EXAMPLES, analysis::Analysis, ingest, pricing::PriceTable},
    protocol::{Attachment, Author, FileId, UserId, agui::Event},
    server::{
        agents::builtin::Analyst,
        runs::{Agent, AgentError, Done, Emitter, InputFile, RunInput},
    },
};
use serde_json::Value;

/// The events and the result of a run.
struct Recorded {
    result: Result<Done, AgentError>,
    events: Vec<Event>,
}

impl Recorded {
    /// The text of the sub-agent with this name; of the supervisor for `""`.
    fn text(&self, agent: &str) -> String {
        let id = self.events.iter().find_map(|event| match event {
            Event::SubagentStarted(start) if start.name == agent => Some(start.subagent_run_id.clone()),
            _ => None,
        });
        let events = self.events.iter().filter(|event| event.subagent() == id.as_deref());
        events
            .filter_map(|event| match event {
                Event::TextMessageContent(content) => Some(content.delta.as_str()),
                _ => None,
            })
            .collect()
    }

    fn tools(&self) -> Vec<&str> {
        let mut tools = Vec::new();
        for event in &self.events {
            if let Event::ToolCallStart(start) = event {
                tools.push(start.tool_call_name.as_str());
            }
        }
        tools
    }

    fn customs(&self, name: &str) -> Vec<&Value> {
        let mut values = Vec::new();
        for event in &self.events {
            if let Event::Custom(custom) = event
                && custom.name == name
            {
                values.push(&custom.value);
            }
        }
        values
    }
}

fn input(text: &str, files: &[&Path]) -> RunInput {
    let file = |path: &&Path| InputFile {
        attachment: Attachment {
            file_id: FileId::new(),
            name: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            bytes: std::fs::metadata(path).map_or(0, |meta| meta.len()),
        },
        path: path.to_path_buf(),
    };
    let author = Author { id: UserId::new(), name: "Owner".into() };
    RunInput { files: files.iter().map(file).collect(), ..RunInput::alone(author, text) }
}

async fn ask(text: &str, files: &[&Path]) -> Recorded {
    let (out, mut events) = Emitter::channel(4);
    let analyst = Analyst::new(None).expect("the shipped prices");
    let run = tokio::spawn({
        let input = input(text, files);
        async move { analyst.run(input, out).await }
    });
    let mut received = Vec::new();
    while let Some(event) = events.recv().await {
        received.push(event);
    }
    let run = Recorded { result: run.await.expect("the task does not panic"), events: received };
    check_order(&run.events);
    run
}

/// Asserts AG-UI's rules: ids are unique, and everything is opened before it is used and closed at the end.
fn check_order(events: &[Event]) {
    let mut open: HashSet<(String, String)> = HashSet::new();
    let mut used: HashSet<String> = HashSet::new();
    let mut begin = |open: &mut HashSet<_>, kind: &str, id: &str, unique: bool| {
        assert!(!unique || used.insert(format!("{kind} {id}")), "{kind} {id} is used twice");
        assert!(open.insert((kind.to_owned(), id.to_owned())), "{kind} {id} is open already");
    };
    let key = |kind: &str, id: &str| (kind.to_owned(), id.to_owned());
    for event in events {
        if let Some(subagent) = event.subagent() {
            assert!(open.contains(&key("subagent", subagent)), "{} outside its sub-agent", event.kind());
        }
        let step = |name: &str| format!("{:?} {name}", event.subagent());
        match event {
            Event::SubagentStarted(e) => begin(&mut open, "subagent", &e.subagent_run_id, true),
            Event::SubagentFinished(e) => assert!(open.remove(&key("subagent", &e.subagent_run_id))),
            Event::SubagentError(e) => assert!(open.remove(&key("subagent", &e.subagent_run_id))),
            Event::StepStarted(e) => begin(&mut open, "step", &step(&e.step_name), false),
            Event::StepFinished(e) => assert!(open.remove(&key("step", &step(&e.step_name)))),
            Event::TextMessageStart(e) => begin(&mut open, "text", &e.message_id, true),
            Event::TextMessageContent(e) => assert!(open.contains(&key("text", &e.message_id)) && !e.delta.is_empty()),
            Event::TextMessageEnd(e) => assert!(open.remove(&key("text", &e.message_id))),
            Event::ReasoningStart(e) => begin(&mut open, "span", &e.message_id, true),
            Event::ReasoningEnd(e) => assert!(open.remove(&key("span", &e.message_id))),
            Event::ReasoningMessageStart(e) => begin(&mut open, "reasoning", &e.message_id, true),
            Event::ReasoningMessageContent(e) => assert!(open.contains(&key("reasoning", &e.message_id))),
            Event::ReasoningMessageEnd(e) => assert!(open.remove(&key("reasoning", &e.message_id))),
            Event::ToolCallStart(e) => begin(&mut open, "call", &e.tool_call_id, true),
            Event::ToolCallArgs(e) => {
                assert!(open.contains(&key("call", &e.tool_call_id)));
                serde_json::from_str::<serde_json::Map<String, Value>>(&e.delta).expect("arguments are a JSON object");
            }
            Event::ToolCallEnd(e) => {
                assert!(open.remove(&key("call", &e.tool_call_id)));
                begin(&mut open, "result", &e.tool_call_id, true);
            }
            Event::ToolCallResult(e) => {
                assert!(open.remove(&key("result", &e.tool_call_id)));
                serde_json::from_str::<Value>(&e.content.to_text()).expect("a result is JSON");
            }
            Event::Custom(_) => {}
            other => panic!("the analyst does not say {}", other.kind()),
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/samples/support-assistant.csv")
}

/// A trace of the Azure Public Dataset, if there is one beside the checkout.
fn azure(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/azure-llm-2023").join(name);
    if !path.exists() {
        eprintln!("SKIPPED: {} is not there", path.display());
        return None;
    }
    Some(path)
}

fn analyse(path: &Path, question: &str) -> Analysis {
    let log = ingest::load(path, &|| false).expect("a readable log");
    Analysis::compute("log.csv", question, &log, &PriceTable::shipped(), &|| false).expect("an analysis")
}

#[track_caller]
fn assert_close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1.0), "found {found}, expected {expected}");
}
