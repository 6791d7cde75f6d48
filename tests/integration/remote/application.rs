//! A real AG-UI application as a remote agent: Pydantic AI with its test model, in a virtual environment.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    net::TcpStream,
    process,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use netra::{
    protocol::{AnswerStatus, agui::Event},
    thread::{NodeBody, RunState, RunView},
};
use serde_json::json;

use crate::{
    remote::harness::{RemoteHarness, config, text_of},
    support::{TEST_TIMEOUT, attach::PNG, free_port, python},
};

/// How long its packages may take to install.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(300);

/// A running application. Killed when dropped.
struct Application {
    url: String,
    _process: process::Child,
}

impl Application {
    async fn start() -> Self {
        let python = spawn_blocking(environment);
        let python = timeout(INSTALL_TIMEOUT, python)
            .await
            .expect("the packages come in time")
            .expect("the task does not panic");
        let port = free_port();
        let mut process = process::Command::new(python)
            .arg(source("application.py"))
            .arg(port.to_string())
            .kill_on_drop(true)
            .spawn()
            .expect("Python starts");
        let listens = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                assert!(
                    process.try_wait().expect("the process state is read").is_none(),
                    "the application ended; its output is above"
                );
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(TEST_TIMEOUT, listens).await.expect("the application listens in time");
        Self { url: format!("http://127.0.0.1:{port}"), _process: process }
    }

    async fn harness(&self, path: &str) -> RemoteHarness {
        RemoteHarness::with_config(&config(&format!("{}/{path}", self.url), &json!({}))).await
    }
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/remote").join(name)
}

/// The Python of an environment with the packages of `requirements.txt`.
fn environment() -> PathBuf {
    let requirements = std::fs::read_to_string(source("requirements.txt")).expect("the file is read");
    python::environment("ag-ui-application", &requirements).join("python")
}

fn tool(run: &RunView) -> (&str, &str, Option<&str>) {
    let call = run.nodes.iter().find_map(|node| match &node.body {
        NodeBody::Tool { name, args, result, .. } => Some((name.as_str(), args.as_str(), result.as_deref())),
        _ => None,
    });
    call.expect("a call")
}

#[tokio::test]
async fn its_text_tool_calls_and_state_arrive_and_are_accepted_when_sent_back() {
    let application = Application::start().await;
    let harness = application.harness("weather").await;
    let run = harness.ask("How warm is it?").await;
    assert_eq!(run.state, RunState::Finished);
    assert_eq!(tool(&run), ("temperature", "{\"city\":\"a\"}", Some("21 degrees in a")));
    assert_eq!(text_of(&run), "{\"temperature\":\"21 degrees in a\"}");
    assert_eq!(run.shared.as_deref(), Some(&json!({"questions": 1})));
    let events = harness.events(run.run_id).await;
    assert!(events.iter().any(|event| matches!(event, Event::ToolCallResult(_))), "{events:#?}");
    // Its model repeats the answer and does not call the tool again, so it got both.
    let again = harness.ask("And now?").await;
    assert_eq!((again.state.clone(), text_of(&again)), (RunState::Finished, text_of(&run)));
    assert!(!again.nodes.iter().any(|node| matches!(node.body, NodeBody::Tool { .. })));
}

#[tokio::test]
async fn its_question_is_answered_through_netra() {
    let application = Application::start().await;
    let answers = [
        (json!({"approved": true}), "sent to a"),
        (json!({"approved": true, "editedArgs": {"address": "the moon"}}), "sent to the moon"),
        (json!({"approved": false, "reason": "too far"}), "too far"),
    ];
    for (answer, expected) in answers {
        let harness = application.harness("parcel").await;
        let waiting = harness.ask("Send the parcel").await;
        let RunState::Interrupted { interrupts } = &waiting.state else {
            panic!("the run waits for no answer: {:?}", waiting.state)
        };
        assert_eq!(interrupts[0].reason, "tool_call");
        let run = harness.answer_one(waiting.run_id, &interrupts[0].id, AnswerStatus::Resolved, answer).await;
        assert_eq!(run.state, RunState::Finished);
        assert!(text_of(&run).contains(expected), "{} should contain {expected}", text_of(&run));
    }
}

#[tokio::test]
async fn it_sees_the_files_of_messages() {
    let application = Application::start().await;
    let harness = application.harness("seen").await;
    let run = harness.begin_with_files("What is this?", &[("photo.png", PNG), ("log.csv", b"a,b\n")]).await;
    let expected = format!("What is this? | image/png of {} bytes | text/csv of 4 bytes", PNG.len());
    assert_eq!(text_of(&harness.until_over(run).await), expected);
    assert_eq!(text_of(&harness.ask("And now?").await), format!("{expected} | And now?"));
}

#[tokio::test]
async fn its_refusals_arrive_with_their_message() {
    let application = Application::start().await;
    let message = application.harness("nowhere").await.failure("remote_refused").await;
    assert!(message.contains("404 Not Found"), "{message}");
}
