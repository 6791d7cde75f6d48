//! A stopped run closes its connection to the endpoint.

use std::time::Duration;

use serde_json::json;

use crate::remote::{
    harness::RemoteHarness,
    server::{Endpoint, message},
};

/// How long a stop may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_stop_closes_the_connection_within_a_second_whatever_the_endpoint_does() {
    let server = Endpoint::start(|number, mut answer| async move {
        match number {
            // No response.
            0 => answer.hold().await,
            // During a message.
            1 => {
                answer.begin().await?;
                answer.events(&message("m", &["so far"])[..2]).await?;
                answer.hold().await
            }
            // Faster than it is read.
            _ => {
                answer.begin().await?;
                answer.event(&json!({"type": "TEXT_MESSAGE_START", "messageId": "m"})).await?;
                answer.flood("data: {\"type\":\"TEXT_MESSAGE_CONTENT\",\"messageId\":\"m\",\"delta\":\"x\"}\n\n").await
            }
        }
    })
    .await;
    let harness = RemoteHarness::new(&server).await;
    for left in 1..=3 {
        let run = harness.begin("hello").await;
        match left {
            1 => crate::remote::server::until(|| server.requests().len() == 1).await,
            2 => harness.until_text_is(run, "so far").await,
            _ => harness.until(|view| view.run(run).is_some_and(|run| !run.nodes.is_empty())).await,
        }
        let began = std::time::Instant::now();
        harness.stop(run).await;
        server.until_disconnected(left).await;
        assert!(began.elapsed() < STOP_TIMEOUT, "{:?}", began.elapsed());
    }
    assert_eq!(server.requests().len(), 3, "no request was repeated");
}

#[tokio::test]
async fn a_stop_ends_the_wait_for_a_new_try() {
    let server = Endpoint::start(|_, answer| answer.status("503 Service Unavailable", &["Retry-After: 10"], "")).await;
    let harness = RemoteHarness::new(&server).await;
    let run = harness.begin("hello").await;
    crate::remote::server::until(|| server.requests().len() == 1).await;
    assert!(harness.stop(run).await < STOP_TIMEOUT);
    assert_eq!(server.requests().len(), 1);
}
