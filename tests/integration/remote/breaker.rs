//! An endpoint that fails again and again is left alone for a while.

use netra::{
    protocol::{Author, UserId},
    server::runs::{Agent, Emitter, RunInput},
    thread::RunState,
};
use serde_json::json;

use crate::remote::{
    configured::{agents, entry},
    house::House,
    server::{Server, until},
};

#[tokio::test]
async fn the_breaker_opens_says_when_it_tries_again_and_closes() {
    // Three fail, one tries in vain, then all is well.
    let server = Server::start(|number, mut answer| async move {
        if number < 4 {
            return answer.status("500 Internal Server Error", &[], "").await;
        }
        answer.begin().await?;
        answer.finish().await
    })
    .await;
    let house = House::but(&server, json!({"retries": 0})).await;
    let health = || house.remote.health().expect("it depends on an endpoint");
    assert!(health().ok, "{:?}", health());
    for _ in 0..3 {
        house.failure("remote_failed").await;
    }
    assert!(!health().ok && health().about.contains("500 Internal Server Error"), "{:?}", health());
    let said = house.failure("remote_unavailable").await;
    assert!(said.contains("it is asked again in 1 s"), "{said}");
    assert_eq!(server.asked().len(), 3, "nobody waited for it");
    // One tries, and fails: the breaker is open for longer.
    until(|| health().ok).await;
    house.failure("remote_failed").await;
    house.failure("remote_unavailable").await;
    until(|| health().ok).await;
    for _ in 0..2 {
        assert_eq!(house.answer("hello").await.state, RunState::Finished);
    }
    assert_eq!((server.asked().len(), health().about.as_str()), (6, "it answers"));
}

#[tokio::test]
async fn mistakes_of_requests_and_of_the_agent_open_no_breaker_and_are_told() {
    let server = Server::start(|number, mut answer| async move {
        if number % 2 == 0 {
            return answer.status("401 Unauthorized", &[], "").await;
        }
        answer.begin().await?;
        answer.event(&json!({"type": "RUN_ERROR", "message": "no luck"})).await
    })
    .await;
    let house = House::new(&server).await;
    for _ in 0..3 {
        house.failure("remote_unauthorized").await;
        house.failure("agent_error").await;
    }
    let health = house.remote.health().expect("it depends on an endpoint");
    assert!(health.ok && health.about.contains("no luck"), "{health:?}");
}

#[tokio::test]
async fn agents_at_one_endpoint_share_its_breaker_and_an_entry_that_changes_keeps_it() {
    let server = Server::start(|_, answer| answer.status("500 Internal Server Error", &[], "")).await;
    let at = |id: &str, query: &str| {
        let url = format!("{}{query}", server.url);
        entry(&json!({"id": id, "url": url, "allow_private_network": true, "retries": 0}))
    };
    let agents = agents(&[at("one", ""), at("two", "?tenant=2")]);
    let agent = agents.get("one").and_then(|known| known.agent()).expect("can be used");
    for _ in 0..5 {
        let (out, _events) = Emitter::channel(8);
        let author = Author { id: UserId::new(), name: "Ada".into() };
        agent.run(RunInput::alone(author, "hello"), out).await.expect_err("fails");
    }
    for id in ["one", "two"] {
        let health = agents.get(id).and_then(|known| known.health()).expect("it depends on an endpoint");
        assert!(!health.ok && health.about.contains("5 times in a row"), "{id}: {health:?}");
    }
}
