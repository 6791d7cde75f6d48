//! A real AG-UI application, asked through Netra: Pydantic AI with its test model, in a virtual environment of these tests'
//! own.

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
    remote::{
        PATIENCE,
        house::{House, config, said},
    },
    support::{attach::PNG, python},
};

/// How long its packages may take to come.
const INSTALL: Duration = Duration::from_secs(300);

/// The application, for as long as a test lives.
struct Application {
    url: String,
    _process: process::Child,
}

impl Application {
    async fn start() -> Self {
        let python = spawn_blocking(environment);
        let python = timeout(INSTALL, python).await.expect("the packages come in time").expect("no panic");
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let mut process = process::Command::new(python)
            .arg(source("application.py"))
            .arg(port.to_string())
            .kill_on_drop(true)
            .spawn()
            .expect("python starts");
        let listens = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                assert!(
                    process.try_wait().expect("can be asked").is_none(),
                    "the application ended; what it said is above"
                );
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, listens).await.expect("the application listens in time");
        Self { url: format!("http://127.0.0.1:{port}"), _process: process }
    }

    async fn house(&self, path: &str) -> House {
        House::with(&config(&format!("{}/{path}", self.url), &json!({}))).await
    }
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/remote").join(name)
}

/// The Python of an environment with what `requirements.txt` names.
fn environment() -> PathBuf {
    let requirements = std::fs::read_to_string(source("requirements.txt")).expect("reads");
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
async fn its_text_its_tool_calls_and_its_state_arrive_and_it_takes_them_back() {
    let application = Application::start().await;
    let house = application.house("weather").await;
    let run = house.answer("How warm is it?").await;
    assert_eq!(run.state, RunState::Finished);
    assert_eq!(tool(&run), ("temperature", "{\"city\":\"a\"}", Some("21 degrees in a")));
    assert_eq!(said(&run), "{\"temperature\":\"21 degrees in a\"}");
    assert_eq!(run.shared.as_deref(), Some(&json!({"questions": 1})));
    let events = house.events(run.run_id).await;
    assert!(events.iter().any(|event| matches!(event, Event::ToolCallResult(_))), "{events:#?}");
    // Its model calls no tool that the conversation shows as called, and repeats the answer: it was told of both.
    let again = house.answer("And now?").await;
    assert_eq!((again.state.clone(), said(&again)), (RunState::Finished, said(&run)));
    assert!(!again.nodes.iter().any(|node| matches!(node.body, NodeBody::Tool { .. })));
}

#[tokio::test]
async fn what_it_asks_a_person_is_answered_through_netra() {
    let application = Application::start().await;
    let answers = [
        (json!({"approved": true}), "sent to a"),
        (json!({"approved": true, "editedArgs": {"address": "the moon"}}), "sent to the moon"),
        (json!({"approved": false, "reason": "too far"}), "too far"),
    ];
    for (answer, expected) in answers {
        let house = application.house("parcel").await;
        let waiting = house.answer("Send the parcel").await;
        let RunState::Interrupted { interrupts } = &waiting.state else { panic!("waits, not {:?}", waiting.state) };
        assert_eq!(interrupts[0].reason, "tool_call");
        let run = house.reply(waiting.run_id, &interrupts[0].id, AnswerStatus::Resolved, answer).await;
        assert_eq!(run.state, RunState::Finished);
        assert!(said(&run).contains(expected), "{} should contain {expected}", said(&run));
    }
}

#[tokio::test]
async fn it_sees_the_files_of_messages() {
    let application = Application::start().await;
    let house = application.house("seen").await;
    let run = house.ask_with("What is this?", &[("photo.png", PNG), ("log.csv", b"a,b\n")]).await;
    let expected = format!("What is this? | image/png of {} bytes | text/csv of 4 bytes", PNG.len());
    assert_eq!(said(&house.until_over(run).await), expected);
    assert_eq!(said(&house.answer("And now?").await), format!("{expected} | And now?"));
}

#[tokio::test]
async fn what_it_does_not_understand_it_refuses_in_words_that_arrive() {
    let application = Application::start().await;
    let said = application.house("nowhere").await.failure("remote_refused").await;
    assert!(said.contains("404 Not Found"), "{said}");
}
