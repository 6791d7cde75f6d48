//! Each close code and its cause.

use std::time::Duration;

use futures_util::SinkExt;
use netra::{
    protocol::{CloseCode, ErrorCode, Notice, NoticeId, Ping, Push, ServerFrame},
    server::clock::now_ms,
};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use crate::socket::{
    client::Client,
    server::{SocketServer, until},
};

#[tokio::test]
async fn a_client_is_closed_only_if_it_never_answers_a_ping() {
    let server = SocketServer::with(|config| {
        config.socket.heartbeat_ms = 150;
        config.socket.heartbeat_timeout_ms = 150;
    })
    .await;
    let ada = server.member("ada").await;
    let mut alive = ada.connect().await;
    // It does not read, so its library answers no ping.
    let mut silent = ada.connect().await;
    // It answers each ping as it reads.
    let living = tokio::spawn(async move {
        let mut pings = 0;
        while pings < 5 {
            match alive.message().await {
                Some(Ok(Message::Ping(_))) => pings += 1,
                other => panic!("no ping but {other:?}"),
            }
        }
        alive
    });
    server.until_connections(1).await;
    let mut alive = living.await.expect("the socket stays open");
    assert!(alive.ask(Ping {}).await.is_ok());
    assert_eq!(silent.closed().await.0, 4000);
}

