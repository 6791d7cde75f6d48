//! The check of a remote agent by a short conversation.

use netra::{
    protocol::http::{AgentCheck, CheckAgent, FindingLevel},
    server::agents::check::check,
};
use serde_json::json;

use crate::remote::{
    harness::{RemoteHarness, SECRET},
    server::{Endpoint, message},
};

/// Runs a check; returns it and the levels of its findings.
async fn found(server: &Endpoint) -> (AgentCheck, Vec<FindingLevel>) {
    let harness = RemoteHarness::new(server).await;
    let author = netra::protocol::Author { id: harness.user.id, name: harness.user.name.clone() };
    let check = check(&*harness.agent, &author, CheckAgent::GREETING).await;
    let levels = check.findings.iter().map(|finding| finding.level).collect();
    (check, levels)
}

fn says(check: &AgentCheck, words: &str) -> bool {
    check.findings.iter().any(|finding| finding.about.contains(words))
}

#[tokio::test]
async fn an_agent_that_answers_twice_gets_the_whole_conversation_and_passes_the_check() {
    let server = Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        answer.events(&message(&format!("m{number}"), &["I can add."])).await?;
        answer.finish().await
    })
    .await;
    let (check, levels) = found(&server).await;
    assert_eq!(levels, [FindingLevel::Good, FindingLevel::Good], "{check:?}");
    assert!(says(&check, "with 10 characters of text") && says(&check, "when the conversation continues"), "{check:?}");
    let requests = server.requests();
    let contents: Vec<_> = requests[1].input["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .map(|message| message["content"].clone())
        .collect();
    assert_eq!(contents, [json!(CheckAgent::GREETING), json!("I can add."), json!("Thank you.")]);
    assert_eq!(requests[0].input["threadId"], requests[1].input["threadId"]);
}

#[tokio::test]
async fn unanswered_calls_and_silence_are_problems_in_a_check() {
    let server = Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        if number == 0 {
            let call = [
                json!({"type": "TOOL_CALL_START", "toolCallId": "c", "toolCallName": "confirm"}),
                json!({"type": "TOOL_CALL_END", "toolCallId": "c"}),
            ];
            answer.events(&call).await?;
        }
        answer.finish().await
    })
    .await;
    let (check, levels) = found(&server).await;
    assert_eq!(levels, [FindingLevel::Good, FindingLevel::Problem, FindingLevel::Problem], "{check:?}");
    assert!(says(&check, "calls that have no result (`confirm`)"), "{check:?}");
    assert!(says(&check, "It sends no answer when the conversation continues"), "{check:?}");
}

#[tokio::test]
async fn a_check_shows_an_agents_question_and_sends_another_message() {
    let server = Endpoint::start(|number, mut answer| async move {
        answer.begin().await?;
        match number {
            0 => {
                let question = json!({"type": "CUSTOM", "name": "on_interrupt", "value": "Send a mail to bob?"});
                answer.event(&question).await?;
            }
            1 => {}
            _ => answer.events(&message("m", &["As you like."])).await?,
        }
        answer.finish().await
    })
    .await;
    let (check, levels) = found(&server).await;
    assert!(levels.iter().all(|level| *level == FindingLevel::Good), "{check:?}");
    assert!(says(&check, "“Send a mail to bob?”; users answer with a text field"), "{check:?}");
    assert!(says(&check, "`CUSTOM` event, `on_interrupt`"), "{check:?}");
    assert!(says(&check, "when the user sends a message while it waits for an answer"), "{check:?}");
    let cancelled = &server.requests()[1].input["forwardedProps"]["command"]["resume"];
    assert_eq!(cancelled["__agui_cancelled__"], json!(true));
}

#[tokio::test]
async fn a_check_of_a_refusing_endpoint_hides_its_secret_and_stops() {
    let server = Endpoint::start(|_, answer| async move {
        answer.status("401 Unauthorized", &[], &format!("no such key: {SECRET}")).await
    })
    .await;
    let (check, levels) = found(&server).await;
    assert_eq!(levels, [FindingLevel::Problem], "{check:?}");
    assert!(says(&check, "It does not answer: ") && !says(&check, SECRET), "{check:?}");
}

#[tokio::test]
async fn tolerated_violations_are_findings_of_a_check() {
    let server = Endpoint::start(|_, mut answer| async move {
        answer.begin().await?;
        answer.events(&message("m", &["Yes."])).await?;
        answer.event(&json!({"type": "TEXT_MESSAGE_END", "messageId": "m"})).await?;
        answer.finish().await
    })
    .await;
    let (check, levels) = found(&server).await;
    assert!(levels.contains(&FindingLevel::Advice), "{check:?}");
    assert!(says(&check, "`strict = true`"), "{check:?}");
}
