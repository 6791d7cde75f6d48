//! A check of a remote agent: what a short conversation with it finds.

use netra::{
    protocol::http::{AgentCheck, CheckAgent, FindingLevel},
    server::agents::check::check,
};
use serde_json::json;

use crate::remote::{
    house::{House, SECRET},
    server::{Server, message},
};

/// Levels and sentences of what a check finds.
async fn found(server: &Server) -> (AgentCheck, Vec<FindingLevel>) {
    let house = House::new(server).await;
    let author = netra::protocol::Author { id: house.user.id, name: house.user.name.clone() };
    let check = check(&*house.remote, &author, CheckAgent::GREETING).await;
    let levels = check.findings.iter().map(|finding| finding.level).collect();
    (check, levels)
}

fn says(check: &AgentCheck, words: &str) -> bool {
    check.findings.iter().any(|finding| finding.about.contains(words))
}

#[tokio::test]
async fn an_agent_that_answers_twice_is_told_the_whole_conversation_and_is_well() {
    let server = Server::start(|number, mut answer| async move {
        answer.begin().await?;
        answer.events(&message(&format!("m{number}"), &["I can add."])).await?;
        answer.finish().await
    })
    .await;
    let (check, levels) = found(&server).await;
    assert_eq!(levels, [FindingLevel::Good, FindingLevel::Good], "{check:?}");
    assert!(says(&check, "with 10 characters of text") && says(&check, "when the conversation goes on"), "{check:?}");
    let asked = server.asked();
    let contents: Vec<_> =
        asked[1].input["messages"].as_array().expect("messages").iter().map(|said| said["content"].clone()).collect();
    assert_eq!(contents, [json!(CheckAgent::GREETING), json!("I can add."), json!("Thank you.")]);
    assert_eq!(asked[0].input["threadId"], asked[1].input["threadId"]);
}

#[tokio::test]
async fn calls_that_nobody_answers_are_a_problem_and_so_is_silence() {
    let server = Server::start(|number, mut answer| async move {
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
    assert!(says(&check, "It says nothing when the conversation goes on"), "{check:?}");
}

#[tokio::test]
async fn what_it_asks_a_person_is_told_as_people_read_it_and_then_something_else_is_said() {
    let server = Server::start(|number, mut answer| async move {
        answer.begin().await?;
        match number {
            0 => {
                let asks = json!({"type": "CUSTOM", "name": "on_interrupt", "value": "Send a mail to bob?"});
                answer.event(&asks).await?;
            }
            1 => {}
            _ => answer.events(&message("m", &["As you like."])).await?,
        }
        answer.finish().await
    })
    .await;
    let (check, levels) = found(&server).await;
    assert!(levels.iter().all(|level| *level == FindingLevel::Good), "{check:?}");
    assert!(says(&check, "“Send a mail to bob?”, who answers with a field of text"), "{check:?}");
    assert!(says(&check, "`CUSTOM` event, `on_interrupt`"), "{check:?}");
    assert!(says(&check, "when something else is said while it waits for a person"), "{check:?}");
    let cancelled = &server.asked()[1].input["forwardedProps"]["command"]["resume"];
    assert_eq!(cancelled["__agui_cancelled__"], json!(true));
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_told_without_its_secret_and_asked_no_more() {
    let server = Server::start(|_, answer| async move {
        answer.status("401 Unauthorized", &[], &format!("no such key: {SECRET}")).await
    })
    .await;
    let (check, levels) = found(&server).await;
    assert_eq!(levels, [FindingLevel::Problem], "{check:?}");
    assert!(says(&check, "It does not answer: ") && !says(&check, SECRET), "{check:?}");
}

#[tokio::test]
async fn rules_that_are_passed_over_are_told_of() {
    let server = Server::start(|_, mut answer| async move {
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