#[tokio::test]
async fn commands_keep_a_connection_open_like_pongs() {
    let server = SocketServer::with(|config| {
        config.socket.heartbeat_ms = 200;
        config.socket.heartbeat_timeout_ms = 200;
    })
    .await;
    let mut client = server.member("ada").await.connect().await;
    for _ in 0..8 {
        assert!(client.ask(Ping {}).await.is_ok());
        // Each command arrives before the heartbeat times out.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(server.manager().counts().connections, 1);
}

#[tokio::test]
async fn a_frame_that_is_too_large_closes_the_socket() {
    let server = SocketServer::with(|config| config.socket.max_frame_bytes = 2_048).await;
    let ada = server.member("ada").await;
    // Slightly too large, and far too large.
    for bytes in [2_049, 8_192, 1 << 20] {
        let mut client = ada.connect().await;
        let text = "x".repeat(bytes);
        // The server may close before it has read everything; then sending fails, and the close frame can still be read.
        let _ = client.socket.send(Message::text(text)).await;
        let (code, reason) = client.closed().await;
        assert_eq!((code, reason.contains("max_frame_bytes")), (1009, true), "{bytes}");
    }
    let mut pieces = ada.connect().await;
    for opcode in [Data::Text, Data::Continue, Data::Continue] {
        let piece = Frame::message("x".repeat(1_000), OpCode::Data(opcode), false);
        pieces.socket.send(Message::Frame(piece)).await.expect("the frame is sent");
    }
    assert!(pieces.ping_is_answered().await, "an unfinished message is not too large yet");
    let last = Frame::message("x", OpCode::Data(Data::Continue), true);
    pieces.socket.send(Message::Frame(last)).await.expect("the frame is sent");
    assert_eq!(pieces.closed().await.0, 1009, "the fragments are added up");
    assert!(ada.connect().await.ask(Ping {}).await.is_ok(), "the next connection is fine");
}

#[tokio::test]
async fn an_invalid_websocket_frame_closes_the_socket() {
    let server = SocketServer::start().await;
    let ada = server.member("ada").await;
    let mut not_text = ada.connect().await;
    let frame = Frame::message(vec![0xff, 0xfe], OpCode::Data(Data::Text), true);
    not_text.socket.send(Message::Frame(frame)).await.expect("the frame is sent");
    assert_eq!(not_text.closed().await.0, 4400);
    let mut not_a_frame = ada.connect().await;
    not_a_frame.socket.get_mut().write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("the bytes are sent");
    assert_eq!(not_a_frame.closed().await.0, 4400);
}

#[tokio::test]
async fn the_third_bad_frame_within_a_minute_closes_the_socket() {
    let server = SocketServer::start().await;
    let mut client = server.member("ada").await.connect().await;
    let bad_frame = |frame| match frame {
        ServerFrame::Push(Push::Error(error)) => error.code,
        other => panic!("no error push but {other:?}"),
    };
    client.send_text("nope").await;
    assert_eq!(bad_frame(client.frame().await), ErrorCode::BadFrame);
    client.socket.send(Message::binary(vec![1, 2, 3])).await.expect("the frame is sent");
    assert_eq!(bad_frame(client.frame().await), ErrorCode::BadFrame);
    assert!(client.ask(Ping {}).await.is_ok(), "two are allowed");
    client.send_text(r#"{"type":"ping","id":1}"#).await;
    assert_eq!(client.closed().await.0, 4400, "an id used twice is a bad frame too");
}

#[tokio::test]
async fn a_flood_is_refused_then_closed_4002_with_the_time_to_wait() {
    let server = SocketServer::with(|config| config.socket.commands_per_minute = 10).await;
    let mut client = server.member("ada").await.connect().await;
    // The handshake counts, too.
    for _ in 1..10 {
        assert!(client.ask(Ping {}).await.is_ok());
    }
    let limited = client.ask(Ping {}).await.expect_err("the rate limit refuses it");
    assert_eq!(limited.code, ErrorCode::RateLimited);
    assert!((1..=6_000).contains(&limited.retry_after_ms.expect("a retry time")), "{limited:?}");
    for _ in 0..10 {
        client.send(Ping {}).await;
    }
    let (code, reason) = client.closed().await;
    let reason: serde_json::Value = serde_json::from_str(&reason).expect("JSON");
    assert_eq!((code, reason["retry_after_ms"].as_u64()), (4002, Some(60_000)));
}

#[tokio::test]
async fn a_users_command_rate_is_shared_by_their_connections_alone() {
    let server = SocketServer::with(|config| config.socket.commands_per_minute = 10).await;
    let (ada, bob) = (server.member("ada").await, server.member("bob").await);
    let (mut first, mut second) = (ada.connect().await, ada.connect().await);
    for _ in 0..4 {
        assert!(first.ask(Ping {}).await.is_ok());
        assert!(second.ask(Ping {}).await.is_ok());
    }
    assert_eq!(second.refused(Ping {}).await, ErrorCode::RateLimited);
    assert_eq!(first.refused(Ping {}).await, ErrorCode::RateLimited);
    assert!(bob.connect().await.ask(Ping {}).await.is_ok());
}

#[tokio::test]
async fn one_connection_too_many_closes_the_oldest() {
    let server = SocketServer::with(|config| config.socket.max_connections_per_user = 3).await;
    let (ada, bob) = (server.member("ada").await, server.member("bob").await);
    let mut other = bob.connect().await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(ada.connect().await);
    }
    assert_eq!(clients[0].closed().await.0, 4409);
    for client in &mut clients[1..] {
        assert!(client.ask(Ping {}).await.is_ok());
    }
    assert!(other.ask(Ping {}).await.is_ok());
    assert_eq!(server.manager().connections_of(ada.id()), 3);
    drop(clients);
    until("the connections are removed", || server.manager().connections_of(ada.id()) == 0).await;
}

#[tokio::test]
async fn the_end_of_a_session_closes_its_sockets_4401_and_no_others() {
    let server = SocketServer::start().await;
    let ada = server.member("ada").await;
    let session = server.session(&ada, now_ms() + 60_000).await;
    let offered = format!("netra.v1, ticket.{}", server.ticket(&ada, &session).await);
    let mut tab =
        Client::open(server.address, &[("sec-websocket-protocol", &offered)]).await.expect("the socket opens");
    let mut script = ada.connect().await;
    let closed = server.manager().close_session(&session, CloseCode::SessionEnded, "signed out");
    assert_eq!(closed, 1);
    assert_eq!(tab.closed().await, (4401, "signed out".into()));
    assert!(script.ask(Ping {}).await.is_ok());
    server.manager().close_user(ada.id(), CloseCode::Disconnected, "disconnected by an administrator");
    assert_eq!(script.closed().await.0, 4403);
}

#[tokio::test]
async fn credentials_that_run_out_close_4401_at_their_time() {
    let server = SocketServer::start().await;
    let ada = server.member("ada").await;
    let expires_at = now_ms() + 700;
    let session = server.session(&ada, expires_at).await;
    let offered = format!("netra.v1, ticket.{}", server.ticket(&ada, &session).await);
    let mut client =
        Client::open(server.address, &[("sec-websocket-protocol", &offered)]).await.expect("the socket opens");
    assert_eq!(client.welcome["expires_at"], expires_at);
    assert_eq!(client.closed().await.0, 4401);
    let late = now_ms() - expires_at;
    assert!((0..1_000).contains(&late), "{late} ms late");
}

#[tokio::test]
async fn draining_sends_each_socket_a_time_to_reconnect_then_closes_it() {
    let server = SocketServer::start().await;
    let ada = server.member("ada").await;
    let mut clients = vec![ada.connect().await, ada.connect().await, ada.connect().await];
    let manager = server.manager().clone();
    let draining = tokio::spawn(async move { manager.drain(Duration::from_secs(60)).await });
    let mut delays = Vec::new();
    for client in &mut clients {
        let Push::Draining(draining) = client.push().await else { panic!("draining comes first") };
        delays.push(draining.reconnect_in_ms);
        assert_eq!(client.closed().await.0, 1012);
    }
    draining.await.expect("the task ends");
    delays.sort_unstable();
    delays.dedup();
    assert!(delays.len() == 3 && delays.iter().all(|delay| *delay <= 60_000), "{delays:?}");
    assert_eq!(server.manager().counts().connections, 0);
}

#[tokio::test]
async fn a_notice_reaches_everyone() {
    let server = SocketServer::start().await;
    let (mut ada, mut bob) = (server.member("ada").await.connect().await, server.member("bob").await.connect().await);
    let notice = Push::Notice(Notice { id: NoticeId::new(), text: "Maintenance at noon.".into(), at: now_ms() });
    assert_eq!(server.manager().broadcast(&notice), 2);
    assert_eq!((ada.push().await, bob.push().await), (notice.clone(), notice));
}

#[tokio::test]
async fn a_client_that_closes_or_is_cut_off_is_not_present_any_more() {
    let server = SocketServer::start().await;
    let ada = server.member("ada").await;
    let mut polite = ada.connect().await;
    let thread = polite.create_thread().await;
    polite.follow(thread).await;
    let cut = ada.connect().await;
    server.until_connections(2).await;
    polite.socket.close(None).await.expect("the socket closes");
    drop(cut);
    server.until_connections(0).await;
    assert_eq!((server.manager().counts().users, server.manager().counts().channels), (0, 0));
}
