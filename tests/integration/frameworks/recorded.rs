//! How each framework asks a question: streams recorded from these applications, without `RAW` events and expiry times.

use std::path::Path;

use netra::thread::RunState;
use serde_json::{Value, json};

use crate::remote::{
    harness::{RemoteHarness, config},
    server::Endpoint,
};

async fn asks(name: &'static str) -> RunState {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/integration/frameworks/recorded/{name}.jsonl"));
    let recorded = std::fs::read_to_string(file).expect("the recorded stream");
    let events: Vec<Value> = recorded.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let server = Endpoint::start(move |_, mut answer| {
        let events = events.clone();
        async move {
            answer.stream().await?;
            answer.events(&events).await
        }
    })
    .await;
    let changes = json!({"confirm_pending_calls": name.starts_with("agno")});
    RemoteHarness::with_config(&config(&server.url, &changes)).await.ask("Mail bob").await.state
}

#[tokio::test]
async fn every_framework_that_asks_a_user_ends_its_run_with_a_question_in_words() {
    for (name, question) in [
        ("langgraph-asks-with-outcome", "Send a mail to bob?"),
        ("langgraph-asks-by-default", "Send a mail to bob?"),
        ("pydantic-ai-asks", "Approve send_mail({\"to\":\"bob\"})?"),
        ("strands-asks", "Approve call to send_mail?"),
        ("adk-asks-with-outcome", "Allow send_mail with {\"to\":\"bob\"}?"),
        ("adk-asks-by-default", "Allow send_mail with {\"to\":\"bob\"}?"),
        ("crewai-asks-with-outcome", "Send the mail?"),
        ("crewai-asks-by-default", "Send the mail?"),
        ("agno-asks", "Allow send_mail with {\"to\": \"bob\"}?"),
    ] {
        let state = asks(name).await;
        let RunState::Interrupted { interrupts } = &state else { panic!("{name} waits for a person, not {state:?}") };
        let messages: Vec<_> =
            interrupts.iter().map(|interrupt| interrupt.message.as_deref().unwrap_or_default()).collect();
        assert_eq!(messages, [question], "{name}");
    }
    let RunState::Interrupted { interrupts } = asks("ag2-asks").await else { panic!("AG2 waits for a person") };
    let question = interrupts[0].message.as_deref().expect("a question");
    assert!(question.starts_with("Agent wants to call the tool:"), "{question}");
}
