//! A stopped run lets go of its endpoint.

use std::time::Duration;

use serde_json::json;

use crate::remote::{
    house::House,
    server::{Server, message},
};

/// What a stop may take.
const SOON: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_stop_closes_the_connection_within_a_second_whatever_the_endpoint_does() {
    let server = Server::start(|number, mut answer| async move {
        match number {
            // Nothing is answered.
            0 => answer.hold().await,
            // In the middle of a message.
            1 => {
                answer.begin().await?;
                answer.events(&message("m", &["so far"])[..2]).await?;
                answer.hold().await
            }
            // Faster than anyone reads.
            _ => {
                answer.begin().await?;
                answer.event(&json!({"type": "TEXT_MESSAGE_START", "messageId": "m"})).await?;
                answer.flood("data: {\"type\":\"TEXT_MESSAGE_CONTENT\",\"messageId\":\"m\",\"delta\":\"x\"}\n\n").await
            }
        }
    })
    .await;
    let house = House::new(&server).await;
    for left in 1..=3 {
        let run = house.ask("hello").await;
        match left {
            1 => crate::remote::server::until(|| server.asked().len() == 1).await,
            2 => house.until_said(run, "so far").await,
            _ => house.until(|view| view.run(run).is_some_and(|run| !run.nodes.is_empty())).await,
        }
        let began = std::time::Instant::now();
        house.stop(run).await;
        server.until_left(left).await;
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    }
    assert_eq!(server.asked().len(), 3, "none was asked again");
}

#[tokio::test]
async fn a_stop_ends_the_wait_for_a_new_try() {
    let server = Server::start(|_, answer| answer.status("503 Service Unavailable", &["Retry-After: 10"], "")).await;
    let house = House::new(&server).await;
    let run = house.ask("hello").await;
    crate::remote::server::until(|| server.asked().len() == 1).await;
    assert!(house.stop(run).await < SOON);
    assert_eq!(server.asked().len(), 1);
}
