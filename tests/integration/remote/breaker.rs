//! The circuit breaker of an endpoint that fails repeatedly.

use netra::{
    protocol::{Author, UserId},
    server::runs::{Agent, Emitter, RunInput},
    thread::RunState,
};
use serde_json::json;

use crate::remote::{
    configured::{agents, entry},
    harness::RemoteHarness,
    server::{Endpoint, until},
};

#[tokio::test]
async fn the_breaker_opens_reports_its_next_trial_and_closes() {
    // Three requests fail, the trial request fails, then requests succeed.
    let server = Endpoint::start(|number, mut answer| async move {
        if number < 4 {
            return answer.status("500 Internal Server Error", &[], "").await;
        }
        answer.begin().await?;
        answer.finish().await
    })
    .await;
    let harness = RemoteHarness::with(&server, json!({"retries": 0})).await;
    let health = || harness.agent.health().expect("the agent has an endpoint");
    assert!(health().ok, "{:?}", health());
    for _ in 0..3 {
        harness.failure("remote_failed").await;
    }
    assert!(!health().ok && health().about.contains("500 Internal Server Error"), "{:?}", health());
    let message = harness.failure("remote_unavailable").await;
    assert!(message.contains("try again in 1 s"), "{message}");
    assert_eq!(server.requests().len(), 3, "no request waited for it");
    // The trial request fails: the breaker stays open for longer.
    until(|| health().ok).await;
    harness.failure("remote_failed").await;
    harness.failure("remote_unavailable").await;
    until(|| health().ok).await;
    for _ in 0..2 {
        assert_eq!(harness.ask("hello").await.state, RunState::Finished);
    }
    assert_eq!((server.requests().len(), health().about.as_str()), (6, "it answers"));
}

#[tokio::test]
async fn errors_of_requests_and_of_the_agent_do_not_open_the_breaker() {
    let server = Endpoint::start(|number, mut answer| async move {
        if number % 2 == 0 {
            return answer.status("401 Unauthorized", &[], "").await;
        }
        answer.begin().await?;
        answer.event(&json!({"type": "RUN_ERROR", "message": "no luck"})).await
    })
    .await;
    let harness = RemoteHarness::new(&server).await;
    for _ in 0..3 {
        harness.failure("remote_unauthorized").await;
        harness.failure("agent_error").await;
    }
    let health = harness.agent.health().expect("the agent has an endpoint");
    assert!(health.ok && health.about.contains("no luck"), "{health:?}");
}

#[tokio::test]
async fn agents_at_one_endpoint_share_its_breaker_and_an_entry_that_changes_keeps_it() {
    let server = Endpoint::start(|_, answer| answer.status("500 Internal Server Error", &[], "")).await;
    let at = |id: &str, query: &str| {
        let url = format!("{}{query}", server.url);
        entry(&json!({"id": id, "url": url, "allow_private_network": true, "retries": 0}))
    };
    let agents = agents(&[at("one", ""), at("two", "?tenant=2")]);
    let agent = agents.get("one").and_then(|known| known.agent()).expect("an enabled agent");
    for _ in 0..5 {
        let (out, _events) = Emitter::channel(8);
        let author = Author { id: UserId::new(), name: "Ada".into() };
        agent.run(RunInput::alone(author, "hello"), out).await.expect_err("the run fails");
    }
    for id in ["one", "two"] {
        let health = agents.get(id).and_then(|known| known.health()).expect("the agent has an endpoint");
        assert!(!health.ok && health.about.contains("5 times in a row"), "{id}: {health:?}");
    }
}
