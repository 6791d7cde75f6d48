//! The handshake: who may connect, and how others are refused.

use std::time::Duration;

use netra::{
    protocol::{
        ErrorCode, Ping,
        http::{Problem, Role},
    },
    server::clock::now_ms,
};

use crate::socket::{client::Client, server::SocketServer};

const PROTOCOL_HEADER: (&str, &str) = ("sec-websocket-protocol", "netra.v1");

async fn refused(server: &SocketServer, headers: &[(&str, &str)]) -> (u16, String) {
    let Err(response) = Client::open(server.address, headers).await else { panic!("a socket opened: {headers:?}") };
    let kind = response.headers().get("content-type").map(|kind| kind.to_str().expect("text").to_owned());
    assert_eq!(kind.as_deref(), Some("application/problem+json"));
    let problem: Problem = serde_json::from_slice(response.body().as_ref().expect("a body")).expect("a problem");
    assert_eq!(problem.status, response.status().as_u16());
    // A temporary refusal says for how long, in the body in ms and in the header in seconds, rounded up.
    let seconds =
        response.headers().get("retry-after").map(|after| after.to_str().expect("text").parse().expect("seconds"));
    assert_eq!(seconds, problem.retry_after_ms.map(|ms| ms.div_ceil(1000)), "{problem:?}");
    assert_eq!(seconds.is_some(), matches!(problem.status, 429 | 503), "{problem:?}");
    (problem.status, problem.code)
}

#[tokio::test]
async fn a_bearer_token_or_a_ticket_opens_a_socket_and_the_first_push_names_the_user() {
    let server = SocketServer::start().await;
    let ada = server.member("ada").await;
    let mut client = ada.connect().await;
    assert_eq!(client.response.headers()["sec-websocket-protocol"], "netra.v1");
    assert_eq!(client.welcome["user"]["id"], ada.id().to_string());
    assert_eq!(client.welcome["user"]["role"], "member");
    assert_eq!(client.welcome["node"], "test-node");
    assert_eq!(client.welcome["heartbeat_ms"], 25_000);
    assert_eq!(client.welcome["max_frame_bytes"], 65_536);
    assert!(client.welcome["expires_at"].as_i64() > Some(now_ms()));
    assert!(client.ask(Ping {}).await.is_ok());

    let session = server.session(&ada, now_ms() + 60_000).await;
    let offered = format!("netra.v1, ticket.{}", server.ticket(&ada, &session).await);
    let client = Client::open(server.address, &[("sec-websocket-protocol", &offered)]).await.expect("the socket opens");
    assert_eq!(client.response.headers()["sec-websocket-protocol"], "netra.v1", "the ticket is not repeated");
    assert_eq!(
        refused(&server, &[("sec-websocket-protocol", &offered)]).await,
        (401, "unauthorized".into()),
        "a ticket is used once"
    );
}

#[tokio::test]
async fn a_handshake_without_a_common_protocol_is_refused() {
    let server = SocketServer::start().await;
    let ada = server.member("ada").await;
    let authorization = format!("Bearer {}", ada.token);
    for offered in [None, Some("netra.v2"), Some("mqtt, netra.v")] {
        let mut headers = vec![("authorization", authorization.as_str())];
        headers.extend(offered.map(|offered| ("sec-websocket-protocol", offered)));
        assert_eq!(refused(&server, &headers).await, (400, "no_common_protocol".into()), "{offered:?}");
    }
}

#[tokio::test]
async fn a_handshake_without_valid_credentials_is_refused() {
    let server = SocketServer::start().await;
    assert_eq!(refused(&server, &[PROTOCOL_HEADER]).await, (401, "unauthorized".into()));
    for authorization in ["Bearer no", "Basic YTpi", "Bearer "] {
        let headers = [PROTOCOL_HEADER, ("authorization", authorization)];
        assert_eq!(refused(&server, &headers).await, (401, "unauthorized".into()), "{authorization}");
    }
    let ticket = [("sec-websocket-protocol", "netra.v1, ticket.0000")];
    assert_eq!(refused(&server, &ticket).await, (401, "unauthorized".into()));
    assert_eq!(server.manager().counts().opened, 0);
}

#[tokio::test]
async fn a_cookie_from_another_origin_is_refused() {
    let server = SocketServer::start().await;
    let cookie = ("cookie", "netra_session=AAAAAAAAAAAAAAAAAAAAAA");
    let elsewhere = [PROTOCOL_HEADER, cookie, ("origin", "https://elsewhere.example")];
    assert_eq!(refused(&server, &elsewhere).await, (403, "forbidden".into()));
    let own = format!("http://{}", server.address);
    assert_eq!(refused(&server, &[PROTOCOL_HEADER, cookie, ("origin", &own)]).await, (401, "unauthorized".into()));
}

#[tokio::test]
async fn a_full_server_answers_429_and_a_draining_one_503() {
    let server = SocketServer::with(|config| config.socket.max_connections = 1).await;
    let ada = server.member("ada").await;
    let authorization = format!("Bearer {}", ada.token);
    let headers = [PROTOCOL_HEADER, ("authorization", authorization.as_str())];
    let client = ada.connect().await;
    assert_eq!(refused(&server, &headers).await, (429, "too_many_connections".into()));
    drop(client);
    server.until_connections(0).await;
    drop(ada.connect().await);
    server.manager().drain(Duration::ZERO).await;
    assert_eq!(refused(&server, &[]).await, (503, "draining".into()), "checked before anything else");
}

#[tokio::test]
async fn a_request_that_is_no_websocket_handshake_is_refused() {
    let server = SocketServer::start().await;
    let response = reqwest::get(format!("http://{}/ws", server.address)).await.expect("the server answers");
    assert_eq!(response.status(), 400);
    let problem: Problem = serde_json::from_str(&response.text().await.expect("a body")).expect("a problem");
    assert_eq!(problem.code, "not_websocket");
}

#[tokio::test]
async fn a_removed_account_is_signed_out_at_its_next_command() {
    let server = SocketServer::start().await;
    let ada = server.member("ada").await;
    let mut client = ada.connect().await;
    server.account("admin", Role::Admin).await;
    server.gateway.auth.remove(&ada.user.email).await.expect("the account is removed");
    let id = client.send(netra::protocol::MarkRead { thread_id: netra::protocol::ThreadId::new() }).await;
    assert_eq!(client.reply(id).await.expect_err("a refusal").code, ErrorCode::Forbidden);
    assert_eq!(client.closed().await.0, 4401);
}
